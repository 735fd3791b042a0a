/* json.c - the reader: one function for each sort of value. */
#include "check/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void orri_json_init(struct orri_json *j, struct orri_values *values) { *j = (struct orri_json){ .values = values }; }

void orri_json_clear(struct orri_json *j) {
    const struct orr_alloc *alloc = j->values->arena.alloc;
    if (j->items) alloc->fn(alloc->ud, j->items, j->items_cap * sizeof *j->items, 0);
    if (j->scratch) alloc->fn(alloc->ud, j->scratch, j->scratch_cap, 0);
    orri_json_init(j, j->values);
}

void orri_json_open(struct orri_json *j, const char *at, size_t size) {
    j->begin = j->at = at;
    j->end = at + size;
    j->wrong = NULL;
    j->n_items = 0;
    j->depth = 0;
}

int orri_json_refuse(struct orri_json *j, const char *wrong) {
    j->wrong = wrong;
    return ORR_EINVALID;
}

char orri_json_next(struct orri_json *j) {
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\r' || *j->at == '\n')) j->at++;
    return j->at < j->end ? *j->at : '\0';
}

bool orri_json_take(struct orri_json *j, char c) {
    if (orri_json_next(j) != c || j->at == j->end) return false;
    j->at++;
    return true;
}

/* -- Strings ------------------------------------------------------------------------------------------------------- */
static int hex4(struct orri_json *j, const char *at, unsigned *code) {
    *code = 0;
    if (j->end - at < 4) return orri_json_refuse(j, "four hexadecimal digits");
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return orri_json_refuse(j, "four hexadecimal digits");
        *code = *code * 16 + digit;
    }
    return 0;
}

static char *utf8(char *to, unsigned code) {
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *to++ = (char)(0xe0 | code >> 12);
        } else {
            *to++ = (char)(0xf0 | code >> 18);
            *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (code & 0x3f));
    return to;
}

/* \uXXXX, or two of them that are one character; j->at is behind the u. A half alone is kept as three bytes. */
static int unicode(struct orri_json *j, char **to) {
    unsigned code, low;
    if (hex4(j, j->at, &code) < 0) return ORR_EINVALID;
    j->at += 4;
    if (code >= 0xd800 && code < 0xdc00 && j->end - j->at >= 6 && j->at[0] == '\\' && j->at[1] == 'u') {
        if (hex4(j, j->at + 2, &low) < 0) return ORR_EINVALID;
        if (low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            j->at += 6;
        }
    }
    *to = utf8(*to, code);
    return 0;
}

static int escape(struct orri_json *j, char **to) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = *j->at++;
    if (c == 'u') return unicode(j, to);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found) return j->at--, orri_json_refuse(j, "an escape that JSON knows");
    *(*to)++ = into[found - from];
    return 0;
}

/* The rest of a string that has an escape: no text gets longer by resolving them. */
static int resolve(struct orri_json *j, const char *from, const char **at, size_t *size) {
    const struct orr_alloc *alloc = j->values->arena.alloc;
    size_t most = (size_t)(j->end - from);
    if (j->scratch_cap < most) {
        char *more = alloc->fn(alloc->ud, j->scratch, j->scratch_cap, most);
        if (!more) return -ENOMEM;
        j->scratch = more;
        j->scratch_cap = most;
    }
    char *to = j->scratch + (j->at - from);
    if (j->at > from) memcpy(j->scratch, from, (size_t)(j->at - from));
    while (j->at < j->end && *j->at != '"') {
        char c = *j->at;
        if ((unsigned char)c < 0x20) return orri_json_refuse(j, "no control character in a string");
        j->at++;
        if (c != '\\') *to++ = c;
        else if (j->at == j->end) break;
        else if (escape(j, &to) < 0) return ORR_EINVALID;
    }
    if (j->at == j->end) return orri_json_refuse(j, "the end of a string");
    j->at++;
    *at = j->scratch;
    *size = (size_t)(to - j->scratch);
    return 0;
}

int orri_json_string(struct orri_json *j, const char **at, size_t *size) {
    if (!orri_json_take(j, '"')) return orri_json_refuse(j, "a string");
    const char *from = j->at;
    for (; j->at < j->end; j->at++) {
        char c = *j->at;
        if (c == '\\') return resolve(j, from, at, size);
        if ((unsigned char)c < 0x20) return orri_json_refuse(j, "no control character in a string");
        if (c != '"') continue;
        *at = from;
        *size = (size_t)(j->at - from);
        j->at++;
        return 0;
    }
    return orri_json_refuse(j, "the end of a string");
}

/* -- Numbers ------------------------------------------------------------------------------------------------------- */
struct number {
    const char *digits, *fraction;  /* before and after the point */
    size_t n_digits, n_fraction;
    int64_t exponent;
    bool negative;
};
enum { EXPONENT_MAX = 1000000000 };

static size_t digits(struct orri_json *j) {
    const char *from = j->at;
    while (j->at < j->end && *j->at >= '0' && *j->at <= '9') j->at++;
    return (size_t)(j->at - from);
}

static int scan_number(struct orri_json *j, struct number *n) {
    *n = (struct number){ 0 };
    if (j->at < j->end && *j->at == '-') n->negative = true, j->at++;
    n->digits = j->at;
    n->n_digits = digits(j);
    if (n->n_digits == 0) return orri_json_refuse(j, "a digit");
    if (n->n_digits > 1 && n->digits[0] == '0') return orri_json_refuse(j, "a number without leading zeros");
    if (j->at < j->end && *j->at == '.') {
        n->fraction = ++j->at;
        if ((n->n_fraction = digits(j)) == 0) return orri_json_refuse(j, "a digit");
    }
    if (j->at == j->end || (*j->at != 'e' && *j->at != 'E')) return 0;
    j->at++;
    bool below = j->at < j->end && *j->at == '-';
    if (j->at < j->end && (*j->at == '-' || *j->at == '+')) j->at++;
    const char *from = j->at;
    if (digits(j) == 0) return orri_json_refuse(j, "a digit");
    for (; from < j->at; from++)
        if (n->exponent < EXPONENT_MAX) n->exponent = n->exponent * 10 + (*from - '0');
    if (below) n->exponent = -n->exponent;
    return 0;
}

/* Its digits without zeros at either end, and the power of ten of the last one: as if "0.d1d2d3...". */
static size_t significant(const struct number *n, char *out, size_t most, int64_t *power) {
    size_t total = n->n_digits + n->n_fraction, first = 0, last = total;
#define DIGIT(i) ((i) < n->n_digits ? n->digits[i] : n->fraction[(i) - n->n_digits])
    while (first < total && DIGIT(first) == '0') first++;
    while (last > first && DIGIT(last - 1) == '0') last--;
    *power = n->exponent - (int64_t)n->n_fraction + (int64_t)(total - last);
    for (size_t i = first; i < last && i - first < most; i++) out[i - first] = DIGIT(i);
#undef DIGIT
    return last - first;
}

/* Whether it is a whole number within 64 bits. */
static bool whole(const struct number *n, int64_t *integer) {
    char text[20];
    int64_t power;
    size_t size = significant(n, text, sizeof text, &power);
    *integer = 0;
    if (size == 0) return true;
    if (power < 0 || power > 18 || size + (size_t)power > 19) return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < size + (size_t)power; i++) sum = sum * 10 + (uint64_t)(i < size ? text[i] - '0' : 0);
    if (sum > (uint64_t)INT64_MAX + n->negative) return false;
    *integer = n->negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

/* Any other: -d.ddde-N, with the least digits. */
static int decimal(struct orri_json *j, const struct number *n, orri_id *id) {
    const struct orr_alloc *alloc = j->values->arena.alloc;
    size_t most = n->n_digits + n->n_fraction + 32;
    char *text = alloc->fn(alloc->ud, NULL, 0, most);
    if (!text) return -ENOMEM;
    int64_t power;
    size_t at = 0, size = significant(n, text + 2, most, &power);
    if (n->negative) text[at++] = '-';
    text[at++] = text[2];
    if (size > 1) {
        memmove(text + at + 1, text + 3, size - 1);
        text[at] = '.';
        at += size;
    }
    at += (size_t)snprintf(text + at, most - at, "e%lld", (long long)(power + (int64_t)size - 1));
    int rc = orri_decimal(j->values, text, at, id);
    alloc->fn(alloc->ud, text, most, 0);
    return rc;
}

static int number(struct orri_json *j, orri_id *id) {
    struct number n;
    int64_t integer;
    if (scan_number(j, &n) < 0) return ORR_EINVALID;
    return whole(&n, &integer) ? orri_integer(j->values, integer, id) : decimal(j, &n, id);
}

int orri_json_integer(struct orri_json *j, int64_t *integer) {
    struct number n;
    char c = orri_json_next(j);
    const char *from = j->at;
    if (c != '-' && (c < '0' || c > '9')) return orri_json_refuse(j, "a whole number");
    if (scan_number(j, &n) < 0) return ORR_EINVALID;
    if (whole(&n, integer)) return 0;
    j->at = from;
    return orri_json_refuse(j, "a whole number within 64 bits");
}

/* -- Values -------------------------------------------------------------------------------------------------------- */
static int push(struct orri_json *j, orri_id id) {
    const struct orr_alloc *alloc = j->values->arena.alloc;
    if (orri_array_grow(alloc, (void **)&j->items, j->n_items, &j->items_cap, sizeof id) < 0) return -ENOMEM;
    j->items[j->n_items++] = id;
    return 0;
}

static int member_name(struct orri_json *j) {
    const char *text;
    size_t size;
    orri_id name;
    int rc = orri_json_string(j, &text, &size);
    if (rc < 0) return rc;
    if (orri_string(j->values, text, size, &name) < 0 || push(j, name) < 0) return -ENOMEM;
    return orri_json_take(j, ':') ? 0 : orri_json_refuse(j, "':'");
}

/* What is between the brackets, onto the items. */
static int inside(struct orri_json *j, bool object) {
    char close = object ? '}' : ']';
    if (orri_json_take(j, close)) return 0;
    do {
        orri_id id;
        int rc = object ? member_name(j) : 0;
        if (rc < 0) return rc;
        rc = orri_json_value(j, &id);
        if (rc < 0) return rc;
        if (push(j, id) < 0) return -ENOMEM;
    } while (orri_json_take(j, ','));
    return orri_json_take(j, close) ? 0 : orri_json_refuse(j, object ? "',' or '}'" : "',' or ']'");
}

static int compound(struct orri_json *j, bool object, orri_id *id) {
    if (j->depth == ORRI_JSON_DEPTH_MAX) return orri_json_refuse(j, "less nesting: 64 levels at most");
    size_t from = j->n_items;
    j->at++;
    j->depth++;
    int rc = inside(j, object);
    j->depth--;
    if (rc < 0) return rc;
    orri_id *items = j->n_items ? j->items + from : NULL;
    size_t n = j->n_items - from;
    rc = object ? orri_object(j->values, items, n, id) : orri_array(j->values, items, n, id);
    j->n_items = from;
    return rc;
}

static int word(struct orri_json *j, const char *text, orri_id value, orri_id *id) {
    size_t size = strlen(text);
    if ((size_t)(j->end - j->at) < size || memcmp(j->at, text, size) != 0) return orri_json_refuse(j, "a value");
    j->at += size;
    *id = value;
    return 0;
}

int orri_json_value(struct orri_json *j, orri_id *id) {
    const char *text;
    size_t size;
    char c = orri_json_next(j);
    switch (c) {
    case '{':
    case '[': return compound(j, c == '{', id);
    case 'n': return word(j, "null", ORRI_NULL, id);
    case 't': return word(j, "true", ORRI_TRUE, id);
    case 'f': return word(j, "false", ORRI_FALSE, id);
    case '"': {
        int rc = orri_json_string(j, &text, &size);
        return rc < 0 ? rc : orri_string(j->values, text, size, id);
    }
    default: return c == '-' || (c >= '0' && c <= '9') ? number(j, id) : orri_json_refuse(j, "a value");
    }
}
