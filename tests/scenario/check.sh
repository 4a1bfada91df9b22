#!/bin/bash
# keyward check: a good world, then one thing wrong at a time.
. "$(dirname "$0")/setup.sh"
make_token eu-1
make_token eu-2
good() {
    token_section eu-1
    token_section eu-2
    printf '[slot contoso]\ntokens = eu-1\n[slot fabrikam]\ntokens = eu-2\n'
}
good >"$KEYWARD_CONF"

exits 1 'no keys yet' keyward check
says 'problem: .*contoso.*keyward create contoso' 'the mend is named'
says '^2 problems$' 'for both slots'
exits 0 'one key is made' keyward create contoso
exits 0 'and the other' keyward create fabrikam
fingerprint=$(fingerprint contoso)

exits 0 'all is well' keyward check
says '^configuration .*/keyward\.conf: 2 slots, 2 tokens$' 'the configuration is named'
says '^slot contoso, key contoso$' 'the slot'
says 'token eu-1: eu-1 ' 'the token'
says 'RFC 3394 .*: proven as mechanism 0x2109, lengths that are multiples of 8 up to 512 bytes' 'what RFC 3394 is proven to do there'
says 'RFC 5649 .*: proven as mechanism 0x210a, lengths that are multiples of 8 up to 512 bytes' 'what RFC 5649 is proven to do there'
says "^  version 1: active, AES-256, fingerprint $fingerprint\$" 'the version, with its fingerprint'
says '^no problems$' 'and that there are none'
equal "$(bare eu-1 -O 2>/dev/null | grep -c 'Key Object')" 1 'it left nothing in the token'

good | sed 's/token=eu-2/token=eu-9/' >"$KEYWARD_CONF"
exits 1 'a token that is not there' keyward check
says 'problem: .*(eu-2|eu-9)' 'is named'
says "version 1: active.*$fingerprint" 'the other slot is well'
exits 0 'and works for the broker' tool contoso --generate-random 8 -o "$work/random"
exits 0 'pkcs11-tool -L' pkcs11-tool --module "$module" -L
says 'token label +: contoso$' 'shows its token'
hides 'token label +: fabrikam$' 'and no token in the other slot'

good | sed "0,/$(basename "$vendor")/s//nothere.so/" >"$KEYWARD_CONF"
exits 1 'a vendor module that is not there' keyward check
says 'keyward\.conf:[0-9]+: .*nothere\.so' 'is told with file and line'

good >"$KEYWARD_CONF"
mv "$work/eu-2.pin" "$work/away"
exits 1 'a PIN file that is not there' keyward check
says 'eu-2\.pin.*does not exist' 'is told'
mv "$work/away" "$work/eu-2.pin"
echo 99999999 >"$work/eu-2.pin"
exits 1 'a wrong PIN' keyward check
says 'problem: .*eu-2' 'is told'
says 'PIN is wrong' 'as that'
echo "$pin" >"$work/eu-2.pin"
exits 0 'all is well again' keyward check

# Past Keyward: a second key with the label of the master key and open usages.
exits 0 'a stranger is planted beside the master key' bare eu-1 --keygen --key-type AES:32 --label contoso --id 55 --private
exits 1 'keyward check finds it' keyward check
says 'problem: .*contoso' 'and says where'
exits 0 'it is removed' bare eu-1 --delete-object --type secrkey --id 55
exits 0 'all is well again' keyward check
whole=$(bare eu-1 -O 2>/dev/null | sed -n 's/^ *ID: *//p')
exits 0 'the master key is destroyed past Keyward' bare eu-1 --delete-object --type secrkey --id "$whole"
exits 1 'keyward check finds that too' keyward check
says 'problem: .*contoso.*no key' 'and says so'
exits 2 'an argument' keyward check contoso

# One token under two names would let two slots meet on it.
serial=$(keyward check | sed -n 's/^  token eu-1: .*, serial //p')
good | sed "s/token=eu-2/serial=$serial/; s/tokens = eu-2/tokens = eu-2\nkey = contoso/" >"$KEYWARD_CONF"
exits 1 'two sections that name one token' keyward check
says 'problem: slot fabrikam: token eu-2: it is the same token as \[token eu-1\]' 'are told'
exits 1 'the second slot sees nothing of the first' tool fabrikam -O

# What somebody wrote into a token's label does not reach the terminal as it is.
softhsm2-util --init-token --free --label $'a\e[31mb' --so-pin 12345678 --pin "$pin" >/dev/null
serial=$(softhsm2-util --show-slots | grep -a -B 9 'Label: *a.*31mb' | sed -n 's/.*Serial number: *//p' | tail -n 1)
good | sed "s/token=eu-2/serial=$serial/" >"$KEYWARD_CONF"
exits 1 'a token whose label holds an escape sequence' keyward check
says 'token eu-2: a\?\[31mb ' 'is shown without it'
finish
