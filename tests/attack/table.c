#include "attack.h"

#include <stddef.h>

/* Every row is proven by one of the two: what SoftHSM itself refuses, NSS lets through. */
/* 0: no stand-in can be asked, it has neither envelopes nor a lineage. Such a row was seen to fail with the origin check taken out. */
enum { BY_BOTH = PROVEN_SOFTHSM | PROVEN_NSS, BY_NSS = PROVEN_NSS };

static const struct attack rows[] = {
    {"A01", "wrap, then decrypt the blob (Clulow)", attack_wrap_decrypt, attack_wrap_decrypt, BY_BOTH, NULL},
    {"A01b", "master key with a forbidden usage or attribute", attack_planted_usage, attack_planted_usage,
     BY_BOTH, NULL},
    {"A02", "encrypt a blob, unwrap it as a wrapping key", attack_encrypt_unwrap, attack_encrypt_unwrap,
     BY_BOTH, NULL},
    {"A03", "unwrap a sealed key readable (sealed slot)", attack_launder, attack_launder_sealed, BY_BOTH,
     NULL},
    {"A03b", "read what was not asked readable (readable slot)", attack_launder, attack_launder_readable,
     BY_BOTH, NULL},
    {"A04", "one blob, two roles", attack_double_unwrap, attack_double_unwrap, BY_BOTH, NULL},
    {"A05", "wrap the master key with itself", attack_self_wrap, attack_self_wrap, BY_NSS, NULL},
    {"A06", "wrap the master key with a known key", attack_wrap_master, attack_wrap_master, BY_NSS, NULL},
    {"A06b", "the same, the master key being extractable", attack_extractable_master,
     attack_extractable_master, BY_BOTH, NULL},
    {"A07", "flip an attribute (here)", attack_flip_here, attack_flip_here, BY_BOTH, NULL},
    {"A07b", "flip an attribute (in another process), then use it", attack_flip, attack_flip, BY_BOTH, NULL},
    {"A08", "copy the master key with another usage", attack_copy, attack_copy, BY_BOTH, NULL},
    {"A09", "change a bit of a blob", attack_malleable, attack_malleable, BY_NSS, NULL},
    {"A09b", "change a bit of an envelope", attack_envelope_bits, attack_envelope_bits, BY_NSS, NULL},
    {"A10", "padding oracle", attack_padding, attack_padding, BY_NSS, NULL},
    {"A11", "Bleichenbacher's oracle (PKCS#1 v1.5)", attack_bleichenbacher, attack_bleichenbacher_here,
     BY_BOTH, NULL},
    {"A12", "Manger's oracle (OAEP)", attack_manger, attack_manger_here, BY_NSS, NULL},
    {"A12b", "the same by envelopes", attack_manger, attack_envelope_oracle, 0, NULL},
    {"A13", "conjure a key from random bytes", attack_conjure, attack_conjure, BY_NSS, NULL},
    {"A13b", "conjure an envelope", attack_envelope_conjure, attack_envelope_conjure, BY_NSS, NULL},
    {"A14", "derive: a block cipher of the master key", attack_derive, attack_derive, BY_BOTH, NULL},
    {"A15", "a secret comes back with another length", attack_length, attack_length, BY_BOTH, NULL},
    {"A15b", "a secret comes back with another type", attack_type, attack_type, BY_BOTH, NULL},
    {"A16", "see another tenant's data keys", attack_visible, attack_visible, BY_BOTH, NULL},
    {"A16b", "use another tenant's handles (fuzz)", attack_handles, attack_handles, BY_BOTH, NULL},
    {"A17", "be logged in by another tenant's login", attack_login, attack_login, BY_BOTH, NULL},
    {"A17b", "log in with a wrong PIN beside another tenant", attack_pin, attack_pin, BY_BOTH, NULL},
    {"A20", "mechanism downgrade (all numbers)", attack_mechanisms, attack_mechanisms, BY_BOTH, NULL},
    {"A21", "wrap an own key with the public RSA key", attack_rsa_forge, attack_rsa_forge_here, 0, NULL},
    {"A22", "open another tenant's blob", attack_swap, attack_swap, BY_BOTH, NULL},
    {"A22b", "put a wrapped key into another row", attack_envelope_move, attack_envelope_move, BY_BOTH, NULL},
    {"A23", "AES-128 wraps AES-256", attack_weak_wraps_strong, attack_weak_wraps_strong, BY_BOTH, NULL},
    {"A24", "ALWAYS_AUTHENTICATE without a login per use", attack_always_authenticate,
     attack_always_authenticate, BY_BOTH, NULL},
    {"A25", "digest of the master key", attack_digest, attack_digest, BY_BOTH, NULL},
    {"A27", "make a key TRUSTED as user", attack_trusted, attack_trusted, BY_NSS, NULL},
    {"A28", "twin with the master key's label and id", attack_twin_first, attack_twin_first, BY_BOTH, NULL},
    {"A28b", "twin planted while in use", attack_twin_later, attack_twin_later, BY_BOTH, NULL},
    {"A28c", "known key in the master key's place", attack_replaced, attack_replaced, BY_BOTH, NULL},
    {"A28d", "the same, with a fitting canary", attack_replaced_with_canary, attack_replaced_with_canary,
     BY_BOTH, NULL},
    {"A31", "false provenance (LOCAL, ALWAYS_SENSITIVE, ...)", attack_provenance, attack_provenance, BY_NSS,
     NULL},
    {"A32", "unwrap against CKA_UNWRAP_TEMPLATE", attack_unwrap_template, attack_unwrap_template, BY_NSS,
     NULL},
    {"A33", "mechanism against CKA_ALLOWED_MECHANISMS", attack_allowed_mechanisms, attack_allowed_mechanisms,
     BY_NSS, NULL},
    {"B1", "operation state, InitToken, PINs, seed, events", attack_services, attack_services, BY_BOTH, NULL},
    {"B2", "log out or close another tenant's sessions", attack_bystander, attack_bystander, BY_BOTH, NULL},
    {"B3", "an attribute twice, with two values", attack_duplicates, attack_duplicates, BY_BOTH, NULL},
    {"B4", "change the arguments during the call", NULL, attack_race, BY_BOTH,
     "no policy stands before the bare token"},
};

const struct attack *attack_table(unsigned *count)
{
    *count = sizeof rows / sizeof rows[0];
    return rows;
}
