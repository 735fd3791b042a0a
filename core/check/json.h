/* json.h - a reader of JSON straight into the values of a history.
 *
 * A history is read once, line by line, and its values are compared, never walked as a document: so there is no tree.
 * Total over any bytes: what is nested deeper than ORRI_JSON_DEPTH_MAX is refused, and the memory taken is bounded by a
 * multiple of the input. Bytes of a string are kept as they are (they needn't be UTF-8), escapes are resolved. */
#ifndef ORRI_CHECK_JSON_H
#define ORRI_CHECK_JSON_H

#include "check/value.h"

enum { ORRI_JSON_DEPTH_MAX = 64 };

struct orri_json {
    struct orri_values *values;
    const char *at, *end, *begin;
    const char *wrong;              /* NULL, or what was expected at `at` */
    orri_id *items;                 /* of arrays that are being read */
    size_t n_items, items_cap;
    char *scratch;                  /* of strings with escapes */
    size_t scratch_cap;
    unsigned depth;
};

void orri_json_init(struct orri_json *j, struct orri_values *values);
void orri_json_clear(struct orri_json *j);
void orri_json_open(struct orri_json *j, const char *at, size_t size);

/* The value at `at`, blanks before it skipped, and what is after it left. 0, -ENOMEM, or ORR_EINVALID with `wrong`. */
int orri_json_value(struct orri_json *j, orri_id *id);
/* A string; its text is borrowed until the next one is read. */
int orri_json_string(struct orri_json *j, const char **at, size_t *size);
/* A whole number within 64 bits. */
int orri_json_integer(struct orri_json *j, int64_t *integer);
/* Skips blanks, and `c` if it is what comes next. */
bool orri_json_take(struct orri_json *j, char c);
/* The next byte after blanks, or 0 at the end. */
char orri_json_next(struct orri_json *j);
int orri_json_refuse(struct orri_json *j, const char *wrong);

#endif
