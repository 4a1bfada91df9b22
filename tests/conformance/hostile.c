#include "hostile.h"

#include <stddef.h>

#include "region.h"

/* The corpus of ATTACKS.md section 3. */
static const CK_ULONG lengths[] = {
    0,
    1,
    3,
    4,
    7,
    8,
    15,
    16,
    17,
    23,
    24,
    25,
    31,
    32,
    33,
    39,
    40,
    41,
    1UL << 16,
    (1UL << 31) - 1,
    1UL << 31,
    1UL << 32,
    (1UL << 32) + 40,
    1UL << 63,
    (CK_ULONG)-8,
    CK_UNAVAILABLE_INFORMATION,
};
static const CK_ULONG counts[] = {0, 1, 32, 33, 1000000, 1UL << 32, 1UL << 60, CK_UNAVAILABLE_INFORMATION};
static const CK_ATTRIBUTE_TYPE attributes[] = {
    CKA_CLASS,
    CKA_KEY_TYPE,
    CKA_TOKEN,
    CKA_SENSITIVE,
    CKA_EXTRACTABLE,
    CKA_ENCRYPT,
    CKA_WRAP,
    CKA_LABEL,
    CKA_ID,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKA_START_DATE,
    CKA_ALLOWED_MECHANISMS,
    CKA_WRAP_TEMPLATE,
    CKA_UNWRAP_TEMPLATE,
    CKA_UNIQUE_ID,
    CKA_KEYWARD_VERSION,
    CKA_KEYWARD_FINGERPRINT,
    0x80000001UL,
    CK_UNAVAILABLE_INFORMATION,
};
static const CK_MECHANISM_TYPE mechanisms[] = {
    CKM_AES_KEY_WRAP,
    CKM_AES_KEY_WRAP_KWP,
    CKM_AES_KEY_WRAP_PAD,
    CKM_AES_KEY_GEN,
    CKM_GENERIC_SECRET_KEY_GEN,
    CKM_RSA_PKCS,
    CKM_RSA_PKCS_OAEP,
    CKM_AES_CBC_PAD,
    CKM_AES_GCM,
    0x80000001UL,
    CK_UNAVAILABLE_INFORMATION,
};
static const CK_ULONG numbers[] = {
    0, 1, 2, 3, 4, 5, 6, 7, 255, 0x4156, 1UL << 31, 1UL << 32, 1UL << 63, CK_UNAVAILABLE_INFORMATION};
static const unsigned depths[] = {1, 2, 8, 9, 5000};

enum {
    LENGTHS = COUNT_OF(lengths),
    ATTRIBUTES = COUNT_OF(attributes),
    MECHANISMS = COUNT_OF(mechanisms),
    FORMS = 2 * LENGTHS, /* every length with memory and with NULL */
    TWICE = 4,           /* duplicates, equal and different; CK_BBOOL 2 and 0xFF */
    OAEPS = 4,
    PAIRS_MAX = 40,
    REAL_MAX = 256 /* bytes behind a length that is a lie */
};

/* Reading functions.def. */

static const struct {
    const char *name;
    const char *parameters;
    size_t offset;
} rows[] = {
#define KW_FUNCTION(table, name, gate, call, parameters) {#name, #parameters, offsetof(struct calls, name)},
#include "functions.def"
#undef KW_FUNCTION
};
_Static_assert(COUNT_OF(rows) == HOSTILE_FUNCTIONS, "every row is a function");

struct parameter {
    char type[40];
    char name[40];
};

static size_t split(const char *text, struct parameter out[HOSTILE_ARGS])
{
    size_t n = 0;
    const char *at = text + 1; /* behind the parenthesis */
    while (n < HOSTILE_ARGS &&
           sscanf(at, " %39[A-Za-z0-9_] %39[A-Za-z0-9_]", out[n].type, out[n].name) == 2) {
        n++;
        at = strchr(at, ',');
        if (at == NULL) {
            break;
        }
        at++;
    }
    return n;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The kind of a parameter, seen with the next one. */
static enum hostile_kind classify(const struct parameter *p, const struct parameter *next)
{
    static const struct {
        const char *type;
        enum hostile_kind kind;
    } words[] = {
        {"CK_SESSION_HANDLE", HOSTILE_SESSION},
        {"CK_SLOT_ID", HOSTILE_SLOT},
        {"CK_MECHANISM_PTR", HOSTILE_MECHANISM},
        {"CK_ATTRIBUTE_PTR", HOSTILE_TEMPLATE},
        {"CK_BBOOL", HOSTILE_BOOL},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(p->type, words[i].type) == 0) {
            return words[i].kind;
        }
    }
    if (strcmp(p->type, "CK_OBJECT_HANDLE") == 0) {
        return ends_with(p->name, "wrapping_key") ? HOSTILE_CMK : HOSTILE_KEY;
    }
    if (!ends_with(p->type, "_PTR")) {
        return HOSTILE_NUMBER;
    }
    bool bytes = strcmp(p->type, "CK_BYTE_PTR") == 0 || strcmp(p->type, "CK_UTF8CHAR_PTR") == 0 ||
                 strcmp(p->type, "CK_VOID_PTR") == 0;
    if (next != NULL && strcmp(next->type, "CK_ULONG") == 0) {
        return bytes ? HOSTILE_BYTES : HOSTILE_LIST;
    }
    if (next != NULL && strcmp(next->type, "CK_ULONG_PTR") == 0) {
        return HOSTILE_OUT;
    }
    return strcmp(p->name, "args") == 0 ? HOSTILE_ARGS_OF_INITIALIZE : HOSTILE_PLACE;
}

static size_t unit_of(const char *type)
{
    if (strcmp(type, "CK_INTERFACE_PTR") == 0) {
        return sizeof(CK_INTERFACE);
    }
    return strcmp(type, "CK_BYTE_PTR") == 0 || strcmp(type, "CK_UTF8CHAR_PTR") == 0 ||
                   strcmp(type, "CK_VOID_PTR") == 0
               ? 1
               : sizeof(CK_ULONG);
}

static size_t width(enum hostile_kind kind)
{
    return kind == HOSTILE_TEMPLATE || kind == HOSTILE_BYTES || kind == HOSTILE_OUT || kind == HOSTILE_LIST
               ? 2
               : 1;
}

const struct hostile_function *hostile_functions(void)
{
    static struct hostile_function functions[HOSTILE_FUNCTIONS];
    for (size_t i = 0; functions[0].name == NULL || (i > 0 && i < HOSTILE_FUNCTIONS); i++) {
        struct parameter p[HOSTILE_ARGS];
        size_t n = split(rows[i].parameters, p);
        struct hostile_function *f = &functions[i];
        f->name = rows[i].name;
        f->offset = rows[i].offset;
        for (size_t k = 0; k < n; k += width(f->groups[f->group_count++].kind)) {
            f->groups[f->group_count] =
                (struct hostile_group){classify(&p[k], k + 1 < n ? &p[k + 1] : NULL), k, unit_of(p[k].type),
                                       strcmp(p[k].type, "CK_VOID_PTR") == 0};
        }
    }
    return functions;
}

/* Values. */

size_t hostile_values(const struct hostile_function *f, size_t group)
{
    static const size_t values[HOSTILE_KINDS] = {
        [HOSTILE_SESSION] = 8,
        [HOSTILE_SLOT] = 7,
        [HOSTILE_KEY] = 10,
        [HOSTILE_CMK] = 10,
        [HOSTILE_MECHANISM] = 2 + MECHANISMS * FORMS + OAEPS,
        [HOSTILE_TEMPLATE] =
            1 + 2 * COUNT_OF(counts) + ATTRIBUTES * FORMS + ATTRIBUTES * TWICE + 2 * COUNT_OF(depths) + 3,
        [HOSTILE_BYTES] = 1 + FORMS,
        [HOSTILE_OUT] = 3 + FORMS,
        [HOSTILE_LIST] = 1 + FORMS,
        [HOSTILE_PLACE] = 3,
        [HOSTILE_NUMBER] = 1 + COUNT_OF(numbers),
        [HOSTILE_BOOL] = 5,
        [HOSTILE_ARGS_OF_INITIALIZE] = 20,
    };
    return values[f->groups[group].kind];
}

/* How much memory there is behind a length: as much as it says, unless that is a lie too big to be true. */
static size_t real_length(CK_ULONG len, size_t unit)
{
    return len <= REGION_MAX / unit ? len * unit : REAL_MAX;
}

static void *memory(CK_ULONG len)
{
    return region_take(real_length(len, 1));
}

static void *copy(const void *bytes, size_t len)
{
    void *p = region_take(len);
    if (len > 0) {
        memcpy(p, bytes, len);
    }
    return p;
}

static CK_ULONG word(const void *p)
{
    CK_ULONG u;
    memcpy(&u, &p, sizeof u);
    return u;
}

static CK_ULONG bad_handle(const struct hostile_world *w, bool cmk, size_t value)
{
    CK_OBJECT_HANDLE good = cmk ? w->cmk : w->key;
    const CK_ULONG handles[] = {
        good,         0,          CK_UNAVAILABLE_INFORMATION, w->destroyed_key,   w->other_key,
        w->other_cmk, w->session, cmk ? w->key : w->cmk,      good + (1UL << 32), (CK_ULONG)(uint32_t)good,
    };
    return handles[value];
}

static CK_ULONG bad_session(const struct hostile_world *w, size_t value)
{
    const CK_ULONG sessions[] = {
        w->session,       0,      CK_UNAVAILABLE_INFORMATION, w->closed_session,
        w->other_session, w->key, w->session + (1UL << 32),   (CK_ULONG)(uint32_t)w->session,
    };
    return sessions[value];
}

static CK_ULONG bad_slot(const struct hostile_world *w, size_t value)
{
    const CK_ULONG slots[] = {
        w->slot,  0, CK_UNAVAILABLE_INFORMATION, w->other_slot, w->absent_slot, w->slot + (1UL << 32),
        1UL << 63};
    return slots[value];
}

static CK_ULONG bad_mechanism(const struct hostile_function *f, size_t value)
{
    CK_MECHANISM m = {strstr(f->name, "Generate") != NULL ? CKM_AES_KEY_GEN : CKM_AES_KEY_WRAP, NULL, 0};
    if (value == 1) {
        return 0;
    }
    if (value >= 2 + MECHANISMS * FORMS) {
        const size_t k = value - 2 - MECHANISMS * FORMS;
        const CK_RSA_PKCS_OAEP_PARAMS oaep = {k == 2 ? 77 : CKM_SHA_1, k == 2 ? 99 : CKG_MGF1_SHA1,
                                              CKZ_DATA_SPECIFIED, NULL,
                                              k == 0   ? 100
                                              : k == 1 ? CK_UNAVAILABLE_INFORMATION
                                                       : 0};
        m = (CK_MECHANISM){CKM_RSA_PKCS_OAEP, copy(&oaep, sizeof oaep),
                           k == 3 ? sizeof oaep - 1 : sizeof oaep};
    } else if (value >= 2) {
        const size_t k = value - 2;
        m.mechanism = mechanisms[k / FORMS];
        m.ulParameterLen = lengths[k % LENGTHS];
        m.pParameter = k % FORMS < LENGTHS ? memory(m.ulParameterLen) : NULL;
    }
    return word(copy(&m, sizeof m));
}

/* A template that is good for the function. */
static size_t good_template(const struct hostile_function *f, CK_ATTRIBUTE t[PAIRS_MAX])
{
    static CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    static CK_KEY_TYPE type = CKK_AES;
    static CK_ULONG len = 32;
    static CK_BBOOL no = CK_FALSE;
    static CK_BBOOL yes = CK_TRUE;
    size_t n = 0;
    if (strncmp(f->name, "C_Find", 6) == 0 || strncmp(f->name, "C_Set", 5) == 0 ||
        strncmp(f->name, "C_Get", 5) == 0) {
        t[n++] = (CK_ATTRIBUTE){CKA_LABEL, region_take(8), 8};
        return n;
    }
    t[n++] = (CK_ATTRIBUTE){CKA_CLASS, &class, sizeof class};
    t[n++] = (CK_ATTRIBUTE){CKA_KEY_TYPE, &type, sizeof type};
    t[n++] = (CK_ATTRIBUTE){CKA_SENSITIVE, &no, sizeof no};
    t[n++] = (CK_ATTRIBUTE){CKA_EXTRACTABLE, &yes, sizeof yes};
    if (strcmp(f->name, "C_CreateObject") == 0) {
        t[n++] = (CK_ATTRIBUTE){CKA_VALUE, region_take(32), 32};
    } else if (strstr(f->name, "Generate") != NULL) {
        t[n++] = (CK_ATTRIBUTE){CKA_VALUE_LEN, &len, sizeof len};
    }
    return n;
}

/* Puts the attribute into the template, in the place of one of its type. */
static size_t put_attribute(CK_ATTRIBUTE t[PAIRS_MAX], size_t n, CK_ATTRIBUTE a)
{
    for (size_t i = 0; i < n; i++) {
        if (t[i].type == a.type) {
            t[i] = a;
            return n;
        }
    }
    t[n] = a;
    return n + 1;
}

/* A template in a template in a template …; the innermost holds one label. */
static CK_ATTRIBUTE nested(CK_ATTRIBUTE_TYPE type, unsigned depth)
{
    static CK_ATTRIBUTE levels[5001];
    levels[0] = (CK_ATTRIBUTE){CKA_LABEL, region_take(4), 4};
    for (unsigned i = 1; i <= depth; i++) {
        levels[i] = (CK_ATTRIBUTE){type, &levels[i - 1], sizeof levels[0]};
    }
    return levels[depth];
}

static size_t twice(CK_ATTRIBUTE t[PAIRS_MAX], size_t n, size_t k)
{
    CK_ATTRIBUTE_TYPE type = attributes[k / TWICE];
    uint8_t *one = region_take(8);
    uint8_t *two = region_take(8);
    memset(one, 0, 8);
    memset(two, 0, 8);
    one[0] = 1;
    switch (k % TWICE) {
    case 0: /* equal */
    case 1: /* different */
        two[0] = k % TWICE == 0;
        t[n] = (CK_ATTRIBUTE){type, one, 1};
        t[n + 1] = (CK_ATTRIBUTE){type, two, 1};
        return n + 2;
    case 2:
        one[0] = 2;
        break;
    default:
        one[0] = 0xFF;
    }
    return put_attribute(t, n, (CK_ATTRIBUTE){type, one, 1});
}

/* The last three: a template that holds itself, a nested NULL with a length, a nested one of a length that is no multiple. */
static size_t strange(CK_ATTRIBUTE t[PAIRS_MAX], size_t n, size_t k)
{
    static CK_ATTRIBUTE self = {CKA_WRAP_TEMPLATE, &self, sizeof self};
    switch (k) {
    case 0:
        return put_attribute(t, n, self);
    case 1: {
        CK_ATTRIBUTE hole = {CKA_LABEL, NULL, 8};
        return put_attribute(t, n,
                             (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, copy(&hole, sizeof hole), sizeof hole});
    }
    default:
        return put_attribute(
            t, n,
            (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, memory(sizeof(CK_ATTRIBUTE) + 7), sizeof(CK_ATTRIBUTE) + 7});
    }
}

static void bad_template(struct hostile_call *call, size_t at, size_t value)
{
    CK_ATTRIBUTE t[PAIRS_MAX];
    size_t n = good_template(call->function, t);
    size_t k = value == 0 ? 0 : value - 1;
    CK_ULONG count = 0;
    bool null = false;
    if (value > 0 && k < 2 * COUNT_OF(counts)) { /* a count, with a template and without */
        count = counts[k / 2];
        null = k % 2 == 1;
        for (size_t i = n; i < count && count <= 33; i++) {
            t[i] = (CK_ATTRIBUTE){CKA_ENCRYPT, region_take(1), 1};
        }
        n = count <= 33 ? count : n;
        call->args[at] = null ? 0 : word(copy(t, n * sizeof t[0]));
        call->args[at + 1] = count;
        return;
    }
    k -= value == 0 ? 0 : 2 * COUNT_OF(counts);
    if (value > 0 && k < ATTRIBUTES * FORMS) {
        CK_ULONG len = lengths[k % LENGTHS];
        n = put_attribute(
            t, n, (CK_ATTRIBUTE){attributes[k / FORMS], k % FORMS < LENGTHS ? memory(len) : NULL, len});
    } else if (value > 0 && (k -= ATTRIBUTES * FORMS) < ATTRIBUTES * TWICE) {
        n = twice(t, n, k);
    } else if (value > 0 && (k -= ATTRIBUTES * TWICE) < 2 * COUNT_OF(depths)) {
        n = put_attribute(t, n, nested(k % 2 == 0 ? CKA_WRAP_TEMPLATE : CKA_UNWRAP_TEMPLATE, depths[k / 2]));
    } else if (value > 0) {
        n = strange(t, n, k - 2 * COUNT_OF(depths));
    }
    call->args[at] = word(copy(t, n * sizeof t[0]));
    call->args[at + 1] = n;
}

static void bad_bytes(struct hostile_call *call, const struct hostile_world *w, size_t at, size_t value)
{
    if (value == 0) {
        bool login = strncmp(call->function->name, "C_Login", 7) == 0;
        call->args[at] = login ? 0 : word(copy(w->blob, w->blob_len));
        call->args[at + 1] = login ? 0 : w->blob_len;
        return;
    }
    CK_ULONG len = lengths[(value - 1) % LENGTHS];
    void *p = value - 1 < LENGTHS ? memory(len) : NULL;
    if (p != NULL) {
        size_t real = real_length(len, 1);
        memcpy(p, w->blob, real < w->blob_len ? real : w->blob_len);
    }
    call->args[at] = word(p);
    call->args[at + 1] = len;
}

static void bad_out(struct hostile_call *call, size_t group, size_t value)
{
    size_t at = call->function->groups[group].first;
    size_t unit = call->function->groups[group].unit;
    CK_ULONG len = value < 3 ? REAL_MAX / unit : lengths[(value - 3) % LENGTHS];
    void *p = value < 3 || value - 3 < LENGTHS ? region_take(real_length(len, unit)) : NULL;
    call->args[at] = word(p);
    call->args[at + 1] = value == 1   ? 0
                         : value == 2 ? word(p)
                                      : word(copy(&len, sizeof len)); /* 2: the length lies in the room */
    if (p != NULL && value != 2) {
        call->rooms[group].bytes = p;
        call->rooms[group].len = real_length(len, unit);
    }
}

/* Room for handles and how many. */
static void bad_list(struct hostile_call *call, const struct hostile_group *g, size_t value)
{
    size_t at = g->first;
    CK_ULONG len = value == 0 ? 8 : lengths[(value - 1) % LENGTHS];
    call->args[at] = value <= LENGTHS ? word(region_take(real_length(len, g->unit))) : 0;
    call->args[at + 1] = len;
}

static void bad_place(struct hostile_call *call, size_t group, size_t value)
{
    size_t at = call->function->groups[group].first;
    if (value == 1 || (value == 0 && call->function->groups[group].optional)) {
        call->args[at] = 0;
        return;
    }
    void *p = region_take(256); /* longer than any struct of the standard */
    call->args[at] = word(p);
    call->rooms[group].bytes = p;
    call->rooms[group].len = 256;
}

static void bad_initialize(struct hostile_call *call, size_t value)
{
    static char other[] = "config";
    CK_C_INITIALIZE_ARGS a = {.flags = CKF_OS_LOCKING_OK};
    CK_CREATEMUTEX create = NULL;
    CK_DESTROYMUTEX touch = NULL;
    CK_ULONG garbage = 0x4141414141414141UL; /* never called: the module locks by itself */
    memcpy(&create, &garbage, sizeof create);
    memcpy(&touch, &garbage, sizeof touch);
    a.CreateMutex = (value & 1) != 0 ? create : NULL;
    a.DestroyMutex = (value & 2) != 0 ? touch : NULL;
    a.LockMutex = (value & 4) != 0 ? touch : NULL;
    a.UnlockMutex = (value & 8) != 0 ? touch : NULL;
    a.pReserved = value == 16 ? other : value == 17 ? &other[6] : value == 18 ? region_take(1) : NULL;
    if (value == 0) {
        call->args[0] = 0;
    } else if (value == 19) {
        call->args[0] = word(memory(sizeof a));
    } else {
        call->args[0] = word(copy(&a, sizeof a));
    }
}

void hostile_set(struct hostile_call *call, const struct hostile_world *w, size_t group, size_t value)
{
    const struct hostile_group *g = &call->function->groups[group];
    CK_ULONG *arg = &call->args[g->first];
    call->rooms[group].bytes = NULL;
    switch (g->kind) {
    case HOSTILE_SESSION:
        *arg = bad_session(w, value);
        break;
    case HOSTILE_SLOT:
        *arg = bad_slot(w, value);
        break;
    case HOSTILE_KEY:
    case HOSTILE_CMK:
        *arg = bad_handle(w, g->kind == HOSTILE_CMK, value);
        break;
    case HOSTILE_MECHANISM:
        *arg = bad_mechanism(call->function, value);
        break;
    case HOSTILE_TEMPLATE:
        bad_template(call, g->first, value);
        break;
    case HOSTILE_BYTES:
        bad_bytes(call, w, g->first, value);
        break;
    case HOSTILE_OUT:
        bad_out(call, group, value);
        break;
    case HOSTILE_LIST:
        bad_list(call, g, value);
        break;
    case HOSTILE_PLACE:
        bad_place(call, group, value);
        break;
    case HOSTILE_ARGS_OF_INITIALIZE:
        bad_initialize(call, value);
        break;
    case HOSTILE_BOOL:
        *arg = value == 4 ? 0xFF : value;
        break;
    default: /* the good number: CKF_SERIAL_SESSION | CKF_RW_SESSION, or CKU_USER */
        *arg = value > 0                                          ? numbers[value - 1]
               : strncmp(call->function->name, "C_Login", 7) == 0 ? CKU_USER
                                                                  : 6;
    }
}

CK_RV hostile_do(const struct hostile_call *call)
{
    CK_RV (*f)
    (CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG);
    const CK_ULONG *a = call->args;
    memcpy(&f, (const char *)p11 + call->function->offset, sizeof f);
    return f(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]);
}

bool hostile_untouched(const struct hostile_call *call)
{
    for (size_t i = 0; i < call->function->group_count; i++) {
        if (call->rooms[i].bytes != NULL && !region_untouched(call->rooms[i].bytes, call->rooms[i].len)) {
            return false;
        }
    }
    return true;
}
