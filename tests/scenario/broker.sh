#!/bin/bash
# The example broker: a database under data keys, twice; then a row is moved and a wrapped key is changed.
. "$(dirname "$0")/setup.sh"
make_token eu-1
{
    token_section eu-1
    printf '[slot contoso]\ntokens = eu-1\n[slot fabrikam]\ntokens = eu-1\n'
} >"$KEYWARD_CONF"
broker=$build/tests/broker
uri="pkcs11:token=contoso?module-path=$module"
exits 1 'without a master key it fails' "$broker" "$uri" "$work/none.db"
exits 0 'the master key is made' keyward create contoso

exits 0 'a first run' "$broker" "$uri" "$work/db"
says 'data key made and wrapped by the token' 'makes data keys'
says '^every value came back equal$' 'and reads everything back'
equal "$(sqlite3 "$work/db" 'SELECT count(*), count(DISTINCT wrapped), min(length(wrapped)), max(length(wrapped)) FROM data_keys')" \
    '2|2|40|40' 'the database holds a wrapped data key for each table'
rows=$(sqlite3 "$work/db" 'SELECT count(*) FROM customers')
holds 'there are rows' [ "$rows" -ge 2 ]
sqlite3 "$work/db" 'SELECT * FROM data_keys' >"$work/keys"

exits 0 'a second run' "$broker" "$uri" "$work/db"
hides 'data key made' 'makes no new data key'
says '^every value came back equal$' 'and reads everything back'
equal "$(sqlite3 "$work/db" 'SELECT count(*) FROM customers')" "$rows" 'it adds no rows'
sqlite3 "$work/db" 'SELECT * FROM data_keys' >"$work/keys2"
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
exits 2 'no arguments: usage' "$broker"
finish
