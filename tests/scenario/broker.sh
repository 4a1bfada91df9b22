#!/bin/bash
# The example broker: a database under data keys, twice; a row is moved, a wrapped key is changed; a rotation, a rewrap, a revocation and its recovery.
. "$(dirname "$0")/setup.sh"
make_token eu-1
{
    token_section eu-1
    printf '[slot contoso]\ntokens = eu-1\n[slot fabrikam]\ntokens = eu-1\n'
} >"$KEYWARD_CONF"
broker=$(watched "$build/tests/broker")
uri="pkcs11:token=contoso?module-path=$module"
exits 1 'without a master key it fails' "$broker" "$uri" "$work/none.db"
exits 0 'the master key is made' keyward create contoso

exits 0 'a first run' "$broker" "$uri" "$work/db"
says 'data key made and wrapped by the token' 'makes data keys'
says '^every value came back equal$' 'and reads everything back'
equal "$(sqlite3 "$work/db" 'SELECT count(*), count(DISTINCT wrapped), min(length(wrapped)), max(length(wrapped)) FROM data_keys')" \
    '2|2|124|124' 'the database holds a wrapped data key for each table'
rows=$(sqlite3 "$work/db" 'SELECT count(*) FROM customers')
holds 'there are rows' [ "$rows" -ge 2 ]
sqlite3 "$work/db" 'SELECT table_name, hex(wrapped) FROM data_keys' >"$work/keys"

exits 0 'a second run' "$broker" "$uri" "$work/db"
hides 'data key made' 'makes no new data key'
says '^every value came back equal$' 'and reads everything back'
equal "$(sqlite3 "$work/db" 'SELECT count(*) FROM customers')" "$rows" 'it adds no rows'
sqlite3 "$work/db" 'SELECT table_name, hex(wrapped) FROM data_keys' >"$work/keys2"
same "$work/keys" "$work/keys2" 'the wrapped keys are the same'
equal "$(objects contoso)" 1 'it left no data key in the token'

cp "$work/db" "$work/moved.db"
sqlite3 "$work/moved.db" 'UPDATE customers SET card = (SELECT card FROM customers WHERE id = 2) WHERE id = 1'
exits 1 'a value that was moved to another row is found' "$broker" "$uri" "$work/moved.db"
hides '^every value came back equal$' 'and not called equal'

cp "$work/db" "$work/exchanged.db"
sqlite3 "$work/exchanged.db" "UPDATE data_keys SET wrapped =
    (SELECT wrapped FROM data_keys WHERE table_name = 'tickets') WHERE table_name = 'customers'"
exits 1 'a data key of another table is found' "$broker" "$uri" "$work/exchanged.db"

cp "$work/db" "$work/changed.db"
sqlite3 "$work/changed.db" "UPDATE data_keys SET wrapped = zeroblob(40) WHERE table_name = 'customers'"
exits 1 'a wrapped data key that was changed is found' "$broker" "$uri" "$work/changed.db"

exits 0 'another tenant gets a master key' keyward create fabrikam
exits 1 'and cannot open the database' "$broker" "pkcs11:token=fabrikam?module-path=$module" "$work/db"
exits 0 'the database itself is as it was' "$broker" "$uri" "$work/db"
# The envelopes follow a rotation. Each UPDATE holds only if the row is still as it was read; rewrap changes what stands between the first two quotes.
versions() { sqlite3 "$work/db" 'SELECT hex(wrapped) FROM data_keys' | while read -r e; do keyward inspect --json "$e" | jq .version; done | xargs; }
updates="SELECT format('UPDATE data_keys SET wrapped = x''%s'' WHERE wrapped = x''%s'';', hex(wrapped), hex(wrapped)) FROM data_keys"
sqlite3 "$work/db" 'SELECT table_name, hex(wrapped) FROM data_keys' >"$work/keys"
exits 0 'the master key is rotated' keyward rotate contoso
exits 0 'what is stored opens as before' "$broker" "$uri" "$work/db"
equal "$(versions)" '1 1' 'under the version that it was wrapped by'
sqlite3 "$work/db" "$updates" >"$work/before.sql"
exits 0 'it is rewrapped' keyward rewrap contoso --column 2 --delimiter "'" <"$work/before.sql"
grep '^UPDATE' "$work/output" >"$work/after.sql"
sqlite3 "$work/db" <"$work/after.sql"
equal "$(versions)" '2 2' 'and under the new version'
exits 0 'it opens' "$broker" "$uri" "$work/db"
hides 'data key made' 'with the same data keys'
sqlite3 "$work/db" <"$work/after.sql"
sqlite3 "$work/db" 'SELECT table_name, hex(wrapped) FROM data_keys' >"$work/keys2"
holds 'the old wrapped keys are gone' not cmp -s "$work/keys" "$work/keys2"
exits 0 'now nothing needs the old version' keyward disable contoso --version 1
exits 0 'and the broker does not either' "$broker" "$uri" "$work/db"

exits 0 'the customer takes the key away' keyward disable contoso
exits 1 'the broker stops' "$broker" "$uri" "$work/db"
hides '^every value came back equal$' 'and opens nothing'
exits 0 'the customer gives it back' keyward enable contoso
exits 0 'the broker goes on' "$broker" "$uri" "$work/db"
hides 'data key made' 'with what it has stored'

exits 2 'no arguments: usage' "$broker"
finish
