#!/bin/bash
# keyward create: each type, a key that exists, what is refused.
. "$(dirname "$0")/setup.sh"
make_token eu-1
make_token eu-2
{
    token_section eu-1
    token_section eu-2
    for slot in default small medium large; do
        printf '[slot %s]\ntokens = eu-1\n' $slot
    done
    printf '[slot named]\nkey = the name of the key\ntokens = eu-1\n[slot two]\ntokens = eu-1 eu-2\n'
} >"$KEYWARD_CONF"

exits 0 'no type' keyward create default
says 'version 1 +active +aes:256 +[0-9a-f]{16} +eu-1' 'is AES-256'
exits 0 'aes:128' keyward create small --type aes:128
says 'aes:128 ' 'is AES-128'
exits 0 'aes:192, the option in front' keyward create --type aes:192 medium
says 'aes:192 ' 'is AES-192'
exits 0 'aes:256' keyward create large --type=aes:256
says 'aes:256 ' 'is AES-256'
exits 0 'a slot with two tokens' keyward create two
says 'version 1 +active +aes:256 +[0-9a-f]{16} +eu-1 eu-2' 'has its key on both'
exits 0 'the second token' bare eu-2 -O
equal "$(grep -c 'Key Object' "$work/output")" 1 'has that key'
says '^  Access: +sensitive' 'which cannot be read'
hides 'Access:.* extractable' 'and cannot leave'
equal "$(objects two)" 1 'a broker sees one'
exits 0 'a slot whose key has another name' keyward create named
exits 0 'pkcs11-tool sees it under that name' tool named -O
says '^  label: +the name of the key$' 'and no other'
exits 0 'pkcs11-tool sees the length' tool small -O
says 'AES length 16$' 'of 16 bytes'
exits 0 'the bare token' bare eu-1 -O
equal "$(grep -c 'Key Object' "$work/output")" 6 'has one key for each'
equal "$(grep -c 'Access: *sensitive, always sensitive, never extractable, local' "$work/output")" 5 'none can leave'
equal "$(grep -c 'Usage: *wrap, unwrap$' "$work/output")" 6 'none has another use'
equal "$(sed -n 's/^ *ID: *\(.\{24\}\).*/\1/p' "$work/output" | sort -u | wc -l)" 6 'each has a lineage of its own'

before=$(cmk_id default)
exits 1 'a key that exists' keyward create default
says 'exists' 'is not made again'
equal "$(cmk_id default)" "$before" 'and is as it was'
exits 1 'a slot that is not configured' keyward create nothere
says 'nothere' 'is named'
exits 2 'a type that there is not' keyward create two --type aes:64
says 'aes:128' 'the types are named'
exits 2 'a type that is no word' keyward create two --type ''
exits 2 'no slot' keyward create
says '^usage: keyward create SLOT' 'usage'
exits 2 'two slots' keyward create default two
exits 2 'an option that there is not' keyward create default --pin 1234
exits 2 'a verb that there is not' keyward destroy default
exits 2 'no verb' keyward
exits 0 '--help' keyward --help
says 'create SLOT' 'lists the verbs'
hides '[Pp][Ii][Nn] ?=|--pin' 'and no PIN among the arguments'
exits 0 '--version' keyward --version
says '^keyward 0\.1' 'says it'
exits 1 'another configuration' keyward --config "$work/nothere.conf" list
says 'nothere.conf.*does not exist' 'that is not there'
finish
