#!/bin/bash
# Two tenants, each with a backing token of its own: neither sees the other's keys nor opens what the other wrapped.
. "$(dirname "$0")/setup.sh"
make_token eu-1
make_token us-1
{
    token_section eu-1
    token_section us-1
    printf '[slot contoso]\ntenant = contoso\ntokens = eu-1\n[slot fabrikam]\ntenant = fabrikam\ntokens = us-1\n'
} >"$KEYWARD_CONF"
. "$here/strangers.sh"
strangers contoso fabrikam
finish
