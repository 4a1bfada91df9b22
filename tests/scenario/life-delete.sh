#!/bin/bash
# keyward delete, recover and purge: a version goes in two steps; until its day it can be had back.
. "$(dirname "$0")/setup.sh"
. "$here/life.sh"
for slot in one two; do
    exits 0 "$slot: a key" keyward create $slot
    holds "$slot: version 1 wraps" wrapped $slot
    exits 0 "$slot: is rotated" keyward rotate $slot
    holds "$slot: version 2 wraps" wrapped $slot

    refused "$slot: purge before delete" "keyward delete $slot --version 1" keyward purge $slot --version 1 --yes
    refused "$slot: recover before delete" 'nothing to recover' keyward recover $slot --version 1
    exits 2 "$slot: less than seven days" keyward delete $slot --version 1 --after 6
    says 'at least 7' "$slot: is told"
    exits 2 "$slot: no version" keyward delete $slot
    refused "$slot: a version that there is not" "no version 9.*keyward status $slot" keyward delete $slot --version 9

    exits 0 "$slot: version 1 is to be deleted" keyward delete $slot --version 1
    says "^  version 1 +pending deletion .*can be purged from $(date -u -d '+30 days' +%F)" "$slot: in 30 days"
    equal "$(field $slot 1 purge_on)" "$(date -u -d '+30 days' +%F)" "$slot: so says --json"
    equal "$(bits $slot 1)" "$(each $slot --)" "$slot: the tokens refuse it"
    equal "$(opened $slot)" '1 0x68 2 same' "$slot: its blob does not open, the other does"
    refused "$slot: it is to be deleted already" 'already' keyward delete $slot --version 1 --after 7
    refused "$slot: purge before its day" 'can be purged in 30 days' keyward purge $slot --version 1 --yes
    refused "$slot: purge on the day before" 'can be purged in 1 days?' faketime '+29 days' keyward purge $slot --version 1 --yes
    exits 0 "$slot: it is recovered" keyward recover $slot --version 1
    equal "$(state $slot 1)" retired "$slot: and retired as before"
    equal "$(opened $slot)" '1 same 2 same' "$slot: its blob opens"

    exits 0 "$slot: version 1 is to be deleted in 7 days" keyward delete $slot --version 1 --after 7
    says "can be purged from $(date -u -d '+7 days' +%F)" "$slot: the day is told"
    refused "$slot: on its day, where nobody can be asked" '--yes' faketime '+7 days' keyward purge $slot --version 1 </dev/null
    says 'version 1, fingerprint [0-9a-f]{16}, will be destroyed' "$slot: what will be lost is told"
    says 'never be read again' "$slot: and what that means"
    # shellcheck disable=SC2317 # exits calls it
    typed() { (sleep 0.3; echo "$1"; sleep 0.3) | timeout 20 script -qec "faketime '+7 days' keyward purge $slot --version 1" /dev/null; }
    before=$(contents)
    exits 1 "$slot: another name is typed" typed contoso
    equal "$(contents)" "$before" "$slot: nothing was changed"
    exits 0 "$slot: the slot's name is typed" typed $slot
    equal "$(field $slot 1 state)" '' "$slot: version 1 is gone"
    equal "$(opened $slot)" '1 gone 2 same' "$slot: its blob never opens again, the other does"
    equal "$(bits $slot 1)" '' "$slot: no token has it"
    refused "$slot: purge again" 'no version 1' keyward purge $slot --version 1 --yes

    exits 0 "$slot: the only active version is to be deleted" keyward delete $slot --version 2
    holds "$slot: nothing wraps" not wrapped $slot
    refused "$slot: its purge needs a word more" '--last-version' faketime '+30 days' keyward purge $slot --version 2 --yes
    exits 0 "$slot: it is recovered" keyward recover $slot --version 2
    equal "$(state $slot 2)" active "$slot: and active as before"
    holds "$slot: it wraps" wrapped $slot
    exits 0 "$slot: it is to be deleted again" keyward delete $slot --version 2
    exits 0 "$slot: --last-version --yes, on its day" faketime '+30 days' keyward purge $slot --version 2 --last-version --yes
    says 'no key' "$slot: the slot has no key"
    equal "$(bits $slot 2)" '' "$slot: no token has it"
    exits 0 "$slot: a new key is made" keyward create $slot
    equal "$(state $slot 1)" active "$slot: it is version 1 of a new lineage"
    holds "$slot: and wraps" wrapped $slot
done
# A token that never had the version does not make repair purge it for nobody.
exits 0 'two: is rotated' keyward rotate two
exits 0 'two: version 1 is to be deleted' keyward delete two --version 1
sed 's/eu-2 eu-3/eu-2 eu-1/' "$KEYWARD_CONF" >"$work/fresh.conf"
refused 'two: repair beside a fresh token, after its day' 'purge two --version 1' faketime '+31 days' keyward --config "$work/fresh.conf" repair two
exits 0 'two: version 1 is recovered' keyward recover two --version 1

exits 2 'purge without a version' keyward purge one --yes
exits 2 'recover without a version' keyward recover one

# A key that was not made by Keyward has no room for a day of purge.
exits 0 'the key is destroyed past Keyward' bare eu-1 --delete-object --type secrkey --label one
exits 0 'a foreign key takes its place' bare eu-1 --keygen --key-type AES:32 --label one --id 55 --private --sensitive --usage-wrap
refused 'its deletion' '' keyward delete one --version 1
finish
