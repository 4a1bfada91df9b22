#!/bin/bash
# --login with the PIN, without one, with a wrong one, as the security officer; a slot without a PIN source.
. "$(dirname "$0")/setup.sh"
make_token eu-1
make_token eu-2
{
    token_section eu-1
    printf '[token eu-2]\nuri = pkcs11:token=eu-2?module-path=%s\n' "$vendor"
    printf '[slot fetched]\ntokens = eu-1\n[slot asked]\ntokens = eu-2\n'
} >"$KEYWARD_CONF"
exits 0 'the master key is made' keyward create fetched

exits 0 'the PIN of the backing token logs in' tool fetched -O
says 'Key Object' 'and shows the key'
exits 0 'no PIN logs in too: the token fetches it' pkcs11-tool --module "$module" --token-label fetched --login -O </dev/null
says 'Key Object' 'and shows the key'
exits 1 'a wrong PIN does not log in' pkcs11-tool --module "$module" --token-label fetched --login --pin 99999999 -O
says 'CKR_PIN_INCORRECT' 'and is called incorrect'
hides 'Key Object' 'and shows nothing'
exits 1 'the security officer does not log in' pkcs11-tool --module "$module" --token-label fetched --login --login-type so --so-pin 12345678 -O
says 'CKR_USER_TYPE_INVALID' 'because there is none'
exits 0 'the right PIN still logs in' tool fetched -O

exits 0 'pkcs11-tool -L' pkcs11-tool --module "$module" -L
equal "$(grep -c 'PIN pad present' "$work/output")" 1 'a slot without a PIN source has no PIN pad'
exits 0 'its PIN comes from the application' tool asked -O
exits 1 'a wrong one does not log in' pkcs11-tool --module "$module" --token-label asked --login --pin 99999999 -O
says 'CKR_PIN_INCORRECT' 'and is called incorrect'
finish
