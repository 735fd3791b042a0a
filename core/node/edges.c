/* edges.c - what nodes tell each other of the clocks that they measure: bytes, and how long it is worth something.
 *
 * An offset is between two kept clocks, and holds for no others: both are named. How long ago it was told is known by
 * the teller's own time, which this node measures, too: so what was long under way is not taken for news.            */
#include "node/edges.h"

#include <math.h>

#include "base/codec.h"
#include "base/hash.h"

enum { FORMAT = 8, RATE_MOST_PPT = 1000000000, RATE_SD_MOST_PPB = 1000000 };

/* -- Bytes --------------------------------------------------------------------------------------------------------- */
static void write_edge(struct orr_writer *w, const struct orri_edge *e) {
    orri_write_u64(w, e->to);
    orri_write_u64(w, e->clock);
    orri_write_i64(w, e->offset);
    orri_write_u32(w, e->sd_ns);
    orri_write_u32(w, (uint32_t)e->rate_ppt);
    orri_write_u32(w, e->rate_sd_ppb);
    orri_write_u32(w, e->age_us);
}

size_t orri_edges_write(const struct orri_edges *e, uint64_t seed, unsigned char out[ORRI_EDGES_SIZE_MAX]) {
    struct orr_writer w = orri_writer(out, ORRI_EDGES_SIZE_MAX);
    orri_write_u8(&w, FORMAT);
    orri_write_u8(&w, (uint8_t)e->n);
    orri_write_u64(&w, e->clock);
    orri_write_i64(&w, e->now);
    for (size_t i = 0; i < e->n; i++) write_edge(&w, &e->edges[i]);
    size_t size = (size_t)(w.at - out);
    orri_write_u64(&w, orri_hash64(out, size, seed));
    return size + ORRI_EDGES_SUM;
}

static struct orri_edge read_edge(struct orr_reader *r) {
    struct orri_edge e;
    e.to = orri_read_u64(r);
    e.clock = orri_read_u64(r);
    e.offset = orri_read_i64(r);
    e.sd_ns = orri_read_u32(r);
    e.rate_ppt = (int32_t)orri_read_u32(r);
    e.rate_sd_ppb = orri_read_u32(r);
    e.age_us = orri_read_u32(r);
    return e;
}

static bool is_edge(const struct orri_edge *e) {
    return e->clock != 0 && e->offset > -ORRI_EDGE_OFFSET_LIMIT && e->offset < ORRI_EDGE_OFFSET_LIMIT &&
           e->sd_ns > 0 && e->rate_ppt >= -RATE_MOST_PPT && e->rate_ppt <= RATE_MOST_PPT &&
           e->rate_sd_ppb <= RATE_SD_MOST_PPB && e->age_us <= ORR_TIME_KEPT / 1000;
}

static bool told_twice(const struct orri_edges *e, size_t i) {
    for (size_t k = 0; k < i; k++) {
        if (e->edges[k].to == e->edges[i].to) return true;
    }
    return false;
}

static bool is_whole(struct orr_slice data, uint64_t seed) {
    if (data.size < ORRI_EDGES_HEAD + ORRI_EDGES_EACH + ORRI_EDGES_SUM || data.size > ORRI_EDGES_SIZE_MAX) return false;
    size_t size = data.size - ORRI_EDGES_SUM;
    return orri_get_le(data.at + size, ORRI_EDGES_SUM) == orri_hash64(data.at, size, seed);
}

bool orri_edges_read(struct orr_slice data, uint64_t seed, struct orri_edges *out) {
    if (!is_whole(data, seed)) return false;
    struct orr_reader r = orri_reader(data.at, data.size);
    unsigned format = orri_read_u8(&r);
    out->n = orri_read_u8(&r);
    out->clock = orri_read_u64(&r);
    out->now = orri_read_i64(&r);
    if (format != FORMAT || out->n < 1 || out->n > ORRI_EDGES_MAX || out->clock == 0) return false;
    if (data.size != ORRI_EDGES_HEAD + out->n * ORRI_EDGES_EACH + ORRI_EDGES_SUM) return false;
    if (out->now <= -ORRI_EDGE_OFFSET_LIMIT || out->now >= ORRI_EDGE_OFFSET_LIMIT) return false;
    for (size_t i = 0; i < out->n; i++) {
        out->edges[i] = read_edge(&r);
        if (!is_edge(&out->edges[i]) || told_twice(out, i)) return false;
    }
    return true;
}

/* -- What is kept -------------------------------------------------------------------------------------------------- */
enum orri_hearing orri_teller_hear(struct orri_teller *t, const struct orri_edges *e,
                                   const struct orri_teller_clock *known, orr_time local) {
    if (e->clock != known->clock) return ORRI_HEARD_LATE;
    if (t->last.clock == e->clock && e->now <= t->last.now) return ORRI_HEARD_LATE;
    if (e->now > known->latest) return ORRI_HEARD_WRONG;
    orr_time under_way = known->likely > e->now ? known->likely - e->now : 0;
    if (under_way > ORRI_EDGE_KEPT) return ORRI_HEARD_LATE;
    t->last = *e;
    t->at = local - under_way;
    return ORRI_HEARD;
}

bool orri_teller_edge(const struct orri_teller *t, size_t k, orr_time local, struct orri_edge *out, orr_time *sd) {
    if (t->last.clock == 0 || k >= t->last.n) return false;
    *out = t->last.edges[k];
    orr_time passed = local - t->at, age = passed + (orr_time)out->age_us * 1000;
    if (passed < 0 || age > ORRI_EDGE_KEPT) return false;
    double wander = (double)passed * 1e-9 * out->rate_sd_ppb, at_first = out->sd_ns;
    out->offset += (orr_time)((double)passed * 1e-12 * out->rate_ppt);
    out->age_us = (uint32_t)(age / 1000);
    *sd = (orr_time)ceil(sqrt(at_first * at_first + wander * wander));
    return true;
}
