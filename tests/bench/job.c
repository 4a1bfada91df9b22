#include "job.h"

#include <string.h>

#include "keyward.h"

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;
static CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
static CK_KEY_TYPE aes = CKK_AES;
static CK_ULONG key_length = JOB_KEY_LENGTH;
static CK_MECHANISM key_wrap = {CKM_AES_KEY_WRAP, NULL, 0};
static CK_MECHANISM key_gen = {CKM_AES_KEY_GEN, NULL, 0};
static CK_UTF8CHAR label[] = "bench data key";
static unsigned char context[] = "database/table";
static CK_KEYWARD_ENVELOPE_PARAMS bind = {context, sizeof context - 1};
static CK_MECHANISM in_envelope = {CKM_KEYWARD_ENVELOPE, &bind, sizeof bind};

#define BOOL(type, value) {(type), &(value), sizeof(CK_BBOOL)}
#define NO_USAGE                                                                                  \
    BOOL(CKA_ENCRYPT, no), BOOL(CKA_DECRYPT, no), BOOL(CKA_SIGN, no), BOOL(CKA_VERIFY, no),       \
        BOOL(CKA_WRAP, no), BOOL(CKA_UNWRAP, no), BOOL(CKA_DERIVE, no)
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* PKCS#11 does not promise to leave a template alone, and the threads share these: each call gets
 * the attributes from here (read only) in an array of its own. */
static const CK_ATTRIBUTE readable_generated[] = {
    {CKA_CLASS, &secret_key, sizeof secret_key},
    {CKA_KEY_TYPE, &aes, sizeof aes},
    {CKA_VALUE_LEN, &key_length, sizeof key_length},
    BOOL(CKA_TOKEN, no), BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, yes), NO_USAGE,
};

/* As above without CKA_VALUE_LEN, which C_UnwrapKey on SoftHSM refuses. */
static const CK_ATTRIBUTE readable_unwrapped[] = {
    {CKA_CLASS, &secret_key, sizeof secret_key},
    {CKA_KEY_TYPE, &aes, sizeof aes},
    BOOL(CKA_TOKEN, no), BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, yes), NO_USAGE,
};

static const CK_ATTRIBUTE token_home[] = {
    {CKA_CLASS, &secret_key, sizeof secret_key},
    {CKA_KEY_TYPE, &aes, sizeof aes},
    {CKA_VALUE_LEN, &key_length, sizeof key_length},
    {CKA_LABEL, label, sizeof label - 1},
    BOOL(CKA_TOKEN, yes), BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, yes), NO_USAGE,
};

static CK_OBJECT_HANDLE generate(const struct provider *provider, CK_SESSION_HANDLE session,
                                 const CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_ATTRIBUTE own[24];
    memcpy(own, template, count * sizeof *template);
    CK_MECHANISM mechanism = key_gen;
    CK_OBJECT_HANDLE key = 0;
    provider_expect(provider, provider->f->C_GenerateKey(session, &mechanism, own, count, &key),
                    "C_GenerateKey");
    return key;
}

/* The broker's way to wrap in the envelope jobs: on the vendor's module it has nothing but RFC 3394. */
static CK_ULONG envelope_length(const struct job_seat *seat)
{
    return seat->has_envelopes ? JOB_ENVELOPE_LENGTH : JOB_WRAPPED_LENGTH;
}

static void wrap_by(const struct job_seat *seat, CK_MECHANISM mechanism, CK_OBJECT_HANDLE key, CK_BYTE *wrapped)
{
    CK_ULONG expected = mechanism.mechanism == CKM_AES_KEY_WRAP ? JOB_WRAPPED_LENGTH : JOB_ENVELOPE_LENGTH;
    CK_ULONG length = expected;
    CK_RV rv = seat->provider->f->C_WrapKey(seat->session, &mechanism, seat->master_key, key,
                                            wrapped, &length);
    provider_expect(seat->provider, rv, "C_WrapKey");
    if (length != expected) {
        provider_fail(seat->provider, "C_WrapKey: the wrapped key has another length than it must");
    }
}

static void wrap(const struct job_seat *seat, CK_OBJECT_HANDLE key, CK_BYTE *wrapped)
{
    wrap_by(seat, key_wrap, key, wrapped);
}

static void read_value(const struct job_seat *seat, CK_OBJECT_HANDLE key, CK_BYTE *value)
{
    CK_ATTRIBUTE attribute = {CKA_VALUE, value, JOB_KEY_LENGTH};
    CK_RV rv = seat->provider->f->C_GetAttributeValue(seat->session, key, &attribute, 1);
    provider_expect(seat->provider, rv, "C_GetAttributeValue");
    if (attribute.ulValueLen != JOB_KEY_LENGTH) {
        provider_fail(seat->provider, "C_GetAttributeValue: the key is not 32 bytes long");
    }
}

static void destroy(const struct job_seat *seat, CK_OBJECT_HANDLE key)
{
    provider_expect(seat->provider, seat->provider->f->C_DestroyObject(seat->session, key),
                    "C_DestroyObject");
}

static CK_OBJECT_HANDLE unwrap_by(const struct job_seat *seat, CK_MECHANISM mechanism, CK_BYTE *wrapped, CK_ULONG length)
{
    CK_ATTRIBUTE template[COUNT(readable_unwrapped)];
    memcpy(template, readable_unwrapped, sizeof template);
    CK_OBJECT_HANDLE key = 0;
    CK_RV rv = seat->provider->f->C_UnwrapKey(seat->session, &mechanism, seat->master_key, wrapped,
                                              length, template, COUNT(template), &key);
    provider_expect(seat->provider, rv, "C_UnwrapKey");
    return key;
}

static void unwrap_read_destroy(struct job_seat *seat, CK_BYTE *value)
{
    CK_OBJECT_HANDLE key = unwrap_by(seat, key_wrap, seat->wrapped, JOB_WRAPPED_LENGTH);
    read_value(seat, key, value);
    destroy(seat, key);
}

/* AES key wrap is deterministic (RFC 3394), so the bytes must come out as the first time. */
static void run_wrap(struct job_seat *seat)
{
    CK_BYTE wrapped[JOB_WRAPPED_LENGTH];
    wrap(seat, seat->data_key, wrapped);
    if (memcmp(wrapped, seat->wrapped, sizeof wrapped) != 0) {
        provider_fail(seat->provider, "C_WrapKey: other bytes than the first time");
    }
}

static void run_unwrap(struct job_seat *seat)
{
    CK_BYTE value[JOB_KEY_LENGTH];
    unwrap_read_destroy(seat, value);
    if (memcmp(value, seat->value, sizeof value) != 0) {
        provider_fail(seat->provider, "C_UnwrapKey: another key than the first time");
    }
}

static void run_generate(struct job_seat *seat)
{
    CK_BYTE wrapped[JOB_WRAPPED_LENGTH];
    CK_BYTE value[JOB_KEY_LENGTH];
    CK_OBJECT_HANDLE key = generate(seat->provider, seat->session, readable_generated,
                                    COUNT(readable_generated));
    wrap(seat, key, wrapped);
    read_value(seat, key, value);
    destroy(seat, key);
}

static void run_envelope_unwrap(struct job_seat *seat)
{
    CK_BYTE value[JOB_KEY_LENGTH];
    CK_OBJECT_HANDLE key = unwrap_by(seat, seat->has_envelopes ? in_envelope : key_wrap,
                                     seat->envelope, envelope_length(seat));
    read_value(seat, key, value);
    destroy(seat, key);
    if (memcmp(value, seat->envelope_value, sizeof value) != 0) {
        provider_fail(seat->provider, "C_UnwrapKey: another key than the one in the envelope");
    }
}

/* Generate, wrap, read, destroy. */
static void make_envelope(const struct job_seat *seat, CK_BYTE *envelope, CK_BYTE *value)
{
    CK_OBJECT_HANDLE key = generate(seat->provider, seat->session, readable_generated,
                                    COUNT(readable_generated));
    wrap_by(seat, seat->has_envelopes ? in_envelope : key_wrap, key, envelope);
    read_value(seat, key, value);
    destroy(seat, key);
}

static void run_envelope_wrap(struct job_seat *seat)
{
    CK_BYTE envelope[JOB_ENVELOPE_LENGTH];
    CK_BYTE value[JOB_KEY_LENGTH];
    make_envelope(seat, envelope, value);
}

/* What a broker would do by hand for each stored key after a rotation. */
static void run_loop(struct job_seat *seat)
{
    CK_BYTE wrapped[JOB_WRAPPED_LENGTH];
    CK_OBJECT_HANDLE key = unwrap_by(seat, key_wrap, seat->wrapped, JOB_WRAPPED_LENGTH);
    wrap(seat, key, wrapped);
    destroy(seat, key);
    if (memcmp(wrapped, seat->wrapped, sizeof wrapped) != 0) {
        provider_fail(seat->provider, "C_WrapKey: other bytes than the first time");
    }
}

/* A broker that keeps its data keys: the oldest of many gives way to a new one. */
static void run_held(struct job_seat *seat)
{
    CK_OBJECT_HANDLE *oldest = &seat->held[seat->oldest];
    destroy(seat, *oldest);
    *oldest = unwrap_by(seat, key_wrap, seat->wrapped, JOB_WRAPPED_LENGTH);
    seat->oldest = (seat->oldest + 1) % JOB_HELD_KEYS;
}

/* Envelopes may take 1.25 and 1.6 times as long. */
const struct job job_table[JOBS] = {
    {"wrap", "wrap a token-home key", run_wrap, 0.95},
    {"unwrap", "unwrap + read + destroy", run_unwrap, 0.95},
    {"generate", "generate + wrap + read + destroy", run_generate, 0.95},
    {"envelope-unwrap", "envelope: unwrap + read + destroy", run_envelope_unwrap, 1 / 1.25},
    {"envelope-wrap", "envelope: generate + wrap + r. + d.", run_envelope_wrap, 1 / 1.6},
    {"loop", "unwrap + wrap + destroy", run_loop, 0},
    {"held", "destroy oldest of 5,000 + unwrap", run_held, 0},
};

void job_make_envelope(const struct job_seat *seat, CK_BYTE envelope[JOB_ENVELOPE_LENGTH])
{
    CK_BYTE value[JOB_KEY_LENGTH];
    make_envelope(seat, envelope, value);
}

void job_make_master_key(const struct provider *provider, CK_SESSION_HANDLE session)
{
    CK_UTF8CHAR name[] = "bench";
    const CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &secret_key, sizeof secret_key},
        {CKA_KEY_TYPE, &aes, sizeof aes},
        {CKA_VALUE_LEN, &key_length, sizeof key_length},
        {CKA_LABEL, name, sizeof name - 1},
        BOOL(CKA_TOKEN, yes), BOOL(CKA_PRIVATE, yes), BOOL(CKA_SENSITIVE, yes),
        BOOL(CKA_EXTRACTABLE, no), BOOL(CKA_ENCRYPT, no), BOOL(CKA_DECRYPT, no),
        BOOL(CKA_SIGN, no), BOOL(CKA_VERIFY, no), BOOL(CKA_DERIVE, no), BOOL(CKA_WRAP, yes),
        BOOL(CKA_UNWRAP, yes),
    };
    generate(provider, session, template, COUNT(template));
}

CK_OBJECT_HANDLE job_data_key(const struct provider *provider, CK_SESSION_HANDLE session)
{
    const CK_ATTRIBUTE match[] = {
        {CKA_CLASS, &secret_key, sizeof secret_key},
        {CKA_LABEL, label, sizeof label - 1},
    };
    struct provider_objects found;
    provider_find(provider, session, match, COUNT(match), &found);
    if (found.count > 0) {
        return found.handle[0];
    }
    return generate(provider, session, token_home, COUNT(token_home));
}

void job_seat_init(const struct provider *provider, CK_SLOT_ID slot, CK_OBJECT_HANDLE data_key,
                   struct job_seat *seat)
{
    *seat = (struct job_seat){
        .provider = provider,
        .session = provider_session(provider, slot, 0),
        .data_key = data_key,
        .has_envelopes = seat->has_envelopes,
        .holds = seat->holds,
    };
    struct provider_objects found;
    provider_master_keys(provider, seat->session, &found);
    seat->master_key = found.handle[0];
    wrap(seat, data_key, seat->wrapped);
    unwrap_read_destroy(seat, seat->value);
    make_envelope(seat, seat->envelope, seat->envelope_value);
    for (size_t i = 0; seat->holds && i < JOB_HELD_KEYS; i++) {
        seat->held[i] = unwrap_by(seat, key_wrap, seat->wrapped, JOB_WRAPPED_LENGTH);
    }
}

void job_first_wrap(const struct provider *provider, CK_SESSION_HANDLE session,
                    CK_OBJECT_HANDLE master_key)
{
    struct job_seat seat = {.provider = provider, .session = session, .master_key = master_key};
    CK_BYTE wrapped[JOB_WRAPPED_LENGTH];
    CK_OBJECT_HANDLE key =
        generate(provider, session, readable_generated, COUNT(readable_generated));
    wrap(&seat, key, wrapped);
    destroy(&seat, key);
}
