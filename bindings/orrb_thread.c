/* orrb_thread.c - core.thread: a node of this process on a thread of its own, asked from the thread of the host.
 *
 *     local node <close> = assert(core.thread.new{ plan = text, id = "a", path = package.path, dir = "data/a" })
 *     local asked = node:ask("a", "add", 1000000000, 5)
 *     while not asked:over() do node:step(0.1) end        -- sleeps until there is news
 *
 * The methods are those of orrb_live.c, so that whoever drives one needn't know which it is. Here step turns nothing:
 * it waits for news and takes it, and fd() shows that there is some: an answer; that the node is ready, or has ended.
 *
 * The loop, the node and its Lua state are touched by the thread alone, from their making to their end. The host puts
 * letters into a box and rings the loop; the thread empties the box between two turns. A letter is the thread's until
 * it is over; a host that wants one no more says so by putting it into the box again, and the thread frees it. What the
 * host looks at comes by way of a Lua state, the desk: the thread's while it serves such a letter, else the host's.
 *
 * The thread begins in new and not before, with every signal blocked, and ends with the node. A process that the host
 * has forked has the handle and no thread: there nothing is done, and close does not wait. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "orrb_live.h"
#include "orrb_question.h"

#define THREAD "orrery.thread"
#define LETTER "orrery.core.letter"

enum { CASTS_MAX = 16 << 20 };      /* bytes of casts in the box */
enum kind { CAST, CALL, GROUP, PEEK, LOOK };    /* from PEEK on, the host waits for it and does nothing else */
enum state { IN_BOX, UNDER_WAY, OVER };

struct thread;
struct letter {
    struct orrb_question q;         /* first. The thread's until it is OVER */
    struct thread *to;
    struct letter *next;            /* in the box */
    enum state state;               /* lock */
    bool unwanted;                  /* lock: by the host; the thread frees it. A cast is from the start */
    enum kind kind;
    enum orrb_verb verb;            /* of GROUP */
    const struct orrb_look *look;
    lua_Integer n;                  /* of LOOK */
    orr_id peer;
    orr_time until;
    size_t name_size, size;
    char name[];                    /* ended by a 0; then the argument's bytes */
};

struct thread {
    pthread_t id;
    pthread_mutex_t lock;           /* never destroyed: letters that are collected later take it, and it has no more */
    pthread_cond_t told;            /* that a letter is over which the host waits for; born; ended */
    struct letter *first, *last;    /* lock: the box */
    size_t casts;                   /* lock: bytes of those in it */
    bool born;                      /* lock: rc and why are known */
    bool closing;                   /* lock: the host says so */
    bool leaving;                   /* lock: the loop is about to go, don't ring */
    bool ended;                     /* lock: nothing of the node is left, reason is set */
    bool news;                      /* lock: fd is readable */
    bool recovered, ready;          /* lock */
    bool reload_asked;              /* lock */
    int rc;
    char why[1024];

    struct orrb_live live;          /* the thread's, with what it is made of */
    struct orr_loop_config config;
    struct orrb_script script;
    lua_State *desk;

    bool running;                   /* the host's, with all below: to be joined */
    int fd;                         /* -1: closed */
    pid_t pid;
    orr_time patience;              /* for what is answered at once, if the thread is well */
    struct orrb_buffer out;
};

static orr_time clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (orr_time)t.tv_sec * ORR_SECOND + t.tv_nsec;
}
static struct timespec timespec_of(orr_time t) {
    return (struct timespec){ .tv_sec = t / ORR_SECOND, .tv_nsec = t % ORR_SECOND };
}

/* -- The thread --------------------------------------------------------------------------------------------------- */
/* With the lock. */
static void tell_news(struct thread *t) {
    uint64_t one = 1;
    if (t->news) return;
    t->news = write(t->fd, &one, sizeof one) == (ssize_t)sizeof one;    /* which can't fail: it was 0 */
}

static void finish(struct orrb_question *q) {
    struct letter *letter = (struct letter *)(void *)q;
    struct thread *t = letter->to;
    pthread_mutex_lock(&t->lock);
    letter->state = OVER;
    if (letter->kind >= PEEK) pthread_cond_broadcast(&t->told);
    else if (!letter->unwanted) tell_news(t);
    pthread_mutex_unlock(&t->lock);
}

static int desk_look(lua_State *D) {
    const struct letter *letter = lua_touserdata(D, 1);
    return letter->look->look(D, &letter->to->live, letter->name_size ? letter->name : NULL, letter->n);
}

/* Its results, or the one error, are left on the desk. */
static int look(struct letter *letter) {
    lua_State *D = letter->to->desk;
    lua_settop(D, 0);
    if (!lua_checkstack(D, 2)) return -ENOMEM;
    lua_pushcfunction(D, desk_look);
    lua_pushlightuserdata(D, letter);
    return lua_pcall(D, 1, LUA_MULTRET, 0) == LUA_OK ? 0 : ORR_EFAILED;
}

/* Not under way afterwards: it is over. */
static void begin(struct letter *letter) {
    struct orrb_node *n = letter->to->live.node;
    struct orr_node *node = orrb_node_of(n);
    struct orr_slice name = orr_borrow(letter->name, letter->name_size);
    struct orr_slice value = orr_borrow(letter->name + letter->name_size + 1, letter->size);
    struct orrb_question *q = &letter->q;
    q->over = finish;
    switch (letter->kind) {
    case CALL: orrb_question_call(q, node, letter->peer, name, value, letter->until); break;
    case GROUP: orrb_question_group(q, n, letter->verb, letter->name, value, letter->until); break;
    case PEEK: orrb_question_peek(q, n, letter->name, value); break;
    case LOOK: q->status = look(letter); break;
    case CAST: orr_node_cast(node, letter->peer, name, value); break;
    }
    if (!q->under_way && letter->kind != CAST) finish(q);
}

static void letter_free(struct letter *letter) {
    orrb_question_clear(&letter->q);
    free(letter);
}

/* With the lock. */
static void put(struct letter *letter) {
    struct thread *t = letter->to;
    letter->next = NULL;
    if (t->last) t->last->next = letter;
    else t->first = letter;
    t->last = letter;
    if (!t->leaving) orr_loop_ring(t->live.loop);
}

static size_t weight(const struct letter *letter) { return sizeof *letter + letter->name_size + letter->size; }

/* With the lock. */
static struct letter *take(struct thread *t) {
    struct letter *letter = t->first;
    if (!letter) return NULL;
    t->first = letter->next;
    if (!t->first) t->last = NULL;
    if (letter->kind == CAST) t->casts -= weight(letter);
    return letter;
}

/* Empties the box. False: the host is closing. */
static bool serve(struct thread *t) {
    bool closing = false;
    for (struct letter *letter = NULL;;) {
        pthread_mutex_lock(&t->lock);
        closing = t->closing;
        letter = closing ? NULL : take(t);
        bool unwanted = letter && letter->unwanted;
        if (letter && !unwanted) letter->state = UNDER_WAY;
        pthread_mutex_unlock(&t->lock);
        if (!letter) return !closing;
        if (letter->kind == CAST || !unwanted) begin(letter);
        else if (letter->q.under_way) orr_wait_cancel(&letter->q.wait);
        if (unwanted) letter_free(letter);
    }
}

static void note_progress(struct thread *t) {
    struct orr_node_status s;
    if (orrb_node_reload_asked(t->live.node)) {
        pthread_mutex_lock(&t->lock);
        t->reload_asked = true;
        tell_news(t);
        pthread_mutex_unlock(&t->lock);
    }
    if (t->ready) return;           /* only this thread writes it */
    orr_node_status(orrb_node_of(t->live.node), &s);
    if (s.recovered == t->recovered && s.ready == t->ready) return;
    pthread_mutex_lock(&t->lock);
    t->recovered = s.recovered;
    t->ready = s.ready;
    tell_news(t);
    pthread_mutex_unlock(&t->lock);
}

/* The node goes, and whoever waits is told. What is under way has no answer any more; the host frees it. */
static void end(struct thread *t) {
    const char *reason = t->rc == 0 ? orr_loop_stop_reason(t->live.loop, NULL) : NULL;
    pthread_mutex_lock(&t->lock);
    t->leaving = true;
    if (t->rc == 0) {
        t->why[0] = '\0';
        strncat(t->why, reason ? reason : "closed", sizeof t->why - 1);
    }
    pthread_mutex_unlock(&t->lock);
    orrb_live_close(&t->live);
    pthread_mutex_lock(&t->lock);
    for (struct letter *letter = take(t); letter; letter = take(t)) {
        if (letter->unwanted) {
            letter_free(letter);
        } else {
            letter->q.status = ORR_ECLOSED;
            letter->state = OVER;
        }
    }
    t->ended = true;
    tell_news(t);
    pthread_cond_broadcast(&t->told);
    pthread_mutex_unlock(&t->lock);
}

static void *run(void *arg) {
    struct thread *t = arg;
    int rc = orrb_live_open(&t->live, &t->config, &t->script, t->why, sizeof t->why);
    pthread_mutex_lock(&t->lock);
    t->rc = rc;
    t->leaving = rc < 0;            /* there is no loop */
    t->born = true;
    pthread_cond_broadcast(&t->told);
    pthread_mutex_unlock(&t->lock);
    while (rc == 0 && serve(t)) {
        if (orr_loop_step(t->live.loop, ORR_NEVER) == ORR_ECLOSED) break;
        note_progress(t);
    }
    end(t);
    return NULL;
}

/* -- Starting, closing -------------------------------------------------------------------------------------------- */
static bool forked(const struct thread *t) { return t->pid != getpid(); }

static struct thread *check_thread(lua_State *L) {
    struct thread *t = luaL_checkudata(L, 1, THREAD);
    luaL_argcheck(L, t->fd >= 0, 1, "the node is closed");
    luaL_argcheck(L, !forked(t), 1, "the node lives in the process that this one was forked from");
    return t;
}

static void shut(lua_State *L, struct thread *t) {
    if (t->fd < 0) return;
    if (t->running && !forked(t)) {
        pthread_mutex_lock(&t->lock);
        t->closing = true;
        if (!t->leaving) orr_loop_ring(t->live.loop);
        pthread_mutex_unlock(&t->lock);
        pthread_join(t->id, NULL);
    }
    t->running = false;
    close(t->fd);
    t->fd = -1;
    if (t->desk) lua_close(t->desk);
    t->desk = NULL;
    orrb_buffer_free(L, &t->out);
}

static int thread_close(lua_State *L) {
    shut(L, luaL_checkudata(L, 1, THREAD));
    return 0;
}

/* With every signal blocked: a host's handlers are to run on threads that it knows of. */
static int start(struct thread *t) {
    pthread_condattr_t attr;
    sigset_t all, before;
    t->desk = luaL_newstate();
    if (!t->desk) return -ENOMEM;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->told, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&t->id, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return -error;
    t->running = true;
    pthread_mutex_lock(&t->lock);
    while (!t->born) pthread_cond_wait(&t->told, &t->lock);
    pthread_mutex_unlock(&t->lock);
    return t->rc;
}

/* thread.new{ as live.new, patience = 5 } -> handle, or nil, one line, code. patience: T after which a look at a node
 * whose thread doesn't answer is given up. */
static int thread_new(lua_State *L) {
    struct thread *t = lua_newuserdatauv(L, sizeof *t, 0);
    memset(t, 0, sizeof *t);
    t->fd = -1;
    luaL_setmetatable(L, THREAD);
    orrb_live_read(L, 1, &t->config, &t->script);
    t->patience = orrb_time_field(L, 1, "patience", 5 * ORR_SECOND);
    t->pid = getpid();
    t->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (t->fd < 0) return orrb_live_refused(L, -errno, "");
    int rc = start(t);
    if (rc == 0) return 1;
    shut(L, t);
    return orrb_live_refused(L, rc, t->why);
}

/* -- News --------------------------------------------------------------------------------------------------------- */
static bool take_news(struct thread *t) {
    uint64_t count;
    pthread_mutex_lock(&t->lock);
    bool had = t->news;
    if (had) t->news = read(t->fd, &count, sizeof count) < 0;
    pthread_mutex_unlock(&t->lock);
    return had;
}

/* thread:step(T): takes the news, after at most T; a signal ends the wait too. False once the node has ended. */
static int thread_step(lua_State *L) {
    struct thread *t = check_thread(L);
    orr_time T = orrb_seconds(L, 2);
    if (!take_news(t) && T > 0) {
        struct pollfd fd = { .fd = t->fd, .events = POLLIN };
        struct timespec wait = timespec_of(T);
        ppoll(&fd, 1, T == ORR_NEVER ? NULL : &wait, NULL);
        take_news(t);
    }
    pthread_mutex_lock(&t->lock);
    bool ended = t->ended;
    pthread_mutex_unlock(&t->lock);
    lua_pushboolean(L, !ended);
    return 1;
}

/* thread:reason() -> why it stopped, or nil */
static int thread_reason(lua_State *L) {
    struct thread *t = check_thread(L);
    pthread_mutex_lock(&t->lock);
    bool ended = t->ended;
    pthread_mutex_unlock(&t->lock);
    lua_pushstring(L, ended ? t->why : NULL);       /* nobody writes it any more */
    return 1;
}

/* thread:progress() -> is its log read; did the cluster answer, too */
static int thread_progress(lua_State *L) {
    struct thread *t = check_thread(L);
    pthread_mutex_lock(&t->lock);
    lua_pushboolean(L, t->recovered);
    lua_pushboolean(L, t->ready);
    pthread_mutex_unlock(&t->lock);
    return 2;
}

/* thread:reload_asked(): since the last time? */
static int thread_reload_asked(lua_State *L) {
    struct thread *t = check_thread(L);
    pthread_mutex_lock(&t->lock);
    lua_pushboolean(L, t->reload_asked);
    t->reload_asked = false;
    pthread_mutex_unlock(&t->lock);
    return 1;
}

/* thread:fd() -> to be polled for reading */
static int thread_fd(lua_State *L) {
    lua_pushinteger(L, check_thread(L)->fd);
    return 1;
}

/* thread:deadline(): no step is ever due */
static int thread_deadline(lua_State *L) {
    check_thread(L);
    lua_pushnumber(L, (lua_Number)HUGE_VAL);
    return 1;
}

static int thread_clock(lua_State *L) {
    check_thread(L);
    lua_pushnumber(L, (lua_Number)clock_of(CLOCK_BOOTTIME) / 1e9);
    return 1;
}

/* -- Letters ------------------------------------------------------------------------------------------------------ */
static bool over(struct letter *letter) { return letter->state == OVER || letter->to->ended; }

/* The host has done with it. */
static void give_up(struct letter *letter) {
    struct thread *t = letter->to;
    if (forked(t)) return;          /* somebody may have held the lock */
    pthread_mutex_lock(&t->lock);
    bool own = over(letter);
    letter->unwanted = true;
    if (!own && letter->state == UNDER_WAY) put(letter);
    pthread_mutex_unlock(&t->lock);
    if (own) letter_free(letter);
}

static void drop_letter(struct letter **handle) {
    struct letter *letter = *handle;
    *handle = NULL;
    if (letter) give_up(letter);
}

static int letter_close(lua_State *L) {
    drop_letter(luaL_checkudata(L, 1, LETTER));
    return 0;
}

/* letter:over(): is there an answer, or will there be none? */
static int letter_over(lua_State *L) {
    struct letter *letter = *(struct letter **)luaL_checkudata(L, 1, LETTER);
    bool is = true;
    if (letter && !forked(letter->to)) {
        pthread_mutex_lock(&letter->to->lock);
        is = over(letter);
        pthread_mutex_unlock(&letter->to->lock);
    }
    lua_pushboolean(L, is);
    return 1;
}

/* 0: it has an answer, which is the host's. Else what is known of it; one that was not begun will not be, and is the
 * thread's. */
static int settle(struct letter **handle) {
    struct letter *letter = *handle;
    struct thread *t = letter->to;
    pthread_mutex_lock(&t->lock);
    int status = letter->state == OVER ? 0 : letter->state == IN_BOX ? ORR_ETIMEOUT : ORR_EUNKNOWN;
    if (status == ORR_ETIMEOUT) {
        letter->unwanted = true;
        *handle = NULL;
    }
    pthread_mutex_unlock(&t->lock);
    return status;
}

/* letter:results() -> true, what came; or false, why, code: no answer. Then it is over. */
static int letter_results(lua_State *L) {
    struct letter **handle = luaL_checkudata(L, 1, LETTER), *letter = *handle;
    if (!letter || forked(letter->to)) return orrb_question_failure(L, ORR_EUNKNOWN);
    int status = settle(handle);
    return status < 0 ? orrb_question_failure(L, status) : orrb_question_results(L, &letter->q);
}

/* An empty one; its handle is on the stack. */
static struct letter **letter_new(lua_State *L, struct thread *t, enum kind kind, const char *name,
                                 struct orr_slice value) {
    struct letter **handle = lua_newuserdatauv(L, sizeof *handle, 1);
    *handle = NULL;
    luaL_setmetatable(L, LETTER);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    size_t name_size = name ? strlen(name) : 0;
    struct letter *letter = malloc(sizeof *letter + name_size + 1 + value.size);
    if (!letter) luaL_error(L, "not enough memory");
    *letter = (struct letter){ .to = t, .kind = kind, .state = OVER, .name_size = name_size, .size = value.size };
    if (name_size) memcpy(letter->name, name, name_size);
    letter->name[name_size] = '\0';
    if (value.size) memcpy(letter->name + name_size + 1, value.at, value.size);
    *handle = letter;
    return handle;
}

static void post(struct letter *letter) {
    struct thread *t = letter->to;
    pthread_mutex_lock(&t->lock);
    if (t->ended) {
        letter->q.status = ORR_ECLOSED;
    } else {
        letter->state = IN_BOX;
        put(letter);
    }
    pthread_mutex_unlock(&t->lock);
}

/* Posts it and waits until it is over. */
static int await(struct letter **handle) {
    struct letter *letter = *handle;
    struct thread *t = letter->to;
    struct timespec until = timespec_of(clock_of(CLOCK_MONOTONIC) + t->patience);
    post(letter);
    pthread_mutex_lock(&t->lock);
    for (int late = 0; !over(letter) && late != ETIMEDOUT;) late = pthread_cond_timedwait(&t->told, &t->lock, &until);
    pthread_mutex_unlock(&t->lock);
    return settle(handle);
}

/* -- Asking ------------------------------------------------------------------------------------------------------- */
static struct orr_slice packed_args(lua_State *L, struct thread *t, int first) {
    t->out.size = 0;
    orrb_value_pack_args(L, first, lua_gettop(L) - first + 1, &t->out);
    return orr_borrow(t->out.at, t->out.size);
}

static struct orr_slice packed_value(lua_State *L, struct thread *t, int arg, const char *what) {
    t->out.size = 0;
    orrb_value_pack(L, arg, &t->out, what);
    return orr_borrow(t->out.at, t->out.size);
}

static orr_time until_arg(lua_State *L, int arg) { return clock_of(CLOCK_BOOTTIME) + luaL_checkinteger(L, arg); }

/* thread:ask(to, name, T, ...) -> what waits for the answer */
static int thread_ask(lua_State *L) {
    struct thread *t = check_thread(L);
    orr_id to = orr_id_of(luaL_checkstring(L, 2));
    orr_time until = until_arg(L, 4);
    struct letter *letter = *letter_new(L, t, CALL, luaL_checkstring(L, 3), packed_args(L, t, 5));
    letter->peer = to;
    letter->until = until;
    post(letter);
    return 1;
}

/* thread:submit("propose", "read" or "snapshot", group, T, value) -> what waits for the answer */
static int thread_submit(lua_State *L) {
    struct thread *t = check_thread(L);
    enum orrb_verb verb = (enum orrb_verb)luaL_checkoption(L, 2, NULL, orrb_verbs);
    orr_time until = until_arg(L, 4);
    struct orr_slice value = packed_value(L, t, 5, verb == ORRB_READ ? "question" : "op");
    struct letter *letter = *letter_new(L, t, GROUP, luaL_checkstring(L, 3), value);
    letter->verb = verb;
    letter->until = until;
    post(letter);
    return 1;
}

/* thread:cast(to, name, ...) -> true: it is in the box; or nil, message, code */
static int thread_cast(lua_State *L) {
    struct thread *t = check_thread(L);
    const char *to = luaL_checkstring(L, 2);
    struct letter **handle = letter_new(L, t, CAST, luaL_checkstring(L, 3), packed_args(L, t, 4)), *letter = *handle;
    letter->peer = orr_id_of(to);
    pthread_mutex_lock(&t->lock);
    int rc = t->ended ? ORR_ECLOSED : t->casts + weight(letter) > CASTS_MAX ? ORR_EOVERLOADED : 0;
    if (rc == 0) {
        *handle = NULL;
        letter->unwanted = true;
        t->casts += weight(letter);
        put(letter);
    }
    pthread_mutex_unlock(&t->lock);
    if (rc < 0) return orrb_fail(L, rc, to);
    lua_pushboolean(L, true);
    return 1;
}

/* thread:peek(group, value) -> true, results; or false, why, code */
static int thread_peek(lua_State *L) {
    struct thread *t = check_thread(L);
    const char *group = luaL_checkstring(L, 2);
    struct letter **handle = letter_new(L, t, PEEK, group, packed_value(L, t, 3, "question"));
    int rc = await(handle);
    if (rc < 0) return orrb_question_failure(L, rc);
    int n = orrb_question_results(L, &(*handle)->q);
    drop_letter(handle);
    return n;
}

static int unanswered(lua_State *L) {
    lua_pushnil(L);
    lua_pushliteral(L, "the node's thread does not answer");
    lua_pushstring(L, orr_error_word(ORR_ETIMEOUT));
    return 3;
}

/* thread:NAME([text [, n]]), of all looks -> its results, or nil, message, code; upvalue: which */
static int thread_look(lua_State *L) {
    const struct orrb_look *look = lua_touserdata(L, lua_upvalueindex(1));
    struct thread *t = check_thread(L);
    lua_Integer number = luaL_optinteger(L, 3, 0);
    struct letter **handle = letter_new(L, t, LOOK, luaL_optstring(L, 2, NULL), orr_borrow(NULL, 0));
    (*handle)->look = look;
    (*handle)->n = number;
    int rc = await(handle), n = 0;
    if (rc == 0) rc = (*handle)->q.status;
    drop_letter(handle);
    if (rc == ORR_ETIMEOUT || rc == ORR_EUNKNOWN) return unanswered(L);
    if (rc < 0 && rc != ORR_EFAILED) return orrb_fail(L, rc, look->name);
    lua_State *D = t->desk;         /* the host's again */
    luaL_checkstack(L, lua_gettop(D), NULL);
    for (n = 1; n <= lua_gettop(D); n++) {
        lua_pushvalue(D, n);
        orrb_copy_plain(D, L);
        lua_pop(D, 1);
    }
    return rc == 0 ? n - 1 : lua_error(L);
}

/* -- The module --------------------------------------------------------------------------------------------------- */
static void set_ends(lua_State *L, lua_CFunction close) {
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}

int orrb_open_thread(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "step", thread_step },     { "close", thread_close }, { "reason", thread_reason },
        { "progress", thread_progress }, { "clock", thread_clock }, { "ask", thread_ask },
        { "cast", thread_cast },     { "submit", thread_submit }, { "peek", thread_peek },
        { "fd", thread_fd },         { "deadline", thread_deadline }, { "reload_asked", thread_reload_asked },
        { NULL, NULL },
    };
    static const luaL_Reg letter_methods[] = {
        { "over", letter_over }, { "results", letter_results }, { "close", letter_close }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = { { "new", thread_new }, { NULL, NULL } };
    luaL_newmetatable(L, THREAD);
    luaL_newlib(L, methods);
    for (const struct orrb_look *look = orrb_looks; look->name; look++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)look);
        lua_pushcclosure(L, thread_look, 1);
        lua_setfield(L, -2, look->name);
    }
    lua_setfield(L, -2, "__index");
    set_ends(L, thread_close);
    luaL_newmetatable(L, LETTER);
    luaL_newlib(L, letter_methods);
    lua_setfield(L, -2, "__index");
    set_ends(L, letter_close);
    luaL_newlib(L, functions);
    return 1;
}
