/*
 * names_test.c: a token that lies about CKA_ID, by which a master key's lineage and version are known, while envelopes are made.
 *
 * An envelope carries both in its header. Either it is not made, or it opens when the token tells the truth again: in this process, and in the next
 * one. Each case lies at one reading, or from one reading on, for a while.
 */
#include <unistd.h>

#include "teller.h"

enum { READINGS = 2, FIRST = 12, ENVELOPE = 36 + 40 + TELLER_VALUE + 16, FRESH_MS = 1100, LONG_MS = 400 };

static const CK_ULONG bytes[] = {5, 14}; /* of CKA_ID: in the lineage, and in the version */
static CK_KEYWARD_ENVELOPE_PARAMS nowhere;
static unsigned long made, refused;

static CK_MECHANISM envelope(void)
{
    return (CK_MECHANISM){CKM_KEYWARD_ENVELOPE, &nowhere, sizeof nowhere};
}

static CK_RV make(uint8_t out[ENVELOPE])
{
    CK_MECHANISM mechanism = envelope();
    CK_ULONG len = ENVELOPE;
    CK_OBJECT_HANDLE key = caller_import(world, teller_session, CKK_AES, teller_value, TELLER_VALUE);
    CK_RV rv = p11->C_WrapKey(teller_session, &mechanism, teller_cmk, key, out, &len);
    (void)p11->C_DestroyObject(teller_session, key);
    return rv;
}

static void check_opens(uint8_t blob[ENVELOPE], const char *when)
{
    CK_MECHANISM mechanism = envelope();
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    uint8_t got[TELLER_VALUE];
    form_secret(&t, CKK_AES);
    form_readable(&t);
    CHECK_RV(p11->C_UnwrapKey(teller_session, &mechanism, teller_cmk, blob, ENVELOPE, t.a, t.count, &key), CKR_OK, when);
    CHECK(caller_value(world, teller_session, key, got, sizeof got) == sizeof got && memcmp(got, teller_value, sizeof got) == 0, "and is the data key");
    (void)p11->C_DestroyObject(teller_session, key);
}

struct tale {
    unsigned long reading; /* that is the first one to lie */
    unsigned long times;   /* 0: from then on, for LONG_MS */
    CK_ULONG byte;
    bool looks_up;         /* the caller looks the key up while the token lies */
};

/* Makes envelopes while the token lies. The slot was in use before. */
static size_t make_some(const struct tale *t, uint8_t out[][ENVELOPE], size_t most)
{
    size_t n = 0;
    (void)usleep(FRESH_MS * 1000); /* what is known of the key is old */
    const double start = scandal_ms();
    (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_GetAttributeValue, .act = FAULTY_NAME, .value = t->byte, .skip = t->reading, .times = t->times});
    for (size_t i = 0; i < most || (t->times == 0 && scandal_ms() - start < LONG_MS); i++) {
        CK_OBJECT_HANDLE again = t->looks_up ? caller_cmk(world, teller_session) : 0;
        teller_cmk = again != 0 ? again : teller_cmk;
        bool good = make(out[n]) == CKR_OK;
        made += good;
        refused += !good;
        n += good && n + 1 < most;
    }
    scandal_clear(teller_control);
    return n;
}

static void run_tale(const struct tale *t)
{
    uint8_t blobs[4][ENVELOPE];
    teller_begin("made");
    CHECK_RV(make(blobs[0]), CKR_OK, "an envelope is made");
    size_t n = 1 + make_some(t, blobs + 1, 3);
    (void)usleep(FRESH_MS * 1000);
    teller_cmk = caller_cmk(world, teller_session);
    for (size_t i = 0; i < n; i++) {
        check_opens(blobs[i], "6: what was made while the token lied opens afterwards");
    }
    teller_end();
    teller_begin("made");
    for (size_t i = 0; i < n; i++) {
        check_opens(blobs[i], "6: and in the next process");
    }
    teller_end();
}

static void run_tales(unsigned long times, bool looks_up)
{
    for (size_t b = 0; b < COUNT_OF(bytes); b++) {
        for (unsigned long i = 0; i < READINGS; i++) {
            run_tale(&(struct tale){i, times, bytes[b], looks_up});
        }
    }
    (void)printf("[%lu made, %lu not] ", made, refused);
}

static void one_lie(void)
{
    run_tales(1, false);
}

static void lies_for_a_while(void)
{
    run_tales(0, true);
}

/* The first reading of a process is confirmed by nothing that came before it. */
static void one_lie_at_the_beginning(void)
{
    uint8_t blob[ENVELOPE];
    for (unsigned long i = 0; i < FIRST; i++) {
        (void)scandal_arm(teller_control, &(struct scandal){.function = FAULTY_C_GetAttributeValue, .act = FAULTY_NAME, .value = bytes[0], .skip = i, .times = 1});
        teller_session = enter("made");
        teller_cmk = caller_cmk(world, teller_session);
        bool good = teller_cmk != 0 && make(blob) == CKR_OK;
        teller_end();
        teller_begin("made");
        if (good) {
            check_opens(blob, "6: what was made after a lie at the beginning opens in the next process");
        }
        teller_end();
    }
}

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "made", .tokens = "eu-1"}, {0}};
    CU_TestInfo tests[] = {
        {"one lie", one_lie},
        {"lies for a while", lies_for_a_while},
        {"one lie at the beginning", one_lie_at_the_beginning},
        CU_TEST_INFO_NULL,
    };
    const struct fixture_settings settings = {.slots = slots, .vendor = teller_prepare()};
    return settings.vendor == NULL ? 1 : chapter_run("names", &settings, tests);
}
