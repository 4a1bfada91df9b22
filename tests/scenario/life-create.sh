#!/bin/bash
# keyward create on one token and on two: the replicas are one key, and none of them can leave its token.
. "$(dirname "$0")/setup.sh"
. "$here/life.sh"
for slot in one two; do
    exits 0 "$slot: status without a key" keyward status $slot
    says 'no key' "$slot: says so"
    exits 0 "$slot: a key" keyward create $slot
    equal "$(state $slot 1)" active "$slot: version 1 is active"
    equal "$(bits $slot 1)" "$(each $slot wu)" "$slot: the tokens say so"
    holds "$slot: it wraps" wrapped $slot
    equal "$(opened $slot)" '1 same' "$slot: and opens what it wrapped"
    refused "$slot: a second create" "exists.*keyward rotate $slot" keyward create $slot
done
"$witness" list "$vendor" "$pin" eu-1 eu-2 eu-3 >"$work/output"
equal "$(wc -l <"$work/output")" 3 'three tokens hold three objects: no transport key, nothing else'
equal "$(awk 'NF > 6' "$work/output")" '' 'none may be read, leave, or do anything but wrap and unwrap'
equal "$(field one 1 origin) $(field two 1 origin)" 'generated replicated' 'the origin is told'
equal "$(field one 1 created)" "$(date -u +%F)" 'and the day'

# Each replica alone is the whole key.
cp "$KEYWARD_CONF" "$work/both.conf"
want=
for token in eu-2 eu-3; do
    want="${want:+$want }1 same"
    sed "s/^tokens = eu-2 eu-3$/tokens = $token/" "$work/both.conf" >"$KEYWARD_CONF"
    equal "$(opened two)" "$want" "with $token alone, what was wrapped opens"
    holds "with $token alone, it wraps" wrapped two
    exits 0 "with $token alone, keyward check" keyward check
done
cp "$work/both.conf" "$KEYWARD_CONF"
equal "$(opened two)" '1 same 1 same 1 same' 'with both, all of it opens'

printf '[slot small]\ntokens = eu-1 eu-2\n[slot medium]\ntokens = eu-2 eu-3\n' >>"$KEYWARD_CONF"
exits 0 'AES-128 on two tokens' keyward create small --type aes:128
says '^  version 1 +active +aes:128 .* eu-1 eu-2' 'is made on both'
exits 0 'AES-192 on two tokens' keyward create medium --type aes:192
says '^  version 1 +active +aes:192 .* eu-2 eu-3' 'is made on both'
exits 0 'keyward check' keyward check
says '^no problems$' 'finds nothing'
exits 0 'create --json' keyward status small --json
equal "$(jq -c '[.slot, .versions[0].type, .versions[0].tokens]' "$work/output")" '["small","aes:128",["eu-1","eu-2"]]' 'tells the same'
finish
