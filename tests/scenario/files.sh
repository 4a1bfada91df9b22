#!/bin/bash
# Who may write keyward.conf and read a PIN file; what is wrong in keyward.conf: file, line and the mend.
. "$(dirname "$0")/setup.sh"
make_token eu-1
good() {
    token_section eu-1
    printf '[slot contoso]\ntokens = eu-1\n'
}
good >"$KEYWARD_CONF"
exits 0 'the master key is made' keyward create contoso

# refused WHAT: the command and the module refuse the configuration.
refused() {
    exits 1 "$1: the module refuses it" pkcs11-tool --module "$module" -L
    says 'CKR_GENERAL_ERROR' "$1: with CKR_GENERAL_ERROR"
    exits 1 "$1: keyward refuses it" keyward check
}

for mode in 0600 0640 0644 0400; do
    chmod $mode "$KEYWARD_CONF"
    exits 0 "keyward.conf with mode $mode is taken" keyward check
done
for mode in 0620 0602 0666 0660; do
    chmod $mode "$KEYWARD_CONF"
    refused "keyward.conf with mode $mode"
    says 'keyward\.conf.*chmod go-w' "keyward.conf with mode $mode: the mend is named"
done
chmod 0600 "$KEYWARD_CONF"
for mode in 0600 0640 0400; do
    chmod $mode "$work/eu-1.pin"
    exits 0 "a PIN file with mode $mode is taken" keyward check
done
for mode in 0644 0660 0604 0602; do
    chmod $mode "$work/eu-1.pin"
    exits 1 "a PIN file with mode $mode is refused" keyward check
    says 'eu-1\.pin.*chmod' "a PIN file with mode $mode: the mend is named"
    exits 0 "a PIN file with mode $mode: the module starts" pkcs11-tool --module "$module" -L
    hides 'token label' "a PIN file with mode $mode: but the slot has no token"
done
chmod 0600 "$work/eu-1.pin"
if [ "$(id -u)" -eq 0 ]; then
    chown 65534 "$KEYWARD_CONF"
    refused 'keyward.conf of another user'
    says 'another user' 'keyward.conf of another user: is told'
    chown 0 "$KEYWARD_CONF"
    chown 65534 "$work/eu-1.pin"
    exits 1 'a PIN file of another user is refused' keyward check
    says 'eu-1\.pin.*another user' 'a PIN file of another user: is told'
    chown 0 "$work/eu-1.pin"
fi
mv "$KEYWARD_CONF" "$work/real.conf"
ln -s real.conf "$KEYWARD_CONF"
exits 0 'a symbolic link to a good keyward.conf is taken' keyward check
rm "$KEYWARD_CONF"
mkfifo "$KEYWARD_CONF"
exits 1 'a FIFO is refused and does not hang' timeout 10 keyward check
rm "$KEYWARD_CONF"
refused 'no keyward.conf'
says 'keyward\.conf.*does not exist' 'no keyward.conf: is told'
for verb in create list check rotate export-blob; do
    exits 0 "no keyward.conf: keyward $verb --help works" keyward $verb --help
    says "^usage: keyward $verb" "no keyward.conf: keyward $verb --help tells how $verb is called"
done
exits 2 'keyward alone' keyward
says '^ +keyward create SLOT' 'tells the verbs'

# wrong LINE PATTERN TEXT: a configuration that begins with a good one of 6 lines, and what is said of it.
wrong() {
    {
        good
        printf '%b' "$3"
    } >"$KEYWARD_CONF"
    refused "\"$3\""
    says "^keyward: .*keyward\.conf:$1: .*$2" "\"$3\": line $1 and the word"
}
lines=$(good | wc -l)
wrong $((lines + 1)) 'colour' 'colour = red\n'
wrong $((lines + 1)) 'tokens' 'tokens = eu-1\n'
wrong $((lines + 1)) 'garden' '[garden]\n'
wrong $((lines + 1)) 'contoso' '[slot contoso]\ntokens = eu-1\n'
wrong $((lines + 1)) 'eu-1' '[token eu-1]\nuri = pkcs11:token=a?module-path=/x.so\n'
wrong $((lines + 2)) 'eu-9' '[slot fabrikam]\ntokens = eu-9\n'
wrong $((lines + 1)) 'tokens' '[slot fabrikam]\ngeo = eu\n'
wrong $((lines + 1)) 'us' '[slot fabrikam]\ngeo = us\ntokens = eu-1\n'
wrong $((lines + 3)) 'data-keys' '[slot fabrikam]\ntokens = eu-1\ndata-keys = open\n'
wrong $((lines + 3)) 'mechanisms' '[slot fabrikam]\ntokens = eu-1\nmechanisms = rot13\n'
wrong $((lines + 1)) 'neither a' 'nonsense\n'
finish
