/*
 * Logs in again and again, as a broker with a wrong PIN does: pins SLOT FOLDER STEP..., in one process.
 *
 *   STEP   a PIN; "restart": C_Finalize and C_Initialize
 *
 * Prints what each C_Login answers, in hex, on one line. A login that works is ended at once.
 */
#include <stdio.h>
#include <string.h>

#include "caller.h"

int main(int argc, char **argv)
{
    struct fixture *f = argc < 3 ? NULL : fixture_attach(argv[2]);
    if (f == NULL || !caller_initialize(f)) {
        (void)fprintf(stderr, "usage: pins SLOT FOLDER STEP...\n");
        return 2;
    }
    CK_SESSION_HANDLE session = caller_open(f, argv[1]);
    for (int i = 3; i < argc && session != 0; i++) {
        if (strcmp(argv[i], "restart") == 0) {
            session = f->calls->C_Finalize(NULL) == CKR_OK && caller_initialize(f) ? caller_open(f, argv[1]) : 0;
            continue;
        }
        CK_RV rv = f->calls->C_Login(session, CKU_USER, (CK_UTF8CHAR *)argv[i], strlen(argv[i]));
        (void)printf("%s%lx", i == 3 ? "" : " ", rv);
        if (rv == CKR_OK) {
            (void)f->calls->C_Logout(session);
        }
    }
    (void)puts("");
    (void)f->calls->C_Finalize(NULL);
    fixture_stop(f);
    return session == 0;
}
