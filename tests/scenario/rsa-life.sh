#!/bin/bash
# The life of an RSA master key, on one token and on two: two objects for each version, and every verb works on both.
. "$(dirname "$0")/setup.sh"
. "$here/life.sh"
for slot in one two; do
    exits 0 "$slot: an RSA key" keyward create $slot --type rsa:2048 --json
    equal "$(jq -c '.versions[] | [.version, .state, .type]' "$work/output")" '[1,"active","rsa:2048"]' "$slot: version 1 is active"
    equal "$(halves $slot 1)" "$(each $slot 'w- -u')" "$slot: one half wraps, the other unwraps"
    holds "$slot: it wraps" wrapped $slot
    refused "$slot: a second create" 'exists' keyward create $slot --type rsa:2048
    refused "$slot: rotation to another type" 'is rsa:2048, and a rotation keeps that' keyward rotate $slot --type aes:256
    exits 0 "$slot: it is rotated" keyward rotate $slot
    says '^  version 2 +active +rsa:2048 ' "$slot: to the same type"
    equal "$(halves $slot 2) $(halves $slot 1)" "$(each $slot 'w- -u') $(each $slot '-- -u')" "$slot: version 1 unwraps only"
    equal "$(state $slot 1)" retired "$slot: and is retired"
    holds "$slot: version 2 wraps" wrapped $slot
    equal "$(opened $slot)" '1 same 2 same' "$slot: both open what they wrapped"
    exits 0 "$slot: it is disabled" keyward disable $slot
    equal "$(halves $slot 2) $(halves $slot 1)" "$(each $slot '-- --') $(each $slot '-- --')" "$slot: no half does anything"
    equal "$(state $slot 2) $(state $slot 1)" 'disabled disabled' "$slot: status says so"
    equal "$(opened $slot)" '1 0x68 2 0x68' "$slot: and nothing opens"
    refused "$slot: rotation of what was taken away" 'no version of key .* is active' keyward rotate $slot
    exits 0 "$slot: it is enabled" keyward enable $slot
    equal "$(halves $slot 2) $(halves $slot 1)" "$(each $slot 'w- -u') $(each $slot '-- -u')" "$slot: as before"
    exits 0 "$slot: version 1 is to be deleted" keyward delete $slot --version 1
    says '^  version 1 +pending deletion +rsa:2048 ' "$slot: status says so"
    equal "$(halves $slot 1)" "$(each $slot '-- --')" "$slot: neither half works"
    refused "$slot: purge before its day" 'can be purged in 30 days' keyward purge $slot --version 1 --yes
    exits 0 "$slot: it is recovered" keyward recover $slot --version 1
    equal "$(state $slot 1) $(halves $slot 1)" "retired $(each $slot '-- -u')" "$slot: and unwraps"
    exits 0 "$slot: it is to be deleted again" keyward delete $slot --version 1
    exits 0 "$slot: and purged on its day" faketime '+30 days' keyward purge $slot --version 1 --yes
    equal "$(halves $slot 1)" '' "$slot: both halves are gone"
    equal "$(opened $slot)" '1 gone 2 same' "$slot: and what it wrapped, but not what the other wrapped"
done
"$witness" list "$vendor" "$pin" eu-1 eu-2 eu-3 >"$work/output"
equal "$(wc -l <"$work/output")" 9 'three tokens hold two halves and an origin key each: no transport key, nothing else'
equal "$(grep -cE '^eu-. class=4 label=(one|two)/origin 0 id=6b77[0-9a-f]{20} -- signs$' "$work/output")" 3 'which only signs and may not leave'
sed -i '/class=4/d' "$work/output"
equal "$(awk 'NF > 6' "$work/output")" '' 'no private half may leave, and none does anything but unwrap'
equal "$(awk '{ print substr($5, 52) }' "$work/output" | sort -u | wc -l)" 2 'of two keys'
equal "$(field one 2 origin) $(field two 2 origin)" 'generated replicated' 'the origin is told'
exits 0 'keyward check' keyward check
says 'version 2: active, RSA-2048, fingerprint' 'shows them'
says '^no problems$' 'and finds nothing'
exits 0 'list' keyward list
says '^  version 2 +active +rsa:2048 ' 'shows them'

# The fingerprint is a hash of the modulus: whoever has the public half can compare.
exits 0 'the public half is read' bare eu-1 --read-object --type pubkey --label one -o "$work/public.der"
modulus=$(openssl pkey -pubin -inform DER -in "$work/public.der" -noout -text | sed -n '/^Modulus:/,/^Exponent:/p' | grep '^ ' | tr -d ' :\n' | sed 's/^00//')
equal "$(field one 2 fingerprint)" "$(bytes "$modulus" | sha256sum | cut -c 1-16)" 'its modulus hashes to the fingerprint'

# A change that was interrupted between the halves: check says so, repair finishes it.
mend() {
    exits 1 "$1: check" keyward check
    says 'problem: slot one: .*version 2.*keyward repair one' "$1: says that repair is needed"
    exits 0 "$1: repair" keyward repair one
    says 'version 2: active on every token' "$1: does it"
    equal "$(state one 2) $(halves one 2)" 'active w- -u' "$1: the version is active"
    exits 0 "$1: check again" keyward check
}
id=$("$witness" list "$vendor" "$pin" eu-1 | awk '$2 == "class=2" { print substr($5, 4, 48) }')
exits 0 'the public half gets another day of purge' bare eu-1 --set-id "${id:0:40}00000007" --type pubkey --id "$id"
mend 'halves that differ'
exits 0 'the public half is destroyed past Keyward' bare eu-1 --delete-object --type pubkey --id "$id"
mend 'a lost public half'
exits 0 'the public half is read' bare eu-1 --read-object --type pubkey --label one -o "$work/again.der"
same "$work/public.der" "$work/again.der" 'it is the one that was there before'

# Somebody plants a public half of another key.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null | openssl pkey -pubout -outform DER -out "$work/planted.der"
exits 0 'a public key is planted' bare eu-1 --write-object "$work/planted.der" --type pubkey --label one --id "$id"
exits 0 'it is rotated' keyward rotate one
equal "$(state one 2) $(state one 3)" 'retired active' 'the planted one is not taken for a half'
exits 0 'repair' keyward repair one
hides '^version' 'has nothing to do'

# A key that was made elsewhere: here one of Keyward's with another CKA_ID, so that neither its lineage nor its origin key is known any more.
printf '[slot found]\ntokens = eu-1\n' >>"$KEYWARD_CONF"
exits 0 'a key' keyward create found --type rsa:2048
id=$("$witness" list "$vendor" "$pin" eu-1 | awk '$2 == "class=2" && $3 == "label=found" { print substr($5, 4, 48) }')
origins() { "$witness" list "$vendor" "$pin" eu-1 | awk '$3 == "label=found/origin" { print substr($5, 4, 24) }'; }
old=$(origins)
for half in pubkey privkey; do
    exits 0 "its $half gets a CKA_ID of its own" bare eu-1 --set-id 0102 --type $half --id "$id"
done
exits 0 'without an origin key: check' keyward check
says '^  note: slot found: token eu-1 has no origin key .*keyward repair' 'has a note with what to do'
hides 'note: slot (one|two)' 'of this slot only'
cp "$KEYWARD_CONF" "$work/plain.conf"
echo 'mechanisms = standard envelope' >>"$KEYWARD_CONF"
exits 1 'where envelopes are asked for' keyward check
says '^  problem: slot found: token eu-1 has no origin key .*keyward repair' 'it is a problem'
sed 's/^mechanisms = .*/mechanisms = standard/' "$KEYWARD_CONF" >"$work/standard.conf"
exits 0 'where they are not wanted' keyward --config "$work/standard.conf" check
hides 'origin' 'there is nothing to say'
# shellcheck disable=SC2317 # exits calls it
wraps() { printf %032d 0 | keyward wrap found --context here; }
exits 1 'an envelope under it' wraps
exits 0 'repair' keyward repair found
says 'origin key: made in every token' 'makes the origin key of an adopted key'
exits 0 'then check' keyward check
hides 'origin' 'has no more to say'
exits 0 'and an envelope is made' wraps
tr -d '\n' <"$work/output" >"$work/envelope"
# shellcheck disable=SC2317
opens() { keyward unwrap found --context here --reveal <"$work/envelope"; }
exits 0 'which opens' opens
equal "$(cat "$work/output")" "$(printf %032d 0)" 'to the same key'
new=$(origins | grep -vxF "$old")
exits 0 'a second origin key is planted' bare eu-1 --keygen --key-type GENERIC:32 --label found/origin --id "$new"
exits 1 'check' keyward check
says 'problem: slot found: token eu-1 has an origin key that may do more than sign, or two' 'says that there are two'
mv "$work/plain.conf" "$KEYWARD_CONF"

printf '[slot big]\ntokens = eu-1\n' >>"$KEYWARD_CONF"
# shellcheck disable=SC2317 # exits calls it
on_terminal() { script -qec 'keyward create big --type rsa:4096' /dev/null </dev/null; }
exits 0 'RSA-4096, on a terminal' on_terminal
says 'RSA key of 4096 bits in token eu-1' 'prints its progress'
says '^  version 1 +active +rsa:4096 ' 'and is made'
exits 2 'a type that there is not' keyward create big --type rsa:1024
says 'rsa:2048, rsa:3072 and rsa:4096' 'says which there are'
finish
