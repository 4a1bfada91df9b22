/* envelope.c: the target `envelope`: the reader of envelopes (envelope.c) alone. What it takes must be the whole input, byte for byte, within its
 * bounds, and open only when it was sealed here. */
#include "envelope.h"

#include <string.h>

#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct kw_secret *key;

static void check_read(const struct kw_envelope *e, const uint8_t *bytes, size_t len)
{
    uint8_t again[KW_ENVELOPE_MAX];
    uint8_t text[KW_ENVELOPE_ORIGIN_TEXT_MAX];
    const uint8_t *end = bytes + len;
    INPUT_MUST(len <= KW_ENVELOPE_MAX, "an envelope is longer than the longest");
    INPUT_MUST(e->wrapped >= bytes && e->wrapped + e->wrapped_len <= end, "the content key is not in the envelope");
    INPUT_MUST(e->sealed > e->wrapped && e->sealed + e->sealed_len == end, "the data key is not the end of the envelope");
    INPUT_MUST((e->origin == NULL) == (e->how == KW_ENVELOPE_AES_KW), "an origin tag too many or too few");
    INPUT_MUST(kw_envelope_key_len(e) >= 1 && kw_envelope_key_len(e) <= KW_DEK_LENGTH_MAX, "no data key has this length");
    INPUT_MUST(kw_envelope_len(e->how, e->wrapped_len, kw_envelope_key_len(e)) == len, "the length is another one");
    INPUT_MUST(kw_envelope_write(e, again) == len && memcmp(again, bytes, len) == 0, "what was read is written otherwise");
    INPUT_MUST(kw_envelope_origin_text(e, text) == 21 + e->wrapped_len, "the text of the origin tag has another length");
}

/* The data key of the envelope replaced by one that was sealed for this place: it opens, and does not when a byte is another one. */
static void seal_and_open(struct kw_envelope *e, const struct kw_envelope_place *place, uint8_t choice)
{
    uint8_t sealed[KW_ENVELOPE_SEALED_MAX];
    struct kw_secret *data = NULL;
    struct kw_secret *back = NULL;
    size_t n = kw_envelope_key_len(e);
    INPUT_MUST(kw_ok(kw_secret_new(n, &data)) && kw_ok(kw_envelope_seal(e, place, key, data, sealed)), "it cannot be sealed");
    e->sealed = sealed;
    INPUT_MUST(kw_ok(kw_envelope_open(e, place, key, &back)) && kw_secret_equal(back, kw_secret_peek(data), n), "it does not open");
    kw_secret_free(back);
    back = NULL;
    sealed[choice % e->sealed_len] ^= 1;
    INPUT_MUST(kw_envelope_open(e, place, key, &back).code == CKR_WRAPPED_KEY_INVALID && back == NULL, "a changed one opens");
    kw_secret_free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const uint8_t known[KW_ENVELOPE_KEY] = "the content key of this target.";
    struct input in;
    struct kw_envelope e;
    input_init(&in, bytes, len);
    if (key == NULL && !kw_ok(kw_secret_dup(known, sizeof known, &key))) {
        return 0;
    }
    const uint8_t *exact = input_copy(&in, bytes, len);
    if (kw_envelope_parse(exact, len, &e) == NULL) {
        struct kw_secret *out = NULL;
        const struct kw_envelope_place place = {"tenant", NULL, e.wrapped, e.wrapped_len};
        check_read(&e, exact, len);
        INPUT_MUST(!kw_ok(kw_envelope_open(&e, &place, key, &out)) && out == NULL, "an envelope opens that nobody sealed");
        seal_and_open(&e, &place, exact[len - 1]);
    }
    input_forget(&in);
    return 0;
}
