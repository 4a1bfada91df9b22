#!/bin/bash
# What every lifecycle verb refuses: slots that there are not, a second command, a token that cannot be reached, an unfinished key.
. "$(dirname "$0")/setup.sh"
. "$here/life.sh"
exits 0 'a key on one token' keyward create one
exits 0 'a key on two tokens' keyward create two
exits 0 'is rotated' keyward rotate two
exits 0 'and an old version is to be deleted' keyward delete two --version 1

# every FUNCTION: calls it for each lifecycle verb as it would be typed for the slot two.
every() {
    "$1" rotate two
    "$1" disable two
    "$1" disable two --version 2
    "$1" enable two
    "$1" delete two --version 2
    "$1" recover two --version 1
    "$1" purge two --version 1 --yes
    "$1" repair two
    "$1" create two
}

# shellcheck disable=SC2317 # `every` calls them
{
unknown_slot() {
    set -- "$1" nothere "${@:3}"
    refused "$1 of a slot that there is not" 'no slot is called nothere.*keyward list' keyward "$@"
}
beside_another() { refused "$* while another command works" 'another keyward command is at work' keyward "$@"; }
unreachable() { refused "$* with a token that cannot be reached" 'every token of the slot is needed.*nothing was changed' keyward "$@"; }
usage() {
    exits 2 "$1 without a slot" keyward "$1"
    says "^usage: keyward $1 SLOT" "$1 without a slot: usage"
    exits 2 "$1 with an option that there is not" keyward "$1" two --pin 1234
}
}
every unknown_slot
every usage

# A second command: the lock is that of the configuration file.
exec 9<"$KEYWARD_CONF"
flock 9
every beside_another
exits 0 'status does not wait for it' keyward status two
exits 0 'nor does list' keyward list
exec 9<&-

# Two at the same time: one wins, the other says so; whoever wins, the key is sound.
for round in 1 2 3; do
    keyward rotate two >"$work/first" 2>&1 &
    first=$!
    keyward rotate two >"$work/second" 2>&1
    second=$?
    wait $first
    first=$?
    cat "$work/first" "$work/second" >"$work/output"
    equal "$((first + second))" 1 "two rotations at once, round $round: one wins"
    says 'another keyward command is at work' "two rotations at once, round $round: the other says so"
    equal "$(field two $((round + 2)) state)" active "two rotations at once, round $round: one new version"
    equal "$(field two $((round + 3)) state)" '' "two rotations at once, round $round: not two"
done

# A token that is away: which folder is eu-3's, its label tells.
away=$(grep -rlE 'eu-3 {28}' "$work/tokens" --include=token.object | head -n 1)
away=${away%/token.object}
holds 'the folder of eu-3 is known' [ -d "$away" ]
mv "$away" "$work/away"
every unreachable
exits 0 'the slot that does not need it' keyward rotate one
mv "$work/away" "$away"
exits 0 'the token is back' keyward rotate two
equal "$(bits two "$(keyward status two --json | jq '.versions[0].version')")" 'wu wu' 'and all is well'

# A wrong PIN of one token.
echo 99999999 >"$work/eu-3.pin"
every unreachable
echo "$pin" >"$work/eu-3.pin"
exits 0 'keyward check' keyward check
says '^no problems$' 'finds nothing'

# repair has nothing to do where all is well.
before=$(contents)
exits 0 'keyward repair of a sound slot' keyward repair two
equal "$(contents)" "$before" 'changes nothing'
hides '^version ' 'and says nothing'
finish
