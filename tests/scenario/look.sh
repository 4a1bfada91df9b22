#!/bin/bash
# pkcs11-tool -L, -M and -O: slots, mechanisms, objects before and after login.
. "$(dirname "$0")/setup.sh"
make_token eu-1
{
    token_section eu-1
    printf '[slot contoso-prod]\ntenant = contoso\nkey = contoso-cmk\ntokens = eu-1\n'
} >"$KEYWARD_CONF"
exits 0 'the master key is made' keyward create contoso-prod

exits 0 'pkcs11-tool -L' pkcs11-tool --module "$module" -L
says '^  token label +: contoso-prod$' 'the token has the name of the slot'
says 'token flags +:.*login required.*PIN pad present.*rng.*token initialized' 'it asks for a login and fetches its PIN itself'
equal "$(grep -c '^Slot ' "$work/output")" 1 'there is one slot, and not those of the backing token'

exits 0 'pkcs11-tool -M' pkcs11-tool --module "$module" -M
says '^ *AES-KEY-WRAP, .*wrap, unwrap' 'AES-KEY-WRAP is offered'
says '^ *mechtype-0x210B, .*wrap, unwrap' 'CKM_AES_KEY_WRAP_KWP is offered'
says '^ *mechtype-0x210A, .*wrap, unwrap' 'CKM_AES_KEY_WRAP_PAD is offered'
says '^ *AES-KEY-GEN, .*generate' 'AES-KEY-GEN is offered'
says '^ *GENERIC-SECRET-KEY-GEN, .*generate' 'GENERIC-SECRET-KEY-GEN is offered'
hides '(encrypt|decrypt|sign|verify|digest|derive)' 'no mechanism does anything else'
hides '(CBC|ECB|CTR|GCM|RSA-PKCS,|RSA-X)' 'no weak or foreign mechanism is offered'

exits 0 'pkcs11-tool -O without login' pkcs11-tool --module "$module" -O
hides 'Key Object' 'no key is shown before the login'
exits 0 'pkcs11-tool -O after login' tool contoso-prod -O
equal "$(grep -c 'Object;' "$work/output")" 1 'one object: the master key'
says '^Secret Key Object; AES length 32$' 'it is an AES key of 32 bytes'
says '^  label: +contoso-cmk$' 'its label is that of the configuration'
says '^  ID: +6b77[0-9a-f]{20}00000001$' 'its id is lineage and version'
says '^  Usage: +wrap, unwrap$' 'it wraps and unwraps, nothing else'
says '^  Access: +sensitive, always sensitive, never extractable, local$' 'it cannot be read'
says 'CKR_ATTRIBUTE_SENSITIVE' 'asking for its value is refused'
hides 'VALUE: ' 'no value is shown'
finish
