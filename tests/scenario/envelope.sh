#!/bin/bash
# No lock-in: a customer who brought the key opens Keyward's envelopes with the recipe of docs/envelope.md, which needs openssl and that key.
. "$(dirname "$0")/setup.sh"
make_token eu-1
{
    token_section eu-1
    printf 'geo = eu\n'
    printf '[slot contoso]\ntokens = eu-1\ntenant = contoso ltd\ngeo = eu\n'
    printf '[slot pair]\ntokens = eu-1\ntenant = contoso ltd\ngeo = eu\n'
    printf '[slot fabrikam]\ntokens = eu-1\ngeo = eu\nmechanisms = standard\n'
} >"$KEYWARD_CONF"
cd "$work" || exit 2
envelope=0x84B57001

hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
awk '$0 == "```bash" { on = 1; next } $0 == "```" { on = 0 } on' "$root/docs/envelope.md" >open-envelope
chmod +x open-envelope

openssl rand -out cmk 32
exits 0 'a transport key is made' keyward transport-key contoso -o kek.pem
exits 0 'the customer wraps a key to it' keyward export-blob cmk --to kek.pem -o cmk.byok
exits 0 'it is imported' keyward import contoso cmk.byok
exits 0 'the other slot has a key of its own' keyward create fabrikam
cmk=$(cmk_id contoso)

# opens ID TYPE SENTENCE: the data key with this CKA_ID is wrapped through the module and opened by the recipe.
opens() {
    exits 0 "$3: is read" tool contoso --read-object --type secrkey --id "$1" -o value
    exits 0 "$3: is wrapped" tool contoso --wrap -m $envelope --id "$cmk" --application-id "$1" -o "envelope$1"
    exits 0 "$3: the recipe opens it" ./open-envelope "$(hex cmk)" 'contoso ltd' eu '' <"envelope$1"
    equal "$(cat output)" "$(hex value)" "$3: to its value"
    exits 0 "$3: and so does the module" tool contoso --unwrap -m $envelope --id "$cmk" --application-id "ff$1" --key-type "$2:" \
        --extractable -i "envelope$1"
    exits 0 "$3: it is read" tool contoso --read-object --type secrkey --id "ff$1" -o back
    same value back "$3: and the same"
}
exits 0 'an AES data key' tool contoso --keygen --key-type AES:32 --id 01 --extractable
opens 01 AES 'an AES key'
exits 0 'a secret of five bytes' tool contoso --keygen --key-type GENERIC:5 --id 02 --extractable
opens 02 GENERIC 'a secret'
equal "$(od -An -v -tx1 -N 20 envelope01 | tr -d ' \n')" "4b57453101010028${cmk:0:24}" 'it begins as the page says'
equal "$(od -An -v -tx1 -j 20 -N 4 envelope01 | tr -d ' \n')" "${cmk:24:8}" 'and names its version'

exits 1 'another tenant does not open it' ./open-envelope "$(hex cmk)" contoso eu '' <envelope01
says 'another place, or changed' 'and says why'
exits 1 'nor another geo' ./open-envelope "$(hex cmk)" 'contoso ltd' us '' <envelope01
exits 1 'nor a context' ./open-envelope "$(hex cmk)" 'contoso ltd' eu 'orders' <envelope01
exits 1 'nor another key' ./open-envelope "$(openssl rand -hex 32)" 'contoso ltd' eu '' <envelope01

# The same with an RSA key of the customer's, before and after a rotation away from it and back.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out cmk.pem 2>/dev/null
exits 0 'another transport key is made' keyward transport-key pair -o kek2.pem
exits 0 'the customer wraps an RSA key to it' keyward export-blob cmk.pem --to kek2.pem -o cmk2.byok
exits 0 'it is imported' keyward import pair cmk2.byok
exits 0 'the token is looked at past Keyward' bare eu-1 -O --type secrkey
equal "$(grep -A 3 'pair/origin' output | tr -s ' ' | grep Access)" ' Access: sensitive, always sensitive, never extractable, local' 'an origin key stays in it'
openssl rand -out dek 32
# shellcheck disable=SC2317 # exits calls it
put() { keyward wrap pair --context row <dek >line; }
exits 0 'a data key is put into an envelope' put
base64 -d line >rsa-envelope
equal "$(od -An -v -tx1 -N 8 rsa-envelope | tr -d ' \n')" 4b57453103010100 'RSA-OAEP with SHA-1, an AES key, 256 bytes'
exits 0 'the recipe opens it with the private key' ./open-envelope cmk.pem 'contoso ltd' eu row <rsa-envelope
equal "$(cat output)" "$(hex dek)" 'to the data key'
exits 1 'not in another row' ./open-envelope cmk.pem 'contoso ltd' eu other <rsa-envelope
exits 0 'the key is rotated' keyward rotate pair
# shellcheck disable=SC2317 # exits calls it
renew() { keyward rewrap pair <line >line2; }
exits 0 'the envelope is rewrapped' renew
base64 -d line2 >rsa-envelope2
equal "$(od -An -v -tx1 -j 20 -N 4 rsa-envelope2 | tr -d ' \n')" 00000002 'it is under version 2'
holds 'the encrypted data key is the same' cmp -s <(tail -c 48 rsa-envelope) <(tail -c 48 rsa-envelope2)
exits 1 'the customer cannot open it with version 1' ./open-envelope cmk.pem 'contoso ltd' eu row <rsa-envelope2
# shellcheck disable=SC2317 # exits calls it
get() { keyward unwrap pair --context row --reveal <line2 >back; }
exits 0 'the command opens it' get
same back dek 'to the data key'

exits 0 'the other slot has a data key, too' tool fabrikam --keygen --key-type AES:16 --id 01 --extractable
export KEYWARD_LOG=stderr KEYWARD_LOG_LEVEL=debug
exits 1 'a slot that allows no envelopes does not wrap to one' tool fabrikam --wrap -m $envelope --id "$(cmk_id fabrikam)" \
    --application-id 01 -o none
says 'CKR_MECHANISM_INVALID' 'with the code of the standard'
printf 'x' >>envelope01
exits 1 'a byte too many' tool contoso --unwrap -m $envelope --id "$cmk" --application-id 09 --key-type AES: --extractable -i envelope01
says 'CKR_WRAPPED_KEY_INVALID' 'is a bad wrapped key'
says 'an envelope is refused: it is cut off, or longer than its data key' 'and the log of level debug has the reason'
finish
