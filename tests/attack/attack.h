/*
 * attack.h: one row per attack of the table that tests/attack prints (ids: the project's list of
 * attacks, A01 to A33).
 *
 * An attack is a function over a scene (scene.h): it tries to get what it should not get and says
 * whether it got it. `bare` runs against the vendor's module, `keyward` against Keyward on the same
 * kind of token; often they are one function. A row's `proven` says where the keyward function
 * succeeds when a vendor's module stands in Keyward's place, which shows that it would notice if
 * Keyward let the attack through (main.c, --stand-in). Nothing is owned.
 */
#ifndef ATTACK_ATTACK_H
#define ATTACK_ATTACK_H

struct scene;

/* Vendors' modules, as bits of `proven`. */
enum { PROVEN_SOFTHSM = 1, PROVEN_NSS = 2 };

enum verdict { REFUSED, SUCCEEDS, NOT_APPLICABLE, BROKEN };

typedef enum verdict attack_fn(struct scene *s);

struct attack {
    const char *id;
    const char *name;
    attack_fn *bare; /* NULL: not applicable, and `reason` says why */
    attack_fn *keyward;
    unsigned proven;
    const char *reason;
};

/* The rows, in the order in which they are printed; *count is set. Static. */
const struct attack *attack_table(unsigned *count);

/* roles.c: keys with two roles */
attack_fn attack_wrap_decrypt, attack_planted_usage, attack_encrypt_unwrap, attack_double_unwrap;
attack_fn attack_self_wrap, attack_wrap_master, attack_extractable_master, attack_weak_wraps_strong;

/* attributes.c: what a template or C_SetAttributeValue may say */
attack_fn attack_launder, attack_launder_sealed, attack_launder_readable, attack_flip, attack_flip_here,
    attack_copy;
attack_fn attack_trusted, attack_provenance, attack_unwrap_template, attack_allowed_mechanisms,
    attack_duplicates;

/* twins.c: keys that look like the master key */
attack_fn attack_twin_first, attack_twin_later, attack_replaced, attack_replaced_with_canary;

/* blobs.c: wrapped keys that nobody wrapped */
attack_fn attack_malleable, attack_conjure, attack_length, attack_type, attack_mechanisms, attack_swap;

/* envelopes.c: envelopes that nobody wrapped, or not for this place */
attack_fn attack_envelope_bits, attack_envelope_conjure, attack_envelope_move, attack_envelope_oracle;

/* oracles.c: answers that tell something */
attack_fn attack_padding, attack_bleichenbacher, attack_bleichenbacher_here, attack_manger,
    attack_manger_here;
attack_fn attack_rsa_forge, attack_rsa_forge_here;

/* services.c: functions beside wrap and unwrap */
attack_fn attack_derive, attack_always_authenticate, attack_digest, attack_services;

/* neighbours.c: two tenants on one token */
attack_fn attack_visible, attack_handles, attack_login, attack_pin, attack_bystander;

/* races.c: memory that changes during the call */
attack_fn attack_race;

#endif
