#!/bin/bash
# pkcs11-tool: random bytes, deletion of a data key, --test.
. "$(dirname "$0")/setup.sh"
make_token eu-1
{
    token_section eu-1
    printf '[slot contoso]\ntokens = eu-1\n'
} >"$KEYWARD_CONF"
exits 0 'the master key is made' keyward create contoso
cmk=$(cmk_id contoso)

exits 0 'random bytes' tool contoso --generate-random 32 -o "$work/random1"
exits 0 'more random bytes' tool contoso --generate-random 32 -o "$work/random2"
equal "$(stat -c %s "$work/random1" "$work/random2" | xargs)" '32 32' 'as many as asked for'
holds 'they differ' not cmp -s "$work/random1" "$work/random2"

exits 0 'a data key is generated' tool contoso --keygen --key-type AES:32 --id 01 --label first --extractable
exits 0 'and another' tool contoso --keygen --key-type AES:16 --id 02 --label second --extractable
equal "$(objects contoso)" 3 'both are seen by another process'
exits 0 'the first is deleted' tool contoso --delete-object --type secrkey --id 01
exits 0 'pkcs11-tool -O' tool contoso -O
says '^  label: +second$' 'the second is there'
hides '^  label: +first$' 'the first is not'
exits 1 'it cannot be deleted again' tool contoso --delete-object --type secrkey --id 01
exits 1 'the master key cannot be deleted' tool contoso --delete-object --type secrkey --id "$cmk"
says 'rv = .*(CKR_ACTION_PROHIBITED|0x1b)' 'because that is prohibited'
equal "$(cmk_id contoso)" "$cmk" 'it is still there'
exits 1 'a key pair cannot be generated' tool contoso --keypairgen --key-type RSA:2048 --id 09
exits 1 'a token cannot be initialised' pkcs11-tool --module "$module" --init-token --label contoso --so-pin 12345678
exits 1 'a PIN cannot be changed' tool contoso --change-pin --new-pin 11112222
exits 0 'the old PIN still logs in' tool contoso -O

exits 0 'pkcs11-tool --test' tool contoso --test
says '^No errors' 'finds no errors'
exits 0 'pkcs11-tool --test-fork' pkcs11-tool --module "$module" --test-fork
finish
