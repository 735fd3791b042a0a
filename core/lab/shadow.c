/* shadow.c - an independent reading of the committed log: which write took effect when.
 *
 * The shadow sees each committed entry once, in order, and does what any replica must do with it, in its own few lines:
 * judge the origin tag (exactly the next sequence of an origin counts), then apply the commands that the workload
 * sends. So it knows the order of the writes of each key, which is the witness for the clients' history, and sees a
 * command that takes effect twice. */
#include <errno.h>
#include <inttypes.h>
#include <orrery/kv.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "lab_internal.h"
#include "node/batch.h"

struct origin {
    struct orr_birth birth;
    uint32_t incarnation;
    uint64_t sequence;
};
struct lab_shadow {
    struct origin *origins;
    size_t n_origins, cap_origins;
    bool any;                       /* of the kv machine's sets */
    uint64_t *value, *writes;       /* by key: what is there; how many writes it had */
};

int lab_shadow_new(struct orr_lab *lab) {
    struct lab_shadow *s = lab->shadow = lab->alloc.fn(lab->alloc.ud, NULL, 0, sizeof *s);
    if (!s) return -ENOMEM;
    memset(s, 0, sizeof *s);
    size_t size = (lab->cfg.keys + 1) * sizeof *s->value;
    s->value = lab->alloc.fn(lab->alloc.ud, NULL, 0, size);
    s->writes = lab->alloc.fn(lab->alloc.ud, NULL, 0, size);
    if (!s->value || !s->writes) return -ENOMEM;
    memset(s->value, 0, size);
    memset(s->writes, 0, size);
    return 0;
}
void lab_shadow_free(struct orr_lab *lab) {
    struct lab_shadow *s = lab->shadow;
    if (!s) return;
    size_t size = (lab->cfg.keys + 1) * sizeof *s->value;
    if (s->value) lab->alloc.fn(lab->alloc.ud, s->value, size, 0);
    if (s->writes) lab->alloc.fn(lab->alloc.ud, s->writes, size, 0);
    if (s->origins) lab->alloc.fn(lab->alloc.ud, s->origins, s->cap_origins * sizeof *s->origins, 0);
    lab->alloc.fn(lab->alloc.ud, s, sizeof *s, 0);
}

/* Does the batch count? By the origin tag alone, without regard to how filter.c does it. */
static bool counts(struct orr_lab *lab, const struct orri_origin_tag *tag) {
    struct lab_shadow *s = lab->shadow;
    if (tag->sequence == 0) return true;
    for (size_t i = 0; i < s->n_origins; i++) {
        struct origin *o = &s->origins[i];
        if (memcmp(&o->birth, &tag->birth, sizeof o->birth) != 0) continue;
        bool next = tag->incarnation == o->incarnation ? tag->sequence == o->sequence + 1
                                                       : tag->incarnation > o->incarnation && tag->sequence == 1;
        if (next) o->incarnation = tag->incarnation, o->sequence = tag->sequence;
        return next;
    }
    if (tag->sequence != 1) return false;
    struct origin *origins = lab_grow(lab, s->origins, &s->cap_origins, s->n_origins + 1, sizeof *origins);
    if (!origins) return false;
    s->origins = origins;
    origins[s->n_origins++] = (struct origin){ tag->birth, tag->incarnation, 1 };
    return true;
}

static uint64_t number(struct orr_slice text) {
    uint64_t v = 0;
    for (size_t i = 0; i < text.size && text.at[i] >= '0' && text.at[i] <= '9'; i++)
        v = 10 * v + (uint64_t)(text.at[i] - '0');
    return v;
}

/* Reads a set as the workload sends it, by kv.h's byte table. */
static bool read_set(struct orr_slice command, uint64_t *key, uint64_t *value, uint64_t *expected, bool *conditional) {
    struct orr_reader r = orri_reader(command.at, command.size);
    if (orri_read_u8(&r) != ORR_KV_SET) return false;
    uint64_t flags = orri_read_varint(&r);
    if (flags & ORR_KV_HAS_A) orri_read_varint(&r);
    if (flags & ORR_KV_HAS_B) orri_read_varint(&r);
    uint64_t n = orri_read_varint(&r);
    struct orr_slice arg[3] = { { 0 } };
    for (uint64_t i = 0; i < n && i < 3; i++) arg[i] = orri_read_blob(&r, command.size);
    if (r.failed || n < 2 || arg[0].size < 2 || arg[0].at[0] != 'k') return false;
    *key = number(orr_part_of(arg[0], 1, arg[0].size - 1));
    *value = number(arg[1]);
    *expected = number(arg[2]);
    *conditional = (flags & ORR_KV_IFEQ) != 0;
    return true;
}

void lab_shadow_write(struct orr_lab *lab, uint64_t key, uint64_t value) {
    struct lab_shadow *s = lab->shadow;
    struct orr_operation *op = lab_operation(lab, value);
    s->any = true;
    s->value[key] = value;
    s->writes[key]++;
    if (!op || op->order != 0)
        lab_violate(lab, "exactly_once", "the write of %" PRIu64 " to k%" PRIu64 " took effect %s", value, key,
                    op ? "twice" : "again, or late: it had its answer, and what came later, too");
    else op->order = s->writes[key];
}

void lab_shadow_commit(struct orr_lab *lab, const struct orr_trace_commit *c) {
    struct orri_batch_head head;
    if (c->kind != ORR_ENTRY_DATA || lab->cfg.clients == 0) return;
    if (orri_batch_open(c->data, &head) < 0 || !counts(lab, &head.origin)) return;
    size_t at = ORRI_BATCH_HEAD;
    for (uint32_t i = 0; i < head.count; i++) {
        uint64_t key, value, expected;
        bool conditional;
        struct orr_slice command = orri_batch_next(c->data, &at);
        if (!read_set(command, &key, &value, &expected, &conditional)) continue;
        const struct orr_operation *op = lab_operation(lab, value);
        bool another = op && (op->key != key || op->call == ORR_CALL_GET);
        if (another || key >= lab->cfg.keys || value == 0 || value > lab->begun) {
            lab_violate(lab, "linearizable", "index %" PRIu64 " sets k%" PRIu64 " to %" PRIu64 ", which nobody wrote",
                        c->index, key, value);
            return;
        }
        if (!conditional || lab->shadow->value[key] == expected) lab_shadow_write(lab, key, value);
    }
}

bool lab_shadow_witness(const struct orr_lab *lab) { return lab->shadow->any; }
