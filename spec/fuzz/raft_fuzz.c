/* raft_fuzz.c - any bytes from peers: what is a message is written back as the same bytes,
 * and a node that is told lies by its peers goes on: it may be led astray, it may stop, but it doesn't break.
 *
 * Input: records, each a byte that says what comes: a frame of a peer (a byte of size, the frame), time that passes,
 * or something of the node's own. Stores are done at once. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/trace.h>

#include "consensus/raft/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct orr_order_ops *const raft = &orr_raft_order;
static const struct orr_member voters[] = { { 11, "a" }, { 22, "b" }, { 33, "c" } };

struct rig {
    void *x;
    struct orr_chunks *chunks;
    orr_time now;
};

/* -- Messages alone ------------------------------------------------------------------------------------------------ */
static void same_bytes(struct orr_slice frame) {
    static struct orr_entry entries[ORR_RAFT_ENTRIES_MAX];
    struct orr_raft_msg m;
    struct orr_glance seen = { 0 };
    bool glanced = raft->glance(frame, &seen) == 0;
    if (glanced && !seen.kind) abort();
    if (orri_raft_decode(frame, &m, entries) < 0) return;
    if (!glanced || seen.term != m.term) abort();
    unsigned char *out = malloc(orri_raft_head_size(&m));
    size_t n = orri_raft_encode(&m, out, orri_raft_head_size(&m)), data = m.data.size;
    for (size_t i = 0; i < m.n_entries; i++) data += m.entries[i].data.size;
    if (n + data != frame.size || memcmp(out, frame.at, n) != 0) abort();
    free(out);
}

static void states(struct orr_slice bytes) {
    struct orri_raft_members members;
    unsigned char again[ORR_RAFT_STATE_SIZE];
    orr_term term;
    orr_id vote;
    (void)orri_raft_config_decode(bytes, &members);
    if (orr_raft_state_decode(bytes, &term, &vote) < 0) return;
    orr_raft_state_encode(again, term, vote);
    if (bytes.size != sizeof again || memcmp(again, bytes.at, sizeof again) != 0) abort();
}

/* -- A node among liars -------------------------------------------------------------------------------------------- */
static void serve(struct rig *r) {
    const struct orr_ready *rd;
    for (int passes = 0; passes < 64 && (rd = raft->ready(r->x)); passes++) {
        struct orr_ready got = *rd;
        uint64_t ids[3][64];
        orr_index applied = got.n_commits ? got.commits[got.n_commits - 1].index : got.restore ? got.restore->index : 0;
        size_t n[3] = { got.n_stores, got.n_parts, got.n_fetches };
        bool entries[64];
        for (size_t i = 0; i < 64; i++) {
            if (i < n[0]) ids[0][i] = got.stores[i].id;
            if (i < n[1]) ids[1][i] = got.parts[i].id;
            if (i < n[2]) ids[2][i] = got.fetches[i].id, entries[i] = got.fetches[i].kind == ORR_FETCH_ENTRIES;
        }
        for (size_t i = 0; i < n[0] && i < 64; i++) (void)raft->stored(r->x, r->now, ids[0][i], 0);
        for (size_t i = 0; i < n[1] && i < 64; i++)
            (void)raft->part_stored(r->x, r->now, ids[1][i], i % 4 == 3 ? ORR_ECORRUPT : 0);
        for (size_t i = 0; i < n[2] && i < 64; i++) {
            if (entries[i]) (void)raft->fetched(r->x, r->now, ids[2][i], NULL, 0, -EIO);
            else (void)raft->fetched_part(r->x, r->now, ids[2][i], (struct orr_slice){ 0 }, -EIO);
        }
        if (applied) (void)raft->applied(r->x, r->now, applied);
    }
}

static void receive(struct rig *r, orr_id from, const uint8_t *bytes, size_t size) {
    struct orr_chunk *c = r->chunks->get(r->chunks, size ? size : 1);
    if (!c) return;
    if (size) memcpy(c->at, bytes, size);
    struct orr_slice frame = { c, c->at, size };
    same_bytes(frame);
    states(frame);
    (void)raft->recv(r->x, r->now, from, frame);
    orr_drop(frame);
}

static void tell_clock(struct rig *r, uint64_t number) {
    orr_time now = 1000 * ORR_SECOND + r->now, off = (orr_time)(number / 2) * ORR_MS;
    struct orr_clock_reading reading = { number % 2, now - off, now + off };
    if (number == 0) reading.earliest = reading.latest = 0;
    raft->clock(r->x, r->now, &reading);
}

static void own(struct rig *r, unsigned what, uint64_t number) {
    struct orr_slice batch = orr_borrow("batch", 5);
    size_t taken;
    switch (what) {
    case 0: (void)raft->propose(r->x, r->now, &batch, 1, &taken); break;
    case 1: (void)raft->read(r->x, r->now, number); break;
    case 2: (void)raft->greet(r->x, r->now, voters[1 + number % 2].id, number, number / 2); break;
    case 3: (void)raft->peer_lost(r->x, r->now, voters[1 + number % 2].id); break;
    case 4: (void)raft->hand_over(r->x, r->now, voters[1 + number % 2].id); break;
    case 5: (void)raft->full(r->x, r->now, number % 2); break;
    case 6: tell_clock(r, number); break;
    default: break;
    }
}

static void step(struct rig *r, const uint8_t **at, const uint8_t *end) {
    unsigned what = *(*at)++, number = *at < end ? *(*at)++ : 0;
    if (what % 4 < 2) {
        size_t size = number < (size_t)(end - *at) ? number : (size_t)(end - *at);
        receive(r, voters[1 + what % 2].id, *at, size);
        *at += size;
    } else if (what % 4 == 2) {
        r->now += (orr_time)number * 10 * ORR_MS;
        raft->wall(r->x, r->now, 1000 * ORR_SECOND + r->now);
        if (raft->deadline(r->x) <= r->now) (void)raft->tick(r->x, r->now);
    } else {
        own(r, what / 4 % 8, number);
    }
    serve(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rig r = { .chunks = orr_chunks_new(&orr_alloc_libc) };
    struct orr_order_config cfg;
    struct orr_boot boot = { .first = 1 };
    raft->config_init(&cfg);
    cfg.self = voters[0].id;
    cfg.voters = voters;
    cfg.n_voters = 3;
    cfg.window_entries = 64;
    cfg.leases = size % 2;
    cfg.alloc = &orr_alloc_libc;
    cfg.chunks = r.chunks;
    if (raft->create(&r.x, &cfg, &boot, 0) < 0) abort();
    serve(&r);
    for (const uint8_t *at = data, *end = data + size; at < end;) step(&r, &at, end);
    raft->destroy(r.x);
    orr_chunks_free(r.chunks);
    return 0;
}
