/* keyward transport-key SLOT: the key of the slot's first token to which a customer wraps a key of
 * theirs; made if there is none. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "kek.h"
#include "lineage.h"
#include "progress.h"

enum {
    BITS = 3072 /* unless --type says another */,
    KID_MAX = KW_CONFIG_NAME_MAX + KEK_ID_SIZE + 16
};

struct options {
    const char *slot;
    const char *output; /* or NULL */
    unsigned bits;      /* 0: not given */
    bool json;
};

static bool parse_type(const char *text, unsigned *bits)
{
    struct type type;
    if (type_parse(text, &type) && type.key == CKK_RSA) {
        *bits = type.bits;
        return true;
    }
    command_say("--type %s: the types are rsa:2048, rsa:3072 and rsa:4096", text);
    return false;
}

static bool parse(int argc, char **argv, struct options *out)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"output", required_argument, NULL, 'o'},
        {"type", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    int option = 0;
    *out = (struct options){0};
    while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == 'j') {
            out->json = true;
        } else if (option == 'o') {
            out->output = optarg;
        } else if (option != 't' || !parse_type(optarg, &out->bits)) {
            return false;
        }
    }
    out->slot = argc - optind == 1 ? argv[optind] : NULL;
    return out->slot != NULL;
}

struct search {
    const char *label;
    unsigned bits;
    struct kw_transfer_key key;
    bool found;
};

static struct kw_rv do_find(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct search *s = arg;
    (void)cmk;
    return kw_transfer_find(lease, s->label, &s->key, &s->found);
}

static struct kw_rv do_make(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct search *s = arg;
    (void)cmk;
    return kw_transfer_make(lease, s->label, s->bits, &s->key);
}

static bool run(struct lineage *l, kw_member_op *op, bool once, struct search *s)
{
    const struct kw_job job = {.op = op, .arg = s, .user = true, .once = once};
    struct kw_rv r = kw_members_run_on(l->members, 0, &job);
    if (!kw_ok(r)) {
        command_say("slot %s: token %s: %s (%s)", l->slot->name, l->slot->tokens[0]->name,
                    command_reason(r), kw_error_name(r.code));
    }
    return kw_ok(r);
}

/* The transport key of the opened slot, found or made. */
static bool obtain(struct lineage *l, unsigned bits, struct search *s)
{
    *s = (struct search){.label = l->slot->key, .bits = bits == 0 ? BITS : bits};
    if (!run(l, do_find, false, s)) {
        return false;
    }
    if (s->found && bits != 0 && s->key.numbers.modulus_len * 8 != bits) {
        command_say("slot %s: its transport key is of %zu bits; nothing was changed (leave --type "
                    "away to see it)",
                    l->slot->name, s->key.numbers.modulus_len * 8);
        return false;
    }
    if (s->found) {
        return true;
    }
    progress_say("transport key of %u bits in token %s", s->bits, l->slot->tokens[0]->name);
    bool made = run(l, do_make, true, s);
    progress_end();
    return made;
}

static void print(const struct options *o, const struct kw_config_slot *slot, const struct kek *k,
                  const char *pem)
{
    char kid[KID_MAX];
    char type[16];
    (void)snprintf(kid, sizeof kid, "keyward:%s/%s", slot->name, k->id);
    (void)snprintf(type, sizeof type, "rsa:%u", k->bits);
    if (o->json) {
        json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:s}", "slot", slot->name, "token",
                                 slot->tokens[0]->name, "type", type, "kid", kid, "pem", pem);
        (void)json_dumpf(root, stdout, JSON_INDENT(2));
        (void)putchar('\n');
        json_decref(root);
        return;
    }
    (void)printf("%s  transport key  %s  %s\nkid %s\n", slot->name, type, slot->tokens[0]->name,
                 kid);
    if (o->output == NULL) {
        (void)fputs(pem, stdout);
    }
}

/* Writes and prints what a customer needs. */
static bool hand_out(const struct options *o, const struct kw_config_slot *slot,
                     const struct kw_transfer_key *key)
{
    struct kek k;
    char *pem = NULL;
    struct kw_rv r = kek_from_token(key, &k);
    if (kw_ok(r)) {
        r = kek_pem(&k, &pem);
    } else {
        k = (struct kek){0};
    }
    if (!kw_ok(r)) {
        command_say("slot %s: %s", slot->name, command_reason(r));
    } else if (o->output != NULL) {
        r = file_write(o->output, pem, strlen(pem), 0644);
        if (!kw_ok(r)) {
            command_say("%s: %s", o->output, command_reason(r));
        }
    }
    if (kw_ok(r)) {
        print(o, slot, &k, pem);
    }
    free(pem);
    kek_clear(&k);
    return kw_ok(r);
}

int verb_transport_key(struct command *c, int argc, char **argv)
{
    struct options o;
    struct lineage l;
    struct search s;
    if (!parse(argc, argv, &o)) {
        return USAGE;
    }
    bool done =
        lineage_open(c, o.slot, &l) && obtain(&l, o.bits, &s) && hand_out(&o, l.slot, &s.key);
    lineage_close(&l);
    return done ? DONE : FAILED;
}
