/*
 * config_cases.h: configurations for config_test.c: good ones, bad ones with line and words of each problem,
 * bad URIs. An @ stands for the folder of the test, where vendor.so and other.so are. Data only.
 */
#ifndef KW_TEST_CONFIG_CASES_H
#define KW_TEST_CONFIG_CASES_H

/* clang-format off: tables */

/* Two lines each; the cases below count on that. */
#define TOKEN_A "[token a]\nuri = pkcs11:token=a?module-path=@/vendor.so\n"
#define TOKEN_B "[token b]\nuri = pkcs11:token=b?module-path=@/vendor.so\n"
#define SLOT_S "[slot s]\ntokens = a\n"

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct {
    const char *name;
    const char *text;
} good_files[] = {
    {"the smallest file", TOKEN_A SLOT_S},
    {"slots before tokens", SLOT_S TOKEN_A},
    {"a byte order mark", "\xEF\xBB\xBF" TOKEN_A SLOT_S},
    {"lines that end with CR LF", "[token a]\r\nuri = pkcs11:token=a\r\n ?module-path=@/vendor.so\r\n"
                                  "[slot s]\r\ntokens = a\r\n"},
    {"no newline at the end", TOKEN_A "[slot s]\ntokens = a"},
    {"a name of 32 characters", TOKEN_A "[slot " TEN TEN TEN "12]\ntokens = a\n"},
    {"blanks around the section's name", TOKEN_A "[ slot   s ]\ntokens = a\n"},
    {"a list that begins on the next line", TOKEN_A "[slot s]\ntokens =\n  a\n"},
    {"a line of 199 bytes", TOKEN_A SLOT_S "tenant = " HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN
                                           "\n"},
    {"a comment does not make a line long", TOKEN_A SLOT_S "tenant = t # " HUNDRED HUNDRED "\n"},
    {"a key label of 128 bytes", TOKEN_A SLOT_S "key = " HUNDRED TEN TEN "12345678\n"},
    {"UTF-8 in a label", TOKEN_A SLOT_S "key = schl\xC3\xBCssel\n"},
    {"a # inside a word", TOKEN_A SLOT_S "key = a#b;c\n"},
    {"equal keys on different tokens", TOKEN_A TOKEN_B SLOT_S "key = k\n"
                                                              "[slot t]\ntokens = b\nkey = k\n"},
    {"a key that only resembles the data label", TOKEN_A SLOT_S "key = k\n"
                                                 "[slot t]\ntokens = a\nkey = k/data2\n"},
    {"eight tokens", TOKEN_A
     "[token t2]\nuri = pkcs11:serial=2?module-path=@/vendor.so\n"
     "[token t3]\nuri = pkcs11:serial=3?module-path=@/vendor.so\n"
     "[token t4]\nuri = pkcs11:serial=4?module-path=@/vendor.so\n"
     "[token t5]\nuri = pkcs11:serial=5?module-path=@/vendor.so\n"
     "[token t6]\nuri = pkcs11:serial=6?module-path=@/vendor.so\n"
     "[token t7]\nuri = pkcs11:serial=7?module-path=@/vendor.so\n"
     "[token t8]\nuri = pkcs11:serial=8?module-path=@/vendor.so\n"
     "[slot s]\ntokens = a t2 t3 t4 t5 t6 t7 t8\n"},
    {"one label in two modules", TOKEN_A "[token b]\nuri = pkcs11:token=a?module-path=@/other.so\n"
                                         SLOT_S},
    {"one label with two serials", "[token a]\nuri = pkcs11:token=x;serial=1?module-path=@/vendor.so\n"
                                   "[token b]\nuri = pkcs11:token=x;serial=2?module-path=@/vendor.so\n"
                                   SLOT_S},
    {"a token without a slot in another geo", "[keyward]\ngeo = eu\n" TOKEN_A "geo = eu\n" TOKEN_B
                                              "geo = us\n" SLOT_S "geo = eu\n"},
    {"sessions and waits at their ends", TOKEN_A "sessions = 1\nwait = 1ms\n" TOKEN_B "sessions = 1024\nwait = 60s\n" SLOT_S},
    {"tokens that take turns", TOKEN_A TOKEN_B "[slot s]\ntokens = a b\nspread = yes\n[slot t]\ntokens = a\nkey = k\nspread = no\n"},
    {"every word for the log", "[keyward]\nlog = none\n" TOKEN_A SLOT_S},
};

static const struct {
    const char *name;
    const char *text;
    struct {
        int line;
        const char *words;
    } heard[4];
} bad_files[] = {
    /* Lines. */
    {"an empty file", "", {{0, "no [slot NAME] section"}}},
    {"no slots", TOKEN_A, {{0, "no [slot NAME] section"}}},
    {"a key before the first section", "geo = eu\n" TOKEN_A SLOT_S, {{1, "before the first section"}}},
    {"an indented header at the start", " [keyward]\n" TOKEN_A SLOT_S, {{1, "before the first"}}},
    {"an unknown section", TOKEN_A SLOT_S "[audit]\nx = y\n",
     {{5, "unknown section [audit]; known are [keyward], [token NAME], [slot NAME]"}}},
    {"a section whose case is wrong", TOKEN_A SLOT_S "[Slot t]\n", {{5, "unknown section [Slot t]"}}},
    {"a header that is not closed", TOKEN_A SLOT_S "[slot t\ntokens = zzz\n",
     {{5, "not a section header"}}},
    {"text after a header", TOKEN_A SLOT_S "[slot t] tokens = a\n", {{5, "not a section header"}}},
    {"a header that inih would cut", TOKEN_A SLOT_S "[slot " HUNDRED "]\n",
     {{5, "not a section header"}}},
    {"a line without =", TOKEN_A SLOT_S "tenant\n", {{5, "neither a [section] nor key = value"}}},
    {"a last line without =, without newline", TOKEN_A SLOT_S "tenant", {{5, "neither a [section]"}}},
    {"a line of 200 bytes", TOKEN_A SLOT_S "tenant = " HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN
                                           "1\n",
     {{5, "continue it on an indented line"}}},
    {"a long uri does not give a second problem", "[token a]\nuri = " HUNDRED HUNDRED "\n  " TEN "\n"
                                                  SLOT_S,
     {{2, "continue it on an indented line"}}},
    {"a control character", TOKEN_A SLOT_S "tenant = a\033[2Jb\n", {{5, "control character"}}},
    {"a control character in a comment", TOKEN_A SLOT_S "# a\007b\n", {{5, "control character"}}},
    {"a C1 control character", TOKEN_A SLOT_S "tenant = a\xC2\x9B" "b\n", {{5, "control character"}}},
    {"Latin-1", TOKEN_A SLOT_S "tenant = M\xFCnchen\n", {{5, "not UTF-8"}}},
    {"an indented line after a header", TOKEN_A "[slot s]\n  tokens = a\n", {{4, "there is none"}}},
    {"a continuation of geo", TOKEN_A "geo = e\n  u\n" SLOT_S "geo = e\n",
     {{4, "'geo' has one line"}}},
    {"a continuation of an unknown key", TOKEN_A SLOT_S "sessions = 1\n  2\n",
     {{5, "unknown key 'sessions' in [slot]; known are tenant, geo, key, tokens, data-keys, "
          "spread, mechanisms"}}},

    /* Keys. */
    {"an unknown key of the host", "[keyward]\naudit = syslog\n" TOKEN_A SLOT_S,
     {{2, "unknown key 'audit' in [keyward]; known are geo, log"}}},
    {"an unknown key of a token", TOKEN_A "pin = 1234\n" SLOT_S,
     {{3, "unknown key 'pin' in [token]; known are uri, geo, init, accept-weak-token"}}},
    {"a weak token, perhaps", TOKEN_A "accept-weak-token = true\n" SLOT_S,
     {{3, "accept-weak-token = true: write yes or no"}}},
    {"a key twice", TOKEN_A SLOT_S "geo = eu\ngeo = eu\n", {{6, "'geo' is set already in line 5"},
     {3, "has geo eu, its token 'a' (line 1) has geo (none)"}}},
    {"an empty value", TOKEN_A SLOT_S "tenant =\n", {{5, "'tenant' is empty"}}},
    {"a value that is a comment", TOKEN_A SLOT_S "tenant = # nobody\n", {{5, "'tenant' is empty"}}},
    {"an empty list", TOKEN_A "[slot s]\ntokens =\n", {{4, "'tokens' is empty"}}},
    {"a token without uri", "[token a]\ngeo = eu\n" SLOT_S "geo = eu\n",
     {{1, "[token a] has no 'uri'"}}},
    {"a slot without tokens", TOKEN_A "[slot s]\ntenant = t\n", {{3, "[slot s] has no 'tokens'"}}},
    {"an empty section", TOKEN_A SLOT_S "[slot t]\n", {{5, "[slot t] has no 'tokens'"}}},
    {"an unknown log", "[keyward]\nlog = file:relative.log\n" TOKEN_A SLOT_S,
     {{2, "write syslog, stderr, none or file:/PATH"}}},
    {"an unknown home of data keys", TOKEN_A SLOT_S "data-keys = secret\n",
     {{5, "write readable or sealed"}}},
    {"no sessions", TOKEN_A "sessions = 0\n" SLOT_S, {{3, "sessions = 0: write a number from 1 to 1024"}}},
    {"too many sessions", TOKEN_A "sessions = 1025\n" SLOT_S, {{3, "sessions = 1025: write a number"}}},
    {"sessions in words", TOKEN_A "sessions = +8\n" SLOT_S, {{3, "sessions = +8: write a number"}}},
    {"a wait without a unit", TOKEN_A "wait = 5\n" SLOT_S, {{3, "wait = 5: write a time up to 60s"}}},
    {"a wait in minutes", TOKEN_A "wait = 1m\n" SLOT_S, {{3, "wait = 1m: write a time"}}},
    {"a wait too long", TOKEN_A "wait = 61s\n" SLOT_S, {{3, "wait = 61s: write a time"}}},
    {"a wait of nothing", TOKEN_A "wait = 0ms\n" SLOT_S, {{3, "wait = 0ms: write a time"}}},
    {"spread neither yes nor no", TOKEN_A SLOT_S "spread = true\n", {{5, "spread = true: write yes or no"}}},
    {"mechanisms that nobody knows", TOKEN_A SLOT_S "mechanisms = standard\n  envelop\n",
     {{5, "mechanisms = envelop: known are standard and envelope"}}},
    {"a key label of 129 bytes", TOKEN_A SLOT_S "key = " HUNDRED TEN TEN "123456789\n",
     {{5, "longer than 128 bytes"}}},

    /* Names. */
    {"a slot without a name", TOKEN_A SLOT_S "[slot]\ntokens = a\n", {{5, "a name has 1 to 32"}}},
    {"a name of 33 characters", TOKEN_A "[slot " TEN TEN TEN "123]\ntokens = a\n",
     {{3, "a name has 1 to 32"}}},
    {"a name with a slash", TOKEN_A SLOT_S "[slot a/b]\ntokens = a\nkey = x\n", {{5, "[slot a/b]"}}},
    {"a name that begins with a dot", TOKEN_A SLOT_S "[slot .a]\ntokens = a\nkey = x\n",
     {{5, "[slot .a]"}}},
    {"a name with a blank", TOKEN_A SLOT_S "[slot a b]\ntokens = a\nkey = x\n", {{5, "[slot a b]"}}},
    {"a bad name hides no other problem", TOKEN_A SLOT_S "[slot a b]\ntokens = zz\nkey = x\n",
     {{5, "[slot a b]"}, {6, "'zz', which is not defined"}}},
    {"a slot with a bad name is not compared", TOKEN_A SLOT_S "[slot a b]\ntokens = a\ngeo = eu\n",
     {{5, "[slot a b]"}}},
    {"a name where none belongs", "[keyward x]\n" TOKEN_A SLOT_S, {{1, "takes no name"}}},
    {"a slot twice", TOKEN_A SLOT_S "[slot s]\ntokens = a\n",
     {{5, "[slot s] is there already in line 3"}}},
    {"a token twice", TOKEN_A TOKEN_A SLOT_S, {{3, "[token a] is there already in line 1"}}},
    {"[keyward] twice", "[keyward]\n[keyward]\n" TOKEN_A SLOT_S,
     {{2, "[keyward] is there already in line 1"}}},

    /* References. */
    {"a token that is not defined", TOKEN_A "[slot s]\ntokens = a zz\n",
     {{4, "'zz', which is not defined"}}},
    {"a token twice in a slot", TOKEN_A "[slot s]\ntokens = a\n  a\n", {{4, "'a' twice"}}},
    {"nine tokens",
     TOKEN_A
     "[token t2]\nuri = pkcs11:serial=2?module-path=@/vendor.so\n"
     "[token t3]\nuri = pkcs11:serial=3?module-path=@/vendor.so\n"
     "[token t4]\nuri = pkcs11:serial=4?module-path=@/vendor.so\n"
     "[token t5]\nuri = pkcs11:serial=5?module-path=@/vendor.so\n"
     "[token t6]\nuri = pkcs11:serial=6?module-path=@/vendor.so\n"
     "[token t7]\nuri = pkcs11:serial=7?module-path=@/vendor.so\n"
     "[token t8]\nuri = pkcs11:serial=8?module-path=@/vendor.so\n"
     "[token t9]\nuri = pkcs11:serial=9?module-path=@/vendor.so\n"
     "[slot s]\ntokens = a t2 t3 t4 t5 t6 t7 t8 t9\n",
     {{20, "more than 8 tokens; take 't9' out"}}},
    {"two names for one token", TOKEN_A "[token b]\nuri = pkcs11:token=a;serial=1?module-path="
                                        "@/vendor.so\n" SLOT_S,
     {{3, "[token b] and [token a] (line 1) mean the same token"}}},
    {"one token through two names of a module", TOKEN_A "[token b]\nuri = pkcs11:token=a?module-path=@/alias.so\n" SLOT_S,
     {{3, "[token b] and [token a] (line 1) mean the same token"}}},
    {"two inits of one module under two names", TOKEN_A "[token b]\nuri = pkcs11:token=b?module-path=@/alias.so\ninit = x\n" SLOT_S,
     {{3, "[token b] and [token a] (line 1) have the same module and another init"}}},
    {"two inits for one module", TOKEN_A TOKEN_B "init = x\n" SLOT_S,
     {{3, "have the same module and another init"}}},
    {"two slots with one key", TOKEN_A TOKEN_B "[slot s]\ntokens = b a\nkey = k\n"
                                               "[slot t]\ntokens = a\nkey = k\n",
     {{8, "[slot t] and [slot s] (line 5) would see each other's keys on the token 'a'"}}},
    {"a key that is another slot's name", TOKEN_A SLOT_S "[slot t]\ntokens = a\nkey = s\n",
     {{5, "[slot t] and [slot s] (line 3) would see each other's keys"}}},
    {"a key that is the label of data keys", TOKEN_A SLOT_S "[slot t]\ntokens = a\nkey = s/data\n",
     {{5, "the other's label of data keys"}}},
    {"a key that is the label of an origin key", TOKEN_A SLOT_S "[slot t]\ntokens = a\nkey = s/origin\n",
     {{5, "the other's label of data keys"}}},
    {"the same the other way round", TOKEN_A SLOT_S "key = t/data\n[slot t]\ntokens = a\n",
     {{6, "the other's label of data keys"}}},

    /* Residency. */
    {"a slot in another geo than its token", TOKEN_A "geo = us\n" SLOT_S "geo = eu\n",
     {{4, "[slot s] has geo eu, its token 'a' (line 1) has geo us"}}},
    {"a slot with a geo, a token without", TOKEN_A SLOT_S "geo = eu\n", {{3, "has geo (none)"}}},
    {"a token with a geo, a slot without", TOKEN_A "geo = eu\n" SLOT_S,
     {{4, "[slot s] has geo (none), its token 'a' (line 1) has geo eu"}}},
    {"a replica in another geo", TOKEN_A "geo = eu\n" TOKEN_B "geo = us\n"
                                 "[slot s]\ngeo = eu\ntokens = a b\n",
     {{7, "its token 'b' (line 4) has geo us"}}},
    {"a host in another geo", "[keyward]\ngeo = us\n" TOKEN_A "geo = eu\n" SLOT_S "geo = eu\n",
     {{6, "[slot s] has geo eu, this host has geo us"}}},
    {"a host with a geo, a slot without", "[keyward]\ngeo = us\n" TOKEN_A SLOT_S,
     {{5, "[slot s] has geo (none), this host has geo us"}}},
    {"geos that differ in case", TOKEN_A "geo = EU\n" SLOT_S "geo = eu\n", {{4, "has geo EU"}}},
};

static const struct {
    const char *name;
    const char *uri;
    const char *words;
} bad_uris[] = {
    {"no URI", "/usr/lib/vendor.so", "does not begin with pkcs11:"},
    {"another scheme", "https:token=a?module-path=@/vendor.so", "does not begin with pkcs11:"},
    {"nothing", "pkcs11:", "names no token"},
    {"no token", "pkcs11:manufacturer=x?module-path=@/vendor.so", "names no token"},
    {"an empty label", "pkcs11:token=?module-path=@/vendor.so", "names no token"},
    {"a label of blanks", "pkcs11:token=%20?module-path=@/vendor.so", "names no token"},
    {"a label of 33 bytes", "pkcs11:token=" TEN TEN TEN "123?module-path=@/vendor.so", "longer"},
    {"no module-path", "pkcs11:token=a", "no module-path"},
    {"an empty module-path", "pkcs11:token=a?module-path=", "no module-path"},
    {"a relative module-path", "pkcs11:token=a?module-path=vendor.so", "relative"},
    {"a bad escape", "pkcs11:token=%zz?module-path=@/vendor.so", "two hex digits"},
    {"an attribute without a value", "pkcs11:token?module-path=@/vendor.so", "is no PKCS#11 URI"},
    {"a blank", "pkcs11:token=a b?module-path=@/vendor.so", "%20"},
    {"a NUL byte", "pkcs11:token=a?module-path=@/vendor.so%00.txt", "%00"},
    {"a newline in a path", "pkcs11:token=a?module-path=@/vendor.so%0aforged", "control character"},
    {"an escape in a PIN source", "pkcs11:token=a?module-path=@/vendor.so&pin-source=/%1b[2J", "control character"},
    {"a path that is not UTF-8", "pkcs11:token=a?module-path=/x%ff", "not UTF-8"},
    {"an attribute twice", "pkcs11:token=a;token=b?module-path=@/vendor.so", "or has one twice"},
    {"a query attribute twice", "pkcs11:token=a?module-path=@/vendor.so&module-path=/x", "twice"},
    {"a misspelt attribute", "pkcs11:token=a;serail=1?module-path=@/vendor.so", "none of token"},
    {"an attribute of objects", "pkcs11:token=a;object=k?module-path=@/vendor.so", "none of token"},
    {"an attribute of slots", "pkcs11:token=a;slot-id=1?module-path=@/vendor.so", "none of token"},
    {"a misspelt query", "pkcs11:token=a?module-path=@/vendor.so&pin-sorce=/x", "none of module-path"},
    {"module-name", "pkcs11:token=a?module-path=@/vendor.so&module-name=x", "none of module-path"},
    {"two PINs", "pkcs11:token=a?module-path=@/vendor.so&pin-source=/x&pin-value=1", "both pin-source"},
    {"an empty pin-value", "pkcs11:token=a?module-path=@/vendor.so&pin-value=", "an empty pin-source"},
    {"an empty pin-source", "pkcs11:token=a?module-path=@/vendor.so&pin-source=", "an empty pin-"},
    {"an ampersand in a PIN", "pkcs11:token=a?module-path=@/vendor.so&pin-value=s3cret&s3cret", "%26"},
};

/* clang-format on */

#endif
