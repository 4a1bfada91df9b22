# shellcheck shell=bash
# Sourced by tenants.sh and shared.sh, after setup.sh.
# shellcheck disable=SC2154 # work is setup.sh's

# strangers SLOT SLOT: makes their master keys and a data key in each, and tries each against the other.
strangers() {
    local slot cmk_1 cmk_2
    for slot in "$1" "$2"; do
        exits 0 "$slot: the master key is made" keyward create "$slot"
        exits 0 "$slot: a data key is generated" tool "$slot" --keygen --key-type AES:32 --id 01 --label "$slot" --extractable
        exits 0 "$slot: and read" tool "$slot" --read-object --type secrkey --id 01 -o "$work/$slot.value"
        exits 0 "$slot: and wrapped" tool "$slot" --wrap -m AES-KEY-WRAP --id "$(cmk_id "$slot")" --application-id 01 \
            -o "$work/$slot.wrapped"
    done
    cmk_1=$(cmk_id "$1")
    cmk_2=$(cmk_id "$2")
    holds 'the master keys are two' [ "$cmk_1" != "$cmk_2" ]
    holds 'the data keys are two' not cmp -s "$work/$1.value" "$work/$2.value"

    stranger "$1" "$cmk_1" "$2" "$cmk_2"
    stranger "$2" "$cmk_2" "$1" "$cmk_1"
}

# stranger SLOT CMK OTHER CMK: what SLOT sees and can do of what is OTHER's.
stranger() {
    exits 0 "$1: pkcs11-tool -O" tool "$1" -O
    equal "$(grep -c 'Key Object' "$work/output")" 2 "$1: sees its two keys"
    hides "^  label: +$3\$" "$1: sees no label of $3"
    hides "$4" "$1: does not see the master key of $3"
    exits 0 "$1: the data key with the id that both use is its own" tool "$1" --read-object --type secrkey --id 01 -o "$work/read"
    same "$work/read" "$work/$1.value" "$1: and has its value"
    exits 1 "$1: cannot open what $3 wrapped" tool "$1" --unwrap -m AES-KEY-WRAP --id "$2" --application-id 02 \
        --key-type AES: --extractable -i "$work/$3.wrapped"
    says 'CKR_WRAPPED_KEY_INVALID' "$1: it is a bad blob there"
    exits 1 "$1: cannot use the master key of $3" tool "$1" --unwrap -m AES-KEY-WRAP --id "$4" --application-id 02 \
        --key-type AES: --extractable -i "$work/$3.wrapped"
    exits 1 "$1: cannot wrap under it" tool "$1" --wrap -m AES-KEY-WRAP --id "$4" --application-id 01 -o "$work/stolen"
    holds "$1: nothing was written" [ ! -s "$work/stolen" ]
    equal "$(objects "$1")" 2 "$1: and nothing was made"
}
