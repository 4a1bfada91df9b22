/*
 * custody.h: what the key's custodian does to one version of a CMK in one token: make it, replicate it, change its state, destroy it.
 * An RSA version is two objects (halves.h); what is said of a version holds for both of them.
 *
 * Used by the keyward command only; the module never writes to a CMK. Everything runs under a lease of a logged-in member and is
 * one step of a lifecycle verb; the order of steps over several tokens is the command's (tokens/lineage.h). (DESIGN section 4.)
 */
#ifndef KW_CUSTODY_H
#define KW_CUSTODY_H

#include "cmk.h"
#include "parcel.h"

/* A version to be made. */
struct kw_custody_plan {
    const char *label;
    CK_KEY_TYPE type; /* CKK_AES, CKK_RSA */
    unsigned bits;    /* 128, 192, 256; 2048, 3072, 4096 */
    uint8_t lineage[KW_LINEAGE_SIZE];
    uint32_t version;
    uint32_t today; /* days since 1970 */
    enum kw_origin origin;
};

/* Generates the version in the token with every attribute stated, writes its canary and reads everything back; it stays unfinished (out of
 * service) until kw_custody_change ends that. What is not as asked is destroyed again. (HSM-FACTS rules 1 and 9.) */
KW_MUST_USE struct kw_rv kw_custody_generate(struct kw_lease *lease, const struct kw_custody_plan *plan);

/* What a version shall be. */
struct kw_custody_state {
    bool wrap;
    bool unwrap;
    uint32_t purge; /* day; 0 none; KW_CMK_UNFINISHED */
};

/* Gives the version this state and reads it back: an AES version in one call, an RSA version the private half first. */
KW_MUST_USE struct kw_rv kw_custody_change(struct kw_lease *lease, const struct kw_cmk_entry *e, const struct kw_custody_state *to);

/* Destroys the version. */
KW_MUST_USE struct kw_rv kw_custody_destroy(struct kw_lease *lease, const struct kw_cmk_entry *e);

/* Whether all objects of the version agree: false after a change of an RSA version that was interrupted, which
 * kw_custody_change to the state that the version shows finishes. */
KW_MUST_USE struct kw_rv kw_custody_agrees(struct kw_lease *lease, const struct kw_cmk_entry *e, bool *agrees);

/*
 * The replica ceremony: the same key in several tokens, extractable in none. In the source token a sensitive session key is made; each
 * target makes a transport RSA key pair of which only the public half leaves it; the session key travels wrapped to that: an AES key
 * by OAEP alone, an RSA private key as a parcel (parcel.h); the target makes its public half from its numbers.
 * Session objects die with the process, so nothing extractable outlives a crash.
 */
enum { KW_TRANSPORT_BITS = 3072, KW_TRANSPORT_BYTES = KW_TRANSPORT_BITS / 8 };

struct kw_custody_source {
    CK_OBJECT_HANDLE key; /* secret or private */
    CK_KEY_TYPE type;
    unsigned long epoch;
};
struct kw_custody_receiver {
    CK_OBJECT_HANDLE private_key;
    unsigned long epoch;
    struct kw_rsa_public numbers;
};
/* The key on its way. */
struct kw_custody_blob {
    CK_BYTE bytes[KW_PARCEL_MAX];
    size_t len;
};

KW_MUST_USE struct kw_rv kw_custody_begin(struct kw_lease *lease, const struct kw_custody_plan *plan, struct kw_custody_source *out);
KW_MUST_USE struct kw_rv kw_custody_prepare(struct kw_lease *lease, struct kw_custody_receiver *out);
/* In the source: wraps the key to the receiver. */
KW_MUST_USE struct kw_rv kw_custody_send(struct kw_lease *lease, const struct kw_custody_source *source,
                                         const struct kw_custody_receiver *to, struct kw_custody_blob *blob);
/* In the target: unwraps it to the plan's version, unfinished, as kw_custody_generate leaves it; ends the receiver. */
KW_MUST_USE struct kw_rv kw_custody_receive(struct kw_lease *lease, const struct kw_custody_receiver *receiver,
                                            struct kw_custody_blob *blob, const struct kw_custody_plan *plan);
/* In the source: destroys the session key. */
void kw_custody_end(struct kw_lease *lease, const struct kw_custody_source *source);

/* Unwraps it to the plan's version, unfinished, as kw_custody_generate leaves it. */
KW_MUST_USE struct kw_rv kw_custody_unwrap(struct kw_lease *lease, const struct kw_wrapped *wrapped,
                                           const struct kw_custody_plan *plan);

#endif
