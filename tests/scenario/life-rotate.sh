#!/bin/bash
# keyward rotate and status: a new version becomes active, the one before is retired and still opens what it wrapped.
. "$(dirname "$0")/setup.sh"
. "$here/life.sh"
for slot in one two; do
    refused "$slot: no key yet" "keyward create $slot" keyward rotate $slot
    exits 0 "$slot: a key is made" keyward create $slot
    holds "$slot: version 1 wraps" wrapped $slot
    exits 0 "$slot: it is rotated" keyward rotate $slot
    says '^  version 2 +active +aes:256 ' "$slot: version 2 is active"
    says '^  version 1 +retired +aes:256 ' "$slot: version 1 is retired"
    equal "$(bits $slot 2)" "$(each $slot wu)" "$slot: the tokens say so of version 2"
    equal "$(bits $slot 1)" "$(each $slot -u)" "$slot: and of version 1"
    holds "$slot: the new version wraps" wrapped $slot
    equal "$(opened $slot)" '1 same 2 same' "$slot: both open what they wrapped"
    equal "$(objects $slot)" 2 "$slot: a broker sees both"
    exits 0 "$slot: status" keyward status $slot
    if [ $slot = one ]; then
        says 'version 2 .*eu-1, generated [0-9-]+ \(0 days old\)$' "$slot: tells token, origin and age"
        equal "$(field $slot 2 tokens)" '["eu-1"]' "$slot: so does --json"
    else
        says 'version 2 .*eu-2 eu-3, replicated [0-9-]+ \(0 days old\)$' "$slot: tells tokens, origin and age"
        equal "$(field $slot 2 tokens)" '["eu-2","eu-3"]' "$slot: so does --json"
    fi
    equal "$(field $slot 2 age_days)" 0 "$slot: the age in days is a number"
    holds "$slot: the versions have fingerprints of their own" [ "$(field $slot 1 fingerprint)" != "$(field $slot 2 fingerprint)" ]
    equal "$(field $slot 1 purge_on)" null "$slot: no version is to be purged"

    before=$(contents)
    exits 0 "$slot: --if-older-than 30, at once" keyward rotate $slot --if-older-than 30
    says 'nothing to do' "$slot: there is nothing to do"
    equal "$(contents)" "$before" "$slot: and nothing was done"
    exits 0 "$slot: the same on day 30" faketime '+30 days' keyward rotate $slot --if-older-than 30
    says 'nothing to do' "$slot: there is nothing to do, 30 days are not older than 30 days"
    exits 0 "$slot: the same on day 31" faketime '+31 days' keyward rotate $slot --if-older-than 30
    says '^  version 3 +active ' "$slot: there is a version 3"
    equal "$(state $slot 2)" retired "$slot: version 2 is retired"
    holds "$slot: version 3 wraps" wrapped $slot
    equal "$(opened $slot)" '1 same 2 same 3 same' "$slot: all three open what they wrapped"
    exits 0 "$slot: --json, nothing to do" keyward rotate $slot --if-older-than 1 --json
    exits 2 "$slot: --if-older-than without a number" keyward rotate $slot --if-older-than x
done
printf '[slot small]\ntokens = eu-1\n' >>"$KEYWARD_CONF"
exits 0 'a key of another type' keyward create small --type aes:192
exits 0 'is rotated' keyward rotate small
says '^  version 2 +active +aes:192 ' 'to the same type'
exits 0 'keyward check' keyward check
says '^no problems$' 'finds nothing'

# Numbers go on where versions were purged: how many there are counts.
id=$(bare eu-1 -O --type secrkey 2>/dev/null | awk '/^ *label:/ { label = $2 } /^ *ID:/ { id = $2 } /Usage:.*wrap, unwrap/ && label == "small" { print id; exit }')
exits 0 'the active version becomes version 1023' bare eu-1 --set-id "${id:0:24}000003ff${id:32}" --type secrkey --id "$id"
exits 0 'is rotated' keyward rotate small
says '^  version 1024 +active ' 'to version 1024'

# A retired version does not wrap, whoever asks.
old=$(keyward status one --json | jq -r '.versions[] | select(.version == 1) | .fingerprint')
holds 'version 1 is still shown' [ -n "$old" ]
id=$(tool one -O --type secrkey 2>/dev/null | awk '/^ *ID:/ { id = $2 } /Usage:.* unwrap$/ && !/wrap, unwrap/ { print id; exit }')
exits 0 'a data key' tool one --keygen --key-type AES:32 --id 01 --extractable
exits 1 'a retired version does not wrap' tool one --wrap -m AES-KEY-WRAP --id "$id" --application-id 01 -o "$work/wrapped"
says 'CKR_KEY_FUNCTION_NOT_PERMITTED' 'and says why'

# Long work says what it does on a terminal, and nothing where nobody reads.
exits 0 'a rotation on two tokens, piped' keyward rotate two
hides 'transport key' 'prints no progress'
# shellcheck disable=SC2317 # exits calls it
on_terminal() { script -qec 'keyward rotate two' /dev/null </dev/null; }
exits 0 'the same on a terminal' on_terminal
says 'transport key in token eu-3 \(2 of 2\)' 'prints its progress'
finish
