/* sensor.c - what a temperature sensor of this machine shows: a thermal zone, or else a sensor of hwmon.
 *
 * The kernel has them as files whose text is 1/1000 degree (Documentation/ABI/testing/sysfs-class-thermal, -hwmon).
 * The one nearest to the board's oscillator would be best; nothing says which one that is, so it is the processor's,
 * where a name says so, or else the first that can be read. It is looked for once, at the first question.
 *
 * Reading asks a chip or the firmware, on the loop's thread: so there is one reading a second at the most, and a sensor
 * that once took longer than SLOW is never asked again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/inner.h"

#define EVERY ORR_SECOND
#define SLOW (5 * ORR_MS)
enum { PLACES = 32, COLDEST = -100000, HOTTEST = 200000 };

static const struct kind {
    const char *path, *name, *value;        /* path and a number; the files of it */
} kinds[] = { { "thermal/thermal_zone", "type", "temp" }, { "hwmon/hwmon", "name", "temp1_input" } };

static ssize_t text_of(int fd, char *text, size_t size) {
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n;
}

static int open_one(const struct orri_sensor *s, const char *path, unsigned place, const char *file) {
    char at[256];
    int n = snprintf(at, sizeof at, "%s/%s%u/%s", s->root, path, place, file);
    return n > 0 && (size_t)n < sizeof at ? open(at, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
}

static bool is_processor(const struct orri_sensor *s, const struct kind *kind, unsigned place) {
    static const char *const words[] = { "cpu", "pkg", "core", "soc", "k10" };
    char text[64] = "";
    int fd = open_one(s, kind->path, place, kind->name);
    if (fd < 0) return false;
    (void)text_of(fd, text, sizeof text);
    close(fd);
    size_t i = 0;
    while (i < sizeof words / sizeof *words && !strstr(text, words[i])) i++;
    return i < sizeof words / sizeof *words;
}

/* False: there is nothing to be read now, or it was too slow. */
static bool reads(struct orri_sensor *s) {
    char text[32], *end;
    orr_time begun = orri_boottime();
    ssize_t n = text_of(s->fd, text, sizeof text);
    s->at = orri_boottime();
    s->slow = s->at - begun > SLOW;
    long milli = strtol(text, &end, 10);
    if (n <= 0 || end == text || milli < COLDEST || milli > HOTTEST) return false;
    s->milli_c = (int32_t)milli;
    return !s->slow;
}

static void give_up(struct orri_sensor *s) {
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

static bool found(struct orri_sensor *s, bool processor) {
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (unsigned place = 0; place < PLACES; place++) {
            if (processor && !is_processor(s, &kinds[k], place)) continue;
            s->fd = open_one(s, kinds[k].path, place, kinds[k].value);
            if (s->fd >= 0 && reads(s)) return true;
            give_up(s);
        }
    }
    return false;
}

void orri_sensor_init(struct orri_sensor *s) { *s = (struct orri_sensor){ .root = "/sys/class", .fd = -1 }; }
void orri_sensor_clear(struct orri_sensor *s) { give_up(s); }

int orri_temperature(struct orr_world *w, int32_t *milli_c) {
    struct orri_sensor *s = &orri_loop(w)->sensor;
    if (!s->looked) {
        s->looked = true;
        s->good = found(s, true) || found(s, false);
    } else if (s->fd >= 0 && orri_boottime() - s->at >= EVERY) {
        s->good = reads(s);
        if (s->slow) give_up(s);
    }
    if (s->fd < 0 || !s->good) return ORR_EUNAVAILABLE;
    *milli_c = s->milli_c;
    return 0;
}
