/*
 * CKM_KEYWARD_ENVELOPE in C_WrapKey, C_UnwrapKey, C_WrapKeyAuthenticated and C_UnwrapKeyAuthenticated: PKCS#11 3.2 sections 5.18.2 to
 * 5.18.7; docs/envelope.md; DESIGN section 6; issue 5, points 1 and 2.
 *
 * east, tenancy and west have one master key (the same value, label and CKA_ID); tenancy differs from east by its tenant, west by its geo. With
 * KW_TEST_ENVELOPES=N in the environment every bit of N envelopes is flipped, not of a few.
 */
#include "chapter.h"

enum { ROOM = 1200, CONTEXT_MAX = 65536, KEY_MAX = 512, OVERHEAD = 92, MANY = SANITIZED ? 1 : 4 };

static uint8_t long_context[CONTEXT_MAX + 1];
static uint8_t value[KEY_MAX + 1];
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE cmk;

struct context {
    const char *name;
    const void *bytes;
    size_t len;
};

static void begin_without_key(const char *slot)
{
    session = enter(slot);
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)(i * 7 + 1);
    }
}

static void begin(const char *slot)
{
    begin_without_key(slot);
    cmk = caller_cmk(world, session);
}

static CK_KEYWARD_ENVELOPE_PARAMS params_of(const struct context *c)
{
    static uint8_t copy[CONTEXT_MAX + 1];
    if (c->bytes != NULL && c->len <= sizeof copy) {
        memcpy(copy, c->bytes, c->len);
    }
    return (CK_KEYWARD_ENVELOPE_PARAMS){c->bytes == NULL ? NULL : copy, c->len};
}

static CK_RV wrap(CK_OBJECT_HANDLE key, const struct context *c, uint8_t *out, CK_ULONG *len)
{
    CK_KEYWARD_ENVELOPE_PARAMS p = params_of(c);
    CK_MECHANISM m = {CKM_KEYWARD_ENVELOPE, &p, sizeof p};
    *len = ROOM;
    return p11->C_WrapKey(session, &m, cmk, key, out, len);
}

/* What is asked of an envelope. */
struct opening {
    CK_KEY_TYPE type;
    const uint8_t *bytes;
    CK_ULONG len;
    bool token;
    bool sensitive;
};

static CK_RV unwrap(const struct opening *o, const struct context *c, CK_OBJECT_HANDLE *key)
{
    CK_KEYWARD_ENVELOPE_PARAMS p = params_of(c);
    CK_MECHANISM m = {CKM_KEYWARD_ENVELOPE, &p, sizeof p};
    struct form t = {0};
    uint8_t copy[2 * ROOM];
    memcpy(copy, o->bytes, o->len);
    form_secret(&t, o->type);
    form_bool(&t, CKA_TOKEN, o->token);
    form_bool(&t, CKA_SENSITIVE, o->sensitive);
    form_bool(&t, CKA_EXTRACTABLE, true);
    return p11->C_UnwrapKey(session, &m, cmk, copy, o->len, t.a, t.count, key);
}

static void check_value(CK_OBJECT_HANDLE key, size_t len, const char *what)
{
    uint8_t got[ROOM];
    CHECK(caller_value(world, session, key, got, sizeof got) == len && memcmp(got, value, len) == 0, what);
}

static void opens_to_value(const struct opening *o, const struct context *c, size_t len, const char *what)
{
    CK_OBJECT_HANDLE key = 0;
    CHECK_RV(unwrap(o, c, &key), CKR_OK, what);
    check_value(key, len, what);
    CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, what);
}

static void any_data_key_comes_back_in_its_context(void)
{
    const struct context contexts[] = {
        {"no context", NULL, 0},          {"an empty one", "", 0},
        {"a name", "database/table", 14}, {"64 KiB less one", long_context, CONTEXT_MAX - 1},
        {"64 KiB", long_context, CONTEXT_MAX},
    };
    static const struct {
        CK_KEY_TYPE type;
        size_t first;
        size_t last;
        size_t step;
    } rows[] = {{CKK_AES, 16, 32, 8}, {CKK_GENERIC_SECRET, 1, 41, 1}, {CKK_GENERIC_SECRET, 42, KEY_MAX, 94}};
    begin("east");
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        for (size_t len = rows[r].first; len <= rows[r].last; len += rows[r].step) {
            const struct context *c = &contexts[len % COUNT_OF(contexts)];
            uint8_t out[ROOM];
            struct opening o = {.type = rows[r].type, .bytes = out};
            CK_OBJECT_HANDLE key = caller_import(world, session, rows[r].type, value, len);
            CHECK_RV(wrap(key, c, out, &o.len), CKR_OK, chapter_join("5.18.2", c->name));
            CHECK(o.len == len + OVERHEAD, "docs/envelope.md: how long");
            opens_to_value(&o, c, len, chapter_join("5.18.3", c->name));
            CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, "the data key");
        }
    }
    leave();
}

static void every_context_is_another(void)
{
    const struct context contexts[] = {
        {"none", NULL, 0}, {"a", "a", 1}, {"b", "b", 1}, {"a and a zero byte", "a\0", 2}, {"zeros", long_context, 65535}, {"64 KiB", long_context, CONTEXT_MAX},
    };
    begin("east");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    for (size_t i = 0; i < COUNT_OF(contexts); i++) {
        uint8_t out[ROOM];
        struct opening o = {.type = CKK_AES, .bytes = out};
        CHECK_RV(wrap(key, &contexts[i], out, &o.len), CKR_OK, contexts[i].name);
        for (size_t k = 0; k < COUNT_OF(contexts); k++) {
            CK_OBJECT_HANDLE back = 0;
            CHECK_RV(unwrap(&o, &contexts[k], &back), i == k ? CKR_OK : CKR_WRAPPED_KEY_INVALID, contexts[k].name);
            CHECK((back != 0) == (i == k), "5.18.3: no handle on error");
        }
    }
    leave();
}

static const struct context table = {"database/table", "database/table", 14};

/* One envelope of each slot, tried in each slot. */
static void every_slot_is_another(void)
{
    static const char *const slots[] = {"east", "tenancy", "west", "own", "weak"};
    static uint8_t made[COUNT_OF(slots)][ROOM];
    CK_ULONG lens[COUNT_OF(slots)] = {0};
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        begin(slots[i]);
        CHECK_RV(wrap(caller_import(world, session, CKK_AES, value, 16), &table, made[i], &lens[i]), CKR_OK, slots[i]);
        leave();
    }
    CHECK(memcmp(made[0] + 8, made[1] + 8, 12) == 0 && memcmp(made[0] + 8, made[2] + 8, 12) == 0, "one lineage, three places");
    for (size_t k = 0; k < COUNT_OF(slots); k++) {
        begin(slots[k]);
        for (size_t i = 0; i < COUNT_OF(slots); i++) {
            CK_OBJECT_HANDLE key = 0;
            const struct opening o = {.type = CKK_AES, .bytes = made[i], .len = lens[i]};
            CHECK_RV(unwrap(&o, &table, &key), i == k ? CKR_OK : CKR_WRAPPED_KEY_INVALID, chapter_join(slots[i], slots[k]));
        }
        leave();
    }
}

static void a_bad_parameter_is_refused_unread(void)
{
    static uint8_t context[4];
    CK_KEYWARD_ENVELOPE_PARAMS good = {context, sizeof context};
    CK_KEYWARD_ENVELOPE_PARAMS null_with_length = {NULL, 1};
    CK_KEYWARD_ENVELOPE_PARAMS too_long = {long_context, CONTEXT_MAX + 1};
    CK_KEYWARD_ENVELOPE_PARAMS absurd = {context, CK_UNAVAILABLE_INFORMATION};
    const struct {
        const char *what;
        void *parameter;
        CK_ULONG len;
    } rows[] = {
        {"NULL with a length", NULL, sizeof good},      {"no length", &good, 0},
        {"a byte too short", &good, sizeof good - 1},   {"a byte too long", &good, sizeof good + 1},
        {"length -1", &good, CK_UNAVAILABLE_INFORMATION}, {"context NULL with a length", &null_with_length, sizeof good},
        {"context over 64 KiB", &too_long, sizeof good}, {"context of -1", &absurd, sizeof good},
    };
    begin("east");
    uint8_t out[ROOM];
    struct opening o = {.type = CKK_AES, .bytes = out};
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    CHECK_RV(wrap(key, &table, out, &o.len), CKR_OK, "the good one");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CK_MECHANISM m = {CKM_KEYWARD_ENVELOPE, rows[i].parameter, rows[i].len};
        struct form t = {0};
        uint8_t room[ROOM];
        CK_ULONG len = sizeof room;
        CK_OBJECT_HANDLE back = 0;
        form_secret(&t, CKK_AES);
        form_readable(&t);
        CHECK_RV(p11->C_WrapKey(session, &m, cmk, key, room, &len), CKR_MECHANISM_PARAM_INVALID, rows[i].what);
        CHECK_RV(p11->C_UnwrapKey(session, &m, cmk, out, o.len, t.a, t.count, &back), CKR_MECHANISM_PARAM_INVALID, rows[i].what);
    }
    leave();
}

static CK_RV wrap_authenticated(CK_MECHANISM *m, CK_OBJECT_HANDLE key, const struct context *c, uint8_t *out, CK_ULONG *len)
{
    CK_KEYWARD_ENVELOPE_PARAMS p = params_of(c);
    *len = ROOM;
    return p11->C_WrapKeyAuthenticated(session, m, cmk, key, p.pContext, p.ulContextLen, out, len);
}

static CK_RV unwrap_authenticated(CK_MECHANISM *m, uint8_t *bytes, CK_ULONG len, const struct context *c, CK_OBJECT_HANDLE *key)
{
    CK_KEYWARD_ENVELOPE_PARAMS p = params_of(c);
    struct form t = {0};
    form_secret(&t, CKK_AES);
    form_readable(&t);
    return p11->C_UnwrapKeyAuthenticated(session, m, cmk, bytes, len, t.a, t.count, p.pContext, p.ulContextLen, key);
}

static void associated_data_are_the_context(void)
{
    begin("east");
    uint8_t out[ROOM];
    struct opening o = {.type = CKK_AES, .bytes = out};
    CK_MECHANISM m = {CKM_KEYWARD_ENVELOPE, NULL, 0};
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    CK_OBJECT_HANDLE back = 0;
    CHECK_RV(wrap_authenticated(&m, key, &table, out, &o.len), CKR_OK, "3.2, 5.18.6");
    opens_to_value(&o, &table, 32, "5.18.6, then 5.18.3");
    CHECK_RV(wrap(key, &table, out, &o.len), CKR_OK, "5.18.2");
    CHECK_RV(unwrap_authenticated(&m, out, o.len, &table, &back), CKR_OK, "5.18.2, then 3.2, 5.18.7");
    check_value(back, 32, "3.2, 5.18.7");
    const struct context whole = {"64 KiB", long_context, CONTEXT_MAX};
    const struct context more = {"over 64 KiB", long_context, CONTEXT_MAX + 1};
    const struct context null = {"NULL with a length", NULL, 3};
    const struct context none = {"none", NULL, 0};
    CHECK_RV(unwrap_authenticated(&m, out, o.len, &none, &back), CKR_WRAPPED_KEY_INVALID, "another context");
    CHECK_RV(wrap_authenticated(&m, key, &whole, out, &o.len), CKR_OK, whole.name);
    CHECK_RV(unwrap_authenticated(&m, out, o.len, &whole, &back), CKR_OK, whole.name);
    CHECK_RV(wrap_authenticated(&m, key, &none, out, &o.len), CKR_OK, none.name);
    CHECK_RV(unwrap_authenticated(&m, out, o.len, &none, &back), CKR_OK, none.name);
    CHECK_RV(wrap_authenticated(&m, key, &more, out, &o.len), CKR_MECHANISM_PARAM_INVALID, more.name);
    CHECK_RV(unwrap_authenticated(&m, out, ROOM, &more, &back), CKR_MECHANISM_PARAM_INVALID, more.name);
    CHECK_RV(wrap_authenticated(&m, key, &null, out, &o.len), CKR_ARGUMENTS_BAD, null.name);
    CHECK_RV(unwrap_authenticated(&m, out, ROOM, &null, &back), CKR_ARGUMENTS_BAD, null.name);
    CHECK_RV(wrap_authenticated(NULL, key, &table, out, &o.len), CKR_ARGUMENTS_BAD, "the mechanism NULL");
    CK_KEYWARD_ENVELOPE_PARAMS p = params_of(&table);
    CK_MECHANISM with = {CKM_KEYWARD_ENVELOPE, &p, sizeof p};
    CHECK_RV(wrap_authenticated(&with, key, &table, out, &o.len), CKR_MECHANISM_PARAM_INVALID, "a parameter as well");
    static const CK_MECHANISM_TYPE others[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_RSA_PKCS_OAEP, CKM_AES_GCM, CKM_AES_KEY_GEN, 999};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        CHECK_RV(wrap_authenticated(caller_mechanism(others[i]), key, &table, out, &o.len), CKR_MECHANISM_INVALID, "3.2, 5.18.6: only the envelope");
        CHECK_RV(unwrap_authenticated(caller_mechanism(others[i]), out, 100, &table, &back), CKR_MECHANISM_INVALID, "3.2, 5.18.7: only the envelope");
    }
    leave();
}

static void lengths_are_told_and_kept(void)
{
    begin("east");
    uint8_t out[ROOM];
    CK_KEYWARD_ENVELOPE_PARAMS p = params_of(&table);
    CK_MECHANISM m = {CKM_KEYWARD_ENVELOPE, &p, sizeof p};
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    CK_ULONG len = 0;
    CHECK_RV(p11->C_WrapKey(session, &m, cmk, key, NULL, &len), CKR_OK, "5.2: size query");
    CHECK(len == 32 + OVERHEAD, "5.2: the size");
    len--;
    memset(out, 0xEE, sizeof out);
    CHECK_RV(p11->C_WrapKey(session, &m, cmk, key, out, &len), CKR_BUFFER_TOO_SMALL, "5.2: a byte too short");
    CHECK(len == 32 + OVERHEAD && out[0] == 0xEE, "5.2: the size told, nothing written");
    CHECK_RV(p11->C_WrapKey(session, &m, cmk, key, out, &len), CKR_OK, "5.2: just enough");
    CHECK(out[len] == 0xEE, "5.2: not a byte too many");
    struct form t = {0};
    CK_OBJECT_HANDLE back = 0;
    form_secret(&t, CKK_AES);
    form_readable(&t);
    form_ulong(&t, CKA_VALUE_LEN, 16);
    CHECK_RV(p11->C_UnwrapKey(session, &m, cmk, out, len, t.a, t.count, &back), CKR_WRAPPED_KEY_INVALID, "CKA_VALUE_LEN of another length");
    const struct opening other = {.type = CKK_GENERIC_SECRET, .bytes = out, .len = len};
    CHECK_RV(unwrap(&other, &table, &back), CKR_WRAPPED_KEY_INVALID, "ATTACKS A15: another type");
    leave();
}

/* Readable or sealed, in memory or in the token: where it comes from and where it goes. */
static void homes_are_kept(void)
{
    static const struct {
        const char *what;
        bool token;
        bool sensitive;
    } homes[] = {{"memory", false, false}, {"readable in the token", true, false}, {"sealed session", false, true}, {"sealed token", true, true}};
    begin("east");
    uint8_t out[ROOM];
    struct opening o = {.type = CKK_AES, .bytes = out};
    CHECK_RV(wrap(caller_import(world, session, CKK_AES, value, 32), &table, out, &o.len), CKR_OK, "an envelope");
    for (size_t i = 0; i < COUNT_OF(homes); i++) {
        CK_OBJECT_HANDLE key = 0;
        uint8_t again[ROOM];
        struct opening second = {.type = CKK_AES, .bytes = again};
        o.token = homes[i].token;
        o.sensitive = homes[i].sensitive;
        CHECK_RV(unwrap(&o, &table, &key), CKR_OK, homes[i].what);
        if (o.sensitive) {
            CK_ATTRIBUTE a = {CKA_VALUE, again, sizeof again};
            CHECK_RV(p11->C_GetAttributeValue(session, key, &a, 1), CKR_ATTRIBUTE_SENSITIVE, homes[i].what);
        } else {
            check_value(key, 32, homes[i].what);
        }
        CHECK_RV(wrap(key, &table, again, &second.len), o.sensitive ? CKR_KEY_UNEXTRACTABLE : CKR_OK, homes[i].what);
        if (!o.sensitive) {
            opens_to_value(&second, &table, 32, homes[i].what);
            CHECK(memcmp(again, out, o.len) != 0, "a new content key for each envelope");
        } else { /* and a standard mechanism wraps it */
            CK_ULONG len = sizeof again;
            CHECK_RV(p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, key, again, &len), CKR_OK, homes[i].what);
        }
        CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, homes[i].what);
    }
    leave();
}

static void the_configuration_says_which_mechanisms(void)
{
    static const struct {
        const char *slot;
        bool envelope;
        bool standard;
    } rows[] = {{"east", true, true}, {"only", true, false}, {"plain", false, true}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        begin(rows[i].slot);
        uint8_t out[ROOM];
        CK_ULONG len = 0;
        CK_SLOT_ID slot = 0;
        CK_MECHANISM_INFO info;
        CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
        CK_RV envelope = rows[i].envelope ? CKR_OK : CKR_MECHANISM_INVALID;
        CK_RV standard = rows[i].standard ? CKR_OK : CKR_MECHANISM_INVALID;
        CK_MECHANISM m = {CKM_KEYWARD_ENVELOPE, NULL, 0};
        CHECK(caller_slot(world, rows[i].slot, &slot), rows[i].slot);
        CHECK_RV(wrap(key, &table, out, &len), envelope, rows[i].slot);
        CHECK_RV(wrap_authenticated(&m, key, &table, out, &len), envelope, rows[i].slot);
        CHECK_RV(p11->C_GetMechanismInfo(slot, CKM_KEYWARD_ENVELOPE, &info), envelope, rows[i].slot);
        len = sizeof out;
        CHECK_RV(p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, key, out, &len), standard, rows[i].slot);
        CHECK_RV(p11->C_GetMechanismInfo(slot, CKM_AES_KEY_WRAP, &info), standard, rows[i].slot);
        CHECK_RV(p11->C_GetMechanismInfo(slot, CKM_AES_KEY_GEN, &info), CKR_OK, rows[i].slot);
        leave();
    }
}

static bool keyward_on(const char *slot, const char *verb, const char *option, const char *number)
{
    const char *command = fixture_command();
    return command != NULL && fixture_execute(world, (const char *const[]){command, verb, slot, option, number, NULL});
}

static bool keyward(const char *verb, const char *option, const char *number)
{
    return keyward_on("own", verb, option, number);
}

static uint32_t version_in(const uint8_t *envelope)
{
    return (uint32_t)envelope[20] << 24 | (uint32_t)envelope[21] << 16 | (uint32_t)envelope[22] << 8 | envelope[23];
}

static void an_envelope_follows_its_version(void)
{
    uint8_t one[ROOM];
    uint8_t two[ROOM];
    struct opening first = {.type = CKK_AES, .bytes = one};
    struct opening second = {.type = CKK_AES, .bytes = two};
    CK_OBJECT_HANDLE key = 0;
    begin("own");
    CHECK_RV(wrap(caller_import(world, session, CKK_AES, value, 32), &table, one, &first.len), CKR_OK, "under version 1");
    CK_OBJECT_HANDLE old = cmk;
    CHECK(keyward("rotate", NULL, NULL), "keyward rotate");
    opens_to_value(&first, &table, 32, "through the handle from before the rotation");
    cmk = caller_cmk(world, session);
    CHECK(cmk != old, "a new version");
    CHECK_RV(wrap(caller_import(world, session, CKK_AES, value, 32), &table, two, &second.len), CKR_OK, "under version 2");
    CHECK(version_in(one) == 1 && version_in(two) == 2, "DESIGN 6: the version is in it");
    opens_to_value(&first, &table, 32, "version 1, through the handle of version 2");
    opens_to_value(&second, &table, 32, "version 2, through its own");
    cmk = old;
    opens_to_value(&second, &table, 32, "version 2, through the handle of version 1");
    CHECK(keyward("disable", "--version", "1"), "keyward disable");
    CHECK_RV(unwrap(&first, &table, &key), CKR_KEY_FUNCTION_NOT_PERMITTED, "G4: its version is disabled");
    opens_to_value(&second, &table, 32, "the other one is not");
    CHECK(keyward("enable", "--version", "1"), "keyward enable");
    opens_to_value(&first, &table, 32, "enabled again");
    leave();
}

/* Whatever is changed in an envelope: one code. The number of those that were tried is added up. */
static unsigned long tried;

static unsigned long refused_all(uint8_t *bytes, CK_ULONG len, CK_ULONG step, CK_RV *odd)
{
    const struct opening o = {.type = CKK_AES, .bytes = bytes, .len = len};
    unsigned long accepted = 0;
    for (CK_ULONG bit = 0; bit < len * 8; bit += step) {
        CK_OBJECT_HANDLE key = 0;
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CK_RV rv = unwrap(&o, &table, &key);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        accepted += rv == CKR_OK;
        *odd = rv != CKR_WRAPPED_KEY_INVALID ? rv : *odd;
        tried++;
    }
    return accepted;
}

static void every_bit_counts(void)
{
    const char *many = getenv("KW_TEST_ENVELOPES");
    unsigned long envelopes = many != NULL ? strtoul(many, NULL, 10) : fixture_every() > 1 ? 1UL : (unsigned long)MANY;
    unsigned long accepted = 0;
    CK_RV odd = CKR_WRAPPED_KEY_INVALID;
    begin("east");
    for (unsigned long i = 0; i < envelopes; i++) {
        uint8_t out[ROOM];
        CK_ULONG len = 0;
        CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, i % 2 == 0 ? 32 : 16);
        CHECK_RV(wrap(key, &table, out, &len), CKR_OK, "an envelope");
        accepted += refused_all(out, len, fixture_every(), &odd);
        CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, "the data key");
    }
    (void)printf("\n    %lu bits of %lu envelopes flipped, %lu accepted ", tried, envelopes, accepted);
    CHECK(accepted == 0, "ATTACKS A09: every bit");
    CHECK_RV(odd, CKR_WRAPPED_KEY_INVALID, "ATTACKS A10: one code");
    leave();
}

/* The halves of the RSA key, the one that wraps in cmk. */
static CK_OBJECT_HANDLE pair_half(CK_OBJECT_CLASS class)
{
    struct form t = {0};
    CK_OBJECT_HANDLE found[4] = {0};
    CK_ULONG count = 0;
    form_ulong(&t, CKA_CLASS, class);
    form_ulong(&t, CKA_KEYWARD_STATE, CKS_KEYWARD_ACTIVE);
    CHECK_RV(p11->C_FindObjectsInit(session, t.a, t.count), CKR_OK, "C_FindObjectsInit");
    CHECK_RV(p11->C_FindObjects(session, found, 4, &count), CKR_OK, "C_FindObjects");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "C_FindObjectsFinal");
    CHECK(count == 1, "one active half of a class");
    return found[0];
}

static CK_RV wrap_by_pair(CK_OBJECT_HANDLE key, uint8_t *out, CK_ULONG *len)
{
    cmk = pair_half(CKO_PUBLIC_KEY);
    CK_RV rv = wrap(key, &table, out, len);
    cmk = pair_half(CKO_PRIVATE_KEY);
    return rv;
}

static void an_RSA_key_makes_envelopes(void)
{
    static const struct {
        CK_KEY_TYPE type;
        size_t len;
    } rows[] = {{CKK_AES, 16}, {CKK_AES, 32}, {CKK_GENERIC_SECRET, 1}, {CKK_GENERIC_SECRET, 33}, {CKK_GENERIC_SECRET, KEY_MAX}};
    uint8_t out[ROOM];
    CHECK(keyward_on("pair", "create", "--type", "rsa:2048"), "keyward create --type rsa:2048");
    begin_without_key("pair");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct opening o = {.type = rows[i].type, .bytes = out};
        const struct context other = {"another context", "row 2", 5};
        CK_OBJECT_HANDLE key = 0;
        CHECK_RV(wrap_by_pair(caller_import(world, session, rows[i].type, value, rows[i].len), out, &o.len), CKR_OK, "5.18.2: RSA");
        CHECK(o.len == 84 + 256 + rows[i].len, "docs/envelope.md: how long");
        CHECK(out[4] == 3 && version_in(out) == 1, "SoftHSM does OAEP with SHA-1 only");
        opens_to_value(&o, &table, rows[i].len, "5.18.3: RSA");
        CHECK_RV(unwrap(&o, &other, &key), CKR_WRAPPED_KEY_INVALID, "another context");
        o.sensitive = true;
        o.token = true;
        CHECK_RV(unwrap(&o, &table, &key), CKR_OK, "into the token, sealed");
        CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, "and away");
    }
    leave();
}

static void an_RSA_envelope_follows_its_version(void)
{
    uint8_t one[ROOM];
    struct opening o = {.type = CKK_AES, .bytes = one};
    CK_OBJECT_HANDLE key = 0;
    begin_without_key("pair");
    CHECK_RV(wrap_by_pair(caller_import(world, session, CKK_AES, value, 32), one, &o.len), CKR_OK, "under version 1");
    CHECK(keyward_on("pair", "rotate", NULL, NULL), "keyward rotate");
    opens_to_value(&o, &table, 32, "through the handle from before the rotation");
    cmk = pair_half(CKO_PRIVATE_KEY);
    opens_to_value(&o, &table, 32, "through version 2");
    CHECK(keyward_on("pair", "disable", "--version", "1"), "keyward disable");
    CHECK_RV(unwrap(&o, &table, &key), CKR_KEY_FUNCTION_NOT_PERMITTED, "G4: its version is disabled");
    CHECK(keyward_on("pair", "enable", "--version", "1"), "keyward enable");
    opens_to_value(&o, &table, 32, "enabled again");
    leave();
}

static void every_bit_of_an_RSA_envelope_counts(void)
{
    uint8_t out[ROOM] = {0};
    CK_OBJECT_HANDLE key = 0;
    struct opening good = {.type = CKK_AES, .bytes = out};
    CK_RV odd = CKR_WRAPPED_KEY_INVALID;
    CK_ULONG step = getenv("KW_TEST_ENVELOPES") != NULL ? 1 : SANITIZED ? 29 : 7 * fixture_every();
    begin_without_key("pair");
    CHECK_RV(wrap_by_pair(caller_import(world, session, CKK_AES, value, 32), out, &good.len), CKR_OK, "an envelope");
    tried = 0;
    CHECK(refused_all(out, good.len, step, &odd) == 0, "ATTACKS A09: every bit");
    CHECK_RV(odd, CKR_WRAPPED_KEY_INVALID, "ATTACKS A12: one code");
    (void)printf("\n    %lu bits of an RSA envelope flipped, 0 accepted ", tried);
    for (CK_ULONG len = 0; len <= good.len + 40; len += len < 40 ? 1 : step) {
        struct opening o = good;
        o.len = len == good.len ? len + 1 : len;
        CHECK_RV(unwrap(&o, &table, &key), CKR_WRAPPED_KEY_INVALID, "truncated, extended");
    }
    opens_to_value(&good, &table, 32, "and as it was made, it opens");
    leave();
}

static void every_length_counts(void)
{
    uint8_t out[2 * ROOM] = {0};
    CK_OBJECT_HANDLE key = 0;
    struct opening good = {.type = CKK_GENERIC_SECRET, .bytes = out};
    begin("east");
    CHECK_RV(wrap(caller_import(world, session, CKK_GENERIC_SECRET, value, 40), &table, out, &good.len), CKR_OK, "an envelope");
    for (CK_ULONG len = 0; len <= 2 * good.len + 8; len++) {
        struct opening o = good;
        o.len = len;
        if (len == 2 * good.len) {
            memcpy(out + good.len, out, good.len);
        }
        CHECK_RV(unwrap(&o, &table, &key), len == good.len ? CKR_OK : CKR_WRAPPED_KEY_INVALID, "truncated, extended, two in one");
    }
    static const CK_ULONG lengths[] = {1151, 1152, 1153, 1200};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct opening o = good;
        o.len = lengths[i];
        CHECK_RV(unwrap(&o, &table, &key), CKR_WRAPPED_KEY_INVALID, "longer than any");
    }
    leave();
}

int main(void)
{
    static const struct fixture_slot slots[] = {
        {.name = "east", .tokens = "eu-1", .key = "shared", .tenant = "contoso", .geo = "eu", .cmk = FIXTURE_CMK_KNOWN},
        {.name = "tenancy", .tokens = "eu-2", .key = "shared", .tenant = "fabrikam", .geo = "eu", .cmk = FIXTURE_CMK_KNOWN},
        {.name = "west", .tokens = "us-1", .key = "shared", .tenant = "contoso", .geo = "us", .cmk = FIXTURE_CMK_KNOWN},
        {.name = "own", .tokens = "eu-1", .tenant = "contoso", .geo = "eu"},
        {.name = "weak", .tokens = "eu-1", .tenant = "contoso", .geo = "eu", .bits = 128, .cmk = FIXTURE_CMK_KNOWN},
        {.name = "pair", .tokens = "eu-1", .tenant = "contoso", .geo = "eu", .cmk = FIXTURE_CMK_NONE},
        {.name = "only", .tokens = "eu-1", .geo = "eu", .mechanisms = "envelope", .cmk = FIXTURE_CMK_KNOWN},
        {.name = "plain", .tokens = "eu-1", .geo = "eu", .mechanisms = "standard", .cmk = FIXTURE_CMK_KNOWN},
        {0},
    };
    static CU_TestInfo tests[] = {
        {"any data key comes back in its context", any_data_key_comes_back_in_its_context},
        {"every context is another", every_context_is_another},
        {"every slot is another", every_slot_is_another},
        {"a bad parameter is refused unread", a_bad_parameter_is_refused_unread},
        {"associated data are the context", associated_data_are_the_context},
        {"lengths are told and kept", lengths_are_told_and_kept},
        {"homes are kept", homes_are_kept},
        {"the configuration says which mechanisms", the_configuration_says_which_mechanisms},
        {"an envelope follows its version", an_envelope_follows_its_version},
        {"every bit counts", every_bit_counts},
        {"every length counts", every_length_counts},
        {"an RSA key makes envelopes", an_RSA_key_makes_envelopes},
        {"an RSA envelope follows its version", an_RSA_envelope_follows_its_version},
        {"every bit of an RSA envelope counts", every_bit_of_an_RSA_envelope_counts},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("Envelopes", &(struct fixture_settings){.slots = slots}, tests);
}
