/*
 * survey.h: what a slot's tokens hold, for `list` and `check`: one row per version, with the tokens that have it.
 *
 * A survey is on the caller's stack and borrows the configuration. It visits every token of the slot; what cannot be
 * reached is kept as a problem, a sentence with what to do.
 */
#ifndef KW_SURVEY_H
#define KW_SURVEY_H

#include "capability.h"
#include "command.h"
#include "origin.h"

enum { SURVEY_VERSIONS = KW_VERSIONS_MAX, SURVEY_PROBLEMS = 64, SURVEY_SENTENCE = 400 };

struct survey_row {
    struct kw_version version;
    unsigned tokens; /* bit i: member i has it */
};

/* The origin key of an RSA key (module/origin.h): whether it was looked for, and what was found. */
enum survey_origin { SURVEY_ORIGIN_NO_MATTER, SURVEY_ORIGIN_NONE, SURVEY_ORIGIN_UNFIT, SURVEY_ORIGIN_GOOD };

struct survey_token {
    bool reached;
    bool logged_in;
    bool read; /* its versions are known */
    CK_TOKEN_INFO info;
    struct kw_proof kw;
    struct kw_proof kwp;
    bool oaep_tried;           /* with an RSA version of the slot */
    bool oaep[KW_OAEP_HASHES]; /* in the order of kw_probe_hash */
    struct kw_capability capability;
    struct kw_limits limits;
    enum survey_origin origin;
    uint8_t origin_tag[KW_ORIGIN_TAG_SIZE]; /* by it, of a text that is always the same */
};

struct survey {
    const struct kw_config_slot *slot;
    struct survey_token tokens[KW_CONFIG_MEMBERS_MAX];
    size_t count;
    struct survey_row rows[SURVEY_VERSIONS];
    size_t problem_count;
    char problems[SURVEY_PROBLEMS][SURVEY_SENTENCE];
};

/* Why token i opens and makes no envelopes under the slot's RSA key, a part of a sentence with what to do; NULL: it does. It is a problem of the survey when
 * `mechanisms =` asks for envelopes. */
const char *survey_origin_trouble(const struct survey *s, size_t i);

/* Whether the versions of every token of the slot could be read. */
bool survey_is_whole(const struct survey *s);

/* Visits the slot's tokens. `probe`: also proves each version and each mechanism. */
void survey_slot(struct command *c, const struct kw_config_slot *slot, bool probe, struct survey *out);

#endif
