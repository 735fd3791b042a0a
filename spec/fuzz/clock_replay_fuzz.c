/* clock_replay_fuzz.c - any bytes as the lines of a trace: refused, with what is wrong in one line, or a clock whose
 * answers are whole and whose intervals are none the wrong way round. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/clock_replay.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly these bytes, so that a read beyond them is seen. */
static int replay(struct orr_clock *c, const uint8_t *at, size_t size, char *text) {
    char *line = malloc(size ? size : 1);
    if (!line) abort();
    if (size) memcpy(line, at, size);
    int said = orr_clock_replay(c, line, size, text);
    free(line);
    return said;
}

static void look(const struct orr_clock *c, const char *text) {
    struct orr_clock_time t;
    char *end;
    orr_time local = strtoll(text, &end, 10);
    if (end == text || *end != ' ') abort();
    if (orr_clock_now(c, local, &t) && t.earliest > t.latest) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct orr_clock_config config;
    struct orr_clock *c;
    char text[ORR_CLOCK_TEXT];
    orr_clock_config_init(&config);
    config.peers_max = 3;
    if (orr_clock_new(&c, &config) != 0) abort();
    while (size > 0) {
        const uint8_t *newline = memchr(data, '\n', size);
        size_t line = newline ? (size_t)(newline - data) : size;
        int said = replay(c, data, line, text);
        if (strlen(text) >= ORR_CLOCK_TEXT || strchr(text, '\n') || (text[0] == '\0') != (said == 0)) abort();
        if (said > 0) look(c, text);
        data += line + (newline != NULL);
        size -= line + (newline != NULL);
    }
    orr_clock_free(c);
    return 0;
}
