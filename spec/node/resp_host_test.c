/* resp_host_test.c - commands in Redis's protocol that the program answers: a node without groups in the simulator, and
 * a host that answers at once, later, in another order, little by little, or never.                                  */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/resp.h>
#include <orrery/sim.h>

enum { CALLS = 64, CLIENT = 2 << 20 };

struct client {
    struct orr_sim_client *c;
    bool up, ended;
    char heard[4 << 20];
    size_t n;
};
struct rig {
    struct orr_sim *sim;
    struct orr_node *node;
    struct client *client;
    struct orr_resp_host host;
    struct orr_resp_call *calls[CALLS];     /* LATER and BIG, in the order in which they began */
    size_t n, n_gone;
    size_t before;                          /* memory */
};

/* -- The host ------------------------------------------------------------------------------------------------------ */
static bool is(const struct orr_resp_call *call, const char *name) {
    return call->command && strcmp(call->command->name, name) == 0;
}
static int command(void *ud, struct orr_resp_call *call) {
    struct rig *r = ud;
    struct orr_sink *out = orr_resp_sink(call);
    if (is(call, "later")) {
        r->calls[r->n++] = call;
        return 0;
    }
    if (is(call, "refuse")) return ORR_EOVERLOADED;
    if (is(call, "fail")) orr_resp_fail(call, ORR_EUNKNOWN, call->n_args > 1 ? "b was asked\r\nand lost" : NULL);
    if (is(call, "get")) out->ops->nil(out);
    if (is(call, "echo")) out->ops->text(out, call->args[1].at, call->args[1].size);
    if (!call->command) out->ops->integer(out, (int64_t)call->n_args);
    if (is(call, "tree")) {
        out->ops->array(out, 3);
        out->ops->integer(out, -7);
        out->ops->array(out, 2);
        out->ops->status(out, "FINE");
        out->ops->error(out, ORR_EINVALID, "ERR in here");
        out->ops->text(out, "", 0);
    }
    orr_resp_end(call);                     /* "nothing": no answer at all */
    return 0;
}
static void gone(void *ud, struct orr_resp_call *call) {
    struct rig *r = ud;
    r->n_gone++;
    for (size_t i = 0; i < r->n; i++) {
        if (r->calls[i] == call && call->n_args > 2) r->calls[i] = NULL;        /* LATER key x: ended in here */
    }
    if (call->n_args > 2) orr_resp_end(call);
}
static const struct orr_resp_command commands[] = {
    { "echo", 2, 0 }, { "fail", -1, 0 }, { "get", 2, ORR_RESP_READ | ORR_RESP_KEY }, { "later", -2, 0 },
    { "nothing", 1, 0 }, { "refuse", 1, 0 }, { "tree", 1, 0 },
};

/* -- The rig ------------------------------------------------------------------------------------------------------- */
static int boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    struct orr_node_member file = { name, "10.0.0.1:7000", false };
    struct orr_node_config cfg;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = name;
    cfg.nodes = &file;
    cfg.n_nodes = 1;
    cfg.op_bytes_max = 512 << 10;
    int rc = orr_node_new(&r->node, w, &cfg, &(const char *){ NULL });
    if (rc == 0) rc = orr_node_listen(r->node, "resp", "10.0.0.1:7500", &orr_resp_host_service, &r->host);
    if (rc == 0) rc = orr_node_limit(r->node, "resp", CLIENT, 0);
    return rc == 0 ? orr_node_start(r->node) : rc;
}
static void halt(void *ud, const char *name) {
    struct rig *r = ud;
    (void)name;
    orr_node_free(r->node);
    r->node = NULL;
}
static void run(struct rig *r) { orr_sim_run(r->sim, orr_sim_now(r->sim) + ORR_SECOND); }
static void on_connected(void *ud) { ((struct client *)ud)->up = true; }
static void on_data(void *ud, const void *bytes, size_t size) {
    struct client *c = ud;
    assert_true(c->n + size < sizeof c->heard);
    memcpy(c->heard + c->n, bytes, size);
    c->n += size;
    c->heard[c->n] = '\0';
}
static void on_closed(void *ud, int status) {
    (void)status;
    ((struct client *)ud)->up = false;
}
static const struct orr_sim_client_ops client_ops = { on_connected, on_data, on_closed };

static struct rig *rig_new(unsigned calls_max, bool any) {
    struct rig *r = calloc(1, sizeof *r);
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = 5;
    r->client = calloc(1, sizeof *r->client);
    r->host = (struct orr_resp_host){
        .commands = commands, .n_commands = sizeof commands / sizeof *commands, .any = any, .calls_max = calls_max,
        .command = command, .gone = gone, .ud = r,
    };
    assert_int_equal(orr_sim_new(&r->sim, &cfg), 0);
    assert_int_equal(orr_sim_add(r->sim, "n", &(struct orr_sim_boot){ .start = boot, .halt = halt, .ud = r }), 0);
    assert_int_equal(orr_sim_start(r->sim, "n"), 0);
    run(r);
    r->before = orr_sim_memory(r->sim, "n");
    assert_int_equal(orr_sim_client_new(r->sim, &r->client->c, "c", &client_ops, r->client), 0);
    assert_int_equal(orr_sim_client_connect(r->client->c, "10.0.0.1:7500"), 0);
    run(r);
    assert_true(r->client->up);
    return r;
}
static struct orr_node_status status_of(const struct rig *r) {
    struct orr_node_status s;
    orr_node_status(r->node, &s);
    return s;
}
/* Nothing of a client or a call stays. */
static void rig_free(struct rig *r) {
    orr_sim_client_close(r->client->c);
    run(r);
    assert_int_equal(status_of(r).clients_bytes, 0);
    assert_true(orr_sim_memory(r->sim, "n") <= r->before + (1 << 20));  /* free blocks stay with their pool */
    orr_sim_free(r->sim);
    free(r->client);
    free(r);
}
static void send_text(struct rig *r, const char *text) {
    assert_int_equal(orr_sim_client_send(r->client->c, text, strlen(text)), 0);
}
static void say(struct rig *r, const char *text) {
    send_text(r, text);
    run(r);
}
static const char *heard(struct rig *r) {
    r->client->heard[r->client->n] = '\0';
    r->client->n = 0;
    return r->client->heard;
}
#define HEARD(r, text) assert_string_equal(heard(r), text)

/* As a host does whose result has come. */
static void answer(struct rig *r, size_t i) {
    struct orr_sink *out = orr_resp_sink(r->calls[i]);
    struct orr_slice arg = r->calls[i]->args[1];
    out->ops->text(out, arg.at, arg.size);
    orr_resp_end(r->calls[i]);
    r->calls[i] = NULL;
}
/* Between two turns, so the node must be told. */
static void nudge(struct rig *r) {
    assert_int_equal(orr_sim_poke(r->sim, "n"), 0);
    run(r);
}

/* -- Tests --------------------------------------------------------------------------------------------------------- */
static void answers_go_out_in_the_order_of_the_commands(void **state) {
    (void)state;
    struct rig *r = rig_new(0, false);
    say(r, "LATER a\r\nLATER b\r\nPING x\r\nlater c\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    assert_int_equal(r->n, 4 - 1);
    HEARD(r, "");
    answer(r, 2);
    answer(r, 1);
    nudge(r);
    HEARD(r, "");
    answer(r, 0);
    nudge(r);
    HEARD(r, "$1\r\na\r\n$1\r\nb\r\n$1\r\nx\r\n$1\r\nc\r\n$-1\r\n");
    rig_free(r);
}

static void an_answer_may_come_little_by_little(void **state) {
    (void)state;
    struct rig *r = rig_new(0, false);
    say(r, "LATER a\r\nLATER b\r\n");
    struct orr_sink *a = orr_resp_sink(r->calls[0]), *b = orr_resp_sink(r->calls[1]);
    b->ops->array(b, 2);
    a->ops->array(a, 1);
    b->ops->integer(b, 1);
    nudge(r);
    HEARD(r, "*1\r\n");
    a->ops->integer(a, 0);
    orr_resp_end(r->calls[0]);
    nudge(r);
    HEARD(r, ":0\r\n*2\r\n:1\r\n");
    b->ops->integer(b, 2);
    orr_resp_end(r->calls[1]);
    nudge(r);
    HEARD(r, ":2\r\n");
    rig_free(r);
}

static void one_at_a_time_begins_when_the_one_before_has_ended(void **state) {
    (void)state;
    struct rig *r = rig_new(1, false);
    say(r, "LATER a\r\nGET k\r\nLATER b\r\nLATER c\r\nPING\r\n");
    assert_int_equal(r->n, 1);
    answer(r, 0);
    nudge(r);
    assert_int_equal(r->n, 2);
    HEARD(r, "$1\r\na\r\n$-1\r\n");
    answer(r, 1);
    nudge(r);
    assert_int_equal(r->n, 3);
    answer(r, 2);
    nudge(r);
    HEARD(r, "$1\r\nb\r\n$1\r\nc\r\n+PONG\r\n");
    rig_free(r);
}

static void what_is_no_command_gets_the_text_of_redis(void **state) {
    (void)state;
    struct rig *r = rig_new(1, false);
    say(r, "SET k v\r\nGET\r\nget a b\r\nLATER\r\nGETT\r\n");
    HEARD(r, "-ERR unknown command 'SET', with args beginning with: 'k' 'v' \r\n"
             "-ERR wrong number of arguments for 'get' command\r\n-ERR wrong number of arguments for 'get' command\r\n"
             "-ERR wrong number of arguments for 'later' command\r\n"
             "-ERR unknown command 'GETT', with args beginning with: \r\n");
    say(r, "*1\r\n+GET\r\n");
    HEARD(r, "-ERR Protocol error: expected '$', got '+'\r\n");
    assert_false(r->client->up);
    rig_free(r);
}

static void the_service_answers_for_itself_unless_the_host_does(void **state) {
    (void)state;
    struct rig *r = rig_new(1, false);
    say(r, "PING\r\nECHO mine\r\nSELECT 0\r\nSELECT 1\r\nCLIENT SETNAME me\r\nCLIENT GETNAME\r\nCOMMAND COUNT\r\n");
    HEARD(r, "+PONG\r\n$4\r\nmine\r\n+OK\r\n-ERR DB index is out of range\r\n+OK\r\n$2\r\nme\r\n:15\r\n");
    say(r, "COMMAND INFO get echo ping append\r\n");
    HEARD(r, "*4\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n"
             "*6\r\n$4\r\necho\r\n:2\r\n*1\r\n+loading\r\n:0\r\n:0\r\n:0\r\n"
             "*6\r\n$4\r\nping\r\n:-1\r\n*2\r\n+loading\r\n+fast\r\n:0\r\n:0\r\n:0\r\n$-1\r\n");
    say(r, "INFO\r\n");
    const char *info = heard(r);
    assert_non_null(strstr(info, "connected_clients:1\r\n"));
    assert_null(strstr(info, "Keyspace"));
    say(r, "HELLO 3\r\nGET k\r\nHELLO 2\r\nGET k\r\n");
    assert_non_null(strstr(heard(r), "*0\r\n_\r\n*14\r\n"));
    say(r, "CLIENT REPLY OFF\r\nGET k\r\nTREE\r\nCLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nGET a\r\nPING\r\n");
    HEARD(r, "+OK\r\n+PONG\r\n");
    rig_free(r);
}

static void any_command_may_be_the_hosts(void **state) {
    (void)state;
    struct rig *r = rig_new(1, true);
    say(r, "WHATEVER it is\r\nPING\r\nGET k\r\nPOST / HTTP/1.1\r\n");
    HEARD(r, ":3\r\n+PONG\r\n$-1\r\n:3\r\n");
    rig_free(r);
}

static void values_and_failures(void **state) {
    (void)state;
    struct rig *r = rig_new(1, false);
    say(r, "TREE\r\nNOTHING\r\nREFUSE\r\nFAIL\r\nFAIL x\r\n");
    HEARD(r, "*3\r\n:-7\r\n*2\r\n+FINE\r\n-ERR in here\r\n$0\r\n\r\n"
             "-ERR the command was given no answer\r\n"
             "-OVERLOADED too much is waiting already; the command was not done\r\n"
             "-UNKNOWN the write may or may not have happened; read before you try again\r\n"
             "-UNKNOWN b was asked  and lost\r\n");
    rig_free(r);
}

static void a_stream_may_be_cut_anywhere(void **state) {
    (void)state;
    static const char text[] = "*2\r\n$4\r\nECHO\r\n$5\r\na\r\nbc\r\necho \"q\\x00\"\r\nPING\r\n"
                               "*2\r\n$5\r\nLATER\r\n$1\r\nz\r\n";
    struct rig *r = rig_new(1, false);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        assert_int_equal(orr_sim_client_send(r->client->c, text + i, 1), 0);
        orr_sim_run(r->sim, orr_sim_now(r->sim) + 5 * ORR_MS);
    }
    answer(r, 0);
    nudge(r);
    assert_int_equal(r->client->n, 33);
    assert_memory_equal(r->client->heard, "$5\r\na\r\nbc\r\n$2\r\nq\0\r\n+PONG\r\n$1\r\nz\r\n", 33);
    rig_free(r);
}

static void who_has_said_all_still_gets_his_answers(void **state) {
    (void)state;
    struct rig *r = rig_new(1, false);
    send_text(r, "LATER a\r\nPING\r\nLATER b\r\n");
    assert_int_equal(orr_sim_client_end(r->client->c), 0);
    run(r);
    assert_true(r->client->up);
    answer(r, 0);
    nudge(r);
    HEARD(r, "$1\r\na\r\n+PONG\r\n");
    answer(r, 1);
    nudge(r);
    HEARD(r, "$1\r\nb\r\n");
    assert_false(r->client->up);
    rig_free(r);
}

static void a_call_whose_client_went_is_still_ended(void **state) {
    (void)state;
    struct rig *r = rig_new(0, false);
    say(r, "LATER a\r\nLATER b x\r\nLATER c\r\nGET k\r\n");
    answer(r, 2);
    assert_int_equal(orr_sim_reset(r->sim, "n", ORR_SIM_CLIENTS), 0);
    run(r);
    assert_int_equal(r->n_gone, 2);
    assert_null(r->calls[1]);
    answer(r, 0);
    rig_free(r);
}

static void what_waits_is_what_the_client_holds(void **state) {
    (void)state;
    struct rig *r = rig_new(0, false);
    enum { SIZE = 500 << 10 };
    char *big = malloc(SIZE);
    memset(big, 'v', SIZE);
    say(r, "LATER first\r\n");
    for (int i = 0; i < 2; i++) {
        send_text(r, "*2\r\n$5\r\nLATER\r\n$512000\r\n");
        assert_int_equal(orr_sim_client_send(r->client->c, big, SIZE), 0);
        say(r, "\r\n");
    }
    assert_int_equal(r->n, 3);
    size_t held = status_of(r).clients_bytes;
    assert_true(held >= 2 * SIZE && held < 3 * SIZE);
    answer(r, 0);
    answer(r, 1);
    nudge(r);
    assert_int_equal(r->client->n, 11 + SIZE + 11);
    r->client->n = 0;
    answer(r, 2);
    send_text(r, "LATER first\r\n");
    run(r);
    say(r, "LATER second\r\n");
    struct orr_sink *out = orr_resp_sink(r->calls[4]);
    for (int i = 0; i < 5; i++) out->ops->text(out, big, SIZE);     /* an answer that waits for an older one */
    nudge(r);
    assert_non_null(strstr(heard(r), "-UNKNOWN closed: this client holds more memory here than it may"));
    assert_false(r->client->up);
    assert_true(r->n_gone == 2 && status_of(r).clients_shed == 1);
    for (size_t i = 3; i < 5; i++) orr_resp_end(r->calls[i]);
    free(big);
    rig_free(r);
}

static void long_pipelines_pause_the_client(void **state) {
    (void)state;
    struct rig *r = rig_new(1, false);
    enum { N = 40000 };
    char *text = malloc(N * 7 + 1);
    say(r, "LATER a\r\n");
    for (size_t i = 0; i < N; i++) memcpy(text + 7 * i, "GET k\r\n", 8);
    say(r, text);
    assert_true(r->client->up && status_of(r).clients_bytes < CLIENT);
    answer(r, 0);
    nudge(r);
    run(r);
    assert_int_equal(r->client->n, 7 + 5 * N);
    free(text);
    rig_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_go_out_in_the_order_of_the_commands),
        cmocka_unit_test(an_answer_may_come_little_by_little),
        cmocka_unit_test(one_at_a_time_begins_when_the_one_before_has_ended),
        cmocka_unit_test(what_is_no_command_gets_the_text_of_redis),
        cmocka_unit_test(the_service_answers_for_itself_unless_the_host_does),
        cmocka_unit_test(any_command_may_be_the_hosts),
        cmocka_unit_test(values_and_failures),
        cmocka_unit_test(a_stream_may_be_cut_anywhere),
        cmocka_unit_test(who_has_said_all_still_gets_his_answers),
        cmocka_unit_test(a_call_whose_client_went_is_still_ended),
        cmocka_unit_test(what_waits_is_what_the_client_holds),
        cmocka_unit_test(long_pipelines_pause_the_client),
    };
    return cmocka_run_group_tests_name("node.resp_host", tests, NULL, NULL);
}
