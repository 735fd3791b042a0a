/* raft_order_test.c - Raft as a driver sees it: the table, frames, memory. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consensus/raft/internal.h"
#include "support/alloc.h"
#include <orrery/trace.h>
#include <stdlib.h>

enum { N = 3, FRAMES = 4096 };
static const struct orr_order_ops *const raft = &orr_raft_order;
static const struct orr_member voters[N] = { { 11, "a" }, { 22, "b" }, { 33, "c" } };

struct frame {
    size_t to;
    orr_id from;
    struct orr_slice bytes;
};
struct drive {                      /* a driver for each node, disks that write at once, a network that loses nothing */
    void *x[N];
    struct orr_chunks *chunks;
    struct frame *frames;           /* a ring */
    size_t first, n;
    orr_time now;
    orr_index applied[N];
    uint64_t sum[N];                /* of all that was applied */
    unsigned answers;
};

static int drive_start(struct drive *d, const struct orr_alloc *alloc, struct orr_chunks *chunks,
                       struct frame *frames) {
    *d = (struct drive){ .chunks = chunks, .frames = frames };
    for (size_t i = 0; i < N; i++) {
        struct orr_order_config cfg;
        raft->config_init(&cfg);
        cfg.self = voters[i].id;
        cfg.voters = voters;
        cfg.n_voters = N;
        cfg.window_entries = 64;
        cfg.alloc = alloc;
        cfg.chunks = chunks;
        struct orr_boot boot = { .first = 1 };
        int rc = raft->create(&d->x[i], &cfg, &boot, 0);
        if (rc) return rc;
    }
    return 0;
}

static void drive_end(struct drive *d) {
    for (; d->n; d->n--, d->first = (d->first + 1) % FRAMES) orr_drop(d->frames[d->first].bytes);
    for (size_t i = 0; i < N; i++) raft->destroy(d->x[i]);
}

static void post(struct drive *d, size_t from, const struct orr_out *out) {
    size_t size = out->head.size, to = 0;
    for (size_t i = 0; i < out->n_body; i++) size += out->body[i].size;
    struct orr_chunk *c = d->chunks->get(d->chunks, size);
    if (!c) return;
    memcpy(c->at, out->head.at, out->head.size);
    unsigned char *at = c->at + out->head.size;
    for (size_t i = 0; i < out->n_body; at += out->body[i++].size) memcpy(at, out->body[i].at, out->body[i].size);
    while (voters[to].id != out->to) to++;
    assert_true(d->n < FRAMES);
    d->frames[(d->first + d->n++) % FRAMES] = (struct frame){ to, voters[from].id, { c, c->at, size } };
}

static void serve(struct drive *d, size_t i) {
    const struct orr_ready *rd;
    while ((rd = raft->ready(d->x[i]))) {
        for (size_t k = 0; k < rd->n_msgs; k++) post(d, i, &rd->msgs[k]);
        for (size_t k = 0; k < rd->n_commits; k++) {
            assert_int_equal(rd->commits[k].index, ++d->applied[i]);
            for (size_t b = 0; b < rd->commits[k].data.size; b++)
                d->sum[i] = d->sum[i] * 31 + rd->commits[k].data.at[b];
        }
        d->answers += (unsigned)rd->n_answers;
        uint64_t ids[ORRI_RAFT_STORES_MAX];
        size_t n = rd->n_stores;
        for (size_t k = 0; k < n; k++) ids[k] = rd->stores[k].id;
        raft->applied(d->x[i], d->now, d->applied[i]);
        for (size_t k = 0; k < n; k++) assert_int_equal(raft->stored(d->x[i], d->now, ids[k], 0), 0);
    }
}

static void carry(struct drive *d) {
    for (size_t i = 0; i < N; i++) serve(d, i);
    while (d->n) {
        struct frame f = d->frames[d->first];
        d->first = (d->first + 1) % FRAMES;
        d->n--;
        raft->recv(d->x[f.to], d->now, f.from, f.bytes);
        orr_drop(f.bytes);
        serve(d, f.to);
    }
}

static void pass(struct drive *d, orr_time by) {
    for (orr_time end = d->now + by; d->now < end;) {
        d->now += 20 * ORR_MS;
        for (size_t i = 0; i < N; i++) {
            raft->wall(d->x[i], d->now, 1000 * ORR_SECOND + d->now);
            if (raft->deadline(d->x[i]) <= d->now) raft->tick(d->x[i], d->now);
        }
        carry(d);
    }
}

static size_t leader(struct drive *d) {
    for (size_t i = 0; i < N; i++) {
        struct orr_order_status s;
        raft->status(d->x[i], &s);
        if (s.role == ORR_LEADER) return i;
    }
    return N;
}

static int propose(struct drive *d, const char *text) {
    struct orr_slice batch = orr_borrow(text, strlen(text));
    size_t taken, i = leader(d);
    return i == N ? ORR_ENOLEADER : raft->propose(d->x[i], d->now, &batch, 1, &taken);
}

static void replicates(void **state) {
    (void)state;
    static struct frame frames[FRAMES];
    struct orr_chunks *chunks = orr_chunks_new(&orr_alloc_libc);
    struct drive d;
    assert_int_equal(drive_start(&d, &orr_alloc_libc, chunks, frames), 0);
    carry(&d);
    pass(&d, 3 * ORR_SECOND);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(propose(&d, "some batch of commands"), 0);
        if (i % 3 == 0) carry(&d);
    }
    for (size_t i = 0; i < N; i++) assert_int_equal(raft->read(d.x[i], d.now, i), 0);
    carry(&d);
    assert_int_equal(d.answers, 3);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(d.applied[i], 502);    /* founding, no-op, batches */
        assert_true(d.sum[i] == d.sum[0]);
        raft->check(d.x[i]);
    }
    drive_end(&d);
    orr_chunks_free(chunks);
}

/* Warm, it allocates nothing: messages' heads come from the pool of chunks. */
static void steady_state_allocates_nothing(void **state) {
    (void)state;
    static struct frame frames[FRAMES];
    struct spec_alloc counter = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&counter);
    struct orr_chunks *chunks = orr_chunks_new(&alloc);
    struct drive d;
    assert_int_equal(drive_start(&d, &alloc, chunks, frames), 0);
    pass(&d, 3 * ORR_SECOND);
    size_t calls = 0;
    for (unsigned i = 0; i < 2000; i++) {
        if (i == 500) calls = counter.n_calls;
        for (size_t k = 0; k < 4; k++) assert_int_equal(propose(&d, "some batch of commands"), 0);
        raft->read(d.x[i % N], d.now, i);
        carry(&d);
        if (i % 100 == 0) pass(&d, ORR_SECOND);
    }
    assert_int_equal(counter.n_calls, calls);
    assert_int_equal(d.answers, 2000);
    drive_end(&d);
    orr_chunks_free(chunks);
    spec_alloc_check(&counter);
}

/* The n-th allocation fails, for every n: creation says so, or something is lost and comes again. */
static void every_allocation_may_fail(void **state) {
    (void)state;
    static struct frame frames[FRAMES];
    unsigned rounds = 0;
    SPEC_EACH_FAILURE(counter) {
        const struct orr_alloc alloc = spec_alloc_of(&counter);
        struct orr_chunks *chunks = orr_chunks_new(&alloc);
        struct drive d = { 0 };
        rounds++;
        if (!chunks) continue;
        int rc = drive_start(&d, &alloc, chunks, frames);
        assert_true(rc == 0 || (rc == -ENOMEM && counter.failed));
        if (rc == 0) {
            pass(&d, 4 * ORR_SECOND);
            for (unsigned i = 0; i < 20; i++) {
                int put = propose(&d, "some batch of commands");
                assert_true(put == 0 || (put == -ENOMEM && counter.failed));
                carry(&d);
            }
            pass(&d, 3 * ORR_SECOND);
            for (size_t i = 0; i < N; i++) assert_true(d.applied[i] >= 21 && d.sum[i] == d.sum[0]);
        }
        drive_end(&d);
        orr_chunks_free(chunks);
        spec_alloc_check(&counter);
    }
    assert_true(rounds > 50);
}

/* What oracles read in a frame. */
static void claims_of_frames(void **state) {
    (void)state;
    unsigned char bytes[200];
    struct orr_claims c;
    struct orr_raft_msg m = { .type = ORR_RAFT_VOTE_REPLY, .from = 1, .to = 2, .term = 7, .granted = true };
    assert_int_equal(raft->claims(orr_borrow(bytes, orri_raft_encode(&m, bytes, sizeof bytes)), &c), 0);
    assert_true(c.term == 7 && c.vote && c.candidate == 2 && c.match == 0);
    m.granted = false;
    raft->claims(orr_borrow(bytes, orri_raft_encode(&m, bytes, sizeof bytes)), &c);
    assert_true(c.term == 7 && !c.vote);
    m = (struct orr_raft_msg){ .type = ORR_RAFT_VOTE, .from = 1, .to = 2, .term = 7 };
    raft->claims(orr_borrow(bytes, orri_raft_encode(&m, bytes, sizeof bytes)), &c);
    assert_true(c.term == 7 && c.vote && c.candidate == 1);
    m.type = ORR_RAFT_PREVOTE;
    raft->claims(orr_borrow(bytes, orri_raft_encode(&m, bytes, sizeof bytes)), &c);
    assert_true(c.term == 0 && !c.vote);
    m = (struct orr_raft_msg){
        .type = ORR_RAFT_APPEND_REPLY, .term = 7, .success = true, .match_index = 9, .prev_log_index = 12
    };
    raft->claims(orr_borrow(bytes, orri_raft_encode(&m, bytes, sizeof bytes)), &c);
    assert_true(c.term == 7 && c.match == 9);
    m = (struct orr_raft_msg){ .type = ORR_RAFT_SNAPSHOT_REPLY, .term = 7, .done = true, .snapshot = { .index = 5 } };
    raft->claims(orr_borrow(bytes, orri_raft_encode(&m, bytes, sizeof bytes)), &c);
    assert_int_equal(c.snapshot, 5);
    assert_int_equal(raft->claims(orr_borrow("?", 1), &c), ORR_EINVALID);
}

static void bad_configs_are_named(void **state) {
    (void)state;
    struct orr_chunks *chunks = orr_chunks_new(&orr_alloc_libc);
    struct orr_raft_config good;
    orr_raft_config_init(&good);
    good.order.self = 11;
    good.order.voters = voters;
    good.order.n_voters = N;
    good.order.chunks = chunks;
    const char *field;
    assert_int_equal(orr_raft_config_check(&good, &field), 0);
    struct orr_raft_config bad = good;
    bad.order.election = bad.order.heartbeat;
    assert_int_equal(orr_raft_config_check(&bad, &field), ORR_EINVALID);
    assert_string_equal(field, "election");
    struct orr_member twice[2] = { voters[0], voters[0] };
    bad = good;
    bad.order.voters = twice;
    bad.order.n_voters = 2;
    assert_int_equal(orr_raft_config_check(&bad, &field), ORR_EINVALID);
    assert_string_equal(field, "voters");
    bad = good;
    bad.order.chunks = NULL;
    assert_int_equal(orr_raft_config_check(&bad, &field), ORR_EINVALID);
    assert_string_equal(field, "chunks");
    orr_chunks_free(chunks);
}

/* The members as a CONFIG entry: there and back, and any bytes are refused or understood. */
static void configurations(void **state) {
    (void)state;
    struct orr_raft_config cfg;
    orr_raft_config_init(&cfg);
    struct orr_member unsorted[N] = { voters[2], voters[0], voters[1] }, learner = { 15, "l" };
    cfg.order.voters = unsorted;
    cfg.order.n_voters = N;
    cfg.learners = &learner;
    cfg.n_learners = 1;
    unsigned char bytes[ORR_CONFIG_MAX];
    size_t size;
    struct orri_raft_members m;
    assert_int_equal(orr_raft_config_encode(&cfg, bytes, &size), 0);
    assert_int_equal(orri_raft_config_decode(orr_borrow(bytes, size), &m), 0);
    assert_int_equal(m.n, 4);
    assert_true(m.at[0].id == 11 && m.at[1].id == 15 && m.at[2].id == 22 && m.at[3].id == 33);
    assert_true(m.at[0].seats == ORR_RAFT_VOTER && m.at[1].seats == ORR_RAFT_LEARNER);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(orri_raft_config_decode(orr_borrow(bytes, cut), &m), ORR_ECORRUPT);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        orri_raft_config_decode(orr_borrow(bytes, size), &m);
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicates),
        cmocka_unit_test(steady_state_allocates_nothing),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(claims_of_frames),
        cmocka_unit_test(bad_configs_are_named),
        cmocka_unit_test(configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
