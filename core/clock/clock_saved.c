/* clock_saved.c - what a clock knows that is worth keeping over a restart.
 *
 *     bytes  what (little-endian; doubles as their IEEE 754 bits)
 *     8      "orrclk02", the last two are the version; 01 is read, too, and ends each peer after its doubles
 *     8 x 2  rate and its deviation, of the peer that knew it best
 *     1      whether the temperature's share is known, then
 *     8 x 7  first, per_degree, and the regression's sums w x y xx xy
 *     4      peers, then of each
 *              4      id
 *              8 x 4  excess, spread, out_sum, out_weight
 *              1      whether mode pacemaker learned of it, then
 *              1, 1   how often each candidate was judged, from how many exchanges queues were learned
 *              8 x 5  each candidate's mean squared error
 *              8 x 26 shares of queues, 13 on the way out and 13 on the way back
 *     8      XXH3-64 of all before
 *
 * No offset is kept: another clock may be read by the next process, and the bound must not rest on an old one. */
#include <math.h>
#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "clock/clock_inner.h"

#define RESTART_RATE_SD 5e-6        /* what the oscillator may have moved by in between */
enum {
    MAGIC = 8, SUMS = 7, OF_PEER = 4, PEER_BYTES = 4 + 8 * OF_PEER + 1,
    PACE_BYTES = 2 + 8 * (ORRI_CANDIDATES + 2 * ORRI_SCALES), HEAD_BYTES = MAGIC + 16 + 1 + 8 * SUMS + 4
};
static const char magic[MAGIC + 1] = "orrclk02", before[MAGIC + 1] = "orrclk01";

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

static bool has_learned(const struct orri_peer *p) { return p->pace && p->pace->taught > 0; }

static void write_pace(struct orr_writer *w, const struct orri_pace *k) {
    orri_write_u8(w, (uint8_t)k->taught);
    orri_write_u8(w, (uint8_t)k->edge.learned);
    for (unsigned i = 0; i < ORRI_CANDIDATES; i++) write_double(w, k->error[i]);
    for (unsigned way = 0; way < 2; way++) {
        for (unsigned i = 0; i < ORRI_SCALES; i++) write_double(w, k->edge.queue[way].share[i]);
    }
}

size_t orr_clock_save(const struct orr_clock *c, void *at, size_t size) {
    size_t need = HEAD_BYTES + c->n * PEER_BYTES + 8;
    for (unsigned i = 0; i < c->n; i++) need += has_learned(&c->peers[i]) ? PACE_BYTES : 0;
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
        orri_write_u8(&w, has_learned(&c->peers[i]));
        if (has_learned(&c->peers[i])) write_pace(&w, c->peers[i].pace);
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

/* Of one peer. */
struct learned {
    struct orri_path path;
    uint32_t taught, exchanges;     /* 0: not by mode pacemaker */
    double error[ORRI_CANDIDATES];
    struct orri_queue queue[2];
};

static void read_path(struct orr_reader *r, struct orri_path *p) {
    p->excess = read_double(r, 16);
    p->n_excess = UINT32_MAX;       /* not a mean of few any more */
    p->spread = read_double(r, 0.25);
    p->out_sum = read_double(r, 1e6);
    p->out_weight = read_double(r, 1e6);
    if (p->excess < 0 || p->spread < 0.002 || p->out_weight < 0 || fabs(p->out_sum) > p->out_weight) r->failed = true;
}

static void read_pace(struct orr_reader *r, struct learned *k) {
    k->taught = orri_read_u8(r);
    k->exchanges = orri_read_u8(r);
    if (k->taught == 0 || k->taught > ORRI_TAUGHT || k->exchanges == 0 || k->exchanges > ORRI_TAUGHT) r->failed = true;
    for (unsigned i = 0; i < ORRI_CANDIDATES; i++) {
        k->error[i] = read_double(r, ORRI_ERROR_MOST);
        if (k->error[i] < 0) r->failed = true;
    }
    for (unsigned way = 0; way < 2; way++) {
        double sum = 0;
        for (unsigned i = 0; i < ORRI_SCALES; i++) {
            double share = k->queue[way].share[i] = read_double(r, 1);
            if (share <= 0) r->failed = true;
            sum += share;
        }
        if (fabs(sum - 1) > 1e-9) r->failed = true;
    }
}

static void read_peer(struct orr_reader *r, bool first_version, struct learned *k) {
    *k = (struct learned){ .taught = 0 };
    orri_path_init(&k->path);
    read_path(r, &k->path);
    if (first_version) return;
    switch (orri_read_u8(r)) {
    case 0: break;
    case 1: read_pace(r, k); break;
    default: r->failed = true;
    }
}

static void give(struct orri_peer *p, const struct learned *k) {
    p->path = k->path;
    if (!p->pace || k->taught == 0) return;
    p->pace->taught = k->taught;
    p->pace->edge.learned = k->exchanges;
    memcpy(p->pace->error, k->error, sizeof k->error);
    memcpy(p->pace->edge.queue, k->queue, sizeof k->queue);
}

int orr_clock_load(struct orr_clock *c, const void *at, size_t size) {
    if (c->heard) return ORR_EINVALID;
    if (size < HEAD_BYTES + 8) return ORR_ECORRUPT;
    bool first_version = memcmp(at, before, MAGIC) == 0;
    if (!first_version && memcmp(at, magic, MAGIC) != 0) return ORR_ECORRUPT;
#ifndef ORR_FUZZING                 /* they are to reach what lies behind it */
    if (orri_get_le((const unsigned char *)at + size - 8, 8) != orri_hash64(at, size - 8, 0)) return ORR_ECORRUPT;
#endif
    struct orr_reader r = orri_reader((const unsigned char *)at + MAGIC, size - MAGIC - 8);
    struct orri_heat heat = { .begun = false };
    struct learned k;
    double rate = read_double(&r, ORRI_RATE_MAX), rate_sd = read_double(&r, 1);
    read_heat(&r, &heat);
    uint32_t n = orri_read_u32(&r);
    if (n > ORR_CLOCK_PEERS_MAX) return ORR_ECORRUPT;
    /* Twice: nothing comes in before all of it was found sound. */
    struct orr_reader peers = r;
    for (uint32_t i = 0; i < n; i++) {
        (void)orri_read_u32(&r);
        read_peer(&r, first_version, &k);
    }
    if (r.failed || orri_left(&r) > 0 || rate_sd <= 0) return ORR_ECORRUPT;
    for (uint32_t i = 0; i < n; i++) {
        struct orri_peer *p = orri_clock_find(c, orri_read_u32(&peers));
        read_peer(&peers, first_version, &k);
        if (p) give(p, &k);
    }
    c->heat = heat;
    unsigned votes = 0;
    for (unsigned i = 0; i < c->n; i++) votes += !(c->peers[i].flags & ORR_CLOCK_NOSELECT);
    if (c->n > 0 && votes == 0) return 0;       /* each has a rate of its own: one's says nothing of the others' */
    c->rate = rate;
    c->rate_sd = orri_larger(orri_smaller(rate_sd, ORRI_RATE_SD_START), RESTART_RATE_SD);
    return 0;
}
