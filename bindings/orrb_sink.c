/* orrb_sink.c - see orrb_sink.h. The byte forms are MessagePack's. */
#include <string.h>

#include "orrb_pack.h"
#include "orrb_sink.h"

enum { NIL = 0xc0, FALSE = 0xc2, ONE_PAIR = 0x81 };

static struct orrb_sink *of(struct orr_sink *s) { return (struct orrb_sink *)(void *)s; }

/* Room at the end for a token and so many bytes more; NULL, and from then on always: no memory. */
static unsigned char *room(struct orrb_sink *s, size_t more) {
    if (!s->failed && orrb_buffer_room(NULL, &s->out, ORRB_HEAD_MAX + more) < 0) s->failed = true;
    return s->failed ? NULL : s->out.at + s->out.size;
}

static void wrote(struct orrb_sink *s, const unsigned char *end) { s->out.size = (size_t)(end - s->out.at); }

static void put_text(struct orrb_sink *s, const void *from, size_t size) {
    unsigned char *at = room(s, size);
    if (!at) return;
    at = orrb_put_string_head(at, size);
    if (size) memcpy(at, from, size);
    wrote(s, at + size);
}

static void put_byte(struct orrb_sink *s, unsigned char byte) {
    unsigned char *at = room(s, 1);
    if (!at) return;
    *at = byte;
    wrote(s, at + 1);
}

static void put_list(struct orrb_sink *s, size_t n) {
    unsigned char *at = room(s, 0);
    if (at) wrote(s, orrb_put_table_head(at, n, true));
}

/* In an array it is false, as in Redis's own Lua: a table has no nil. */
static void on_nil(struct orr_sink *sink) { put_byte(of(sink), of(sink)->array ? FALSE : NIL); }

static void on_integer(struct orr_sink *sink, int64_t v) {
    struct orrb_sink *s = of(sink);
    unsigned char *at = room(s, 0);
    if (at) wrote(s, orrb_put_integer(at, v));
}

static void on_text(struct orr_sink *sink, const void *from, size_t size) {
    struct orrb_sink *s = of(sink);
    if (!s->packed) {
        put_text(s, from, size);
        return;
    }
    s->out.size = 0;                /* in place of the list's head */
    unsigned char *at = room(s, size);
    if (!at) return;
    memcpy(at, from, size);
    wrote(s, at + size);
}

/* { ok = "OK" }, as Redis's own Lua has it */
static void on_status(struct orr_sink *sink, const char *word) {
    struct orrb_sink *s = of(sink);
    put_byte(s, ONE_PAIR);
    put_text(s, "ok", 2);
    put_text(s, word, strlen(word));
}

static void on_error(struct orr_sink *sink, int code, const char *text) {
    struct orrb_sink *s = of(sink);
    const char *word = orr_error_word(code);
    s->out.size = 0;
    put_list(s, 3);
    put_byte(s, NIL);
    put_text(s, text, strlen(text));
    put_text(s, word, strlen(word));
}

static void on_array(struct orr_sink *sink, size_t n) {
    put_list(of(sink), n);
    of(sink)->array = true;
}

static const struct orr_sink_ops ops = {
    .nil = on_nil, .integer = on_integer, .text = on_text, .status = on_status, .error = on_error, .array = on_array,
};

struct orr_sink *orrb_sink_begin(struct orrb_sink *s, bool packed) {
    s->sink.ops = &ops;
    s->packed = packed;
    s->failed = s->array = false;
    s->out.alloc = &orr_alloc_libc;         /* told outside Lua */
    s->out.size = 0;
    put_list(s, 1);
    return &s->sink;
}

int orrb_sink_push(lua_State *L, const struct orrb_sink *s) {
    int n = s->failed ? -1 : orrb_value_unpack_args(L, s->out.at, s->out.size);
    return n >= 0 ? n : luaL_error(L, "the results can't be read");
}

void orrb_sink_clear(struct orrb_sink *s) { orrb_buffer_free(NULL, &s->out); }
