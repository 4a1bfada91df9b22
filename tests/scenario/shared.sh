#!/bin/bash
# Two tenants on one backing token: they share the connection and nothing else.
. "$(dirname "$0")/setup.sh"
make_token eu-1
{
    token_section eu-1
    printf '[slot contoso]\ntenant = contoso\ntokens = eu-1\n[slot fabrikam]\ntenant = fabrikam\ntokens = eu-1\n'
    printf '[slot contoso-test]\ntenant = contoso\ntokens = eu-1\n'
} >"$KEYWARD_CONF"
. "$here/strangers.sh"
strangers contoso fabrikam

exits 0 'a third slot on the token gets its key' keyward create contoso-test
equal "$(objects contoso-test)" 1 'and sees nothing else'
equal "$(bare eu-1 -O 2>/dev/null | grep -c 'Key Object')" 5 'the backing token holds them all'
exits 0 'pkcs11-tool -L' pkcs11-tool --module "$module" -L
sed -n 's/^Slot [0-9]* (\(.*\)): \([^,]*\).*/\2 \1/p' "$work/output" | sort >"$work/ids"
equal "$(wc -l <"$work/ids")" 3 'three slots'
{
    printf '[slot contoso-test]\ntenant = contoso\ntokens = eu-1\n[slot fabrikam]\ntenant = fabrikam\ntokens = eu-1\n'
    printf '[slot contoso]\ntenant = contoso\ntokens = eu-1\n'
    token_section eu-1
} >"$KEYWARD_CONF"
exits 0 'pkcs11-tool -L with the slots in another order' pkcs11-tool --module "$module" -L
sed -n 's/^Slot [0-9]* (\(.*\)): \([^,]*\).*/\2 \1/p' "$work/output" | sort >"$work/ids2"
same "$work/ids" "$work/ids2" 'the slot ids are the same'
finish
