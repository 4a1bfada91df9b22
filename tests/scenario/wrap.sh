#!/bin/bash
# The main job by pkcs11-tool: a data key generated, read, wrapped and unwrapped, each in a process of its own.
. "$(dirname "$0")/setup.sh"
make_token eu-1
{
    token_section eu-1
    printf '[slot contoso]\ntokens = eu-1\n'
} >"$KEYWARD_CONF"
exits 0 'the master key is made' keyward create contoso
cmk=$(cmk_id contoso)
equal "${#cmk}" 32 'its id is shown'

exits 0 'a data key is generated' tool contoso --keygen --key-type AES:32 --id 01 --label orders --extractable
says '^  Usage: +none$' 'it has no use but being wrapped, whatever the template of pkcs11-tool says'
exits 0 'it is read' tool contoso --read-object --type secrkey --id 01 -o "$work/value"
equal "$(stat -c %s "$work/value")" 32 'it has 32 bytes'
exits 0 'it is wrapped by another process' \
    tool contoso --wrap -m AES-KEY-WRAP --id "$cmk" --application-id 01 -o "$work/wrapped"
equal "$(stat -c %s "$work/wrapped")" 40 'RFC 3394 gives 40 bytes'
exits 0 'it is wrapped again' tool contoso --wrap -m AES-KEY-WRAP --id "$cmk" --application-id 01 -o "$work/again"
same "$work/wrapped" "$work/again" 'RFC 3394 gives the same bytes each time'

exits 0 'it is unwrapped with --key-type AES:' tool contoso --unwrap -m AES-KEY-WRAP --id "$cmk" --application-id 02 \
    --key-type AES: --extractable -i "$work/wrapped"
exits 0 'and read' tool contoso --read-object --type secrkey --id 02 -o "$work/value2"
same "$work/value" "$work/value2" 'the value came back'
exits 0 'it is unwrapped with --key-type AES:32' tool contoso --unwrap -m AES-KEY-WRAP --id "$cmk" --application-id 03 \
    --key-type AES:32 --extractable -i "$work/wrapped"
exits 0 'and read' tool contoso --read-object --type secrkey --id 03 -o "$work/value3"
same "$work/value" "$work/value3" 'the value came back'
exits 1 'a length that is not the one wrapped is refused' tool contoso --unwrap -m AES-KEY-WRAP --id "$cmk" \
    --application-id 04 --key-type AES:16 --extractable -i "$work/wrapped"
equal "$(objects contoso)" 4 'and made nothing'

exits 0 'the same data key by RFC 5649' tool contoso --wrap -m 0x210A --id "$cmk" --application-id 01 -o "$work/padded"
exits 0 'and back' tool contoso --unwrap -m 0x210B --id "$cmk" --application-id 05 --key-type AES: --extractable -i "$work/padded"
exits 0 'and read' tool contoso --read-object --type secrkey --id 05 -o "$work/value5"
same "$work/value" "$work/value5" 'the value came back'
exits 1 'one format is not taken for the other' tool contoso --unwrap -m AES-KEY-WRAP --id "$cmk" --application-id 06 \
    --key-type AES: --extractable -i "$work/padded"
says 'CKR_WRAPPED_KEY_INVALID' 'and says that the blob is bad'

cp "$work/again" "$work/changed"
byte=$(od -An -tu1 -j20 -N1 "$work/changed")
printf '%b' "\\x$(printf %02x $((byte ^ 1)))" | dd of="$work/changed" bs=1 seek=20 conv=notrunc status=none
exits 1 'a blob with one bit changed is refused' tool contoso --unwrap -m AES-KEY-WRAP --id "$cmk" --application-id 06 \
    --key-type AES: --extractable -i "$work/changed"
says 'CKR_WRAPPED_KEY_INVALID' 'and says that the blob is bad'
head -c 32 "$work/again" >"$work/short"
exits 1 'a blob that was cut is refused' tool contoso --unwrap -m AES-KEY-WRAP --id "$cmk" --application-id 06 \
    --key-type AES: --extractable -i "$work/short"
equal "$(objects contoso)" 5 'nothing of that made a key'

exits 0 'a data key that may not leave is generated' tool contoso --keygen --key-type AES:16 --id 07 --sensitive
exits 1 'it cannot be read' tool contoso --read-object --type secrkey --id 07 -o "$work/value7"
exits 1 'and not wrapped' tool contoso --wrap -m AES-KEY-WRAP --id "$cmk" --application-id 07 -o "$work/wrapped7"
says 'CKR_KEY_(UNEXTRACTABLE|NOT_WRAPPABLE)' 'because it is not extractable'
exits 1 'the master key cannot be wrapped by itself' tool contoso --wrap -m AES-KEY-WRAP --id "$cmk" --application-id "$cmk" -o "$work/cmk"
exits 1 'the master key cannot be read' tool contoso --read-object --type secrkey --id "$cmk" -o "$work/cmk"
holds 'no byte of it was written' [ ! -s "$work/cmk" ]
exits 1 'a data key does not wrap' tool contoso --wrap -m AES-KEY-WRAP --id 01 --application-id 02 -o "$work/by-data-key"
finish
