/* sensor_test.c - the temperature sensor: which one is read, how often, and what is no reading; in a folder that looks
 * like /sys/class. */
#include "support.h"

#include <ftw.h>
#include <sys/stat.h>

static struct node node;
static char root[64];

static int set_up(void **state) {
    (void)state;
    snprintf(root, sizeof root, "%s", fresh_dir());
    node_new(&node, NULL);
    node.loop->sensor.root = root;
    return 0;
}
static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *at) {
    (void)s, (void)flag, (void)at;
    return remove(path);
}
static int tear_down(void **state) {
    (void)state;
    orr_loop_free(node.loop);
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text) {
    char at[256];
    snprintf(at, sizeof at, "%s/%s", root, path);
    for (char *slash = at + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(at, 0700);
        *slash = '/';
    }
    FILE *f = fopen(at, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}
static int32_t shown(void) {
    int32_t milli = -1;
    int rc = node.w->ops->temperature(node.w, &milli);
    return rc < 0 ? rc : milli;
}
/* The last reading is as old as if a second had passed. */
static void pass(void) { node.loop->sensor.at -= 2 * ORR_SECOND; }

static void without_a_sensor_there_is_no_temperature(void **state) {
    (void)state;
    assert_int_equal(shown(), ORR_EUNAVAILABLE);
    put("thermal/thermal_zone0/temp", "40000\n");
    pass();
    assert_int_equal(shown(), ORR_EUNAVAILABLE);    /* it is looked for once */
}

static void the_processor_s_comes_before_others(void **state) {
    (void)state;
    put("thermal/thermal_zone0/type", "acpitz\n");
    put("thermal/thermal_zone0/temp", "20000\n");
    put("thermal/thermal_zone7/type", "x86_pkg_temp\n");
    put("thermal/thermal_zone7/temp", "47250\n");
    assert_int_equal(shown(), 47250);
}

static void else_the_first_that_can_be_read(void **state) {
    (void)state;
    put("thermal/thermal_zone0/type", "cpu-thermal\n");
    put("thermal/thermal_zone0/temp", "nothing\n");
    put("thermal/thermal_zone3/type", "acpitz\n");
    put("thermal/thermal_zone3/temp", "-1500\n");
    assert_int_equal(shown(), -1500);
}

static void hwmon_is_read_where_there_is_no_zone(void **state) {
    (void)state;
    put("hwmon/hwmon0/name", "nvme\n");
    put("hwmon/hwmon0/temp1_input", "33000\n");
    put("hwmon/hwmon2/name", "k10temp\n");
    put("hwmon/hwmon2/temp1_input", "51000\n");
    assert_int_equal(shown(), 51000);
}

static void it_is_read_once_a_second_at_the_most(void **state) {
    (void)state;
    put("thermal/thermal_zone0/temp", "40000\n");
    assert_int_equal(shown(), 40000);
    put("thermal/thermal_zone0/temp", "41000\n");
    assert_int_equal(shown(), 40000);
    pass();
    assert_int_equal(shown(), 41000);
}

static void what_is_no_temperature_is_none_until_it_is_one_again(void **state) {
    static const char *const bad[] = { "", "\n", "warm", "999999999", "-273150", "99999999999999999999999" };
    (void)state;
    put("thermal/thermal_zone0/temp", "40000\n");
    assert_int_equal(shown(), 40000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("thermal/thermal_zone0/temp", bad[i]);
        pass();
        assert_int_equal(shown(), ORR_EUNAVAILABLE);
    }
    put("thermal/thermal_zone0/temp", "39000");
    pass();
    assert_int_equal(shown(), 39000);
}

/* Whoever opens a pipe that nobody writes to would wait for ever. */
static void nothing_blocks_where_the_file_is_no_file(void **state) {
    char at[128];
    (void)state;
    put("thermal/thermal_zone0/type", "cpu\n");
    snprintf(at, sizeof at, "%s/thermal/thermal_zone0/temp", root);
    assert_int_equal(mkfifo(at, 0600), 0);
    assert_int_equal(shown(), ORR_EUNAVAILABLE);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(without_a_sensor_there_is_no_temperature),
        T(the_processor_s_comes_before_others),
        T(else_the_first_that_can_be_read),
        T(hwmon_is_read_where_there_is_no_zone),
        T(it_is_read_once_a_second_at_the_most),
        T(what_is_no_temperature_is_none_until_it_is_one_again),
        T(nothing_blocks_where_the_file_is_no_file),
    };
    return cmocka_run_group_tests_name("loop.sensor", tests, NULL, NULL);
}
