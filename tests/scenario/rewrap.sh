#!/bin/bash
# keyward rewrap: a rotation, the envelopes of a table made new, lines that are none, columns, --dry-run, --jobs, --from, outputs that fail.
# shellcheck disable=SC2317 # exits calls the functions
. "$(dirname "$0")/setup.sh"
make_token eu-1
make_token eu-2
{
    token_section eu-1
    token_section eu-2
    printf '[slot contoso]\ntenant = contoso\ntokens = eu-1\n[slot fabrikam]\ntenant = fabrikam\ntokens = eu-2\n'
    printf '[slot closed]\ntokens = eu-1\ndata-keys = sealed\n[slot plain]\ntokens = eu-1\nmechanisms = standard\n'
    printf '[slot rsa]\ntokens = eu-2\n'
} >"$KEYWARD_CONF"
cd "$work" || exit 2
exits 1 'without a key it fails' keyward rewrap contoso
says 'no key' 'and says so'
for slot in contoso fabrikam closed plain; do
    keyward create $slot >/dev/null 2>&1
done
keyward create rsa --type rsa:2048 >/dev/null 2>&1

# rewrap ARGUMENT...: from $in to $work/out; what it says is in $work/output.
in=in
rewrap() { keyward rewrap "$@" <"$in" >out; }

# version LINE: the version that the envelope in it names.
version() { printf %s "$1" | keyward inspect --json 2>/dev/null | jq .version; }

# opens SLOT CONTEXT LINE FILE: the envelope opens there and holds the file's bytes.
opens() { printf '%s\n' "$3" | keyward unwrap "$1" --context "$2" --reveal 2>/dev/null | cmp -s - "$4"; }

for n in 1 2 3 4 5 6; do
    head -c $((n * 16)) /dev/urandom >"key.$n"
    until keyward wrap contoso --context "crm/$n" <"key.$n" | tee one | grep '[+/]'; do # or nobody sees which base64 it is
        [ -s one ] || break
    done
done >six 2>/dev/null
equal "$(wc -l <six)" 6 'six data keys are wrapped'
for ((n = 0; n < 100; n++)); do cat six; done >in
exits 0 'before a rotation' rewrap contoso
same in out 'nothing changes'
says '600 lines: 0 rewrapped, 600 current' 'and that is said'
: >empty
in=empty exits 0 'an empty input' rewrap contoso
holds 'gives an empty output' [ ! -s out ]

keyward rotate contoso >/dev/null 2>&1
exits 0 '--dry-run' rewrap contoso --dry-run
cp out dry
equal "$(grep -c '^contoso version 1: 600 lines$' dry)" 1 'counts the lines of each version'
equal "$(grep -c '^to be rewrapped: 600$' dry)" 1 'and what is to be done'
exits 0 'after a rotation' rewrap contoso --jobs 1
says '600 lines: 600 rewrapped, 0 current' 'every line is made new'
equal "$(wc -l <out)" 600 'and there'
n=0
good=yes
while read -r line; do
    n=$((n + 1))
    [ "$(version "$line")" = 2 ] && opens contoso "crm/$n" "$line" "key.$n" || good=no
done < <(head -n 6 out)
equal $good yes 'under version 2, with the same data keys and contexts'
holds 'in the order of the input' [ "$(sort -u out | wc -l)" = 6 ]
awk 'NR <= 6 { first[NR % 6] = $0 } $0 != first[NR % 6] { exit 1 }' out
equal $? 0 'all hundred times'
cp out once
for jobs in 2 8; do
    exits 0 "with $jobs jobs" rewrap contoso --jobs $jobs
    same once out 'the output is the same'
done
in=once exits 0 'a second run' rewrap contoso
same once out 'changes nothing'
says '600 lines: 0 rewrapped, 600 current' 'and says so'
{ head -n 300 once; tail -n 300 in; } >half
in=half exits 0 'a run after one that was interrupted' rewrap contoso
same once out 'finishes it'
says '300 rewrapped, 300 current' 'with what was left'
exits 0 '--dry-run of that' keyward rewrap contoso --dry-run <half
says '^contoso version 1: 300 lines$' 'tells the old version'
says '^contoso version 2: 300 lines, current$' 'from the current one'

# Lines that are no envelope, and every kind of end.
old=$(head -n 1 six)
new=$(head -n 1 once)
alien=$(keyward wrap fabrikam <key.1 2>/dev/null)
flipped=${old:0:80}$([ "${old:80:1}" = A ] && echo B || echo A)${old:81}
{
    printf '%s\r\n' "$old"
    printf 'no envelope\n'
    printf '\n'
    printf '%s\0\n' "$old"
    printf '%s\n' "$alien"
    printf '%s\n' "$flipped"
    printf '%s!\n' "$old"
    printf '  "%s"  \n' "$old"
    head -c 300000 /dev/zero | tr '\0' x
    printf '\r\n%s' "$old"
} >in
{
    printf '%s\r\n' "$new"
    printf 'no envelope\n'
    printf '\n'
    printf '%s\0\n' "$old"
    printf '%s\n' "$alien"
    printf '%s\n' "$flipped"
    printf '%s!\n' "$old"
    printf '  "%s"  \n' "$new"
    head -c 300000 /dev/zero | tr '\0' x
    printf '\r\n%s' "$new"
} >want
exits 1 'lines that fail make the status 1' rewrap contoso
same want out 'are written unchanged, and the others are made new'
says '10 lines: 3 rewrapped, 0 current, 1 without an envelope, 6 failed' 'and are counted'
for n in 2 4 5 6 7 9; do says "^keyward: line $n: .*unchanged" "line $n is named"; done
says '^keyward: line 5: it is an envelope of another slot' 'with the reason'
hides '^keyward: line (1|3|8|10):' 'and no other'
exits 1 '--dry-run finds those that it can see' rewrap contoso --dry-run
equal "$(grep -c '^that would fail: 5$' out)" 1 'and counts them'

# Columns and forms.
hex=$(printf %s "$old" | base64 -d | od -An -v -tx1 | tr -d ' \n')
newhex=$(printf %s "$new" | base64 -d | od -An -v -tx1 | tr -d ' \n')
{
    printf 'id,note,wrapped-key\n'
    printf '1,"a, with ""quotes""",%s\n' "$old"
    printf '2,,"%s"\n3,x,\n\n' "$old"
    printf '4,x,\\x%s\n5,x,0x%s\n' "$hex" "$(printf %s "$hex" | tr a-f A-F)"
    printf '6,%s,%s,%s\n' "$old" "$(printf %s "$old" | tr -d = | tr '+/' '-_')" "$old"
} >in
{
    printf 'id,note,wrapped-key\n'
    printf '1,"a, with ""quotes""",%s\n' "$new"
    printf '2,,"%s"\n3,x,\n\n' "$new"
    printf '4,x,\\x%s\n5,x,0x%s\n' "$newhex" "$(printf %s "$newhex" | tr a-f A-F)"
    printf '6,%s,%s,%s\n' "$old" "$(printf %s "$new" | tr -d = | tr '+/' '-_')" "$old"
} >want
exits 0 'a column of CSV, in base64, base64url and hex' rewrap contoso --column 3 --header
same want out 'keeps every other byte and every form'
tr ',' '\t' <in | grep -v '^1' >tsv
in=tsv exits 0 'a column of TSV' rewrap contoso --column 3 --delimiter '\t' --header
tr ',' '\t' <want | grep -v '^1' >want2
same want2 out 'does the same'
in=six exits 1 'a column that is not there' rewrap contoso --column 2
same six out 'changes nothing'
says '^keyward: line 6: the line does not have so many columns' 'and is told for each line'

# From another slot.
for n in 1 2; do printf '%s|crm/%s|%s\n' "$n" "$n" "$(keyward wrap fabrikam --context "crm/$n" <"key.$n" 2>/dev/null)"; done >in
printf '3|crm/other|%s\n4|crm/4|%s\n' "$(sed -n '1s/.*|//p' in)" "$(sed -n 4p once)" >>in
exits 1 '--from another slot' rewrap contoso --from fabrikam --column 3 --delimiter '|' --context-column 2
says '4 lines: 2 rewrapped, 1 current, 0 without an envelope, 1 failed' 'moves what opens there'
says '^keyward: line 3: ' 'tells the line whose context is another'
cut -d'|' -f3 out >moved
for n in 1 2; do holds "data key $n has moved" opens contoso "crm/$n" "$(sed -n ${n}p moved)" "key.$n"; done
cp out in
grep -v '^3' in >good
in=good exits 0 'again' rewrap contoso --from fabrikam --column 3 --delimiter '|' --context-column 2
same good out 'nothing changes'
exits 0 'one context for all' keyward rewrap contoso --from fabrikam --context '' <<<"$alien"
exits 1 'from a slot with sealed data keys to one without' keyward rewrap contoso --from closed </dev/null
says 'sealed' 'is refused'
exits 0 'the other way is allowed' keyward rewrap closed --from contoso </dev/null
exits 1 'a slot that offers no envelopes' keyward rewrap plain </dev/null
says 'mechanisms = ' 'says what to set'

# An RSA key, whose envelopes are longer and carry an origin tag.
keyward wrap rsa --context crm/1 <key.1 >in 2>/dev/null
keyward rotate rsa >/dev/null 2>&1
exits 0 'under an RSA key' rewrap rsa
equal "$(version "$(cat out)")" 2 'the new version'
holds 'wraps the same data key' opens rsa crm/1 "$(cat out)" key.1
cp out in
exits 0 'from there under an AES key' rewrap contoso --from rsa --context crm/1
holds 'too' opens contoso crm/1 "$(cat out)" key.1
cp out in
exits 0 'and back' rewrap rsa --from contoso --context crm/1
holds 'too' opens rsa crm/1 "$(cat out)" key.1

# The token refuses.
keyward disable contoso --version 1 >/dev/null 2>&1
in=six exits 1 'envelopes of a version that is disabled' rewrap contoso
same six out 'stay as they are'
says '6 lines: 0 rewrapped, 0 current, 0 without an envelope, 6 failed' 'each is told'
keyward enable contoso --version 1 >/dev/null 2>&1
in=six exits 0 'enabled again' rewrap contoso
head -n 6 once >six.new
same six.new out 'they are made new'

# Outputs and inputs that fail.
for ((n = 0; n < 500; n++)); do cat six; done >in
full() { keyward rewrap contoso <in >/dev/full; }
exits 1 'a full disk' full
says 'standard output cannot be written: No space left' 'is told'
closed() {
    { keyward rewrap contoso <in 2>said; echo $? >status; } | head -n 1 >/dev/null
    cat said
    return "$(cat status)"
}
exits 1 'a reader that goes away' closed
says 'standard output cannot be written: Broken pipe' 'is told'
unread() { keyward rewrap contoso </ >out; }
exits 1 'an input that cannot be read' unread
says 'standard input cannot be read' 'is told'

# What is on the way is not held back, and the terminal sees how far it is.
answer() {
    coproc PIPE { keyward rewrap contoso 2>/dev/null; }
    echo "$old" >&"${PIPE[1]}"
    IFS= read -r -t 20 got <&"${PIPE[0]}"
    eval "exec ${PIPE[1]}>&-"
    wait "$PIPE_PID" 2>/dev/null
    [ "$got" = "$new" ]
}
holds 'a line is answered before the next one comes' answer
for _ in $(seq 15); do cat in; done >many # enough to take longer than the terminal waits for its first line, on any machine
on_terminal() { script -qec 'keyward rewrap contoso <many >out' /dev/null </dev/null; }
exits 0 'on a terminal' on_terminal
says '[0-9]+ lines, [0-9]+ a second, [0-9]+ %, [0-9]+:[0-9]+ left' 'progress, rate and time left are shown'
exits 0 'piped' rewrap contoso
hides 'a second' 'they are not'

# lost: after the first line the token is gone.
lost() {
    mkfifo to from
    { keyward rewrap contoso <to >from 2>said; echo $? >status; } &
    exec 4>to 5<from
    head -n 1 six >&4
    read -r -t 20 got <&5
    mv tokens away && mkdir tokens
    cat six >&4
    exec 4>&-
    cat <&5 >out
    wait $!
    exec 5<&-
    rm -r tokens && mv away tokens
    cat said
    return "$(cat status)"
}
exits 1 'a token that goes away on the way' lost
equal "$got" "$new" 'what was done is written'
same six out 'what is left is written unchanged'
says '^keyward: line 2: the token cannot be reached' 'the first line is told with the reason'
says '^keyward: line 3: the token does not answer; this line and those after it' 'the others at once'
says '7 lines: 1 rewrapped, 0 current, 0 without an envelope, 1 failed, 5 not tried' 'and all are counted'

exits 2 'no slot: usage' keyward rewrap
exits 2 'an option that there is not' keyward rewrap contoso --all
exits 2 '--column 0' keyward rewrap contoso --column 0
exits 2 '--delimiter of two characters' keyward rewrap contoso --delimiter ab
exits 2 '--jobs 9' keyward rewrap contoso --jobs 9
exits 2 '--from the slot itself' keyward rewrap contoso --from contoso
exits 2 'a context without --from' keyward rewrap contoso --context a
exits 1 'a slot that there is not' keyward rewrap nobody
finish
