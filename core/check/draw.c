/* draw.c - calls for people: in words, and as bars over time. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/model.h"

enum { VALUE_MOST = 32, LABEL_MOST = 60, BAND = 96 };

bool orri_is(const struct orr_history *h, orri_id id, const char *word) {
    size_t size;
    const char *name = orri_name(h, id, &size);
    return size == strlen(word) && memcmp(name, word, size) == 0;
}

int orri_refuse(struct orr_history *h, uint32_t line, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    orri_text_clear(&h->error);
    if (line > 0) orri_text_add(&h->error, "line %" PRIu32 ": ", line);
    orri_text_add(&h->error, "%s", text);
    return ORR_EINVALID;
}

/* A key without its quotes, where it needs none. */
static void show_key(const struct orr_history *h, orri_id key, struct orri_text *out) {
    const struct orri_value *v = orri_at(&h->values, key);
    bool plain = v->kind == ORRI_IS_STRING && v->n > 0 && v->n <= VALUE_MOST;
    for (uint32_t i = 0; plain && i < v->n; i++)
        plain = (v->text[i] >= '0' && v->text[i] <= '9') || ((v->text[i] | 32) >= 'a' && (v->text[i] | 32) <= 'z')
                || strchr("_-./:", v->text[i]);
    if (plain) orri_text_bytes(out, v->text, v->n);
    else orri_value_show(&h->values, key, VALUE_MOST, out);
}

void orri_call_show(const struct orr_history *h, const struct orri_call *c, struct orri_text *out) {
    size_t size;
    const char *f = orri_name(h, c->f, &size);
    orri_text_bytes(out, f, size < VALUE_MOST ? size : VALUE_MOST);
    if (c->key != ORRI_NULL) orri_text_add(out, " "), show_key(h, c->key, out);
    if (c->in != ORRI_NULL) orri_text_add(out, " "), orri_value_show(&h->values, c->in, VALUE_MOST, out);
    bool tells = c->in == ORRI_NULL || (c->out != ORRI_NULL && c->out != c->in);
    if (c->outcome == ORR_OUTCOME_OK && tells) {
        orri_text_add(out, " -> ");
        orri_value_show(&h->values, c->out, VALUE_MOST, out);
    }
    if (c->outcome == ORR_OUTCOME_FAIL) orri_text_add(out, " failed");
}

void orri_place_show(const struct orri_call *c, struct orri_text *out) {
    orri_text_add(out, "process %" PRId64 ", ", c->process);
    if (c->returned == ORRI_OPEN) orri_text_add(out, "line %" PRIu32 ", never over", c->invoked);
    else orri_text_add(out, "lines %" PRIu32 " to %" PRIu32, c->invoked, c->returned);
    if (c->returned != ORRI_OPEN && c->outcome == ORR_OUTCOME_INFO) orri_text_add(out, ", of unknown fate");
    if (c->has_time) orri_text_add(out, ", %.6f s to %.6f s", (double)c->time / 1e9, (double)c->time_returned / 1e9);
}

int orri_blame(struct orr_history *h, struct orri_judgement *j, uint32_t line) {
    size_t cap = h->lines_cap;
    if (orri_array_grow(h->alloc, (void **)&h->lines_out, j->report->n_lines, &cap, sizeof line) < 0) return -ENOMEM;
    h->lines_cap = cap;
    h->lines_out[j->report->n_lines++] = line;
    j->report->lines = h->lines_out;
    return 0;
}

/* -- Bars ---------------------------------------------------------------------------------------------------------- */
struct bar {
    const struct orri_call *call;
    uint32_t row;
    size_t from, to;                /* columns of its ends */
    char label[LABEL_MOST + 1];
};
struct event {
    uint32_t line, bar;
    bool ends;
};
struct drawing {
    struct bar *bars;
    struct event *events;
    int64_t *rows;                  /* processes, ascending */
    size_t *busy;                   /* by row: up to which column */
    uint32_t n, n_rows;
    size_t width;
};

static int by_line(const void *a, const void *b) {
    const struct event *x = a, *y = b;
    return x->line < y->line ? -1 : x->line > y->line;
}
static int by_number(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* In columns: a character that is not ASCII becomes one '?'. */
static int label(const struct orr_history *h, struct bar *bar) {
    struct orri_text text = { .alloc = h->alloc };
    orri_call_show(h, bar->call, &text);
    size_t n = 0;
    for (size_t i = 0; i < text.size && n < LABEL_MOST; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if ((c & 0xc0) != 0x80) bar->label[n++] = c < 0x80 ? (char)c : '?';
    }
    bar->label[n] = '\0';
    int rc = text.failed ? -ENOMEM : 0;
    orri_text_clear(&text);
    return rc;
}

static bool open_ended(const struct bar *bar) { return bar->call->outcome == ORR_OUTCOME_INFO; }

/* Each event gets a column behind those of the events before it, and a bar gets room for its label. */
static void lay_out(struct drawing *d) {
    size_t column = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n; i++) {
        d->events[n++] = (struct event){ d->bars[i].call->invoked, i, false };
        if (!open_ended(&d->bars[i])) d->events[n++] = (struct event){ d->bars[i].call->returned, i, true };
    }
    qsort(d->events, n, sizeof *d->events, by_line);
    for (uint32_t i = 0; i < n; i++) {
        struct bar *bar = &d->bars[d->events[i].bar];
        size_t least = bar->from + strlen(bar->label) + 5;
        if (!d->events[i].ends) {
            bar->from = column > d->busy[bar->row] ? column : d->busy[bar->row];
            bar->to = bar->from + strlen(bar->label) + 5;
            if (open_ended(bar)) d->busy[bar->row] = bar->to + 2;
            column = bar->from + 2;
        } else {
            bar->to = column > least ? column : least;
            d->busy[bar->row] = bar->to + 2;
            column = bar->to + 2;
        }
        if (bar->to + 1 > d->width) d->width = bar->to + 1;
    }
}

static char cell(const struct bar *bar, size_t column) {
    size_t size = strlen(bar->label), at = column - bar->from;
    if (at == 0) return '|';
    if (column == bar->to) return open_ended(bar) ? '?' : '|';
    return at >= 3 && at < 3 + size ? bar->label[at - 3] : '-';
}

static void write_row(const struct drawing *d, uint32_t row, size_t from, size_t to, char *out) {
    memset(out, ' ', to - from);
    for (uint32_t i = 0; i < d->n; i++) {
        const struct bar *bar = &d->bars[i];
        for (size_t c = bar->from > from ? bar->from : from; bar->row == row && c <= bar->to && c < to; c++)
            out[c - from] = cell(bar, c);
    }
    size_t end = to - from;
    while (end > 0 && out[end - 1] == ' ') end--;
    out[end] = '\0';
}

static int make(struct orr_history *h, struct orri_arena *arena, const uint32_t *calls, struct drawing *d) {
    d->bars = orri_take_zeroed(arena, d->n, sizeof *d->bars);
    d->events = orri_take(arena, 2 * d->n, sizeof *d->events);
    d->rows = orri_take(arena, d->n, sizeof *d->rows);
    d->busy = orri_take_zeroed(arena, d->n, sizeof *d->busy);
    if (!d->bars || !d->events || !d->rows || !d->busy) return -ENOMEM;
    for (uint32_t i = 0; i < d->n; i++) d->rows[i] = h->calls[calls[i]].process;
    qsort(d->rows, d->n, sizeof *d->rows, by_number);
    for (uint32_t i = 0; i < d->n; i++)
        if (i == 0 || d->rows[i] != d->rows[d->n_rows - 1]) d->rows[d->n_rows++] = d->rows[i];
    for (uint32_t i = 0; i < d->n; i++) {
        d->bars[i].call = &h->calls[calls[i]];
        while (d->rows[d->bars[i].row] != d->bars[i].call->process) d->bars[i].row++;
        if (label(h, &d->bars[i]) < 0) return -ENOMEM;
    }
    return 0;
}

int orri_draw(struct orr_history *h, struct orri_arena *arena, const uint32_t *calls, uint32_t n) {
    struct drawing d = { .n = n };
    if (n == 0) return 0;
    if (make(h, arena, calls, &d) < 0) return -ENOMEM;
    lay_out(&d);
    char line[BAND + 1];
    for (size_t from = 0; from < d.width; from += BAND) {
        if (from > 0) orri_text_add(&h->text, "\n");
        for (uint32_t row = 0; row < d.n_rows; row++) {
            size_t to = from + BAND < d.width ? from + BAND : d.width;
            write_row(&d, row, from, to, line);
            if (line[0]) orri_text_add(&h->text, "process %-4" PRId64 " %s\n", d.rows[row], line);
        }
    }
    return 0;
}
