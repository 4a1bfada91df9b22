# shellcheck shell=bash
# Sourced by every scenario: a directory of its own with its own SoftHSM2 token directory, the programs of the build under
# test, and assertions that print TAP. A scenario ends with `finish`.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${here%/tests/scenario}
build=${KEYWARD_BUILD:-$root/build/dev}
module=$build/module/keyward-pkcs11.so
vendor=/usr/lib/softhsm/libsofthsm2.so
work=$(mktemp -d "${TMPDIR:-/tmp}/scenario.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
export SOFTHSM2_CONF=$work/softhsm2.conf KEYWARD_CONF=$work/keyward.conf LC_ALL=C
umask 077
mkdir "$work/tokens"
cat >"$SOFTHSM2_CONF" <<END
directories.tokendir = $work/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
library.reset_on_fork = true
END
pin=24681357
tests=0
failures=0

# watched PROGRAM: where the program is to be started from. With KW_VALGRIND it runs under valgrind, and `finish` tells what was found; of leaks
# only in programs of ours: pkcs11-tool has its own.
watched() {
    local leaks=no
    if [ -z "${KW_VALGRIND-}" ]; then
        echo "$1"
        return
    fi
    mkdir -p "$work/valgrind/found"
    [ "${1#"$build"/}" = "$1" ] || leaks=full
    # shellcheck disable=SC2016 # for the script
    printf '#!/bin/sh\nexec %s --leak-check=%s --log-file=%s/found/%%p %s "$@"\n' \
        "$root/tests/valgrind" $leaks "$work/valgrind" "$1" >"$work/valgrind/${1##*/}"
    chmod 700 "$work/valgrind/${1##*/}"
    echo "$work/valgrind/${1##*/}"
}
PATH=$(dirname "$(watched "$(command -v pkcs11-tool)")"):$PATH
PATH=$(dirname "$(watched "$build/tokens/keyward")"):$PATH # in front: not one that is installed

# make_token NAME: a SoftHSM token with that label and the PIN $pin, and the PIN file $work/NAME.pin.
make_token() {
    softhsm2-util --init-token --free --label "$1" --so-pin 12345678 --pin "$pin" >/dev/null || exit 2
    echo "$pin" >"$work/$1.pin"
}

# token_section NAME: the section for keyward.conf of a token that make_token made.
token_section() {
    printf '[token %s]\nuri = pkcs11:token=%s?module-path=%s\n    &pin-source=file:%s/%s.pin\n' "$1" "$1" "$vendor" "$work" "$1"
}

# premade_keys: from here on `keyward` gets its RSA key pairs from tests/fixture/premade.c, not after seconds of looking for primes.
premade_keys() {
    mkdir "$work/premade"
    # shellcheck disable=SC2016 # for the script
    printf '#!/bin/sh\nLD_PRELOAD=%s${LD_PRELOAD:+:$LD_PRELOAD} exec %s "$@"\n' "$build/tests/fixture/premade.so" "$(command -v keyward)" >"$work/premade/keyward"
    chmod 700 "$work/premade/keyward"
    PATH=$work/premade:$PATH
    export KW_PREMADE=$work/tokens/premade
}

# tool SLOT ARGUMENT...: pkcs11-tool on Keyward's slot of that name, logged in.
tool() {
    local slot=$1
    shift
    pkcs11-tool --module "$module" --token-label "$slot" --login --pin "$pin" "$@"
}

# bare TOKEN ARGUMENT...: the same past Keyward, on the backing token itself.
bare() {
    local token=$1
    shift
    pkcs11-tool --module "$vendor" --token-label "$token" --login --pin "$pin" "$@"
}

# cmk_id SLOT: the CKA_ID of the slot's master key, in hex, as a broker sees it.
cmk_id() {
    tool "$1" -O --type secrkey 2>/dev/null | awk '/^ *label:/ { label = $2 } /^ *ID:/ { id = $2 } /Usage:.*wrap, unwrap/ { print id; exit }'
}

# fingerprint SLOT: that of its version 1, as `keyward list --json` tells it.
fingerprint() {
    keyward list --json 2>/dev/null | jq -r --arg slot "$1" '.[] | select(.slot == $slot) | .versions[0].fingerprint'
}

# objects SLOT: how many keys are seen there.
objects() {
    tool "$1" -O 2>/dev/null | grep -c 'Key Object'
}

# result PASSED SENTENCE [WHY]: prints the TAP line; with a failure, why and what the last command printed.
result() {
    tests=$((tests + 1))
    if [ "$1" = yes ]; then
        echo "ok $tests - $2"
        return
    fi
    failures=$((failures + 1))
    echo "not ok $tests - $2"
    [ -z "${3-}" ] || echo "#   $3"
    if [ -e "$work/output" ]; then
        sed 's/^/#   | /' "$work/output"
    fi
}

# exits STATUS SENTENCE COMMAND...: the command ends with this status; its output is in $work/output.
exits() {
    local want=$1 sentence=$2 got
    shift 2
    "$@" >"$work/output" 2>&1
    got=$?
    if [ $got -eq "$want" ]; then
        result yes "$sentence"
    else
        result no "$sentence" "exit status $got, not $want: $*"
    fi
}

# says PATTERN SENTENCE: the last output has a line that matches the extended regular expression.
says() {
    if grep -qE -e "$1" "$work/output"; then
        result yes "$2"
    else
        result no "$2" "no line matches: $1"
    fi
}

# hides PATTERN SENTENCE: no line of it does.
hides() {
    if grep -qE -e "$1" "$work/output"; then
        result no "$2" "a line matches: $1"
    else
        result yes "$2"
    fi
}

# holds SENTENCE COMMAND...: a plain question is answered with yes; `not` turns it round.
holds() {
    local sentence=$1
    shift
    if "$@"; then
        result yes "$sentence"
    else
        result no "$sentence" "not so: $*"
    fi
}
not() { ! "$@"; }

# same FILE FILE SENTENCE: two files have the same bytes, and there are some.
same() {
    if [ -s "$1" ] && cmp -s "$1" "$2"; then
        result yes "$3"
    else
        result no "$3" "$1 and $2 differ, or there is nothing in them"
    fi
}

# equal GOT WANT SENTENCE: two words are equal.
equal() {
    if [ "$1" = "$2" ]; then
        result yes "$3"
    else
        result no "$3" "got: $1, not: $2"
    fi
}

# finish: the plan, and the status of the scenario.
finish() {
    if [ -n "${KW_VALGRIND-}" ]; then
        grep -rh '^==' "$work/valgrind/found" >"$work/output" # what is not about a call of the system that it does not know
        holds 'valgrind has found nothing' [ ! -s "$work/output" ]
    fi
    echo "1..$tests"
    [ $failures -eq 0 ] && [ $tests -gt 0 ]
    exit
}
