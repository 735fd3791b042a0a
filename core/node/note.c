/* note.c - the node's log lines. What a peer or a client can cause is said once in a while, with a count. */
#include <stdarg.h>
#include <stdio.h>

#include "node/inner.h"

#define PAUSE (5 * ORR_SECOND)

static void say(struct orr_node *n, enum orr_level level, uint64_t left_out, const char *format, va_list args) {
    char text[512];
    int size = vsnprintf(text, sizeof text, format, args);
    size_t at = size < 0 ? 0 : (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;
    if (left_out)
        size = snprintf(text + at, sizeof text - at, " (and %llu more like it)", (unsigned long long)left_out);
    if (left_out && size > 0) at = at + (size_t)size < sizeof text ? at + (size_t)size : sizeof text - 1;
    n->w->ops->log(n->w, level, text, at);
}

void orri_node_log(struct orr_node *n, enum orr_level level, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(n, level, 0, format, args);
    va_end(args);
}

void orri_node_log_rarely(struct orr_node *n, struct orri_note *note, enum orr_level level, const char *format, ...) {
    if (n->now < note->next) {
        note->left_out++;
        return;
    }
    va_list args;
    va_start(args, format);
    say(n, level, note->left_out, format, args);
    va_end(args);
    *note = (struct orri_note){ n->now + PAUSE, 0 };
}
