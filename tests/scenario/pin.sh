#!/bin/bash
# A PIN goes to the backing token once, right or wrong. pkcs11-spy stands in front of SoftHSM and counts.
. "$(dirname "$0")/setup.sh"
make_token eu-1
spy=$(find /usr/lib -name pkcs11-spy.so 2>/dev/null | head -n 1)
holds 'pkcs11-spy is there (package opensc)' [ -n "$spy" ]
export PKCS11SPY=$vendor PKCS11SPY_OUTPUT=$work/spy
{
    token_section eu-1 | sed "s|module-path=$vendor|module-path=$spy|"
    printf '[slot contoso]\ntokens = eu-1\n[slot fabrikam]\ntokens = eu-1\n[slot contoso-test]\ntokens = eu-1\n'
} >"$KEYWARD_CONF"

# logins: how many times a PIN went to SoftHSM since the last question.
logins() {
    grep -c ': C_Login$' "$work/spy" 2>/dev/null
    rm -f "$work/spy"
}

for slot in contoso fabrikam contoso-test; do
    exits 0 "the master key of $slot is made" keyward create "$slot"
done
rm -f "$work/spy"
exits 0 'the right PIN, from its source' pkcs11-tool --module "$module" --token-label contoso --login -O
equal "$(logins)" 1 'goes to the token once'

echo 99999999 >"$work/eu-1.pin"
exits 1 'a wrong PIN in the source' pkcs11-tool --module "$module" --token-label contoso --login -O
equal "$(logins)" 1 'goes to the token once'
exits 1 'keyward list with the wrong PIN' keyward list
equal "$(logins)" 1 'tries it once, though three slots are on that token'
exits 1 'keyward check with the wrong PIN' keyward check
equal "$(logins)" 1 'tries it once'
says 'PIN is wrong' 'and says what is wrong'
exits 1 'keyward create with the wrong PIN' keyward create contoso
equal "$(logins)" 1 'tries it once'
says 'PIN is wrong' 'and says what is wrong'
echo "$pin" >"$work/eu-1.pin"

exits 1 'a PIN of the application that is not that of the source' \
    pkcs11-tool --module "$module" --token-label contoso --login --pin 99999999 -O
equal "$(logins)" 0 'does not go to the token at all'
: >"$work/eu-1.pin"
exits 1 'an empty PIN file' pkcs11-tool --module "$module" --token-label contoso --login -O
equal "$(logins)" 0 'does not go to the token at all'

# Without a source the command asks, on a terminal, without echo.
printf '[token eu-1]\nuri = pkcs11:token=eu-1?module-path=%s\n[slot contoso]\ntokens = eu-1\n' "$spy" >"$KEYWARD_CONF"
exits 1 'no PIN source and no terminal' keyward list </dev/null
says 'PIN' 'is told'
equal "$(logins)" 0 'and nothing goes to the token'
printf '%s\n' "$pin" >"$work/typed"
first=${KW_VALGRIND:+12} # seconds before it is typed: the question is there by then
# shellcheck disable=SC2317 # exits calls it
ask() { (sleep "${first:-0.5}"; cat "$work/typed"; sleep 0.5) | timeout 60 script -qec 'keyward list' /dev/null; }
exits 0 'a terminal: the PIN is asked for' ask
says 'PIN of token eu-1' 'with the name of the token'
says 'version 1 +active' 'and logs in'
hides "$pin" 'and is not shown'
# shellcheck disable=SC2317 # exits calls it
ask_to_rotate() { (sleep "${first:-0.5}"; cat "$work/typed"; sleep 1) | timeout 60 script -qec 'keyward rotate contoso' /dev/null; }
exits 0 'a verb that changes the key and then shows it' ask_to_rotate
hides $'\033' 'and erases no line that it has not shown'
equal "$(grep -c 'PIN of token eu-1' "$work/output")" 1 'asks once'
says 'version 2 +active' 'and shows what it did'
finish
