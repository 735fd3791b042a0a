/* log_random_test.c - thousands of seeds of random work, crashes at any point, and what the disk has afterwards. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "storage/model.h"
#include "storage/wal_format.h"

#include <errno.h>

static uint64_t seeds_env(uint64_t standard) {
    const char *text = getenv("ORR_SEEDS");
    return text ? strtoull(text, NULL, 10) : standard;
}
static uint64_t first_seed(void) {
    const char *text = getenv("ORR_SEED");
    return text ? strtoull(text, NULL, 10) : 1;
}

/* Arms some way to die in this life. */
static void doom(struct model *m) {
    static const enum orr_sim_fault ways[] = { ORR_SIM_CRASH, ORR_SIM_CRASH_SUBMITTED, ORR_SIM_CRASH_WRITTEN,
                                               ORR_SIM_CRASH_SYNCED };
    enum orr_sim_fault way = ways[orri_rng_below(&m->rng, 4)];
    if (orri_rng_chance(&m->rng, 0.8))
        (void)orr_sim_arm(m->sim, "a", way, 1 + orri_rng_below(&m->rng, orri_rng_chance(&m->rng, 0.5) ? 15 : 150));
}

static void one_seed(struct model *m, uint64_t seed, void (*faults)(struct model *m, struct orr_sim_config *cfg),
                     unsigned lives) {
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.sector = seed & 1 ? 512 : 4096;
    cfg.faults.rate[ORR_SIM_RARE] = seed % 3 == 0 ? 0 : 0.03;
    cfg.faults.rate[ORR_SIM_CRASH_PROCESS] = 0.3;
    if (faults) faults(m, &cfg);
    m_new(m, seed, &cfg);
    m->sim = m->sim;
    assert_int_equal(probe_add(m->sim, &m->probe, "a", NULL), 0);
    for (unsigned life = 0; life < lives; life++) {
        doom(m);
        m_live(m, orr_sim_now(m->sim) + (orr_time)orri_rng_below(&m->rng, 200) * ORR_MS);
        if (orr_sim_state(m->sim, "a") == ORR_SIM_UP) {
            if (m->opened && m->opened_status < 0 && m->opened_status != -EIO && m->opened_status != -ENOMEM)
                m_bad(m, m->text);
            if (orri_rng_chance(&m->rng, 0.2))
                (void)orr_sim_kill_process(m->sim, "a");
            else
                (void)orr_sim_kill(m->sim, "a");
        }
        (void)orr_sim_arm(m->sim, "a", ORR_SIM_CRASH, 0);
        (void)orr_sim_arm(m->sim, "a", ORR_SIM_CRASH_SUBMITTED, 0);
        (void)orr_sim_arm(m->sim, "a", ORR_SIM_CRASH_WRITTEN, 0);
        (void)orr_sim_arm(m->sim, "a", ORR_SIM_CRASH_SYNCED, 0);
        while (orr_sim_start(m->sim, "a") != 0) continue;
    }
}

static void run_seeds(uint64_t n, void (*faults)(struct model *m, struct orr_sim_config *cfg), unsigned lives) {
    struct model *m = malloc(sizeof *m);
    uint64_t stores = 0, reported = 0, refused = 0, installed = 0, made = 0;
    uint64_t lost = 0, kept = 0;
    for (uint64_t seed = first_seed(); seed < first_seed() + n; seed++) {
        if (getenv("ORR_SEED")) printf("seed %llu\n", (unsigned long long)seed);
        one_seed(m, seed, faults, lives);
        stores += m->n_stores;
        reported += m->n_reported;
        refused += m->n_refused;
        installed += m->n_installed;
        made += m->n_snapshots_made;
        lost += orr_sim_counts(m->sim)[ORR_SIM_SECTOR_LOST];
        kept += orr_sim_counts(m->sim)[ORR_SIM_SECTOR_KEPT];
        m_free(m);
    }
    printf("%llu stores, %llu reported, %llu refused, %llu snapshots, %llu installed, sectors lost %llu kept %llu\n",
           (unsigned long long)stores, (unsigned long long)reported, (unsigned long long)refused,
           (unsigned long long)made, (unsigned long long)installed, (unsigned long long)lost, (unsigned long long)kept);
    assert_true(reported > 20 * n);
    free(m);
}

static void test_crashes(void **state) {
    (void)state;
    run_seeds(seeds_env(150), NULL, 12);
}

static void errors(struct model *m, struct orr_sim_config *cfg) {
    (void)m;
    cfg->faults.rate[ORR_SIM_WRITE_ERROR] = 0.002;
    cfg->faults.rate[ORR_SIM_READ_ERROR] = 0.002;
    cfg->faults.rate[ORR_SIM_SYNC_ERROR] = 0.002;
    cfg->faults.rate[ORR_SIM_ALLOC] = 0.002;
}
static void test_errors(void **state) {
    (void)state;
    run_seeds(seeds_env(100), errors, 12);
}

/* -- Damage: a bit of a durable byte flips while the node is down -------------------------------------------------- */
struct stretch { /* a batch as it lies on the disk */
    char name[ORRI_WAL_NAME];
    uint64_t segment, at, size, number, oldest;
};
struct layout {
    struct stretch *batches;
    size_t n;
    uint64_t newest, start; /* segments; nothing before `start` is looked at */
};

static unsigned char *image(const struct model *m, const char *name, uint64_t *size) {
    size_t got;
    assert_int_equal(orr_sim_disk_durable_size(m->sim, "a", name, size), 0);
    unsigned char *bytes = malloc(*size + 1);
    assert_int_equal(orr_sim_disk_durable(m->sim, "a", name, 0, bytes, *size, &got), 0);
    return bytes;
}

/* All batches of one slot's present segment, in order. */
static void lay_out_slot(const struct model *m, const char *name, struct layout *out) {
    uint64_t log, size, at = ORRI_WAL_PAGE, chain = 0, number = 0;
    uint32_t slot;
    struct orri_wal_header header;
    if (!orri_wal_name_read(name, &log, &slot)) return;
    unsigned char *bytes = image(m, name, &size);
    struct orri_wal_head head;
    while (size > ORRI_WAL_PAGE && orri_wal_get_header(bytes, log, &header) == 0 && at + ORRI_WAL_HEAD <= size) {
        bool good = orri_wal_get_head(bytes + at, log, &head) == 0 && head.segment == header.segment &&
                    (number == 0 ? head.number == header.number && head.before == header.chain
                                 : head.number == number + 1 && head.before == chain) &&
                    head.size <= size - at - ORRI_WAL_HEAD &&
                    orri_wal_check(log, &head, orr_borrow(bytes + at + ORRI_WAL_HEAD, (size_t)head.size)) == 0;
        if (!good) break;
        struct stretch s = { .segment = head.segment,
                             .at = at,
                             .size = ORRI_WAL_HEAD + head.size,
                             .number = head.number,
                             .oldest = head.oldest };
        memcpy(s.name, name, sizeof s.name - 2);
        out->batches = realloc(out->batches, (out->n + 1) * sizeof s);
        out->batches[out->n++] = s;
        if (head.segment > out->newest) {
            out->newest = head.segment;
            out->start = header.oldest;
        }
        at += s.size;
        number = head.number;
        chain = head.chain;
    }
    free(bytes);
}

static int by_number(const void *a, const void *b) {
    const struct stretch *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void rot_somewhere(struct model *m, uint64_t *expected) {
    struct layout all = { .n = 0 };
    const char *name;
    for (size_t i = 0; (name = orr_sim_disk_durable_name(m->sim, "a", i)); i++) lay_out_slot(m, name, &all);
    if (all.n < 3) {
        free(all.batches);
        *expected = 9;
        return;
    }
    qsort(all.batches, all.n, sizeof *all.batches, by_number);
    const struct stretch *last = &all.batches[all.n - 1], *hit;
    size_t first = 0;
    while (all.batches[first].segment < last->oldest) first++;
    unsigned what = (unsigned)orri_rng_below(&m->rng, 10);
    if (what == 0) { /* a header: its first batch's head says the same */
        hit = &all.batches[first + (size_t)orri_rng_below(&m->rng, all.n - first)];
        assert_int_equal(orr_sim_disk_rot(m->sim, "a", hit->name, orri_rng_below(&m->rng, ORRI_WAL_HEADER)), 0);
        *expected = 0;
    } else if (what == 1) { /* the last batch: like a write that never ended */
        assert_int_equal(orr_sim_disk_rot(m->sim, "a", last->name, last->at + orri_rng_below(&m->rng, last->size)), 0);
        *expected = 2;
    } else {
        hit = &all.batches[first + (size_t)orri_rng_below(&m->rng, all.n - first - (first + 1 < all.n ? 1 : 0))];
        bool in_last = hit == last;
        assert_int_equal(orr_sim_disk_rot(m->sim, "a", hit->name, hit->at + orri_rng_below(&m->rng, hit->size)), 0);
        *expected = in_last ? 2 : 1;
    }
    free(all.batches);
}

static void test_damage(void **state) {
    (void)state;
    struct model *m = malloc(sizeof *m);
    uint64_t n = seeds_env(150), seen[10] = { 0 };
    for (uint64_t seed = first_seed(); seed < first_seed() + n; seed++) {
        uint64_t expected;
        one_seed(m, seed, NULL, 3);
        m->quiet = true; /* the last start: all is checked and comes to rest */
        m_live(m, orr_sim_now(m->sim) + ORR_SECOND);
        assert_int_equal(orr_sim_kill(m->sim, "a"), 0);
        rot_somewhere(m, &expected);
        m->n_pending = 0;
        assert_int_equal(orr_sim_start(m->sim, "a"), 0);
        while (!m->opened && orr_sim_step(m->sim)) continue;
        if (expected == 1 && m->opened_status != ORR_ECORRUPT) m_bad(m, "damage was not seen");
        if (expected == 1 && (!strstr(m->text, "wal-") || !strstr(m->text, "offset"))) m_bad(m, m->text);
        if (expected == 0 || expected == 2) assert_int_equal(m->opened_status, 0);
        if (expected == 0) m_live(m, orr_sim_now(m->sim) + ORR_SECOND); /* and nothing is missing */
        seen[expected]++;
        m_free(m);
    }
    printf("damage: %llu headers, %llu in the middle, %llu last batches, %llu logs too short\n",
           (unsigned long long)seen[0], (unsigned long long)seen[1], (unsigned long long)seen[2],
           (unsigned long long)seen[9]);
    assert_true(seen[1] > n / 2);
    free(m);
}

/* -- A full disk --------------------------------------------------------------------------------------------------- */
static void small_disk(struct model *m, struct orr_sim_config *cfg) {
    (void)m;
    cfg->disk_bytes = 150000 + cfg->seed * 1237 % 400000;
}
static void test_full(void **state) {
    (void)state;
    run_seeds(seeds_env(200), small_disk, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_full),
    };
    if (getenv("ORR_ONLY")) cmocka_set_test_filter(getenv("ORR_ONLY"));
    return cmocka_run_group_tests_name("storage, random", tests, NULL, NULL);
}
