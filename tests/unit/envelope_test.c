/* envelope_test.c: the bytes of an envelope: the vectors of docs/envelope.md, every bit, every length, every place. No token. */
#include "envelope.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include "scratch.h"

enum { PAGE_MAX = 65536, CONTEXT_ROOM = KW_ENVELOPE_CONTEXT_MAX + 1 };

/* A vector as the page has it; text and hex as written. */
struct vector {
    char name[64];
    char fields[12][KW_ENVELOPE_MAX * 2 + 1];
};
static const char *const field_names[12] = {"cmk",         "origin-key", "tenant",   "geo",      "context", "type",
                                            "version",     "lineage",    "content-key", "nonce", "data-key", "envelope"};
enum { CMK, ORIGIN_KEY, TENANT, GEO, CONTEXT, TYPE, VERSION, LINEAGE, CONTENT_KEY, NONCE, DATA_KEY, ENVELOPE, FIELDS };

static struct vector vectors[8];
static size_t vector_count;

/* One line of a vector; `at` is the field that the line before was of. */
static size_t read_line(struct vector *v, const char *line, size_t at)
{
    const char *text = line;
    if (line[0] != ' ') {
        size_t n = strcspn(line, " ");
        for (at = 0; at < FIELDS && (strlen(field_names[at]) != n || strncmp(field_names[at], line, n) != 0); at++) {
        }
        if (at == FIELDS) {
            return at;
        }
        text = line + n;
    }
    text += strspn(text, " ");
    size_t used = strlen(v->fields[at]);
    (void)snprintf(v->fields[at] + used, sizeof v->fields[at] - used, "%s", text);
    return at;
}

static int read_vectors(void)
{
    FILE *page = fopen(ENVELOPE_PAGE, "r");
    char line[256];
    char name[64] = "";
    bool inside = false;
    bool good = page != NULL;
    size_t at = 0;
    while (good && fgets(line, sizeof line, page) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        struct vector *v = &vectors[vector_count];
        if (!inside && strncmp(line, "### ", 4) == 0) {
            (void)snprintf(name, sizeof name, "%.60s", line + 4);
        } else if (!inside && strcmp(line, "```vector") == 0 && vector_count < 7) {
            memset(v, 0, sizeof *v);
            memcpy(v->name, name, sizeof v->name);
            inside = true;
        } else if (inside && strcmp(line, "```") == 0) {
            inside = false;
            vector_count++;
        } else if (inside) {
            at = read_line(v, line, at);
            good &= at < FIELDS;
        }
    }
    if (page != NULL) {
        (void)fclose(page);
    }
    return good && vector_count > 0 ? 0 : 1;
}

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        const char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}

static struct kw_secret *secret_of(const char *hex)
{
    uint8_t bytes[KW_DEK_LENGTH_MAX];
    struct kw_secret *s = NULL;
    size_t n = from_hex(hex, bytes);
    CU_ASSERT_FATAL(kw_ok(kw_secret_dup(bytes, n, &s)));
    return s;
}

static struct kw_envelope_place place_of(const struct vector *v)
{
    const char *context = v->fields[CONTEXT];
    return (struct kw_envelope_place){v->fields[TENANT], v->fields[GEO], (const uint8_t *)context, strlen(context)};
}

/* Whether the bytes are read and open, to the vector's data key. */
static bool opens(const struct vector *v, const struct kw_envelope_place *place, const uint8_t *bytes, size_t len)
{
    struct kw_envelope e;
    struct kw_secret *key = secret_of(v->fields[CONTENT_KEY]);
    struct kw_secret *data = NULL;
    uint8_t want[KW_DEK_LENGTH_MAX];
    size_t want_len = from_hex(v->fields[DATA_KEY], want);
    bool open = kw_envelope_parse(bytes, len, &e) == NULL && kw_ok(kw_envelope_open(&e, place, key, &data));
    if (open) {
        CU_ASSERT_TRUE(kw_secret_equal(data, want, want_len));
    } else {
        CU_ASSERT_PTR_NULL(data);
    }
    kw_secret_free(data);
    kw_secret_free(key);
    return open;
}

static void the_vectors_are_read_opened_and_made_again(void)
{
    CU_ASSERT_FATAL(vector_count >= 5);
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        const struct kw_envelope_place place = place_of(v);
        uint8_t bytes[KW_ENVELOPE_MAX];
        uint8_t again[KW_ENVELOPE_MAX];
        uint8_t sealed[KW_ENVELOPE_SEALED_MAX];
        uint8_t want[64];
        struct kw_envelope e;
        size_t len = from_hex(v->fields[ENVELOPE], bytes);
        CU_ASSERT_PTR_NULL_FATAL(kw_envelope_parse(bytes, len, &e));
        CU_ASSERT_EQUAL(e.type, strcmp(v->fields[TYPE], "AES") == 0 ? CKK_AES : CKK_GENERIC_SECRET);
        CU_ASSERT_EQUAL(e.version, strtoul(v->fields[VERSION], NULL, 10));
        CU_ASSERT_EQUAL(from_hex(v->fields[LINEAGE], want), KW_LINEAGE_SIZE);
        CU_ASSERT_EQUAL(memcmp(e.lineage, want, KW_LINEAGE_SIZE), 0);
        CU_ASSERT_EQUAL(e.origin != NULL, v->fields[ORIGIN_KEY][0] != '\0');
        CU_ASSERT_EQUAL(kw_envelope_key_len(&e), strlen(v->fields[DATA_KEY]) / 2);
        CU_ASSERT_EQUAL(len, kw_envelope_len(e.how, e.wrapped_len, kw_envelope_key_len(&e)));
        CU_ASSERT_TRUE(opens(v, &place, bytes, len));
        struct kw_secret *key = secret_of(v->fields[CONTENT_KEY]);
        struct kw_secret *data = secret_of(v->fields[DATA_KEY]);
        CU_ASSERT_TRUE(kw_ok(kw_envelope_seal(&e, &place, key, data, sealed)));
        e.sealed = sealed;
        CU_ASSERT_EQUAL(kw_envelope_write(&e, again), len);
        CU_ASSERT_EQUAL(memcmp(again, bytes, len), 0);
        kw_secret_free(key);
        kw_secret_free(data);
    }
}

/* Version, wrapped content key and origin tag are looked after by the token; everything else fails here. */
static void every_other_bit_counts(void)
{
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        const struct kw_envelope_place place = place_of(v);
        uint8_t bytes[KW_ENVELOPE_MAX];
        struct kw_envelope e;
        size_t len = from_hex(v->fields[ENVELOPE], bytes);
        CU_ASSERT_PTR_NULL_FATAL(kw_envelope_parse(bytes, len, &e));
        size_t body = (size_t)(e.sealed - bytes);
        unsigned accepted = 0;
        for (size_t bit = 0; bit < len * 8; bit++) {
            size_t at = bit / 8;
            if (at == 4 || (at >= 20 && at < 24) || (at >= KW_ENVELOPE_HEADER && at < body)) {
                continue;
            }
            bytes[at] ^= (uint8_t)(1U << bit % 8);
            accepted += opens(v, &place, bytes, len);
            bytes[at] ^= (uint8_t)(1U << bit % 8);
        }
        CU_ASSERT_EQUAL(accepted, 0);
    }
}

/* What the token does with a wrapped content key, by OpenSSL: RFC 3394. False when it does not open. */
static bool kw_by_openssl(EVP_CIPHER_CTX *c, int direction, const uint8_t *in, size_t len, uint8_t *out)
{
    static const uint8_t cmk[32] = "thirty-two bytes, a master key.";
    int n = 0;
    EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    return EVP_CipherInit_ex(c, EVP_aes_256_wrap(), NULL, cmk, NULL, direction) == 1 && EVP_CipherUpdate(c, out, &n, in, (int)len) == 1;
}

/* Opens an envelope as content.c does under an AES key whose only version is 1. */
static bool opens_whole(EVP_CIPHER_CTX *c, const struct kw_envelope_place *place, const uint8_t *bytes, size_t len, const uint8_t *lineage)
{
    struct kw_envelope e;
    struct kw_secret *key = NULL;
    struct kw_secret *data = NULL;
    uint8_t content[KW_ENVELOPE_KEY + 16];
    bool open = kw_envelope_parse(bytes, len, &e) == NULL && memcmp(e.lineage, lineage, sizeof e.lineage) == 0 && e.version == 1 &&
                e.how == KW_ENVELOPE_AES_KW && kw_by_openssl(c, 0, e.wrapped, e.wrapped_len, content) &&
                kw_ok(kw_secret_dup(content, KW_ENVELOPE_KEY, &key)) && kw_ok(kw_envelope_open(&e, place, key, &data));
    kw_secret_free(data);
    kw_secret_free(key);
    return open;
}

/* Makes an envelope of a random data key; gives its length. */
static size_t make_whole(EVP_CIPHER_CTX *c, const struct kw_envelope_place *place, size_t data_len, uint8_t out[KW_ENVELOPE_MAX])
{
    uint8_t content[KW_ENVELOPE_KEY];
    uint8_t random[KW_DEK_LENGTH_MAX];
    uint8_t wrapped[KW_ENVELOPE_AES_WRAPPED + 16];
    uint8_t sealed[KW_ENVELOPE_SEALED_MAX];
    struct kw_secret *key = NULL;
    struct kw_secret *data = NULL;
    struct kw_envelope e = {.how = KW_ENVELOPE_AES_KW, .type = CKK_AES, .version = 1, .wrapped = wrapped,
                            .wrapped_len = KW_ENVELOPE_AES_WRAPPED, .sealed = sealed, .sealed_len = data_len + KW_GCM_TAG_SIZE};
    CU_ASSERT_FATAL(getrandom(content, sizeof content, 0) == sizeof content && getrandom(random, data_len, 0) == (ssize_t)data_len &&
                    getrandom(e.nonce, sizeof e.nonce, 0) == sizeof e.nonce && getrandom(e.lineage, sizeof e.lineage, 0) == sizeof e.lineage);
    CU_ASSERT_FATAL(kw_by_openssl(c, 1, content, sizeof content, wrapped) && kw_ok(kw_secret_dup(content, sizeof content, &key)) &&
                    kw_ok(kw_secret_dup(random, data_len, &data)) && kw_ok(kw_envelope_seal(&e, place, key, data, sealed)));
    kw_secret_free(key);
    kw_secret_free(data);
    return kw_envelope_write(&e, out);
}

/* Every bit of many whole envelopes, the content key unwrapped by OpenSSL; KW_TEST_ENVELOPES says how many. */
static void every_bit_of_whole_envelopes_counts(void)
{
    static const size_t lengths[] = {16, 24, 32};
    const struct kw_envelope_place place = {"contoso", "eu", (const uint8_t *)"database/table", 14};
    const char *many = getenv("KW_TEST_ENVELOPES");
    unsigned long envelopes = many == NULL ? 10 : strtoul(many, NULL, 10);
    unsigned long flips = 0;
    unsigned long accepted = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    for (unsigned long i = 0; i < envelopes; i++) {
        uint8_t bytes[KW_ENVELOPE_MAX];
        uint8_t lineage[KW_LINEAGE_SIZE];
        size_t len = make_whole(c, &place, lengths[i % 3], bytes);
        memcpy(lineage, bytes + 8, sizeof lineage);
        CU_ASSERT_TRUE_FATAL(opens_whole(c, &place, bytes, len, lineage));
        for (size_t bit = 0; bit < len * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            accepted += opens_whole(c, &place, bytes, len, lineage);
            bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            flips++;
        }
    }
    (void)printf("\n    %lu bits of %lu envelopes flipped, %lu accepted ", flips, envelopes, accepted);
    CU_ASSERT_EQUAL(accepted, 0);
    EVP_CIPHER_CTX_free(c);
}

static void the_origin_text_has_what_the_token_signs(void)
{
    uint8_t bytes[KW_ENVELOPE_MAX];
    uint8_t text[KW_ENVELOPE_ORIGIN_TEXT_MAX];
    for (size_t i = 0; i < vector_count; i++) {
        struct kw_envelope e;
        size_t len = from_hex(vectors[i].fields[ENVELOPE], bytes);
        CU_ASSERT_PTR_NULL_FATAL(kw_envelope_parse(bytes, len, &e));
        CU_ASSERT_EQUAL_FATAL(kw_envelope_origin_text(&e, text), 21 + e.wrapped_len);
        CU_ASSERT_EQUAL(memcmp(text, bytes, 5), 0);
        CU_ASSERT_EQUAL(memcmp(text + 5, bytes + 8, 16), 0);
        CU_ASSERT_EQUAL(memcmp(text + 21, bytes + 36, e.wrapped_len), 0);
    }
}

static void another_length_is_no_envelope(void)
{
    uint8_t bytes[2 * KW_ENVELOPE_MAX] = {0};
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        const struct kw_envelope_place place = place_of(v);
        size_t len = from_hex(v->fields[ENVELOPE], bytes);
        for (size_t n = 0; n < sizeof bytes; n++) {
            uint8_t *exact = malloc(n + 1); /* the sanitizers see a byte too far */
            CU_ASSERT_PTR_NOT_NULL(exact);
            if (exact != NULL) {
                memcpy(exact + 1, bytes, n);
                CU_ASSERT_EQUAL(opens(v, &place, exact + 1, n), n == len);
            }
            free(exact);
        }
    }
}

static void header_fields_are_judged(void)
{
    static const struct {
        const char *what;
        size_t at;
        uint8_t value;
    } rows[] = {
        {"another magic", 3, '2'}, {"how 0", 4, 0},   {"how 4", 4, 4},   {"type 0", 5, 0},
        {"type 3", 5, 3},          {"n 41", 7, 41},   {"n 39", 7, 39},   {"n 0", 7, 0},
        {"n over 64 KiB", 6, 255}, {"how 2 with n 40", 4, 2},
    };
    uint8_t good[KW_ENVELOPE_MAX];
    struct kw_envelope e;
    size_t len = from_hex(vectors[0].fields[ENVELOPE], good);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bad[KW_ENVELOPE_MAX];
        memcpy(bad, good, len);
        bad[rows[i].at] = rows[i].value;
        CU_ASSERT_PTR_NOT_NULL(kw_envelope_parse(bad, len, &e));
    }
    memset(good + 20, 0, 4);
    CU_ASSERT_PTR_NOT_NULL(kw_envelope_parse(good, len, &e)); /* version 0 */
}

/* A data key opens in its place only: no byte may move from one of the three names to the next. */
static void each_place_is_another(void)
{
    static uint8_t context[CONTEXT_ROOM];
    const struct kw_envelope_place places[] = {
        {"a", "b", (const uint8_t *)"c", 1}, {"ab", "", (const uint8_t *)"c", 1}, {"", "ab", (const uint8_t *)"c", 1},
        {"", "", (const uint8_t *)"abc", 3}, {"a", "bc", NULL, 0},                {"a", "", (const uint8_t *)"bc", 2},
        {NULL, NULL, NULL, 0},               {"", "", context, 1},                {"", "", context, 65535},
        {"", "", context, 65536},
    };
    enum { PLACES = sizeof places / sizeof places[0] };
    struct kw_envelope e = {.how = KW_ENVELOPE_AES_KW, .type = CKK_AES, .version = 1};
    struct kw_secret *key = secret_of(vectors[0].fields[CONTENT_KEY]);
    struct kw_secret *data = secret_of(vectors[0].fields[DATA_KEY]);
    for (size_t i = 0; i < PLACES; i++) {
        uint8_t sealed[KW_ENVELOPE_SEALED_MAX];
        e.sealed = sealed;
        e.sealed_len = kw_secret_len(data) + KW_GCM_TAG_SIZE;
        CU_ASSERT_TRUE_FATAL(kw_ok(kw_envelope_seal(&e, &places[i], key, data, sealed)));
        for (size_t k = 0; k < PLACES; k++) {
            struct kw_secret *back = NULL;
            struct kw_rv r = kw_envelope_open(&e, &places[k], key, &back);
            CU_ASSERT_EQUAL(r.code, i == k ? CKR_OK : CKR_WRAPPED_KEY_INVALID);
            kw_secret_free(back);
        }
    }
    const struct kw_envelope_place too_long = {"", "", context, KW_ENVELOPE_CONTEXT_MAX + 1};
    uint8_t sealed[KW_ENVELOPE_SEALED_MAX];
    CU_ASSERT_EQUAL(kw_envelope_seal(&e, &too_long, key, data, sealed).code, CKR_MECHANISM_PARAM_INVALID);
    kw_secret_free(key);
    kw_secret_free(data);
}

static void every_length_comes_back(void)
{
    const struct kw_envelope_place place = {"t", "g", NULL, 0};
    struct kw_secret *key = secret_of(vectors[0].fields[CONTENT_KEY]);
    uint8_t wrapped[KW_ENVELOPE_AES_WRAPPED] = {7};
    for (size_t len = 1; len <= KW_DEK_LENGTH_MAX; len++) {
        struct kw_secret *data = NULL;
        struct kw_secret *back = NULL;
        uint8_t sealed[KW_ENVELOPE_SEALED_MAX];
        uint8_t bytes[KW_ENVELOPE_MAX];
        struct kw_envelope e = {.how = KW_ENVELOPE_AES_KW, .type = CKK_GENERIC_SECRET, .version = 1, .wrapped = wrapped,
                                .wrapped_len = sizeof wrapped, .sealed = sealed, .sealed_len = len + KW_GCM_TAG_SIZE};
        struct kw_envelope read;
        CU_ASSERT_TRUE_FATAL(kw_ok(kw_secret_new(len, &data)));
        memset(kw_secret_bytes(data), (int)len, len);
        CU_ASSERT_TRUE(kw_ok(kw_envelope_seal(&e, &place, key, data, sealed)));
        size_t n = kw_envelope_write(&e, bytes);
        CU_ASSERT_PTR_NULL_FATAL(kw_envelope_parse(bytes, n, &read));
        CU_ASSERT_TRUE(kw_ok(kw_envelope_open(&read, &place, key, &back)));
        CU_ASSERT_TRUE(kw_secret_equal(back, kw_secret_peek(data), len));
        e.type = CKK_AES;
        n = kw_envelope_write(&e, bytes);
        CU_ASSERT_EQUAL(kw_envelope_parse(bytes, n, &read) == NULL, len == 16 || len == 24 || len == 32);
        kw_secret_free(back);
        kw_secret_free(data);
    }
    kw_secret_free(key);
    CU_ASSERT_EQUAL(kw_secret_alive(), 0);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"the vectors are read, opened and made again", the_vectors_are_read_opened_and_made_again},
        {"every other bit counts", every_other_bit_counts},
        {"every bit of whole envelopes counts", every_bit_of_whole_envelopes_counts},
        {"the origin text has what the token signs", the_origin_text_has_what_the_token_signs},
        {"another length is no envelope", another_length_is_no_envelope},
        {"header fields are judged", header_fields_are_judged},
        {"each place is another", each_place_is_another},
        {"every length comes back", every_length_comes_back},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"envelope", read_vectors, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    return scratch_run(suites);
}
