/* attributes.c: the target `attributes`: the reader of templates (attrs.c) and the judge of templates (policy.c), alone and so at full speed. */
#include "grammar.h"
#include "policy.h"

#include <string.h>

#include "attrs.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The only attribute of this type; NULL: none. A second one is a finding. */
static const CK_ATTRIBUTE *only(const struct grammar_template *t, CK_ATTRIBUTE_TYPE type)
{
    const CK_ATTRIBUTE *found = NULL;
    for (CK_ULONG i = 0; i < t->count; i++) {
        INPUT_MUST(t->items[i].type != type || found == NULL, "an attribute that is given twice is accepted");
        found = t->items[i].type == type ? &t->items[i] : found;
    }
    return found;
}

static bool says(const struct grammar_template *t, CK_ATTRIBUTE_TYPE type, CK_BBOOL value)
{
    const CK_ATTRIBUTE *a = only(t, type);
    INPUT_MUST(a == NULL || (a->pValue != NULL && a->ulValueLen == sizeof value), "a CK_BBOOL of another length is accepted");
    return a != NULL && *(const CK_BBOOL *)a->pValue == value;
}

static bool same_bytes(const struct grammar_template *t, CK_ATTRIBUTE_TYPE type, const uint8_t *bytes, size_t len)
{
    const CK_ATTRIBUTE *a = only(t, type);
    return a == NULL ? len == 0 : a->ulValueLen == len && (len == 0 || memcmp(a->pValue, bytes, len) == 0);
}

/* A template that was accepted, looked at in another way than policy.c does (DESIGN section 5, ATTACKS A02 to A33). */
static void check_accepted(const struct kw_making_of *of, const struct grammar_template *t, const struct kw_dek_request *r)
{
    static const CK_ATTRIBUTE_TYPE never[] = {CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE, CKA_TRUSTED,
                                              CKA_WRAP_WITH_TRUSTED, CKA_COPYABLE};
    static const CK_ATTRIBUTE_TYPE absent[] = {CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_UNIQUE_ID,
                                               CKA_CHECK_VALUE, CKA_ALLOWED_MECHANISMS, CKA_WRAP_TEMPLATE,
                                               CKA_UNWRAP_TEMPLATE, CKA_KEY_GEN_MECHANISM, CKA_VENDOR_DEFINED + 1};
    const struct kw_dek_spec *s = &r->spec;
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        INPUT_MUST(!says(t, never[i], CK_TRUE), "a data key is given a right that no data key has");
    }
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        INPUT_MUST(only(t, absent[i]) == NULL, "an attribute is accepted that is not the caller's to give");
    }
    INPUT_MUST(s->type == CKK_AES || s->type == CKK_GENERIC_SECRET, "another key type is accepted");
    INPUT_MUST(s->len == 0 || kw_policy_length(s->type, s->len), "a length is accepted that no data key has");
    INPUT_MUST(s->len > 0 || of->making == KW_MAKING_UNWRAP, "a data key has no length");
    INPUT_MUST(!of->sealed || s->sensitive, "a sealed slot makes a readable data key");
    INPUT_MUST(s->sensitive == !says(t, CKA_SENSITIVE, CK_FALSE), "CKA_SENSITIVE is not what was asked");
    INPUT_MUST(s->extractable == !says(t, CKA_EXTRACTABLE, CK_FALSE), "CKA_EXTRACTABLE is not what was asked");
    INPUT_MUST(s->token == says(t, CKA_TOKEN, CK_TRUE), "CKA_TOKEN is not what was asked");
    INPUT_MUST(same_bytes(t, CKA_LABEL, s->label, s->label_len), "CKA_LABEL is not what was asked");
    INPUT_MUST(same_bytes(t, CKA_ID, s->id, s->id_len), "CKA_ID is not what was asked");
    INPUT_MUST((r->value != NULL) == (of->making == KW_MAKING_CREATE), "a value comes from nowhere, or is lost");
    if (r->value != NULL) {
        INPUT_MUST(same_bytes(t, CKA_VALUE, kw_secret_peek(r->value), kw_secret_len(r->value)), "CKA_VALUE is another one");
        INPUT_MUST(kw_secret_len(r->value) == s->len, "the length is not that of the value");
    }
}

static void judge(struct input *in)
{
    struct kw_dek_request request;
    struct kw_making_of of = {(enum kw_making)input_below(in, KW_MAKINGS), CK_UNAVAILABLE_INFORMATION, input_flag(in)};
    if (of.making == KW_MAKING_GENERATE) {
        of.type = input_flag(in) ? CKK_GENERIC_SECRET : CKK_AES;
    }
    static const enum grammar_purpose purposes[KW_MAKINGS] = {GRAMMAR_GENERATE, GRAMMAR_CREATE, GRAMMAR_UNWRAP};
    struct grammar_template t = grammar_template(in, purposes[of.making]);
    struct kw_rv r = kw_policy_data_key(&of, t.items, t.count, &request);
    if (kw_ok(r)) {
        check_accepted(&of, &t, &request);
        kw_dek_request_clear(&request);
    }
}

static void change(struct input *in)
{
    struct kw_dek_spec spec = {.type = CKK_AES, .len = 32, .extractable = true, .label = "old", .label_len = 3};
    struct kw_dek_spec before = spec;
    struct grammar_template t = grammar_template(in, GRAMMAR_OTHER);
    if (input_flag(in) && t.items != NULL && t.count > 0 && t.count <= GRAMMAR_ITEMS_MAX) {
        t.items[0].type = CKA_ID;
        t.count = 1;
    }
    struct kw_rv r = kw_policy_change(t.items, t.count, &spec);
    if (!kw_ok(r)) {
        INPUT_MUST(memcmp(&spec, &before, sizeof spec) == 0, "an error changes the data key");
        return;
    }
    for (CK_ULONG i = 0; i < t.count; i++) {
        INPUT_MUST(t.items[i].type == CKA_LABEL || t.items[i].type == CKA_ID, "another attribute is changed");
    }
    INPUT_MUST(only(&t, CKA_LABEL) == NULL || same_bytes(&t, CKA_LABEL, spec.label, spec.label_len), "another label is set");
    INPUT_MUST(only(&t, CKA_ID) == NULL || same_bytes(&t, CKA_ID, spec.id, spec.id_len), "another id is set");
    INPUT_MUST(spec.len == before.len && spec.type == before.type && spec.sensitive == before.sensitive &&
                   spec.extractable == before.extractable && spec.token == before.token,
               "more than label and id is changed");
}

/* The typed readers, each on each attribute. */
static void read_all(struct input *in)
{
    struct grammar_template t = grammar_template(in, GRAMMAR_OTHER);
    if (!kw_ok(kw_attrs_check(t.items, t.count))) {
        INPUT_MUST(t.items == NULL || t.count > KW_ATTRS_MAX, "a template that can be read is refused");
        return;
    }
    for (CK_ULONG i = 0; i < t.count; i++) {
        const CK_ATTRIBUTE a = t.items[i];
        size_t room = input_below(in, 64);
        uint8_t *out = input_room(in, room);
        CK_ULONG u = 0;
        bool b = false;
        size_t len = 0;
        INPUT_MUST(!kw_ok(kw_attrs_bool(&a, &b)) || (a.ulValueLen == 1 && *(const CK_BBOOL *)a.pValue == b), "a bool is read wrong");
        INPUT_MUST(!kw_ok(kw_attrs_ulong(&a, &u)) || memcmp(a.pValue, &u, sizeof u) == 0, "a number is read wrong");
        if (kw_ok(kw_attrs_bytes(&a, out, room, &len))) {
            INPUT_MUST(len == a.ulValueLen && (len == 0 || memcmp(out, a.pValue, len) == 0), "bytes are read wrong");
        } else {
            INPUT_MUST(input_untouched(out, room), "an error writes");
        }
    }
}

/* The answers: an attribute and an output buffer. */
static void give(struct input *in)
{
    size_t len = input_below(in, 80);
    const uint8_t *bytes = input_take(in, len);
    struct kw_attr_value v = {0};
    kw_attr_set_bytes(&v, bytes, len);
    struct grammar_template t = grammar_question(in);
    for (CK_ULONG i = 0; t.items != NULL && t.count <= GRAMMAR_ITEMS_MAX && i < t.count; i++) {
        CK_ATTRIBUTE *a = &t.items[i];
        CK_ULONG room = a->ulValueLen;
        CK_RV rv = kw_attr_give(a, &v);
        INPUT_MUST(rv == CKR_OK || (rv == CKR_BUFFER_TOO_SMALL && a->ulValueLen == CK_UNAVAILABLE_INFORMATION), "another answer");
        INPUT_MUST(rv != CKR_OK || (a->ulValueLen == len && (a->pValue == NULL || room >= len)), "another length");
    }
    CK_ULONG room = input_below(in, 96);
    CK_BYTE *out = input_flag(in) ? NULL : input_room(in, room);
    CK_ULONG out_len = room;
    bool give_it = false;
    struct kw_rv r = kw_out_check(out, &out_len, len, &give_it);
    INPUT_MUST(give_it == (out != NULL && room >= len && kw_ok(r)), "a buffer is judged wrong");
    INPUT_MUST(give_it || out_len == len, "the needed length is not told");
    if (give_it) {
        kw_out_give(out, &out_len, bytes, len);
        INPUT_MUST(out_len == len && input_untouched(out + len, room - len), "another output");
    }
    CK_UTF8CHAR *field = input_room(in, 32);
    char *text = input_copy(in, bytes, len + 0U);
    char *ended = input_room(in, len + 1);
    memcpy(ended, text, len);
    ended[len] = '\0';
    kw_pad(field, 32, ended);
    INPUT_MUST(memchr(field, 0, 32) == NULL, "a padded field has a NUL");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input in;
    input_init(&in, bytes, len);
    switch (input_below(&in, 6)) {
    case 0:
        change(&in);
        break;
    case 1:
        read_all(&in);
        break;
    case 2:
        give(&in);
        break;
    default:
        judge(&in);
    }
    input_forget(&in);
    INPUT_MUST(kw_secret_alive() == 0, "a secret is left");
    return 0;
}
