/* clock_saved.c - what a clock knows that is worth keeping over a restart.
 *
 *     bytes  what (little-endian; doubles as their IEEE 754 bits)
 *     8      "orrclk01", the last two are the version
 *     8 x 2  rate and its deviation, of the peer that knew it best
 *     1      whether the temperature's share is known, then
 *     8 x 7  first, per_degree, and the regression's sums w x y xx xy
 *     4      peers, then of each
 *              4      id
 *              8 x 4  excess, spread, out_sum, out_weight
 *     8      XXH3-64 of all before
 *
 * No offset is kept: another clock may be read by the next process, and the bound must not rest on an old one. */
#include <math.h>
#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "clock/clock_inner.h"

#define RESTART_RATE_SD 5e-6        /* what the oscillator may have moved by in between */
enum { MAGIC = 8, SUMS = 7, OF_PEER = 4, PEER_BYTES = 4 + 8 * OF_PEER, HEAD_BYTES = MAGIC + 16 + 1 + 8 * SUMS + 4 };
static const char magic[MAGIC + 1] = "orrclk01";

static void write_double(struct orr_writer *w, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    orri_write_u64(w, bits);
}
/* Fails on what is no number, or out of +-limit. */
static double read_double(struct orr_reader *r, double limit) {
    uint64_t bits = orri_read_u64(r);
    double v;
    memcpy(&v, &bits, sizeof v);
    if (!(v >= -limit && v <= limit)) r->failed = true;
    return v;
}

size_t orr_clock_save(const struct orr_clock *c, void *at, size_t size) {
    size_t need = HEAD_BYTES + c->n * PEER_BYTES + 8;
    if (size < need) return need;
    struct orr_writer w = orri_writer(at, need);
    const struct orri_heat *h = &c->heat;
    double rate = c->rate, rate_sd = c->rate_sd;
    for (unsigned i = 0; i < c->n; i++) {
        const struct orri_bank *b = &c->peers[i].bank;
        if (!b->begun || b->rate_sd >= rate_sd || (c->good && !(c->good >> i & 1))) continue;
        rate = b->rate;
        rate_sd = b->rate_sd;
    }
    orri_write_bytes(&w, magic, MAGIC);
    write_double(&w, rate);
    write_double(&w, rate_sd);
    orri_write_u8(&w, h->used);
    const double sums[SUMS] = { h->first, h->per_degree, h->w, h->x, h->y, h->xx, h->xy };
    for (unsigned i = 0; i < SUMS; i++) write_double(&w, sums[i]);
    orri_write_u32(&w, c->n);
    for (unsigned i = 0; i < c->n; i++) {
        const struct orri_path *p = &c->peers[i].path;
        orri_write_u32(&w, c->peers[i].id);
        const double of_peer[OF_PEER] = { p->excess, p->spread, p->out_sum, p->out_weight };
        for (unsigned j = 0; j < OF_PEER; j++) write_double(&w, of_peer[j]);
    }
    orri_write_u64(&w, orri_hash64(at, need - 8, 0));
    return need;
}

static void read_heat(struct orr_reader *r, struct orri_heat *h) {
    h->used = orri_read_u8(r) == 1;
    h->first = read_double(r, 1000);
    h->per_degree = read_double(r, 1e-5);
    double *sums[] = { &h->w, &h->x, &h->y, &h->xx, &h->xy };
    for (unsigned i = 0; i < sizeof sums / sizeof *sums; i++) *sums[i] = read_double(r, 1e15);
    if (h->w < 0 || h->xx < 0 || (h->used && h->w < 1)) r->failed = true;
}

static void read_path(struct orr_reader *r, struct orri_path *p) {
    p->excess = read_double(r, 16);
    p->n_excess = UINT32_MAX;       /* not a mean of few any more */
    p->spread = read_double(r, 0.25);
    p->out_sum = read_double(r, 1e6);
    p->out_weight = read_double(r, 1e6);
    if (p->excess < 0 || p->spread < 0.002 || p->out_weight < 0 || fabs(p->out_sum) > p->out_weight) r->failed = true;
}

int orr_clock_load(struct orr_clock *c, const void *at, size_t size) {
    if (c->heard) return ORR_EINVALID;
    if (size < HEAD_BYTES + 8 || memcmp(at, magic, MAGIC) != 0) return ORR_ECORRUPT;
#ifndef ORR_FUZZING                 /* they are to reach what lies behind it */
    if (orri_get_le((const unsigned char *)at + size - 8, 8) != orri_hash64(at, size - 8, 0)) return ORR_ECORRUPT;
#endif
    struct orr_reader r = orri_reader((const unsigned char *)at + MAGIC, size - MAGIC - 8);
    struct orri_heat heat = { .begun = false };
    struct orri_path paths[ORR_CLOCK_PEERS_MAX], path;
    double rate = read_double(&r, ORRI_RATE_MAX), rate_sd = read_double(&r, 1);
    read_heat(&r, &heat);
    uint32_t n = orri_read_u32(&r);
    if (r.failed || n > ORR_CLOCK_PEERS_MAX || orri_left(&r) != n * PEER_BYTES) return ORR_ECORRUPT;
    for (unsigned i = 0; i < c->n; i++) paths[i] = c->peers[i].path;
    for (; n > 0; n--) {
        const struct orri_peer *p = orri_clock_find(c, orri_read_u32(&r));
        orri_path_init(&path);
        read_path(&r, &path);
        if (p) paths[p - c->peers] = path;
    }
    if (r.failed || rate_sd <= 0) return ORR_ECORRUPT;
    for (unsigned i = 0; i < c->n; i++) c->peers[i].path = paths[i];
    c->heat = heat;
    c->rate = rate;
    c->rate_sd = orri_larger(orri_smaller(rate_sd, ORRI_RATE_SD_START), RESTART_RATE_SD);
    return 0;
}
