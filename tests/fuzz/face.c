/* face.c: the target `face`: sequences of C_* calls over the real face, with the recording engine behind it. */
#include "face.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codes.h"
#include "library.h"
#include "scarcity.h"
#include "slot.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static char config_path[64];
static CK_SLOT_ID slot_ids[RECORDING_SLOTS];

/* Slot 0 is readable, slot 1 sealed and on the same token, slot 3 has a weaker CMK (recording_engine.c). */
static const char config_text[] = "[keyward]\nlog = none\n"
                                  "[token one]\nuri = pkcs11:token=one?module-path=/proc/self/status\n"
                                  "[token two]\nuri = pkcs11:token=two?module-path=/proc/self/status\n"
                                  "[slot alpha]\ntokens = one\ntenant = contoso\n"
                                  "[slot beta]\ntokens = one\ndata-keys = sealed\n"
                                  "[slot gamma]\ntokens = two\nkey = another-label\n"
                                  "[slot delta]\ntokens = two\n";

const char *face_config_path(void)
{
    return config_path;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    int fd = memfd_create("keyward.conf", 0);
    if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) != 0 ||
        write(fd, config_text, sizeof config_text - 1) != (ssize_t)sizeof config_text - 1) {
        abort();
    }
    (void)snprintf(config_path, sizeof config_path, "/proc/self/fd/%d", fd);
    if (setenv("KEYWARD_CONF", config_path, 1) != 0 || setenv("KEYWARD_LOG", "none", 1) != 0) {
        abort();
    }
    return 0;
}

void face_before(struct face *f)
{
    f->calls = recording_calls();
    f->made = recording_made();
    if (f->short_memory) {
        scarcity_arm(f->nth);
    }
}

void face_after(struct face *f, const char *name, CK_RV rv)
{
    CK_RV told = CKR_OK;
    f->starved = f->short_memory && scarcity_disarm();
    f->short_memory = false;
    f->told = CKR_OK;
    if (recording_failed(&told)) {
        f->told = told;
        recording_forgive();
    }
    if (!codes_allow(name, rv) && !(f->told != CKR_OK && rv == f->told)) {
        fprintf(stderr, "%s answers 0x%lx\n", name, rv);
        input_finding(__FILE__, __LINE__, "the function may not answer this code");
    }
    INPUT_MUST(!(f->starved && rv == CKR_GENERAL_ERROR), "running out of memory is told as something else");
    INPUT_MUST(f->ledger.initialized || recording_calls() == f->calls || strcmp(name, "C_Initialize") == 0 ||
                   strcmp(name, "C_Finalize") == 0,
               "the engine is called before C_Initialize");
}

struct ledger_session *face_session(struct face *f, CK_SESSION_HANDLE handle, CK_RV rv)
{
    if (!f->ledger.initialized) {
        INPUT_MUST(rv == CKR_CRYPTOKI_NOT_INITIALIZED, "a call before C_Initialize is not refused as such");
        return NULL;
    }
    struct ledger_session *s = ledger_session(&f->ledger, handle);
    if (s == NULL || !s->open) {
        INPUT_MUST(rv == CKR_SESSION_HANDLE_INVALID, "a session that is not open is not refused as such");
        INPUT_MUST(recording_calls() == f->calls, "a session that is not open makes a call of the engine");
        return NULL;
    }
    INPUT_MUST(rv != CKR_CRYPTOKI_NOT_INITIALIZED || f->told == rv, "an initialized library says that it is not");
    INPUT_MUST(rv != CKR_SESSION_HANDLE_INVALID || f->told == rv, "an open session is refused");
    return s;
}

struct ledger_object *face_object(struct face *f, const struct ledger_session *s, CK_OBJECT_HANDLE handle)
{
    struct ledger_object *o = ledger_object(&f->ledger, handle);
    INPUT_MUST(o != NULL, "an object handle is served that was never given out");
    INPUT_MUST(o->alive, "an object handle is served that is dead");
    INPUT_MUST(o->slot == s->slot, "an object of another slot is served");
    INPUT_MUST(f->ledger.logged_in[s->slot], "an object is served without a login");
    return o;
}

CK_SLOT_ID face_pick_slot(struct face *f, size_t *index)
{
    size_t choice = input_byte(&f->in);
    *index = choice < 248 ? choice % RECORDING_SLOTS : RECORDING_SLOTS;
    if (choice < 248) {
        return f->slots[choice % RECORDING_SLOTS];
    }
    CK_SLOT_ID id = input_number(&f->in, 8);
    for (size_t i = 0; i < RECORDING_SLOTS; i++) {
        if (f->slots[i] == id) {
            *index = i;
        }
    }
    return id;
}

void *face_place(struct face *f, size_t size)
{
    return input_below(&f->in, 16) == 15 ? NULL : input_room(&f->in, size);
}

void face_check_place(CK_RV rv, const void *place, size_t size)
{
    INPUT_MUST(rv != CKR_OK || place != NULL, "a NULL place is served");
    INPUT_MUST(rv == CKR_OK || place == NULL || input_untouched(place, size), "an error changes what it was to write");
}

/* A call of the engine that will fail. */
static void tell_to_fail(struct face *f)
{
    static const CK_RV codes[] = {
#define KW_ERROR(code, class) code,
#include "errors.def"
#undef KW_ERROR
    };
    unsigned after = (unsigned)input_below(&f->in, 6);
    size_t choice = input_byte(&f->in);
    bool partly = input_flag(&f->in);
    recording_fault(after, choice < 240 ? codes[choice % (sizeof codes / sizeof codes[0])] : input_number(&f->in, 8), partly);
}

static void one_op(struct face *f)
{
    size_t choice = input_byte(&f->in);
    if (choice < 16) {
        tell_to_fail(f);
    } else if (choice < 24) {
        f->short_memory = true;
        f->nth = (unsigned)input_below(&f->in, 24);
    } else if (choice < 40) {
        recording_world(&f->in);
    } else if (choice < 64) {
        face_refused(f);
    } else if (choice < 140) {
        face_library_ops[choice % face_library_count](f);
    } else {
        face_object_ops[choice % face_object_count](f);
    }
    input_forget(&f->in);
}

static void learn_slots(struct face *f)
{
    if (slot_ids[0] == 0) {
        for (size_t i = 0; i < RECORDING_SLOTS; i++) {
            slot_ids[i] = kw_library()->slots[i].id;
        }
    }
    memcpy(f->slots, slot_ids, sizeof f->slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct face f;
    if (len > 4096) {
        return -1;
    }
    memset(&f, 0, sizeof f);
    input_init(&f.in, bytes, len);
    recording_reset();
    face_start(&f);
    learn_slots(&f);
    for (unsigned i = 0; i < 200 && input_more(&f.in); i++) {
        one_op(&f);
    }
    recording_forgive();
    f.short_memory = false;
    face_finish(&f);
    input_forget(&f.in);
    return 0;
}
