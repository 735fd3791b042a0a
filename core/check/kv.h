/* kv.h - one key of a store, as an object of the search: get, set, cas, del, append. */
#ifndef ORRI_CHECK_KV_H
#define ORRI_CHECK_KV_H

#include "check/history.h"
#include "check/search.h"

enum orri_kv_verb {
    ORRI_KV_GET,                    /* saw `want` */
    ORRI_KV_SET,                    /* to `to` */
    ORRI_KV_CAS,                    /* from `want` to `to` */
    ORRI_KV_CAS_NOT,                /* saw something else than `want` */
    ORRI_KV_DEL,                    /* whether there was one isn't known */
    ORRI_KV_DEL_SOME, ORRI_KV_DEL_NONE,
    ORRI_KV_APPEND                  /* `to` is what was appended */
};
/* What may lie under a key. Of a text, `id` can be computed from those of its parts. */
struct orri_content {
    struct orr_hash128 id;
    const char *text;               /* NULL: it is no text */
    uint32_t size;
};
struct orri_kv_call {
    uint8_t verb;                   /* enum orri_kv_verb */
    struct orri_content want, to;
    orri_id value;                  /* of `to`, for people */
};
struct orri_kv;

extern const struct orri_content orri_kv_missing;
struct orri_content orri_kv_number(uint64_t number);        /* anything but a text, by its number */
struct orri_content orri_kv_text(const char *text, size_t size);
bool orri_kv_writes(const struct orri_kv_call *call);
bool orri_kv_reads(const struct orri_kv_call *call);        /* changes nothing in any state that takes it */

/* An object over n calls, which stay the caller's. `first`: what lies there before them. values NULL: it can't tell its
 * state. All memory is the arena's. Numbers the twins, if `twins` isn't NULL. -ENOMEM. */
int orri_kv_object(struct orri_object *out, struct orri_arena *arena, const struct orri_kv_call *calls, uint32_t n,
                   struct orri_content first, const struct orri_values *values, uint32_t *twins);

#endif
