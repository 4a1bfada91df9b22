#!/bin/bash
# keyward wrap, unwrap and inspect: one data key into an envelope and out of it, and what the envelope says of itself.
# shellcheck disable=SC2317 # exits calls the functions
. "$(dirname "$0")/setup.sh"
make_token eu-1
{
    token_section eu-1
    printf '[slot contoso]\ntenant = contoso\ntokens = eu-1\n[slot fabrikam]\ntenant = fabrikam\ntokens = eu-1\n'
    printf '[slot closed]\ntokens = eu-1\ndata-keys = sealed\n[slot weak]\ntokens = eu-1\n'
} >"$KEYWARD_CONF"
cd "$work" || exit 2
for slot in contoso fabrikam closed; do keyward create $slot >/dev/null 2>&1; done
keyward create weak --type aes:128 >/dev/null 2>&1

wrap() { keyward wrap "$@" <key >envelope; }
unwrap() { keyward unwrap "$@" --reveal <envelope >back; }
for len in 1 16 31 32 511 512; do
    head -c $len /dev/urandom >key
    exits 0 "a data key of $len bytes is wrapped" wrap contoso --context crm/customers
    equal "$(wc -l <envelope)" 1 'into one line'
    exits 0 'and unwrapped' unwrap contoso --context crm/customers
    same key back 'to the same bytes'
done
hides "$(base64 -w0 key | cut -c1-20)" 'and not shown'
exits 1 'another context does not open it' unwrap contoso --context crm/orders
holds 'and gives nothing' [ ! -s back ]
exits 1 'no context neither' unwrap contoso
exits 1 'nor another slot' unwrap fabrikam --context crm/customers
withheld() { keyward unwrap contoso --context crm/customers <envelope >back; }
exits 2 'without --reveal nothing is written' withheld
holds 'nothing at all' [ ! -s back ]
base64 -d envelope >bare
exits 0 'the bare bytes of an envelope do as well' keyward unwrap contoso --context crm/customers --reveal <bare
od -An -v -tx1 bare | tr -d ' \n' >envelope
exits 0 'and so does hex' unwrap contoso --context crm/customers
same key back 'to the same bytes'
: >key
exits 1 'an empty data key' wrap contoso
head -c 513 /dev/urandom >key
exits 1 'one that is too long' wrap contoso
says '1 to 512 bytes|longer' 'is refused with its bounds'
head -c 20 key >short && mv short key
exits 1 'an AES key of 20 bytes' wrap contoso --type aes
head -c 32 /dev/urandom >key
exits 0 'into a slot with sealed data keys' wrap closed
exits 1 'it does not come out again' unwrap closed
says 'never revealed' 'and that is said'
full() { keyward wrap contoso <key >/dev/full; }
exits 1 'a full disk' full
says 'cannot be written' 'is told'

exits 1 'a data key that is stronger than the master key' wrap weak
says 'weaker' 'is refused'
exits 0 'a 32-byte key as a generic secret' wrap contoso --type generic
exits 2 'wrap without a slot: usage' keyward wrap
exits 2 '--type of another kind' keyward wrap contoso --type rsa
exits 2 'wrap does not reveal' keyward wrap contoso --reveal
export KEYWARD_CONF=/nonexistent
exits 0 'inspect needs no configuration' keyward inspect <envelope
says '^envelope +KWE1, 124 bytes$' 'and shows the length'
says '^version +1$' 'the version'
says '^lineage +6b77[0-9a-f]{20}$' 'the lineage'
says '^content key +wrapped by AES-KW, 40 bytes$' 'how the content key is wrapped'
says '^data key +generic, 32 bytes$' 'and what is inside'
exits 0 'as an argument, as JSON' keyward inspect --json "$(cat envelope)"
equal "$(jq -c '[.format, .bytes, .version, .wrapped_by, .wrapped_bytes, .data_key_type, .data_key_bytes, .origin_tag]' output)" \
    '["KWE1",124,1,"AES-KW",40,"generic",32,null]' 'with these values'
equal "$(jq -r '[(.lineage | length), (.nonce | length)] | @csv' output)" '24,24' 'and lineage and nonce in hex'
for bad in '' 'S1dFMQ==' 'hello world' "$(cat envelope)AAAA" "$(head -c 100 envelope)"; do
    exits 1 "no envelope: ${bad:0:12}" keyward inspect "$bad"
done
says 'cut off, or longer' 'and why not'
exits 2 'two arguments' keyward inspect a b
finish
