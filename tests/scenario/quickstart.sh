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
says '2 lines: 2 rewrapped' 'its data keys follow a rotation'
says '^version +2$' 'as an envelope tells'
says '^broker: master key: ' 'without the key it stops'
equal "$(grep -c '^every value came back equal$' "$work/output")" 4 'and goes on when it has it back'
says '^no problems$' 'keyward check finds none'
# shape: numbers and bytes differ from run to run.
shape() { sed -E 's/\b[0-9A-Fa-f]{2,}\b/#/g' "$@" | sort -u; }
awk '/Shortened:$/ { on = 1 } on && /^```/ { n++ } n == 1 && !/^```/' "$root/README.md" |
    grep -vF -e ... -e build/quickstart | grep . | shape >"$work/readme"
shape "$work/first" | comm -23 "$work/readme" - >"$work/output"
holds 'the README has an example' [ "$(wc -l <"$work/readme")" -ge 10 ]
holds 'and what it shows is what is printed' [ ! -s "$work/output" ]
cp "$work/first" "$work/output"
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
equal "$(grep -c 'Key Object' "$work/output")" 2 'with the two versions of the master key and nothing else'
before=$(cmk_id contoso-prod)

exits 0 'an earlier run was interrupted in step 9' "$root/build/release/tokens/keyward" disable contoso-prod
unset SOFTHSM2_CONF KEYWARD_CONF
# shellcheck disable=SC2317 # exits calls it
in_its_folder() (cd "$work" && KEYWARD_QUICKSTART=${KEYWARD_QUICKSTART#"$work/"} "$root/tokens/quickstart")
exits 0 'again, in a folder that is named from here' in_its_folder
says 'from an earlier run' 'uses what is there'
says '^every value came back equal$' 'the example broker is content'
hides 'data key made' 'with the data keys that it has'
# shellcheck source=/dev/null
. "$work/exports"
after=$(cmk_id contoso-prod)
equal "${after:0:24}" "${before:0:24}" 'the lineage of the master key is the same'
equal "$(objects contoso-prod)" 3 'with one more version, and nothing else'
finish
