/*
 * C_WrapKey and C_UnwrapKey: PKCS#11 3.1 sections 5.2, 5.18.3, 5.18.4, 6.13; RFC 3394, RFC 5649; DESIGN section 5, CLIENTS.md
 * point 6. The bytes are compared with those that OpenSSL makes under the same, known master key.
 */
#include "chapter.h"

#include "envelope.h"

enum { ROOM = 640 };

static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE cmk;
static uint8_t value[520];

static const struct mechanism {
    const char *name;
    CK_MECHANISM_TYPE type;
    bool padded;
} mechanisms[] = {
    {"CKM_AES_KEY_WRAP", CKM_AES_KEY_WRAP, false},
    {"CKM_AES_KEY_WRAP_KWP", CKM_AES_KEY_WRAP_KWP, true},
    {"CKM_AES_KEY_WRAP_PAD", CKM_AES_KEY_WRAP_PAD, true},
};

static void begin(const char *slot)
{
    session = enter(slot);
    cmk = caller_cmk(world, session);
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)(i * 11 + 3);
    }
}

static CK_RV wrap(const struct mechanism *m, CK_OBJECT_HANDLE key, uint8_t *out, CK_ULONG *len)
{
    *len = ROOM;
    return p11->C_WrapKey(session, caller_mechanism(m->type), cmk, key, out, len);
}

/* Unwraps to a readable key and gives its bytes. */
static CK_RV unwrap(const struct mechanism *m, CK_KEY_TYPE type, const uint8_t *blob, CK_ULONG len,
                    uint8_t *out, size_t *out_len)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    uint8_t copy[ROOM];
    memcpy(copy, blob, len);
    form_secret(&t, type);
    form_readable(&t);
    CK_RV rv = p11->C_UnwrapKey(session, caller_mechanism(m->type), cmk, copy, len, t.a, t.count, &key);
    if (rv == CKR_OK) {
        *out_len = caller_value(world, session, key, out, ROOM);
        CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, "the unwrapped key");
    }
    return rv;
}

static void RFC_3394_vectors_come_out(void)
{
    static const struct {
        const char *what;
        const char *slot;
        size_t len;
        const char *blob;
    } rows[] = {
        {"RFC 3394, 4.1", "kek128", 16, "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
        {"RFC 3394, 4.2", "kek192", 16, "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"},
        {"RFC 3394, 4.3", "kek256", 16, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"},
        {"RFC 3394, 4.4", "kek192", 24, "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2"},
        {"RFC 3394, 4.5", "kek256", 24, "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"},
        {"RFC 3394, 4.6", "kek256", 32,
         "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
    };
    static const char data[] = "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f";
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t key[32];
        uint8_t want[ROOM];
        uint8_t got[ROOM];
        CK_ULONG len = 0;
        size_t back = 0;
        begin(rows[i].slot);
        size_t want_len = envelope_from_hex(rows[i].blob, want);
        (void)envelope_from_hex(data, key);
        CK_OBJECT_HANDLE h = caller_import(world, session, CKK_AES, key, rows[i].len);
        CHECK_RV(wrap(&mechanisms[0], h, got, &len), CKR_OK, rows[i].what);
        CHECK(len == want_len && memcmp(got, want, len) == 0, rows[i].what);
        CHECK_RV(unwrap(&mechanisms[0], CKK_AES, want, want_len, got, &back), CKR_OK, rows[i].what);
        CHECK(back == rows[i].len && memcmp(got, key, back) == 0, rows[i].what);
        leave();
    }
}

static void RFC_5649_vectors_open(void)
{
    static const struct {
        const char *what;
        const char *key;
        const char *blob;
    } rows[] = {
        {"RFC 5649, 6: 20 bytes", "c37b7e6492584340bed12207808941155068f738",
         "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
        {"RFC 5649, 6: 7 bytes", "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
    };
    begin("rfc5649");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t key[32];
        uint8_t blob[ROOM];
        uint8_t got[ROOM];
        CK_ULONG len = 0;
        size_t back = 0;
        size_t key_len = envelope_from_hex(rows[i].key, key);
        size_t blob_len = envelope_from_hex(rows[i].blob, blob);
        for (size_t m = 1; m < COUNT_OF(mechanisms); m++) {
            CHECK_RV(unwrap(&mechanisms[m], CKK_GENERIC_SECRET, blob, blob_len, got, &back), CKR_OK,
                     rows[i].what);
            CHECK(back == key_len && memcmp(got, key, back) == 0, rows[i].what);
            CK_OBJECT_HANDLE h = caller_import(world, session, CKK_GENERIC_SECRET, key, key_len);
            CK_RV rv = wrap(&mechanisms[m], h, got, &len);
            CHECK_EITHER(rv, CKR_OK, CKR_KEY_SIZE_RANGE,
                         chapter_join("HSM-FACTS 4.4: refused or exact", rows[i].what));
            CHECK(rv != CKR_OK || (len == blob_len && memcmp(got, blob, len) == 0), rows[i].what);
        }
    }
    leave();
}

/* Every length: refused, or the very bytes of OpenSSL, and back. */
static void a_length_is_refused_or_comes_back_exactly(void)
{
    unsigned exact = 0;
    unsigned refused = 0;
    uint8_t kek[32];
    fixture_known_value(kek);
    begin("known");
    for (size_t m = 0; m < COUNT_OF(mechanisms); m++) {
        for (size_t len = 1; len <= 512; len = len == 64 ? 504 : len + 1) {
            uint8_t want[ROOM];
            uint8_t got[ROOM];
            CK_ULONG got_len = 0;
            size_t back = 0;
            char what[64];
            (void)snprintf(what, sizeof what, "%s, %zu bytes", mechanisms[m].name, len);
            CK_OBJECT_HANDLE h = caller_import(world, session, CKK_GENERIC_SECRET, value, len);
            CK_RV rv = wrap(&mechanisms[m], h, got, &got_len);
            if (rv != CKR_OK) {
                CHECK_RV(rv, CKR_KEY_SIZE_RANGE, what);
                CHECK(len % 8 != 0 || len < 16, chapter_join("6.13: a length that can be wrapped", what));
                refused++;
                continue;
            }
            exact++;
            size_t want_len = envelope_wrap(kek, 32, mechanisms[m].padded, value, len, want);
            CHECK(got_len == want_len && memcmp(got, want, got_len) == 0,
                  chapter_join("as OpenSSL wraps it", what));
            CHECK_RV(unwrap(&mechanisms[m], CKK_GENERIC_SECRET, want, want_len, got, &back), CKR_OK, what);
            CHECK(back == len && memcmp(got, value, len) == 0, chapter_join("and back", what));
            CHECK_RV(p11->C_DestroyObject(session, h), CKR_OK, what);
        }
    }
    (void)printf("[%u lengths exact, %u refused] ", exact, refused);
    CHECK(exact >= 3 * 9 && exact + refused == 3 * 73, "all lengths were tried");
    leave();
}

/* What OpenSSL wraps, of any length, opens here to just these bytes: blobs come from other tools as well. */
static void blobs_of_other_tools_open(void)
{
    uint8_t kek[32];
    fixture_known_value(kek);
    begin("known");
    for (size_t len = 1; len <= 512; len = len == 72 ? 500 : len + 1) {
        uint8_t blob[ROOM];
        uint8_t got[ROOM];
        size_t back = 0;
        char what[64];
        (void)snprintf(what, sizeof what, "RFC 5649 of OpenSSL, %zu bytes", len);
        size_t blob_len = envelope_wrap(kek, 32, true, value, len, blob);
        CK_RV rv = unwrap(&mechanisms[1], CKK_GENERIC_SECRET, blob, blob_len, got, &back);
        CHECK_RV(rv, CKR_OK, what);
        CHECK(rv != CKR_OK || (back == len && memcmp(got, value, len) == 0), what);
        if (len == 16 || len == 24 || len == 32) {
            CHECK_RV(unwrap(&mechanisms[2], CKK_AES, blob, blob_len, got, &back), CKR_OK,
                     chapter_join("as AES", what));
        } else {
            CHECK_RV(unwrap(&mechanisms[2], CKK_AES, blob, blob_len, got, &back), CKR_WRAPPED_KEY_INVALID,
                     chapter_join("as AES", what));
        }
    }
    leave();
}

static void C_WrapKey_follows_the_size_convention(void)
{
    begin("known");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    static const CK_ULONG short_ones[] = {0, 1, 8, 32, 39};
    for (size_t m = 0; m < COUNT_OF(mechanisms); m++) {
        const char *what = mechanisms[m].name;
        CK_MECHANISM *mechanism = caller_mechanism(mechanisms[m].type);
        uint8_t out[64];
        CK_ULONG len = 77;
        CHECK_RV(p11->C_WrapKey(session, mechanism, cmk, key, out, NULL), CKR_ARGUMENTS_BAD,
                 chapter_join("5.2: no place for the length", what));
        CHECK_RV(p11->C_WrapKey(session, mechanism, cmk, key, NULL, NULL), CKR_ARGUMENTS_BAD,
                 chapter_join("5.2: nothing at all", what));
        CHECK_RV(p11->C_WrapKey(session, mechanism, cmk, key, NULL, &len), CKR_OK,
                 chapter_join("5.2: size query", what));
        CHECK(len == 40, chapter_join("5.2: the exact size", what));
        len = CK_UNAVAILABLE_INFORMATION;
        CHECK_RV(p11->C_WrapKey(session, mechanism, cmk, key, NULL, &len), CKR_OK,
                 chapter_join("5.2: size query with garbage", what));
        CHECK(len == 40, chapter_join("5.2: the exact size", what));
        memset(out, 9, sizeof out);
        for (size_t i = 0; i < COUNT_OF(short_ones); i++) {
            len = short_ones[i];
            CHECK_RV(p11->C_WrapKey(session, mechanism, cmk, key, out, &len), CKR_BUFFER_TOO_SMALL,
                     chapter_join("5.2: too short", what));
            CHECK(len == 40 && out[0] == 9, chapter_join("5.2: needed size told, buffer untouched", what));
        }
        len = 40;
        CHECK_RV(p11->C_WrapKey(session, mechanism, cmk, key, out, &len), CKR_OK,
                 chapter_join("5.2: exact room", what));
        CHECK(len == 40 && out[40] == 9, chapter_join("5.2: no byte more", what));
        len = sizeof out;
        CHECK_RV(p11->C_WrapKey(session, mechanism, cmk, key, out, &len), CKR_OK,
                 chapter_join("5.2: more room", what));
        CHECK(len == 40 && out[40] == 9, chapter_join("5.2: no byte more", what));
        CK_ULONG both[8] = {64}; /* ATTACKS 3: the length lies in the buffer */
        CHECK_RV(p11->C_WrapKey(session, mechanism, cmk, key, (CK_BYTE *)both, &both[0]), CKR_OK,
                 chapter_join("aliasing", what));
    }
    leave();
}

static void C_WrapKey_judges_its_arguments(void)
{
    uint8_t out[64];
    uint8_t parameter[16] = {0};
    CK_ULONG n = sizeof out;
    struct form hard = {0};
    CK_OBJECT_HANDLE locked = 0;
    begin("known");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    CK_OBJECT_HANDLE gone = caller_import(world, session, CKK_AES, value, 32);
    CHECK_RV(p11->C_DestroyObject(session, gone), CKR_OK, "C_DestroyObject");
    form_bool(&hard, CKA_EXTRACTABLE, false);
    form_ulong(&hard, CKA_VALUE_LEN, 32);
    CHECK_RV(p11->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), hard.a, hard.count, &locked),
             CKR_OK, "unextractable");
    const struct {
        const char *what;
        CK_MECHANISM mechanism;
        CK_OBJECT_HANDLE wrapping;
        CK_OBJECT_HANDLE key;
        CK_RV expect;
        CK_RV or_else;
    } rows[] = {
        {"5.18.3", {CKM_AES_KEY_WRAP, NULL, 0}, cmk, key, CKR_OK, CKR_OK},
        {"6.13: an IV",
         {CKM_AES_KEY_WRAP, parameter, 8},
         cmk,
         key,
         CKR_MECHANISM_PARAM_INVALID,
         CKR_MECHANISM_PARAM_INVALID},
        {"6.13: an IV of length 0",
         {CKM_AES_KEY_WRAP, parameter, 0},
         cmk,
         key,
         CKR_MECHANISM_PARAM_INVALID,
         CKR_OK},
        {"6.13: NULL of length 8",
         {CKM_AES_KEY_WRAP_KWP, NULL, 8},
         cmk,
         key,
         CKR_MECHANISM_PARAM_INVALID,
         CKR_ARGUMENTS_BAD},
        {"6.13: NULL of length -1",
         {CKM_AES_KEY_WRAP_KWP, NULL, CK_UNAVAILABLE_INFORMATION},
         cmk,
         key,
         CKR_MECHANISM_PARAM_INVALID,
         CKR_ARGUMENTS_BAD},
        {"5.18.3: no wrapping key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         0,
         key,
         CKR_WRAPPING_KEY_HANDLE_INVALID,
         CKR_WRAPPING_KEY_HANDLE_INVALID},
        {"5.18.3: -1 as wrapping key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         CK_UNAVAILABLE_INFORMATION,
         key,
         CKR_WRAPPING_KEY_HANDLE_INVALID,
         CKR_WRAPPING_KEY_HANDLE_INVALID},
        {"5.18.3: a destroyed wrapping key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         gone,
         key,
         CKR_WRAPPING_KEY_HANDLE_INVALID,
         CKR_WRAPPING_KEY_HANDLE_INVALID},
        {"5.18.3: a session as wrapping key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         session,
         key,
         CKR_WRAPPING_KEY_HANDLE_INVALID,
         CKR_WRAPPING_KEY_HANDLE_INVALID},
        {"5.18.3: no key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         cmk,
         0,
         CKR_KEY_HANDLE_INVALID,
         CKR_KEY_HANDLE_INVALID},
        {"5.18.3: -1 as key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         cmk,
         CK_UNAVAILABLE_INFORMATION,
         CKR_KEY_HANDLE_INVALID,
         CKR_KEY_HANDLE_INVALID},
        {"5.18.3: a destroyed key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         cmk,
         gone,
         CKR_KEY_HANDLE_INVALID,
         CKR_KEY_HANDLE_INVALID},
        {"4.10: an unextractable key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         cmk,
         locked,
         CKR_KEY_UNEXTRACTABLE,
         CKR_KEY_NOT_WRAPPABLE},
        {"ATTACKS A05: the CMK by itself",
         {CKM_AES_KEY_WRAP, NULL, 0},
         cmk,
         cmk,
         CKR_KEY_UNEXTRACTABLE,
         CKR_KEY_NOT_WRAPPABLE},
        {"ATTACKS A06: the CMK by a data key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         key,
         cmk,
         CKR_KEY_FUNCTION_NOT_PERMITTED,
         CKR_KEY_UNEXTRACTABLE},
        {"ATTACKS A02: a data key by a data key",
         {CKM_AES_KEY_WRAP, NULL, 0},
         key,
         key,
         CKR_KEY_FUNCTION_NOT_PERMITTED,
         CKR_WRAPPING_KEY_TYPE_INCONSISTENT},
    };
    CHECK_RV(p11->C_WrapKey(session, NULL, cmk, key, out, &n), CKR_ARGUMENTS_BAD, "5.18.3: no mechanism");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CK_MECHANISM m = rows[i].mechanism;
        n = sizeof out;
        memset(out, 9, sizeof out);
        CK_RV rv = p11->C_WrapKey(session, &m, rows[i].wrapping, rows[i].key, out, &n);
        CHECK_EITHER(rv, rows[i].expect, rows[i].or_else, rows[i].what);
        CHECK(rv == CKR_OK || (out[0] == 9 && n == sizeof out),
              chapter_join("5.2: output untouched", rows[i].what));
    }
    leave();
}

/* A key that may not be wrapped is not measured either; the answer does not wait for the token's own refusal. */
static void what_may_not_be_wrapped_has_no_size(void)
{
    CK_OBJECT_HANDLE locked = 0;
    struct form hard = {0};
    begin("known");
    form_bool(&hard, CKA_EXTRACTABLE, false);
    form_ulong(&hard, CKA_VALUE_LEN, 32);
    CHECK_RV(p11->C_GenerateKey(session, caller_mechanism(CKM_AES_KEY_GEN), hard.a, hard.count, &locked),
             CKR_OK, "unextractable");
    const CK_OBJECT_HANDLE keys[] = {locked, cmk};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        CK_ULONG len = 77;
        CHECK_EITHER(p11->C_WrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, keys[i], NULL, &len),
                     CKR_KEY_UNEXTRACTABLE, CKR_KEY_NOT_WRAPPABLE,
                     "4.10: size query of what may not be wrapped");
        CHECK(len == 77, "5.2: output untouched");
    }
    leave();
}

/* RFC 5649 pads to 8 bytes, so eight lengths have blobs of one size: only the content tells whether CKA_VALUE_LEN is true. */
static void a_wrong_CKA_VALUE_LEN_is_found_in_the_content(void)
{
    static const size_t lengths[] = {25, 30, 31, 32};
    uint8_t kek[32];
    fixture_known_value(kek);
    begin("known");
    for (size_t real = 0; real < COUNT_OF(lengths); real++) {
        for (size_t asked = 0; asked < COUNT_OF(lengths); asked++) {
            for (int sealed = 0; sealed < 2; sealed++) {
                uint8_t blob[ROOM];
                CK_OBJECT_HANDLE key = 77;
                struct form t = {0};
                char what[80];
                (void)snprintf(what, sizeof what, "%zu bytes unwrapped as %zu, sealed %d", lengths[real],
                               lengths[asked], sealed);
                size_t len = envelope_wrap(kek, 32, true, value, lengths[real], blob);
                form_secret(&t, CKK_GENERIC_SECRET);
                form_ulong(&t, CKA_VALUE_LEN, lengths[asked]);
                form_bool(&t, CKA_SENSITIVE, sealed != 0);
                CK_RV rv = p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP_KWP), cmk, blob, len,
                                            t.a, t.count, &key);
                if (real == asked) {
                    CHECK_RV(rv, CKR_OK, what);
                    continue;
                }
                CHECK_EITHER(rv, CKR_WRAPPED_KEY_INVALID, CKR_TEMPLATE_INCONSISTENT, what);
                CHECK(key == 77, chapter_join("5.2: output untouched", what));
            }
        }
    }
    struct form all = {0};
    CHECK(caller_count(world, session, &all) == 1 + 2 * (long)COUNT_OF(lengths),
          "nothing is left of what was refused");
    leave();
}

static bool is_ours(CK_MECHANISM_TYPE type)
{
    return type == CKM_AES_KEY_WRAP || type == CKM_AES_KEY_WRAP_KWP || type == CKM_AES_KEY_WRAP_PAD;
}

/* Ours, with a parameter that is not given here. */
static bool wants_parameter(CK_MECHANISM_TYPE type)
{
    return type == CKM_RSA_PKCS_OAEP || type == CKM_RSA_AES_KEY_WRAP;
}

static void no_other_mechanism_wraps_or_unwraps(void)
{
    uint8_t out[64];
    uint8_t blob[40] = {0};
    struct form t = {0};
    unsigned accepted = 0;
    begin("known");
    form_secret(&t, CKK_AES);
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    for (CK_MECHANISM_TYPE i = 0; i <= 0x4104; i++) {
        CK_MECHANISM_TYPE type = i <= 0x4100 ? i : CKM_VENDOR_DEFINED + i - 0x4101;
        CK_ULONG n = sizeof out;
        CK_OBJECT_HANDLE made = 0;
        CK_RV rv = p11->C_WrapKey(session, caller_mechanism(type), cmk, key, out, &n);
        CK_RV back =
            p11->C_UnwrapKey(session, caller_mechanism(type), cmk, blob, sizeof blob, t.a, t.count, &made);
        accepted += rv == CKR_OK;
        CK_RV refusal = wants_parameter(type) ? CKR_MECHANISM_PARAM_INVALID : CKR_MECHANISM_INVALID;
        if (!is_ours(type) && (rv != refusal || back != refusal)) {
            CHECK_RV(rv, refusal, chapter_join("ATTACKS A20: wrap", chapter_rv_name(type)));
            CHECK_RV(back, refusal, chapter_join("ATTACKS A20: unwrap", chapter_rv_name(type)));
        }
    }
    CHECK(accepted == COUNT_OF(mechanisms), "DESIGN 5: three mechanisms wrap");
    leave();
}

static void C_UnwrapKey_judges_its_arguments(void)
{
    uint8_t blob[64];
    CK_ULONG len = 0;
    CK_OBJECT_HANDLE made = 77;
    struct form t = {0};
    begin("known");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    CHECK_RV(wrap(&mechanisms[0], key, blob, &len), CKR_OK, "a blob");
    form_secret(&t, CKK_AES);
    CK_MECHANISM *m = caller_mechanism(CKM_AES_KEY_WRAP);
    CK_MECHANISM bad = {CKM_AES_KEY_WRAP, blob, 8};
    CHECK_RV(p11->C_UnwrapKey(session, NULL, cmk, blob, len, t.a, t.count, &made), CKR_ARGUMENTS_BAD,
             "5.18.4: no mechanism");
    CHECK_RV(p11->C_UnwrapKey(session, &bad, cmk, blob, len, t.a, t.count, &made),
             CKR_MECHANISM_PARAM_INVALID, "6.13: an IV");
    CHECK_RV(p11->C_UnwrapKey(session, m, cmk, NULL, len, t.a, t.count, &made), CKR_ARGUMENTS_BAD,
             "5.18.4: no blob");
    CHECK_RV(p11->C_UnwrapKey(session, m, cmk, blob, len, NULL, 2, &made), CKR_ARGUMENTS_BAD,
             "5.18.4: no template");
    CHECK_RV(p11->C_UnwrapKey(session, m, cmk, blob, len, t.a, t.count, NULL), CKR_ARGUMENTS_BAD,
             "5.18.4: no place for the handle");
    static const CK_ULONG handles[] = {0, 1, CK_UNAVAILABLE_INFORMATION};
    for (size_t i = 0; i < COUNT_OF(handles); i++) {
        CHECK_RV(p11->C_UnwrapKey(session, m, handles[i], blob, len, t.a, t.count, &made),
                 CKR_UNWRAPPING_KEY_HANDLE_INVALID, "5.18.4: no such key");
    }
    CHECK_EITHER(p11->C_UnwrapKey(session, m, key, blob, len, t.a, t.count, &made),
                 CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
                 "ATTACKS A02: a data key unwraps nothing");
    struct form token = {0};
    form_secret(&token, CKK_AES);
    form_bool(&token, CKA_TOKEN, true);
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE ro = 0;
    CHECK(caller_slot(world, "known", &slot), "the slot");
    CHECK_RV(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &ro), CKR_OK, "read-only");
    CHECK_RV(p11->C_UnwrapKey(ro, m, cmk, blob, len, token.a, token.count, &made), CKR_SESSION_READ_ONLY,
             "6.7: a token object");
    CHECK(made == 77, "5.2: output untouched");
    CHECK_RV(p11->C_UnwrapKey(ro, m, cmk, blob, len, t.a, t.count, &made), CKR_OK, "6.7: a session object");
    leave();
}

static void both_homes_wrap_to_the_same_bytes(void)
{
    uint8_t kek[32];
    fixture_known_value(kek);
    begin("known");
    for (int home = 0; home < 8; home++) {
        struct form t = {0};
        CK_OBJECT_HANDLE key = 0;
        CK_OBJECT_HANDLE back = 0;
        uint8_t want[ROOM];
        uint8_t got[ROOM];
        CK_ULONG len = 0;
        char what[64];
        (void)snprintf(what, sizeof what, "TOKEN %d, SENSITIVE %d, label %d", home & 1, home >> 1 & 1,
                       home >> 2);
        form_secret(&t, CKK_AES);
        form_bool(&t, CKA_TOKEN, (home & 1) != 0);
        form_bool(&t, CKA_SENSITIVE, (home & 2) != 0);
        form_bool(&t, CKA_EXTRACTABLE, true);
        if ((home & 4) != 0) {
            form_bytes(&t, CKA_LABEL, value, 128);
            form_bytes(&t, CKA_ID, value, 128);
        }
        struct form create = t;
        for (CK_ULONG i = 0; i < create.count; i++) {
            create.a[i] = t.a[i];
        }
        form_bytes(&create, CKA_VALUE, value, 32);
        CHECK_RV(p11->C_CreateObject(session, create.a, create.count, &key), CKR_OK, what);
        CHECK_RV(wrap(&mechanisms[0], key, got, &len), CKR_OK, what);
        CHECK(len == envelope_wrap(kek, 32, false, value, 32, want) && memcmp(got, want, len) == 0, what);
        CHECK_RV(
            p11->C_UnwrapKey(session, caller_mechanism(CKM_AES_KEY_WRAP), cmk, got, len, t.a, t.count, &back),
            CKR_OK, what);
        CHECK_RV(wrap(&mechanisms[1], back, got, &len), CKR_OK, what);
        CHECK(len == envelope_wrap(kek, 32, true, value, 32, want) && memcmp(got, want, len) == 0,
              chapter_join("and back", what));
        CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, what);
        CHECK_RV(p11->C_DestroyObject(session, back), CKR_OK, what);
    }
    leave();
}

static void a_weak_CMK_wraps_no_strong_key(void)
{
    static const struct {
        const char *slot;
        CK_KEY_TYPE type;
        size_t len;
        CK_RV expect;
    } rows[] = {
        {"kek128", CKK_AES, 16, CKR_OK},
        {"kek128", CKK_AES, 24, CKR_WRAPPING_KEY_SIZE_RANGE},
        {"kek128", CKK_AES, 32, CKR_WRAPPING_KEY_SIZE_RANGE},
        {"kek128", CKK_GENERIC_SECRET, 64, CKR_WRAPPING_KEY_SIZE_RANGE},
        {"kek192", CKK_AES, 24, CKR_OK},
        {"kek192", CKK_AES, 32, CKR_WRAPPING_KEY_SIZE_RANGE},
        {"kek256", CKK_AES, 32, CKR_OK},
        {"kek256", CKK_GENERIC_SECRET, 64, CKR_OK},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t out[ROOM];
        CK_ULONG len = 0;
        begin(rows[i].slot);
        CK_OBJECT_HANDLE key = caller_import(world, session, rows[i].type, value, rows[i].len);
        CHECK_RV(wrap(&mechanisms[0], key, out, &len), rows[i].expect,
                 chapter_join("ATTACKS A23", rows[i].slot));
        leave();
    }
}

struct flip {
    char label[32];
    CK_BBOOL wrap;
    CK_BBOOL unwrap;
};

static int set_usage(const struct outside_token *t, void *data)
{
    struct flip *f = data;
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG count = 0;
    CK_ATTRIBUTE label = {CKA_LABEL, f->label, strlen(f->label)};
    CK_ATTRIBUTE usage[] = {{CKA_WRAP, &f->wrap, 1}, {CKA_UNWRAP, &f->unwrap, 1}};
    CK_RV rv = t->calls->C_FindObjectsInit(t->session, &label, 1);
    rv = rv != CKR_OK ? rv : t->calls->C_FindObjects(t->session, &key, 1, &count);
    rv = rv != CKR_OK ? rv : t->calls->C_FindObjectsFinal(t->session);
    rv = rv != CKR_OK ? rv : t->calls->C_SetAttributeValue(t->session, key, usage, 2);
    return rv == CKR_OK && count == 1 ? 0 : 1;
}

/* DESIGN section 4: the state is the attributes, and a change is seen at the next call. */
static void the_state_of_the_CMK_is_obeyed_at_the_next_call(void)
{
    static const struct {
        const char *what;
        CK_BBOOL wrap;
        CK_BBOOL unwrap;
        CK_RV wrapped;
        CK_RV unwrapped;
    } rows[] = {
        {"G4: retired", CK_FALSE, CK_TRUE, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_OK},
        {"G4: disabled", CK_FALSE, CK_FALSE, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_FUNCTION_NOT_PERMITTED},
        {"G4: enabled again", CK_TRUE, CK_TRUE, CKR_OK, CKR_OK},
    };
    uint8_t out[ROOM];
    uint8_t blob[ROOM];
    CK_ULONG len = 0;
    CK_ULONG out_len = 0;
    size_t back = 0;
    begin("changing");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    CHECK_RV(wrap(&mechanisms[0], key, blob, &len), CKR_OK, "active");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct flip f = {.label = "changing", .wrap = rows[i].wrap, .unwrap = rows[i].unwrap};
        CHECK(fixture_outside(world, "eu-1", set_usage, &f, sizeof f) == 0, "the change from outside");
        CHECK_RV(wrap(&mechanisms[0], key, out, &out_len), rows[i].wrapped,
                 chapter_join("wrap", rows[i].what));
        CHECK_RV(unwrap(&mechanisms[0], CKK_AES, blob, len, out, &back), rows[i].unwrapped,
                 chapter_join("unwrap", rows[i].what));
    }
    leave();
}

int main(void)
{
    static uint8_t rising[32];
    static const uint8_t rfc5649[24] = {0x58, 0x40, 0xdf, 0x6e, 0x29, 0xb0, 0x2a, 0xf1,
                                        0xab, 0x49, 0x3b, 0x70, 0x5b, 0xf1, 0x6e, 0xa1,
                                        0xae, 0x83, 0x38, 0xf4, 0xdc, 0xc1, 0x76, 0xa8};
    static const struct fixture_slot slots[] = {
        {.name = "known", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN},
        {.name = "kek128", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN, .bits = 128, .value = rising},
        {.name = "kek192", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN, .bits = 192, .value = rising},
        {.name = "kek256", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN, .bits = 256, .value = rising},
        {.name = "rfc5649", .tokens = "eu-1", .cmk = FIXTURE_CMK_KNOWN, .bits = 192, .value = rfc5649},
        {.name = "changing", .tokens = "eu-1"},
        {0},
    };
    CU_TestInfo tests[] = {
        {"RFC 3394 vectors come out", RFC_3394_vectors_come_out},
        {"RFC 5649 vectors open", RFC_5649_vectors_open},
        {"a length is refused or comes back exactly", a_length_is_refused_or_comes_back_exactly},
        {"blobs of other tools open", blobs_of_other_tools_open},
        {"C_WrapKey follows the size convention", C_WrapKey_follows_the_size_convention},
        {"C_WrapKey judges its arguments", C_WrapKey_judges_its_arguments},
        {"what may not be wrapped has no size", what_may_not_be_wrapped_has_no_size},
        {"a wrong CKA_VALUE_LEN is found in the content", a_wrong_CKA_VALUE_LEN_is_found_in_the_content},
        {"no other mechanism wraps or unwraps", no_other_mechanism_wraps_or_unwraps},
        {"C_UnwrapKey judges its arguments", C_UnwrapKey_judges_its_arguments},
        {"both homes wrap to the same bytes", both_homes_wrap_to_the_same_bytes},
        {"a weak CMK wraps no strong key", a_weak_CMK_wraps_no_strong_key},
        {"the state of the CMK is obeyed at the next call", the_state_of_the_CMK_is_obeyed_at_the_next_call},
        CU_TEST_INFO_NULL,
    };
    for (unsigned i = 0; i < sizeof rising; i++) {
        rising[i] = (uint8_t)i;
    }
    return chapter_run("wrap", &(struct fixture_settings){.slots = slots}, tests);
}
