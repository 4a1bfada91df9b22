#include "survey.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "custody.h"
#include "pin.h"
#include "probe.h"

static void problem(struct survey *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void problem(struct survey *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (s->problem_count < SURVEY_PROBLEMS) {
        (void)vsnprintf(s->problems[s->problem_count++], SURVEY_SENTENCE, format, args);
    }
    va_end(args);
}

struct visit {
    struct survey *survey;
    size_t member;
    bool probe;
};

static void add_version(struct visit *v, const struct kw_version *version)
{
    struct survey *s = v->survey;
    size_t i = 0;
    while (i < s->count && s->rows[i].version.version != version->version) {
        i++;
    }
    if (i == SURVEY_VERSIONS) {
        return;
    }
    if (i == s->count) {
        s->rows[s->count++] = (struct survey_row){.version = *version};
    } else if (s->rows[i].version.has_fingerprint && version->has_fingerprint &&
               memcmp(s->rows[i].version.fingerprint, version->fingerprint, KW_FINGERPRINT_SIZE) != 0) {
        problem(s, "slot %s: version %u is another key on token %s than on its peers, so the token is out of service; take it out of `tokens =`",
                s->slot->name, version->version, s->slot->tokens[v->member]->name);
    }
    if (s->rows[i].version.state != version->state || s->rows[i].version.purge != version->purge) {
        problem(s, "slot %s: version %u is %s on token %s but not on its peers, so one of them is out of service; run `keyward repair %s`", s->slot->name,
                version->version, kw_state_name(version->state), s->slot->tokens[v->member]->name, s->slot->name);
    }
    s->rows[i].tokens |= 1u << v->member;
}

static void judge_version(struct visit *v, struct kw_lease *lease, struct kw_cmk *cmk, struct kw_cmk_entry *e)
{
    struct survey *s = v->survey;
    const char *token = s->slot->tokens[v->member]->name;
    if (e->version.problem != NULL) {
        problem(s, e->version.purge == KW_CMK_UNFINISHED
                       ? "slot %s: version %u on token %s is out of service: %s"
                       : "slot %s: version %u on token %s is out of service: %s; make the attributes right with the vendor's tool or "
                         "destroy that object",
                s->slot->name, e->version.version, token, e->version.problem);
        return;
    }
    if (!v->probe) {
        return;
    }
    bool agrees = true;
    struct kw_rv r = kw_custody_agrees(lease, e, &agrees);
    if (kw_ok(r) && !agrees) {
        problem(s, "slot %s: the halves of version %u on token %s differ, a change was interrupted; run `keyward repair %s`", s->slot->name,
                e->version.version, token, s->slot->name);
    }
    if (!kw_ok(r) || (!e->may_wrap && !e->may_unwrap)) {
        return;
    }
    r = kw_cmk_prove(lease, cmk, e, (struct kw_cmk_use){.wrap = e->may_wrap, .again = true});
    if (!kw_ok(r) && lease->failure == CKR_OK) {
        problem(s, "slot %s: version %u on token %s is not the key that its fingerprint names; destroy that object and restore the "
                   "key", s->slot->name, e->version.version, token);
    }
}

/* The hashes of OAEP, with the first RSA version that may unwrap. */
static struct kw_rv probe_oaep(struct kw_lease *lease, const struct kw_snapshot *s, struct survey_token *t)
{
    struct kw_rv r = KW_OK;
    for (size_t i = 0; i < s->count && !t->oaep_tried; i++) {
        const struct kw_cmk_entry *e = &s->entries[i];
        t->oaep_tried = e->version.type == CKK_RSA && e->may_unwrap && e->version.problem == NULL;
        for (size_t k = 0; kw_ok(r) && t->oaep_tried && k < KW_OAEP_HASHES; k++) {
            r = kw_probe_oaep(lease, e->handle, kw_probe_hash(k), &t->oaep[k]);
        }
    }
    return r;
}

/* The origin key, without which a slot with an RSA key has no envelopes. Older versions share it with the newest. */
static struct kw_rv look_at_origin(struct kw_lease *lease, const struct kw_snapshot *s, struct visit *v)
{
    static const uint8_t text[] = "keyward check";
    struct survey_token *t = &v->survey->tokens[v->member];
    struct kw_dek_owner owner = {.label = v->survey->slot->key};
    size_t count = 0;
    if (s->count == 0 || s->entries[0].version.type != CKK_RSA || (v->survey->slot->mechanisms & KW_MECHANISMS_ENVELOPE) == 0) {
        return KW_OK;
    }
    memcpy(owner.lineage, s->entries[0].version.lineage, sizeof owner.lineage);
    struct kw_rv r = kw_origin_count(lease, &owner, &count);
    if (!kw_ok(r) || count == 0) {
        t->origin = kw_ok(r) ? SURVEY_ORIGIN_NONE : SURVEY_ORIGIN_NO_MATTER;
        return r;
    }
    r = kw_origin_tag(lease, &owner, text, sizeof text, t->origin_tag);
    t->origin = kw_ok(r) ? SURVEY_ORIGIN_GOOD : SURVEY_ORIGIN_UNFIT;
    return r.code == CKR_KEY_FUNCTION_NOT_PERMITTED && lease->failure == CKR_OK ? KW_OK : r;
}

static struct kw_rv do_visit(struct kw_lease *lease, struct kw_cmk *cmk, void *arg)
{
    struct visit *v = arg;
    struct survey_token *t = &v->survey->tokens[v->member];
    struct kw_snapshot *s = NULL;
    struct kw_rv r = kw_cmk_get(lease, cmk, true, &s);
    if (kw_ok(r) && v->probe) {
        r = kw_probe(lease, KW_FORMAT_KW, KW_DEK_LENGTH_MAX, &t->kw);
    }
    if (kw_ok(r) && v->probe) {
        r = kw_probe(lease, KW_FORMAT_KWP, KW_DEK_LENGTH_MAX, &t->kwp);
    }
    if (kw_ok(r) && v->probe) {
        r = kw_capability_limits(lease, &t->limits);
    }
    if (kw_ok(r) && v->probe) {
        r = probe_oaep(lease, s, t);
    }
    if (kw_ok(r) && v->probe) {
        r = look_at_origin(lease, s, v);
    }
    if (kw_ok(r)) {
        r = kw_capability(lease, &t->capability);
    }
    for (size_t i = 0; kw_ok(r) && i < s->count; i++) {
        judge_version(v, lease, cmk, &s->entries[i]);
    }
    if (kw_ok(r) && v->probe) { /* proving an adopted key gave it its fingerprint */
        kw_snapshot_put(s);
        s = NULL;
        r = kw_cmk_get(lease, cmk, true, &s);
    }
    for (size_t i = 0; kw_ok(r) && i < s->count; i++) {
        add_version(v, &s->entries[i].version);
    }
    if (kw_ok(r) && s->count == 0) {
        problem(v->survey, "slot %s: token %s has no key %s; make it with `keyward create %s`", v->survey->slot->name,
                v->survey->slot->tokens[v->member]->name, v->survey->slot->key, v->survey->slot->name);
    }
    kw_snapshot_put(s);
    return r;
}

static void visit_member(struct kw_members *m, struct visit *v)
{
    struct survey *s = v->survey;
    struct survey_token *t = &s->tokens[v->member];
    struct kw_backing *b = kw_members_backing(m, v->member);
    const char *name = s->slot->tokens[v->member]->name;
    char why[320] = "";
    t->reached = kw_ok(kw_backing_reach(b, &t->info));
    if (!t->reached) {
        kw_backing_problem(b, why, sizeof why);
        problem(s, "slot %s: %s", s->slot->name, why[0] != '\0' ? why : "its token cannot be reached; bring the HSM back");
        return;
    }
    t->logged_in = command_login(m, v->member);
    if (!t->logged_in) {
        problem(s, "slot %s: token %s could not be logged in; set its PIN source right", s->slot->name, name);
        return;
    }
    const struct kw_job job = {.op = do_visit, .arg = v, .user = true};
    struct kw_rv r = kw_members_run_on(m, v->member, &job);
    t->read = kw_ok(r);
    struct kw_profile profile;
    kw_backing_profile(b, &profile);
    if (!kw_ok(r) && kw_capability_weakness(&profile.capability) != NULL) {
        problem(s, "slot %s: token %s: %s; take another HSM, or accept that with `accept-weak-token = yes` in [token %s]", s->slot->name,
                name, kw_capability_weakness(&profile.capability), name);
    } else if (!kw_ok(r)) {
        problem(s, "slot %s: token %s: %s (%s)", s->slot->name, name, command_reason(r), kw_error_name(r.code));
    }
    kw_members_logout(m);
}

/* Versions that are not on every token, and what an interrupted rotation leaves. Gives whether one is active. */
static bool judge_rows(struct survey *s)
{
    bool active = false;
    const struct kw_version *newest = NULL;
    for (size_t i = 0; i < s->count; i++) {
        const struct kw_version *v = &s->rows[i].version;
        newest = newest == NULL || v->version > newest->version ? v : newest;
    }
    if (newest != NULL && newest->type == CKK_RSA && newest->origin != KW_ORIGIN_UNKNOWN && newest->state == KW_STATE_RETIRED) {
        problem(s, "slot %s: version %u is the newest but retired, a change was interrupted; `keyward repair %s` makes it active",
                s->slot->name, newest->version, s->slot->name);
    }
    for (size_t i = 0; i < s->count; i++) { /* newest first */
        bool one = s->rows[i].version.state == KW_STATE_ACTIVE;
        if (one && active) {
            problem(s, "slot %s: version %u is active beside a newer one; `keyward repair %s` retires it", s->slot->name,
                    s->rows[i].version.version, s->slot->name);
        }
        active |= one;
    }
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->slot->token_count; k++) {
            if (s->tokens[k].read && (s->rows[i].tokens & 1u << k) == 0) {
                problem(s, "slot %s: version %u is missing on token %s, which is out of service; run `keyward repair %s`", s->slot->name,
                        s->rows[i].version.version, s->slot->tokens[k]->name, s->slot->name);
            }
        }
    }
    return active;
}

const char *survey_origin_trouble(const struct survey *s, size_t i)
{
    const struct survey_token *t = &s->tokens[i];
    if (t->origin == SURVEY_ORIGIN_NONE) {
        return "has no origin key for its RSA key, so there are no envelopes under it; `keyward repair` makes one";
    }
    if (t->origin == SURVEY_ORIGIN_UNFIT) {
        return "has an origin key that may do more than sign, or two, so there are no envelopes; destroy what is wrong with the vendor's tool";
    }
    for (size_t k = 0; t->origin == SURVEY_ORIGIN_GOOD && k < i; k++) {
        if (s->tokens[k].origin == SURVEY_ORIGIN_GOOD && memcmp(s->tokens[k].origin_tag, t->origin_tag, sizeof t->origin_tag) != 0) {
            return "has another origin key than its peers, so it refuses their envelopes; take it out of `tokens =`";
        }
    }
    return NULL;
}

static void judge_slot(struct survey *s)
{
    bool active = judge_rows(s);
    bool is_rsa = s->count > 0 && s->rows[0].version.type == CKK_RSA; /* which needs no AES key wrap */
    if (s->count > 0 && !active) {
        problem(s, "slot %s: no version of key %s is active, so nothing can be wrapped; enable or create one", s->slot->name,
                s->slot->key);
    }
    for (size_t i = 0; i < s->slot->token_count; i++) {
        const struct survey_token *t = &s->tokens[i];
        if (!is_rsa && t->kw.tried && t->kw.mechanism == CK_UNAVAILABLE_INFORMATION) {
            problem(s, "slot %s: token %s is not proven to do RFC 3394 (CKM_AES_KEY_WRAP); it cannot hold an AES key for Keyward, but perhaps an RSA key",
                    s->slot->name, s->slot->tokens[i]->name);
        }
        const char *trouble = survey_origin_trouble(s, i);
        if (trouble != NULL && s->slot->asks_mechanisms) {
            problem(s, "slot %s: token %s %s", s->slot->name, s->slot->tokens[i]->name, trouble);
        }
    }
}

bool survey_is_whole(const struct survey *s)
{
    size_t i = 0;
    while (i < s->slot->token_count && s->tokens[i].read) {
        i++;
    }
    return i == s->slot->token_count;
}

void survey_slot(struct command *c, const struct kw_config_slot *slot, bool probe, struct survey *out)
{
    memset(out, 0, sizeof *out);
    out->slot = slot;
    struct kw_members *m = command_members(c, slot);
    if (m == NULL) {
        problem(out, "slot %s: memory is short", slot->name);
        return;
    }
    for (size_t i = 0; i < slot->token_count; i++) {
        struct visit v = {out, i, probe};
        visit_member(m, &v);
    }
    kw_members_free(m);
    judge_slot(out);
}
