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

mv "$work/tokens" "$work/away"
mkdir "$work/tokens"
exits 1 'with the tokens gone keyward list fails' keyward list
says 'eu-1' 'and names the token'
keyward list --json >"$work/json" 2>/dev/null
equal "$(jq length "$work/json")" 2 'its JSON is still whole'
rm -r "$work/tokens"
mv "$work/away" "$work/tokens"
exits 0 'with the tokens back it works' keyward list
exits 2 'an argument' keyward list contoso
exits 2 'an option that there is not' keyward list --yaml
finish
