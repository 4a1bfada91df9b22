/* keyward export-blob KEY --to kek.pem -o key.byok: the customer's side, on a machine of theirs,
 * with OpenSSL and no token. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "command.h"
#include "encoding.h"
#include "file.h"
#include "kek.h"

struct options {
    const char *key;
    const char *to;
    const char *output;
    const char *kid; /* or NULL */
    bool raw;
};

static bool parse(int argc, char **argv, struct options *out)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, 't'},
        {"output", required_argument, NULL, 'o'},
        {"kid", required_argument, NULL, 'k'},
        {"raw", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    int option = 0;
    *out = (struct options){0};
    while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        switch (option) {
        case 't':
            out->to = optarg;
            break;
        case 'o':
            out->output = optarg;
            break;
        case 'k':
            out->kid = optarg;
            break;
        case 'r':
            out->raw = true;
            break;
        default:
            return false;
        }
    }
    if (out->raw && out->kid != NULL) {
        command_say("--kid %s: bare bytes have no place for it; leave --kid or --raw away", out->kid);
        return false;
    }
    out->key = argc - optind == 1 ? argv[optind] : NULL;
    return out->key != NULL && out->to != NULL && out->output != NULL;
}

static bool is_aes_size(size_t len)
{
    return len == 16 || len == 24 || len == 32;
}

/* An AES key as hex text, perhaps with an end of line; *out stays NULL when it is none. A raw key
 * of 32 bytes that are all hex digits does not happen: 2^-113. */
static struct kw_rv from_hex(const struct kw_secret *file, struct kw_secret **out)
{
    struct kw_secret *key = NULL;
    const unsigned char *p = kw_secret_peek(file);
    size_t len = kw_secret_len(file);
    while (len > 0 && (p[len - 1] == '\n' || p[len - 1] == '\r' || p[len - 1] == ' ')) {
        len--;
    }
    bool good = len % 2 == 0 && is_aes_size(len / 2);
    for (size_t i = 0; good && i < len; i++) {
        good = encoding_hex_digit(p[i]) < 16;
    }
    struct kw_rv r = good ? kw_secret_new(len / 2, &key) : KW_OK;
    for (size_t i = 0; key != NULL && i < len / 2; i++) {
        kw_secret_bytes(key)[i] =
            (unsigned char)(encoding_hex_digit(p[2 * i]) << 4 | encoding_hex_digit(p[2 * i + 1]));
    }
    *out = key;
    return r;
}

/* The plaintext of an RSA target is its PKCS#8 in DER. */
static struct kw_rv to_pkcs8(const EVP_PKEY *key, struct kw_secret **out)
{
    struct kw_secret *s = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int len = info == NULL ? 0 : i2d_PKCS8_PRIV_KEY_INFO(info, NULL);
    struct kw_rv r = len <= 0 ? KW_FAIL(CKR_GENERAL_ERROR, "OpenSSL cannot encode the private key")
                              : kw_secret_new((size_t)len, &s);
    if (kw_ok(r)) {
        unsigned char *p = kw_secret_bytes(s);
        if (i2d_PKCS8_PRIV_KEY_INFO(info, &p) != len) {
            r = KW_FAIL(CKR_GENERAL_ERROR, "OpenSSL cannot encode the private key");
        }
    }
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes the encoded key */
    if (!kw_ok(r)) {
        kw_secret_free(s);
        return r;
    }
    *out = s;
    return KW_OK;
}

/* OpenSSL keeps the numbers of the private key in its secure heap (verb_export_blob) and
 * wipes them. */
static struct kw_rv from_pem(const struct kw_secret *file, struct kw_secret **out)
{
    BIO *bio = BIO_new_mem_buf(kw_secret_peek(file), (int)kw_secret_len(file));
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);
    struct kw_rv r;
    if (key == NULL) {
        r = KW_FAIL(CKR_ARGUMENTS_BAD,
                    "it holds no private key that can be read, or its passphrase was wrong");
    } else if (!EVP_PKEY_is_a(key, "RSA") || (bits != 2048 && bits != 3072 && bits != 4096)) {
        r = KW_FAIL(CKR_ARGUMENTS_BAD, "its private key is not RSA of 2048, 3072 or 4096 bits");
    } else {
        r = to_pkcs8(key, out);
    }
    EVP_PKEY_free(key);
    BIO_free(bio);
    return r;
}

/* What is wrapped: the bytes of an AES key, or the PKCS#8 of an RSA key. */
static struct kw_rv read_key(const char *path, struct kw_secret **out)
{
    static const char begin[] = "-----BEGIN ";
    struct kw_secret *file = NULL;
    struct kw_rv r = file_read(path, &file);
    if (!kw_ok(r)) {
        return r;
    }
    struct kw_secret *key = NULL;
    if (memmem(kw_secret_peek(file), kw_secret_len(file), begin, sizeof begin - 1) != NULL) {
        r = from_pem(file, &key);
    } else {
        r = from_hex(file, &key);
    }
    if (kw_ok(r) && key == NULL) {
        if (is_aes_size(kw_secret_len(file))) {
            *out = file;
            return KW_OK;
        }
        r = KW_FAIL(
            CKR_ARGUMENTS_BAD,
            "it is no key: an AES key is 16, 24 or 32 bytes, or as many in hex; an RSA key is PEM");
    }
    kw_secret_free(file);
    if (!kw_ok(r)) {
        return r;
    }
    *out = key;
    return KW_OK;
}

static struct kw_rv read_kek(const char *path, struct kek *out)
{
    struct kw_secret *file = NULL;
    struct kw_rv r = file_read(path, &file);
    if (kw_ok(r)) {
        r = kek_from_pem(kw_secret_peek(file), kw_secret_len(file), out);
    }
    kw_secret_free(file);
    return r;
}

/* The file: JSON with a kid, or the bare bytes. */
static struct kw_rv write_blob(const struct options *o, const struct kek *k, struct blob *b)
{
    char kid[sizeof "keyward:" + KEK_ID_SIZE];
    char *text = NULL;
    if (o->raw) {
        return file_write(o->output, b->bytes, b->len, 0644);
    }
    (void)snprintf(kid, sizeof kid, "keyward:%s", k->id);
    b->kid = strdup(o->kid == NULL ? kid : o->kid);
    struct kw_rv r =
        b->kid == NULL ? KW_FAIL(CKR_HOST_MEMORY, "no memory for the file") : blob_text(b, &text);
    if (kw_ok(r)) {
        r = file_write(o->output, text, strlen(text), 0644);
    }
    free(text);
    return r;
}

/* Names the file that each failure is about. */
static bool export(const struct options *o, const struct kek *k, const struct kw_secret *key)
{
    struct blob b = {0};
    struct kw_rv r = kek_wrap(k, key, &b.bytes, &b.len);
    if (kw_ok(r)) {
        r = write_blob(o, k, &b);
    }
    if (!kw_ok(r)) {
        command_say("%s: %s", o->output, command_reason(r));
    }
    blob_clear(&b);
    return kw_ok(r);
}

static bool run(const struct options *o)
{
    struct kek k = {0};
    struct kw_secret *key = NULL;
    bool done = false;
    struct kw_rv r = read_kek(o->to, &k);
    if (!kw_ok(r)) {
        command_say("%s: %s", o->to, command_reason(r));
        return false;
    }
    r = read_key(o->key, &key);
    if (!kw_ok(r)) {
        command_say("%s: %s", o->key, command_reason(r));
    } else {
        done = export(o, &k, key);
    }
    kw_secret_free(key);
    kek_clear(&k);
    return done;
}

int verb_export_blob(struct command *c, int argc, char **argv)
{
    enum { SECURE_HEAP = 128 * 1024, SECURE_LEAST = 32 };
    struct options o;
    (void)c;
    if (!parse(argc, argv, &o)) {
        return USAGE;
    }
    if (CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST) != 1) {
        command_say("memory for the key cannot be had or locked; raise `ulimit -l`");
        return FAILED;
    }
    bool done = run(&o);
    (void)CRYPTO_secure_malloc_done();
    return done ? DONE : FAILED;
}
