/*
 * vendor.h: a vendor's PKCS#11 module in this process, one kw_vendor per path.
 *
 * Loaded through libp11-kit, never unloaded (some modules crash then, HSM-FACTS section 2), initialised at first use. Every call into
 * it happens between kw_vendor_enter and kw_vendor_leave, so that a restart (C_Finalize + C_Initialize) and a fork can wait until
 * nobody is inside. An epoch is one life of the connection: from C_Initialize to C_Finalize; handles of another epoch are dead.
 * Locks: each vendor has one mutex, never held while the vendor's code runs.
 */
#ifndef KW_VENDOR_H
#define KW_VENDOR_H

#include "config.h"

struct kw_pulse;
struct kw_vendor;

/* The module at `path` (absolute), loaded if it was not. `init` is the string for C_Initialize's pReserved or NULL. The vendor is
 * borrowed for the life of the process. CKR_GENERAL_ERROR when it cannot be loaded (reason logged), CKR_HOST_MEMORY. */
KW_MUST_USE struct kw_rv kw_vendor_load(const char *path, const char *init, struct kw_vendor **out);

/* Counts the caller as inside, initialising the module when it is not; *functions is valid until kw_vendor_leave, *epoch names the
 * connection. Waits (bounded, 5 s) while a restart runs. CKR_DEVICE_ERROR when the module cannot be initialised. */
KW_MUST_USE struct kw_rv kw_vendor_enter(struct kw_vendor *v, const struct kw_pulse *pulse, const CK_FUNCTION_LIST **functions, unsigned long *epoch);
void kw_vendor_leave(struct kw_vendor *v);

/* From now on one thread at a time is inside (a thread that is inside some vendor already does not wait): for modules that go wrong with two.
 * kw_vendor_enter waits at most `wait_ms` for its turn, or until `pulse` (unless it is NULL) hangs, then answers CKR_DEVICE_MEMORY. */
void kw_vendor_one_at_a_time(struct kw_vendor *v, long wait_ms);

/* Ends epoch `epoch` by C_Finalize, once, when nobody is inside (waits at most 5 s, then gives up with CKR_DEVICE_ERROR);
 * the next kw_vendor_enter initialises. Nothing happens when that epoch is over already. A module that the application itself had
 * initialised is never finalised. The caller must not be inside. */
KW_MUST_USE struct kw_rv kw_vendor_end_epoch(struct kw_vendor *v, unsigned long epoch);

/* The backing token of this name in the configuration is connected in the present epoch, as this slot. False, with the name of the other one, when
 * one of another name is that slot: two names for one token would let two slots meet on it unseen, and make a replica of itself. */
KW_MUST_USE bool kw_vendor_connected(struct kw_vendor *v, const char *token, CK_SLOT_ID slot, char other[KW_CONFIG_NAME_MAX + 1]);

/* Whether ending the present epoch to look for a missing token is worth it: no token is connected in it; or it is looked for the `first` time
 * and the epoch began less than two seconds ago (SoftHSM misses tokens when several processes start at once, and only a new epoch finds
 * them). A token that was missing before is not worth the connections of the others. */
bool kw_vendor_may_restart(struct kw_vendor *v, bool first);

/* C_Finalize of Keyward: ends the epoch of every vendor module that Keyward initialised. */
void kw_vendor_end_all(void);

/* Whether the vendors' modules may create threads (CKF_LIBRARY_CANT_CREATE_OS_THREADS); for the connections to come. */
void kw_vendor_allow_threads(bool allow);

/* `hook` runs when the process exits, before the vendors' own exit handlers take their memory away: nobody may enter a vendor afterwards.
 * (exit without C_Finalize, and calls from an atexit handler, are the application's right.) NULL: none. */
void kw_vendor_on_exit(void (*hook)(void));

/* Whether the calling thread is inside a vendor; some call exit(3) there. */
bool kw_vendor_is_inside(void);

/* Around fork(2): before it, waits (at most 1 s for each) until no other thread is inside any vendor; after it in the parent, goes on; in the child,
 * every connection is over and the next kw_vendor_enter starts the module anew. */
void kw_vendor_fork_prepare(void);
void kw_vendor_fork_parent(void);
void kw_vendor_fork_child(void);

#endif
