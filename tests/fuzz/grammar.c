#include "grammar.h"

#include <keyward.h>
#include <string.h>

static const CK_ATTRIBUTE_TYPE types[] = {
    CKA_CLASS, CKA_KEY_TYPE, CKA_TOKEN, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_VALUE_LEN, CKA_VALUE, CKA_LABEL, CKA_ID,
    CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_START_DATE, CKA_END_DATE, CKA_ENCRYPT, CKA_DECRYPT,
    CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE, CKA_TRUSTED, CKA_WRAP_WITH_TRUSTED, CKA_LOCAL,
    CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_KEY_GEN_MECHANISM, CKA_UNIQUE_ID, CKA_CHECK_VALUE,
    CKA_ALLOWED_MECHANISMS, CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE, CKA_KEYWARD_VERSION,
    CKA_KEYWARD_STATE, CKA_KEYWARD_FINGERPRINT, CKA_ALWAYS_AUTHENTICATE, CKA_MODULUS, CKA_VENDOR_DEFINED + 1,
};
enum { TYPES = sizeof types / sizeof types[0] };

/* Numbers that attributes have, and some that they have not. */
static const CK_ULONG numbers[] = {
    CKO_SECRET_KEY, CKK_AES, CKK_GENERIC_SECRET, 16, 24, 32, 0, 1, 2, 5, 8, 17, 40, 64, 504, 512, 513, CKO_DATA,
    CKO_PRIVATE_KEY, CKK_DES3, 1UL << 31, 1UL << 32, 1UL << 63, CK_UNAVAILABLE_INFORMATION,
};

static const CK_ULONG absurd[] = {
    GRAMMAR_ABSURD, 0x7FFFFFFFUL, 1UL << 31, 1UL << 32, (1UL << 32) + 40, 1UL << 63, (CK_ULONG)-8, CK_UNAVAILABLE_INFORMATION,
};

CK_ATTRIBUTE_TYPE grammar_type(struct input *in)
{
    size_t i = input_byte(in);
    return i < 6 * (size_t)TYPES ? types[i % TYPES] : input_number(in, 8);
}

CK_ULONG grammar_length(struct input *in)
{
    return absurd[input_below(in, sizeof absurd / sizeof absurd[0])];
}

static void set_copy(struct input *in, CK_ATTRIBUTE *a, const void *bytes, size_t len)
{
    a->pValue = input_copy(in, bytes, len);
    a->ulValueLen = len;
}

static void set_bool(struct input *in, CK_ATTRIBUTE *a, CK_BBOOL b)
{
    set_copy(in, a, &b, sizeof b);
}

static void set_number(struct input *in, CK_ATTRIBUTE *a, CK_ULONG n)
{
    set_copy(in, a, &n, sizeof n);
}

/* A CK_ULONG at an odd address. */
static void set_misaligned(struct input *in, CK_ATTRIBUTE *a)
{
    CK_ULONG n = numbers[input_below(in, sizeof numbers / sizeof numbers[0])];
    uint8_t *room = input_room(in, sizeof n + 1);
    memcpy(room + 1, &n, sizeof n);
    a->pValue = room + 1;
    a->ulValueLen = sizeof n;
}

/* A template in a template, `depth` deep; its length may be no multiple of an attribute's, its pointers may be NULL or lead back to itself. */
static void set_nested(struct input *in, CK_ATTRIBUTE *a)
{
    size_t depth = 1 + input_below(in, 9);
    CK_ATTRIBUTE *inner = input_room(in, sizeof *inner);
    a->pValue = inner;
    a->ulValueLen = sizeof *inner - input_below(in, 2);
    for (; depth > 1; depth--) {
        CK_ATTRIBUTE *next = input_room(in, sizeof *next);
        *inner = (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, next, sizeof *next};
        inner = next;
    }
    *inner = (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, input_flag(in) ? NULL : inner, sizeof *inner};
}

static void set_value(struct input *in, CK_ATTRIBUTE *a)
{
    size_t len = 0;
    switch (input_below(in, 16)) {
    case 0:
    case 1:
        set_bool(in, a, CK_TRUE);
        break;
    case 2:
    case 3:
        set_bool(in, a, CK_FALSE);
        break;
    case 4:
    case 5:
        set_number(in, a, numbers[input_below(in, sizeof numbers / sizeof numbers[0])]);
        break;
    case 6:
        set_number(in, a, input_number(in, 8));
        break;
    case 7:
        set_bool(in, a, input_byte(in));
        break;
    case 8:
        a->pValue = NULL;
        a->ulValueLen = input_flag(in) ? 0 : grammar_length(in);
        break;
    case 9:
        a->pValue = NULL;
        a->ulValueLen = input_byte(in);
        break;
    case 10:
        a->pValue = input_room(in, input_below(in, 9));
        a->ulValueLen = grammar_length(in);
        break;
    case 11:
        set_nested(in, a);
        break;
    case 12:
        set_misaligned(in, a);
        break;
    case 13:
        len = input_number(in, 2) % 600;
        a->pValue = input_take(in, len);
        a->ulValueLen = len;
        break;
    default:
        len = input_below(in, 48);
        a->pValue = input_take(in, len);
        a->ulValueLen = len;
    }
}

static CK_ATTRIBUTE *next(struct grammar_template *t, CK_ATTRIBUTE_TYPE type)
{
    CK_ATTRIBUTE *a = &t->items[t->count++];
    *a = (CK_ATTRIBUTE){type, NULL, 0};
    return a;
}

enum { LENGTH = 2, VALUE = 4, ANYHOW = 2048 | 4096 };

/* What brokers send: bits of `choice` say which attributes and which values. */
static void usual(struct input *in, struct grammar_template *t, enum grammar_purpose purpose)
{
    static const CK_ULONG lengths[] = {16, 24, 32, 0, 1, 20, 64, 512};
    unsigned choice = (unsigned)input_number(in, 2);
    CK_ULONG len = lengths[choice >> 13];
    if ((choice & ANYHOW) != ANYHOW) {
        choice |= purpose == GRAMMAR_GENERATE ? LENGTH : purpose == GRAMMAR_CREATE ? VALUE : 0U;
        choice &= purpose == GRAMMAR_GENERATE || purpose == GRAMMAR_UNWRAP ? ~(unsigned)VALUE : ~0U;
    }
    set_number(in, next(t, CKA_CLASS), CKO_SECRET_KEY);
    set_number(in, next(t, CKA_KEY_TYPE), (choice & 1) != 0 ? CKK_GENERIC_SECRET : CKK_AES);
    if ((choice & LENGTH) != 0) {
        set_number(in, next(t, CKA_VALUE_LEN), len);
    }
    if ((choice & VALUE) != 0) {
        CK_ATTRIBUTE *a = next(t, CKA_VALUE);
        a->pValue = input_take(in, len);
        a->ulValueLen = len;
    }
    if ((choice & 8) != 0) {
        set_bool(in, next(t, CKA_TOKEN), (choice & 16) != 0);
    }
    if ((choice & 32) != 0) {
        set_bool(in, next(t, CKA_SENSITIVE), (choice & 64) != 0);
    }
    if ((choice & 128) != 0) {
        set_bool(in, next(t, CKA_EXTRACTABLE), (choice & 256) == 0);
    }
    if ((choice & 512) != 0) {
        CK_ATTRIBUTE *a = next(t, CKA_LABEL);
        a->ulValueLen = input_byte(in) % 130;
        a->pValue = input_take(in, a->ulValueLen);
    }
    if ((choice & 1024) != 0) {
        CK_ATTRIBUTE *a = next(t, CKA_ID);
        a->ulValueLen = input_byte(in) % 130;
        a->pValue = input_take(in, a->ulValueLen);
    }
}

/* The items at their exact size, or no items and a count that is a lie. */
static struct grammar_template finish(struct input *in, const struct grammar_template *t)
{
    static const CK_ULONG lies[] = {257, 1000000, CK_UNAVAILABLE_INFORMATION};
    struct grammar_template out = {input_copy(in, t->items, t->count * sizeof t->items[0]), t->count};
    switch (input_below(in, 32)) {
    case 31:
        out.count = lies[input_below(in, sizeof lies / sizeof lies[0])];
        break;
    case 30:
        out.items = NULL;
        break;
    case 29:
        out.items = NULL;
        out.count = 0;
        break;
    default:
        break;
    }
    return out;
}

struct grammar_template grammar_template(struct input *in, enum grammar_purpose purpose)
{
    CK_ATTRIBUTE items[GRAMMAR_ITEMS_MAX];
    struct grammar_template t = {items, 0};
    size_t form = input_below(in, 4);
    size_t more = 0;
    if (form < 3) {
        usual(in, &t, purpose);
    }
    if (form > 1) {
        more = input_below(in, 10);
    }
    for (size_t i = 0; i < more; i++) {
        set_value(in, next(&t, grammar_type(in)));
    }
    return finish(in, &t);
}

struct grammar_template grammar_question(struct input *in)
{
    static const size_t sizes[] = {8, 1, 32, 128, 512, 0, 4, 7, 12, 15, 16, 24, 40};
    CK_ATTRIBUTE items[GRAMMAR_ITEMS_MAX];
    struct grammar_template t = {items, 0};
    size_t count = input_below(in, 12);
    for (size_t i = 0; i < count; i++) {
        CK_ATTRIBUTE *a = next(&t, grammar_type(in));
        switch (input_below(in, 8)) {
        case 0:
            a->ulValueLen = input_number(in, 8);
            break;
        case 1:
            break;
        case 2:
            a->pValue = input_room(in, 0);
            a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
            break;
        default:
            a->ulValueLen = sizes[input_below(in, sizeof sizes / sizeof sizes[0])];
            a->pValue = input_room(in, a->ulValueLen);
        }
    }
    return finish(in, &t);
}

CK_MECHANISM *grammar_mechanism(struct input *in, const CK_MECHANISM_TYPE *usual_ones, size_t count)
{
    CK_MECHANISM m = {0};
    size_t choice = input_byte(in);
    if (choice < 224) {
        m.mechanism = usual_ones[choice % count];
    } else if (choice < 240) {
        m.mechanism = input_number(in, 8);
    } else if (choice < 248) {
        m.mechanism = usual_ones[choice % count];
        m.pParameter = input_room(in, 8);
        m.ulParameterLen = input_flag(in) ? 0 : 8;
    } else if (choice < 252) {
        m.mechanism = usual_ones[choice % count];
        m.ulParameterLen = grammar_length(in);
    } else {
        return NULL;
    }
    return input_copy(in, &m, sizeof m);
}
