#!/bin/bash
# A token that says CKR_OK to an RSA key and makes another: nothing of it is kept, generated, replicated or imported.
. "$(dirname "$0")/setup.sh"
softhsm=$vendor
vendor=$build/tests/fault/liar.so
. "$here/life.sh"
holds 'the module that lies is there' [ -e "$vendor" ]
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/key.pem" 2>/dev/null
keyward transport-key one --type rsa:2048 -o "$work/kek.pem" >/dev/null
keyward export-blob "$work/key.pem" --to "$work/kek.pem" -o "$work/key.byok"
before=$(contents)
while read -r lie verb; do
    export KW_LIE=$lie
    # shellcheck disable=SC2086 # words
    exits 1 "$lie: keyward $verb" keyward ${verb/KEY/$work/key.byok}
    says 'the token did not make the key as asked' "$lie: keyward $verb: says so"
    unset KW_LIE
    equal "$(contents)" "$before" "$lie: keyward $verb: leaves nothing"
done <<'LIES'
decrypts create one --type rsa:2048
retires create one --type rsa:2048
renames create one --type rsa:2048
swaps create one --type rsa:2048
decrypts create two --type rsa:2048
retires create two --type rsa:2048
decrypts import one KEY
retires import one KEY
renames import one KEY
LIES
exits 0 'the same token without lies' keyward import one "$work/key.byok"
vendor=$softhsm
equal "$(halves one 1)" 'w- -u' 'makes the key'
finish
