#!/bin/bash
# Bring your own key: transport-key, export-blob and import, with one token and with two; and every kind of bad file.
. "$(dirname "$0")/setup.sh"
premade_keys
make_token eu-1
make_token eu-2
{
    token_section eu-1
    token_section eu-2
    for slot in one small medium; do
        printf '[slot %s]\ntokens = eu-1\n' $slot
    done
    printf '[slot bare]\ntokens = eu-2\n[slot two]\ntokens = eu-1 eu-2\n'
} >"$KEYWARD_CONF"
{
    token_section eu-2
    printf '[slot two]\ntokens = eu-2\n'
} >"$work/second.conf"
cd "$work" || exit 2

# hex FILE: its bytes in hex.
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }

# wrap_by_openssl KEK.pem TARGET OUT: CKM_RSA_AES_KEY_WRAP with nothing but openssl.
wrap_by_openssl() {
    openssl rand -out aes 32 &&
        openssl pkeyutl -encrypt -pubin -inkey "$1" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 -in aes -out first &&
        openssl enc -e -id-aes256-wrap-pad -K "$(hex aes)" -iv A65959A6 -in "$2" -out second &&
        cat first second >"$3"
}

# state: every object of both tokens, past any PKCS#11: SoftHSM keeps each in a file (token.object has the flags of the login).
state() {
    (cd tokens && find . -name '*.object' ! -name token.object -exec sha256sum {} +) | sort
}

# refused SLOT FILE PATTERN SENTENCE: the import fails with one line that matches, and nothing changes in any token.
refused() {
    local before
    before=$(state)
    exits 1 "$4" keyward import "$1" "$2"
    says "$3" "$4: says why"
    equal "$(wc -l <output)" 1 "$4: in one line"
    equal "$(state)" "$before" "$4: leaves both tokens as they were"
}

# unwraps SLOT KEY SENTENCE: a data key that openssl wrapped under KEY (32 bytes) is unwrapped through the module.
unwraps() {
    openssl rand -out dek 32
    openssl enc -e -id-aes256-wrap -K "$(hex "$2")" -iv A6A6A6A6A6A6A6A6 -in dek -out wrapped
    exits 0 "$3" tool "$1" --unwrap -m AES-KEY-WRAP --id "$(cmk_id "$1")" --application-id 01 --key-type AES: --extractable -i wrapped
    exits 0 "$3: is read" tool "$1" --read-object --type secrkey --id 01 -o back
    same dek back "$3: with its value"
    exits 0 "$3: is removed" tool "$1" --delete-object --type secrkey --id 01
}

# The transport key.
exits 0 'a transport key is made' keyward transport-key one --type rsa:2048 -o kek.pem
says '^one  transport key  rsa:2048  eu-1$' 'in the first token'
says '^kid keyward:one/[0-9a-f]{32}$' 'its kid is shown'
kid=$(sed -n 's/^kid //p' output)
equal "${kid#keyward:one/}" "$(openssl pkey -pubin -in kek.pem -outform DER | sha256sum | cut -c 1-32)" 'and is the hash of the public half'
exits 0 'the bare token shows it' bare eu-1 -O
equal "$(grep -A 4 'Private Key' output | grep -E 'Usage|Access|label' | tr -s ' ' | tr '\n' ';')" \
    ' label: one/transport; Usage: unwrap; Access: sensitive, always sensitive, never extractable, local;' 'it unwraps and stays'
equal "$(grep -A 4 'Public Key' output | grep Usage | tr -s ' ')" ' Usage: wrap' 'its public half wraps'
before=$(state)
exits 0 'it is shown again' keyward transport-key one --json
equal "$(jq -r .kid output)" "$kid" 'with the same kid'
jq -j .pem output >again.pem
same kek.pem again.pem 'and the same public half'
exits 0 'without a file' keyward transport-key one
openssl pkey -pubin -in output -out again.pem 2>/dev/null
same kek.pem again.pem 'it is printed'
equal "$(state)" "$before" 'nothing was made for that'
exits 1 'another size than it has' keyward transport-key one --type rsa:4096
says '2048 bits; nothing was changed' 'is refused'
exits 1 'a file that exists' keyward transport-key one -o kek.pem
says 'kek.pem: it exists' 'is not overwritten'
exits 1 'a slot that there is not' keyward transport-key nothere
exits 2 'a type that there is not' keyward transport-key one --type rsa:1024
exits 2 'no slot' keyward transport-key
exits 0 'a slot with two tokens' keyward transport-key two -o two.pem
equal "$(openssl pkey -pubin -in two.pem -text -noout | head -n 1)" 'Public-Key: (3072 bit)' 'has 3072 bits unless told otherwise'
exits 0 'a transport key of 4096 bits' keyward transport-key small --type rsa:4096 -o small.pem
exits 0 'and one more' keyward transport-key medium --type rsa:2048 -o medium.pem
equal "$(bare eu-2 -O | grep -c 'Object;')" 0 'none of them is in the second token'

# export-blob needs no configuration.
for size in 16 24 32; do
    openssl rand -out key$size $size
done
openssl rand -out key32b 32
exits 0 'export-blob without a configuration' env KEYWARD_CONF=/nothere keyward export-blob key32 --to kek.pem -o key32.byok
equal "$(jq -c '[.schema_version, .header.alg, .header.enc, .generator]' key32.byok)" '["1.0.0","dir","CKM_RSA_AES_KEY_WRAP","keyward 0.1"]' \
    'writes the fields of the format'
equal "$(jq -r .header.kid key32.byok)" "keyward:${kid#*/}" 'and a kid from the public half'
equal "$(jq -j .ciphertext key32.byok | wc -c)" 395 'and 296 bytes in base64url'
hides . 'and prints nothing'
exits 1 'a file that exists' keyward export-blob key32 --to kek.pem -o key32.byok
says 'key32.byok: it exists' 'is not overwritten'
hex key32 >key32.hex
exits 0 'a key in hex' keyward export-blob key32.hex --to kek.pem -o hex.byok --kid "$kid"
equal "$(jq -r .header.kid hex.byok)" "$kid" 'with a kid of its own'
exits 2 'bare bytes with a kid' keyward export-blob key32b --to kek.pem -o none.raw --raw --kid mine
holds 'are not written' [ ! -e none.raw ]
exits 0 'the bare bytes' keyward export-blob key32b --to kek.pem -o key32b.raw --raw
equal "$(stat -c %s key32b.raw)" 296 'are modulus and RFC 5649'
openssl rand -out key20 20
exits 1 'a key of 20 bytes' keyward export-blob key20 --to kek.pem -o no.byok
says 'key20: it is no key' 'is refused'
exits 1 'a key that is not there' keyward export-blob nothere --to kek.pem -o no.byok
exits 1 'a public key that is none' keyward export-blob key32 --to key32.byok -o no.byok
says 'key32.byok: it holds no RSA public key' 'is refused'
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.pem 2>/dev/null
openssl pkey -in weak.pem -pubout -out weakpub.pem
exits 1 'a public key of 1024 bits' keyward export-blob key32 --to weakpub.pem -o no.byok
exits 1 'a kid with blanks' keyward export-blob key32 --to kek.pem -o no.byok --kid 'a b'
exits 1 'a folder that there is not' keyward export-blob key32 --to kek.pem -o nothere/no.byok
exits 2 'no --to' keyward export-blob key32 -o no.byok
exits 2 'no -o' keyward export-blob key32 --to kek.pem
exits 2 'no key' keyward export-blob --to kek.pem -o no.byok
holds 'none of these wrote anything' [ ! -e no.byok ]

# One token.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem 2>/dev/null
exits 0 'export-blob of an RSA key' keyward export-blob rsa.pem --to kek.pem -o rsa.byok
holds 'has the length of a PKCS#8' [ "$(jq -j .ciphertext rsa.byok | wc -c)" -gt 1960 ]
exits 1 'export-blob of an EC key' keyward export-blob ec.pem --to kek.pem -o no.byok
exits 0 'import' keyward import one key32.byok --json
equal "$(jq -c '.versions[] | [.version, .state, .type, .origin, .tokens]' output)" '[1,"active","aes:256","imported",["eu-1"]]' 'becomes version 1'
unwraps one key32 'a data key that openssl wrapped'
refused one rsa.byok 'key one is an AES key and stays one' 'an RSA key'
refused one key32.byok 'is version 1 of slot one \(active\)' 'the same file again'
refused one hex.byok 'is version 1 of slot one' 'the same key in another file'
exits 0 'the bare bytes are imported' keyward import one key32b.raw
says '^  version 2 +active .*imported' 'as the next version'
says '^  version 1 +retired' 'and the one before is retired'
unwraps one key32 'what the first key wrapped still opens'
unwraps one key32b 'and what the second one wrapped'
equal "$(cut -c 1-24 <<<"$(cmk_id one)")" "$(keyward rotate one >/dev/null && cut -c 1-24 <<<"$(cmk_id one)")" 'a rotation goes on with the lineage'
exits 0 'status' keyward status one
says '^  version 3 +active .*generated' 'tells one from the other'
equal "$(bare eu-1 -O 2>/dev/null | grep -A 4 'Secret Key' | grep -c 'Access:.*[^r] extractable')" 0 'no key can leave the token'
equal "$(keyward check | grep -c 'problem: slot one:')" 0 'check finds nothing wrong'

# With nothing but openssl: every size of both keys.
wrap_by_openssl small.pem key16 small.raw
exits 0 '128 bits under 4096, by openssl' keyward import small small.raw
says '^  version 1 +active +aes:128 ' 'AES-128'
wrap_by_openssl medium.pem key24 medium.raw
{
    printf '{"schema_version":"1.0.0","header":{"kid":"https://vault.example/keys/kek/1","alg":"dir","enc":"CKM_RSA_AES_KEY_WRAP"},"ciphertext":"'
    base64 -w 0 medium.raw | tr -- '+/' '-_' | tr -d =
    printf '","generator":"openssl"}'
} >medium.byok
exits 0 '192 bits under 2048, a .byok by openssl' keyward import medium medium.byok
says '^  version 1 +active +aes:192 ' 'AES-192'
openssl rand -out dek 16
openssl enc -e -id-aes192-wrap -K "$(hex key24)" -iv A6A6A6A6A6A6A6A6 -in dek -out wrapped
exits 0 'what it wrapped opens' tool medium --unwrap -m AES-KEY-WRAP --id "$(cmk_id medium)" --application-id 01 --key-type AES: --extractable -i wrapped

# Two tokens.
exits 0 'a slot with a key of its own' keyward create two
wrap_by_openssl two.pem key32 two.raw
exits 0 'import with two tokens' keyward import two two.raw --json
equal "$(jq -c '.versions[] | [.version, .state, .origin, .tokens]' output | tr '\n' ' ')" \
    '[2,"active","imported",["eu-1","eu-2"]] [1,"retired","replicated",["eu-1","eu-2"]] ' 'is on both'
unwraps two key32 'a data key that openssl wrapped'
KEYWARD_CONF=$work/second.conf unwraps two key32 'the same by the second token alone'
exits 0 'the second token' bare eu-2 -O
equal "$(grep -c 'Object;' output)" 2 'has the two versions and nothing else'
equal "$(grep -c 'Access: *sensitive$' output)" 2 'and none can leave it'
equal "$(keyward check | grep -c 'problem: slot two:')" 0 'check finds nothing wrong'

# Bad files. flip FILE OFFSET OUT: one bit of it is another.
flip() {
    cp "$1" "$3"
    printf '%b' "\\x$(printf %02x $(($(od -An -tu1 -j"$2" -N1 "$1") ^ 1)))" | dd of="$3" bs=1 seek="$2" conv=notrunc status=none
}
openssl rand -out new 32
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out other.pem 2>/dev/null
openssl pkey -in other.pem -pubout -out otherpub.pem
for slot in one two; do
    kek=kek.pem modulus=256
    [ $slot = one ] || kek=two.pem modulus=384
    wrap_by_openssl $kek new good.raw
    flip good.raw 0 bad && refused $slot bad 'does not open' "$slot: the first bit changed"
    flip good.raw $((modulus - 1)) bad && refused $slot bad 'does not open' "$slot: the last byte of the first layer changed"
    flip good.raw $modulus bad && refused $slot bad 'does not open' "$slot: the first byte of the second layer changed"
    flip good.raw $((modulus + 39)) bad && refused $slot bad 'does not open' "$slot: the last byte changed"
    head -c $((modulus + 39)) good.raw >bad && refused $slot bad 'length does not fit' "$slot: one byte short"
    head -c $((modulus + 32)) good.raw >bad && refused $slot bad 'does not open' "$slot: eight bytes short"
    head -c $modulus good.raw >bad && refused $slot bad 'length does not fit' "$slot: the first layer only"
    head -c 40 good.raw >bad && refused $slot bad 'length does not fit' "$slot: 40 bytes"
    { cat good.raw; head -c 8 good.raw; } >bad && refused $slot bad 'longer than an AES key' "$slot: eight bytes more"
    head -c 1000 /dev/zero >bad && refused $slot bad 'does not open' "$slot: zeros"
    head -c $((modulus + 40)) /dev/zero >bad && refused $slot bad 'does not open' "$slot: zeros of the right length"
    head -c $((modulus + 40)) /dev/zero | tr '\0' '\377' >bad && refused $slot bad 'does not open' "$slot: above the modulus"
    openssl rand -out aes 15
    openssl pkeyutl -encrypt -pubin -inkey $kek -pkeyopt rsa_padding_mode:oaep -in aes -out first
    { cat first; tail -c 40 good.raw; } >bad && refused $slot bad 'does not open' "$slot: an AES key of 15 bytes in the first layer"
    for size in 9 15 17 20 25 31; do
        openssl rand -out odd $size
        wrap_by_openssl $kek odd bad && refused $slot bad 'not of 128, 192 or 256 bits' "$slot: a key of $size bytes"
    done
    openssl rand -out odd 8
    wrap_by_openssl $kek odd bad && refused $slot bad 'shorter than an AES key' "$slot: a key of 8 bytes"
    openssl pkcs8 -topk8 -nocrypt -in ec.pem -outform DER -out odd
    wrap_by_openssl $kek odd bad && refused $slot bad 'shorter than an RSA private key' "$slot: an EC key"
done
wrap_by_openssl otherpub.pem new bad && refused one bad 'does not open: it was wrapped to another key' 'another transport key of this size'
wrap_by_openssl two.pem new bad && refused one bad 'or it was wrapped to a key of another size' 'a larger transport key'
wrap_by_openssl kek.pem new bad && refused two bad 'length does not fit' 'a smaller transport key'
keyward export-blob new --to two.pem -o bad.byok
refused one bad.byok 'wrapped to the key keyward:[0-9a-f]{32}, but the transport key of slot one is keyward:one/' 'another transport key by its kid'
jq '.header.kid = "other"' bad.byok >bad
refused one bad 'or it was wrapped to a key of another size' 'another one without'
keyward export-blob new --to kek.pem -o good.byok
jq '.header.enc = "RSA-OAEP"' good.byok >bad && refused one bad 'header.enc' 'another enc'
jq '.header.alg = "none"' good.byok >bad && refused one bad 'header.alg' 'another alg'
jq 'del(.header.kid)' good.byok >bad && refused one bad 'header.kid' 'no kid'
jq 'del(.ciphertext)' good.byok >bad && refused one bad 'ciphertext is missing' 'no ciphertext'
jq '.schema_version = "2.0.0"' good.byok >bad && refused one bad 'schema_version' 'another version of the format'
jq '.ciphertext += "+"' good.byok >bad && refused one bad 'no base64url' 'base64 that is not of URLs'
head -c 300 good.byok >bad && refused one bad 'no JSON' 'JSON that was cut'
: >bad && refused one bad 'it is empty' 'an empty file'
head -c 65537 /dev/zero >bad && refused one bad '64 KiB' 'a file that is too large'
refused one nothere 'nothere: there is no such file' 'a file that is not there'
refused one . 'cannot be (read|opened)' 'a folder'
refused bare good.byok 'slot bare: it has no transport key' 'a slot without a transport key'
refused nothere good.byok 'nothere' 'a slot that there is not'
exits 2 'no file' keyward import one
exits 2 'two files' keyward import one good.byok bad
exits 0 'the slot is disabled' keyward disable one
refused one good.byok 'no version of key one is active' 'a slot that was taken away'
exits 0 'and enabled' keyward enable one
exits 0 'and the good file is still good' keyward import one good.byok

# A transport key that somebody put in place of ours.
bare eu-2 --keypairgen --key-type rsa:2048 --label bare/transport --id 77 >/dev/null 2>&1
exits 1 'a transport key that may decrypt' keyward transport-key bare
says 'other things than unwrap' 'is not handed out'
refused bare good.byok 'other things than unwrap' 'an import to it'
finish
