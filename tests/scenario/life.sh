# shellcheck shell=bash
# Sourced after setup.sh by the scenarios of a key's life: the slot `one` on one token, the slot `two` on two.
# shellcheck disable=SC2154 # setup.sh sets them
witness=$build/tests/fault/witness
premade_keys
for token in eu-1 eu-2 eu-3; do
    make_token $token
done
{
    for token in eu-1 eu-2 eu-3; do
        token_section $token
    done
    printf '[slot one]\ntokens = eu-1\n[slot two]\ntokens = eu-2 eu-3\n'
} >"$KEYWARD_CONF"

# state SLOT VERSION: what `keyward status --json` tells of it.
state() {
    keyward status "$1" --json 2>/dev/null | jq -r --argjson v "$2" '.versions[] | select(.version == $v) | .state'
}

# field SLOT VERSION NAME: another field of the same.
field() {
    keyward status "$1" --json 2>/dev/null | jq -cr --argjson v "$2" --arg f "$3" '.versions[] | select(.version == $v) | .[$f]'
}

# bits SLOT VERSION: CKA_WRAP and CKA_UNWRAP of that version in each token of the slot, read past Keyward; wu is both.
bits() {
    local tokens=(eu-1)
    [ "$1" = one ] || tokens=(eu-2 eu-3)
    "$witness" list "$vendor" "$pin" "${tokens[@]}" | awk -v slot="label=$1" -v v="$2" '$3 == slot && $4 == v { printf "%s%s", sep, $6; sep = " " }'
}

# halves SLOT VERSION: the same of an RSA version: in each token the public half, then the private one; "w- -u" is active.
halves() {
    local tokens=(eu-1)
    [ "$1" = one ] || tokens=(eu-2 eu-3)
    "$witness" list "$vendor" "$pin" "${tokens[@]}" | sort | awk -v slot="label=$1" -v v="$2" '$3 == slot && $4 == v { printf "%s%s", sep, $6; sep = " " }'
}

# each SLOT WORD: the word once for each token of the slot, as `bits` prints it.
each() {
    if [ "$1" = one ]; then echo "$2"; else echo "$2 $2"; fi
}

# wrapped SLOT: wraps one more data key under the active version; opened SLOT: what becomes of all of them, "1 same 2 same".
wrapped() { "$witness" wrap "$module" "$1" "$work/blobs-$1"; }
opened() { "$witness" unwrap "$module" "$1" "$work/blobs-$1" | tr '\n' ' ' | sed 's/ $//'; }

# bytes HEX: the bytes that it writes.
bytes() { tr a-f A-F <<<"$1" | basenc --base16 -d -i; }

# contents: a digest of every object in the tokens. (SoftHSM writes token.object at every login.)
contents() { find "$work/tokens" -name '*.object' ! -name token.object -exec sha256sum {} + | sort | sha256sum; }

# refused SENTENCE PATTERN COMMAND...: exit 1, a sentence that matches, nothing changed in any token.
refused() {
    local sentence=$1 pattern=$2 before
    shift 2
    before=$(contents)
    exits 1 "$sentence" "$@"
    says "^keyward: .*$pattern" "$sentence: is told"
    equal "$(contents)" "$before" "$sentence: nothing was changed"
}
