/* process.c - what a world has from its process: chance, the log, signals, threads, and the end.                     */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "loop/inner.h"

static const int watched_signals[] = { SIGINT, SIGTERM, SIGHUP };
enum { N_SIGNALS = sizeof watched_signals / sizeof watched_signals[0] };

/* -- Chance -------------------------------------------------------------------------------------------------------- */
int orri_random(void *out, size_t size) {
    for (unsigned char *at = out; size > 0;) {
        ssize_t n = getrandom(at, size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Keys must never be guessable, so there is nothing to fall back to. getrandom can't fail where it worked at the
 * start. */
void orri_secret(struct orr_world *w, void *out, size_t size) {
    (void)w;
    int error = orri_random(out, size);
    ORR_ASSERT(error == 0);
}

uint64_t orri_seed(struct orr_world *w, const char *use) {
    return orri_hash64(use, strlen(use), orri_loop(w)->seed_key);
}

/* -- Log ----------------------------------------------------------------------------------------------------------- */
enum { LINE_MAX_BYTES = 1024 };

static void log_stderr(enum orr_level level, const char *text, size_t size) {
    static const char *const words[] = { "error", "warn", "info", "debug" };
    char line[LINE_MAX_BYTES + 64];
    struct timespec t;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03dZ %-5s ", (int)(t.tv_nsec / ORR_MS), words[level]);
    if (size > LINE_MAX_BYTES) size = LINE_MAX_BYTES;
    for (size_t i = 0; i < size; i++) {     /* what a peer sent may be in it: no line or terminal code of its making */
        unsigned char c = (unsigned char)text[i];
        line[n++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;                          /* there is nowhere to say that it could not be said */
}

void orri_log(struct orr_world *w, enum orr_level level, const char *text, size_t size) {
    struct orr_loop *loop = orri_loop(w);
    if (level > loop->config.level) return;
    if (loop->config.log) loop->config.log(loop->config.log_ud, level, text, size);
    else log_stderr(level, text, size);
}

void orri_say(struct orr_loop *loop, enum orr_level level, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) return;
    orri_log(&loop->world, level, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* -- Signals ------------------------------------------------------------------------------------------------------- */
static void on_signal(evutil_socket_t number, short what, void *arg) {
    (void)what;
    struct orr_loop *loop = arg;
    for (unsigned i = 0; i < N_SIGNALS; i++)
        if (watched_signals[i] == number) loop->signals_came |= 1u << i;
}

struct orr_req *orri_signal_take(struct orr_loop *loop) {
    if (!loop->signals_came) return NULL;
    unsigned i = (unsigned)__builtin_ctz(loop->signals_came);
    loop->signals_came &= ~(1u << i);
    loop->signal = (struct orr_req){ .op = ORR_OP_SIGNAL, .result = (uint64_t)watched_signals[i], .begun = loop->now,
                                     .ended = loop->now };
    return &loop->signal;
}

int orri_process_new(struct orr_loop *loop) {
    int error = orri_random(&loop->seed_key, sizeof loop->seed_key);
    for (unsigned i = 0; i < N_SIGNALS && loop->config.signals && error == 0; i++) {
        struct event *e = &loop->signal_events[i];
        orri_event_set(loop, e, watched_signals[i], EV_SIGNAL | EV_PERSIST, on_signal, loop);
        if (event_add(e, NULL) != 0) error = -ENOMEM;
    }
    return error;
}

void orri_process_free(struct orr_loop *loop) {
    for (unsigned i = 0; i < N_SIGNALS; i++)
        if (event_initialized(&loop->signal_events[i])) event_del(&loop->signal_events[i]);
}

/* A host's or a program's handlers are to run on threads that it knows of. */
int orri_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

/* -- The end ------------------------------------------------------------------------------------------------------- */
void orri_stop(struct orr_world *w, int code, const char *why) {
    struct orr_loop *loop = orri_loop(w);
    if (loop->stopped) return;              /* the first reason is the one that counts */
    loop->stopped = true;
    loop->stop_code = code;
    snprintf(loop->stop_reason, sizeof loop->stop_reason, "%s", why ? why : "");
    orri_nudge(loop);
}

const char *orr_loop_stop_reason(const struct orr_loop *loop, int *code) {
    if (!loop->stopped) return NULL;
    if (code) *code = loop->stop_code;
    return loop->stop_reason;
}
