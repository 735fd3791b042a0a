/* chaos_test.c - the chaos driver: every kind strikes, damage keeps to the budget, and at the end all is healed. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "probe.h"

enum { N = 5 };

/* A node that greets all others by datagram and by stream, and works on files of its own: a log and names. */
struct cluster {
    struct orr_sim *sim;
    struct probe p[N];
    struct member {
        struct orr_stream *to[N];
        struct probe_req reqs[3];
        unsigned round;
        struct orr_file *log, *other;
        char names[2][16];
        uint64_t heard;
        orr_time next;
    } m[N];
};
static const char *const names[N] = { "n1", "n2", "n3", "n4", "n5" };
static const char *const addresses[N] = { "n1:1", "n2:1", "n3:1", "n4:1", "n5:1" };

static unsigned place_of(const struct probe *p) { return (unsigned)(p->name[1] - '1'); }

static void event(struct probe *p, struct orr_req *req) {
    struct member *m = &((struct cluster *)p->ud)->m[place_of(p)];
    struct orr_stream_event *e = (struct orr_stream_event *)(void *)req;
    if (req->op == ORR_OP_DATA || req->op == ORR_OP_DATAGRAM) m->heard++;
    for (unsigned i = 0; req->op == ORR_OP_CLOSED && i < N; i++) {
        if (m->to[i] == e->stream) m->to[i] = NULL;
    }
}

static void greet(struct probe *p, struct member *m) {
    static const char hello[100] = "hello";
    struct orr_slice part = orr_borrow(hello, sizeof hello);
    for (unsigned i = 0; i < N; i++) {
        if (i == place_of(p)) continue;
        if (!m->to[i] && p->w->ops->connect(p->w, orr_id_of(names[i]), &m->to[i]) != 0) abort();
        (void)p->w->ops->send(p->w, m->to[i], i % 2, &part, 1);
        (void)p->w->ops->datagram(p->w, orr_id_of(names[i]), part);
    }
}

static void submit(struct probe *p, struct probe_req *r, struct probe_req what) {
    *r = what;
    probe_submit(p, r);
    if (r->refused != 0) abort();
}

/* Writes and syncs the log; now and then makes a file and renames it. Stops on a failed sync, as a node should. */
static void work(struct probe *p, struct member *m) {
    static const char record[700] = "record";
    if (!m->reqs[0].done || (m->round > 0 && !m->reqs[1].done)) return;
    int status = m->reqs[0].u.req.status;
    if (m->reqs[0].op == ORR_OP_OPEN && status == 0) m->log = m->reqs[0].u.open.file;
    if (!m->log || status == ORR_EPOISONED || status == -EIO) {
        p->w->ops->stop(p->w, 1, "disk");
        return;
    }
    struct probe_req write = { .op = ORR_OP_WRITE, .part = orr_borrow(record, sizeof record) };
    write.u.write = (struct orr_write){ .file = m->log, .at = m->round % 64 * sizeof record, .flags = ORR_W_SYNC };
    struct probe_req open = { .op = ORR_OP_OPEN, .u.open = { .path = m->names[0], .flags = ORR_F_CREATE } };
    struct probe_req rename = { .op = ORR_OP_RENAME, .u.name = { .path = m->names[0], .to = m->names[1] } };
    struct probe_req sync = { .op = ORR_OP_SYNC_DIR };
    struct probe_req prepare = { .op = ORR_OP_PREPARE, .u.file = { .file = m->log, .at = 50000 + m->round } };
    struct probe_req read = { .op = ORR_OP_READ, .u.read = { .file = m->log, .at = 0, .size = 64 } };
    const struct probe_req kinds[] = { open, rename, sync, prepare, read };
    if (m->reqs[1].op == ORR_OP_READ) orr_drop(m->reqs[1].u.read.got);
    if (m->round > 0 && m->reqs[1].op == ORR_OP_OPEN && m->reqs[1].u.req.status == 0) {
        submit(p, &m->reqs[1], (struct probe_req){ .op = ORR_OP_CLOSE, .u.file = { .file = m->reqs[1].u.open.file } });
    } else {
        snprintf(m->names[0], sizeof m->names[0], "t%u", m->round / 5 % 7);
        snprintf(m->names[1], sizeof m->names[1], "s%u", m->round / 5 % 7);
        submit(p, &m->reqs[1], kinds[m->round++ % 5]);
    }
    submit(p, &m->reqs[0], write);
}

static void turn(struct probe *p) {
    struct cluster *c = p->ud;
    struct member *m = &c->m[place_of(p)];
    orr_time now = p->w->ops->now(p->w);
    if (ORR_RARE(p->w, "skip") || now < m->next) return;
    m->next = now + 4 * ORR_MS;
    greet(p, m);
    work(p, m);
    const struct orr_alloc *a = &p->w->alloc;
    void *block = a->fn(a->ud, NULL, 0, 100);
    if (block) (void)a->fn(a->ud, block, 100, 0);
}

static void begin(struct probe *p) {
    struct member *m = &((struct cluster *)p->ud)->m[place_of(p)];
    *m = (struct member){ 0 };
    for (unsigned i = 0; i < N; i++) {
        if (p->w->ops->peer(p->w, orr_id_of(names[i]), addresses[i]) != 0) abort();
    }
    submit(p, &m->reqs[0], (struct probe_req){ .op = ORR_OP_OPEN, .u.open = { .path = "log", .flags = ORR_F_CREATE } });
}

static struct cluster *cluster_new(uint64_t seed) {
    struct cluster *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->sim = probe_sim(seed);
    for (unsigned i = 0; i < N; i++) {
        c->p[i] = (struct probe){ .on_event = event, .on_turn = turn, .on_start = begin, .ud = c };
        assert_int_equal(probe_add(c->sim, &c->p[i], names[i], addresses[i]), 0);
    }
    return c;
}
static void cluster_free(struct cluster *c) {
    orr_sim_free(c->sim);
    free(c);
}

static unsigned damaged(const struct cluster *c) {
    unsigned n = 0;
    for (unsigned i = 0; i < N; i++) n += orr_sim_disk_damaged(c->sim, names[i]);
    return n;
}

static void everything(struct orr_sim_faults *rates) {
    orr_sim_faults_default(rates);
    for (int i = 0; i < ORR_SIM_KINDS; i++) {
        const char *unit = orr_sim_fault_unit((enum orr_sim_fault)i);
        if (strcmp(unit, "TIMED") == 0) rates->rate[i] = 1;
        if (strcmp(unit, "SHARE") == 0) rates->rate[i] = 0.2;
        if (strcmp(unit, "OP") == 0 && rates->rate[i] < 0.01) rates->rate[i] = 0.01;
    }
    rates->delay = rates->jitter = ORR_MS;
    rates->slower = 3;
}

/* -- The specs --------------------------------------------------------------------------------------------------- */
static void every_kind_strikes_within_the_budget_and_all_is_healed(void **state) {
    (void)state;
    uint64_t counts[ORR_SIM_KINDS] = { 0 };
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct cluster *c = cluster_new(seed);
        struct orr_sim_faults rates;
        everything(&rates);
        assert_int_equal(orr_sim_chaos(c->sim, &rates, ORR_SECOND, 15 * ORR_SECOND), 0);
        for (orr_time t = ORR_SECOND; t < 15 * ORR_SECOND; t += 100 * ORR_MS) {
            orr_sim_run(c->sim, t);
            assert_true(damaged(c) <= 2);
        }
        orr_sim_run(c->sim, 16 * ORR_SECOND);
        uint64_t heard[N];
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(orr_sim_state(c->sim, names[i]), ORR_SIM_UP);
            heard[i] = c->m[i].heard;
        }
        uint64_t crashes = orr_sim_counts(c->sim)[ORR_SIM_CRASH];
        orr_sim_run(c->sim, 30 * ORR_SECOND);
        assert_int_equal(orr_sim_counts(c->sim)[ORR_SIM_CRASH], crashes);
        for (unsigned i = 0; i < N; i++) assert_true(c->m[i].heard > heard[i] + 1000);
        for (int i = 0; i < ORR_SIM_KINDS; i++) counts[i] += orr_sim_counts(c->sim)[i];
        cluster_free(c);
    }
    for (int i = 0; i < ORR_SIM_KINDS; i++) {
        if (i == ORR_SIM_HALF_CLOSE) continue;      /* of clients only, which these nodes have none of */
        if (counts[i] == 0) print_message("never struck: %s\n", orr_sim_fault_name((enum orr_sim_fault)i));
        assert_true(counts[i] > 0);
    }
}

static void a_budget_of_none_leaves_all_disks_whole(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3);
    struct orr_sim_faults rates;
    everything(&rates);
    rates.budget = 0;
    assert_int_equal(orr_sim_chaos(c->sim, &rates, 0, 10 * ORR_SECOND), 0);
    orr_sim_run(c->sim, 12 * ORR_SECOND);
    const uint64_t *n = orr_sim_counts(c->sim);
    assert_int_equal(damaged(c), 0);
    assert_int_equal(n[ORR_SIM_ROT] + n[ORR_SIM_STALE] + n[ORR_SIM_MISDIRECTED], 0);
    assert_int_equal(n[ORR_SIM_RESTART_EMPTY] + n[ORR_SIM_RESTART_OLD], 0);
    assert_true(n[ORR_SIM_CRASH] > 0);
    cluster_free(c);
}

/* A minority of each set that decides together: of three, one; and of those that decide nothing, whatever comes. */
static void the_budget_knows_who_decides_together(void **state) {
    (void)state;
    unsigned most[2] = { 0, 0 }, all = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct cluster *c = cluster_new(seed);
        struct orr_sim_faults rates;
        everything(&rates);
        assert_int_equal(orr_sim_quorum(c->sim, 0x7), 0);       /* n1, n2, n3 */
        assert_int_equal(orr_sim_quorum(c->sim, 0x1c), 0);      /* n3, n4, n5 */
        assert_int_equal(orr_sim_quorum(c->sim, 0x7), 0);
        assert_int_equal(orr_sim_chaos(c->sim, &rates, 0, 10 * ORR_SECOND), 0);
        orr_sim_run(c->sim, 9 * ORR_SECOND);
        bool hurt[N];
        for (unsigned i = 0; i < N; i++) hurt[i] = orr_sim_disk_damaged(c->sim, names[i]);
        unsigned first = (unsigned)hurt[0] + hurt[1] + hurt[2], second = (unsigned)hurt[2] + hurt[3] + hurt[4];
        if (first > most[0]) most[0] = first;
        if (second > most[1]) most[1] = second;
        if (damaged(c) > all) all = damaged(c);
        cluster_free(c);
    }
    assert_int_equal(most[0], 1);
    assert_int_equal(most[1], 1);
    assert_int_equal(all, 2);
}

/* Where nobody else has what a node keeps, chance leaves it alone: in no set, or where there are none. */
static void who_decides_with_nobody_can_be_spared(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        for (unsigned sets = 0; sets <= 1; sets++) {
            struct cluster *c = cluster_new(seed);
            struct orr_sim_faults rates;
            everything(&rates);
            rates.budget = ORR_SIM_QUORUMS;
            if (sets) assert_int_equal(orr_sim_quorum(c->sim, 0x7), 0);     /* n1, n2, n3 */
            assert_int_equal(orr_sim_chaos(c->sim, &rates, 0, 10 * ORR_SECOND), 0);
            orr_sim_run(c->sim, 9 * ORR_SECOND);
            assert_int_equal(damaged(c), sets);
            assert_false(orr_sim_disk_damaged(c->sim, names[3]) || orr_sim_disk_damaged(c->sim, names[4]));
            cluster_free(c);
        }
    }
}

static void sets_of_deciders_are_limited(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    for (uint64_t i = 0; i < 64; i++) assert_int_equal(orr_sim_quorum(sim, i + 1), 0);
    assert_int_equal(orr_sim_quorum(sim, 64), 0);
    assert_int_equal(orr_sim_quorum(sim, 65), ORR_EFULL);
    orr_sim_free(sim);
}

static uint64_t chaotic(uint64_t seed, double loss) {
    struct cluster *c = cluster_new(seed);
    struct orr_sim_faults rates;
    everything(&rates);
    rates.rate[ORR_SIM_LOSS] = loss;
    assert_int_equal(orr_sim_chaos(c->sim, &rates, 0, 5 * ORR_SECOND), 0);
    orr_sim_run(c->sim, 6 * ORR_SECOND);
    uint64_t digest = orr_sim_digest(c->sim);
    cluster_free(c);
    return digest;
}
static void chaos_is_its_seed_too(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) assert_true(chaotic(seed, 0.01) == chaotic(seed, 0.01));
    assert_true(chaotic(1, 0.01) != chaotic(2, 0.01));
    assert_true(chaotic(1, 0.01) != chaotic(1, 0.3));
}

static void note_cuts(void *ud, const char *line, size_t size) {
    char *text = ud;
    if (!strstr(line, "CUT") || strlen(text) + size > 9000) return;
    strcat(text, line);
    strcat(text, "\n");
}
/* With another rate for one kind, the strikes of another stay where they were. */
static void one_kind_s_rate_moves_no_other_kind(void **state) {
    (void)state;
    static char cuts[2][10000];
    for (unsigned run = 0; run < 2; run++) {
        struct orr_sim_config cfg;
        struct orr_sim *sim;
        struct orr_sim_faults rates;
        struct probe p[3] = { 0 };
        orr_sim_config_init(&cfg);
        cfg.event = note_cuts;
        cfg.ud = cuts[run];
        assert_int_equal(orr_sim_new(&sim, &cfg), 0);
        for (unsigned i = 0; i < 3; i++) assert_int_equal(probe_add(sim, &p[i], names[i], addresses[i]), 0);
        orr_sim_faults_init(&rates);
        rates.rate[ORR_SIM_CUT] = 1;
        rates.rate[ORR_SIM_CRASH] = run ? 2 : 0;
        assert_int_equal(orr_sim_chaos(sim, &rates, 0, 10 * ORR_SECOND), 0);
        orr_sim_run(sim, 10 * ORR_SECOND);
        assert_true((orr_sim_counts(sim)[ORR_SIM_CRASH] > 0) == (run == 1));
        orr_sim_free(sim);
    }
    assert_true(strlen(cuts[0]) > 200);
    assert_string_equal(cuts[0], cuts[1]);
}

/* -- Strikes are told -------------------------------------------------------------------------------------------- */
struct told {
    const struct orr_sim *sim;
    uint64_t n[ORR_SIM_KINDS];
    unsigned wrong;
};

static void on_strike(void *ud, const struct orr_sim_strike *s) {
    struct told *told = ud;
    bool crash = s->kind >= ORR_SIM_CRASH && s->kind <= ORR_SIM_CRASH_SYNCED;
    bool armed = crash || strcmp(orr_sim_fault_unit(s->kind), "OP") == 0;
    told->n[s->kind]++;
    told->wrong += s->till < s->from || s->from != orr_sim_now(told->sim);
    told->wrong += (s->kind == ORR_SIM_PARTITION) != (s->node == NULL);
    told->wrong += armed && s->amount < 1;
    told->wrong += s->kind == ORR_SIM_ROT && !s->path;
    told->wrong += s->kind == ORR_SIM_PARTITION && (s->side == 0 || s->side >= (1 << N) - 1);
}

static bool is_told(int kind) {
    const char *unit = orr_sim_fault_unit((enum orr_sim_fault)kind);
    bool of_config = kind == ORR_SIM_TURN_CUT || kind == ORR_SIM_SHORT_READ || kind == ORR_SIM_RARE;
    if (kind == ORR_SIM_FAR || kind == ORR_SIM_WORN || kind == ORR_SIM_START) return true;
    return !of_config && (strcmp(unit, "OP") == 0 || strcmp(unit, "TIMED") == 0);
}

static struct cluster *cluster_that_tells(uint64_t seed, struct told *told) {
    struct cluster *c = calloc(1, sizeof *c);
    struct orr_sim_config cfg;
    assert_non_null(c);
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.strike = on_strike;
    cfg.ud = told;
    assert_int_equal(orr_sim_new(&c->sim, &cfg), 0);
    told->sim = c->sim;
    for (unsigned i = 0; i < N; i++) {
        c->p[i] = (struct probe){ .on_event = event, .on_turn = turn, .on_start = begin, .ud = c };
        assert_int_equal(probe_add(c->sim, &c->p[i], names[i], addresses[i]), 0);
    }
    return c;
}

/* As often as it was counted: only a start with another disk is told, besides, of a node that had crashed. */
static void each_strike_is_told_once(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct told told = { 0 };
        struct cluster *c = cluster_that_tells(seed, &told);
        struct orr_sim_faults rates;
        everything(&rates);
        rates.rate[ORR_SIM_TURN_CUT] = rates.rate[ORR_SIM_SHORT_READ] = 0.02;    /* as the config has them */
        rates.rate[ORR_SIM_RESTART_EMPTY] = rates.rate[ORR_SIM_RESTART_OLD] = 0;
        assert_int_equal(orr_sim_chaos(c->sim, &rates, ORR_SECOND, 15 * ORR_SECOND), 0);
        orr_sim_run(c->sim, 14 * ORR_SECOND);
        const uint64_t *counts = orr_sim_counts(c->sim);
        for (int i = 0; i < ORR_SIM_KINDS; i++) {
            if (told.n[i] != (is_told(i) ? counts[i] : 0))
                print_message("seed %d: %s\n", (int)seed, orr_sim_fault_name((enum orr_sim_fault)i));
            assert_int_equal(told.n[i], is_told(i) ? counts[i] : 0);
        }
        assert_true(told.n[ORR_SIM_CRASH_SEND] + told.n[ORR_SIM_DELAY] > 0);
        assert_int_equal(told.wrong, 0);
        cluster_free(c);
    }
}

/* What the harness sets stays: chaos's cuts are beside its own, and add up among themselves. */
static void a_cut_of_the_harness_outlives_chaos_s(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p[3] = { 0 };
    struct orr_sim_faults rates;
    struct orr_sim_link link;
    bool cut = false;
    unsigned whole = 0;
    for (unsigned i = 0; i < 3; i++) assert_int_equal(probe_add(sim, &p[i], names[i], addresses[i]), 0);
    assert_int_equal(orr_sim_cut(sim, "n1", "n2"), 0);
    orr_sim_faults_init(&rates);
    rates.rate[ORR_SIM_CUT] = rates.rate[ORR_SIM_PARTITION] = 3;
    rates.cut_mean = 100 * ORR_MS;
    assert_int_equal(orr_sim_chaos(sim, &rates, 0, 20 * ORR_SECOND), 0);
    for (orr_time t = 0; t < 20 * ORR_SECOND; t += 10 * ORR_MS) {
        orr_sim_run(sim, t);
        assert_int_equal(orr_sim_link_now(sim, "n1", "n2", &link, &cut), 0);
        assert_true(cut);
        assert_int_equal(orr_sim_link_now(sim, "n2", "n1", &link, &cut), 0);
        whole += !cut;
    }
    assert_in_range(whole, 200, 1990);
    orr_sim_run(sim, 21 * ORR_SECOND);
    assert_int_equal(orr_sim_link_now(sim, "n1", "n2", &link, &cut), 0);
    assert_false(cut);
    orr_sim_free(sim);
}

static void kinds_have_names_that_lead_back(void **state) {
    (void)state;
    for (int i = 0; i < ORR_SIM_KINDS; i++)
        assert_int_equal(orr_sim_fault_by_name(orr_sim_fault_name((enum orr_sim_fault)i)), i);
    assert_int_equal(orr_sim_fault_by_name("nothing"), -ENOENT);
    assert_null(orr_sim_fault_name(ORR_SIM_KINDS));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_strikes_within_the_budget_and_all_is_healed),
        cmocka_unit_test(a_budget_of_none_leaves_all_disks_whole),
        cmocka_unit_test(the_budget_knows_who_decides_together),
        cmocka_unit_test(who_decides_with_nobody_can_be_spared),
        cmocka_unit_test(sets_of_deciders_are_limited),
        cmocka_unit_test(chaos_is_its_seed_too),
        cmocka_unit_test(one_kind_s_rate_moves_no_other_kind),
        cmocka_unit_test(each_strike_is_told_once),
        cmocka_unit_test(a_cut_of_the_harness_outlives_chaos_s),
        cmocka_unit_test(kinds_have_names_that_lead_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
