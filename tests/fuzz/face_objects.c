/* face_objects.c: objects, attributes, searches, making, wrapping and unwrapping data keys (PKCS#11 3.2 sections 5.7 and 5.18). */
#include "face.h"
#include "scheme.h"

#include <keyward.h>
#include <string.h>

#define KW_FUNCTION(table, name, gate, call, parameters) CK_RV name parameters;
#include "functions.def"
#undef KW_FUNCTION

static const CK_MECHANISM_TYPE wraps[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP,
                                          CKM_AES_CBC_PAD};
static const CK_MECHANISM_TYPE makers[] = {CKM_AES_KEY_GEN, CKM_GENERIC_SECRET_KEY_GEN, CKM_AES_KEY_GEN, CKM_DES3_KEY_GEN};

static enum kw_format format_of(CK_MECHANISM_TYPE type)
{
    return type == CKM_AES_KEY_WRAP ? KW_FORMAT_KW : KW_FORMAT_KWP;
}

/* What the target reads for itself, with nothing failing. */
static CK_RV look(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *a)
{
    recording_quiet(true);
    CK_RV rv = C_GetAttributeValue(session, handle, a, 1);
    recording_quiet(false);
    return rv;
}

/* Whether a caller may be told the value. */
static bool readable(const struct ledger_object *o)
{
    return !o->cmk && !o->gone && o->slot != 1 && !o->key.spec.sensitive && o->key.spec.extractable;
}

/* A key that was made in this call: there is one, and it reads as what it is. */
static void made_key(struct face *f, const struct ledger_session *s, CK_OBJECT_HANDLE handle)
{
    uint8_t value[KW_DEK_LENGTH_MAX];
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    INPUT_MUST(f->ledger.logged_in[s->slot], "a data key is made without a login");
    INPUT_MUST(recording_made() == f->made + 1, "CKR_OK, but the engine has not made one data key");
    INPUT_MUST(recording_last()->slot == s->slot, "a data key is made in another slot");
    INPUT_MUST(s->rw || !recording_last()->spec.token, "a read-only session makes a token object");
    struct ledger_object *o = ledger_add_object(&f->ledger, handle);
    o->slot = s->slot;
    o->key = *recording_last();
    o->owner = o->key.spec.token ? 0 : s->handle;
    CK_RV rv = look(s->handle, handle, &a);
    if (readable(o)) {
        INPUT_MUST(rv == CKR_OK && a.ulValueLen == o->key.spec.len && memcmp(value, o->key.value, o->key.spec.len) == 0,
                   "a readable data key does not read as what was made");
    } else {
        INPUT_MUST(rv == CKR_ATTRIBUTE_SENSITIVE && a.ulValueLen == CK_UNAVAILABLE_INFORMATION, "a sealed data key is read");
    }
}

static void op_create(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    struct grammar_template t = grammar_template(&f->in, GRAMMAR_CREATE);
    CK_OBJECT_HANDLE *out = face_place(f, sizeof *out);
    FACE_CALL(f, rv, C_CreateObject, handle, t.items, t.count, out);
    face_check_place(rv, out, sizeof *out);
    const struct ledger_session *s = face_session(f, handle, rv);
    if (rv == CKR_OK) {
        made_key(f, s, *out);
        const struct recording_key *k = recording_last();
        for (CK_ULONG i = 0; i < t.count; i++) {
            const CK_ATTRIBUTE *a = &t.items[i];
            INPUT_MUST(a->type != CKA_VALUE || (a->ulValueLen == k->spec.len && memcmp(a->pValue, k->value, k->spec.len) == 0),
                       "C_CreateObject makes another key than the caller gave");
        }
    }
}

static void op_generate(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_MECHANISM *mechanism = grammar_mechanism(&f->in, makers, sizeof makers / sizeof makers[0]);
    struct grammar_template t = grammar_template(&f->in, GRAMMAR_GENERATE);
    CK_OBJECT_HANDLE *out = face_place(f, sizeof *out);
    FACE_CALL(f, rv, C_GenerateKey, handle, mechanism, t.items, t.count, out);
    face_check_place(rv, out, sizeof *out);
    const struct ledger_session *s = face_session(f, handle, rv);
    if (rv == CKR_OK) {
        made_key(f, s, *out);
        INPUT_MUST(recording_last()->local, "a generated data key is not local");
        INPUT_MUST((recording_last()->spec.type == CKK_AES) == (mechanism->mechanism == CKM_AES_KEY_GEN),
                   "the mechanism makes another key type");
    }
}

static void op_destroy(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_OBJECT_HANDLE object = ledger_pick_object(&f->ledger, &f->in, handle, input_flag(&f->in));
    FACE_CALL(f, rv, C_DestroyObject, handle, object);
    const struct ledger_session *s = face_session(f, handle, rv);
    struct ledger_object *o = ledger_object(&f->ledger, object);
    if (rv == CKR_OK) {
        o = face_object(f, s, object);
        INPUT_MUST(!o->cmk, "C_DestroyObject destroys a master key");
        INPUT_MUST(s->rw || !o->key.spec.token, "a read-only session destroys a token object");
        o->alive = false;
    } else if (s != NULL && o != NULL && o->alive && o->slot == s->slot) {
        INPUT_MUST(!o->gone && kw_dek_in_memory(&o->key.spec) && !o->cmk ? rv == CKR_HOST_MEMORY || f->told != CKR_OK : true,
                   "a data key of the memory home is not destroyed");
        o->alive = rv != CKR_OBJECT_HANDLE_INVALID;
    }
}

static void op_size(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_OBJECT_HANDLE object = ledger_pick_object(&f->ledger, &f->in, handle, input_flag(&f->in));
    CK_ULONG *size = face_place(f, sizeof *size);
    FACE_CALL(f, rv, C_GetObjectSize, handle, object, size);
    face_check_place(rv, size, sizeof *size);
    const struct ledger_session *s = face_session(f, handle, rv);
    if (rv == CKR_OK) {
        (void)face_object(f, s, object);
    }
}

/* One attribute of an answer; `asked` is how it was. */
static void check_answer(const struct ledger_object *o, const CK_ATTRIBUTE *asked, const CK_ATTRIBUTE *a)
{
    bool given = a->ulValueLen != CK_UNAVAILABLE_INFORMATION;
    INPUT_MUST(a->type == asked->type && a->pValue == asked->pValue, "C_GetAttributeValue changes more than a length");
    if (asked->pValue != NULL && !given && asked->ulValueLen != CK_UNAVAILABLE_INFORMATION) {
        INPUT_MUST(input_untouched(asked->pValue, asked->ulValueLen), "an attribute that is not given is written");
    }
    if (asked->pValue != NULL && given) {
        const uint8_t *bytes = asked->pValue;
        INPUT_MUST(a->ulValueLen <= asked->ulValueLen, "an attribute is longer than its room");
        INPUT_MUST(input_untouched(bytes + a->ulValueLen, asked->ulValueLen - a->ulValueLen), "more is written than told");
    }
    if (a->type == CKA_VALUE && given) {
        INPUT_MUST(readable(o), "a value is given that may not be read");
        INPUT_MUST(a->ulValueLen == o->key.spec.len && (a->pValue == NULL || memcmp(a->pValue, o->key.value, a->ulValueLen) == 0),
                   "a data key reads as another one");
    }
}

static void op_get(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_OBJECT_HANDLE object = ledger_pick_object(&f->ledger, &f->in, handle, input_flag(&f->in));
    struct grammar_template t = grammar_question(&f->in);
    bool real = t.items != NULL && t.count <= GRAMMAR_ITEMS_MAX;
    const CK_ATTRIBUTE *asked = real ? input_copy(&f->in, t.items, t.count * sizeof *t.items) : NULL;
    FACE_CALL(f, rv, C_GetAttributeValue, handle, object, t.items, t.count);
    const struct ledger_session *s = face_session(f, handle, rv);
    bool filled = s != NULL && f->told == CKR_OK &&
                  (rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_BUFFER_TOO_SMALL);
    if (!filled) {
        for (CK_ULONG i = 0; real && i < t.count; i++) {
            INPUT_MUST(memcmp(&t.items[i], &asked[i], sizeof asked[i]) == 0, "an error changes the template");
            bool room = asked[i].pValue != NULL && asked[i].ulValueLen != CK_UNAVAILABLE_INFORMATION;
            INPUT_MUST(!room || input_untouched(asked[i].pValue, asked[i].ulValueLen), "an error writes to an attribute");
        }
        return;
    }
    const struct ledger_object *o = face_object(f, s, object);
    for (CK_ULONG i = 0; i < t.count; i++) {
        check_answer(o, &asked[i], &t.items[i]);
        INPUT_MUST(rv != CKR_OK || t.items[i].ulValueLen != CK_UNAVAILABLE_INFORMATION, "CKR_OK, but an attribute is missing");
    }
}

static void op_set(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_OBJECT_HANDLE object = ledger_pick_object(&f->ledger, &f->in, handle, input_flag(&f->in));
    struct grammar_template t = {NULL, 0};
    if (input_flag(&f->in)) {
        t = grammar_template(&f->in, GRAMMAR_OTHER);
    } else {
        CK_ATTRIBUTE a = {input_flag(&f->in) ? CKA_ID : CKA_LABEL, NULL, input_byte(&f->in) % 130};
        a.pValue = input_take(&f->in, a.ulValueLen);
        t = (struct grammar_template){input_copy(&f->in, &a, sizeof a), 1};
    }
    FACE_CALL(f, rv, C_SetAttributeValue, handle, object, t.items, t.count);
    const struct ledger_session *s = face_session(f, handle, rv);
    if (rv == CKR_OK) {
        const struct ledger_object *o = face_object(f, s, object);
        INPUT_MUST(!o->cmk, "C_SetAttributeValue changes a master key");
        for (CK_ULONG i = 0; i < t.count; i++) {
            uint8_t now[KW_DEK_TEXT_MAX];
            CK_ATTRIBUTE a = {t.items[i].type, now, sizeof now};
            INPUT_MUST(a.type == CKA_LABEL || a.type == CKA_ID, "C_SetAttributeValue changes another attribute");
            INPUT_MUST(look(handle, object, &a) == CKR_OK && a.ulValueLen == t.items[i].ulValueLen &&
                           (a.ulValueLen == 0 || memcmp(now, t.items[i].pValue, a.ulValueLen) == 0),
                       "what was set does not read back");
        }
    }
}

static void op_find_init(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    struct grammar_template t = {NULL, 0};
    if (input_flag(&f->in)) {
        t = grammar_template(&f->in, GRAMMAR_OTHER);
    } else if (input_flag(&f->in)) {
        CK_BBOOL yes = CK_TRUE;
        CK_ATTRIBUTE a = {input_flag(&f->in) ? CKA_WRAP : CKA_UNWRAP, input_copy(&f->in, &yes, sizeof yes), sizeof yes};
        t = (struct grammar_template){input_copy(&f->in, &a, sizeof a), 1};
    }
    FACE_CALL(f, rv, C_FindObjectsInit, handle, t.items, t.count);
    struct ledger_session *s = face_session(f, handle, rv);
    if (s != NULL) {
        INPUT_MUST(rv != CKR_OK || !s->searching, "a second search begins");
        INPUT_MUST(rv != CKR_OPERATION_ACTIVE || s->searching || f->told == rv, "a search is active that was not begun");
        s->searching = s->searching || rv == CKR_OK;
    }
}

/* 16 hex digits of CKA_UNIQUE_ID are the name of a data key of the token home. */
static bool read_name(const char *hex, uint8_t name[KW_DEK_NAME_SIZE])
{
    for (size_t i = 0; i < KW_DEK_NAME_SIZE; i++) {
        unsigned byte = 0;
        for (size_t k = 0; k < 2; k++) {
            const char *at = strchr("0123456789abcdef", hex[2 * i + k]);
            if (at == NULL) {
                return false;
            }
            byte = byte << 4 | (unsigned)(at - "0123456789abcdef");
        }
        name[i] = (uint8_t)byte;
    }
    return true;
}

/* A handle that a search has found for the first time. */
static void found_new(struct face *f, const struct ledger_session *s, CK_OBJECT_HANDLE handle)
{
    CK_ULONG version = 0;
    char hex[2 * KW_DEK_NAME_SIZE + 1] = {0};
    uint8_t name[KW_DEK_NAME_SIZE];
    CK_ATTRIBUTE a = {CKA_KEYWARD_VERSION, &version, sizeof version};
    CK_ATTRIBUTE b = {CKA_UNIQUE_ID, hex, sizeof hex - 1};
    CK_RV rv = look(s->handle, handle, &a);
    if (rv == CKR_OK) {
        struct ledger_object *o = ledger_add_object(&f->ledger, handle);
        o->slot = s->slot;
        o->cmk = true;
        o->version = (uint32_t)version;
        return;
    }
    if (look(s->handle, handle, &b) != CKR_OK) {
        return; /* it was destroyed since the search, or the slot is logged out */
    }
    INPUT_MUST(read_name(hex, name), "CKA_UNIQUE_ID of a data key is no number");
    const struct recording_key *k = recording_named(s->slot, name);
    struct ledger_object *o = ledger_add_object(&f->ledger, handle);
    o->slot = s->slot;
    o->gone = k == NULL;
    if (k != NULL) {
        o->key = *k;
    }
}

static void op_find(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_ULONG room = input_below(&f->in, 12);
    bool lie = input_byte(&f->in) == 255;
    CK_OBJECT_HANDLE *list = lie ? NULL : input_room(&f->in, room * sizeof *list);
    CK_ULONG *count = face_place(f, sizeof *count);
    FACE_CALL(f, rv, C_FindObjects, handle, list, room, count);
    face_check_place(rv, count, sizeof *count);
    INPUT_MUST(rv == CKR_OK || list == NULL || input_untouched(list, room * sizeof *list), "an error changes the list");
    const struct ledger_session *s = face_session(f, handle, rv);
    if (s == NULL || rv != CKR_OK) {
        return;
    }
    INPUT_MUST(s->searching, "C_FindObjects is served without a search");
    INPUT_MUST(*count <= room, "C_FindObjects gives more than there is room for");
    for (CK_ULONG i = 0; i < *count; i++) {
        const struct ledger_object *o = ledger_object(&f->ledger, list[i]);
        INPUT_MUST(o == NULL || o->slot == s->slot, "a search finds an object of another slot");
        if (o == NULL) {
            found_new(f, s, list[i]);
        }
    }
}

static void op_find_final(struct face *f)
{
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    FACE_CALL(f, rv, C_FindObjectsFinal, handle);
    struct ledger_session *s = face_session(f, handle, rv);
    if (s != NULL) {
        INPUT_MUST((rv == CKR_OK) == s->searching, "C_FindObjectsFinal does not know whether there is a search");
        s->searching = false;
    }
}

/* What a broker does first: find everything. */
static void find_all(struct face *f, CK_SESSION_HANDLE handle)
{
    CK_RV rv = CKR_OK;
    struct ledger_session *s = ledger_session(&f->ledger, handle);
    if (s == NULL || !s->open || s->searching || !f->ledger.initialized) {
        return;
    }
    FACE_CALL(f, rv, C_FindObjectsInit, handle, NULL, 0);
    while (rv == CKR_OK) {
        CK_OBJECT_HANDLE one = 0;
        CK_ULONG count = 0;
        FACE_CALL(f, rv, C_FindObjects, handle, &one, 1, &count);
        if (count == 0) {
            break;
        }
        INPUT_MUST(f->ledger.logged_in[s->slot], "a search finds something without a login");
        if (ledger_object(&f->ledger, one) == NULL) {
            found_new(f, s, one);
        }
        INPUT_MUST(ledger_object(&f->ledger, one) != NULL && ledger_object(&f->ledger, one)->slot == s->slot,
                   "a search finds an object of another slot");
    }
    (void)C_FindObjectsFinal(handle);
}

static void op_find_all(struct face *f)
{
    find_all(f, ledger_pick_session(&f->ledger, &f->in));
}

/* A broker begins: a session, the login, a search. */
static void op_begin(struct face *f)
{
    CK_RV rv = CKR_OK;
    size_t slot = input_below(&f->in, RECORDING_SLOTS);
    CK_SESSION_HANDLE handle = 0;
    CK_UTF8CHAR pin[] = RECORDING_PIN;
    if (!f->ledger.initialized || ledger_open_sessions(&f->ledger, RECORDING_SLOTS) == LEDGER_SESSIONS) {
        return;
    }
    FACE_CALL(f, rv, C_OpenSession, f->slots[slot], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &handle);
    if (rv != CKR_OK) {
        return;
    }
    struct ledger_session *s = ledger_add_session(&f->ledger, handle);
    s->slot = slot;
    s->rw = true;
    FACE_CALL(f, rv, C_Login, handle, CKU_USER, pin, sizeof pin - 1);
    f->ledger.logged_in[slot] = f->ledger.logged_in[slot] || rv == CKR_OK;
    find_all(f, handle);
}

/* A blob that C_WrapKey gave opens, in the model, to the key that was wrapped, under the version that was asked for. */
static void check_blob(struct face *f, const struct ledger_session *s, const struct recording_blob *blob,
                       const struct recording_key *key)
{
    uint8_t value[KW_DEK_LENGTH_MAX];
    size_t len = 0;
    INPUT_MUST(recording_open(blob, value, &len), "C_WrapKey gives no wrapped key of this version");
    INPUT_MUST(len == key->spec.len && memcmp(value, key->value, len) == 0, "C_WrapKey wraps another key");
    struct ledger_blob *b = ledger_add_blob(&f->ledger);
    *b = (struct ledger_blob){.slot = s->slot, .version = blob->version, .format = blob->format, .len = blob->len};
    memcpy(b->bytes, blob->bytes, blob->len);
}

static void op_wrap(struct face *f)
{
    static const CK_ULONG rooms[] = {528, 40, 24, 32, 0, 1, 39};
    CK_RV rv = CKR_OK;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_MECHANISM *mechanism = grammar_mechanism(&f->in, wraps, sizeof wraps / sizeof wraps[0]);
    CK_OBJECT_HANDLE cmk = ledger_pick_object(&f->ledger, &f->in, handle, true);
    CK_OBJECT_HANDLE key = ledger_pick_object(&f->ledger, &f->in, handle, false);
    CK_ULONG room = rooms[input_below(&f->in, 7)];
    CK_BYTE *out = input_flag(&f->in) ? NULL : input_room(&f->in, room);
    CK_ULONG told = out == NULL ? input_number(&f->in, 8) : room;
    CK_ULONG *len = input_byte(&f->in) == 255 ? NULL : input_copy(&f->in, &told, sizeof told);
    FACE_CALL(f, rv, C_WrapKey, handle, mechanism, cmk, key, out, len);
    INPUT_MUST(rv == CKR_OK || out == NULL || input_untouched(out, room), "an error changes the room of the wrapped key");
    INPUT_MUST(rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL || len == NULL || *len == told, "an error changes the length");
    const struct ledger_session *s = face_session(f, handle, rv);
    if (rv != CKR_OK && (rv != CKR_BUFFER_TOO_SMALL || f->told != CKR_OK)) {
        return;
    }
    const struct ledger_object *c = face_object(f, s, cmk);
    const struct ledger_object *k = face_object(f, s, key);
    if (k->gone) {
        INPUT_MUST(rv != CKR_OK || out == NULL, "a data key is wrapped that is gone");
        return;
    }
    INPUT_MUST(c->cmk && !k->cmk && k->key.spec.extractable, "a key wraps or is wrapped that may not");
    size_t need = kw_scheme_blob_len(&(struct kw_scheme){.format = format_of(mechanism->mechanism)}, 0, k->key.spec.len);
    INPUT_MUST(*len == need && need > 0, "C_WrapKey tells another length");
    INPUT_MUST(rv != CKR_BUFFER_TOO_SMALL || (out != NULL && room < need), "CKR_BUFFER_TOO_SMALL, but it fits");
    if (rv == CKR_OK && out != NULL) {
        INPUT_MUST(input_untouched(out + need, room - need), "C_WrapKey writes more than it tells");
        const struct recording_blob blob = {s->slot, c->version, format_of(mechanism->mechanism), out, need};
        check_blob(f, s, &blob, &k->key);
    }
}

/* A blob that was given before, perhaps with a bit or its end changed; or bytes of the input. */
static CK_BYTE *pick_blob(struct face *f, CK_ULONG *len)
{
    size_t choice = input_byte(&f->in);
    if (choice >= 224 || f->ledger.blob_count == 0) {
        bool lie = choice >= 248 && choice < 254;
        CK_ULONG real = choice < 232 ? input_number(&f->in, 2) % (KW_BLOB_MAX + 40) : 8 * (input_byte(&f->in) % 80UL);
        *len = lie ? grammar_length(&f->in) : real;
        return choice == 254 ? NULL : input_take(&f->in, lie ? 4 : real);
    }
    const struct ledger_blob *b = &f->ledger.blobs[choice % f->ledger.blob_count];
    *len = b->len;
    if (choice >= 192) {
        *len -= input_below(&f->in, 9);
    }
    CK_BYTE *bytes = input_copy(&f->in, b->bytes, *len);
    if (choice >= 160 && choice < 192) {
        size_t bit = input_number(&f->in, 2) % (*len * 8);
        bytes[bit / 8] ^= (CK_BYTE)(1U << bit % 8);
    }
    return bytes;
}

static void op_unwrap(struct face *f)
{
    CK_RV rv = CKR_OK;
    uint8_t value[KW_DEK_LENGTH_MAX];
    size_t value_len = 0;
    CK_ULONG len = 0;
    CK_SESSION_HANDLE handle = ledger_pick_session(&f->ledger, &f->in);
    CK_MECHANISM *mechanism = grammar_mechanism(&f->in, wraps, sizeof wraps / sizeof wraps[0]);
    CK_OBJECT_HANDLE cmk = ledger_pick_object(&f->ledger, &f->in, handle, true);
    CK_BYTE *blob = pick_blob(f, &len);
    struct grammar_template t = grammar_template(&f->in, GRAMMAR_UNWRAP);
    CK_OBJECT_HANDLE *out = face_place(f, sizeof *out);
    FACE_CALL(f, rv, C_UnwrapKey, handle, mechanism, cmk, blob, len, t.items, t.count, out);
    face_check_place(rv, out, sizeof *out);
    const struct ledger_session *s = face_session(f, handle, rv);
    if (rv != CKR_OK) {
        return;
    }
    const struct ledger_object *c = face_object(f, s, cmk);
    INPUT_MUST(c->cmk, "a data key unwraps");
    made_key(f, s, *out);
    const struct recording_blob b = {s->slot, 0, format_of(mechanism->mechanism), blob, len};
    INPUT_MUST(recording_open(&b, value, &value_len), "C_UnwrapKey accepts what is no wrapped key of this slot");
    const struct recording_key *k = recording_last();
    INPUT_MUST(k->spec.len == value_len && memcmp(k->value, value, value_len) == 0, "C_UnwrapKey gives another key");
    for (CK_ULONG i = 0; i < t.count; i++) {
        CK_ULONG want = 0;
        if (t.items[i].type == CKA_VALUE_LEN) {
            memcpy(&want, t.items[i].pValue, sizeof want);
            INPUT_MUST(want == value_len, "the key has another length than the template says");
        }
    }
}

face_op *const face_object_ops[] = {
    op_begin,    op_create, op_generate, op_wrap, op_unwrap,    op_create, op_generate, op_wrap,       op_unwrap,
    op_get,      op_set,    op_destroy,  op_size, op_find_init, op_find,   op_find_final, op_get,      op_find_all,
};
const size_t face_object_count = sizeof face_object_ops / sizeof face_object_ops[0];
