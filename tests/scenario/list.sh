#!/bin/bash
# keyward list and list --json: keys, no key, a token that is not there.
. "$(dirname "$0")/setup.sh"
make_token eu-1
make_token eu-2
{
    token_section eu-1
    token_section eu-2
    printf '[slot contoso]\ntenant = contoso\nkey = contoso-cmk\ntokens = eu-1\n'
    printf '[slot fabrikam]\ntokens = eu-2\n'
} >"$KEYWARD_CONF"
{
    printf '[keyward]\ngeo = eu\n'
    token_section eu-1
    printf 'geo = eu\n'
    printf '[slot contoso]\ntenant = contoso\ngeo = eu\nkey = contoso-cmk\ntokens = eu-1\n'
} >"$work/geo.conf"

exits 0 'no key yet' keyward list
says 'no key' 'is said'
keyward list --json >"$work/json" 2>/dev/null
equal "$(jq -c 'map([.slot, .versions])' "$work/json")" '[["contoso",[]],["fabrikam",[]]]' 'and so is it in JSON'

exits 0 'a key is made' keyward create contoso --type aes:192
fingerprint=$(grep -oE '\b[0-9a-f]{16}\b' "$work/output" | head -n 1)
equal "${#fingerprint}" 16 'its fingerprint is told'
exits 0 'keyward list' keyward list
says '^contoso +tenant contoso' 'shows the slot'
says "^  version 1 +active +aes:192 +$fingerprint +eu-1\$" 'and the version'
keyward list --json >"$work/json" 2>"$work/output"
equal $? 0 'keyward list --json'
equal "$(jq -c 'map(keys)' "$work/json")" \
    '[["geo","key","slot","tenant","versions"],["geo","key","slot","tenant","versions"]]' 'has these names for a slot'
equal "$(jq -c '.[0] | [.slot, .tenant, .geo, .key]' "$work/json")" '["contoso","contoso",null,"contoso-cmk"]' 'with these values'
equal "$(jq -c '.[1] | [.slot, .tenant, .geo, .key]' "$work/json")" '["fabrikam",null,null,"fabrikam"]' 'null where nothing is configured'
equal "$(jq -c '.[0].versions | map({version, state, type, fingerprint, tokens})' "$work/json")" \
    "[{\"version\":1,\"state\":\"active\",\"type\":\"aes:192\",\"fingerprint\":\"$fingerprint\",\"tokens\":[\"eu-1\"]}]" 'and this version'
keyward --config "$work/geo.conf" list --json 2>/dev/null | jq -r '.[0].geo' >"$work/output"
says '^eu$' 'another configuration, with a geo, shows it'

exits 1 'a log that cannot be opened' env KEYWARD_LOG=file:/nowhere/log keyward list
says '^keyward: the log that KEYWARD_LOG names cannot be used' 'is told'

mv "$work/tokens" "$work/away"
mkdir "$work/tokens"
exits 1 'with the tokens gone keyward list fails' keyward list
says 'eu-1' 'and names the token'
keyward list --json >"$work/json" 2>/dev/null
equal "$(jq length "$work/json")" 2 'its JSON is still whole'
rm -r "$work/tokens"
mv "$work/away" "$work/tokens"
exits 0 'with the tokens back it works' keyward list
# shellcheck disable=SC2317 # exits calls them
{
full() { keyward "$@" >/dev/full; }
closed() { "$build/tokens/keyward" "$@" >&-; } # not under valgrind, which takes the descriptor
unread() { keyward "$@" | true; return "${PIPESTATUS[0]}"; }
}
for output in full closed unread; do
    exits 1 "what keyward list prints does not arrive: $output" $output list
    says 'standard output cannot be written' "what keyward list prints does not arrive: $output: is told"
    exits 1 "the same of JSON: $output" $output status contoso --json
done
# A token that answers and is not used, here for its weakness: its versions are not known, which is another thing than none.
mkdir "$work/nss"
certutil -N -d "sql:$work/nss" -f "$work/eu-1.pin" >/dev/null
sed "s|/etc/keyward/|$work/|; s|/var/lib/keyward/|$work/|" "$root/tokens/profiles/nss.conf" >"$work/nss.conf"
exits 0 'a weak token that is accepted gets a key' keyward --config "$work/nss.conf" create contoso-prod
sed -i /^accept-weak/d "$work/nss.conf"
exits 1 'a token whose versions cannot be read: keyward status fails' keyward --config "$work/nss.conf" status contoso-prod
hides 'no key' 'a token whose versions cannot be read: it does not say that there is none'
exits 1 'and so does keyward list' keyward --config "$work/nss.conf" list --json

# A file that a token's module opens is not taken for standard output (descriptor 1) or error.
mkfifo "$work/key"
"$build/tokens/keyward" wrap contoso <"$work/key" >&- 2>&- & # which waits for its input when it has opened what it opens first
exec 9>"$work/key"
taken=
for _ in $(seq 40); do
    taken="$(readlink "/proc/$!/fd/1") $(readlink "/proc/$!/fd/2")"
    [ "$taken" != '/dev/null /dev/null' ] || break
    sleep 0.05
done
exec 9>&-
wait $!
equal "$taken" '/dev/null /dev/null' 'a descriptor 1 or 2 that is closed is none that a file is opened as'
exits 1 'a name that holds an escape sequence' keyward status $'con\e[1mtoso'
says 'called con\?\[1mtoso;' 'is said without it'
exits 2 'a number that is too large' keyward rotate contoso --if-older-than 1000001
says 'from 0 to 1000000' 'is told with the largest'
exits 2 'an argument' keyward list contoso
exits 2 'an option that there is not' keyward list --yaml
finish
