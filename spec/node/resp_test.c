/* resp_test.c - the RESP service over a fake group: order of replies, when reads are served, what is lost,
 * cuts of the stream, pressure. (Texts and values: spec/resp/commands.txt, against a real Redis.) */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "node/resp/kv.h"
#include "node/resp_fake.h"
#include "support/alloc.h"

/* What was written since the last look. */
static const char *out(struct fake_conn *c) {
    static char text[1 << 20];
    size_t n = c->n_out < sizeof text - 1 ? c->n_out : sizeof text - 1;
    if (n) memcpy(text, c->out, n);
    text[n] = 0;
    c->n_out = 0;
    return text;
}
static void say(struct fake_conn *c, const char *text) { fake_feed(c, text, strlen(text)); }

#define OUT(c, text) assert_string_equal(out(c), text)

struct rig {
    struct fake f;
    struct fake_conn *c;
};
static void rig_init(struct rig *r) {
    fake_init(&r->f);
    r->c = fake_connect(&r->f);
    say(r->c, "SET seeded 1\r\n");
    fake_turn(&r->f);
    OUT(r->c, "+OK\r\n");
}
static void rig_free(struct rig *r) { fake_free(&r->f); }

/* -- Order --------------------------------------------------------------------------------------------------------- */

static void the_table_is_sorted_and_finds_each(void **state) {
    (void)state;
    size_t n;
    const struct orri_resp_command *all = orri_resp_commands(&n);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) assert_true(strcmp(all[i - 1].face.name, all[i].face.name) < 0);
        char upper[32];
        size_t size = strlen(all[i].face.name);
        for (size_t k = 0; k <= size; k++) upper[k] = (char)(all[i].face.name[k] & (all[i].face.name[k] ? 0x5f : 0));
        assert_ptr_equal(orri_resp_find(orr_borrow(all[i].face.name, size)), &all[i]);
        assert_ptr_equal(orri_resp_find(orr_borrow(upper, size)), &all[i]);
        assert_ptr_not_equal(orri_resp_find(orr_borrow(all[i].face.name, size - 1)), &all[i]);
    }
    assert_null(orri_resp_find(orr_borrow("", 0)));
    assert_null(orri_resp_find(orr_borrow("averyveryverylongcommand", 24)));
    assert_null(orri_resp_find(orr_borrow("get\0", 4)));
}

static void the_first_write_of_all_brings_the_seed(void **state) {
    (void)state;
    struct fake f;
    fake_init(&f);
    struct fake_conn *c = fake_connect(&f);
    say(c, "SET k v\r\nSET k w\r\n");
    assert_int_equal(f.n_ops, 3);
    assert_int_equal(f.ops[0].at[0], ORR_KV_SEED);
    fake_turn(&f);
    OUT(c, "+OK\r\n+OK\r\n");
    struct fake_conn *d = fake_connect(&f);
    say(d, "SET k v\r\n");
    assert_int_equal(f.n_ops, 1);
    fake_free(&f);
}

static void a_read_behind_a_write_of_its_packet_needs_no_question(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "GET k\r\nSET k 1\r\nGET k\r\nPING\r\nSET k 2\r\nGET k\r\nMGET k none\r\n");
    fake_services(&r.f);
    assert_int_equal(r.f.n_reads, 0);
    assert_int_equal(r.f.n_ops, 2);
    OUT(r.c, "");
    fake_apply(&r.f, 1);    /* the first write alone: its reads, and what lies before the second */
    OUT(r.c, "$-1\r\n+OK\r\n$1\r\n1\r\n+PONG\r\n");
    fake_apply(&r.f, 1);
    OUT(r.c, "+OK\r\n$1\r\n2\r\n*2\r\n$1\r\n2\r\n$-1\r\n");
    rig_free(&r);
}

static void reads_alone_ask_once_a_turn(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "GET seeded\r\nGET none\r\n");
    say(r.c, "EXISTS seeded none seeded\r\n");
    fake_services(&r.f);
    assert_int_equal(r.f.n_reads, 1);
    say(r.c, "PING\r\nSTRLEN seeded\r\n");
    fake_services(&r.f);
    assert_int_equal(r.f.n_reads, 2);
    OUT(r.c, "");
    struct fake_read second = r.f.reads[1];    /* the later question's answer comes first: it covers the older reads */
    second.w->ops->served(second.w, second.tag, &r.f.at);
    OUT(r.c, "$1\r\n1\r\n$-1\r\n:2\r\n+PONG\r\n:1\r\n");
    fake_serve(&r.f);
    OUT(r.c, "");
    rig_free(&r);
}

static void a_read_of_a_later_turn_waits_for_its_own_answer(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "SET k 1\r\n");
    fake_services(&r.f);
    say(r.c, "GET k\r\n");
    fake_services(&r.f);
    assert_int_equal(r.f.n_reads, 1);
    fake_apply(&r.f, 1);
    OUT(r.c, "+OK\r\n");                                        /* the read is not served by an older turn's write */
    fake_serve(&r.f);
    OUT(r.c, "$1\r\n1\r\n");

    say(r.c, "SET k 2\r\n");    /* and the other way round: answered before the write is applied */
    fake_services(&r.f);
    say(r.c, "GET k\r\n");
    fake_services(&r.f);
    fake_serve(&r.f);
    OUT(r.c, "");
    fake_apply(&r.f, 1);
    OUT(r.c, "+OK\r\n$1\r\n2\r\n");

    say(r.c, "GET k\r\n");                                      /* a later write's begin serves what waits */
    fake_services(&r.f);
    say(r.c, "SET k 3\r\n");
    fake_services(&r.f);
    fake_apply(&r.f, 1);
    OUT(r.c, "$1\r\n2\r\n+OK\r\n");
    rig_free(&r);
}

static void log_time_does_not_go_back_within_a_connection(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "SET k v PX 100\r\n");
    fake_turn(&r.f);
    OUT(r.c, "+OK\r\n");
    say(r.c, "SET other 1\r\n");
    fake_services(&r.f);
    say(r.c, "GET k\r\n");
    fake_services(&r.f);
    struct orr_at later = { r.f.at.index, 1, r.f.at.time + 100 * ORR_MS };
    r.f.reads[0].w->ops->served(r.f.reads[0].w, r.f.reads[0].tag, &later);
    fake_apply(&r.f, 1);                                        /* stamped before the read's answer */
    OUT(r.c, "+OK\r\n$-1\r\n");
    rig_free(&r);
}

static void ten_thousand_commands_in_one_packet(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    enum { N = 40000 };
    char *packet = malloc(N * 64), *expect = malloc(N * 32);
    size_t n = 0, m = 0;
    for (int i = 0; i < N; i++) {
        if (i % 3 == 0) n += (size_t)sprintf(packet + n, "*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n");
        else if (i % 3 == 1) n += (size_t)sprintf(packet + n, "GET k\r\n");
        else n += (size_t)sprintf(packet + n, "ECHO %d\r\n", i);
        char text[16];
        int size = sprintf(text, "%d", i % 3 == 2 ? i : i / 3 + 1);
        if (i % 3 == 0) m += (size_t)sprintf(expect + m, ":%s\r\n", text);
        else m += (size_t)sprintf(expect + m, "$%d\r\n%s\r\n", size, text);
    }
    fake_feed(r.c, packet, n);
    assert_true(r.c->paused);                                   /* not without bound */
    fake_turn(&r.f);
    assert_false(r.c->paused);
    assert_int_equal(r.c->n_out, m);
    assert_memory_equal(r.c->out, expect, m);
    free(packet);
    free(expect);
    rig_free(&r);
}

static void values_of_eight_megabytes_go_through_and_no_larger(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    char *big = malloc(ORR_KV_VALUE_MAX + 64);
    size_t n = (size_t)sprintf(big, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", ORR_KV_VALUE_MAX);
    fake_feed(r.c, big, n);
    memset(big, 'x', ORR_KV_VALUE_MAX);
    for (size_t at = 0; at < ORR_KV_VALUE_MAX; at += 1 << 20) fake_feed(r.c, big + at, 1 << 20);
    say(r.c, "\r\nGET k\r\n");
    fake_turn(&r.f);
    assert_int_equal(r.c->n_out, 5 + 10 + ORR_KV_VALUE_MAX + 2);
    assert_memory_equal(r.c->out + 15, big, ORR_KV_VALUE_MAX);
    r.c->n_out = 0;
    say(r.c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8388609\r\n");
    OUT(r.c, "-ERR Protocol error: invalid bulk length\r\n");
    assert_true(r.c->closing);
    free(big);
    rig_free(&r);
}

static void a_key_that_is_too_long_is_refused(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    char *big = malloc(ORR_KV_KEY_MAX + 64);
    size_t n = (size_t)sprintf(big, "*2\r\n$3\r\nGET\r\n$%d\r\n", ORR_KV_KEY_MAX + 1);
    memset(big + n, 'x', ORR_KV_KEY_MAX + 1);
    memcpy(big + n + ORR_KV_KEY_MAX + 1, "\r\n", 2);
    fake_feed(r.c, big, n + ORR_KV_KEY_MAX + 3);
    OUT(r.c, "-ERR a key may have at most 524288 bytes\r\n");
    free(big);
    rig_free(&r);
}

/* -- What is lost -------------------------------------------------------------------------------------------------- */

/* "name" with n arguments. */
static void say_many(struct fake_conn *c, const char *name, unsigned n) {
    char text[64];
    (void)snprintf(text, sizeof text, "*%u\r\n$%zu\r\n%s\r\n", n + 1, strlen(name), name);
    say(c, text);
    for (unsigned i = 0; i < n; i++) say(c, "$1\r\nk\r\n");
}

static void a_command_has_at_most_16384_keys(void **state) {
    (void)state;
    static const char *const names[] = { "DEL", "UNLINK", "EXISTS", "TOUCH", "MGET", "MSET", "MSETNX" };
    struct rig r;
    rig_init(&r);
    for (size_t i = 0; i < 7; i++) {
        unsigned each = i < 5 ? 1 : 2;
        say_many(r.c, names[i], each * 16384 + each);
        fake_turn(&r.f);
        OUT(r.c, "-ERR too many keys in one command (limit 16384)\r\n");
    }
    say_many(r.c, "MSET", 2 * 16384);
    say_many(r.c, "EXISTS", 16384);
    say_many(r.c, "DEL", 16384);
    fake_turn(&r.f);
    OUT(r.c, "+OK\r\n:16384\r\n:1\r\n");
    rig_free(&r);
}

/* How many lines of the output are this. */
static size_t count(const char *text, const char *line) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, line)); at += strlen(line)) n++;
    return n;
}

static void keys_walks_over_many_turns(void **state) {
    (void)state;
    enum { N = 20000 };
    struct rig r;
    char text[64];
    rig_init(&r);
    for (int i = 0; i < N; i++) {
        (void)snprintf(text, sizeof text, "SET key:%05d v\r\n", i);
        say(r.c, text);
        if (i % 5000 == 4999) fake_turn(&r.f);
    }
    assert_int_equal(count(out(r.c), "+OK\r\n"), N);
    say(r.c, "SET last:1 v\r\nKEYS key:*\r\nKEYS last:?\r\nSET late v\r\nKEYS late\r\n");
    fake_services(&r.f);
    (void)fake_apply(&r.f, r.f.n_ops);
    OUT(r.c, "+OK\r\n");            /* the first steps of the walk are done, no more; nothing behind it is taken */
    assert_true(r.c->soon);
    unsigned turns = 0;
    while (r.c->n_out == 0 && turns++ < 100) fake_services(&r.f);
    assert_in_range(turns, 3, 10);
    fake_turn(&r.f);
    const char *all = out(r.c);
    assert_int_equal(memcmp(all, "*20000\r\n$9\r\nkey:", 16), 0);
    assert_int_equal(count(all, "$9\r\nkey:"), N);
    assert_non_null(strstr(all, "\r\n*1\r\n$6\r\nlast:1\r\n+OK\r\n*1\r\n$4\r\nlate\r\n"));
    say(r.c, "KEYS key:*\r\n");
    fake_services(&r.f);
    fake_serve(&r.f);
    fake_disconnect(r.c);           /* in the middle: nothing leaks */
    rig_free(&r);
}

static void a_lost_write_says_so_in_its_place(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "SET k 1\r\nSET k 2\r\nPING\r\nSET k 3\r\n");
    fake_services(&r.f);
    fake_apply(&r.f, 1);
    OUT(r.c, "+OK\r\n");
    fake_lose(&r.f, false, ORR_EUNKNOWN);
    OUT(r.c, "-UNKNOWN the write may or may not have happened; read before you try again\r\n+PONG\r\n");
    fake_lose(&r.f, false, ORR_ETIMEOUT);
    OUT(r.c, "-TIMEOUT no majority answered in time; the command was surely not done\r\n");
    rig_free(&r);
}

static void reads_that_hung_on_a_lost_write_are_asked_anew(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "GET k\r\nSET k 1\r\nGET k\r\n");
    fake_services(&r.f);
    assert_int_equal(r.f.n_reads, 0);
    fake_lose(&r.f, false, ORR_EUNKNOWN);
    OUT(r.c, "");
    fake_services(&r.f);
    assert_int_equal(r.f.n_reads, 1);
    fake_serve(&r.f);
    OUT(r.c, "$-1\r\n-UNKNOWN the write may or may not have happened; read before you try again\r\n$-1\r\n");
    say(r.c, "SET k 1\r\nGET k\r\n");                           /* and when that question is lost, too */
    fake_services(&r.f);
    fake_lose(&r.f, false, ORR_ENOLEADER);
    OUT(r.c, "-NOLEADER no leader is known now; the command was not done\r\n");
    fake_services(&r.f);
    fake_lose(&r.f, true, ORR_ENOLEADER);
    OUT(r.c, "-NOLEADER no leader is known now; the command was not done\r\n");
    assert_int_equal(r.f.n_reads + r.f.n_ops, 0);
    rig_free(&r);
}

static void a_lost_read_leaves_those_that_a_write_will_serve(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "GET seeded\r\n");
    fake_services(&r.f);
    say(r.c, "SET k 1\r\nGET k\r\n");
    fake_services(&r.f);
    fake_lose(&r.f, true, ORR_ETIMEOUT);
    OUT(r.c, "");                                               /* the write's begin serves it */
    fake_apply(&r.f, 1);
    OUT(r.c, "$1\r\n1\r\n+OK\r\n$1\r\n1\r\n");
    rig_free(&r);
}

static void what_the_group_refuses_is_answered_in_its_place(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    r.f.refuse_write = ORR_EFULL;
    say(r.c, "SET k 1\r\nGET seeded\r\nSET k 2\r\n");
    fake_services(&r.f);
    OUT(r.c, "-FULL the disk is full; the write was not done\r\n");
    assert_int_equal(r.f.n_reads, 1);
    fake_serve(&r.f);
    OUT(r.c, "$1\r\n1\r\n-FULL the disk is full; the write was not done\r\n");
    r.f.refuse_write = 0;
    say(r.c, "SET k 1\r\n");
    r.f.refuse_write = ORR_EOVERLOADED;
    say(r.c, "SET k 2\r\nGET k\r\n");
    fake_turn(&r.f);
    OUT(r.c, "+OK\r\n-OVERLOADED too much is waiting already; the command was not done\r\n$1\r\n1\r\n");
    r.f.refuse_read = ORR_EOVERLOADED;
    say(r.c, "GET k\r\nPING\r\n");
    fake_turn(&r.f);
    OUT(r.c, "-OVERLOADED too much is waiting already; the command was not done\r\n+PONG\r\n");
    rig_free(&r);
}

static void reads_wait_for_room_but_not_behind_a_write(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "SET k 1\r\nGET k\r\nGET k\r\n");
    fake_services(&r.f);
    r.c->crowded = true;
    fake_apply(&r.f, 1);
    OUT(r.c, "+OK\r\n");
    struct fake_conn *d = fake_connect(&r.f);
    say(d, "SET k 2\r\n");
    fake_turn(&r.f);
    OUT(r.c, "");                                               /* nothing to a client that doesn't read */
    r.c->crowded = false;
    fake_turn(&r.f);
    OUT(r.c, "$1\r\n2\r\n$1\r\n2\r\n");                       /* and then what is there now */

    say(r.c, "SET k 3\r\nGET k\r\nSET k 4\r\nGET k\r\n");
    fake_services(&r.f);
    r.c->crowded = true;
    fake_apply(&r.f, 2);
    OUT(r.c, "+OK\r\n$1\r\n3\r\n+OK\r\n");                     /* its own later write is not seen by an earlier read */
    r.c->crowded = false;
    fake_turn(&r.f);
    OUT(r.c, "$1\r\n4\r\n");

    say(r.c, "GET k\r\nPING\r\n");
    fake_services(&r.f);
    r.c->crowded = true;
    fake_serve(&r.f);
    OUT(r.c, "");
    r.c->crowded = false;
    fake_turn(&r.f);
    OUT(r.c, "$1\r\n4\r\n+PONG\r\n");
    rig_free(&r);
}

static void a_client_that_leaves_is_forgotten(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "SET k 1\r\nGET k\r\n");
    fake_services(&r.f);
    say(r.c, "GET k\r\n*3\r\n$3\r\nSET\r\n$1\r\n");
    fake_services(&r.f);
    fake_disconnect(r.c);
    fake_apply(&r.f, 1);                                        /* what was proposed stays proposed */
    fake_serve(&r.f);
    r.c = fake_connect(&r.f);
    say(r.c, "GET k\r\n");
    fake_turn(&r.f);
    OUT(r.c, "$1\r\n1\r\n");
    rig_free(&r);
}

static void a_busy_queue_keeps_its_block_and_one_at_rest_has_none(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    struct orri_resp_conn *c = r.c->conn.state;
    for (int i = 0; i < 100; i++) say(r.c, "GET seeded\r\n");
    fake_turn(&r.f);
    assert_int_equal(count(out(r.c), "$1\r\n1\r\n"), 100);
    const unsigned char *block = c->queue.bytes;
    assert_non_null(block);
    say(r.c, "GET seeded\r\n");
    fake_turn(&r.f);
    assert_ptr_equal(c->queue.bytes, block);
    for (int i = 0; i < 2; i++) {
        assert_non_null(c->queue.bytes);
        orr_resp_service.tick(c, r.c->alarm);
    }
    assert_null(c->queue.bytes);
    OUT(r.c, "$1\r\n1\r\n");
    rig_free(&r);
}

static void quit_and_broken_streams_close_behind_what_is_older(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "SET k 1\r\nQUIT\r\nSET k 2\r\n");
    fake_services(&r.f);
    assert_false(r.c->closing);
    fake_apply(&r.f, 1);
    OUT(r.c, "+OK\r\n+OK\r\n");
    assert_true(r.c->closing);
    assert_int_equal(r.f.n_ops, 0);
    struct fake_conn *d = fake_connect(&r.f);
    say(d, "GET k\r\n*1\r\nnonsense\r\nSET k 3\r\n");
    assert_false(d->closing);
    fake_turn(&r.f);
    OUT(d, "$1\r\n1\r\n-ERR Protocol error: expected '$', got 'n'\r\n");
    assert_true(d->closing);
    rig_free(&r);
}

static void the_protocol_changes_in_its_place(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "GET none\r\nHELLO 3\r\nGET none\r\nHELLO 2\r\nGET none\r\nCLIENT GETNAME\r\n");
    fake_turn(&r.f);
    const char *text = out(r.c);
    assert_ptr_equal(strstr(text, "$-1\r\n%7\r\n"), text);
    assert_non_null(strstr(text, "*0\r\n_\r\n*14\r\n"));
    assert_non_null(strstr(text, "*0\r\n$-1\r\n$-1\r\n"));
    rig_free(&r);
}

static void replies_can_be_switched_off(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    say(r.c, "CLIENT REPLY OFF\r\nSET k 1\r\nGET k\r\nPING\r\nCLIENT REPLY ON\r\nGET k\r\n");
    fake_turn(&r.f);
    OUT(r.c, "+OK\r\n$1\r\n1\r\n");
    say(r.c, "CLIENT REPLY SKIP\r\nGET k\r\nPING\r\n");
    fake_turn(&r.f);
    OUT(r.c, "+PONG\r\n");
    rig_free(&r);
}

/* -- The stream ---------------------------------------------------------------------------------------------------- */

/* A stream of random commands, some of them wrong. */
static size_t random_stream(char *at, size_t max, struct orr_rng *rng) {
    static const char *const names[] = { "SET",  "GET",    "INCR", "DEL",    "PING", "ECHO",
                                         "MGET", "APPEND", "GETX", "EXPIRE", "MSET", "TTL" };
    static const char *const words[] = {
        "a", "b", "1", "", "x y", "EX", "100", "NX", "\r\n", "$1", "*2", "GET", "long long long value"
    };
    size_t n = 0;
    while (n + 400 < max) {
        int args = 1 + (int)orri_rng_below(rng, 4);
        bool line = orri_rng_below(rng, 4) == 0;
        if (!line) n += (size_t)sprintf(at + n, "*%d\r\n", args);
        for (int i = 0; i < args; i++) {
            const char *word = i ? words[orri_rng_below(rng, 13)] : names[orri_rng_below(rng, 12)];
            if (!line) n += (size_t)sprintf(at + n, "$%zu\r\n%s\r\n", strlen(word), word);
            else if (!strpbrk(word, "\r\n")) n += (size_t)sprintf(at + n, "\"%s\" ", word);
        }
        if (line) n += (size_t)sprintf(at + n, orri_rng_below(rng, 2) ? "\r\n" : "\n");
    }
    return n;
}

static void cuts_do_not_matter(void **state) {
    (void)state;
    enum { MAX = 4000 };
    char stream[MAX];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fake whole, cut;
        struct orr_rng rng;
        orri_rng_init(&rng, seed);
        size_t n = random_stream(stream, MAX, &rng);
        fake_init(&whole);
        fake_init(&cut);
        struct fake_conn *c = fake_connect(&whole), *d = fake_connect(&cut);
        fake_feed(c, stream, n);
        fake_turn(&whole);
        for (size_t at = 0, size; at < n; at += size) {
            size = seed % 2 ? 1 : 1 + (size_t)orri_rng_below(&rng, 50);
            if (size > n - at) size = n - at;
            fake_feed(d, stream + at, size);
            if (orri_rng_below(&rng, 3) == 0) fake_turn(&cut);
        }
        fake_turn(&cut);
        assert_int_equal(c->n_out, d->n_out);
        assert_memory_equal(c->out, d->out, c->n_out);
        assert_int_equal(c->closing, d->closing);
        fake_free(&whole);
        fake_free(&cut);
    }
}

static void many_arguments_come_in_pieces_and_want_is_told(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    enum { N = 20001 };
    char word[32];
    fake_feed(r.c, word, (size_t)sprintf(word, "*%d\r\n$4\r\nMSET\r\n", N));
    for (int i = 1; i < N; i++)
        fake_feed(r.c, word, (size_t)sprintf(word, "$%d\r\n%d\r\n",
                                             i < 10 ? 1 : i < 100 ? 2 : i < 1000 ? 3 : i < 10000 ? 4 : 5, i));
    fake_turn(&r.f);
    OUT(r.c, "+OK\r\n");
    say(r.c, "DBSIZE\r\n*2\r\n$4\r\nECHO\r\n$1000\r\n");
    assert_true(r.c->want >= 1000);                             /* nothing to look at before all of it is there */
    fake_turn(&r.f);
    OUT(r.c, ":10001\r\n");
    rig_free(&r);
}

static void limits_of_the_stream_are_errors(void **state) {
    (void)state;
    struct rig r;
    static const struct { const char *text; const char *error; size_t pad; } cases[] = {
        { "*1048577\r\n", "-ERR Protocol error: invalid multibulk length\r\n", 0 },
        { "*", "-ERR Protocol error: too big mbulk count string\r\n", 70000 },
        { "*1\r\n$", "-ERR Protocol error: too big bulk count string\r\n", 70000 },
        { "GET ", "-ERR Protocol error: too big inline request\r\n", 70000 },
        { "*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n", 0 },
        { "GET \"unbalanced\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n", 0 },
    };
    rig_init(&r);
    char *pad = malloc(70000);
    memset(pad, '1', 70000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_conn *c = fake_connect(&r.f);
        say(c, cases[i].text);
        if (cases[i].pad) fake_feed(c, pad, cases[i].pad);
        fake_turn(&r.f);
        OUT(c, cases[i].error);
        assert_true(c->closing);
        fake_disconnect(c);
    }
    free(pad);
    rig_free(&r);
}

/* The n-th allocation of the service fails: the connection closes at worst, and everything is given back. */
static void memory_that_runs_out_closes_at_worst(void **state) {
    (void)state;
    SPEC_EACH_FAILURE(a) {
        static struct fake f;
        struct orr_rng rng;
        char stream[3000];
        orri_rng_init(&rng, 3);
        size_t n = random_stream(stream, sizeof stream, &rng);
        fake_init(&f);                                          /* the machine has memory */
        f.alloc = spec_alloc_of(&a);
        struct fake_conn *c = fake_connect(&f);
        if (c) {
            say(c, "CLIENT SETNAME me\r\n");
            for (int i = 0; i < 3 && !c->closing; i++) {
                fake_feed(c, stream, n);
                fake_turn(&f);
            }
            fake_disconnect(c);
        }
        fake_free(&f);
        spec_alloc_check(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sorted_and_finds_each),
        cmocka_unit_test(the_first_write_of_all_brings_the_seed),
        cmocka_unit_test(a_read_behind_a_write_of_its_packet_needs_no_question),
        cmocka_unit_test(reads_alone_ask_once_a_turn),
        cmocka_unit_test(a_read_of_a_later_turn_waits_for_its_own_answer),
        cmocka_unit_test(log_time_does_not_go_back_within_a_connection),
        cmocka_unit_test(ten_thousand_commands_in_one_packet),
        cmocka_unit_test(values_of_eight_megabytes_go_through_and_no_larger),
        cmocka_unit_test(a_key_that_is_too_long_is_refused),
        cmocka_unit_test(a_command_has_at_most_16384_keys),
        cmocka_unit_test(keys_walks_over_many_turns),
        cmocka_unit_test(a_lost_write_says_so_in_its_place),
        cmocka_unit_test(reads_that_hung_on_a_lost_write_are_asked_anew),
        cmocka_unit_test(a_lost_read_leaves_those_that_a_write_will_serve),
        cmocka_unit_test(what_the_group_refuses_is_answered_in_its_place),
        cmocka_unit_test(reads_wait_for_room_but_not_behind_a_write),
        cmocka_unit_test(a_client_that_leaves_is_forgotten),
        cmocka_unit_test(a_busy_queue_keeps_its_block_and_one_at_rest_has_none),
        cmocka_unit_test(quit_and_broken_streams_close_behind_what_is_older),
        cmocka_unit_test(the_protocol_changes_in_its_place),
        cmocka_unit_test(replies_can_be_switched_off),
        cmocka_unit_test(cuts_do_not_matter),
        cmocka_unit_test(many_arguments_come_in_pieces_and_want_is_told),
        cmocka_unit_test(limits_of_the_stream_are_errors),
        cmocka_unit_test(memory_that_runs_out_closes_at_worst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
