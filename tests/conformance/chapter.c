#include "chapter.h"

#include "ordeal.h"

struct fixture *world;
const struct calls *p11;

const char *chapter_rv_name(CK_RV rv)
{
    static const struct {
        CK_RV code;
        const char *name;
    } names[] = {
#define KW_ERROR(code, class) {code, #code},
#include "errors.def"
#undef KW_ERROR
    };
    static char number[4][24];
    static unsigned turn;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (names[i].code == rv) {
            return names[i].name;
        }
    }
    char *place = number[turn++ % 4];
    (void)snprintf(place, sizeof number[0], "0x%lx", rv);
    return place;
}

const char *chapter_join(const char *before, const char *after)
{
    static char places[4][256];
    static unsigned turn;
    char *place = places[turn++ % 4];
    (void)snprintf(place, sizeof places[0], "%s: %s", before, after);
    return place;
}

static void judge(bool good, const char *file, unsigned line, const char *sentence)
{
    if (!good) {
        (void)printf("\n    %s:%u: %s\n", file, line, sentence);
        (void)fflush(stdout);
    }
    (void)CU_assertImplementation(good, line, sentence, file, "", CU_FALSE);
}

void chapter_check(bool good, const char *file, unsigned line, const char *what)
{
    judge(good, file, line, what);
}

void chapter_check_rv(CK_RV got, CK_RV want, const char *file, unsigned line, const char *what)
{
    char sentence[512];
    (void)snprintf(sentence, sizeof sentence, "%s: want %s, got %s", what, chapter_rv_name(want),
                   chapter_rv_name(got));
    judge(got == want, file, line, sentence);
}

void chapter_check_either(CK_RV got, const CK_RV want[2], const char *file, unsigned line, const char *what)
{
    char sentence[512];
    (void)snprintf(sentence, sizeof sentence, "%s: want %s or %s, got %s", what, chapter_rv_name(want[0]),
                   chapter_rv_name(want[1]), chapter_rv_name(got));
    judge(got == want[0] || got == want[1], file, line, sentence);
}

bool chapter_in_valgrind(void)
{
    const char *loaded = getenv("LD_PRELOAD");
    return loaded != NULL && strstr(loaded, "/vgpreload_") != NULL;
}

CK_SESSION_HANDLE enter(const char *slot)
{
    CHECK_RV(p11->C_Initialize(NULL), CKR_OK, "C_Initialize");
    CK_SESSION_HANDLE session = caller_enter(world, slot);
    CHECK(session != 0, chapter_join("a logged-in session", slot));
    return session;
}

void leave(void)
{
    CHECK_RV(p11->C_Finalize(NULL), CKR_OK, "C_Finalize");
}

static const char *title_of;

static int run_cases(CU_TestInfo *tests)
{
    char name[64];
    p11 = world->calls_3_2;
    (void)snprintf(name, sizeof name, "%s", title_of);
    CU_SuiteInfo suites[] = {{name, NULL, NULL, ordeal_case_begins, ordeal_case_ends, tests}, CU_SUITE_INFO_NULL};
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
        (void)fprintf(stderr, "CUnit: %s\n", CU_get_error_msg());
        return 2;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_ErrorCode result = CU_basic_run_tests();
    bool good =
        result == CUE_SUCCESS && CU_get_number_of_asserts() > 0 && CU_get_number_of_failure_records() == 0;
    CU_cleanup_registry();
    return good ? 0 : 1;
}

/* The end of Keyward's log, for whoever looks into a failure. */
static void show_log(void)
{
    char text[4096];
    FILE *log = fopen(world->log, "re");
    if (log == NULL) {
        return;
    }
    (void)fseek(log, 0, SEEK_END);
    long size = ftell(log);
    (void)fseek(log, size > (long)sizeof text ? size - (long)sizeof text : 0, SEEK_SET);
    size_t n = fread(text, 1, sizeof text, log);
    (void)fclose(log);
    (void)printf("the end of Keyward's log:\n%.*s\n", (int)n, text);
}

int chapter_run(const char *title, const struct fixture_settings *settings, CU_TestInfo *tests)
{
    world = fixture_start(settings);
    if (world == NULL) {
        return 2;
    }
    p11 = world->calls_3_2;
    title_of = title;
    int status = ordeal_wanted() ? ordeal_run(title, world, tests, run_cases) : run_cases(tests);
    (void)p11->C_Finalize(NULL); /* a case that failed may have left it initialized */
    if (status != 0) {
        show_log();
    }
    fixture_stop(world);
    return status;
}
