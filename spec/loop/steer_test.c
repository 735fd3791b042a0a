/* steer_test.c - what the machine's kernel is told when its clock is steered. It is a kernel of the test's own: no
 * clock is touched.                                                                                                  */
#include "support.h"

#include <sys/timex.h>

static struct timex kernel;         /* freq, status */
static long long set_us;            /* by how much, in all */
static int refuses;                 /* an errno, of whatever would change something */
static unsigned calls;

int clock_adjtime(clockid_t clock, struct timex *t) {
    unsigned modes = t->modes;
    assert_int_equal(clock, CLOCK_REALTIME);
    calls++;
    if (modes && refuses) {
        errno = refuses;
        return -1;
    }
    assert_int_equal(modes & ~(unsigned)(ADJ_FREQUENCY | ADJ_STATUS | ADJ_SETOFFSET), 0);
    if (modes & ADJ_FREQUENCY) kernel.freq = t->freq;
    if (modes & ADJ_STATUS) kernel.status = t->status;
    if (modes & ADJ_SETOFFSET) {
        assert_true(t->time.tv_usec >= 0 && t->time.tv_usec < 1000000);
        set_us += (long long)t->time.tv_sec * 1000000 + t->time.tv_usec;
    }
    t->freq = kernel.freq;
    t->status = kernel.status;
    return 0;
}

static struct node n;
static int set_up(void **state) {
    (void)state;
    node_new(&n, NULL);
    kernel = (struct timex){ .freq = 655360, .status = STA_PLL | STA_FREQHOLD | STA_UNSYNC };
    set_us = refuses = 0;
    calls = 0;
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    orr_loop_free(n.loop);
    return 0;
}
static int steer(orr_time step, int32_t *rate) { return n.w->ops->steer(n.w, step, rate); }

static void looking_changes_nothing(void **state) {
    (void)state;
    int32_t rate = ORR_RATE_KEEP;
    assert_int_equal(steer(0, &rate), 0);
    assert_int_equal(rate, 10000);                  /* 10 ppm */
    assert_int_equal(kernel.freq, 655360);
    assert_int_equal(kernel.status, STA_PLL | STA_FREQHOLD | STA_UNSYNC);
    assert_int_equal(calls, 1);
}

static void a_rate_is_the_kernels_frequency_and_its_own_loop_is_off(void **state) {
    static const int32_t rates[] = { 0, 1000, -1000, 500000, -500000, 15, -123456 };
    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        int32_t rate = rates[i], now = ORR_RATE_KEEP;
        assert_int_equal(steer(0, &rate), 0);
        assert_int_equal(rate, rates[i]);
        assert_int_equal(kernel.freq, (long)((long long)rates[i] * 65536 / 1000));
        assert_int_equal(kernel.status, STA_UNSYNC);
        assert_int_equal(steer(0, &now), 0);
        assert_true(now - rates[i] <= 1 && rates[i] - now <= 1);
    }
    assert_int_equal(set_us, 0);
}

static void a_step_is_to_the_microsecond_in_both_directions(void **state) {
    static const orr_time steps[] = { ORR_SECOND, -ORR_SECOND, 1500 * ORR_US, -1500 * ORR_US, -2500001 * ORR_US,
                                      86400 * ORR_SECOND, 1 };
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int32_t rate = ORR_RATE_KEEP;
        set_us = 0;
        assert_int_equal(steer(steps[i], &rate), 0);
        assert_int_equal(set_us, steps[i] / ORR_US);
    }
}

static void who_may_not_is_told(void **state) {
    (void)state;
    int32_t rate = ORR_RATE_KEEP;
    refuses = EPERM;
    assert_int_equal(steer(0, &rate), 0);
    assert_int_equal(steer(0, &rate), -EPERM);
    rate = ORR_RATE_KEEP;
    assert_int_equal(steer(ORR_SECOND, &rate), -EPERM);
    assert_int_equal(set_us, 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(looking_changes_nothing),
        T(a_rate_is_the_kernels_frequency_and_its_own_loop_is_off),
        T(a_step_is_to_the_microsecond_in_both_directions),
        T(who_may_not_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
