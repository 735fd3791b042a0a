/* peer_name_test.c - peers that are called by a name: what it stands for is what the test says, on a loopback network
 * with as many servers as there are numbers.                                                                        */
#include "support.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>

/* -- The machine's names ------------------------------------------------------------------------------------------- */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static const char *known[4];        /* that "a.test" stands for, up to NULL */
static bool shut;                   /* look-ups wait */
static unsigned asked, answered;

typedef int (*ask_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
    ask_fn real = (ask_fn)(uintptr_t)dlsym(RTLD_NEXT, "getaddrinfo");
    struct addrinfo **end = out, numeric = *hints;
    int rc = EAI_NONAME;
    if (strcmp(host, "a.test") != 0 || hints->ai_flags & AI_NUMERICHOST) return real(host, service, hints, out);
    pthread_mutex_lock(&lock);
    asked++;
    while (shut) pthread_cond_wait(&opened, &lock);
    numeric.ai_flags |= AI_NUMERICHOST;
    for (size_t i = 0; i < 4 && known[i]; i++) {
        rc = real(known[i], service, &numeric, end);
        while (rc == 0 && *end) end = &(*end)->ai_next;
    }
    answered++;
    pthread_mutex_unlock(&lock);
    return rc;
}
static void names(const char *first, const char *second, const char *third) {
    pthread_mutex_lock(&lock);
    known[0] = first, known[1] = second, known[2] = third, known[3] = NULL;
    pthread_mutex_unlock(&lock);
}
static void hold(bool on) {
    pthread_mutex_lock(&lock);
    shut = on;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
}
static unsigned count(const unsigned *of) {
    pthread_mutex_lock(&lock);
    unsigned n = *of;
    pthread_mutex_unlock(&lock);
    return n;
}

/* -- The world, and servers ---------------------------------------------------------------------------------------- */
static struct node n;
static int servers[5], port;        /* servers[i]: on 127.0.0.i; -1: none */
static unsigned got;
static orr_id from;
static uint32_t moved;
static char said[4096];

static void on_datagram(struct node *node, struct orr_req *req) {
    const struct orr_datagram *d = (const struct orr_datagram *)(const void *)req;
    (void)node;
    assert_int_equal(req->op, ORR_OP_DATAGRAM);
    got++;
    from = d->from;
    moved = d->moved;
}
static void on_log(void *ud, enum orr_level level, const char *text, size_t size) {
    size_t at = strlen(said);
    (void)ud, (void)level;
    snprintf(said + at, sizeof said - at, "%.*s\n", (int)size, text);
}
static void serve(int i) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t)i);
    servers[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(servers[i], (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(servers[i], (struct sockaddr *)&at, &size), 0);
    port = ntohs(at.sin_port);
}
static int set_up(void **state) {
    struct orr_loop_config config;
    (void)state;
    memset(&n, 0, sizeof n);
    node_config(&n, &config);
    config.log = on_log;
    node_new_with(&n, &config);
    n.on = on_datagram;
    asked = answered = got = 0;
    said[0] = '\0';
    port = 0;
    for (int i = 0; i < 5; i++) servers[i] = -1;
    serve(2);
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    hold(false);
    orr_loop_free(n.loop);
    for (int i = 0; i < 5; i++) {
        if (servers[i] >= 0) close(servers[i]);
    }
    return 0;
}
static const char *name(const char *suffix) {
    static char text[3][64];
    static unsigned i;
    char *at = text[i++ % 3];
    snprintf(at, 64, "a.test:%d%s", port, suffix);
    return at;
}
static int add(orr_id id, const char *address) { return n.w->ops->peer(n.w, id, address); }
static void send_to(orr_id id) {
    assert_int_equal(n.w->ops->datagram(n.w, id, orr_borrow("time?", 5)), 0);
    orr_loop_step(n.loop, 0);
}
static void send_first(orr_id id, unsigned look_ups) {      /* which may vanish: it begins a look-up */
    send_to(id);
    for (int i = 0; i < 10000 && count(&answered) < look_ups; i++) usleep(1000);
    assert_int_equal(count(&answered), look_ups);
    for (int i = 0; i < 20; i++) orr_loop_step(n.loop, ORR_MS);
}
/* How many datagrams a server has; each is answered, where it answers. */
static unsigned heard(int i, bool answer) {
    struct sockaddr_in who;
    char bytes[16];
    unsigned k = 0;
    for (socklen_t size = sizeof who; recvfrom(servers[i], bytes, 16, 0, (struct sockaddr *)&who, &size) > 0; k++) {
        if (answer) assert_int_equal(sendto(servers[i], "now", 3, 0, (struct sockaddr *)&who, sizeof who), 3);
    }
    return k;
}
static void answers(int i, orr_id id, uint32_t at) {
    unsigned before = got;
    send_to(id);
    assert_int_equal(heard(i, true), 1);
    UNTIL(&n, got, before + 1);
    assert_int_equal(from, id);
    assert_int_equal(moved, at);
}

/* -- Tests --------------------------------------------------------------------------------------------------------- */
static void what_is_no_name_is_refused(void **state) {
    static const char *const bad[] = {
        "a.test",      "a.test:0",  "a.test:x",     "a.test:1/", "a.test:1/0", "a b:1",         "a.test:1/17",
        "a.test:1/1x", "-a.test:1", "10.0.0.256:1", "10.0.0:1",  ":1",         "127.0.0.1:1/2", "",
        "/1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(add(7, bad[i]), ORR_EINVALID);
    assert_int_equal(add(7, "a.test:1/16"), 0);
    struct orr_stream *stream;
    assert_int_equal(n.w->ops->connect(n.w, 7, &stream), ORR_EINVALID);     /* datagrams alone */
}

static void a_look_up_holds_nothing_up(void **state) {
    (void)state;
    names("127.0.0.2", NULL, NULL);
    hold(true);
    assert_int_equal(add(7, name("")), 0);
    assert_int_equal(count(&asked), 0);
    for (int i = 0; i < 50; i++) send_to(7);        /* each vanishes */
    assert_int_equal(heard(2, false), 0);
    hold(false);
    send_first(7, 1);
    answers(2, 7, 1);
    assert_int_equal(count(&asked), 1);
    assert_non_null(strstr(said, "127.0.0.2"));
}

static void who_never_answers_is_left_for_the_next_address(void **state) {
    (void)state;
    serve(3);
    names("127.0.0.2", "127.0.0.3", NULL);
    assert_int_equal(add(7, name("")), 0);
    send_first(7, 1);
    send_to(7);
    send_to(7);
    assert_int_equal(heard(2, false), 2);
    answers(3, 7, 2);
    for (int i = 0; i < 20; i++) send_to(7);        /* it was heard, and keeps its server */
    assert_int_equal(heard(3, false), 20);
    assert_int_equal(heard(2, false), 0);
    assert_int_equal(count(&asked), 1);             /* within the minute */
}

static void places_of_a_pool_have_an_address_each(void **state) {
    (void)state;
    serve(3);
    serve(4);
    char third[32];
    snprintf(third, sizeof third, "127.0.0.4:%d", port);
    names("127.0.0.2", "127.0.0.3", "127.0.0.4");
    assert_int_equal(add(9, third), 0);             /* somebody else's address, who is called by it */
    assert_int_equal(add(7, name("/1")), 0);
    assert_int_equal(add(8, name("/2")), 0);
    assert_int_equal(add(6, name("/3")), 0);
    send_first(7, 1);
    answers(2, 7, 1);
    answers(3, 8, 1);
    answers(4, 9, 0);
    for (int i = 0; i < 5; i++) send_to(6);         /* nothing is left for it */
    assert_int_equal(heard(2, false) + heard(3, false) + heard(4, false), 0);
    assert_int_equal(count(&asked), 1);
}

static void who_falls_silent_is_looked_up_again(void **state) {
    (void)state;
    serve(3);
    names("127.0.0.2", NULL, NULL);
    n.loop->look_up_again = 0;
    assert_int_equal(add(7, name("")), 0);
    send_first(7, 1);
    answers(2, 7, 1);
    for (int i = 0; i < 8; i++) send_to(7);
    assert_int_equal(count(&asked), 1);
    names(NULL, NULL, NULL);                        /* the network is gone: it keeps its server */
    send_first(7, 2);
    assert_non_null(strstr(said, "ntp: a.test is not found: "));
    assert_int_equal(heard(2, false), 9);
    names("127.0.0.2", "127.0.0.3", NULL);
    for (int i = 0; i < 10000 && count(&answered) < 3; i++) orr_loop_step(n.loop, ORR_MS);  /* 2 s after it failed */
    assert_int_equal(count(&answered), 3);
    for (int i = 0; i < 20; i++) orr_loop_step(n.loop, ORR_MS);
    assert_non_null(strstr(said, "ntp: a.test is found now"));
    answers(3, 7, 2);
}

static void a_loop_ends_with_a_look_up_under_way(void **state) {
    (void)state;
    names("127.0.0.2", NULL, NULL);
    hold(true);
    assert_int_equal(add(7, name("")), 0);
    send_to(7);
    for (int i = 0; i < 10000 && count(&asked) < 1; i++) {
        orr_loop_step(n.loop, 0);
        usleep(1000);
    }
    assert_int_equal(count(&asked), 1);
    orr_loop_free(n.loop);
    n.loop = NULL;
    hold(false);
    for (int i = 0; i < 10000 && count(&answered) < 1; i++) usleep(1000);
    assert_int_equal(count(&answered), 1);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_is_no_name_is_refused),
        T(a_look_up_holds_nothing_up),
        T(who_never_answers_is_left_for_the_next_address),
        T(places_of_a_pool_have_an_address_each),
        T(who_falls_silent_is_looked_up_again),
        T(a_loop_ends_with_a_look_up_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
