/* walk.c - KEYS: a walk over all keys, some thousands at a time, so that it holds nothing up however many there are.
 *
 * It asks as SCAN does, from a position in hash order to the next one, and keeps what it found until it is through: an
 * array says its size first. Then the answer goes out, in so many turns as back-pressure wants. No command behind it is
 * taken until it is answered.
 *
 * So each key is read at a moment of its own between the command and its answer. Of each key by itself that is
 * linearizable; of all together it promises what SCAN does, which is less than KEYS in Redis: a key that was there all
 * the time is told, once; one that came or went meanwhile may be told or not. */
#include <string.h>

#include "base/assert.h"
#include "node/kv/kv.h"
#include "node/resp/kv.h"

enum {
    STEP = 4096,                    /* keys looked at in one go */
    BLOCK = 64 << 10,
    FOUND_MAX = 256 << 20,
    HEAD = 64                       /* room for a question's head, and for that of a value */
};

struct orri_resp_block {
    struct orri_resp_block *next;
    size_t cap, used;
    unsigned char at[];
};

static void drop_first(struct orri_resp_kv *kv) {
    struct orri_resp_block *b = kv->walk.first;
    kv->walk.first = b->next;
    kv->conn.alloc->fn(kv->conn.alloc->ud, b, sizeof *b + b->cap, 0);
}

void orri_resp_walk_clear(struct orri_resp_kv *kv) {
    while (kv->walk.first) drop_first(kv);
    kv->walk = (struct orri_resp_walk){ .cursor = 0 };
}

/* -- What was found ------------------------------------------------------------------------------------------------ */
struct finder {
    struct orr_sink face;
    struct orri_resp_kv *kv;
    bool in_keys;                   /* the cursor was told */
    int status;
};

static struct orri_resp_block *room(struct orri_resp_kv *kv, size_t size) {
    struct orri_resp_walk *w = &kv->walk;
    const struct orr_alloc *alloc = kv->conn.alloc;
    if (w->last && w->first && w->last->cap - w->last->used >= size) return w->last;
    size_t cap = size < BLOCK ? BLOCK : size;
    struct orri_resp_block *b = alloc->fn(alloc->ud, NULL, 0, sizeof *b + cap);
    if (!b) return NULL;
    *b = (struct orri_resp_block){ NULL, cap, 0 };
    if (w->first) w->last->next = b;
    else w->first = b;
    w->last = b;
    return b;
}

static void keep(struct finder *f, const void *at, size_t size) {
    char head[HEAD] = "$";
    size_t n = 1 + orri_kv_write_int(head + 1, (int64_t)size);
    memcpy(head + n, "\r\n", 2);
    n += 2;
    struct orri_resp_block *b = f->kv->walk.bytes > FOUND_MAX ? NULL : room(f->kv, n + size + 2);
    if (!b) {
        f->status = ORR_EOVERLOADED;
        return;
    }
    memcpy(b->at + b->used, head, n);
    if (size) memcpy(b->at + b->used + n, at, size);
    memcpy(b->at + b->used + n + size, "\r\n", 2);
    b->used += n + size + 2;
    f->kv->walk.bytes += n + size + 2;
    f->kv->walk.n++;
}

/* The cursor, then keys. */
static void on_text(struct orr_sink *s, const void *at, size_t size) {
    struct finder *f = (struct finder *)(void *)s;
    if (f->in_keys) {
        if (f->status == 0) keep(f, at, size);
        return;
    }
    f->in_keys = true;
    if (!orri_kv_read_int(orr_borrow(at, size), &f->kv->walk.cursor)) f->status = ORR_EINVALID;
}
static void on_nil(struct orr_sink *s) { (void)s; }
static void on_integer(struct orr_sink *s, int64_t v) { (void)s, (void)v; }
static void on_status(struct orr_sink *s, const char *word) { (void)s, (void)word; }
static void on_error(struct orr_sink *s, int code, const char *text) {
    (void)text;
    ((struct finder *)(void *)s)->status = code;
}
static void on_array(struct orr_sink *s, size_t n) { (void)s, (void)n; }

/* -- The walk ------------------------------------------------------------------------------------------------------ */

/* The item's bytes are HEAD of room, then the pattern: the question's head is written right before that. */
static int look(struct orri_resp_conn *c, struct orri_resp_item *item, const struct orr_at *at) {
    static const struct orr_sink_ops ops = { on_nil, on_integer, on_text, on_status, on_error, on_array };
    struct orri_resp_kv *kv = orri_resp_kv_of(c);
    struct finder f = { .face = { &ops }, .kv = kv };
    unsigned char head[HEAD], *pattern = orri_resp_bytes(item) + HEAD;
    struct orr_kv_call call = { .code = ORR_KV_SCAN, .a = kv->walk.cursor, .b = STEP, .n_args = 1 };
    struct orr_writer w = orri_writer(head, sizeof head);
    orri_kv_write_head(&w, &call);
    orri_write_varint(&w, item->size - HEAD);
    ORR_ASSERT(!w.failed);
    size_t n = (size_t)(w.at - head);
    memcpy(pattern - n, head, n);
    int status = orri_group_query(c->group, at, orr_borrow(pattern - n, n + item->size - HEAD), &f.face);
    if (status == 0) status = f.status;
    kv->walk.through = status == 0 && kv->walk.cursor == 0;
    return status;
}

bool orri_resp_walk(struct orri_resp_conn *c, struct orri_resp_item *item, const struct orr_at *at) {
    struct orri_resp_kv *kv = orri_resp_kv_of(c);
    if (!kv->walk.through) {
        int status = look(c, item, at);
        if (status == 0 && !kv->walk.through) return false;
        if (status == 0) orri_resp_head(c, '*', (int64_t)kv->walk.n);
        else orri_resp_lost(c, status);
        if (status < 0) orri_resp_walk_clear(kv);
    }
    while (kv->walk.first) {
        if (orr_conn_crowded(c->conn)) return false;
        orri_resp_put(c, kv->walk.first->at, kv->walk.first->used);
        drop_first(kv);
    }
    orri_resp_walk_clear(kv);
    return true;
}

void orri_resp_keys(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_slice pattern = orri_resp_at(c, 1);
    (void)cmd;
    if (pattern.size > ORR_KV_KEY_MAX) {            /* no key is so long, but one with stars may match */
        orri_resp_say_error(c, "ERR a pattern may have at most %d bytes", ORR_KV_KEY_MAX);
        return;
    }
    struct orri_resp_item *item = orri_resp_push(c, ORRI_RESP_READ, HEAD + pattern.size);
    if (!item) return;
    item->flags |= ORRI_RESP_WALK;
    if (pattern.size) memcpy(orri_resp_bytes(item) + HEAD, pattern.at, pattern.size);
    orri_resp_kv_of(c)->last_read = c->tag;
    c->alone = true;
}
