#!/bin/bash
# tokens/quickstart from nothing, and again; in a folder whose name has blanks and other letters.
. "$(dirname "$0")/setup.sh"
unset SOFTHSM2_CONF KEYWARD_CONF
KEYWARD_QUICKSTART="$work/quick start & 100%, gr"$'\xc3\xb6\xc3\x9f'"er; $(printf 'long%.0s' {1..30})"
export KEYWARD_QUICKSTART
exits 0 'from nothing' "$root/tokens/quickstart"
cp "$work/output" "$work/first"
says 'version 1 +active +aes:256' 'a master key is made'
says '^ *the data key came back, byte for byte$' 'the main job is done'
says '^every value came back equal$' 'the example broker is content'
says '^no problems$' 'keyward check finds none'
pin=$(cat "$KEYWARD_QUICKSTART/pin")
hides "$pin" 'the PIN is not shown'
equal "$(stat -c %a "$KEYWARD_QUICKSTART/pin" "$KEYWARD_QUICKSTART/keyward.conf" | xargs)" '600 600' 'PIN and configuration are for their owner'
holds 'no data key is left in the clear' [ ! -e "$KEYWARD_QUICKSTART/data-key" ]
tail -n 4 "$work/output" | grep '^export ' >"$work/exports"
equal "$(wc -l <"$work/exports")" 2 'it ends with two export lines'
# shellcheck source=/dev/null
. "$work/exports"
module=$root/build/release/module/keyward-pkcs11.so
exits 0 'which let the reader go on by hand' tool contoso-prod -O
equal "$(grep -c 'Key Object' "$work/output")" 1 'with the master key and nothing else'
before=$(cmk_id contoso-prod)

unset SOFTHSM2_CONF KEYWARD_CONF
exits 0 'again' "$root/tokens/quickstart"
says 'from an earlier run' 'uses what is there'
says '^every value came back equal$' 'the example broker is content'
hides 'data key made' 'with the data keys that it has'
# shellcheck source=/dev/null
. "$work/exports"
equal "$(cmk_id contoso-prod)" "$before" 'the master key is the same'
equal "$(objects contoso-prod)" 1 'and alone'
finish
