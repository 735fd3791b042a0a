/* clock_replay.c - lines of a recorded trace: what each kind's fields are, and the answer as text.
 *
 * Numbers are read and written here, in whole digits: a locale would change the point, and a double the last bits. */
#include <orrery/clock_replay.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock/clock_inner.h"

enum { COLUMNS_MAX = 11 };
struct column {
    const char *name;               /* NULL: not read */
    int64_t low, high;
    bool fraction;                  /* may follow, and is dropped */
};
struct kind {
    char letter;
    bool more;                      /* may follow */
    unsigned n;
    struct column columns[COLUMNS_MAX];
};
enum { EXCHANGE, LOST, SENSOR, QUERY, KINDS };

#define PEER { "peer", 0, UINT32_MAX, false }
#define STAMP(name) { name, INT64_MIN, INT64_MAX, false }
#define SPAN(name) { name, 0, INT64_MAX, true }
#define ANY { NULL, 0, 0, false }
static const struct kind kinds[KINDS] = {
    [EXCHANGE] = { 'X', false, 11, { PEER, STAMP("t1"), STAMP("t2"), STAMP("t3"), STAMP("t4"), ANY, ANY, ANY,
                                     { "stratum", 0, UINT8_MAX, false }, SPAN("root_delay"),
                                     SPAN("root_dispersion") } },
    [LOST] = { 'L', false, 3, { PEER, ANY, STAMP("t1") } },
    [SENSOR] = { 'S', false, 2, { STAMP("local"), { "millicelsius", INT32_MIN, INT32_MAX, true } } },
    [QUERY] = { 'Q', true, 3, { ANY, STAMP("local"), ANY } },
};

/* -- Reading ------------------------------------------------------------------------------------------------------- */
struct words {
    const char *at, *end;           /* what is left of the line */
};
static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
static bool digit(char c) { return c >= '0' && c <= '9'; }

/* False: there is none any more. */
static bool next(struct words *w, const char **word, size_t *size) {
    while (w->at < w->end && blank(*w->at)) w->at++;
    *word = w->at;
    while (w->at < w->end && !blank(*w->at)) w->at++;
    *size = (size_t)(w->at - *word);
    return *size > 0;
}

static bool number(const struct column *k, const char *word, size_t size, int64_t *out) {
    const char *at = word, *end = word + size;
    bool negative = *at == '-';
    int64_t v = 0;
    at += negative;
    const char *digits = at;
    for (; at < end && digit(*at); at++) {
        int64_t by = negative ? '0' - *at : *at - '0';
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, by, &v)) return false;
    }
    if (at == digits) return false;
    if (k->fraction && at < end && *at == '.') {
        do at++;
        while (at < end && digit(*at));
    }
    *out = v;
    return at == end && v >= k->low && v <= k->high;
}

static int refuse(char *text, const char *format, const char *name) {
    (void)snprintf(text, ORR_CLOCK_TEXT, format, name);
    return ORR_EINVALID;
}

static int read_fields(const struct kind *k, struct words *w, int64_t *values, char *text) {
    const char *word;
    size_t size;
    for (unsigned i = 0; i < k->n; i++) {
        const struct column *column = &k->columns[i];
        if (!next(w, &word, &size)) {
            (void)snprintf(text, ORR_CLOCK_TEXT, "%c has %u fields, not %u", k->letter, k->n, i);
            return ORR_EINVALID;
        }
        if (column->name && !number(column, word, size, &values[i]))
            return refuse(text, column->low == 0 ? "%s must be a number, not negative, in its range"
                                                 : "%s must be a whole number of 64 bits", column->name);
    }
    if (!k->more && next(w, &word, &size)) {
        (void)snprintf(text, ORR_CLOCK_TEXT, "%c has %u fields, not more", k->letter, k->n);
        return ORR_EINVALID;
    }
    return 0;
}

/* -- Answering ----------------------------------------------------------------------------------------------------- */
static int answer(const struct orr_clock *c, orr_time local, char *text) {
    struct orr_clock_time t;
    if (!orr_clock_now(c, local, &t) || t.state == ORR_CLOCK_UNSYNC) {
        (void)snprintf(text, ORR_CLOCK_TEXT, "%" PRId64 " - - - - - unsync 0", local);
        return 1;
    }
    int64_t tenths = 2 * t.likely, rate = t.rate_ppt < 0 ? -(int64_t)t.rate_ppt : t.rate_ppt;  /* five deviations */
    (void)snprintf(text, ORR_CLOCK_TEXT,
                   "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 ".%" PRId64 " %s%" PRId64 ".%03" PRId64
                   " %s %" PRIx64, local, t.offset, orri_subtract(t.earliest, local), orri_subtract(t.latest, local),
                   tenths / 10, tenths % 10, t.rate_ppt < 0 ? "-" : "", rate / 1000, rate % 1000,
                   t.state == ORR_CLOCK_SYNC ? "sync" : "holdover", t.good);
    return 1;
}

static uint32_t span(int64_t ns) { return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns; }

static int feed(struct orr_clock *c, unsigned kind, const int64_t *v, char *text) {
    if (kind == QUERY) return answer(c, v[1], text);
    if (kind == SENSOR) {
        orr_clock_temperature(c, v[0], (int32_t)v[1]);
        return 0;
    }
    uint32_t peer = (uint32_t)v[0];
    orr_time now = kind == LOST ? v[2] : v[4];
    if (!orri_clock_find(c, peer) && orr_clock_peer_add(c, now, peer, 0) == ORR_EOVERLOADED) {
        (void)snprintf(text, ORR_CLOCK_TEXT, "peer %" PRIu32 " is one more than there is room for", peer);
        return ORR_EOVERLOADED;
    }
    if (kind == LOST) {
        (void)orr_clock_lost(c, now, peer);
        return 0;
    }
    struct orr_clock_exchange x = { .t1 = v[1], .t2 = v[2], .t3 = v[3], .t4 = v[4], .stratum = (uint8_t)v[8],
                                    .root_delay_ns = span(v[9]), .root_dispersion_ns = span(v[10]) };
    (void)orr_clock_sample(c, now, peer, &x);
    return 0;
}

int orr_clock_replay(struct orr_clock *c, const char *line, size_t size, char text[ORR_CLOCK_TEXT]) {
    struct words w = { line, line + size };
    int64_t values[COLUMNS_MAX] = { 0 };
    const char *word;
    size_t letters;
    text[0] = '\0';
    if (!next(&w, &word, &letters) || *word == '#') return 0;
    for (unsigned i = 0; i < KINDS; i++) {
        if (letters != 1 || *word != kinds[i].letter) continue;
        int rc = read_fields(&kinds[i], &w, values, text);
        return rc ? rc : feed(c, i, values, text);
    }
    return refuse(text, "%s", "a line begins with X, L, S or Q");
}
