/* keyward check: reaches every token, says what is there, and one line per problem with what to do about it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "log.h"
#include "survey.h"
#include "type.h"

static const char *proof_text(const struct kw_proof *p)
{
    static char text[96];
    if (!p->tried) {
        return "not tried";
    }
    if (p->mechanism == CK_UNAVAILABLE_INFORMATION) {
        return "not proven";
    }
    (void)snprintf(text, sizeof text, "proven as mechanism 0x%lx, %s up to %zu bytes", p->mechanism,
                   p->any_length ? "any length" : "lengths that are multiples of 8", p->most);
    return text;
}

static const char *finding_text(enum kw_finding f)
{
    return f == KW_FINDING_KEPT ? "kept" : f == KW_FINDING_BROKEN ? "NOT KEPT" : "not known";
}

static void print_capability(const struct kw_capability *c, const struct kw_limits *l)
{
    (void)printf("    CKA_EXTRACTABLE false: %s; CKA_SENSITIVE true: %s; wrap only: %s (encrypt), %s (derive)\n",
                 finding_text(c->extractable), finding_text(c->sensitive), finding_text(c->usage), finding_text(l->derive));
    (void)printf("    session keys take CKA_COPYABLE: %s; CKA_ALLOWED_MECHANISMS: %s; CKA_WRAP_TEMPLATE: %s\n", l->copyable ? "yes" : "no",
                 l->allowed ? "yes" : "no", l->templates ? "yes" : "no");
    (void)printf("    generic secrets of %zu to %zu bytes\n", l->generic_least, l->generic_most);
}

static void print_oaep(const struct survey_token *t)
{
    static const char *const names[KW_OAEP_HASHES] = {"SHA-1", "SHA-256", "SHA-384", "SHA-512"};
    (void)printf("    RFC 8017 (CKM_RSA_PKCS_OAEP): proven with");
    for (size_t i = 0; i < KW_OAEP_HASHES; i++) {
        if (t->oaep[i]) {
            (void)printf(" %s", names[i]);
        }
    }
    (void)puts("");
}

/* A field of CK_TOKEN_INFO, which whoever made the token has written. */
static void print_field(const unsigned char *field, size_t len)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.*s", (int)len, (const char *)field);
    kw_log_neutralize(text);
    (void)fputs(text, stdout);
}

static void print_token(const struct survey *s, size_t i)
{
    const struct survey_token *t = &s->tokens[i];
    if (!t->reached) {
        (void)printf("  token %s: not reached\n", s->slot->tokens[i]->name);
        return;
    }
    (void)printf("  token %s: ", s->slot->tokens[i]->name);
    print_field(t->info.label, sizeof t->info.label);
    (void)printf(", serial ");
    print_field(t->info.serialNumber, sizeof t->info.serialNumber);
    (void)putchar('\n');
    (void)printf("    RFC 3394 (CKM_AES_KEY_WRAP): %s\n", proof_text(&t->kw));
    (void)printf("    RFC 5649 (CKM_AES_KEY_WRAP_KWP, _PAD): %s\n", proof_text(&t->kwp));
    if (t->oaep_tried) {
        print_oaep(t);
    }
    if (t->capability.tried) {
        print_capability(&t->capability, &t->limits);
    }
}

/* What the operator has accepted, or may not mind. */
static void print_notes(const struct survey *s)
{
    for (size_t i = 0; i < s->slot->token_count; i++) {
        const char *why = kw_capability_weakness(&s->tokens[i].capability);
        if (why != NULL && s->slot->tokens[i]->accepts_weak) {
            (void)printf("  note: slot %s: token %s: %s; accepted by accept-weak-token\n", s->slot->name, s->slot->tokens[i]->name, why);
        }
        const char *trouble = s->slot->asks_mechanisms ? NULL : survey_origin_trouble(s, i);
        if (trouble != NULL) {
            (void)printf("  note: slot %s: token %s %s\n", s->slot->name, s->slot->tokens[i]->name, trouble);
        }
    }
}

static void print_survey(const struct survey *s)
{
    (void)printf("slot %s, key %s\n", s->slot->name, s->slot->key);
    for (size_t i = 0; i < s->slot->token_count; i++) {
        print_token(s, i);
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct kw_version *v = &s->rows[i].version;
        (void)printf("  version %u: %s, %s-%u, fingerprint %s\n", v->version, kw_state_name(v->state), type_name(v->type), v->bits,
                     command_fingerprint(v));
    }
}

int verb_check(struct command *c, int argc, char **argv)
{
    (void)argv;
    if (argc != 1) {
        return USAGE;
    }
    size_t problems = 0;
    struct survey *s = malloc(sizeof *s);
    if (s == NULL) {
        command_say("memory is short");
        return FAILED;
    }
    (void)printf("configuration %s: %zu slot%s, %zu token%s\n", c->config->path, c->config->slot_count,
                 c->config->slot_count == 1 ? "" : "s", c->config->token_count, c->config->token_count == 1 ? "" : "s");
    for (size_t i = 0; i < c->config->slot_count; i++) {
        survey_slot(c, &c->config->slots[i], true, s);
        print_survey(s);
        print_notes(s);
        for (size_t k = 0; k < s->problem_count; k++) {
            (void)printf("  problem: %s\n", s->problems[k]);
        }
        problems += s->problem_count;
    }
    free(s);
    if (problems > 0) {
        (void)printf("%zu problem%s\n", problems, problems == 1 ? "" : "s");
        return FAILED;
    }
    (void)puts("no problems");
    return DONE;
}
