#!/bin/bash
# Bring your own RSA key: by export-blob and with nothing but openssl, with one token and with two; and bad files.
. "$(dirname "$0")/setup.sh"
. "$here/life.sh"
cd "$work" || exit 2

hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }

# generate NAME BITS: NAME.pem, its PKCS#8 NAME.der, and its fingerprint NAME.print.
generate() {
    openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" -out "$1.pem" 2>/dev/null
    openssl pkcs8 -topk8 -nocrypt -in "$1.pem" -outform DER -out "$1.der"
    bytes "$(openssl rsa -in "$1.pem" -noout -modulus 2>/dev/null | sed 's/^Modulus=//')" | sha256sum | cut -c 1-16 >"$1.print"
}

# wrap_by_openssl KEK.pem TARGET OUT: CKM_RSA_AES_KEY_WRAP with nothing but openssl.
wrap_by_openssl() {
    openssl rand -out aes 32 &&
        openssl pkeyutl -encrypt -pubin -inkey "$1" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 -in aes -out first &&
        openssl enc -e -id-aes256-wrap-pad -K "$(hex aes)" -iv A65959A6 -in "$2" -out second &&
        cat first second >"$3"
}

# wrapped_by NAME VERSION: two lines for `opened`: a data key wrapped by the original key, by openssl alone: OAEP, and CKM_RSA_AES_KEY_WRAP.
wrapped_by() {
    openssl rand -out dek 32
    openssl pkey -in "$1.pem" -pubout -out pub.pem
    openssl pkeyutl -encrypt -pubin -inkey pub.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 -in dek -out oaep
    wrap_by_openssl pub.pem dek both
    printf '%s %s %s\n' "$2" "$(hex dek)" "$(hex oaep)" "$2" "$(hex dek)" "$(hex both)"
}

generate small 2048
generate medium 3072
generate large 4096
generate other 2048
keyward transport-key one --type rsa:2048 -o one.pem >/dev/null
keyward transport-key two --type rsa:2048 -o two.pem >/dev/null

# What export-blob writes is the PKCS#8 of the key, to whoever has the private half of the transport key.
openssl pkey -in other.pem -pubout -out otherpub.pem
exits 0 'export-blob of an RSA key' keyward export-blob small.pem --to otherpub.pem -o small.raw --raw
head -c 256 small.raw >first
openssl pkeyutl -decrypt -inkey other.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 -in first -out aes
tail -c +257 small.raw | openssl enc -d -id-aes256-wrap-pad -K "$(hex aes)" -iv A65959A6 -out back.der
same back.der small.der 'is its PKCS#8'
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.pem 2>/dev/null
exits 1 'export-blob of RSA-1024' keyward export-blob weak.pem --to one.pem -o no.byok
says 'weak.pem: its private key is not RSA of 2048, 3072 or 4096 bits' 'is refused'

for slot in one two; do
    version=0
    for name in small medium large; do
        [ $slot = one ] || [ $name != medium ] || continue
        version=$((version + 1))
        case $name in
        medium) exits 0 "$slot: $name by export-blob, the bare bytes" keyward export-blob $name.pem --to $slot.pem -o $slot-$name --raw ;;
        small) exits 0 "$slot: $name by export-blob" keyward export-blob $name.pem --to $slot.pem -o $slot-$name ;;
        large) exits 0 "$slot: $name by openssl" wrap_by_openssl $slot.pem $name.der $slot-$name ;;
        esac
        exits 0 "$slot: $name is imported" keyward import $slot $slot-$name
        says "^  version $version +active +rsa:[0-9]+ +$(cat $name.print) .*imported" "$slot: as version $version, with the hash of its modulus"
        equal "$(halves $slot $version)" "$(each $slot 'w- -u')" "$slot: it wraps and unwraps"
        wrapped_by $name $version >>blobs-$slot
    done
    equal "$(opened $slot | tr ' ' '\n' | grep -c same)" $((2 * version)) "$slot: what openssl wrapped by the original keys opens"
    holds "$slot: the newest wraps" wrapped $slot
    refused "$slot: the same key again" 'is version 1 of slot' keyward import $slot $slot-small
done
equal "$(field one 1 type) $(field one 2 type) $(field one 3 type)" 'rsa:2048 rsa:3072 rsa:4096' 'the size is told by the modulus'
equal "$(halves two 1)" '-- -u -- -u' 'the version before is retired on both tokens'
exits 0 'what was imported is rotated' keyward rotate one
says '^  version 4 +active +rsa:4096 .*generated' 'to a key of the same size'
"$witness" list "$vendor" "$pin" eu-1 eu-2 eu-3 | grep -v '/transport' >"$work/output"
equal "$(wc -l <"$work/output")" 19 'nothing else is in the tokens: halves, and an origin key for each'
sed -i '/class=4/d' "$work/output"
equal "$(awk 'NF > 6' "$work/output")" '' 'no private half may leave, and none does anything but unwrap'
exits 0 'keyward check' keyward check

# A lineage keeps its type.
printf '[slot aes]\ntokens = eu-1\n' >>"$KEYWARD_CONF"
keyward create aes >/dev/null
keyward transport-key aes --type rsa:2048 -o aes.pem >/dev/null
keyward export-blob other.pem --to aes.pem -o aes-other
refused 'an RSA key for an AES slot' 'key aes is an AES key' keyward import aes aes-other
openssl rand -out key32 32
keyward export-blob key32 --to one.pem -o one-aes
refused 'an AES key for an RSA slot' 'key one is an RSA key' keyward import one one-aes

# Bad files. flip FILE OFFSET OUT: one bit of it is another.
flip() {
    cp "$1" "$3"
    printf '%b' "\\x$(printf %02x $(($(od -An -tu1 -j"$2" -N1 "$1") ^ 1)))" | dd of="$3" bs=1 seek="$2" conv=notrunc status=none
}
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | openssl pkcs8 -topk8 -nocrypt -outform DER -out ec.der
openssl pkcs8 -topk8 -nocrypt -in weak.pem -outform DER -out weak.der
openssl rand -out noise 1217
for slot in one two; do
    wrap_by_openssl $slot.pem other.der good
    size=$(stat -c %s good)
    flip good 0 bad && refused "$slot: the first bit changed" 'does not open' keyward import $slot bad

    flip good 256 bad && refused "$slot: the second layer changed" 'does not open' keyward import $slot bad
    flip good $((size - 1)) bad && refused "$slot: the last byte changed" 'does not open' keyward import $slot bad
    [ $slot = one ] || continue # all of it is found out in the first token
    head -c $((size - 1)) good >bad && refused "$slot: one byte short" 'length does not fit' keyward import $slot bad
    head -c $((size - 8)) good >bad && refused "$slot: eight bytes short" 'does not open' keyward import $slot bad
    head -c 700 good >bad && refused "$slot: the first part only" 'length does not fit|shorter than an RSA' keyward import $slot bad
    head -c 3000 /dev/zero >bad && refused "$slot: too long" 'longer than an RSA private key of 4096 bits' keyward import $slot bad
    wrap_by_openssl otherpub.pem other.der bad && refused "$slot: wrapped to another key" 'does not open' keyward import $slot bad
    wrap_by_openssl $slot.pem weak.der bad && refused "$slot: RSA-1024" 'not of 2048, 3072 or 4096 bits' keyward import $slot bad
    wrap_by_openssl $slot.pem ec.der bad && refused "$slot: an EC key" 'shorter than an RSA private key' keyward import $slot bad
    wrap_by_openssl $slot.pem noise bad && refused "$slot: no key at all" 'does not open.*no RSA private key' keyward import $slot bad
done
openssl pkey -in medium.pem -pubout -out larger.pem
exits 0 'export-blob for a larger key' keyward export-blob other.pem --to larger.pem -o larger --raw
refused 'wrapped to a larger key' 'does not open' keyward import one larger
exits 0 'export-blob for another slot' keyward export-blob other.pem --to two.pem -o kid
refused 'wrapped to the key of another slot, by its kid' 'but the transport key of slot one is' keyward import one kid
exits 0 'and the good file is still good' keyward import two good
finish
