/* results.c - results of a machine on their way to another node (format in results.h). Decoding is total.            */
#include "node/results.h"

#include <errno.h>

#include "base/codec.h"

enum kind { NIL, INTEGER, TEXT, STATUS, ERROR, ARRAY, KINDS };
enum { CAP_FIRST = 256, HEAD_MAX = 1 + 4 + ORR_VARINT_MAX };

/* -- Writing ------------------------------------------------------------------------------------------------------- */
static bool reserve(struct orri_results *r, size_t more) {
    if (r->status < 0) return false;
    size_t cap = r->chunk ? r->chunk->cap : 0, need = r->size + more;
    if (need > r->head + r->max) r->status = ORR_EFAILED;
    else if (need > cap) {
        size_t larger = 2 * cap > CAP_FIRST ? 2 * cap : CAP_FIRST;
        struct orr_chunk *chunk = r->chunks->get(r->chunks, larger > need ? larger : need);
        if (!chunk) r->status = -ENOMEM;
        else if (r->chunk) memcpy(chunk->at + r->head, r->chunk->at + r->head, r->size - r->head);
        if (chunk) {
            orr_chunk_drop(r->chunk);
            r->chunk = chunk;
        }
    }
    return r->status == 0;
}

static void put(struct orr_sink *s, enum kind kind, uint64_t fixed, unsigned n_fixed, const void *at, size_t size,
                bool sized) {
    struct orri_results *r = (struct orri_results *)(void *)s;
    unsigned char head[HEAD_MAX + 4];
    struct orr_writer w = orri_writer(head, sizeof head);
    orri_write_u8(&w, (uint8_t)kind);
    orri_put_le(w.at, fixed, n_fixed);
    w.at += n_fixed;
    if (sized) orri_write_varint(&w, size);
    size_t n_head = (size_t)(w.at - head), n_bytes = at ? size : 0;
    if (!reserve(r, n_head + n_bytes)) return;
    memcpy(r->chunk->at + r->size, head, n_head);
    if (n_bytes) memcpy(r->chunk->at + r->size + n_head, at, n_bytes);
    r->size += n_head + n_bytes;
}

static size_t cut(const char *text, size_t max) {
    size_t size = 0;
    while (size < max && text[size]) size++;
    return size;
}

static void put_nil(struct orr_sink *s) { put(s, NIL, 0, 0, NULL, 0, false); }
static void put_integer(struct orr_sink *s, int64_t v) { put(s, INTEGER, (uint64_t)v, 8, NULL, 0, false); }
static void put_text(struct orr_sink *s, const void *at, size_t size) { put(s, TEXT, 0, 0, at, size, true); }
static void put_status(struct orr_sink *s, const char *word) {
    put(s, STATUS, 0, 0, word, cut(word, ORRI_WORD_MAX), true);
}
static void put_error(struct orr_sink *s, int code, const char *text) {
    put(s, ERROR, (uint64_t)-(int64_t)code, 4, text, cut(text, ORRI_ERROR_MAX), true);
}
static void put_array(struct orr_sink *s, size_t n) { put(s, ARRAY, 0, 0, NULL, n, true); }
static const struct orr_sink_ops ops = { put_nil, put_integer, put_text, put_status, put_error, put_array };

void orri_results_init(struct orri_results *r, struct orr_chunks *chunks, size_t head, size_t max) {
    *r = (struct orri_results){ .sink.ops = &ops, .chunks = chunks, .head = head, .size = head, .max = max };
}

struct orr_slice orri_results_take(struct orri_results *r) {
    int status = r->status;
    r->status = 0;
    if (status < 0) r->size = r->head;
    struct orr_slice s = { 0 };
    if (r->chunk || reserve(r, 0)) s = (struct orr_slice){ r->chunk, r->chunk->at, r->size };
    r->chunk = NULL;
    r->status = status;
    return s;
}

void orri_results_clear(struct orri_results *r) {
    orr_chunk_drop(r->chunk);
    r->chunk = NULL;
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */
struct value {
    enum kind kind;
    int64_t fixed;                  /* an integer, a code */
    uint64_t n;                     /* of an array */
    struct orr_slice bytes;
};

static bool next(struct orr_reader *r, struct value *v) {
    unsigned kind = orri_read_u8(r);
    *v = (struct value){ .kind = (enum kind)(kind < KINDS ? kind : NIL) };
    switch (v->kind) {
    case INTEGER: v->fixed = orri_read_i64(r); break;
    case TEXT: v->bytes = orri_read_blob(r, SIZE_MAX); break;
    case STATUS: v->bytes = orri_read_blob(r, ORRI_WORD_MAX); break;
    case ERROR:
        v->fixed = -(int64_t)orri_read_u32(r);
        v->bytes = orri_read_blob(r, ORRI_ERROR_MAX);
        break;
    case ARRAY: v->n = orri_read_varint(r); break;
    case NIL: case KINDS: break;
    }
    return !r->failed && kind < KINDS && v->fixed >= (v->kind == ERROR ? INT32_MIN + 1 : INT64_MIN);
}

/* Are they whole values? `due` are those that an array has announced. */
static bool whole(struct orr_slice bytes) {
    struct orr_reader r = orri_reader(bytes.at, bytes.size);
    struct value v;
    uint64_t due = 0;
    while (orri_left(&r)) {
        if (!next(&r, &v)) return false;
        if (due) due--;
        if (v.kind == ARRAY && v.n > orri_left(&r)) return false;
        if (v.kind == ARRAY) due += v.n;
    }
    return due == 0;
}

static void tell(struct orr_sink *sink, const struct value *v) {
    char text[ORRI_ERROR_MAX + 1];
    if (v->kind == STATUS || v->kind == ERROR) {
        if (v->bytes.size) memcpy(text, v->bytes.at, v->bytes.size);
        text[v->bytes.size] = '\0';
    }
    switch (v->kind) {
    case INTEGER: sink->ops->integer(sink, v->fixed); break;
    case TEXT: sink->ops->text(sink, v->bytes.at, v->bytes.size); break;
    case STATUS: sink->ops->status(sink, text); break;
    case ERROR: sink->ops->error(sink, (int)v->fixed, text); break;
    case ARRAY: sink->ops->array(sink, (size_t)v->n); break;
    case NIL: case KINDS: sink->ops->nil(sink); break;
    }
}

int orri_results_tell(struct orr_slice bytes, struct orr_sink *sink) {
    struct orr_reader r = orri_reader(bytes.at, bytes.size);
    struct value v;
    if (!whole(bytes)) return ORR_EINVALID;
    while (orri_left(&r) && next(&r, &v)) tell(sink, &v);
    return 0;
}
