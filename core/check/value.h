/* value.h - the values of a history, each kept once: equal values have equal numbers.
 *
 * A value is what JSON can say. Whole numbers within 64 bits are integers however they are written (1, 1.0, 10e-1);
 * other numbers are decimals in one normal form, so that no rounding makes two of them equal. An object's members are
 * sorted by name. Numbers 0, 1 and 2 are null, false and true in every history. */
#ifndef ORRI_CHECK_VALUE_H
#define ORRI_CHECK_VALUE_H

#include "check/arena.h"

typedef uint32_t orri_id;
enum { ORRI_NULL, ORRI_FALSE, ORRI_TRUE };

enum orri_kind { ORRI_IS_NULL, ORRI_IS_BOOLEAN, ORRI_IS_INTEGER, ORRI_IS_DECIMAL, ORRI_IS_STRING, ORRI_IS_ARRAY,
                 ORRI_IS_OBJECT };
struct orri_value {
    uint8_t kind;
    uint32_t n;                     /* bytes of text; items of an array; twice the members of an object */
    union {
        int64_t integer;
        const char *text;           /* of a string, ended by a NUL; of a decimal, as JSON has it */
        const orri_id *items;       /* object: name, value, name, value, ... */
    };
};
struct orri_values {
    struct orri_arena arena;
    struct orri_value *at;
    size_t n, cap;
    uint32_t *index;                /* number + 1, by hash */
    uint64_t *hashes;
    size_t index_cap, hashes_cap;
};

int orri_values_init(struct orri_values *values, const struct orr_alloc *alloc);    /* -ENOMEM */
void orri_values_clear(struct orri_values *values);

/* Each gives the value's number; 0, or -ENOMEM. What is given is copied. */
int orri_integer(struct orri_values *values, int64_t integer, orri_id *id);
int orri_string(struct orri_values *values, const char *at, size_t size, orri_id *id);
int orri_decimal(struct orri_values *values, const char *at, size_t size, orri_id *id);     /* in normal form */
int orri_array(struct orri_values *values, const orri_id *items, size_t n, orri_id *id);
/* Sorts the members, which are pairs; of two with one name one counts, whichever (JSON doesn't say). */
int orri_object(struct orri_values *values, orri_id *members, size_t n, orri_id *id);

static inline const struct orri_value *orri_at(const struct orri_values *values, orri_id id) { return &values->at[id]; }
/* A member of an object by its name; ORRI_NULL: there is none. */
orri_id orri_member(const struct orri_values *values, orri_id object, orri_id name);
/* As JSON; what is longer than `most` bytes is cut, and ends in "...". */
void orri_value_show(const struct orri_values *values, orri_id id, size_t most, struct orri_text *out);

#endif
