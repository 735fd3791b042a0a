/* call.c - ops and questions as bytes: the byte table of orrery/kv.h, both ways.
 *
 * The decoder checks everything that can be checked without the state, so what ops.c and query.c get is well-formed,
 * and an op that takes many arguments changes nothing before all of them were seen. */
#include "node/kv/kv.h"

static uint64_t zigzag(int64_t v) { return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0); }
static int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

static unsigned head_flags(const struct orr_kv_call *call) {
    unsigned flags = call->flags & ~(unsigned)(ORR_KV_HAS_A | ORR_KV_HAS_B);
    if (call->a) flags |= ORR_KV_HAS_A;
    if (call->b) flags |= ORR_KV_HAS_B;
    return flags;
}

size_t orr_kv_size(const struct orr_kv_call *call) {
    size_t size = 1 + orri_varint_size(head_flags(call)) + orri_varint_size(call->n_args);
    if (call->a) size += orri_varint_size(zigzag(call->a));
    if (call->b) size += orri_varint_size(zigzag(call->b));
    for (size_t i = 0; i < call->n_args; i++) size += orri_varint_size(call->args[i].size) + call->args[i].size;
    return size;
}

void orri_kv_write_head(struct orr_writer *w, const struct orr_kv_call *call) {
    orri_write_u8(w, (uint8_t)call->code);
    orri_write_varint(w, head_flags(call));
    if (call->a) orri_write_varint(w, zigzag(call->a));
    if (call->b) orri_write_varint(w, zigzag(call->b));
    orri_write_varint(w, call->n_args);
}

size_t orr_kv_encode(void *at, size_t cap, const struct orr_kv_call *call) {
    struct orr_writer w = orri_writer(at, cap);
    orri_kv_write_head(&w, call);
    for (size_t i = 0; i < call->n_args; i++) orri_write_blob(&w, call->args[i].at, call->args[i].size);
    return w.failed ? 0 : (size_t)(w.at - (unsigned char *)at);
}

/* What each code takes. */
struct shape {
    size_t min, max;
    size_t keys;                    /* argument i is a key when i < keys */
    size_t pairs;                   /* 2: they come in pairs, key and value */
};
enum { MANY = ORR_KV_KEYS_MAX };
static const struct shape ops[] = {
    [ORR_KV_SEED] = { 1, 1, 1, 1 },          [ORR_KV_SET] = { 2, 3, 1, 1 },
    [ORR_KV_MSET] = { 2, 2 * MANY, 2 * MANY, 2 },
    [ORR_KV_APPEND] = { 2, 2, 1, 1 },        [ORR_KV_SETRANGE] = { 2, 2, 1, 1 }, [ORR_KV_ADD] = { 1, 1, 1, 1 },
    [ORR_KV_ADD_FLOAT] = { 2, 2, 2, 1 },     [ORR_KV_DEL] = { 1, MANY, MANY, 1 }, [ORR_KV_EXPIRE] = { 1, 1, 1, 1 },
    [ORR_KV_PERSIST] = { 1, 1, 1, 1 },       [ORR_KV_GET_EXPIRE] = { 1, 1, 1, 1 }, [ORR_KV_RENAME] = { 2, 2, 2, 1 },
    [ORR_KV_FLUSH] = { 0, 0, 0, 1 },
};
static const struct shape questions[] = {
    [ORR_KV_GET - 64] = { 1, 1, 1, 1 },         [ORR_KV_MGET - 64] = { 1, MANY, MANY, 1 },
    [ORR_KV_SIZE - 64] = { 1, 1, 1, 1 },        [ORR_KV_RANGE - 64] = { 1, 1, 1, 1 },
    [ORR_KV_COUNT - 64] = { 1, MANY, MANY, 1 }, [ORR_KV_TTL - 64] = { 1, 1, 1, 1 },
    [ORR_KV_TYPE - 64] = { 1, 1, 1, 1 },        [ORR_KV_DBSIZE - 64] = { 0, 0, 0, 1 },
    [ORR_KV_SCAN - 64] = { 0, 1, 1, 1 },        [ORR_KV_KEYS - 64] = { 1, 1, 1, 1 },
    [ORR_KV_RANDOM - 64] = { 0, 0, 0, 1 },      [ORR_KV_VERSION - 64] = { 1, 1, 1, 1 },
    [ORR_KV_UNSEEDED - 64] = { 0, 0, 0, 1 },    [ORR_KV_LIST - 64] = { 1, 1, 1, 1 },
};

static const struct shape *shape_of(unsigned code) {
    if (code >= 64 && code - 64 < sizeof questions / sizeof *questions) return &questions[code - 64];
    if (code < sizeof ops / sizeof *ops && ops[code].pairs) return &ops[code];
    return NULL;
}

static bool read_args(struct orri_kv_args *out, const struct shape *shape) {
    struct orr_reader r = out->rest;
    for (size_t i = 0; i < out->n; i++) {
        bool is_key = i < shape->keys && i % shape->pairs == 0;
        struct orr_slice arg = orri_read_blob(&r, is_key ? ORR_KV_KEY_MAX : ORR_KV_VALUE_MAX);
        if (r.failed) return false;
        if (i < ORRI_KV_ARGS_KEPT) out->arg[i] = arg;
    }
    return orri_left(&r) == 0;
}

struct orr_slice orri_kv_first_arg(struct orr_slice bytes) {
    struct orr_reader r = orri_reader(bytes.at, bytes.size);
    (void)orri_read_u8(&r);
    uint64_t flags = orri_read_varint(&r);
    if (flags & ORR_KV_HAS_A) (void)orri_read_varint(&r);
    if (flags & ORR_KV_HAS_B) (void)orri_read_varint(&r);
    (void)orri_read_varint(&r);
    return orri_read_blob(&r, ORR_KV_VALUE_MAX);
}

int orri_kv_decode(struct orri_kv_args *out, struct orr_slice bytes) {
    struct orr_reader r = orri_reader(bytes.at, bytes.size);
    *out = (struct orri_kv_args){ .code = orri_read_u8(&r) };
    uint64_t flags = orri_read_varint(&r);
    if (flags & ORR_KV_HAS_A) out->a = unzigzag(orri_read_varint(&r));
    if (flags & ORR_KV_HAS_B) out->b = unzigzag(orri_read_varint(&r));
    out->n = (size_t)orri_read_varint(&r);
    const struct shape *shape = shape_of(out->code);
    if (r.failed || !shape || flags > UINT32_MAX || out->n < shape->min || out->n > shape->max) return ORR_EINVALID;
    if (out->n % shape->pairs != 0 || out->n > orri_left(&r)) return ORR_EINVALID;
    out->flags = (unsigned)flags;
    out->rest = r;
    return read_args(out, shape) ? 0 : ORR_EINVALID;
}
