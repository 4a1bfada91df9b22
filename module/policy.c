#include "policy.h"

#include <string.h>

#include "attrs.h"
#include "config.h"
#include "envelope.h"
#include "keyward.h"

enum kind { BOOL, ULONG, BYTES, DATE, SECRET, NESTED };

/* What is done with an attribute of a data key's template. */
enum rule {
    ABSENT, /* the standard does not let it be given here, and we do not either */
    SAME,   /* may be given, with the expected value only */
    IGNORE, /* any well-formed value is accepted and means nothing */
    TAKE    /* the caller decides */
};

enum field { NONE, F_CLASS, F_TYPE, F_TOKEN, F_SENSITIVE, F_EXTRACTABLE, F_LENGTH, F_LABEL, F_ID, F_VALUE };

struct row {
    CK_ATTRIBUTE_TYPE type;
    enum kind kind;
    enum rule rule[KW_MAKINGS]; /* generate, create, unwrap */
    CK_ULONG expected;          /* for SAME */
    CK_RV refusal;              /* for ABSENT and for another value than the expected one */
    enum field field;           /* for TAKE */
};

#define ALL(rule) {rule, rule, rule}
static const struct row rows[] = { /* in the order in which brokers give them: see row_of */
    {CKA_CLASS, ULONG, ALL(SAME), CKO_SECRET_KEY, CKR_TEMPLATE_INCONSISTENT, F_CLASS},
    {CKA_KEY_TYPE, ULONG, ALL(TAKE), 0, CKR_TEMPLATE_INCONSISTENT, F_TYPE},
    {CKA_VALUE_LEN, ULONG, ALL(TAKE), 0, 0, F_LENGTH},
    {CKA_TOKEN, BOOL, ALL(TAKE), 0, 0, F_TOKEN},
    {CKA_PRIVATE, BOOL, ALL(IGNORE), 0, 0, NONE}, /* always true; pkcs11-tool asks for false */
    {CKA_LABEL, BYTES, ALL(TAKE), 0, 0, F_LABEL},
    {CKA_ID, BYTES, ALL(TAKE), 0, 0, F_ID},
    {CKA_SENSITIVE, BOOL, ALL(TAKE), 0, 0, F_SENSITIVE},
    {CKA_EXTRACTABLE, BOOL, ALL(TAKE), 0, 0, F_EXTRACTABLE},
    {CKA_ENCRYPT, BOOL, ALL(IGNORE), 0, 0, NONE},
    {CKA_DECRYPT, BOOL, ALL(IGNORE), 0, 0, NONE},
    {CKA_SIGN, BOOL, ALL(SAME), CK_FALSE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_VERIFY, BOOL, ALL(SAME), CK_FALSE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_WRAP, BOOL, ALL(SAME), CK_FALSE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_UNWRAP, BOOL, ALL(SAME), CK_FALSE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_DERIVE, BOOL, ALL(SAME), CK_FALSE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_MODIFIABLE, BOOL, ALL(SAME), CK_TRUE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_COPYABLE, BOOL, ALL(SAME), CK_FALSE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_DESTROYABLE, BOOL, ALL(SAME), CK_TRUE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_TRUSTED, BOOL, ALL(SAME), CK_FALSE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_WRAP_WITH_TRUSTED, BOOL, ALL(SAME), CK_FALSE, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_START_DATE, DATE, ALL(SAME), 0, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_END_DATE, DATE, ALL(SAME), 0, CKR_TEMPLATE_INCONSISTENT, NONE},
    {CKA_VALUE, SECRET, {ABSENT, TAKE, ABSENT}, 0, CKR_TEMPLATE_INCONSISTENT, F_VALUE},
    {CKA_LOCAL, BOOL, ALL(ABSENT), 0, CKR_ATTRIBUTE_READ_ONLY, NONE},
    {CKA_ALWAYS_SENSITIVE, BOOL, ALL(ABSENT), 0, CKR_ATTRIBUTE_READ_ONLY, NONE},
    {CKA_NEVER_EXTRACTABLE, BOOL, ALL(ABSENT), 0, CKR_ATTRIBUTE_READ_ONLY, NONE},
    {CKA_KEY_GEN_MECHANISM, ULONG, ALL(ABSENT), 0, CKR_ATTRIBUTE_READ_ONLY, NONE},
    {CKA_UNIQUE_ID, BYTES, ALL(ABSENT), 0, CKR_ATTRIBUTE_READ_ONLY, NONE},
    {CKA_CHECK_VALUE, BYTES, ALL(ABSENT), 0, CKR_ATTRIBUTE_TYPE_INVALID, NONE},
    {CKA_ALLOWED_MECHANISMS, NESTED, ALL(ABSENT), 0, CKR_ATTRIBUTE_TYPE_INVALID, NONE},
    {CKA_WRAP_TEMPLATE, NESTED, ALL(ABSENT), 0, CKR_ATTRIBUTE_TYPE_INVALID, NONE},
    {CKA_UNWRAP_TEMPLATE, NESTED, ALL(ABSENT), 0, CKR_ATTRIBUTE_TYPE_INVALID, NONE},
    {CKA_DERIVE_TEMPLATE, NESTED, ALL(ABSENT), 0, CKR_ATTRIBUTE_TYPE_INVALID, NONE},
};
enum { ROWS = sizeof rows / sizeof rows[0] };
_Static_assert(ROWS <= 64, "the rows that were seen fit one word");

/* Searches from row `from` on and around: callers give attributes more or less in the order of the rows. */
static const struct row *row_of(CK_ATTRIBUTE_TYPE type, size_t from)
{
    for (size_t i = from; i < ROWS; i++) {
        if (rows[i].type == type) {
            return &rows[i];
        }
    }
    for (size_t i = 0; i < from; i++) {
        if (rows[i].type == type) {
            return &rows[i];
        }
    }
    return NULL;
}

/* What a template says, before defaults. */
struct said {
    uint64_t rows; /* bit i: rows[i] was given */
    size_t next;   /* the row after that of the attribute before */
    CK_KEY_TYPE type;
    bool has_type;
    bool has_class;
    bool has_sensitive;
    bool has_extractable;
    CK_ULONG len;
    bool has_len;
};

static struct kw_rv take_value(const CK_ATTRIBUTE *a, struct kw_secret **out)
{
    if (a->pValue == NULL || a->ulValueLen == 0 || a->ulValueLen > KW_DEK_LENGTH_MAX) {
        return KW_FAIL(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_VALUE has no length that a data key can have");
    }
    return kw_secret_dup(a->pValue, a->ulValueLen, out);
}

static struct kw_rv take(const struct row *row, const CK_ATTRIBUTE *a, struct said *said, struct kw_dek_request *out)
{
    struct kw_dek_spec *s = &out->spec;
    switch (row->field) {
    case F_TYPE:
        said->has_type = true;
        return kw_attrs_ulong(a, &said->type);
    case F_TOKEN:
        return kw_attrs_bool(a, &s->token);
    case F_SENSITIVE:
        said->has_sensitive = true;
        return kw_attrs_bool(a, &s->sensitive);
    case F_EXTRACTABLE:
        said->has_extractable = true;
        return kw_attrs_bool(a, &s->extractable);
    case F_LENGTH:
        said->has_len = true;
        return kw_attrs_ulong(a, &said->len);
    case F_LABEL:
        return kw_attrs_bytes(a, s->label, sizeof s->label, &s->label_len);
    case F_ID:
        return kw_attrs_bytes(a, s->id, sizeof s->id, &s->id_len);
    default:
        return take_value(a, &out->value);
    }
}

/* Whether the value is the expected one; bad form is an error of its own. */
static struct kw_rv same(const struct row *row, const CK_ATTRIBUTE *a)
{
    bool b = false;
    CK_ULONG u = 0;
    struct kw_rv r = KW_OK;
    switch (row->kind) {
    case BOOL:
        r = kw_attrs_bool(a, &b);
        u = b ? CK_TRUE : CK_FALSE;
        break;
    case ULONG:
        r = kw_attrs_ulong(a, &u);
        break;
    default: /* DATE: none, or one that is never enforced and therefore refused */
        if (a->ulValueLen != 0 && a->ulValueLen != sizeof(CK_DATE)) {
            return KW_FAIL(CKR_ATTRIBUTE_VALUE_INVALID, "a CK_DATE attribute has another length");
        }
        u = a->ulValueLen;
    }
    if (kw_ok(r) && u != row->expected) {
        r = KW_FAIL(row->refusal, "a data key may not have this attribute value");
    }
    return r;
}

static struct kw_rv one_attribute(const struct kw_making_of *of, const CK_ATTRIBUTE *a, struct said *said,
                                  struct kw_dek_request *out)
{
    const struct row *row = row_of(a->type, said->next);
    if (row == NULL) {
        return KW_FAIL(CKR_ATTRIBUTE_TYPE_INVALID, "a data key has no such attribute");
    }
    size_t i = (size_t)(row - rows);
    uint64_t bit = UINT64_C(1) << i;
    said->next = i + 1;
    if ((said->rows & bit) != 0) {
        return KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "an attribute is given twice");
    }
    said->rows |= bit;
    said->has_class |= row->field == F_CLASS;
    switch (row->rule[of->making]) {
    case ABSENT:
        return KW_FAIL(row->refusal, "this attribute of a data key is not the caller's to give");
    case SAME:
        return same(row, a);
    case IGNORE: {
        bool ignored = false;
        return kw_attrs_bool(a, &ignored);
    }
    default:
        return take(row, a, said, out);
    }
}

bool kw_policy_length(CK_KEY_TYPE type, size_t len)
{
    return type == CKK_AES ? len == 16 || len == 24 || len == 32 : len > 0 && len <= KW_DEK_LENGTH_MAX;
}

static struct kw_rv key_type(const struct kw_making_of *of, const struct said *said, struct kw_dek_spec *s)
{
    bool generate = of->making == KW_MAKING_GENERATE;
    if (!generate && (!said->has_type || !said->has_class)) {
        return KW_FAIL(CKR_TEMPLATE_INCOMPLETE, "CKA_CLASS and CKA_KEY_TYPE are needed");
    }
    if (generate && said->has_type && said->type != of->type) {
        return KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "CKA_KEY_TYPE is not what the mechanism makes");
    }
    s->type = generate ? of->type : said->type;
    if (s->type != CKK_AES && s->type != CKK_GENERIC_SECRET) {
        return KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "a data key is CKK_AES or CKK_GENERIC_SECRET");
    }
    return KW_OK;
}

static struct kw_rv key_length(const struct kw_making_of *of, const struct said *said, struct kw_dek_request *out)
{
    struct kw_dek_spec *s = &out->spec;
    if (of->making == KW_MAKING_GENERATE && !said->has_len) {
        return KW_FAIL(CKR_TEMPLATE_INCOMPLETE, "CKA_VALUE_LEN is needed");
    }
    if (of->making == KW_MAKING_CREATE && out->value == NULL) {
        return KW_FAIL(CKR_TEMPLATE_INCOMPLETE, "CKA_VALUE is needed");
    }
    if (said->has_len && !kw_policy_length(s->type, said->len)) {
        return of->making == KW_MAKING_GENERATE
                   ? KW_FAIL(CKR_KEY_SIZE_RANGE, "no data key of this type has this length")
                   : KW_FAIL(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_VALUE_LEN is no length of a data key of this type");
    }
    s->len = said->has_len ? said->len : 0;
    if (of->making == KW_MAKING_CREATE) {
        size_t len = kw_secret_len(out->value);
        if (said->has_len && said->len != len) {
            return KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "CKA_VALUE_LEN is not the length of CKA_VALUE");
        }
        if (!kw_policy_length(s->type, len)) {
            return KW_FAIL(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_VALUE has no length of a data key of this type");
        }
        s->len = len;
    }
    return KW_OK;
}

/* What is not said: a data key can be wrapped and is not revealed. */
static struct kw_rv sealing(const struct kw_making_of *of, const struct said *said, struct kw_dek_spec *s)
{
    if (!said->has_sensitive) {
        s->sensitive = true;
    }
    if (!said->has_extractable) {
        s->extractable = true;
    }
    if (of->sealed && !s->sensitive) {
        return KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "the slot is sealed: its data keys have CKA_SENSITIVE true");
    }
    return KW_OK;
}

struct kw_rv kw_policy_data_key(const struct kw_making_of *of, const CK_ATTRIBUTE *template, CK_ULONG count,
                                struct kw_dek_request *out)
{
    struct said said = {0};
    struct kw_rv r = kw_attrs_check(template, count);
    *out = (struct kw_dek_request){0};
    for (CK_ULONG i = 0; kw_ok(r) && i < count; i++) {
        const CK_ATTRIBUTE a = template[i]; /* read once */
        r = one_attribute(of, &a, &said, out);
    }
    if (kw_ok(r)) {
        r = key_type(of, &said, &out->spec);
    }
    if (kw_ok(r)) {
        r = key_length(of, &said, out);
    }
    if (kw_ok(r)) {
        r = sealing(of, &said, &out->spec);
    }
    if (!kw_ok(r)) {
        kw_dek_request_clear(out);
    }
    return r;
}

void kw_dek_request_clear(struct kw_dek_request *r)
{
    kw_secret_free(r->value);
    r->value = NULL;
}

struct kw_rv kw_policy_change(const CK_ATTRIBUTE *template, CK_ULONG count, struct kw_dek_spec *spec)
{
    struct kw_dek_request changed = {.spec = *spec};
    struct said said = {0};
    struct kw_rv r = kw_attrs_check(template, count);
    for (CK_ULONG i = 0; kw_ok(r) && i < count; i++) {
        const CK_ATTRIBUTE a = template[i]; /* read once */
        const struct row *row = row_of(a.type, 0);
        if (row == NULL) {
            return KW_FAIL(CKR_ATTRIBUTE_TYPE_INVALID, "a key has no such attribute");
        }
        if (row->field != F_LABEL && row->field != F_ID) {
            return KW_FAIL(CKR_ATTRIBUTE_READ_ONLY, "only CKA_LABEL and CKA_ID of a data key can be changed");
        }
        uint64_t bit = UINT64_C(1) << (row - rows);
        if ((said.rows & bit) != 0) {
            return KW_FAIL(CKR_TEMPLATE_INCONSISTENT, "an attribute is given twice");
        }
        said.rows |= bit;
        r = take(row, &a, &said, &changed);
    }
    if (kw_ok(r)) {
        *spec = changed.spec;
    }
    return r;
}

#define WRAPS (CKF_WRAP | CKF_UNWRAP)
static const struct kw_mechanism_row mechanisms[] = {
    {CKM_AES_KEY_WRAP, WRAPS, 16, 32, KW_FORMAT_KW, 0},
    {CKM_AES_KEY_WRAP_KWP, WRAPS, 16, 32, KW_FORMAT_KWP, 0},
    {CKM_AES_KEY_WRAP_PAD, WRAPS, 16, 32, KW_FORMAT_KWP, 0},
    {CKM_RSA_PKCS_OAEP, WRAPS, 2048, 4096, KW_FORMAT_OAEP, 0},
    {CKM_RSA_AES_KEY_WRAP, WRAPS, 2048, 4096, KW_FORMAT_RSA_AES, 0},
    {CKM_KEYWARD_ENVELOPE, WRAPS, 1, KW_DEK_LENGTH_MAX, KW_FORMAT_ENVELOPE, 0}, /* bytes of the data key: the CMK may be of either type */
    {CKM_AES_KEY_GEN, CKF_GENERATE, 16, 32, KW_FORMAT_KW, CKK_AES},
    {CKM_GENERIC_SECRET_KEY_GEN, CKF_GENERATE, 8, KW_DEK_LENGTH_MAX * 8, KW_FORMAT_KW, CKK_GENERIC_SECRET}, /* bits */
};

const struct kw_mechanism_row *kw_policy_mechanisms(size_t *count)
{
    *count = sizeof mechanisms / sizeof mechanisms[0];
    return mechanisms;
}

/* The hash of OAEP parameters, and what MGF1 with the same hash is called. */
static const struct {
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
} oaep_hashes[] = {
    {CKM_SHA_1, CKG_MGF1_SHA1},
    {CKM_SHA256, CKG_MGF1_SHA256},
    {CKM_SHA384, CKG_MGF1_SHA384},
    {CKM_SHA512, CKG_MGF1_SHA512},
};

/* Parameters are the caller's memory: read once, and they may lie at any address. */
static struct kw_rv oaep_parameter(const void *from, struct kw_scheme *out)
{
    CK_RSA_PKCS_OAEP_PARAMS p;
    memcpy(&p, from, sizeof p);
    if (p.source != CKZ_DATA_SPECIFIED && p.source != 0) {
        return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "the source of the OAEP label is not CKZ_DATA_SPECIFIED");
    }
    if (p.ulSourceDataLen != 0) {
        return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "an OAEP label is not taken; the envelope binds a data key to its place");
    }
    for (size_t i = 0; i < sizeof oaep_hashes / sizeof oaep_hashes[0]; i++) {
        if (oaep_hashes[i].hash == p.hashAlg && oaep_hashes[i].mgf == p.mgf) {
            out->hash = p.hashAlg;
            return KW_OK;
        }
    }
    return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "OAEP is done with SHA-1 or SHA-2 and MGF1 with the same hash");
}

static struct kw_rv rsa_aes_parameter(const void *from, struct kw_scheme *out)
{
    struct kw_rsa_aes_params p;
    memcpy(&p, from, sizeof p);
    if (p.oaep == NULL || (p.bits != 128 && p.bits != 192 && p.bits != 256)) {
        return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "the AES key is not of 128, 192 or 256 bits, or the OAEP parameters are missing");
    }
    out->aes_bits = (unsigned)p.bits;
    return oaep_parameter(p.oaep, out);
}

static struct kw_rv set_context(const void *context, CK_ULONG len, struct kw_scheme *out)
{
    if (len > KW_ENVELOPE_CONTEXT_MAX || (context == NULL && len > 0)) {
        return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "the context of an envelope is longer than 64 KiB, or NULL with a length");
    }
    out->context = context;
    out->context_len = len;
    return KW_OK;
}

/* NULL with length 0 is no context. */
static struct kw_rv envelope_parameter(const CK_MECHANISM *m, struct kw_scheme *out)
{
    CK_KEYWARD_ENVELOPE_PARAMS p = {NULL, 0};
    if (m->pParameter == NULL ? m->ulParameterLen != 0 : m->ulParameterLen != sizeof p) {
        return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "the parameter is neither NULL nor a CK_KEYWARD_ENVELOPE_PARAMS");
    }
    if (m->pParameter != NULL) {
        memcpy(&p, m->pParameter, sizeof p);
    }
    return set_context(p.pContext, p.ulContextLen, out);
}

static struct kw_rv parameter(const CK_MECHANISM *m, const struct kw_mechanism_row *row, struct kw_scheme *out)
{
    bool wraps = (row->flags & CKF_WRAP) != 0;
    size_t size = !wraps                              ? 0
                  : row->format == KW_FORMAT_OAEP    ? sizeof(CK_RSA_PKCS_OAEP_PARAMS)
                  : row->format == KW_FORMAT_RSA_AES ? sizeof(struct kw_rsa_aes_params)
                                                     : 0;
    *out = (struct kw_scheme){.format = row->format};
    if (wraps && row->format == KW_FORMAT_ENVELOPE) {
        return envelope_parameter(m, out);
    }
    if (m->ulParameterLen != size || (m->pParameter == NULL) != (size == 0)) {
        return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "the parameter is not the one that this mechanism takes");
    }
    if (size == 0) {
        return KW_OK;
    }
    return row->format == KW_FORMAT_OAEP ? oaep_parameter(m->pParameter, out) : rsa_aes_parameter(m->pParameter, out);
}

struct kw_rv kw_policy_mechanism(const CK_MECHANISM *mechanism, CK_FLAGS flag, struct kw_mechanism_use *out)
{
    if (mechanism == NULL) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "the mechanism is NULL");
    }
    const CK_MECHANISM m = *mechanism; /* read once */
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++) {
        if (mechanisms[i].type == m.mechanism && (mechanisms[i].flags & flag) != 0) {
            out->row = &mechanisms[i];
            return parameter(&m, out->row, &out->scheme);
        }
    }
    return KW_FAIL(CKR_MECHANISM_INVALID, "a slot does not do this mechanism here");
}

struct kw_rv kw_policy_authenticated(const CK_MECHANISM *mechanism, const void *associated, CK_ULONG len, struct kw_mechanism_use *out)
{
    if (mechanism == NULL || (associated == NULL && len > 0)) {
        return KW_FAIL(CKR_ARGUMENTS_BAD, "the mechanism is NULL, or the associated data is NULL and has a length");
    }
    const CK_MECHANISM m = *mechanism; /* read once */
    if (m.mechanism != CKM_KEYWARD_ENVELOPE) {
        return KW_FAIL(CKR_MECHANISM_INVALID, "CKM_KEYWARD_ENVELOPE is the only mechanism that takes associated data");
    }
    if (m.pParameter != NULL || m.ulParameterLen != 0) {
        return KW_FAIL(CKR_MECHANISM_PARAM_INVALID, "the associated data is the context; the mechanism has no parameter here");
    }
    struct kw_rv r = kw_policy_mechanism(&m, CKF_WRAP, out);
    return kw_ok(r) ? set_context(associated, len, &out->scheme) : r;
}

bool kw_policy_allows(const struct kw_mechanism_row *row, unsigned allowed)
{
    if ((row->flags & CKF_WRAP) == 0) {
        return true;
    }
    return (allowed & (row->format == KW_FORMAT_ENVELOPE ? KW_MECHANISMS_ENVELOPE : KW_MECHANISMS_STANDARD)) != 0;
}

struct kw_rv kw_policy_strength(const struct kw_version *cmk, const struct kw_dek_spec *dek)
{
    size_t bits = dek->len * 8 < 256 ? dek->len * 8 : 256;
    if (cmk->type == CKK_AES && cmk->bits < bits) {
        return KW_FAIL(CKR_WRAPPING_KEY_SIZE_RANGE, "the CMK is weaker than the data key");
    }
    return KW_OK;
}
