/* keyward inspect [ENVELOPE]: what an envelope says of itself, without a token and without a configuration. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#include "command.h"
#include "written.h"

enum { HEX_MOST = 64 };

/* Up to 32 bytes in hex. */
static const char *hex(const uint8_t *bytes, size_t len, char out[HEX_MOST + 1])
{
    const struct encoding lower = {.hex = true};
    size_t used = encoding_write(&lower, bytes, len > HEX_MOST / 2 ? HEX_MOST / 2 : len, (unsigned char *)out);
    out[used] = '\0';
    return out;
}

static const char *how_text(enum kw_envelope_how how)
{
    switch (how) {
    case KW_ENVELOPE_AES_KW:
        return "AES-KW";
    case KW_ENVELOPE_OAEP_SHA256:
        return "RSA-OAEP SHA-256";
    default:
        return "RSA-OAEP SHA-1";
    }
}

static const char *type_text(CK_KEY_TYPE type)
{
    return type == CKK_AES ? "aes" : "generic";
}

static bool print_json(const struct written *w)
{
    const struct kw_envelope *e = &w->envelope;
    char lineage[HEX_MOST + 1];
    char nonce[HEX_MOST + 1];
    char origin[HEX_MOST + 1];
    json_t *o = json_pack("{s:s, s:I, s:s, s:I, s:s, s:I, s:s, s:I, s:s, s:o}", "format", "KWE1", "bytes", (json_int_t)w->len, "lineage",
                          hex(e->lineage, sizeof e->lineage, lineage), "version", (json_int_t)e->version, "wrapped_by", how_text(e->how),
                          "wrapped_bytes", (json_int_t)e->wrapped_len, "data_key_type", type_text(e->type), "data_key_bytes",
                          (json_int_t)kw_envelope_key_len(e), "nonce", hex(e->nonce, sizeof e->nonce, nonce), "origin_tag",
                          e->origin == NULL ? json_null() : json_string(hex(e->origin, KW_ENVELOPE_ORIGIN, origin)));
    bool done = o != NULL && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(o);
    return done;
}

static void print_text(const struct written *w)
{
    const struct kw_envelope *e = &w->envelope;
    char text[HEX_MOST + 1];
    (void)printf("envelope     KWE1, %zu bytes\n", w->len);
    (void)printf("lineage      %s\n", hex(e->lineage, sizeof e->lineage, text));
    (void)printf("version      %u\n", e->version);
    (void)printf("content key  wrapped by %s, %zu bytes\n", how_text(e->how), e->wrapped_len);
    (void)printf("data key     %s, %zu bytes\n", type_text(e->type), kw_envelope_key_len(e));
    (void)printf("nonce        %s\n", hex(e->nonce, sizeof e->nonce, text));
    if (e->origin != NULL) {
        (void)printf("origin tag   %s\n", hex(e->origin, KW_ENVELOPE_ORIGIN, text));
    }
}

int verb_inspect(struct command *c, int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    struct written w;
    bool json = false;
    int option = 0;
    (void)c;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'j') {
            return USAGE;
        }
        json = true;
    }
    if (argc - optind > 1) {
        return USAGE;
    }
    if (!written_given(argv[optind], &w)) {
        return FAILED;
    }
    bool done = true;
    if (json) {
        done = print_json(&w);
    } else {
        print_text(&w);
    }
    return done && fflush(stdout) == 0 ? DONE : FAILED;
}
