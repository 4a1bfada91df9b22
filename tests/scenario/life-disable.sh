#!/bin/bash
# keyward disable and enable: all versions or one; what is disabled opens nothing and comes back as it was.
. "$(dirname "$0")/setup.sh"
. "$here/life.sh"
for slot in one two; do
    refused "$slot: no key yet" "keyward create $slot" keyward disable $slot
    refused "$slot: nor for enable" "keyward create $slot" keyward enable $slot
    exits 0 "$slot: a key" keyward create $slot
    holds "$slot: version 1 wraps" wrapped $slot
    exits 0 "$slot: is rotated" keyward rotate $slot
    holds "$slot: version 2 wraps" wrapped $slot

    exits 0 "$slot: all is disabled" keyward disable $slot
    equal "$(state $slot 1) $(state $slot 2)" 'disabled disabled' "$slot: both versions are"
    equal "$(bits $slot 1) $(bits $slot 2)" "$(each $slot --) $(each $slot --)" "$slot: the tokens say so"
    equal "$(opened $slot)" '1 0x68 2 0x68' "$slot: nothing opens, CKR_KEY_FUNCTION_NOT_PERMITTED"
    holds "$slot: nothing wraps" not wrapped $slot
    equal "$(objects $slot)" 2 "$slot: the versions are still shown"
    exits 1 "$slot: keyward check" keyward check
    says "problem: slot $slot: .*enable" "$slot: says that nothing can be wrapped"
    before=$(contents)
    exits 0 "$slot: disabled again" keyward disable $slot
    equal "$(contents)" "$before" "$slot: is the same"

    exits 0 "$slot: all is enabled" keyward enable $slot
    equal "$(state $slot 1) $(state $slot 2)" 'retired active' "$slot: each version is what it was"
    equal "$(opened $slot)" '1 same 2 same' "$slot: and opens what it wrapped"

    exits 0 "$slot: version 1 is disabled" keyward disable $slot --version 1
    equal "$(state $slot 1) $(state $slot 2)" 'disabled active' "$slot: it alone"
    equal "$(opened $slot)" '1 0x68 2 same' "$slot: its blob does not open, the other does"
    holds "$slot: the active version wraps" wrapped $slot
    exits 0 "$slot: keyward rotate beside a disabled version" keyward rotate $slot
    equal "$(state $slot 1)" disabled "$slot: leaves it disabled"
    exits 0 "$slot: version 1 is enabled" keyward enable $slot --version 1
    equal "$(state $slot 1) $(state $slot 3)" 'retired active' "$slot: it is retired, not active"
    equal "$(bits $slot 1)" "$(each $slot -u)" "$slot: the tokens say so"
    exits 0 "$slot: the active version is disabled" keyward disable $slot --version 3
    holds "$slot: nothing wraps then: an older version does not take its place" not wrapped $slot
    equal "$(opened $slot)" '1 same 2 same 2 same' "$slot: the older ones open what they wrapped"
    exits 0 "$slot: the active version is enabled" keyward enable $slot --version 3
    equal "$(state $slot 3)" active "$slot: it is active again"

    refused "$slot: a version that there is not" "no version 9.*keyward status $slot" keyward disable $slot --version 9
    refused "$slot: nor for enable" "no version 9.*keyward status $slot" keyward enable $slot --version 9
    exits 0 "$slot: a version is to be deleted" keyward delete $slot --version 2
    refused "$slot: it cannot be enabled" "recover $slot --version 2" keyward enable $slot --version 2
    refused "$slot: nor disabled" "recover $slot --version 2" keyward disable $slot --version 2
    exits 0 "$slot: all is disabled" keyward disable $slot
    equal "$(state $slot 2)" 'pending deletion' "$slot: what is to be deleted stays that"
    exits 0 "$slot: all is enabled" keyward enable $slot
    equal "$(state $slot 1) $(state $slot 2) $(state $slot 3)" 'retired pending deletion active' "$slot: also then"
done
# A disable that got no further than the first token is done again; a twin in one token hides nothing.
sed '/slot two/,$s/eu-2 eu-3/eu-2/' "$KEYWARD_CONF" >"$work/half.conf"
exits 0 'two: disabled in its first token only' keyward --config "$work/half.conf" disable two
exits 0 'two: disabled again' keyward disable two
equal "$(bits two 3) $(bits two 1)" '-- -- -- --' 'two: every token has disabled it'
exits 0 'two: enabled' keyward enable two
id=$(bare eu-2 -O --type secrkey 2>/dev/null | awk '/^ *label:/ { label = $2 } /^ *ID:/ { id = $2 } /Usage:.*wrap, unwrap/ && label == "two" { print id; exit }')
exits 0 'two: a twin in the first token' bare eu-2 --keygen --key-type AES:32 --label two --id "$id" --private --sensitive --usage-wrap
exits 0 'two: is disabled' keyward disable two
equal "$(bits two 3)" '-- -- --' 'two: the twin too, and what the other token has'

exits 2 'a version that is no number' keyward disable one --version x
exits 2 'version 0' keyward disable one --version 0
exits 0 'disable --json' keyward disable one --json
equal "$(keyward enable one --json | jq -c '[.versions[].state]')" '["active","pending deletion","retired"]' 'enable --json'
finish
