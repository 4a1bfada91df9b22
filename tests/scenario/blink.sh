#!/bin/bash
# A token that its module loses sight of for a moment, as SoftHSM does while another process logs in, is not taken for lost.
. "$(dirname "$0")/setup.sh"
make_token eu-1
softhsm=$vendor
vendor=$build/tests/fault/blink.so
{
    token_section eu-1
    printf '[slot contoso]\ntokens = eu-1\n'
} >"$KEYWARD_CONF"
exits 0 'the master key is made' keyward create contoso
holds 'the module that blinks is there' [ -e "$vendor" ]
for from in 1 2 3 4 5 6 7 8; do
    export KW_BLINK_FROM=$from KW_BLINK_TO=$((from + 4))
    exits 0 "five failures from call $from on: pkcs11-tool -L" pkcs11-tool --module "$module" -L
    says 'token label +: contoso$' "five failures from call $from on: shows the token"
    exits 0 "five failures from call $from on: a login and random bytes" tool contoso --generate-random 8 -o "$work/random"
done
export KW_BLINK_FROM=1 KW_BLINK_TO=100000
exits 0 'a token that stays away: pkcs11-tool -L ends' timeout 20 pkcs11-tool --module "$module" -L
hides 'token label +: contoso$' 'without it'
exits 1 'and keyward check' timeout 20 keyward check
says 'problem: .*eu-1' 'says which one'
unset KW_BLINK_FROM KW_BLINK_TO
vendor=$softhsm
finish
