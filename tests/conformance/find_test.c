/* Searches: PKCS#11 3.1 sections 5.7.7 to 5.7.9; CLIENTS.md point 8; DESIGN section 5. */
#include "chapter.h"

static CK_SESSION_HANDLE session;

static CK_OBJECT_HANDLE make(const char *label, CK_KEY_TYPE type, bool token)
{
    struct form t = {0};
    CK_OBJECT_HANDLE key = 0;
    form_bytes(&t, CKA_LABEL, label, strlen(label));
    form_bytes(&t, CKA_ID, label, 1);
    form_bool(&t, CKA_TOKEN, token);
    form_ulong(&t, CKA_VALUE_LEN, 16);
    CHECK_RV(p11->C_GenerateKey(
                 session, caller_mechanism(type == CKK_AES ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN),
                 t.a, t.count, &key),
             CKR_OK, "a data key to find");
    return key;
}

/* One CMK and these five data keys. */
static void begin(void)
{
    session = enter("alpha");
    CHECK(make("a1", CKK_AES, false) != 0, "a1");
    CHECK(make("a2", CKK_AES, false) != 0, "a2");
    CHECK(make("b1", CKK_GENERIC_SECRET, false) != 0, "b1");
    CHECK(make("b1", CKK_AES, false) != 0, "b1, twice");
    CHECK(make("c1", CKK_AES, true) != 0, "c1");
}

static void end(void)
{
    struct form t = {0};
    CK_OBJECT_HANDLE list[8];
    CK_ULONG count = 0;
    form_bytes(&t, CKA_LABEL, "c1", 2);
    CHECK_RV(p11->C_FindObjectsInit(session, t.a, t.count), CKR_OK, "the token object");
    CHECK_RV(p11->C_FindObjects(session, list, 8, &count), CKR_OK, "the token object");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "the token object");
    for (CK_ULONG i = 0; i < count; i++) {
        CHECK_RV(p11->C_DestroyObject(session, list[i]), CKR_OK, "the token object");
    }
    leave();
}

static CK_ULONG number(CK_ULONG n)
{
    return n;
}

static void a_search_finds_what_matches_all_of_its_template(void)
{
    const CK_ULONG secret = number(CKO_SECRET_KEY);
    const CK_ULONG public = number(CKO_PUBLIC_KEY);
    const CK_ULONG certificate = number(CKO_CERTIFICATE);
    const CK_ULONG aes = number(CKK_AES);
    const CK_ULONG generic = number(CKK_GENERIC_SECRET);
    const CK_ULONG des3 = number(CKK_DES3);
    const CK_ULONG one = number(1);
    const CK_BBOOL yes = CK_TRUE;
    const CK_BBOOL no = CK_FALSE;
    const CK_BBOOL odd = 2;
    static const char long_label[600] = "a1";
    const struct {
        const char *what;
        CK_ULONG count;
        struct {
            CK_ATTRIBUTE_TYPE type;
            const void *bytes;
            CK_ULONG len;
        } a[2];
        long found;
    } rows[] = {
        {"5.7.7: everything", 0, {{0, NULL, 0}}, 6},
        {"CKA_CLASS", 1, {{CKA_CLASS, &secret, sizeof secret}}, 6},
        {"CLIENTS 8: public keys: none, no error", 1, {{CKA_CLASS, &public, sizeof public}}, 0},
        {"CLIENTS 8: certificates: none, no error", 1, {{CKA_CLASS, &certificate, sizeof certificate}}, 0},
        {"CKA_KEY_TYPE AES", 1, {{CKA_KEY_TYPE, &aes, sizeof aes}}, 5},
        {"CKA_KEY_TYPE generic secret", 1, {{CKA_KEY_TYPE, &generic, sizeof generic}}, 1},
        {"CKA_KEY_TYPE DES3", 1, {{CKA_KEY_TYPE, &des3, sizeof des3}}, 0},
        {"CKA_LABEL", 1, {{CKA_LABEL, "a1", 2}}, 1},
        {"CKA_LABEL of two keys", 1, {{CKA_LABEL, "b1", 2}}, 2},
        {"CKA_LABEL of the CMK", 1, {{CKA_LABEL, "alpha", 5}}, 1},
        {"CKA_LABEL, the beginning only", 1, {{CKA_LABEL, "a", 1}}, 0},
        {"CKA_LABEL, empty", 1, {{CKA_LABEL, "", 0}}, 0},
        {"CKA_LABEL and CKA_KEY_TYPE", 2, {{CKA_LABEL, "b1", 2}, {CKA_KEY_TYPE, &aes, sizeof aes}}, 1},
        {"CKA_LABEL and CKA_ID that do not meet", 2, {{CKA_LABEL, "b1", 2}, {CKA_ID, "a", 1}}, 0},
        {"CKA_ID", 1, {{CKA_ID, "a", 1}}, 2},
        {"CKA_TOKEN true", 1, {{CKA_TOKEN, &yes, 1}}, 2},
        {"CKA_TOKEN false", 1, {{CKA_TOKEN, &no, 1}}, 4},
        {"CKA_PRIVATE false", 1, {{CKA_PRIVATE, &no, 1}}, 0},
        {"CKA_WRAP true: the CMK", 1, {{CKA_WRAP, &yes, 1}}, 1},
        {"CKA_EXTRACTABLE true: the data keys", 1, {{CKA_EXTRACTABLE, &yes, 1}}, 5},
        {"a number with the length of another", 1, {{CKA_CLASS, &secret, 4}}, 0},
        {"a CK_BBOOL of 2", 1, {{CKA_TOKEN, &odd, 1}}, 0},
        {"the same attribute twice, equal", 2, {{CKA_LABEL, "a1", 2}, {CKA_LABEL, "a1", 2}}, 1},
        {"the same attribute twice, different", 2, {{CKA_LABEL, "a1", 2}, {CKA_LABEL, "a2", 2}}, 0},
        {"an attribute that no key has", 1, {{CKA_MODULUS, "x", 1}}, 0},
        {"a vendor's attribute", 1, {{0x80000001UL, "x", 1}}, 0},
        {"Keyward's version", 1, {{CKA_KEYWARD_VERSION, &one, sizeof one}}, 1},
        {"a label of 600 bytes", 1, {{CKA_LABEL, long_label, 600}}, 0},
        {"a label of 2^32+2 bytes", 1, {{CKA_LABEL, long_label, (1UL << 32) + 2}}, 0},
        {"a label of -1 bytes", 1, {{CKA_LABEL, long_label, CK_UNAVAILABLE_INFORMATION}}, 0},
        {"ATTACKS: CKA_VALUE is not searched for", 1, {{CKA_VALUE, long_label, 16}}, 0},
    };
    begin();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct form t = {0};
        for (CK_ULONG k = 0; k < rows[i].count; k++) {
            form_bytes(&t, rows[i].a[k].type, rows[i].a[k].bytes, rows[i].a[k].len);
        }
        CHECK(caller_count(world, session, &t) == rows[i].found, rows[i].what);
    }
    end();
}

static void a_search_has_a_beginning_and_an_end(void)
{
    CK_OBJECT_HANDLE list[8];
    CK_ULONG count = 77;
    CK_ATTRIBUTE a = {CKA_LABEL, NULL, 4};
    begin();
    CHECK_RV(p11->C_FindObjects(session, list, 8, &count), CKR_OPERATION_NOT_INITIALIZED,
             "5.7.8: without C_FindObjectsInit");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED,
             "5.7.9: without C_FindObjectsInit");
    CHECK(count == 77, "5.2: output untouched");
    CHECK_RV(p11->C_FindObjectsInit(session, NULL, 1), CKR_ARGUMENTS_BAD, "5.7.7: NULL with a count");
    CHECK_RV(p11->C_FindObjectsInit(session, &a, CK_UNAVAILABLE_INFORMATION), CKR_ARGUMENTS_BAD,
             "5.7.7: -1 attributes");
    CHECK_RV(p11->C_FindObjectsInit(session, &a, 1), CKR_ATTRIBUTE_VALUE_INVALID, "5.7.7: a NULL value");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED,
             "5.7.7: a refused search has not begun");
    CHECK_RV(p11->C_FindObjectsInit(session, NULL, 0), CKR_OK, "5.7.7");
    CHECK_RV(p11->C_FindObjectsInit(session, NULL, 0), CKR_OPERATION_ACTIVE, "5.7.7: twice");
    CHECK_RV(p11->C_FindObjects(session, NULL, 8, &count), CKR_ARGUMENTS_BAD, "5.7.8: no place for handles");
    CHECK_RV(p11->C_FindObjects(session, list, 8, NULL), CKR_ARGUMENTS_BAD, "5.7.8: no place for the count");
    CHECK_RV(p11->C_FindObjects(session, list, 0, &count), CKR_OK, "5.7.8: none wanted");
    CHECK(count == 0, "5.7.8: none given");
    CK_ULONG all = 0;
    do {
        CHECK_RV(p11->C_FindObjects(session, list, 2, &count), CKR_OK, "5.7.8: two at a time");
        all += count;
    } while (count > 0 && all < 20);
    CHECK(all == 6, "5.7.8: all, and then none");
    CHECK_RV(p11->C_FindObjects(session, list, 8, &count), CKR_OK, "5.7.8: after the end");
    CHECK(count == 0, "5.7.8: none again");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED, "5.7.9: twice");
    end();
}

static void a_search_writes_no_more_than_there_is_room(void)
{
    CK_OBJECT_HANDLE list[8];
    CK_ULONG count = 0;
    begin();
    memset(list, 0xEE, sizeof list);
    CHECK_RV(p11->C_FindObjectsInit(session, NULL, 0), CKR_OK, "5.7.7");
    CHECK_RV(p11->C_FindObjects(session, list, 3, &count), CKR_OK, "5.7.8");
    CHECK(count == 3 && list[3] == 0xEEEEEEEEEEEEEEEEUL, "5.7.8: three handles");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9: before the end");
    end();
}

static void searches_of_two_sessions_are_independent(void)
{
    CK_OBJECT_HANDLE list[8];
    CK_ULONG count = 0;
    struct form t = {0};
    begin();
    CK_SESSION_HANDLE other = caller_open(world, "alpha");
    form_bytes(&t, CKA_LABEL, "b1", 2);
    CHECK_RV(p11->C_FindObjectsInit(session, NULL, 0), CKR_OK, "5.7.7: one session");
    CHECK_RV(p11->C_FindObjectsInit(other, t.a, t.count), CKR_OK, "5.7.7: another session");
    CHECK_RV(p11->C_FindObjects(other, list, 8, &count), CKR_OK, "5.7.8: another session");
    CHECK(count == 2, "6.7: it sees the session objects of the first");
    CHECK_RV(p11->C_FindObjectsFinal(other), CKR_OK, "5.7.9: another session");
    CHECK_RV(p11->C_FindObjects(session, list, 8, &count), CKR_OK, "5.7.8: one session");
    CHECK(count == 6, "5.7.8: not disturbed");
    CHECK_RV(p11->C_CloseSession(other), CKR_OK, "5.6.2");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9: one session");
    end();
}

static void objects_may_go_while_a_search_is_active(void)
{
    CK_OBJECT_HANDLE list[8];
    CK_ULONG count = 0;
    CK_ULONG size = 0;
    begin();
    CHECK_RV(p11->C_FindObjectsInit(session, NULL, 0), CKR_OK, "5.7.7");
    CHECK_RV(p11->C_FindObjects(session, list, 1, &count), CKR_OK, "5.7.8: the CMK");
    CK_OBJECT_HANDLE made = make("late", CKK_AES, false);
    CHECK_RV(p11->C_DestroyObject(session, made), CKR_OK, "5.7.3: during a search");
    CHECK_RV(p11->C_FindObjects(session, list, 8, &count), CKR_OK, "5.7.8: the rest");
    for (CK_ULONG i = 0; i < count; i++) {
        CHECK_RV(p11->C_GetObjectSize(session, list[i], &size), CKR_OK,
                 "5.7.8: a handle that was given is good");
    }
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9");
    end();
}

static void before_login_nothing_is_found(void)
{
    CK_OBJECT_HANDLE list[8];
    CK_ULONG count = 77;
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    session = caller_open(world, "alpha");
    CHECK_RV(p11->C_FindObjectsInit(session, NULL, 0), CKR_OK, "5.7.7: before C_Login");
    CHECK_RV(p11->C_FindObjects(session, list, 8, &count), CKR_OK, "5.7.8: before C_Login");
    CHECK(count == 0, "5.7.7: private objects are not found");
    CHECK_RV(p11->C_FindObjectsFinal(session), CKR_OK, "5.7.9: before C_Login");
    leave();
}

/* A persistent key that this library has never seen is found whatever the search asks for first. */
static void every_search_reads_the_token(void)
{
    const CK_ULONG secret = number(CKO_SECRET_KEY);
    const CK_ULONG aes = number(CKK_AES);
    const CK_ULONG sixteen = number(16);
    const CK_BBOOL yes = CK_TRUE;
    const CK_BBOOL no = CK_FALSE;
    const struct {
        const char *what;
        CK_ATTRIBUTE_TYPE type;
        const void *bytes;
        CK_ULONG len;
        long found;
    } rows[] = {
        {"CKA_TOKEN", CKA_TOKEN, &yes, 1, 2},
        {"CKA_PRIVATE", CKA_PRIVATE, &yes, 1, 2},
        {"CKA_CLASS", CKA_CLASS, &secret, sizeof secret, 2},
        {"CKA_KEY_TYPE", CKA_KEY_TYPE, &aes, sizeof aes, 2},
        {"CKA_LABEL", CKA_LABEL, "c1", 2, 1},
        {"CKA_ID", CKA_ID, "c", 1, 1},
        {"CKA_WRAP", CKA_WRAP, &no, 1, 1},
        {"CKA_UNWRAP", CKA_UNWRAP, &no, 1, 1},
        {"CKA_EXTRACTABLE", CKA_EXTRACTABLE, &yes, 1, 1},
        {"CKA_SENSITIVE", CKA_SENSITIVE, &yes, 1, 2},
        {"CKA_VALUE_LEN", CKA_VALUE_LEN, &sixteen, sizeof sixteen, 1},
        {"CKA_DECRYPT", CKA_DECRYPT, &no, 1, 2},
    };
    begin();
    leave();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct form t = {0};
        form_bytes(&t, rows[i].type, rows[i].bytes, rows[i].len);
        session = enter("alpha");
        CHECK(caller_count(world, session, &t) == rows[i].found,
              chapter_join("5.7.7: the first search", rows[i].what));
        leave();
    }
    session = enter("alpha");
    end();
}

/* Strangers in the backing token: another slot's key, and keys of somebody else. */
static int plant_strangers(const struct outside_token *t, void *data)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_OBJECT_CLASS other = CKO_DATA;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_OBJECT_HANDLE o = 0;
    char label[] = "stranger";
    char bytes[] = "0123456789abcdef";
    CK_ATTRIBUTE key[] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &yes, 1},
        {CKA_PRIVATE, &no, 1},
        {CKA_LABEL, label, sizeof label - 1},
        {CKA_VALUE, bytes, 16},
    };
    CK_ATTRIBUTE thing[] = {
        {CKA_CLASS, &other, sizeof other},
        {CKA_TOKEN, &yes, 1},
        {CKA_PRIVATE, &no, 1},
        {CKA_VALUE, bytes, 16},
    };
    (void)data;
    return t->calls->C_CreateObject(t->session, key, COUNT_OF(key), &o) == CKR_OK &&
                   t->calls->C_CreateObject(t->session, thing, COUNT_OF(thing), &o) == CKR_OK
               ? 0
               : 1;
}

static void strangers_in_the_backing_token_are_not_seen(void)
{
    struct form t = {0};
    CHECK(fixture_outside(world, "eu-1", plant_strangers, NULL, 0) == 0, "keys of somebody else");
    begin();
    CHECK(caller_count(world, session, &t) == 6, "CLIENTS 8: the slot's own objects only");
    struct form label = {0};
    form_bytes(&label, CKA_LABEL, "stranger", 8);
    CHECK(caller_count(world, session, &label) == 0, "CLIENTS 8: not by its label either");
    CK_SESSION_HANDLE beta = caller_enter(world, "beta");
    CHECK(caller_count(world, beta, &t) == 1, "DESIGN G5: the other slot sees its CMK only");
    form_bytes(&t, CKA_LABEL, "alpha/data", 10);
    CHECK(caller_count(world, session, &t) == 0,
          "DESIGN 5: the label of data keys in the token is not shown");
    end();
}

static void a_slot_without_a_CMK_finds_nothing(void)
{
    struct form t = {0};
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE empty = caller_enter(world, "empty");
    CHECK(empty != 0, "a slot without a CMK can be logged in to");
    CHECK(caller_count(world, empty, &t) == 0, "CLIENTS 8: nothing, and no error");
    leave();
}

int main(void)
{
    static const struct fixture_slot slots[] = {{.name = "alpha", .tokens = "eu-1"},
                                                {.name = "beta", .tokens = "eu-1"},
                                                {.name = "empty", .tokens = "eu-1", .cmk = FIXTURE_CMK_NONE},
                                                {0}};
    CU_TestInfo tests[] = {
        {"a search finds what matches all of its template", a_search_finds_what_matches_all_of_its_template},
        {"a search has a beginning and an end", a_search_has_a_beginning_and_an_end},
        {"a search writes no more than there is room", a_search_writes_no_more_than_there_is_room},
        {"searches of two sessions are independent", searches_of_two_sessions_are_independent},
        {"objects may go while a search is active", objects_may_go_while_a_search_is_active},
        {"before login nothing is found", before_login_nothing_is_found},
        {"every search reads the token", every_search_reads_the_token},
        {"strangers in the backing token are not seen", strangers_in_the_backing_token_are_not_seen},
        {"a slot without a CMK finds nothing", a_slot_without_a_CMK_finds_nothing},
        CU_TEST_INFO_NULL,
    };
    return chapter_run("find", &(struct fixture_settings){.slots = slots}, tests);
}
