/* error_test.c: return codes: their names, what each means for us, and the answer type. */
#include "error.h"

#include "scratch.h"

static const struct {
    CK_RV code;
    const char *name;
    enum kw_class class;
    const char *why;
} codes[] = {
    {CKR_OK, "CKR_OK", KW_CLASS_OK, "the only good one"},
    {CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD", KW_CLASS_CALLER, "the caller's fault"},
    {CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", KW_CLASS_CALLER, "the caller's fault"},
    {CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL", KW_CLASS_CALLER, "the caller's fault"},
    {CKR_KEY_SIZE_RANGE, "CKR_KEY_SIZE_RANGE", KW_CLASS_CALLER, "the caller's fault"},
    {CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT", KW_CLASS_CALLER, "the caller's fault"},
    /* HSM-FACTS, other process writes the CMK: cured by looking the key up again. */
    {CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", KW_CLASS_HANDLE, "stale"},
    {CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", KW_CLASS_HANDLE, "stale"},
    {CKR_WRAPPING_KEY_HANDLE_INVALID, "CKR_WRAPPING_KEY_HANDLE_INVALID", KW_CLASS_HANDLE, "stale"},
    {CKR_UNWRAPPING_KEY_HANDLE_INVALID, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", KW_CLASS_HANDLE, "stale"},
    {CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", KW_CLASS_SESSION, "new session"},
    {CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", KW_CLASS_SESSION, "new session"},
    {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", KW_CLASS_LOGIN, "log in again"},
    {CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", KW_CLASS_DEVICE, "reconnect"},
    {CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", KW_CLASS_DEVICE, "reconnect"},
    {CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", KW_CLASS_DEVICE, "reconnect"},
    {CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED", KW_CLASS_DEVICE, "reconnect"},
    {CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY", KW_CLASS_CAPACITY, "wait"},
    {CKR_SESSION_COUNT, "CKR_SESSION_COUNT", KW_CLASS_CAPACITY, "wait"},
    /* DESIGN section 3: never retried. */
    {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT", KW_CLASS_CREDENTIAL, "never twice"},
    {CKR_PIN_LOCKED, "CKR_PIN_LOCKED", KW_CLASS_CREDENTIAL, "never twice"},
    {CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED", KW_CLASS_CREDENTIAL, "never twice"},
    {CKR_PIN_INVALID, "CKR_PIN_INVALID", KW_CLASS_CREDENTIAL, "never twice"},
    {CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE", KW_CLASS_CREDENTIAL, "never twice"},
    /* DESIGN section 7: failover is never for a refusal. */
    {CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED", KW_CLASS_REFUSED, "an answer"},
    {CKR_KEY_UNEXTRACTABLE, "CKR_KEY_UNEXTRACTABLE", KW_CLASS_REFUSED, "an answer"},
    {CKR_ACTION_PROHIBITED, "CKR_ACTION_PROHIBITED", KW_CLASS_REFUSED, "an answer"},
    /* A corrupt blob on SoftHSM, NSS, others: the code alone does not tell. */
    {CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", KW_CLASS_AMBIGUOUS, "the canary decides"},
    {CKR_WRAPPED_KEY_INVALID, "CKR_WRAPPED_KEY_INVALID", KW_CLASS_AMBIGUOUS, "the canary decides"},
    {CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", KW_CLASS_AMBIGUOUS, "the canary decides"},
    {CKR_ENCRYPTED_DATA_INVALID, "CKR_ENCRYPTED_DATA_INVALID", KW_CLASS_AMBIGUOUS, "the canary decides"},
    /* Nobody knows these. */
    {0x0BADUL, "CKR_unknown", KW_CLASS_DEVICE, "unknown"},
    {CKR_VENDOR_DEFINED | 7, "CKR_unknown", KW_CLASS_DEVICE, "unknown"},
    {~0UL, "CKR_unknown", KW_CLASS_DEVICE, "unknown"},
};

static void codes_have_names_and_classes(void)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        enum kw_class class = kw_error_class(codes[i].code);
        if (class != codes[i].class) {
            (void)printf("\n    %s has class %d (%s)", codes[i].name, (int)class, codes[i].why);
        }
        CU_ASSERT_EQUAL(class, codes[i].class);
        CU_ASSERT_STRING_EQUAL(kw_error_name(codes[i].code), codes[i].name);
    }
}

#define KW_ERROR(code, class) {code, #code, KW_CLASS_##class},
static const struct {
    CK_RV code;
    const char *name;
    enum kw_class class;
} rows[] = {
#include "errors.def"
};
#undef KW_ERROR

static void no_code_has_two_rows(void)
{
    size_t count = sizeof rows / sizeof rows[0];
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            CU_ASSERT_NOT_EQUAL(rows[i].code, rows[j].code);
        }
        CU_ASSERT_STRING_EQUAL(kw_error_name(rows[i].code), rows[i].name);
        CU_ASSERT_EQUAL(kw_error_class(rows[i].code), rows[i].class);
        CU_ASSERT_EQUAL(rows[i].class == KW_CLASS_OK, rows[i].code == CKR_OK);
    }
}

/* Every CKR_ of p11-kit's header (2.40), so that none falls to "unknown" by oversight. */
/* clang-format off: a table */
static const struct {
    CK_RV code;
    const char *name;
} standard[] = {
#define ROW(code)                                                                                            \
    {                                                                                                        \
        code, #code                                                                                          \
    }
    ROW(CKR_OK),
    ROW(CKR_CANCEL),
    ROW(CKR_HOST_MEMORY),
    ROW(CKR_SLOT_ID_INVALID),
    ROW(CKR_GENERAL_ERROR),
    ROW(CKR_FUNCTION_FAILED),
    ROW(CKR_ARGUMENTS_BAD),
    ROW(CKR_NO_EVENT),
    ROW(CKR_NEED_TO_CREATE_THREADS),
    ROW(CKR_CANT_LOCK),
    ROW(CKR_ATTRIBUTE_READ_ONLY),
    ROW(CKR_ATTRIBUTE_SENSITIVE),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID),
    ROW(CKR_DATA_INVALID),
    ROW(CKR_DATA_LEN_RANGE),
    ROW(CKR_DEVICE_ERROR),
    ROW(CKR_DEVICE_MEMORY),
    ROW(CKR_DEVICE_REMOVED),
    ROW(CKR_ENCRYPTED_DATA_INVALID),
    ROW(CKR_ENCRYPTED_DATA_LEN_RANGE),
    ROW(CKR_FUNCTION_CANCELED),
    ROW(CKR_FUNCTION_NOT_PARALLEL),
    ROW(CKR_FUNCTION_NOT_SUPPORTED),
    ROW(CKR_KEY_HANDLE_INVALID),
    ROW(CKR_KEY_SIZE_RANGE),
    ROW(CKR_KEY_TYPE_INCONSISTENT),
    ROW(CKR_KEY_NOT_NEEDED),
    ROW(CKR_KEY_CHANGED),
    ROW(CKR_KEY_NEEDED),
    ROW(CKR_KEY_INDIGESTIBLE),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED),
    ROW(CKR_KEY_NOT_WRAPPABLE),
    ROW(CKR_KEY_UNEXTRACTABLE),
    ROW(CKR_MECHANISM_INVALID),
    ROW(CKR_MECHANISM_PARAM_INVALID),
    ROW(CKR_OBJECT_HANDLE_INVALID),
    ROW(CKR_OPERATION_ACTIVE),
    ROW(CKR_OPERATION_NOT_INITIALIZED),
    ROW(CKR_PIN_INCORRECT),
    ROW(CKR_PIN_INVALID),
    ROW(CKR_PIN_LEN_RANGE),
    ROW(CKR_PIN_EXPIRED),
    ROW(CKR_PIN_LOCKED),
    ROW(CKR_SESSION_CLOSED),
    ROW(CKR_SESSION_COUNT),
    ROW(CKR_SESSION_HANDLE_INVALID),
    ROW(CKR_SESSION_PARALLEL_NOT_SUPPORTED),
    ROW(CKR_SESSION_READ_ONLY),
    ROW(CKR_SESSION_EXISTS),
    ROW(CKR_SESSION_READ_ONLY_EXISTS),
    ROW(CKR_SESSION_READ_WRITE_SO_EXISTS),
    ROW(CKR_SIGNATURE_INVALID),
    ROW(CKR_SIGNATURE_LEN_RANGE),
    ROW(CKR_TEMPLATE_INCOMPLETE),
    ROW(CKR_TEMPLATE_INCONSISTENT),
    ROW(CKR_TOKEN_NOT_PRESENT),
    ROW(CKR_TOKEN_NOT_RECOGNIZED),
    ROW(CKR_TOKEN_WRITE_PROTECTED),
    ROW(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
    ROW(CKR_UNWRAPPING_KEY_SIZE_RANGE),
    ROW(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
    ROW(CKR_USER_ALREADY_LOGGED_IN),
    ROW(CKR_USER_NOT_LOGGED_IN),
    ROW(CKR_USER_PIN_NOT_INITIALIZED),
    ROW(CKR_USER_TYPE_INVALID),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
    ROW(CKR_USER_TOO_MANY_TYPES),
    ROW(CKR_WRAPPED_KEY_INVALID),
    ROW(CKR_WRAPPED_KEY_LEN_RANGE),
    ROW(CKR_WRAPPING_KEY_HANDLE_INVALID),
    ROW(CKR_WRAPPING_KEY_SIZE_RANGE),
    ROW(CKR_WRAPPING_KEY_TYPE_INCONSISTENT),
    ROW(CKR_RANDOM_SEED_NOT_SUPPORTED),
    ROW(CKR_RANDOM_NO_RNG),
    ROW(CKR_DOMAIN_PARAMS_INVALID),
    ROW(CKR_BUFFER_TOO_SMALL),
    ROW(CKR_SAVED_STATE_INVALID),
    ROW(CKR_INFORMATION_SENSITIVE),
    ROW(CKR_STATE_UNSAVEABLE),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED),
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED),
    ROW(CKR_MUTEX_BAD),
    ROW(CKR_MUTEX_NOT_LOCKED),
    ROW(CKR_FUNCTION_REJECTED),
#undef ROW
};
/* clang-format on */

static void every_code_of_the_standard_has_a_row(void)
{
    for (size_t i = 0; i < sizeof standard / sizeof standard[0]; i++) {
        CU_ASSERT_STRING_EQUAL(kw_error_name(standard[i].code), standard[i].name);
    }
}

static struct kw_rv fail_here(void)
{
    return KW_FAIL(CKR_PIN_INVALID, "said so");
}

static void an_answer_carries_code_place_and_sentence(void)
{
    struct kw_rv r = fail_here();
    CU_ASSERT_FALSE(kw_ok(r));
    CU_ASSERT_EQUAL(r.code, CKR_PIN_INVALID);
    CU_ASSERT(strstr(r.why, "error_test.c:") != NULL && strstr(r.why, ": said so") != NULL);
    CU_ASSERT_TRUE(kw_ok(KW_OK));
    CU_ASSERT_PTR_NULL(KW_OK.why);
}

static void trouble_tells_nothing_of_what_was_asked(void)
{
    static const CK_RV trouble[] = {CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN, CKR_DEVICE_REMOVED, CKR_DEVICE_MEMORY, CKR_KEY_HANDLE_INVALID, 0x7FFFFFFF};
    static const CK_RV answers[] = {CKR_OK, CKR_KEY_UNEXTRACTABLE, CKR_MECHANISM_INVALID, CKR_GENERAL_ERROR};
    for (size_t i = 0; i < sizeof trouble / sizeof trouble[0]; i++) {
        CU_ASSERT_TRUE(kw_error_is_trouble(trouble[i]));
    }
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        CU_ASSERT_FALSE(kw_error_is_trouble(answers[i]));
    }
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"trouble tells nothing of what was asked", trouble_tells_nothing_of_what_was_asked},
        {"codes have names and classes", codes_have_names_and_classes},
        {"no code has two rows", no_code_has_two_rows},
        {"every code of the standard has a row", every_code_of_the_standard_has_a_row},
        {"an answer carries code, place and sentence", an_answer_carries_code_place_and_sentence},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {
        {"error", NULL, NULL, NULL, NULL, tests},
        CU_SUITE_INFO_NULL,
    };
    return scratch_run(suites);
}
