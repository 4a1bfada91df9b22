/*
 * backing.h: one backing token as the vendor's module shows it: found by its URI, a bounded pool of sessions, the login, the epoch.
 *
 * Work on a token is done under a lease: a session of the pool, logged in if asked, and the right to be inside the vendor's
 * module. A lease belongs to one thread and one epoch; vendor object handles found under it are valid in that epoch only.
 * The backing owns its sessions and the PIN that worked (a kw_secret, while somebody is logged in). One mutex, before the vendor's in
 * the lock order and never held while the vendor's code runs. (DESIGN section 7; HSM-FACTS rules 7, 10, 11.)
 */
#ifndef KW_BACKING_H
#define KW_BACKING_H

#include <stdint.h>
#include <time.h>

#include "config.h"
#include "secret.h"

struct kw_backing;
struct kw_pulse;
struct kw_vendor;

/* What a wrapping mechanism of the token is proven to do (probe.h fills it). */
struct kw_proof {
    bool tried;
    CK_MECHANISM_TYPE mechanism; /* the token's own number for it; CK_UNAVAILABLE_INFORMATION: the token cannot do it */
    bool any_length;             /* a length that is no multiple of 8 comes back exactly */
    size_t most;                 /* bytes of the longest key that was wrapped and came back */
    bool measured;               /* and no longer one of those that Keyward allows does */
    struct timespec again;       /* OAEP that the token cannot do: when it is tried again */
};

/* Whether a token keeps a rule: nothing is known, it does, it does not. */
enum kw_finding { KW_FINDING_NONE, KW_FINDING_KEPT, KW_FINDING_BROKEN };

/* What a token keeps to (capability.h finds it out). */
struct kw_capability {
    bool tried;
    enum kw_finding extractable; /* a key whose CKA_EXTRACTABLE is false is not wrapped out */
    enum kw_finding sensitive;   /* the value of a key whose CKA_SENSITIVE is true is not given */
    enum kw_finding usage;       /* a key that may only wrap does not encrypt */
};

enum { KW_OAEP_HASHES = 4 };

struct kw_profile {
    struct kw_proof kw;  /* RFC 3394 */
    struct kw_proof kwp; /* RFC 5649 */
    struct kw_proof oaep[KW_OAEP_HASHES]; /* in the order of kw_probe_hash */
    struct kw_capability capability;
    bool tried_handles;  /* whether a handle is given twice is known */
    bool reuses_handles;
};

struct kw_lease {
    struct kw_backing *backing;
    const CK_FUNCTION_LIST *call; /* the vendor's functions */
    CK_SESSION_HANDLE session;
    unsigned long epoch; /* of this backing; grows with each new connection */
    unsigned attempt;    /* 0 at first; what was looked up before is looked up again when it is more (member.h) */
    bool replicated;     /* the slot has other tokens, too: what is made under this one has to open there (member.h) */
    struct kw_profile profile; /* of the token, when the lease was given out */
    CK_OBJECT_HANDLE nameless; /* the session object without a name that was made under this lease (kw_dek_spec); CK_INVALID_HANDLE: none */
    CK_RV failure;       /* the vendor's last answer that was not CKR_OK and is not explained yet; CKR_OK: none */
};

/* A backing for a configured token (borrowed, must outlive it). Nothing is loaded or connected yet. *out is the caller's. */
KW_MUST_USE struct kw_rv kw_backing_new(const struct kw_config_token *config, struct kw_backing **out);

/* Closes its sessions when no lease is out; wipes; NULL is fine. The vendor's module stays initialised (kw_vendor_end_all). */
void kw_backing_free(struct kw_backing *b);

const struct kw_config_token *kw_backing_config(const struct kw_backing *b);

/* Reaches the token without a login and, when info is not NULL, copies what it says of itself. CKR_TOKEN_NOT_PRESENT when it
 * cannot be reached now; the reason is logged once per change and kw_backing_problem has it. */
KW_MUST_USE struct kw_rv kw_backing_reach(struct kw_backing *b, CK_TOKEN_INFO *info);

/* Why the token was not reached last time, a sentence with what to do; copied to out[size]. Empty when it was. */
void kw_backing_problem(struct kw_backing *b, char *out, size_t size);

/* Milliseconds until a token that was not reached may be looked for again; 0: at once. Before that every lease is refused. */
long kw_backing_rest(struct kw_backing *b);

/* Logs in with `pin`, or with the configured source when pin is NULL, and counts one more user of the login. Once the token is logged in, a
 * PIN is compared (constant time) with the one that worked and not sent. A wrong PIN is sent once per process and value; FINAL_TRY
 * and LOCKED refuse before trying (CKR_PIN_LOCKED). CKR_PIN_*, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_ERROR. */
KW_MUST_USE struct kw_rv kw_backing_login(struct kw_backing *b, const struct kw_secret *pin);

/* One user of the login less; the last one logs the token out and wipes the PIN. */
void kw_backing_logout(struct kw_backing *b);

/* Ends the connection and with it the vendor's epoch; the next lease starts afresh and logs in again. For reading back what was made
 * (HSM-FACTS rule 9). */
KW_MUST_USE struct kw_rv kw_backing_reconnect(struct kw_backing *b);

/* A lease. `user`: logged in (CKR_USER_NOT_LOGGED_IN when nobody has called kw_backing_login); a login that the token has
 * lost is made again with the PIN that worked. Waits at most the token's `wait` for a session of the pool, then CKR_DEVICE_MEMORY. */
KW_MUST_USE struct kw_rv kw_backing_lease(struct kw_backing *b, bool user, struct kw_lease *lease);
/* The same for a caller who has another token to go to, and has begun its call in kw_backing_pulse: waits no longer than until this one hangs. */
KW_MUST_USE struct kw_rv kw_backing_lease_while_alive(struct kw_backing *b, bool user, struct kw_lease *lease);

/* The token's signs of life, for all slots on it; borrowed. Callers who have another token to go to are counted there, and all who log in.
 * C_GetTokenInfo has signs of life of its own: many modules answer it themselves while their HSM hangs. */
struct kw_pulse *kw_backing_pulse(struct kw_backing *b);
struct kw_pulse *kw_backing_door(struct kw_backing *b);

/* Gives the session back. If lease->failure says that the session, the login or the connection is gone, it is closed and the next lease
 * starts afresh. */
void kw_backing_return(struct kw_lease *lease);

/* The answer rv of the vendor's function `name`, as ours: CKR_OK, or an error that is also kept in lease->failure. */
KW_MUST_USE struct kw_rv kw_lease_check(struct kw_lease *lease, CK_RV rv, const char *name);

/* Whether the token is there and the session logged in: nothing else tells "there is no such key" from "you see no keys". KW_OK, or the failure. */
KW_MUST_USE struct kw_rv kw_lease_confirm(struct kw_lease *lease);

/* The vendor handle of a name (`key`, 8 bytes) found earlier in this lease's epoch, or CK_INVALID_HANDLE. *fresh: less than a second ago. */
CK_OBJECT_HANDLE kw_lease_recall(const struct kw_lease *lease, const uint8_t key[8], bool *fresh);
/* Remembers it, also when it was seen again, or, with CK_INVALID_HANDLE, forgets it. */
void kw_lease_remember(const struct kw_lease *lease, const uint8_t key[8], CK_OBJECT_HANDLE handle);

/* The profile as far as it is known in this connection; all zero at first. */
void kw_backing_profile(struct kw_backing *b, struct kw_profile *out);
/* Brings lease->profile up to what others have found out, and keeps what was found out under the lease for those to come. Neither when the lease's
 * epoch is over: another HSM may answer now. */
void kw_lease_see_profile(struct kw_lease *lease);
void kw_lease_keep_profile(const struct kw_lease *lease);

/* The vendor's slot id of the token. */
CK_SLOT_ID kw_lease_slot(const struct kw_lease *lease);

#endif
