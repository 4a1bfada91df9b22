/* face_refused.c: the functions that Keyward does not serve: one answer, whatever the arguments are. */
#include "face.h"

#include <string.h>

/* As entry.c declares them. */
#define KW_FUNCTION(table, name, gate, call, parameters) CK_RV name parameters;
#include "functions.def"
#undef KW_FUNCTION

enum gate { ALWAYS, LIBRARY, SESSION, LOCKED, REFUSED, REFUSED_SLOT, PARALLEL };

struct row {
    const char *name;
    enum gate gate;
    void (*call)(void);
};

#define KW_FUNCTION(table, name, gate, call, parameters) {#name, gate, (void (*)(void))name},
static const struct row rows[] = {
#include "functions.def"
};
#undef KW_FUNCTION
enum { ROWS = sizeof rows / sizeof rows[0], ARGUMENTS = 10 };

/* All arguments are integers or pointers, which the calling conventions of 64-bit machines pass alike. */
typedef CK_RV any_function(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG);

static CK_RV expected(struct face *f, enum gate gate, CK_SESSION_HANDLE session)
{
    const struct ledger_session *s = ledger_session(&f->ledger, session);
    if (!f->ledger.initialized) {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    if (gate != REFUSED_SLOT && (s == NULL || !s->open)) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    return gate == PARALLEL ? CKR_FUNCTION_NOT_PARALLEL : CKR_FUNCTION_NOT_SUPPORTED;
}

void face_refused(struct face *f)
{
    enum { SIZE = 16 };
    void *rooms[ARGUMENTS] = {0};
    CK_ULONG args[ARGUMENTS];
    size_t index = 0;
    size_t i = input_byte(&f->in) % ROWS;
    while (rows[i].gate < REFUSED) {
        i = (i + 1) % ROWS;
    }
    args[0] = rows[i].gate == REFUSED_SLOT ? face_pick_slot(f, &index) : ledger_pick_session(&f->ledger, &f->in);
    for (size_t k = 1; k < ARGUMENTS; k++) {
        size_t choice = input_below(&f->in, 4);
        rooms[k] = choice == 0 ? input_room(&f->in, SIZE) : NULL;
        args[k] = choice == 0 ? (CK_ULONG)(uintptr_t)rooms[k] : choice == 1 ? grammar_length(&f->in) : input_byte(&f->in);
    }
    CK_RV want = expected(f, rows[i].gate, args[0]);
    unsigned long calls = recording_calls();
    any_function *call = (any_function *)rows[i].call;
    CK_RV rv = call(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7], args[8], args[9]);
    INPUT_MUST(rv == want, "a function that is not served does not say so");
    INPUT_MUST(recording_calls() == calls, "a function that is not served calls the engine");
    for (size_t k = 1; k < ARGUMENTS; k++) {
        INPUT_MUST(rooms[k] == NULL || input_untouched(rooms[k], SIZE), "a function that is not served writes");
    }
}
