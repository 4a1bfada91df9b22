/*
 * witness.c: what the crash matrix needs to see of a slot and of its tokens.
 *
 *   witness wrap MODULE SLOT FILE     a data key wrapped under the active version, added to the file: version, value, blob; by AES key wrap, or
 *                                     by OAEP with SHA-1. A line for `unwrap` may have CKM_RSA_AES_KEY_WRAP, too
 *   witness unwrap MODULE SLOT FILE   each line of the file through that version's own handle: "VERSION same", "VERSION gone",
 *                                     "VERSION other" or "VERSION 0x..." with the return value; status 0
 *   witness list MODULE PIN TOKEN...  every object of the tokens, past Keyward: token, class, label, version, CKA_ID, CKA_WRAP
 *                                     and CKA_UNWRAP as "wu", and what of it is as it must not be for a master key. After the
 *                                     CKA_ID of an RSA half come the first 24 bytes of its modulus, where an AES key has its canary
 *   witness past MODULE PIN TOKEN...  past Keyward, every day of purge that a CKA_ID of the tokens names becomes a day in 1970
 * Status 1 with a line on standard error when something could not even be tried.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"

enum { VALUE = 32, BLOB = 40, BLOB_MAX = 1024, LINE = 2304, OBJECTS = 128, ID = 64, SHORT_ID = 24 };

static bool load(struct fixture *f, const char *path)
{
    CK_C_GetFunctionList list = NULL;
    CK_FUNCTION_LIST *calls = NULL;
    f->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (f->handle != NULL) {
        *(void **)(void *)&list = dlsym(f->handle, "C_GetFunctionList");
    }
    if (list == NULL || list(&calls) != CKR_OK) {
        (void)fprintf(stderr, "witness: %s is no PKCS#11 module\n", path);
        return false;
    }
    f->calls = (const struct calls *)calls; /* the front of struct calls is this table (calls.h) */
    return caller_initialize(f);
}

static void print_hex(FILE *to, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        (void)fprintf(to, "%02x", p[i]);
    }
}

static bool read_hex(const char *text, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (sscanf(text + 2 * i, "%2" SCNx8, &out[i]) != 1) {
            return false;
        }
    }
    return true;
}

/* How a blob was made: AES key wrap has BLOB bytes, OAEP (SHA-1) those of a modulus, CKM_RSA_AES_KEY_WRAP more. */
struct way {
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    struct kw_rsa_aes_params both;
    CK_MECHANISM mechanism;
};

static CK_MECHANISM *way_of(struct way *w, CK_ULONG len)
{
    bool oaep = len == 256 || len == 384 || len == 512;
    w->oaep = (CK_RSA_PKCS_OAEP_PARAMS){CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    w->both = (struct kw_rsa_aes_params){8 * VALUE, &w->oaep};
    w->mechanism = len == BLOB ? (CK_MECHANISM){CKM_AES_KEY_WRAP, NULL, 0}
                   : oaep      ? (CK_MECHANISM){CKM_RSA_PKCS_OAEP, &w->oaep, sizeof w->oaep}
                               : (CK_MECHANISM){CKM_RSA_AES_KEY_WRAP, &w->both, sizeof w->both};
    return &w->mechanism;
}

static bool is_set(const struct fixture *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE h, CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL b = CK_FALSE;
    CK_ATTRIBUTE a = {type, &b, sizeof b};
    return f->calls->C_GetAttributeValue(session, h, &a, 1) == CKR_OK && b != CK_FALSE;
}

/* wrap */

/* The public half that wraps, or the master key if it is no RSA key. */
static CK_OBJECT_HANDLE wrapping_key(const struct fixture *f, CK_SESSION_HANDLE session, CK_ULONG *len)
{
    CK_OBJECT_HANDLE list[OBJECTS];
    CK_ULONG count = 0;
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_ATTRIBUTE a = {CKA_CLASS, &class, sizeof class};
    CK_ULONG bits = 0;
    CK_ATTRIBUTE size = {CKA_MODULUS_BITS, &bits, sizeof bits};
    if (f->calls->C_FindObjectsInit(session, &a, 1) != CKR_OK) {
        return 0;
    }
    CK_RV rv = f->calls->C_FindObjects(session, list, OBJECTS, &count);
    (void)f->calls->C_FindObjectsFinal(session);
    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
        if (is_set(f, session, list[i], CKA_WRAP) && f->calls->C_GetAttributeValue(session, list[i], &size, 1) == CKR_OK) {
            *len = bits / 8;
            return list[i];
        }
    }
    *len = BLOB;
    return caller_cmk(f, session);
}

static int do_wrap(const struct fixture *f, CK_SESSION_HANDLE session, const char *path)
{
    uint8_t value[VALUE];
    uint8_t blob[BLOB_MAX];
    CK_ULONG want = 0;
    CK_ULONG version = 0;
    struct way way;
    CK_ATTRIBUTE a = {CKA_KEYWARD_VERSION, &version, sizeof version};
    CK_OBJECT_HANDLE cmk = wrapping_key(f, session, &want);
    CK_ULONG len = want;
    CK_OBJECT_HANDLE key = caller_generate(f, session, CKK_AES, VALUE);
    if (cmk == 0 || key == 0 || caller_value(f, session, key, value, sizeof value) != VALUE ||
        f->calls->C_GetAttributeValue(session, cmk, &a, 1) != CKR_OK) {
        return 1;
    }
    CK_RV rv = f->calls->C_WrapKey(session, way_of(&way, want), cmk, key, blob, &len);
    FILE *to = fopen(path, "a");
    if (rv != CKR_OK || len != want || to == NULL) {
        (void)fprintf(stderr, "witness: version %lu does not wrap: 0x%lx\n", version, rv);
        return 1;
    }
    (void)fprintf(to, "%lu ", version);
    print_hex(to, value, sizeof value);
    (void)fputc(' ', to);
    print_hex(to, blob, len);
    return fputc('\n', to) == EOF || fclose(to) != 0;
}

/* unwrap */

static CK_OBJECT_HANDLE version_handle(const struct fixture *f, CK_SESSION_HANDLE session, CK_ULONG version, CK_OBJECT_CLASS class)
{
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG count = 0;
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEYWARD_VERSION, &version, sizeof version}};
    if (f->calls->C_FindObjectsInit(session, a, 2) != CKR_OK) {
        return 0;
    }
    CK_RV rv = f->calls->C_FindObjects(session, &key, 1, &count);
    (void)f->calls->C_FindObjectsFinal(session);
    return rv == CKR_OK && count == 1 ? key : 0;
}

static bool unwrap_line(const struct fixture *f, CK_SESSION_HANDLE session, const char *line)
{
    char *end = NULL;
    uint8_t value[VALUE];
    uint8_t got[VALUE];
    uint8_t blob[BLOB_MAX];
    struct form t = {0};
    struct way way;
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG version = strtoul(line, &end, 10);
    size_t head = 2 + 2 * VALUE;
    CK_ULONG len = *end == ' ' && strlen(end) > head ? strspn(end + head, "0123456789abcdef") / 2 : 0;
    if (len < BLOB || len > BLOB_MAX || !read_hex(end + 1, value, VALUE) || !read_hex(end + head, blob, len)) {
        (void)fprintf(stderr, "witness: not a line of mine: %s", line);
        return false;
    }
    CK_OBJECT_HANDLE cmk = version_handle(f, session, version, len == BLOB ? CKO_SECRET_KEY : CKO_PRIVATE_KEY);
    if (cmk == 0) {
        (void)printf("%lu gone\n", version);
        return true;
    }
    form_secret(&t, CKK_AES);
    form_readable(&t);
    CK_RV rv = f->calls->C_UnwrapKey(session, way_of(&way, len), cmk, blob, len, t.a, t.count, &key);
    if (rv != CKR_OK) {
        (void)printf("%lu 0x%lx\n", version, rv);
        return true;
    }
    bool same = caller_value(f, session, key, got, sizeof got) == VALUE && memcmp(got, value, VALUE) == 0;
    (void)printf("%lu %s\n", version, same ? "same" : "other");
    return true;
}

static int do_unwrap(const struct fixture *f, CK_SESSION_HANDLE session, const char *path)
{
    char line[LINE];
    bool ok = true;
    FILE *from = fopen(path, "r");
    while (ok && from != NULL && fgets(line, sizeof line, from) != NULL) {
        ok = unwrap_line(f, session, line);
    }
    if (from != NULL) {
        (void)fclose(from);
    }
    return !ok;
}

/* list */

/* What may not be so with a master key; some attributes are of private and secret keys only, or not of private ones. */
static void print_faults(const struct fixture *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE h, CK_ULONG class)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        bool want;
        const char *fault;
    } rules[] = {{CKA_TOKEN, true, "session"},      {CKA_PRIVATE, true, "public"},     {CKA_SENSITIVE, true, "readable"},
                 {CKA_EXTRACTABLE, false, "extractable"}, {CKA_ENCRYPT, false, "encrypts"},  {CKA_DECRYPT, false, "decrypts"},
                 {CKA_SIGN, false, "signs"},        {CKA_VERIFY, false, "verifies"},   {CKA_DERIVE, false, "derives"}};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        bool is_secrecy = rules[i].type == CKA_SENSITIVE || rules[i].type == CKA_EXTRACTABLE;
        if ((class != CKO_PUBLIC_KEY || !is_secrecy) && is_set(f, session, h, rules[i].type) != rules[i].want) {
            (void)printf(" %s", rules[i].fault);
        }
    }
}

/* The beginning of the modulus, as the tail of a CKA_ID without a canary. Gives the length of both. */
static CK_ULONG add_modulus(const struct fixture *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE h, uint8_t *id, CK_ULONG len)
{
    uint8_t modulus[512];
    CK_ATTRIBUTE a = {CKA_MODULUS, modulus, sizeof modulus};
    if (len != SHORT_ID || f->calls->C_GetAttributeValue(session, h, &a, 1) != CKR_OK || a.ulValueLen < SHORT_ID) {
        return len;
    }
    memcpy(id + SHORT_ID, modulus, SHORT_ID);
    return 2 * SHORT_ID;
}

static bool print_object(const struct fixture *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE h, const char *token)
{
    CK_ULONG class = 0;
    char label[ID + 1] = "";
    uint8_t id[ID] = {0};
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, ID}, {CKA_ID, id, sizeof id}};
    CK_RV rv = f->calls->C_GetAttributeValue(session, h, a, 3);
    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID) { /* an object that is no key has no CKA_ID */
        (void)fprintf(stderr, "witness: token %s: an object does not show itself: 0x%lx\n", token, rv);
        return false;
    }
    unsigned version = 0; /* bytes 12 to 15 (DESIGN section 4) */
    for (size_t i = 12; i < 16; i++) {
        version = version << 8 | id[i];
    }
    (void)printf("%s class=%lu label=%s %u id=", token, class, label, version);
    CK_ULONG len = a[2].ulValueLen <= sizeof id ? a[2].ulValueLen : 0;
    print_hex(stdout, id, class == CKO_SECRET_KEY ? len : add_modulus(f, session, h, id, len));
    (void)printf(" %c%c", is_set(f, session, h, CKA_WRAP) ? 'w' : '-', is_set(f, session, h, CKA_UNWRAP) ? 'u' : '-');
    print_faults(f, session, h, class);
    (void)putchar('\n');
    return true;
}

/* past: bytes 20 to 23 of CKA_ID are the day of purge, 0 for none (DESIGN section 4). */

static bool bring_day(const struct fixture *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE h, const char *token)
{
    static const uint8_t none[4];
    uint8_t id[ID];
    CK_ATTRIBUTE a = {CKA_ID, id, sizeof id};
    if (f->calls->C_GetAttributeValue(session, h, &a, 1) != CKR_OK || (a.ulValueLen != 48 && a.ulValueLen != SHORT_ID) ||
        memcmp(id + 20, none, 4) == 0) {
        return true;
    }
    memcpy(id + 20, (const uint8_t[]){0, 0, 0, 1}, 4);
    CK_RV rv = f->calls->C_SetAttributeValue(session, h, &a, 1);
    if (rv != CKR_OK) {
        (void)fprintf(stderr, "witness: token %s: a CKA_ID does not change: 0x%lx\n", token, rv);
    }
    return rv == CKR_OK;
}

typedef bool object_fn(const struct fixture *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE h, const char *token);

static bool enter_token(const struct fixture *f, const char *token, char *pin, CK_SESSION_HANDLE *session)
{
    *session = caller_open(f, token);
    return *session != 0 &&
           f->calls->C_Login(*session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)) == CKR_OK;
}

static int do_each(const struct fixture *f, char *pin, char **tokens, object_fn *each)
{
    for (; *tokens != NULL; tokens++) {
        CK_SESSION_HANDLE session = 0;
        CK_OBJECT_HANDLE list[OBJECTS];
        CK_ULONG count = 0;
        if (!enter_token(f, *tokens, pin, &session) || f->calls->C_FindObjectsInit(session, NULL, 0) != CKR_OK ||
            f->calls->C_FindObjects(session, list, OBJECTS, &count) != CKR_OK || count == OBJECTS) {
            (void)fprintf(stderr, "witness: token %s cannot be looked into\n", *tokens);
            return 1;
        }
        (void)f->calls->C_FindObjectsFinal(session);
        for (CK_ULONG i = 0; i < count; i++) {
            if (!each(f, session, list[i], *tokens)) {
                return 1;
            }
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct fixture f = {0};
    int status = 1;
    bool list = argc > 4 && strcmp(argv[1], "list") == 0;
    bool past = argc > 4 && strcmp(argv[1], "past") == 0;
    bool wrap = argc == 5 && strcmp(argv[1], "wrap") == 0;
    bool unwrap = argc == 5 && strcmp(argv[1], "unwrap") == 0;
    if (!list && !past && !wrap && !unwrap) {
        (void)fputs("usage: witness wrap|unwrap MODULE SLOT FILE, witness list|past MODULE PIN TOKEN...\n", stderr);
        return 2;
    }
    if (!load(&f, argv[2])) {
        return 1;
    }
    if (list || past) {
        status = do_each(&f, argv[3], argv + 4, list ? print_object : bring_day);
    } else {
        CK_SESSION_HANDLE session = caller_enter(&f, argv[3]);
        if (session != 0) {
            status = wrap ? do_wrap(&f, session, argv[4]) : do_unwrap(&f, session, argv[4]);
        }
    }
    (void)f.calls->C_Finalize(NULL);
    return status;
}
