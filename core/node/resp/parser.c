/* parser.c - requests as Redis 7.0 takes them, with its error texts (networking.c: processMultibulkBuffer,
 * processInlineBuffer; sds.c: sdssplitargs).
 *
 * Like Redis it doesn't look at the two bytes behind a string. Memory grows with what has come,
 * never with what was announced. */
#include "node/resp/parser.h"

#include <stdio.h>
#include <string.h>

enum { MORE = 0, WHOLE = 1, BROKEN = -1, ARGS_KEPT = 64 };

void orri_resp_parser_init(struct orri_resp_parser *p, const struct orr_alloc *alloc, size_t command_max) {
    *p = (struct orri_resp_parser){ .alloc = alloc, .command_max = command_max,
                                     .args_max = ORRI_RESP_ARGS_HERE, .bulk = -1 };
    p->args = p->here;
}

static void drop_args(struct orri_resp_parser *p) {
    if (p->args != p->here) p->alloc->fn(p->alloc->ud, p->args, p->args_max * sizeof *p->args, 0);
    p->args = p->here;
    p->args_max = ORRI_RESP_ARGS_HERE;
}

static void drop_words(struct orri_resp_parser *p) {
    if (p->words) p->alloc->fn(p->alloc->ud, p->words, p->words_size, 0);
    p->words = NULL;
}

void orri_resp_parser_clear(struct orri_resp_parser *p) {
    drop_args(p);
    drop_words(p);
}

void orri_resp_parser_next(struct orri_resp_parser *p) {
    if (p->args_max > ARGS_KEPT) drop_args(p);
    if (p->words) drop_words(p);
    p->n_args = p->announced = 0;
    p->at = 0;
    p->bulk = -1;
}

static int broken(struct orri_resp_parser *p, const char *text) {
    p->error = text;
    return BROKEN;
}

static int add_arg(struct orri_resp_parser *p, size_t from, size_t size) {
    if (p->n_args == p->args_max) {
        uint32_t max = p->args_max * 2;
        bool here = p->args == p->here;
        struct orri_resp_arg *args = p->alloc->fn(p->alloc->ud, here ? NULL : p->args,
                                                  here ? 0 : p->args_max * sizeof *args, max * sizeof *args);
        if (!args) return broken(p, "out of memory");
        if (here) memcpy(args, p->here, sizeof p->here);
        p->args = args;
        p->args_max = max;
    }
    p->args[p->n_args++] = (struct orri_resp_arg){ (uint32_t)from, (uint32_t)size };
    return WHOLE;
}

/* -- Arrays -------------------------------------------------------------------------------------------------------- */

/* A signed number without frills; false: it isn't one. */
static bool read_number(const unsigned char *at, size_t size, int64_t *out) {
    bool minus = size > 0 && *at == '-';
    int64_t v = 0;
    if (minus) at++, size--;
    if (size == 0 || size > 18 || (*at == '0' && (size > 1 || minus))) return false;
    for (size_t i = 0; i < size; i++) {
        if (at[i] < '0' || at[i] > '9') return false;
        v = v * 10 + (at[i] - '0');
    }
    *out = minus ? -v : v;
    return true;
}

/* A line "*n" or "$n" at p->at: where its number ends, or NULL while it is not all there. */
static const unsigned char *line_end(struct orri_resp_parser *p, const unsigned char *at, size_t size,
                                     const char *too_long) {
    size_t left = size - p->at;
    const unsigned char *end = memchr(at + p->at, '\r', left);
    if (!end && left > ORRI_RESP_LINE_MAX) (void)broken(p, too_long);
    return end && (size_t)(end - at) + 2 <= size ? end : NULL;
}

static int take_count(struct orri_resp_parser *p, const unsigned char *at, size_t size) {
    const unsigned char *end = line_end(p, at, size, "Protocol error: too big mbulk count string");
    int64_t n;
    if (!end) return p->error ? BROKEN : MORE;
    if (!read_number(at + 1, (size_t)(end - at) - 1, &n) || n > ORRI_RESP_ARGS_MAX) {
        return broken(p, "Protocol error: invalid multibulk length");
    }
    p->at = (size_t)(end - at) + 2;
    p->announced = n > 0 ? (uint32_t)n : 0;
    return WHOLE;
}

static int take_bulk_size(struct orri_resp_parser *p, const unsigned char *at, size_t size) {
    const unsigned char *end = line_end(p, at, size, "Protocol error: too big bulk count string");
    const unsigned char *begin = at + p->at;
    if (!end) return p->error ? BROKEN : MORE;
    if (*begin != '$') {
        (void)snprintf(p->error_text, sizeof p->error_text, "Protocol error: expected '$', got '%c'", *begin);
        return broken(p, p->error_text);
    }
    if (!read_number(begin + 1, (size_t)(end - begin) - 1, &p->bulk) || p->bulk < 0 || p->bulk > ORRI_RESP_BULK_MAX) {
        return broken(p, "Protocol error: invalid bulk length");
    }
    p->at = (size_t)(end - at) + 2;
    if (p->at + (size_t)p->bulk + 2 > p->command_max) return broken(p, "Protocol error: too big request");
    return WHOLE;
}

static int parse_array(struct orri_resp_parser *p, const unsigned char *at, size_t size, size_t *need) {
    if (p->at == 0) {
        int status = take_count(p, at, size);
        if (status != WHOLE) return status;
    }
    while (p->n_args < p->announced) {
        if (p->bulk < 0) {
            int status = p->at < size ? take_bulk_size(p, at, size) : MORE;
            if (status != WHOLE) return status;
        }
        size_t end = p->at + (size_t)p->bulk + 2;
        if (end > size) {
            *need = end;
            return MORE;
        }
        if (add_arg(p, p->at, (size_t)p->bulk) < 0) return BROKEN;
        p->at = end;
        p->bulk = -1;
    }
    p->base = at;
    return WHOLE;
}

/* -- Lines --------------------------------------------------------------------------------------------------------- */
/* The words of a line go into p->words, one behind the other: they are never longer than the line. */
struct line {
    const unsigned char *at, *end;
    unsigned char *out;
};

static bool is_blank(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == 0; }

static int hex(unsigned char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What stands behind a backslash between double quotes. */
static void escaped(struct line *l) {
    static const char names[] = "nrtba", values[] = "\n\r\t\b\a";
    if (*l->at == 'x' && l->end - l->at >= 3 && hex(l->at[1]) >= 0 && hex(l->at[2]) >= 0) {
        *l->out++ = (unsigned char)(hex(l->at[1]) * 16 + hex(l->at[2]));
        l->at += 3;
        return;
    }
    const char *name = *l->at ? strchr(names, *l->at) : NULL;
    *l->out++ = name ? (unsigned char)values[name - names] : *l->at;
    l->at++;
}

/* Up to the closing quote, behind which a word must end. */
static bool quoted(struct line *l, unsigned char quote) {
    for (l->at++; l->at < l->end && *l->at != quote;) {
        bool slash = *l->at == '\\' && l->at + 1 < l->end;
        if (slash && quote == '"') {
            l->at++;
            escaped(l);
        } else {
            if (slash && l->at[1] == '\'') l->at++;
            *l->out++ = *l->at++;
        }
    }
    if (l->at == l->end) return false;
    l->at++;
    return l->at == l->end || is_blank(*l->at);
}

static bool take_word(struct line *l) {
    while (l->at < l->end && !is_blank(*l->at)) {
        if (*l->at == '"' || *l->at == '\'') return quoted(l, *l->at);
        *l->out++ = *l->at++;
    }
    return true;
}

static int parse_line(struct orri_resp_parser *p, const unsigned char *at, size_t size) {
    const unsigned char *end = memchr(at, '\n', size);
    if (!end) return size > ORRI_RESP_LINE_MAX ? broken(p, "Protocol error: too big inline request") : MORE;
    p->at = (size_t)(end - at) + 1;
    if (p->at > ORRI_RESP_LINE_MAX) return broken(p, "Protocol error: too big inline request");
    p->words_size = p->at;
    p->words = p->alloc->fn(p->alloc->ud, NULL, 0, p->words_size);
    if (!p->words) return broken(p, "out of memory");
    p->base = p->words;
    struct line l = { at, end, p->words };
    for (;;) {
        while (l.at < l.end && is_blank(*l.at)) l.at++;
        if (l.at == l.end) return WHOLE;
        unsigned char *from = l.out;
        if (!take_word(&l)) return broken(p, "Protocol error: unbalanced quotes in request");
        if (add_arg(p, (size_t)(from - p->words), (size_t)(l.out - from)) < 0) return BROKEN;
    }
}

int orri_resp_parse(struct orri_resp_parser *p, const unsigned char *at, size_t size, size_t *need) {
    if (p->error) return BROKEN;
    *need = size + 1;
    if (size == 0) return MORE;
    return *at == '*' ? parse_array(p, at, size, need) : parse_line(p, at, size);
}
