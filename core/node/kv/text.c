/* text.c - numbers and patterns as Redis reads them.
 *
 * Fractions are decimal, in units of 1e-17 (the 17 digits that Redis prints), not binary floating point:
 * 0.1 + 0.2 is 0.3, and replicas on machines with different floating point agree to the last digit. */
#include <string.h>

#include "node/kv/kv.h"

bool orri_kv_read_int(struct orr_slice text, int64_t *out) {
    size_t i = 0;
    bool minus = text.size > 1 && text.at[0] == '-';
    if (minus) i++;
    if (text.size == i || text.size > 20) return false;
    if (text.at[i] == '0' && (minus || text.size > 1)) return false;
    uint64_t v = 0, limit = (uint64_t)INT64_MAX + minus;
    for (; i < text.size; i++) {
        unsigned digit = (unsigned)text.at[i] - '0';
        if (digit > 9 || v > (limit - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

size_t orri_kv_write_int(char out[ORRI_KV_DIGITS], int64_t v) {
    char digits[ORRI_KV_DIGITS];
    size_t n = 0, size = 0;
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do digits[n++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0) out[size++] = '-';
    while (n > 0) out[size++] = digits[--n];
    return size;
}

/* -- Decimals ------------------------------------------------------------------------------------------------------ */
enum { FRACTION = 17, WHOLE = 20 };         /* digits: 37 of them fit 127 bits */

static bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

/* The exponent behind an e; false: not a number. What is beyond thousands is cut:
 * it is out of range or 0 all the same. */
static bool read_exponent(struct orr_slice text, size_t i, int *out) {
    bool minus = i < text.size && text.at[i] == '-';
    if (i < text.size && (text.at[i] == '-' || text.at[i] == '+')) i++;
    if (i == text.size) return false;
    int v = 0;
    for (; i < text.size; i++) {
        if (!is_digit(text.at[i])) return false;
        if (v < 10000) v = v * 10 + (text.at[i] - '0');
    }
    *out = minus ? -v : v;
    return true;
}

/* Adds digit d, which stands at 10^power, and says whether it fitted; digits behind the last place are cut. */
static bool add_digit(__int128 *v, unsigned d, long power) {
    if (d == 0 || power < -FRACTION) return true;
    if (power >= WHOLE) return false;
    __int128 unit = 1;
    for (long i = -FRACTION; i < power; i++) unit *= 10;
    *v += unit * d;
    return true;
}

bool orri_kv_read_decimal(struct orr_slice text, __int128 *out) {
    size_t i = 0, n_whole = 0, n_digits = 0, point = 0, end = text.size;
    bool minus = text.size > 0 && text.at[0] == '-', dotted = false;
    int exponent = 0;
    if (text.size > 0 && (text.at[0] == '-' || text.at[0] == '+')) i++;
    if (text.size > 512) return false;
    for (size_t k = i; k < text.size; k++) {
        if (is_digit(text.at[k])) {
            n_digits++;
            if (!dotted) n_whole++;
        } else if (text.at[k] == '.' && !dotted) {
            dotted = true;
            point = k;
        } else if ((text.at[k] == 'e' || text.at[k] == 'E') && n_digits > 0) {
            if (!read_exponent(text, k + 1, &exponent)) return false;
            end = k;
            break;
        } else return false;
    }
    if (n_digits == 0) return false;
    __int128 v = 0;
    long power = (long)n_whole - 1 + exponent;
    for (size_t k = i; k < end; k++) {
        if (dotted && k == point) continue;
        if (!add_digit(&v, text.at[k] - '0', power--)) return false;
    }
    *out = minus ? -v : v;
    return true;
}

size_t orri_kv_write_decimal(char out[ORRI_KV_DECIMAL], __int128 v) {
    char digits[ORRI_KV_DECIMAL];
    size_t n = 0, size = 0, skip = 0;
    unsigned __int128 rest = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
    for (; n <= FRACTION || rest > 0; rest /= 10) digits[n++] = (char)('0' + (int)(rest % 10));
    while (skip < FRACTION && digits[skip] == '0') skip++;
    if (v < 0) out[size++] = '-';
    while (n > skip) {
        if (n == FRACTION) out[size++] = '.';
        out[size++] = digits[--n];
    }
    return size;
}

/* -- Patterns ------------------------------------------------------------------------------------------------------ */

/* A set's item at p[*i], maybe escaped; false: the pattern ends. */
static bool set_item(struct orr_slice p, size_t *i, unsigned char *out) {
    if (p.at[*i] == '\\' && *i + 1 < p.size) ++*i;
    *out = p.at[(*i)++];
    return true;
}

/* Does c match the set that opens at p[*i]? *i goes behind its ]; a set that isn't closed ends with the pattern. */
static bool match_set(struct orr_slice p, size_t *i, unsigned char c) {
    bool hit = false, not = ++*i < p.size && p.at[*i] == '^';
    if (not) ++*i;
    while (*i < p.size && p.at[*i] != ']') {
        bool escaped = p.at[*i] == '\\' && *i + 1 < p.size;
        unsigned char from, to;
        (void)set_item(p, i, &from);
        to = from;
        if (!escaped && *i + 1 < p.size && p.at[*i] == '-') {
            ++*i;
            to = p.at[(*i)++];
        }
        if (from > to) {
            unsigned char swap = from;
            from = to;
            to = swap;
        }
        if (c >= from && c <= to) hit = true;
    }
    if (*i < p.size) ++*i;
    return hit != not;
}

/* One step that isn't a star: does p[*i...] match c? */
static bool match_one(struct orr_slice p, size_t *i, unsigned char c) {
    switch (p.at[*i]) {
    case '?': ++*i; return true;
    case '[': return match_set(p, i, c);
    case '\\':
        if (*i + 1 < p.size) ++*i;
        break;
    default: break;
    }
    return p.at[(*i)++] == c;
}

/* Only the last star is ever tried again, so the time is at most the product of the sizes. */
bool orri_kv_match(struct orr_slice pattern, struct orr_slice text) {
    size_t i = 0, k = 0, star = 0, star_k = 0;
    bool starred = false;
    while (k < text.size) {
        if (i < pattern.size && pattern.at[i] == '*') {
            starred = true;
            star = ++i;
            star_k = k;
        } else if (i < pattern.size && match_one(pattern, &i, text.at[k])) {
            k++;
        } else if (starred) {
            i = star;
            k = ++star_k;
        } else return false;
    }
    while (i < pattern.size && pattern.at[i] == '*') i++;
    return i == pattern.size;
}
