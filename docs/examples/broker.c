/*
 * An example key broker: a database whose secret columns are encrypted, each table under its own
 * AES-256 data key. The data keys are stored beside the data, wrapped by a master key that never
 * leaves its token, in envelopes bound to their table (CKM_KEYWARD_ENVELOPE); the rest is plain
 * PKCS#11 2.40. After a rotation they still open, and `keyward rewrap` makes the stored ones new.
 *
 * Usage: broker pkcs11:token=NAME?module-path=/path/module.so&pin-source=file:/path/pin DATABASE
 * Exit status: 0 every value came back equal, 1 something failed, 2 usage.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pin.h>
#include <keyward.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { KEY_LEN = 32, WRAPPED_MAX = 1024 /* RSA-4096: 628 */, TEXT_MAX = 4096 };
enum { NONCE_LEN = 12, TAG_LEN = 16, SEAL_LEN = NONCE_LEN + TAG_LEN };
struct wrapped { CK_ULONG len; unsigned char bytes[WRAPPED_MAX]; }; /* an envelope, as stored */

struct hsm { /* all of it is released by hsm_close, also when hsm_open failed half-way */
    P11KitUri *uri;
    CK_FUNCTION_LIST *p11;
    CK_ULONG session, master; /* handles */
};

/* INTEGER PRIMARY KEY makes id the rowid, which VACUUM then leaves alone: it is part of the AAD. */
static const char begin[] =
    "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS data_keys(table_name TEXT PRIMARY KEY, wrapped BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS customers(id INTEGER PRIMARY KEY, name TEXT, card BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS tickets(id INTEGER PRIMARY KEY, subject TEXT, note BLOB NOT NULL);";

/* SQL cannot bind the name of a table, so every table brings its constant statements. */
static const struct table {
    const char *name, *column, *insert, *select;
    const char *rows[2][2]; /* the rows 1 and 2: what stays readable, what is secret */
} tables[] = {
    { "customers", "card", "INSERT INTO customers VALUES(?1, ?2, ?3) ON CONFLICT(id) DO NOTHING",
      "SELECT card, hex(substr(card, 13, 16)) FROM customers WHERE id = ?1",
      { { "Ada Example", "4111 1111 1111 1111" }, { "Bo Sample", "5500 0000 0000 0004" } } },
    { "tickets", "note", "INSERT INTO tickets VALUES(?1, ?2, ?3) ON CONFLICT(id) DO NOTHING",
      "SELECT note, hex(substr(note, 13, 16)) FROM tickets WHERE id = ?1",
      { { "door code", "side door, 4711 until May" }, { "call back", "wants the new tariff" } } },
};

struct cell { /* one secret: clear in text, sealed in blob as nonce | ciphertext | tag */
    const struct table *of;
    sqlite3_int64 rowid;
    int len; /* of text */
    unsigned char text[TEXT_MAX], blob[TEXT_MAX + SEAL_LEN];
};

static bool failed(const char *what, const char *why)
{
    fprintf(stderr, "broker: %s: %s\n", what, why ? why : "unknown error");
    return false;
}

static bool p11_ok(CK_RV rv, const char *what)
{
    if (rv != CKR_OK)
        fprintf(stderr, "broker: %s: %s (CKR 0x%lx)\n", what, p11_kit_strerror(rv), rv);
    return rv == CKR_OK;
}

/* Exactly one token may match the URI: with a guess, the keys could go to another's master key. */
static bool find_token(const struct hsm *h, CK_SLOT_ID *slot, CK_FLAGS *flags)
{
    CK_SLOT_ID slots[256];
    CK_TOKEN_INFO info;
    CK_ULONG count = 256, matches = 0;
    if (!p11_ok(h->p11->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList"))
        return false;
    for (CK_ULONG i = 0; i < count; i++)
        if (h->p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && /* else another's trouble */
            p11_kit_uri_match_token_info(h->uri, &info) && ++matches == 1) {
            *slot = slots[i];
            *flags = info.flags;
        }
    return matches == 1 || failed("token", matches ? "several match the URI: add serial= to it"
                                                   : "none matches: compare with pkcs11-tool -L");
}

static bool login(const struct hsm *h, CK_FLAGS flags)
{
    const char *file = p11_kit_uri_get_pin_source(h->uri);
    if (flags & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY)) /* the last try is for a person */
        return failed("login", "the PIN is locked or at its last try: see the HSM's custodian");
    if (!file && (flags & CKF_PROTECTED_AUTHENTICATION_PATH))
        return p11_ok(h->p11->C_Login(h->session, CKU_USER, NULL, 0), "C_Login without a PIN");
    P11KitPin *pin = file ? p11_kit_pin_file_callback(file + (strncmp(file, "file:", 5) ? 0 : 5),
                      h->uri, "user PIN", P11_KIT_PIN_FLAGS_USER_LOGIN, NULL) : NULL;
    if (!pin)
        return failed("PIN", "none, or unreadable: the URI needs pin-source=file:/path");
    size_t size = 0; /* lent as const, but p11-kit frees it unwiped, so the wiping is ours */
    unsigned char *bytes = (unsigned char *)(uintptr_t)p11_kit_pin_get_value(pin, &size);
    size_t len = size;
    while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
        len--;
    bool ok = len > 0 ? p11_ok(h->p11->C_Login(h->session, CKU_USER, bytes, len), "C_Login")
                      : failed("PIN", "the PIN is empty"); /* neither is tried again */
    OPENSSL_cleanse(bytes, size);
    p11_kit_pin_unref(pin);
    return ok;
}

static bool hsm_open(struct hsm *h, const char *text)
{
    CK_ULONG id = 0, found = 0;
    CK_FLAGS flags = 0;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE query[] = { { CKA_CLASS, &class, sizeof class }, { CKA_WRAP, &yes, sizeof yes } };
    h->uri = p11_kit_uri_new();
    if (!h->uri || p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, h->uri) != P11_KIT_URI_OK)
        return failed("PKCS#11 URI", "cannot be parsed"); /* not repeated: it may hold a PIN */
    const char *path = p11_kit_uri_get_module_path(h->uri);
    if (!path || !(h->p11 = p11_kit_module_load(path, 0)))
        return failed("module-path", path ? p11_kit_message() : "the URI has none");
    /* A read-only session will do: data keys are session objects, the token is not changed. */
    if (!p11_ok(p11_kit_module_initialize(h->p11), "C_Initialize") || !find_token(h, &id, &flags) ||
        !p11_ok(h->p11->C_OpenSession(id, CKF_SERIAL_SESSION, NULL, NULL, &h->session),
                "C_OpenSession") ||
        !login(h, flags) ||
        !p11_ok(h->p11->C_FindObjectsInit(h->session, query, 2), "C_FindObjectsInit"))
        return false;
    bool ok = p11_ok(h->p11->C_FindObjects(h->session, &h->master, 1, &found), "C_FindObjects");
    ok = p11_ok(h->p11->C_FindObjectsFinal(h->session), "C_FindObjectsFinal") && ok;
    return ok && (found == 1 || failed("master key", "the token shows no secret key that wraps"));
}

static void hsm_close(struct hsm *h)
{
    if (h->session != CK_INVALID_HANDLE) {
        (void)h->p11->C_Logout(h->session); /* logs out the whole process: only at the end */
        (void)h->p11->C_CloseSession(h->session);
    }
    if (h->p11) {
        (void)p11_kit_module_finalize(h->p11);
        p11_kit_module_release(h->p11);
    }
    p11_kit_uri_free(h->uri);
}

/* Generates and wraps a data key (fresh), or unwraps one. Its context is "database/table" (the name
 * of the database, its file may move): no other row opens it. The caller wipes key in any case. */
static bool data_key(const struct hsm *h, const char *table, bool fresh, struct wrapped *w,
                     unsigned char *key)
{
    char context[64];
    int n = snprintf(context, sizeof context, "crm/%s", table);
    CK_KEYWARD_ENVELOPE_PARAMS bind = { (unsigned char *)context, (unsigned long)n };
    CK_MECHANISM gen = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_MECHANISM env = { CKM_KEYWARD_ENVELOPE, &bind, sizeof bind };
    CK_ULONG class = CKO_SECRET_KEY, type = CKK_AES, key_len = KEY_LEN;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_HANDLE dek = CK_INVALID_HANDLE;
    CK_ATTRIBUTE value = { CKA_VALUE, key, KEY_LEN };
    CK_ATTRIBUTE attrs[] = {
        { CKA_CLASS, &class, sizeof class },   { CKA_KEY_TYPE, &type, sizeof type },
        { CKA_TOKEN, &no, sizeof no },         { CKA_SENSITIVE, &no, sizeof no },
        { CKA_EXTRACTABLE, &yes, sizeof yes }, { CKA_VALUE_LEN, &key_len, sizeof key_len },
    };
    CK_RV rv = fresh ? h->p11->C_GenerateKey(h->session, &gen, attrs, 6, &dek)
                     : h->p11->C_UnwrapKey(h->session, &env, h->master, w->bytes, w->len, attrs,
                                           6, &dek);
    if (!p11_ok(rv, fresh ? "C_GenerateKey" : "C_UnwrapKey"))
        return false;
    if (fresh) /* w->len is the room there is */
        rv = h->p11->C_WrapKey(h->session, &env, h->master, dek, w->bytes, &w->len);
    bool ok = p11_ok(rv, "C_WrapKey") &&
              p11_ok(h->p11->C_GetAttributeValue(h->session, dek, &value, 1), "CKA_VALUE");
    ok = p11_ok(h->p11->C_DestroyObject(h->session, dek), "C_DestroyObject") && ok;
    return ok && (value.ulValueLen == KEY_LEN || failed("data key", "it has another length"));
}

/* AES-256-GCM (SP 800-38D) over one cell, in either direction; the AAD is table/column/rowid: a
 * value moved elsewhere does not open. Random nonces do for 2^32 values, then change the key. */
static bool crypt_cell(const unsigned char *key, struct cell *c, bool seal)
{
    unsigned char *body = c->blob + NONCE_LEN, *tag = body + c->len, aad[128];
    int n = snprintf((char *)aad, sizeof aad, "%s/%s/%lld", c->of->name, c->of->column, c->rowid);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx && n < (int)sizeof aad && (!seal || RAND_bytes(c->blob, NONCE_LEN) == 1) &&
              EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, c->blob, seal) == 1 &&
              EVP_CipherUpdate(ctx, NULL, &n, aad, n) == 1 &&
              (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1) &&
              EVP_CipherUpdate(ctx, seal ? body : c->text, &n, seal ? c->text : body, c->len) &&
              EVP_CipherFinal_ex(ctx, aad, &n) == 1 && /* GCM adds no bytes here */
              (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag) == 1);
    EVP_CIPHER_CTX_free(ctx); /* wipes the key schedule */
    return ok || failed(c->of->name, seal ? "cannot encrypt" : "a value was altered or moved");
}

/* One step on a table's row of data_keys: put adds w, otherwise a row found fills it. */
static int step_key(sqlite3 *db, const char *table, struct wrapped *w, bool put)
{
    const char *sql = put ? "INSERT INTO data_keys VALUES(?1, ?2)"
                          : "SELECT wrapped FROM data_keys WHERE table_name = ?1";
    sqlite3_stmt *q = NULL;
    int rc = SQLITE_ERROR;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK &&
        sqlite3_bind_text(q, 1, table, -1, SQLITE_STATIC) == SQLITE_OK &&
        (!put || sqlite3_bind_blob(q, 2, w->bytes, (int)w->len, SQLITE_STATIC) == SQLITE_OK))
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(q, 0) <= WRAPPED_MAX) {
        w->len = (CK_ULONG)sqlite3_column_bytes(q, 0);
        memcpy(w->bytes, w->len ? sqlite3_column_blob(q, 0) : "", w->len);
    }
    sqlite3_finalize(q);
    return rc;
}

/* The table's data key: unwrapped if the database has it, else made and stored (make). */
static bool table_key(struct hsm *h, sqlite3 *db, const char *table, bool make, unsigned char *key)
{
    struct wrapped w = { .len = WRAPPED_MAX };
    int rc = step_key(db, table, &w, false);
    bool fresh = rc == SQLITE_DONE && make;
    if (rc != SQLITE_ROW && !fresh)
        return failed(table, "the database has no usable data key");
    if (!data_key(h, table, fresh, &w, key))
        return false;
    printf("  %s: data key %s by the token\n", table, fresh ? "made and wrapped" : "unwrapped");
    return !fresh || step_key(db, table, &w, true) == SQLITE_DONE;
}

/* Encrypts and stores the rows of a table, or (store false) reads them back and compares. */
static bool do_rows(sqlite3 *db, const struct table *t, const unsigned char *key, bool store)
{
    struct cell c = { .of = t };
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(db, store ? t->insert : t->select, -1, &q, NULL) == SQLITE_OK;
    for (int i = 0; ok && i < 2; i++) {
        const char *title = t->rows[i][0], *secret = t->rows[i][1];
        c.rowid = i + 1;
        ok = sqlite3_reset(q) == SQLITE_OK && sqlite3_bind_int64(q, 1, c.rowid) == SQLITE_OK;
        if (ok && store) {
            c.len = snprintf((char *)c.text, TEXT_MAX, "%s", secret);
            ok = c.len < TEXT_MAX && crypt_cell(key, &c, true) &&
                 sqlite3_bind_text(q, 2, title, -1, SQLITE_STATIC) == SQLITE_OK &&
                 sqlite3_bind_blob(q, 3, c.blob, c.len + SEAL_LEN, SQLITE_STATIC) == SQLITE_OK &&
                 sqlite3_step(q) == SQLITE_DONE;
            if (ok)
                printf("  %s %d: %s\n", t->name, i + 1, sqlite3_changes(db) ? "encrypted" : "kept");
        } else if (ok) {
            int size = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_bytes(q, 0) : 0;
            c.len = size - SEAL_LEN;
            ok = (c.len >= 0 && c.len <= TEXT_MAX) || failed(t->name, "row missing or in clear");
            if (ok)
                memcpy(c.blob, sqlite3_column_blob(q, 0), (size_t)size);
            ok = ok && crypt_cell(key, &c, false) &&
                 (((size_t)c.len == strlen(secret) && memcmp(c.text, secret, (size_t)c.len) == 0) ||
                  failed(t->name, "a value came back different"));
            if (ok)
                printf("  %s %d: %s..., opens equal\n", t->name, i + 1, sqlite3_column_text(q, 1));
        }
    }
    sqlite3_finalize(q);
    OPENSSL_cleanse(&c, sizeof c);
    return ok;
}

/* Opens token and database, works on every table in one transaction, closes both again. */
static bool run(const char *uri, const char *path, bool store)
{
    struct hsm h = { .uri = NULL };
    sqlite3 *db = NULL;
    unsigned char key[KEY_LEN];
    printf("%s:\n", store ? "open, encrypt and store" : "open again and read back");
    bool ok = hsm_open(&h, uri) && sqlite3_open(path, &db) == SQLITE_OK &&
              sqlite3_exec(db, begin, NULL, NULL, NULL) == SQLITE_OK;
    for (int i = 0; ok && i < 2; i++)
        ok = table_key(&h, db, tables[i].name, store, key) && do_rows(db, &tables[i], key, store);
    OPENSSL_cleanse(key, sizeof key);
    ok = ok && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    if (!ok && db && sqlite3_errcode(db) != SQLITE_OK)
        failed(path, sqlite3_errmsg(db));
    sqlite3_close(db); /* rolls an open transaction back */
    hsm_close(&h);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: broker PKCS11-URI DATABASE\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* some modules talk to their HSM through a socket */
    bool ok = run(argv[1], argv[2], true) && run(argv[1], argv[2], false);
    printf("%s\n", ok ? "every value came back equal" : "FAILED");
    return ok && fflush(stdout) == 0 ? 0 : 1;
}
