#include "rewriter.h"

#include <string.h>
#include <unistd.h>

#include "written.h"

/* An envelope where it was found. */
struct found {
    struct column_span span;
    struct written in;
};

static const char is_empty[] = "";

/* NULL, or why there is none; `is_empty` when there is nothing at all. */
static const char *find(const struct rewriter *r, const unsigned char *line, size_t len, struct found *f)
{
    if (len == 0) {
        return is_empty; /* in every column */
    }
    const char *why = column_find(&r->column, line, len, &f->span);
    if (why != NULL) {
        return why;
    }
    if (f->span.start == f->span.end) {
        return is_empty;
    }
    return written_read(line + f->span.start, f->span.end - f->span.start, &f->in);
}

void rewriter_look(struct rewriter *r, struct batch *b)
{
    struct found f;
    for (size_t i = 0; r->alphabet == ENCODING_EITHER && i < b->count; i++) {
        if (find(r, b->in.at + b->lines[i].start, b->lines[i].len, &f) == NULL) {
            r->alphabet = f.in.form.hex ? ENCODING_STANDARD : f.in.form.alphabet; /* a file in hex needs no further look */
        }
    }
    b->alphabet = r->alphabet;
}

/* Answers that are about the token and not about this envelope: they will be the same for the next one. */
static bool is_outage(CK_RV code)
{
    switch (code) {
    case CKR_DEVICE_REMOVED:
    case CKR_DEVICE_ERROR:
    case CKR_DEVICE_MEMORY:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_HOST_MEMORY:
    case CKR_USER_NOT_LOGGED_IN:
        return true;
    default:
        return kw_error_class(code) == KW_CLASS_CREDENTIAL;
    }
}

/* Unwraps there, wraps here; the data key is in locked memory meanwhile. */
static struct kw_rv move(struct rewriter *r, const struct found *f, struct kw_content_unwrapping *u, struct kw_content_rewrapped *out)
{
    struct kw_dek dek;
    struct kw_rv v = keeper_unwrap(r->from, u, f->in.envelope.type, &dek);
    if (!kw_ok(v)) {
        return v;
    }
    const struct kw_content_wrapping w = {0, keeper_place(r->to, u->place.context, u->place.context_len), &dek, NULL};
    v = keeper_wrap(r->to, &w, out->bytes, &out->len);
    kw_secret_free(dek.value);
    return v;
}

/* What is to be done with one line. */
struct task {
    const unsigned char *line;
    size_t len;
    struct found found;
    bool other; /* the envelope is one of `from` */
    struct kw_content_rewrapped made;
};

static struct kw_rv context_of(const struct rewriter *r, const struct task *t, struct kw_content_unwrapping *u)
{
    struct column_span s;
    const void *context = r->context;
    size_t len = r->context == NULL ? 0 : strlen(r->context);
    if (r->context_column.number > 0) {
        if (column_find(&r->context_column, t->line, t->len, &s) != NULL) {
            return KW_FAIL(CKR_ARGUMENTS_BAD, "the line has no column for the context");
        }
        context = t->line + s.start;
        len = s.end - s.start;
    }
    *u = (struct kw_content_unwrapping){keeper_place(r->from, context, len), t->found.in.bytes, t->found.in.len};
    return KW_OK;
}

/* Once; the same again after a pause when the token is away. */
static struct kw_rv attempt(struct rewriter *r, struct task *t)
{
    struct kw_content_unwrapping u;
    if (!t->other) {
        return keeper_rewrap(r->to, t->found.in.bytes, t->found.in.len, &t->made);
    }
    struct kw_rv v = context_of(r, t, &u);
    return kw_ok(v) ? move(r, &t->found, &u, &t->made) : v;
}

enum { PAUSES = 3 /* 1, 2 and 4 seconds */ };

static struct kw_rv try(struct rewriter *r, struct task *t)
{
    struct kw_rv v = attempt(r, t);
    for (unsigned i = 0; is_outage(v.code) && i < PAUSES && !atomic_load(&r->gone); i++) {
        (void)sleep(1u << i);
        v = attempt(r, t);
    }
    if (is_outage(v.code)) {
        atomic_store(&r->gone, true);
    }
    return v;
}

/* Without the token: what would become of it. */
static const char *foresee(const struct keeper *k, const struct kw_envelope *e)
{
    const struct kw_cmk_entry *v = kw_snapshot_version(k->snapshot, e->version);
    if (v == NULL) {
        return "its version of the key is not in the token";
    }
    return v->may_unwrap && v->version.problem == NULL ? NULL : "its version of the key may not be used; see `keyward status`";
}

static const char *judge(struct rewriter *r, struct task *t, struct batch_line *line)
{
    const struct kw_envelope *e = &t->found.in.envelope;
    bool ours = memcmp(e->lineage, r->to->lineage, KW_LINEAGE_SIZE) == 0;
    t->other = !ours && r->from != NULL && memcmp(e->lineage, r->from->lineage, KW_LINEAGE_SIZE) == 0;
    line->other = t->other;
    if (!ours && !t->other) {
        return "it is an envelope of another slot's key";
    }
    line->version = e->version;
    return r->dry ? foresee(t->other ? r->from : r->to, e) : NULL;
}

/* The line with the new envelope in place of the old. */
static bool put(const struct task *t, enum encoding_alphabet alphabet, struct batch_bytes *out)
{
    const struct found *f = &t->found;
    struct encoding form = f->in.form;
    size_t before = f->span.start + form.lead;
    form.alphabet = form.alphabet == ENCODING_EITHER ? alphabet : form.alphabet;
    if (!batch_reserve(out, t->len + encoding_room(t->made.len))) {
        return false;
    }
    bool added = batch_add(out, t->line, before);
    out->len += encoding_write(&form, t->made.bytes, t->made.len, out->at + out->len);
    return added && batch_add(out, t->line + f->span.end, t->len - f->span.end);
}

/* Whether something was put into b->out for the line; if not, it is to stay as it was. */
static bool rewrite(struct rewriter *r, struct batch *b, struct batch_line *line)
{
    struct task t = {.line = b->in.at + line->start, .len = line->len};
    const char *why = find(r, t.line, t.len, &t.found);
    line->fate = why == is_empty ? BATCH_EMPTY : BATCH_FAILED;
    line->why = why != NULL ? why : judge(r, &t, line);
    if (line->why != NULL) {
        return false;
    }
    bool current = !t.other && line->version == r->to->active;
    if (r->dry) {
        line->fate = current ? BATCH_CURRENT : BATCH_REWRAPPED;
        return false;
    }
    if (atomic_load(&r->gone)) {
        line->fate = BATCH_UNTRIED;
        return false;
    }
    struct kw_rv v = try(r, &t);
    if (!kw_ok(v)) {
        line->why = command_reason(v);
        return false;
    }
    line->fate = !t.other && t.made.from == t.made.to ? BATCH_CURRENT : BATCH_REWRAPPED;
    if (line->fate == BATCH_REWRAPPED && !put(&t, b->alphabet, &b->out)) {
        line->fate = BATCH_FAILED;
        line->why = "memory is short";
    }
    return line->fate == BATCH_REWRAPPED;
}

void rewriter_batch(struct rewriter *r, struct batch *b)
{
    b->whole = true;
    for (size_t i = 0; i < b->count; i++) {
        struct batch_line *line = &b->lines[i];
        size_t before = b->out.len;
        bool header = r->header && b->first + i == 1;
        if (header) {
            line->fate = BATCH_EMPTY;
        }
        bool put_in = !header && rewrite(r, b, line);
        if (!put_in) {
            b->out.len = before;
        }
        const unsigned char *rest = b->in.at + line->start + (put_in ? line->len : 0);
        b->whole = b->whole && batch_add(&b->out, rest, (put_in ? 0 : line->len) + line->end_len);
    }
}
