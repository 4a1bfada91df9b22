#include "ledger.h"

#include <string.h>

struct ledger_session *ledger_session(struct ledger *l, CK_SESSION_HANDLE handle)
{
    for (size_t i = 0; i < l->session_count; i++) {
        if (l->sessions[i].handle == handle) {
            return &l->sessions[i];
        }
    }
    return NULL;
}

struct ledger_object *ledger_object(struct ledger *l, CK_OBJECT_HANDLE handle)
{
    for (size_t i = 0; i < l->object_count; i++) {
        if (l->objects[i].handle == handle) {
            return &l->objects[i];
        }
    }
    return NULL;
}

struct ledger_session *ledger_add_session(struct ledger *l, CK_SESSION_HANDLE handle)
{
    size_t i = 0;
    INPUT_MUST(handle != CK_INVALID_HANDLE, "handle 0 is given out");
    INPUT_MUST(ledger_session(l, handle) == NULL, "a session handle is given out twice");
    if (l->session_count < LEDGER_SESSIONS) {
        i = l->session_count++;
    } else {
        while (i < LEDGER_SESSIONS && l->sessions[i].open) {
            i++;
        }
        INPUT_MUST(i < LEDGER_SESSIONS, "the target opens more sessions than it can count: mend the target");
    }
    l->sessions[i] = (struct ledger_session){.handle = handle, .open = true};
    return &l->sessions[i];
}

struct ledger_object *ledger_add_object(struct ledger *l, CK_OBJECT_HANDLE handle)
{
    size_t i = 0;
    INPUT_MUST(handle != CK_INVALID_HANDLE, "handle 0 is given out");
    INPUT_MUST(ledger_object(l, handle) == NULL, "an object handle is given out twice");
    if (l->object_count < LEDGER_OBJECTS) {
        i = l->object_count++;
    } else {
        while (i < LEDGER_OBJECTS && l->objects[i].alive) {
            i++;
        }
        INPUT_MUST(i < LEDGER_OBJECTS, "the target makes more objects than it can count: mend the target");
    }
    l->objects[i] = (struct ledger_object){.handle = handle, .alive = true};
    return &l->objects[i];
}

struct ledger_blob *ledger_add_blob(struct ledger *l)
{
    if (l->blob_count == LEDGER_BLOBS) {
        memmove(&l->blobs[0], &l->blobs[1], (LEDGER_BLOBS - 1) * sizeof l->blobs[0]);
        l->blob_count--;
    }
    return &l->blobs[l->blob_count++];
}

size_t ledger_open_sessions(const struct ledger *l, size_t slot)
{
    size_t n = 0;
    for (size_t i = 0; i < l->session_count; i++) {
        n += l->sessions[i].open && (slot == RECORDING_SLOTS || l->sessions[i].slot == slot);
    }
    return n;
}

void ledger_logout(struct ledger *l, size_t slot)
{
    l->logged_in[slot] = false;
    for (size_t i = 0; i < l->object_count; i++) {
        l->objects[i].alive = l->objects[i].alive && l->objects[i].slot != slot;
    }
}

void ledger_close(struct ledger *l, struct ledger_session *s)
{
    s->open = false;
    for (size_t i = 0; i < l->object_count; i++) {
        l->objects[i].alive = l->objects[i].alive && l->objects[i].owner != s->handle;
    }
    if (ledger_open_sessions(l, s->slot) == 0) {
        ledger_logout(l, s->slot);
    }
}

void ledger_finalize(struct ledger *l)
{
    l->initialized = false;
    for (size_t i = 0; i < l->session_count; i++) {
        l->sessions[i].open = false;
    }
    for (size_t i = 0; i < RECORDING_SLOTS; i++) {
        ledger_logout(l, i);
    }
}

/* What is no handle, or was one. */
static CK_ULONG spoil(CK_ULONG handle, struct input *in)
{
    switch (input_below(in, 4)) {
    case 0:
        return CK_INVALID_HANDLE;
    case 1:
        return (CK_ULONG)-1;
    case 2:
        return handle ^ (CK_ULONG)1 << input_below(in, 64);
    default:
        return input_number(in, 8);
    }
}

CK_SESSION_HANDLE ledger_pick_session(struct ledger *l, struct input *in)
{
    size_t choice = input_byte(in);
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    if (l->session_count > 0) {
        const struct ledger_session *s = &l->sessions[choice % l->session_count];
        for (size_t i = 0; choice < 224 && i < l->session_count && !s->open; i++) {
            s = &l->sessions[(choice + i) % l->session_count];
        }
        handle = s->handle;
    }
    if (choice >= 252 && l->object_count > 0) {
        handle = l->objects[choice % l->object_count].handle;
    }
    return choice >= 244 && choice < 252 ? spoil(handle, in) : handle;
}

CK_OBJECT_HANDLE ledger_pick_object(struct ledger *l, struct input *in, CK_SESSION_HANDLE session, bool cmk)
{
    const struct ledger_session *s = ledger_session(l, session);
    size_t choice = input_byte(in);
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    if (l->object_count > 0) {
        const struct ledger_object *o = &l->objects[choice % l->object_count];
        for (size_t i = 0; choice < 224 && i < l->object_count && (!o->alive || o->cmk != cmk || (s != NULL && o->slot != s->slot)); i++) {
            o = &l->objects[(choice + i) % l->object_count];
        }
        handle = o->handle;
    }
    if (choice >= 252 && l->session_count > 0) {
        handle = l->sessions[choice % l->session_count].handle;
    }
    return choice >= 244 && choice < 252 ? spoil(handle, in) : handle;
}
