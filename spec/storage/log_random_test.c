/* log_random_test.c - thousands of seeds of random work, crashes at any point, and what the disk has afterwards. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "storage/model.h"

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
    static const enum orr_sim_fault ways[] = { ORR_SIM_CRASH, ORR_SIM_CRASH_SUBMITTED, ORR_SIM_CRASH_WRITTEN, ORR_SIM_CRASH_SYNCED };
    enum orr_sim_fault way = ways[orri_rng_below(&m->rng, 4)];
    if (orri_rng_chance(&m->rng, 0.8)) (void)orr_sim_arm(m->sim, "a", way, 1 + orri_rng_below(&m->rng, orri_rng_chance(&m->rng, 0.5) ? 15 : 150));
}

static void one_seed(struct model *m, uint64_t seed, void (*faults)(struct model *m, struct orr_sim_config *cfg), unsigned lives) {
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
            if (m->opened && m->opened_status < 0 && m->opened_status != -EIO && m->opened_status != -ENOMEM) m_bad(m, m->text);
            if (orri_rng_chance(&m->rng, 0.2)) (void)orr_sim_kill_process(m->sim, "a");
            else (void)orr_sim_kill(m->sim, "a");
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
           (unsigned long long)stores, (unsigned long long)reported, (unsigned long long)refused, (unsigned long long)made,
           (unsigned long long)installed, (unsigned long long)lost, (unsigned long long)kept);
    assert_true(reported > 20 * n);
    free(m);
}

static void test_crashes(void **state) {
    (void)state;
    run_seeds(seeds_env(300), NULL, 12);
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
    run_seeds(seeds_env(150), errors, 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("storage, random", tests, NULL, NULL);
}
