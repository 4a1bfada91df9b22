/*
 * RSA master keys: PKCS#11 3.2 sections 4.8, 4.9, 6.1; RFC 8017 section 7.1; DESIGN section 5. The pair is made past Keyward, which adopts it
 * as version 1; what the module wraps is opened with the public numbers and OpenSSL's help, and the other way round.
 */
#include "chapter.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

enum { ROOM = 1200, K = 256, OAEP_MOST = K - 2 * 20 - 2 };

static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE public_half;
static CK_OBJECT_HANDLE private_half;
static uint8_t value[520];
static const CK_RSA_PKCS_OAEP_PARAMS sha1 = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};

static CK_OBJECT_HANDLE half(CK_OBJECT_CLASS class)
{
    struct form t = {0};
    CK_OBJECT_HANDLE found = 0;
    CK_ULONG n = 0;
    form_ulong(&t, CKA_CLASS, class);
    CHECK_RV(p11->C_FindObjectsInit(session, t.a, t.count), CKR_OK, "5.7.7: find");
    CHECK_RV(p11->C_FindObjects(session, &found, 1, &n), CKR_OK, "5.7.8: find");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9: find");
    return n == 1 ? found : 0;
}

static void begin(const char *slot)
{
    session = enter(slot);
    private_half = half(CKO_PRIVATE_KEY);
    public_half = half(CKO_PUBLIC_KEY);
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)(i * 11 + 3);
    }
}

/* OAEP with SHA-1, or CKM_RSA_AES_KEY_WRAP with an AES key of aes_bits. */
struct how {
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    struct kw_rsa_aes_params both;
    CK_MECHANISM mechanism;
};

static CK_MECHANISM *how(struct how *h, CK_ULONG aes_bits)
{
    h->oaep = sha1;
    h->both = (struct kw_rsa_aes_params){aes_bits, &h->oaep};
    h->mechanism = aes_bits == 0 ? (CK_MECHANISM){CKM_RSA_PKCS_OAEP, &h->oaep, sizeof h->oaep}
                                 : (CK_MECHANISM){CKM_RSA_AES_KEY_WRAP, &h->both, sizeof h->both};
    return &h->mechanism;
}

static CK_RV wrap(CK_ULONG aes_bits, CK_OBJECT_HANDLE key, uint8_t *out, CK_ULONG *len)
{
    struct how h;
    *len = ROOM;
    return p11->C_WrapKey(session, how(&h, aes_bits), public_half, key, out, len);
}

/* Unwraps to a readable key and gives its bytes. */
static CK_RV unwrap(CK_ULONG aes_bits, CK_KEY_TYPE type, const uint8_t *blob, CK_ULONG len, uint8_t *out, size_t *out_len)
{
    struct how h;
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    uint8_t copy[ROOM];
    memcpy(copy, blob, len);
    form_secret(&t, type);
    form_readable(&t);
    CK_RV rv = p11->C_UnwrapKey(session, how(&h, aes_bits), private_half, copy, len, t.a, t.count, &key);
    if (rv == CKR_OK) {
        *out_len = caller_value(world, session, key, out, ROOM);
        CHECK_RV(p11->C_DestroyObject(session, key), CKR_OK, "the unwrapped key");
    }
    return rv;
}

static size_t bytes_of(CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, uint8_t *out, size_t room)
{
    CK_ATTRIBUTE a = {type, out, room};
    CHECK_RV(p11->C_GetAttributeValue(session, key, &a, 1), CKR_OK, "5.7.5: attribute of a half");
    return a.ulValueLen;
}

static void a_version_is_a_private_and_a_public_object(void)
{
    static const struct {
        const char *name;
        CK_ATTRIBUTE_TYPE type;
        CK_RV of_private;
        CK_RV of_public;
        CK_ULONG expect; /* one byte or a CK_ULONG; of the side that has it */
    } rows[] = {
        {"CKA_KEY_TYPE", CKA_KEY_TYPE, CKR_OK, CKR_OK, CKK_RSA},
        {"CKA_TOKEN", CKA_TOKEN, CKR_OK, CKR_OK, CK_TRUE},
        {"CKA_PRIVATE", CKA_PRIVATE, CKR_OK, CKR_OK, CK_TRUE},
        {"CKA_SENSITIVE", CKA_SENSITIVE, CKR_OK, CKR_ATTRIBUTE_TYPE_INVALID, CK_TRUE},
        {"CKA_EXTRACTABLE", CKA_EXTRACTABLE, CKR_OK, CKR_ATTRIBUTE_TYPE_INVALID, CK_FALSE},
        {"CKA_DECRYPT", CKA_DECRYPT, CKR_OK, CKR_ATTRIBUTE_TYPE_INVALID, CK_FALSE},
        {"CKA_SIGN", CKA_SIGN, CKR_OK, CKR_ATTRIBUTE_TYPE_INVALID, CK_FALSE},
        {"CKA_UNWRAP", CKA_UNWRAP, CKR_OK, CKR_ATTRIBUTE_TYPE_INVALID, CK_TRUE},
        {"CKA_WRAP", CKA_WRAP, CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK, CK_TRUE},
        {"CKA_ENCRYPT", CKA_ENCRYPT, CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK, CK_FALSE},
        {"CKA_VERIFY", CKA_VERIFY, CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK, CK_FALSE},
        {"CKA_MODULUS_BITS", CKA_MODULUS_BITS, CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK, 2048},
        {"CKA_DERIVE", CKA_DERIVE, CKR_OK, CKR_OK, CK_FALSE},
        {"CKA_PRIVATE_EXPONENT", CKA_PRIVATE_EXPONENT, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, 0},
        {"CKA_PRIME_1", CKA_PRIME_1, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, 0},
        {"CKA_COEFFICIENT", CKA_COEFFICIENT, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, 0},
        {"CKA_VALUE", CKA_VALUE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_TYPE_INVALID, 0},
        {"CKA_VALUE_LEN", CKA_VALUE_LEN, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_TYPE_INVALID, 0},
        {"CKA_KEYWARD_STATE", CKA_KEYWARD_STATE, CKR_OK, CKR_OK, CKS_KEYWARD_ACTIVE},
        {"CKA_KEYWARD_VERSION", CKA_KEYWARD_VERSION, CKR_OK, CKR_OK, 1},
    };
    begin("pair");
    CHECK(private_half != 0 && public_half != 0, "4.8, 4.9: two objects");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int side = 0; side < 2; side++) {
            CK_RV want = side == 0 ? rows[i].of_private : rows[i].of_public;
            CK_ULONG got = 0;
            CK_ATTRIBUTE a = {rows[i].type, &got, sizeof got};
            CHECK_RV(p11->C_GetAttributeValue(session, side == 0 ? private_half : public_half, &a, 1), want, rows[i].name);
            CHECK(want != CKR_OK || got == rows[i].expect, rows[i].name);
        }
    }
    uint8_t left[ROOM];
    uint8_t right[ROOM];
    size_t n = bytes_of(private_half, CKA_MODULUS, left, sizeof left);
    CHECK(n == K && bytes_of(public_half, CKA_MODULUS, right, sizeof right) == n && memcmp(left, right, n) == 0, "6.1: modulus");
    struct form by_modulus = {0};
    form_bytes(&by_modulus, CKA_MODULUS, left, n);
    CHECK(caller_count(world, session, &by_modulus) == 2, "5.7.7: both are found by the modulus");
    leave();
}

static void every_length_comes_back_or_is_refused(void)
{
    static const CK_ULONG bits[] = {0, 128, 192, 256};
    uint8_t blob[ROOM];
    uint8_t back[ROOM];
    begin("pair");
    for (size_t b = 0; b < COUNT_OF(bits); b++) {
        unsigned exact = 0;
        for (size_t len = 1; len <= 512; len += (len < 40 ? 1U : len < 208 ? 24U : len < 221 ? 1U : 32U) * fixture_every()) {
            CK_ULONG n = 0;
            size_t got = 0;
            CK_OBJECT_HANDLE key = caller_import(world, session, CKK_GENERIC_SECRET, value, len);
            CK_RV rv = wrap(bits[b], key, blob, &n);
            if (rv == CKR_OK) {
                CHECK_RV(unwrap(bits[b], CKK_GENERIC_SECRET, blob, n, back, &got), CKR_OK, "6.1: unwrap");
                CHECK(got == len && memcmp(back, value, len) == 0, "HSM-FACTS 4.4: exact");
                exact++;
            } else {
                CHECK_RV(rv, CKR_KEY_SIZE_RANGE, "HSM-FACTS 4.4: refused");
                CHECK(bits[b] == 0 ? len > OAEP_MOST : len % 8 != 0, "6.1: what is refused does not fit");
            }
            CHECK(bits[b] != 0 || rv != CKR_OK || n == K, "6.1.8: OAEP is as long as the modulus");
            (void)p11->C_DestroyObject(session, key);
        }
        CHECK(exact > (bits[b] == 0 ? 40U : 10U) / (2 * fixture_every()), "many lengths fit");
    }
    leave();
}

/* OAEP encryption by OpenSSL to the public numbers that the module shows. */
static size_t openssl_wrap(const char *hash, const uint8_t *in, size_t len, uint8_t *out)
{
    uint8_t n[ROOM];
    uint8_t e[ROOM];
    size_t n_len = bytes_of(public_half, CKA_MODULUS, n, sizeof n);
    size_t e_len = bytes_of(public_half, CKA_PUBLIC_EXPONENT, e, sizeof e);
    size_t out_len = ROOM;
    EVP_PKEY *key = NULL;
    BIGNUM *bn = BN_bin2bn(n, (int)n_len, NULL);
    BIGNUM *be = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    (void)OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn);
    (void)OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    bool good = EVP_PKEY_fromdata_init(make) == 1 && EVP_PKEY_fromdata(make, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX *ctx = good ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    good = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, hash, NULL) == 1 && EVP_PKEY_encrypt(ctx, out, &out_len, in, len) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_CTX_free(make);
    EVP_PKEY_free(key);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(bn);
    BN_free(be);
    return good ? out_len : 0;
}

static void what_OpenSSL_wraps_opens(void)
{
    uint8_t blob[ROOM];
    uint8_t back[ROOM];
    size_t got = 0;
    begin("pair");
    size_t n = openssl_wrap("SHA1", value, 32, blob);
    CHECK(n == K, "OpenSSL encrypts to the numbers that the module shows");
    CHECK_RV(unwrap(0, CKK_AES, blob, n, back, &got), CKR_OK, "6.1.8: OpenSSL's OAEP");
    CHECK(got == 32 && memcmp(back, value, 32) == 0, "6.1.8: OpenSSL's OAEP");
    n = openssl_wrap("SHA1", value, 33, blob);
    CHECK_RV(unwrap(0, CKK_AES, blob, n, back, &got), CKR_WRAPPED_KEY_INVALID, "an AES key of 33 bytes");
    leave();
}

static void parameters_are_judged(void)
{
    uint8_t data[16] = {0};
    CK_RSA_PKCS_OAEP_PARAMS good = sha1;
    CK_RSA_PKCS_OAEP_PARAMS mixed = {CKM_SHA_1, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_RSA_PKCS_OAEP_PARAMS md5 = {CKM_MD5, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_RSA_PKCS_OAEP_PARAMS label = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, data, sizeof data};
    CK_RSA_PKCS_OAEP_PARAMS lost = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 100};
    CK_RSA_PKCS_OAEP_PARAMS endless = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, (CK_ULONG)-1};
    CK_RSA_PKCS_OAEP_PARAMS source = {CKM_SHA_1, CKG_MGF1_SHA1, 2, NULL, 0};
    CK_RSA_PKCS_OAEP_PARAMS sha256 = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
    struct kw_rsa_aes_params no_oaep = {256, NULL};
    struct kw_rsa_aes_params odd_bits = {255, &good};
    struct kw_rsa_aes_params bad_oaep = {256, &mixed};
    uint8_t room[sizeof good + 1];
    memcpy(room + 1, &good, sizeof good);
    const struct {
        const char *name;
        CK_MECHANISM m;
        CK_RV expect;
    } rows[] = {
        {"OAEP", {CKM_RSA_PKCS_OAEP, &good, sizeof good}, CKR_OK},
        {"OAEP, misaligned", {CKM_RSA_PKCS_OAEP, room + 1, sizeof good}, CKR_OK},
        {"OAEP without", {CKM_RSA_PKCS_OAEP, NULL, 0}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, NULL with a length", {CKM_RSA_PKCS_OAEP, NULL, sizeof good}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, short", {CKM_RSA_PKCS_OAEP, &good, sizeof good - 1}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, -1", {CKM_RSA_PKCS_OAEP, &good, (CK_ULONG)-1}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, other MGF", {CKM_RSA_PKCS_OAEP, &mixed, sizeof mixed}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, MD5", {CKM_RSA_PKCS_OAEP, &md5, sizeof md5}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, label", {CKM_RSA_PKCS_OAEP, &label, sizeof label}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, label NULL with a length", {CKM_RSA_PKCS_OAEP, &lost, sizeof lost}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, label of -1", {CKM_RSA_PKCS_OAEP, &endless, sizeof endless}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, source", {CKM_RSA_PKCS_OAEP, &source, sizeof source}, CKR_MECHANISM_PARAM_INVALID},
        {"OAEP, a hash that SoftHSM does not", {CKM_RSA_PKCS_OAEP, &sha256, sizeof sha256}, CKR_MECHANISM_PARAM_INVALID},
        {"RSA-AES without", {CKM_RSA_AES_KEY_WRAP, NULL, 0}, CKR_MECHANISM_PARAM_INVALID},
        {"RSA-AES, OAEP missing", {CKM_RSA_AES_KEY_WRAP, &no_oaep, sizeof no_oaep}, CKR_MECHANISM_PARAM_INVALID},
        {"RSA-AES, 255 bits", {CKM_RSA_AES_KEY_WRAP, &odd_bits, sizeof odd_bits}, CKR_MECHANISM_PARAM_INVALID},
        {"RSA-AES, other MGF", {CKM_RSA_AES_KEY_WRAP, &bad_oaep, sizeof bad_oaep}, CKR_MECHANISM_PARAM_INVALID},
        {"AES key wrap", {CKM_AES_KEY_WRAP, NULL, 0}, CKR_WRAPPING_KEY_TYPE_INCONSISTENT},
        {"PKCS#1 v1.5", {CKM_RSA_PKCS, NULL, 0}, CKR_MECHANISM_INVALID},
        {"raw RSA", {CKM_RSA_X_509, NULL, 0}, CKR_MECHANISM_INVALID},
    };
    begin("pair");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t blob[ROOM];
        CK_ULONG n = sizeof blob;
        CK_MECHANISM m = rows[i].m;
        CHECK_RV(p11->C_WrapKey(session, &m, public_half, key, blob, &n), rows[i].expect, rows[i].name);
        struct form t = {0};
        CK_OBJECT_HANDLE made = 0;
        form_secret(&t, CKK_AES);
        form_readable(&t);
        CK_RV want = rows[i].expect == CKR_WRAPPING_KEY_TYPE_INCONSISTENT ? CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT : rows[i].expect;
        if (want != CKR_OK) {
            memset(blob, 1, sizeof blob);
            CHECK_RV(p11->C_UnwrapKey(session, &m, private_half, blob, K, t.a, t.count, &made), want, rows[i].name);
        }
    }
    leave();
}

static void each_half_does_its_own(void)
{
    struct how h;
    uint8_t blob[ROOM];
    CK_ULONG n = ROOM;
    struct form t = {0};
    CK_OBJECT_HANDLE made = 0;
    begin("pair");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    form_secret(&t, CKK_AES);
    form_readable(&t);
    CHECK_RV(p11->C_WrapKey(session, how(&h, 0), private_half, key, blob, &n), CKR_KEY_FUNCTION_NOT_PERMITTED, "5.18.3: private half");
    CHECK_RV(wrap(0, key, blob, &n), CKR_OK, "5.18.3: public half");
    CHECK_RV(p11->C_UnwrapKey(session, how(&h, 0), public_half, blob, n, t.a, t.count, &made), CKR_KEY_FUNCTION_NOT_PERMITTED,
             "5.18.4: public half");
    CHECK_RV(p11->C_WrapKey(session, how(&h, 0), public_half, private_half, blob, &n), CKR_KEY_UNEXTRACTABLE, "ATTACKS A05: self wrap");
    leave();
}

static void both_homes_are_served(void)
{
    uint8_t blob[ROOM];
    uint8_t back[ROOM];
    begin("pair");
    for (CK_ULONG bits = 0; bits <= 256; bits += 256) {
        CK_ULONG n = ROOM;
        size_t got = 0;
        struct how h;
        struct form sealed = {0};
        CK_OBJECT_HANDLE key = 0;
        CK_OBJECT_HANDLE memory = caller_import(world, session, CKK_AES, value, 32);
        CHECK_RV(wrap(bits, memory, blob, &n), CKR_OK, "memory home");
        form_secret(&sealed, CKK_AES);
        form_bool(&sealed, CKA_SENSITIVE, true);
        form_bool(&sealed, CKA_EXTRACTABLE, true);
        form_bool(&sealed, CKA_TOKEN, false);
        CHECK_RV(p11->C_UnwrapKey(session, how(&h, bits), private_half, blob, n, sealed.a, sealed.count, &key), CKR_OK, "to the token home");
        CHECK_RV(wrap(bits, key, blob, &n), CKR_OK, "from the token home");
        CHECK_RV(unwrap(bits, CKK_AES, blob, n, back, &got), CKR_OK, "back to memory");
        CHECK(got == 32 && memcmp(back, value, 32) == 0, "the same key all the way");
    }
    leave();
}

static void every_bad_blob_gets_one_code(void)
{
    uint8_t blob[ROOM] = {0};
    uint8_t back[ROOM];
    begin("pair");
    for (CK_ULONG bits = 0; bits <= 256; bits += 256) {
        CK_ULONG n = ROOM;
        size_t got = 0;
        CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
        CHECK_RV(wrap(bits, key, blob, &n), CKR_OK, "a blob");
        for (CK_ULONG bit = 0; bit < n * 8; bit += (bit < 16 || bit > n * 8 - 16 ? 1 : 61) * fixture_every()) {
            blob[bit / 8] ^= (uint8_t)(1U << bit % 8);
            CHECK_RV(unwrap(bits, CKK_AES, blob, n, back, &got), CKR_WRAPPED_KEY_INVALID, "ATTACKS A09, A12: a bit flipped");
            blob[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        for (CK_ULONG len = 0; len < n; len += 37 * fixture_every()) {
            CHECK_RV(unwrap(bits, CKK_AES, blob, len, back, &got), CKR_WRAPPED_KEY_INVALID, "truncated");
        }
        CHECK_RV(unwrap(bits, CKK_AES, blob, n + 8, back, &got), CKR_WRAPPED_KEY_INVALID, "extended");
        memset(blob, 0xFF, K); /* above any modulus */
        CHECK_RV(unwrap(bits, CKK_AES, blob, n, back, &got), CKR_WRAPPED_KEY_INVALID, "RFC 8017 7.1.2: out of range");
        memset(blob, 0, K);
        CHECK_RV(unwrap(bits, CKK_AES, blob, n, back, &got), CKR_WRAPPED_KEY_INVALID, "RFC 8017 7.1.2: zero");
    }
    leave();
}

/* What is done to the pair past Keyward. */
struct deed {
    enum { DISABLE, ENABLE, RETIRE, MAY_DECRYPT, MAY_NOT_DECRYPT, PLANT_PUBLIC, EXCHANGE } what;
    char label[16];
};

static CK_OBJECT_HANDLE find_half(const struct outside_token *t, const char *label, CK_OBJECT_CLASS class)
{
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
    CK_OBJECT_HANDLE found = 0;
    CK_ULONG n = 0;
    if (t->calls->C_FindObjectsInit(t->session, a, 2) == CKR_OK) {
        (void)t->calls->C_FindObjects(t->session, &found, 1, &n);
        (void)t->calls->C_FindObjectsFinal(t->session);
    }
    return n == 1 ? found : 0;
}

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static CK_RV set(const struct outside_token *t, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, CK_BBOOL *to)
{
    CK_ATTRIBUTE a = {type, to, sizeof *to};
    return t->calls->C_SetAttributeValue(t->session, key, &a, 1);
}

/* Somebody's public key with the label and CKA_ID of ours, as anybody can make one without a login. */
static CK_RV plant_public(const struct outside_token *t, const char *label)
{
    static uint8_t modulus[K];
    static uint8_t exponent[] = {1, 0, 1};
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_RSA;
    uint8_t id[] = "pair";
    CK_OBJECT_HANDLE made = 0;
    memset(modulus, 0xC5, sizeof modulus);
    CK_ATTRIBUTE a[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &no, 1},
        {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}, {CKA_ID, id, 4}, {CKA_WRAP, &yes, 1},
        {CKA_MODULUS, modulus, sizeof modulus}, {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent},
    };
    return t->calls->C_CreateObject(t->session, a, COUNT_OF(a), &made);
}

/* A pair made past Keyward, as a custodian with a tool of the vendor would. */
static CK_RV make_pair(const struct outside_token *t, const char *label, CK_ULONG bits)
{
    static uint8_t exponent[] = {1, 0, 1};
    void *name = (void *)(uintptr_t)label;
    CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    uint8_t id[] = "pair";
    CK_OBJECT_HANDLE made[2];
    CK_ATTRIBUTE pub[] = {
        {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_PUBLIC_EXPONENT, exponent, 3},
        {CKA_WRAP, &yes, 1}, {CKA_ENCRYPT, &no, 1}, {CKA_VERIFY, &no, 1}, {CKA_LABEL, name, strlen(label)}, {CKA_ID, id, 4},
    };
    CK_ATTRIBUTE priv[] = {
        {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}, {CKA_UNWRAP, &yes, 1},
        {CKA_DECRYPT, &no, 1}, {CKA_SIGN, &no, 1}, {CKA_DERIVE, &no, 1}, {CKA_LABEL, name, strlen(label)}, {CKA_ID, id, 4},
    };
    return t->calls->C_GenerateKeyPair(t->session, &m, pub, COUNT_OF(pub), priv, COUNT_OF(priv), &made[0], &made[1]);
}

/* Another, longer pair in the place of one. */
static CK_RV exchange(const struct outside_token *t, const char *label)
{
    CK_RV rv = t->calls->C_DestroyObject(t->session, find_half(t, label, CKO_PRIVATE_KEY));
    rv |= t->calls->C_DestroyObject(t->session, find_half(t, label, CKO_PUBLIC_KEY));
    return rv == CKR_OK ? make_pair(t, label, 3072) : rv;
}

static int do_deed(const struct outside_token *t, void *data)
{
    const struct deed *d = data;
    CK_OBJECT_HANDLE key = find_half(t, d->label, CKO_PRIVATE_KEY);
    CK_RV rv = CKR_GENERAL_ERROR;
    switch (d->what) {
    case DISABLE:
        rv = set(t, key, CKA_UNWRAP, &no);
        break;
    case ENABLE:
        rv = set(t, key, CKA_UNWRAP, &yes);
        break;
    case RETIRE:
        rv = set(t, find_half(t, d->label, CKO_PUBLIC_KEY), CKA_WRAP, &no);
        break;
    case MAY_DECRYPT:
        rv = set(t, key, CKA_DECRYPT, &yes);
        break;
    case MAY_NOT_DECRYPT:
        rv = set(t, key, CKA_DECRYPT, &no);
        break;
    case PLANT_PUBLIC:
        rv = plant_public(t, d->label);
        break;
    default:
        rv = exchange(t, d->label);
    }
    return rv == CKR_OK ? 0 : 1;
}

static void outside(const char *slot, int what)
{
    struct deed d = {.what = what};
    (void)snprintf(d.label, sizeof d.label, "%s", slot);
    CHECK(fixture_outside(world, "eu-1", do_deed, &d, sizeof d) == 0, "the token is changed from outside");
}

static void the_state_is_obeyed_at_the_next_call(void)
{
    uint8_t blob[ROOM];
    uint8_t out[ROOM];
    CK_ULONG n = ROOM;
    CK_ULONG m = ROOM;
    size_t got = 0;
    begin("state");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    CHECK_RV(wrap(0, key, blob, &n), CKR_OK, "active");
    outside("state", DISABLE);
    CHECK_RV(unwrap(0, CKK_AES, blob, n, out, &got), CKR_KEY_FUNCTION_NOT_PERMITTED, "G4: disabled");
    outside("state", ENABLE);
    CHECK_RV(unwrap(0, CKK_AES, blob, n, out, &got), CKR_OK, "enabled");
    outside("state", MAY_DECRYPT);
    (void)unwrap(0, CKK_AES, blob, n, out, &got); /* may still be served from what was read a moment ago */
    leave();
    begin("state");
    CHECK_RV(unwrap(0, CKK_AES, blob, n, out, &got), CKR_KEY_FUNCTION_NOT_PERMITTED, "ATTACKS A07: out of service");
    outside("state", MAY_NOT_DECRYPT);
    outside("state", RETIRE);
    leave();
    begin("state");
    key = caller_import(world, session, CKK_AES, value, 32);
    CHECK_RV(wrap(0, key, out, &m), CKR_KEY_FUNCTION_NOT_PERMITTED, "retired: does not wrap");
    CHECK_RV(unwrap(0, CKK_AES, blob, n, out, &got), CKR_OK, "retired: unwraps");
    leave();
}

static void a_planted_public_key_is_not_used(void)
{
    uint8_t blob[ROOM];
    uint8_t out[ROOM];
    CK_ULONG n = ROOM;
    size_t got = 0;
    outside("planted", PLANT_PUBLIC);
    begin("planted");
    CHECK(public_half != 0, "ATTACKS A28: the genuine half is shown, and alone");
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    CHECK_RV(wrap(0, key, blob, &n), CKR_OK, "ATTACKS A28: wrapped to the genuine half");
    CHECK_RV(unwrap(0, CKK_AES, blob, n, out, &got), CKR_OK, "ATTACKS A28: the private half opens it");
    leave();
}

/* The caller's room is that of the modulus that the handle was given out for. */
static void the_handles_of_a_pair_that_was_exchanged_are_stale(void)
{
    struct how h;
    uint8_t room[K + 256];
    CK_ULONG n = K;
    bool whole = true;
    begin("exchanged");
    memset(room, 0x5A, sizeof room);
    CK_OBJECT_HANDLE key = caller_import(world, session, CKK_AES, value, 32);
    outside("exchanged", EXCHANGE);
    CHECK_RV(p11->C_WrapKey(session, how(&h, 0), public_half, key, room, &n), CKR_WRAPPING_KEY_HANDLE_INVALID,
             "G2: the handle is not one of the key that stands there now");
    for (size_t i = K; i < sizeof room; i++) {
        whole = whole && room[i] == 0x5A;
    }
    CHECK(whole, "5.2: nothing is written behind the caller's room");
    CHECK_RV(p11->C_UnwrapKey(session, how(&h, 0), private_half, room, K, NULL, 0, &key), CKR_TEMPLATE_INCOMPLETE, "the template comes first");
    leave();
    begin("exchanged");
    key = caller_import(world, session, CKK_AES, value, 32);
    CHECK_RV(wrap(0, key, room, &n), CKR_OK, "the next search gives handles of the new pair");
    CHECK(n == 3072 / 8, "whose modulus is longer");
    leave();
}

static int make_one(const struct outside_token *t, void *data)
{
    return make_pair(t, data, K * 8) == CKR_OK ? 0 : 1;
}

static void the_pairs_are_made(void)
{
    static const char *const labels[] = {"pair", "state", "planted", "exchanged"};
    for (size_t i = 0; i < COUNT_OF(labels); i++) {
        char label[16];
        (void)snprintf(label, sizeof label, "%s", labels[i]);
        CHECK(fixture_outside(world, "eu-1", make_one, label, sizeof label) == 0, "a pair is made outside");
    }
}

int main(void)
{
    static const struct fixture_slot slots[] = {
        {.name = "pair", .tokens = "eu-1", .cmk = FIXTURE_CMK_NONE},
        {.name = "state", .tokens = "eu-1", .cmk = FIXTURE_CMK_NONE},
        {.name = "planted", .tokens = "eu-1", .cmk = FIXTURE_CMK_NONE},
        {.name = "exchanged", .tokens = "eu-1", .cmk = FIXTURE_CMK_NONE},
        {0},
    };
    static CU_TestInfo tests[] = {
        {"the pairs are made", the_pairs_are_made},
        {"a version is a private and a public object", a_version_is_a_private_and_a_public_object},
        {"every length comes back or is refused", every_length_comes_back_or_is_refused},
        {"what OpenSSL wraps opens", what_OpenSSL_wraps_opens},
        {"parameters are judged", parameters_are_judged},
        {"each half does its own", each_half_does_its_own},
        {"both homes are served", both_homes_are_served},
        {"every bad blob gets one code", every_bad_blob_gets_one_code},
        {"the state is obeyed at the next call", the_state_is_obeyed_at_the_next_call},
        {"a planted public key is not used", a_planted_public_key_is_not_used},
        {"the handles of a pair that was exchanged are stale", the_handles_of_a_pair_that_was_exchanged_are_stale},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("RSA", &(struct fixture_settings){.slots = slots}, tests);
}
