#include "lineage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"
#include "stamp.h"

uint32_t lineage_today(void)
{
    return (uint32_t)(time(NULL) / 86400);
}

/* One lifecycle command at a time: a lock on the configuration file, which the kernel gives up with the process. */
static bool take_lock(struct lineage *l)
{
    l->lock = open(l->command->config->path, O_RDONLY | O_CLOEXEC);
    if (l->lock < 0 || flock(l->lock, LOCK_EX | LOCK_NB) != 0) {
        command_say(l->lock >= 0 && errno == EWOULDBLOCK
                        ? "slot %s: another keyward command is at work on this configuration; wait until it is done"
                        : "slot %s: the configuration cannot be locked; check its permissions",
                    l->slot->name);
        return false;
    }
    return true;
}

bool lineage_open(struct command *c, const char *slot, struct lineage *l)
{
    *l = (struct lineage){.command = c, .lock = -1};
    l->slot = command_slot(c, slot);
    if (l->slot == NULL || !take_lock(l)) {
        return false;
    }
    l->members = command_members(c, l->slot);
    while (l->members != NULL && l->logged_in < l->slot->token_count && command_login(l->members, l->logged_in)) {
        l->logged_in++;
    }
    if (l->members == NULL || l->logged_in < l->slot->token_count) {
        command_say("slot %s: every token of the slot is needed for this; nothing was changed", l->slot->name);
        return false;
    }
    return lineage_read(l);
}

void lineage_close(struct lineage *l)
{
    for (size_t i = 0; i < KW_CONFIG_MEMBERS_MAX; i++) {
        kw_snapshot_put(l->snapshots[i]);
    }
    if (l->members != NULL) {
        kw_members_logout(l->members);
    }
    kw_members_free(l->members);
    if (l->lock >= 0) {
        (void)close(l->lock);
    }
}

/* Runs one job on token i; says what went wrong. */
static bool run_job(struct lineage *l, size_t i, const struct kw_job *job)
{
    struct kw_rv r = kw_members_run_on(l->members, i, job);
    if (!kw_ok(r)) {
        command_say("slot %s: token %s: %s (%s)", l->slot->name, l->slot->tokens[i]->name, command_reason(r), kw_error_name(r.code));
    }
    return kw_ok(r);
}

/* A step that changes something: not repeated when it may have been done. */
bool lineage_step(struct lineage *l, size_t i, kw_member_op *op, void *arg)
{
    const struct kw_job job = {.op = op, .arg = arg, .user = true, .once = true};
    return run_job(l, i, &job);
}

static struct kw_rv do_read(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct kw_snapshot **out = arg;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, cmk, true, &s);
    if (kw_ok(r)) {
        kw_snapshot_put(*out);
        *out = s;
    }
    return r;
}

bool lineage_read(struct lineage *l)
{
    for (size_t i = 0; i < l->slot->token_count; i++) {
        const struct kw_job job = {.op = do_read, .arg = &l->snapshots[i], .user = true};
        if (!run_job(l, i, &job)) {
            return false;
        }
    }
    return true;
}

const struct kw_cmk_entry *lineage_at(const struct lineage *l, size_t i, uint32_t version)
{
    return kw_snapshot_version(l->snapshots[i], version);
}

const struct kw_cmk_entry *lineage_any(const struct lineage *l, uint32_t version)
{
    const struct kw_cmk_entry *e = NULL;
    for (size_t i = 0; e == NULL && i < l->slot->token_count; i++) {
        e = lineage_at(l, i, version);
    }
    return e;
}

size_t lineage_versions(const struct lineage *l, uint32_t out[KW_VERSIONS_MAX])
{
    size_t count = 0;
    uint32_t below = UINT32_MAX;
    while (count < KW_VERSIONS_MAX) {
        uint32_t next = 0;
        for (size_t i = 0; i < l->slot->token_count; i++) {
            for (size_t k = 0; k < l->snapshots[i]->count; k++) {
                uint32_t v = l->snapshots[i]->entries[k].version.version;
                next = v < below && v > next ? v : next;
            }
        }
        if (next == 0) {
            break;
        }
        out[count++] = next;
        below = next;
    }
    return count;
}

uint32_t lineage_highest(const struct lineage *l)
{
    uint32_t versions[KW_VERSIONS_MAX];
    return lineage_versions(l, versions) == 0 ? 0 : versions[0];
}

static bool is_same(const struct kw_cmk_entry *a, const struct kw_cmk_entry *b)
{
    return a->version.state == b->version.state && a->version.purge == b->version.purge &&
           memcmp(a->version.fingerprint, b->version.fingerprint, KW_FINGERPRINT_SIZE) == 0;
}

bool lineage_is_sound(const struct lineage *l)
{
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    for (size_t v = 0; v < count; v++) {
        const struct kw_cmk_entry *first = lineage_any(l, versions[v]);
        for (size_t i = 0; i < l->slot->token_count; i++) {
            const struct kw_cmk_entry *e = lineage_at(l, i, versions[v]);
            const char *token = l->slot->tokens[i]->name;
            if (e == NULL || !is_same(e, first)) {
                command_say("slot %s: version %u on token %s is not as on its peers; run `keyward repair %s` first", l->slot->name,
                            versions[v], token, l->slot->name);
                return false;
            }
            if (e->version.problem != NULL) {
                command_say("slot %s: version %u on token %s is out of service: %s", l->slot->name, versions[v], token,
                            e->version.problem);
                return false;
            }
        }
    }
    return true;
}

bool lineage_has_active(const struct lineage *l)
{
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    for (size_t i = 0; i < count; i++) {
        if (lineage_any(l, versions[i])->version.state == KW_STATE_ACTIVE) {
            return true;
        }
    }
    command_say("slot %s: no version of key %s is active; `keyward enable %s` or `keyward recover` comes first", l->slot->name, l->slot->key,
                l->slot->name);
    return false;
}

struct change {
    uint32_t version;
    const struct kw_custody_state *to; /* NULL: destroy */
};

static struct kw_rv do_change(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    const struct change *c = arg;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, cmk, true, &s);
    if (!kw_ok(r)) {
        return r;
    }
    const struct kw_cmk_entry *e = kw_snapshot_version(s, c->version);
    if (e == NULL) {
        r = c->to == NULL ? KW_OK : KW_FAIL(CKR_OBJECT_HANDLE_INVALID, "the version is not in the token any more");
    } else if (c->to == NULL) {
        r = kw_custody_destroy(lease, e);
    }
    for (size_t i = 0; kw_ok(r) && c->to != NULL && i < s->count; i++) { /* all of them: a key and its twin are disabled together */
        r = s->entries[i].version.version == c->version ? kw_custody_change(lease, &s->entries[i], c->to) : KW_OK;
    }
    kw_snapshot_put(s);
    return r;
}

bool lineage_change_in(struct lineage *l, size_t i, uint32_t version, const struct kw_custody_state *to)
{
    struct change c = {version, to};
    return lineage_step(l, i, do_change, &c);
}

bool lineage_change(struct lineage *l, uint32_t version, const struct kw_custody_state *to)
{
    bool all = true;
    for (size_t i = 0; i < l->slot->token_count; i++) {
        all = lineage_change_in(l, i, version, to) && all;
    }
    return lineage_read(l) && all;
}

struct agreement {
    uint32_t version;
    bool *agrees;
};

static struct kw_rv do_agree(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    const struct agreement *a = arg;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, cmk, false, &s);
    const struct kw_cmk_entry *e = kw_ok(r) ? kw_snapshot_version(s, a->version) : NULL;
    *a->agrees = true;
    if (e != NULL) {
        r = kw_custody_agrees(lease, e, a->agrees);
    }
    kw_snapshot_put(s);
    return r;
}

bool lineage_agrees(struct lineage *l, size_t i, uint32_t version, bool *agrees)
{
    struct agreement a = {version, agrees};
    const struct kw_job job = {.op = do_agree, .arg = &a, .user = true};
    return run_job(l, i, &job);
}

bool lineage_destroy(struct lineage *l, uint32_t version)
{
    uint32_t versions[KW_VERSIONS_MAX];
    const struct kw_cmk_entry *e = lineage_any(l, version);
    bool last = e != NULL && e->version.type == CKK_RSA && lineage_versions(l, versions) == 1;
    if (last && !stamp_end(l, e->version.lineage)) { /* first: without a version nothing would tell whose it is */
        return false;
    }
    return lineage_change(l, version, NULL);
}

struct kw_custody_state lineage_usable(const struct lineage *l, uint32_t version)
{
    return (struct kw_custody_state){.wrap = version == lineage_highest(l), .unwrap = true};
}

/* The steps of making a version; each runs under a lease of one token. */
struct making {
    struct kw_custody_plan plan;
    const struct kw_transfer *from; /* where the key comes from; NULL: it is generated */
    struct kw_custody_source source;
    struct kw_custody_receiver receiver;
    struct kw_custody_blob blob;
};

static struct kw_rv do_generate(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    const struct making *m = arg;
    (void)cmk;
    return m->from != NULL ? kw_transfer_receive(lease, m->from, &m->plan) : kw_custody_generate(lease, &m->plan);
}

static struct kw_rv do_begin(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct making *m = arg;
    (void)cmk;
    return m->from != NULL ? kw_transfer_begin(lease, m->from, &m->source)
                           : kw_custody_begin(lease, &m->plan, &m->source);
}

static struct kw_rv do_prepare(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct making *m = arg;
    (void)cmk;
    return kw_custody_prepare(lease, &m->receiver);
}

static struct kw_rv do_send(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct making *m = arg;
    (void)cmk;
    return kw_custody_send(lease, &m->source, &m->receiver, &m->blob);
}

static struct kw_rv do_receive(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct making *m = arg;
    (void)cmk;
    return kw_custody_receive(lease, &m->receiver, &m->blob, &m->plan);
}

static struct kw_rv do_end(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    const struct making *m = arg;
    (void)cmk;
    kw_custody_end(lease, &m->source);
    return KW_OK;
}

/* An RSA key takes the token a while. */
static void say_work(const struct lineage *l, const struct making *m)
{
    if (m->plan.type == CKK_RSA && m->from == NULL) {
        progress_say("version %u: RSA key of %u bits in token %s", m->plan.version, m->plan.bits, l->slot->tokens[0]->name);
    }
}

/* In the only token, without a ceremony. */
static bool make_alone(struct lineage *l, struct making *m)
{
    say_work(l, m);
    bool ok = lineage_step(l, 0, do_generate, m);
    progress_end();
    return ok;
}

/* The ceremony of DESIGN section 4: made in the first token, carried to each, the original destroyed. */
static bool replicate(struct lineage *l, struct making *m)
{
    say_work(l, m);
    bool ok = lineage_step(l, 0, do_begin, m);
    progress_end();
    if (!ok) {
        return false;
    }
    for (size_t i = 0; ok && i < l->slot->token_count; i++) {
        progress_say("version %u: transport key in token %s (%zu of %zu)", m->plan.version, l->slot->tokens[i]->name, i + 1,
                     l->slot->token_count);
        ok = lineage_step(l, i, do_prepare, m) && lineage_step(l, 0, do_send, m) && lineage_step(l, i, do_receive, m);
    }
    progress_end();
    return lineage_step(l, 0, do_end, m) && ok;
}

static bool make_plan(const struct lineage *l, uint32_t version, struct type type, struct making *m)
{
    const struct kw_cmk_entry *before = version > 1 ? lineage_any(l, version - 1) : NULL;
    enum kw_origin own = l->slot->token_count > 1 ? KW_ORIGIN_REPLICATED : KW_ORIGIN_GENERATED;
    m->plan = (struct kw_custody_plan){
        .label = l->slot->key, .type = type.key, .bits = type.bits, .version = version, .today = lineage_today()};
    m->plan.origin = m->from != NULL ? KW_ORIGIN_IMPORTED : own;
    if (before != NULL) {
        memcpy(m->plan.lineage, before->version.lineage, KW_LINEAGE_SIZE);
        return true;
    }
    memcpy(m->plan.lineage, "kw", 2);
    if (getrandom(m->plan.lineage + 2, KW_LINEAGE_SIZE - 2, 0) != KW_LINEAGE_SIZE - 2) {
        command_say("the system gives no random numbers");
        return false;
    }
    return true;
}

struct verification {
    uint32_t version;
    bool same;
};

static struct kw_rv do_verify(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct verification *v = arg;
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, cmk, true, &s);
    if (kw_ok(r)) {
        const struct kw_cmk_entry *e = kw_snapshot_version(s, v->version);
        r = e == NULL ? KW_FAIL(CKR_DEVICE_ERROR, "the token said that it made the key, but a fresh connection does not show it")
                      : kw_cmk_verify(lease, e, &v->same);
    }
    kw_snapshot_put(s);
    return r;
}

bool lineage_confirm(struct lineage *l, uint32_t version)
{
    for (size_t i = 0; i < l->slot->token_count; i++) {
        struct kw_rv r = kw_backing_reconnect(kw_members_backing(l->members, i));
        if (!kw_ok(r)) {
            command_say("slot %s: token %s: %s", l->slot->name, l->slot->tokens[i]->name, command_reason(r));
            return false;
        }
    }
    if (!lineage_read(l)) {
        return false;
    }
    const struct kw_cmk_entry *first = lineage_any(l, version);
    for (size_t i = 0; i < l->slot->token_count; i++) {
        struct verification v = {version, false};
        const struct kw_cmk_entry *e = lineage_at(l, i, version);
        if (e == NULL || memcmp(e->canary, first->canary, KW_CANARY_SIZE) != 0) {
            command_say("slot %s: token %s does not show the new version as its peers do", l->slot->name, l->slot->tokens[i]->name);
            return false;
        }
        if (!lineage_step(l, i, do_verify, &v)) {
            return false;
        }
        if (!v.same) {
            command_say("slot %s: token %s shows another key than it made", l->slot->name, l->slot->tokens[i]->name);
            return false;
        }
    }
    return true;
}

bool lineage_activate(struct lineage *l, uint32_t version)
{
    const struct kw_custody_state active = {.wrap = true, .unwrap = true};
    if (lineage_change(l, version, &active)) {
        return true;
    }
    command_say("slot %s: version %u is made, but not in use on every token; run `keyward repair %s`", l->slot->name, version, l->slot->name);
    return false;
}

bool lineage_take_back(struct lineage *l, uint32_t version)
{
    command_say("slot %s: version %u was not finished; what was made of it is removed", l->slot->name, version);
    if (!lineage_read(l) || !lineage_destroy(l, version)) {
        command_say("slot %s: something of it may be left; run `keyward repair %s`", l->slot->name, l->slot->name);
    }
    return false;
}

static bool make(struct lineage *l, uint32_t version, struct type type, const struct kw_transfer *from)
{
    struct making m = {.from = from};
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    if (count >= KW_VERSIONS_MAX - 1) {
        command_say("slot %s: key %s has %zu versions, and no more are kept; purge old ones first", l->slot->name, l->slot->key, count);
        return false;
    }
    if (!make_plan(l, version, type, &m)) {
        return false;
    }
    bool made = l->slot->token_count > 1 ? replicate(l, &m) : make_alone(l, &m);
    if (!made || !lineage_confirm(l, version) || !stamp_ensure(l, false)) {
        return lineage_take_back(l, version);
    }
    return lineage_activate(l, version); /* once a broker may have used it, nothing is taken back */
}

bool lineage_make(struct lineage *l, uint32_t version, struct type type)
{
    return make(l, version, type, NULL);
}

bool lineage_import(struct lineage *l, uint32_t version, struct type type, const struct kw_transfer *from)
{
    return make(l, version, type, from);
}

struct type lineage_type(const struct lineage *l)
{
    const struct kw_version *v = &lineage_any(l, lineage_highest(l))->version;
    return (struct type){v->type, v->bits};
}

bool lineage_is_of(const struct lineage *l, CK_KEY_TYPE type)
{
    if (lineage_highest(l) == 0 || lineage_type(l).key == type) {
        return true;
    }
    command_say("slot %s: key %s is an %s key and stays one in all its versions; make a slot of its own for an %s key", l->slot->name,
                l->slot->key, type_name(lineage_type(l).key), type_name(type));
    return false;
}

bool lineage_retire_older(struct lineage *l, bool say)
{
    const struct kw_custody_state retired = {.wrap = false, .unwrap = true};
    uint32_t versions[KW_VERSIONS_MAX];
    size_t count = lineage_versions(l, versions);
    bool newest = true;
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        if (lineage_any(l, versions[i])->version.state != KW_STATE_ACTIVE) {
            continue;
        }
        if (!newest && say) {
            (void)fprintf(stderr, "version %u: retired, a newer one is active\n", versions[i]);
        }
        ok = (newest || lineage_change(l, versions[i], &retired)) && ok;
        newest = false;
    }
    return ok;
}
