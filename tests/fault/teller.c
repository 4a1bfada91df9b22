#include "teller.h"

#include <unistd.h>

#include "envelope.h"

enum { POLL_US = 2000 };

struct faulty_control *teller_control;
uint8_t teller_value[TELLER_VALUE];
uint8_t teller_blob[TELLER_BLOB];
CK_SESSION_HANDLE teller_session;
CK_OBJECT_HANDLE teller_cmk;

const char *teller_prepare(void)
{
    uint8_t key[TELLER_VALUE];
    fixture_known_value(key);
    for (size_t i = 0; i < TELLER_VALUE; i++) {
        teller_value[i] = (uint8_t)(i * 5 + 1);
    }
    (void)envelope_wrap(key, TELLER_VALUE, false, teller_value, TELLER_VALUE, teller_blob);
    return scandal_prepare(&teller_control);
}

void teller_begin(const char *slot)
{
    scandal_clear(teller_control);
    teller_session = enter(slot);
    teller_cmk = caller_cmk(world, teller_session);
    CHECK(teller_session != 0 && teller_cmk != 0, "the slot works at first");
}

void teller_end(void)
{
    scandal_clear(teller_control);
    leave();
}

CK_RV teller_wrap(uint8_t out[TELLER_BLOB])
{
    CK_OBJECT_HANDLE key = caller_import(world, teller_session, CKK_AES, teller_value, TELLER_VALUE);
    CK_ULONG len = TELLER_BLOB;
    CK_RV rv = p11->C_WrapKey(teller_session, caller_mechanism(CKM_AES_KEY_WRAP), teller_cmk, key, out, &len);
    (void)p11->C_DestroyObject(teller_session, key);
    return rv;
}

/* CKR_OK only with the right teller_value. */
CK_RV teller_unwrap_quietly(bool *same)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    uint8_t got[TELLER_VALUE];
    form_secret(&t, CKK_AES);
    form_readable(&t);
    CK_RV rv = p11->C_UnwrapKey(teller_session, caller_mechanism(CKM_AES_KEY_WRAP), teller_cmk, teller_blob, TELLER_BLOB, t.a, t.count, &key);
    *same = rv != CKR_OK || (caller_value(world, teller_session, key, got, TELLER_VALUE) == TELLER_VALUE && memcmp(got, teller_value, TELLER_VALUE) == 0);
    if (rv == CKR_OK) {
        (void)p11->C_DestroyObject(teller_session, key);
    }
    return rv;
}

CK_RV teller_unwrap(void)
{
    bool same = false;
    CK_RV rv = teller_unwrap_quietly(&same);
    CHECK(same, "G2: never CKR_OK with a wrong key");
    return rv;
}

double teller_until_ok(double most_ms)
{
    double start = scandal_ms();
    while (teller_unwrap() != CKR_OK) {
        if (scandal_ms() - start > most_ms) {
            return -1;
        }
        (void)usleep(POLL_US);
    }
    return scandal_ms() - start;
}
