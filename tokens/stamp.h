/*
 * stamp.h: the origin key of an RSA lineage in all its tokens (module/origin.h says what it is for).
 *
 * It is made with the lineage's first version, before that is activated, and lives as long as any version does. Functions say what went wrong and
 * give false then. An AES lineage has none: nothing to do.
 */
#ifndef STAMP_H
#define STAMP_H

#include "lineage.h"

/* Every token of an RSA lineage that has a version has the same origin key: made where none has one, or where no version was ever finished. `say`:
 * tells that it was made. */
bool stamp_ensure(struct lineage *l, bool say);

/* Destroys it in every token: the last version is about to go. */
bool stamp_end(struct lineage *l, const uint8_t lineage[KW_LINEAGE_SIZE]);

#endif
