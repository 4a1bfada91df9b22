#!/bin/bash
# A token with a CKM_RSA_AES_KEY_WRAP of its own: a customer's key comes in by that; by two steps where the token only says that it has it.
. "$(dirname "$0")/setup.sh"
softhsm=$vendor
vendor=$build/tests/fault/whole.so
. "$here/life.sh"
holds 'the module is there' [ -e "$vendor" ]
keyward transport-key one --type rsa:2048 -o "$work/kek.pem" >/dev/null
for n in 1 2; do
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/rsa-$n.pem" 2>/dev/null
    exits 0 "RSA key $n goes on its way" keyward export-blob "$work/rsa-$n.pem" --to "$work/kek.pem" -o "$work/rsa-$n.byok"
done
export KW_WHOLE=refuses
exits 0 'the mechanism is listed and refused: imported all the same' keyward import one "$work/rsa-1.byok"
equal "$(halves one 1)" 'w- -u' 'in two steps'
holds 'it wraps' wrapped one
export KW_WHOLE=$work/opened
exits 0 'the mechanism is there: the next version is imported' keyward import one "$work/rsa-2.byok"
holds 'by it' [ -s "$work/opened" ]
rm -f "$work/opened"
equal "$(halves one 2) $(halves one 1)" 'w- -u -- -u' 'it made the key'
holds 'which wraps' wrapped one
equal "$(opened one)" '1 same 2 same' 'and opens'
exits 0 'a key for replicas is made' keyward create two --type rsa:2048
equal "$(halves two 1)" 'w- -u w- -u' 'and carried to two tokens'
equal "$(sort -u "$work/opened")" opened 'by it'
before=$(contents)
# shellcheck disable=SC2317 # holds calls it
bad() {
    python3 - "$work/rsa-2.byok" "$work/bad.byok" <<'PY'
import base64, json, sys
blob = json.load(open(sys.argv[1]))
at = base64.urlsafe_b64decode(blob["ciphertext"] + "==")
blob["ciphertext"] = base64.urlsafe_b64encode(at[:300] + bytes([at[300] ^ 1]) + at[301:]).decode().rstrip("=")
json.dump(blob, open(sys.argv[2], "w"))
PY
}
holds 'a changed parcel' bad
exits 1 'is refused' keyward import one "$work/bad.byok"
says 'it does not open: it was wrapped to another key, or changed on the way' 'with the sentence for every bad parcel'
vendor=$softhsm
equal "$(contents)" "$before" 'and leaves nothing'
finish
