/* orrb_process.c - core.process: this process and the children that it starts.
 *
 * A nursery holds children. It blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD for its life and reads them from a
 * descriptor, so that everything that happens comes out of one call, wait(), and no handler of ours ever runs. Children
 * get the mask back, /dev/null for stdin, pipes for stdout and stderr, and die with this process (PR_SET_PDEATHSIG): a
 * parent killed by SIGKILL leaves no orphans.                                                                       */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "orrb.h"

#define NURSERY "orrery.nursery"

struct child {
    struct child *next;
    pid_t pid;
    int pipe[2];                    /* stdout, stderr; -1: at its end */
};
struct nursery {
    bool open, reap;                /* reap: SIGCHLD came, and not all that it stood for was found */
    int signals;                    /* signalfd */
    sigset_t before;
    struct child *children;
};

static const struct {
    const char *name;
    int number;
} signal_names[] = {
    { "INT", SIGINT },   { "TERM", SIGTERM }, { "HUP", SIGHUP },   { "KILL", SIGKILL }, { "STOP", SIGSTOP },
    { "CONT", SIGCONT }, { "ABRT", SIGABRT }, { "SEGV", SIGSEGV }, { "BUS", SIGBUS },   { "PIPE", SIGPIPE },
};

static void push_signal(lua_State *L, int number) {
    for (size_t i = 0; i < sizeof signal_names / sizeof signal_names[0]; i++)
        if (signal_names[i].number == number) {
            lua_pushfstring(L, "SIG%s", signal_names[i].name);
            return;
        }
    lua_pushfstring(L, "signal %d", number);
}

static int check_signal(lua_State *L, int arg) {
    const char *name = luaL_checkstring(L, arg);
    for (size_t i = 0; i < sizeof signal_names / sizeof signal_names[0]; i++)
        if (strcmp(signal_names[i].name, name) == 0) return signal_names[i].number;
    return luaL_argerror(L, arg, "not a signal");
}

static struct nursery *check_nursery(lua_State *L) {
    struct nursery *n = luaL_checkudata(L, 1, NURSERY);
    luaL_argcheck(L, n->open, 1, "the nursery is closed");
    return n;
}

/* -- Life --------------------------------------------------------------------------------------------------------- */
static int nursery_new(lua_State *L) {
    struct nursery *n = lua_newuserdatauv(L, sizeof *n, 0);
    *n = (struct nursery){ .signals = -1 };
    luaL_setmetatable(L, NURSERY);
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGHUP);
    sigaddset(&watched, SIGCHLD);
    n->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (n->signals < 0) return orrb_fail(L, -errno, "nursery");
    sigprocmask(SIG_BLOCK, &watched, &n->before);
    n->open = true;
    return 1;
}

static void end_pipe(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* Children that still live are killed: who holds the nursery stops them first. */
static int nursery_close(lua_State *L) {
    struct nursery *n = luaL_checkudata(L, 1, NURSERY);
    while (n->children) {
        struct child *c = n->children;
        n->children = c->next;
        kill(c->pid, SIGKILL);
        while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR) {}
        end_pipe(&c->pipe[0]);
        end_pipe(&c->pipe[1]);
        free(c);
    }
    if (n->open) {
        close(n->signals);
        sigprocmask(SIG_SETMASK, &n->before, NULL);
    }
    n->open = false;
    return 0;
}

/* -- Starting ----------------------------------------------------------------------------------------------------- */
/* Between fork and exec: only calls that are safe there. */
static void become(const struct nursery *n, pid_t parent, const int out[2], char *const *argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);            /* it died before that line */
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out[0], STDOUT_FILENO) < 0 || dup2(out[1], STDERR_FILENO) < 0)
        _exit(127);
    if (null > STDERR_FILENO) close(null);
    sigprocmask(SIG_SETMASK, &n->before, NULL);
    execv(argv[0], argv);
    _exit(127);
}

static int open_pipes(int in[2], int out[2]) {
    int p[2];
    for (int i = 0; i < 2; i++) {
        if (pipe2(p, O_CLOEXEC) < 0) return -errno;
        in[i] = p[0];
        out[i] = p[1];
        fcntl(in[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static int start(struct nursery *n, struct child *c, char *const *argv) {
    int out[2] = { -1, -1 };
    int rc = open_pipes(c->pipe, out);
    pid_t parent = getpid();
    pid_t pid = rc < 0 ? -1 : fork();
    if (pid == 0) become(n, parent, out, argv);
    if (rc == 0 && pid < 0) rc = -errno;
    end_pipe(&out[0]);
    end_pipe(&out[1]);
    c->pid = pid;
    return rc;
}

/* nursery:spawn{ program, argument, ... } -> pid */
static int nursery_spawn(lua_State *L) {
    struct nursery *n = check_nursery(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t count = (size_t)luaL_len(L, 2);
    luaL_argcheck(L, count > 0 && count < 1000, 2, "an array of 1 to 999 strings expected");
    luaL_checkstack(L, (int)count + 2, NULL);
    char **argv = lua_newuserdatauv(L, (count + 1) * sizeof *argv, 0);
    for (size_t i = 0; i < count; i++) {
        lua_geti(L, 2, (lua_Integer)i + 1);
        argv[i] = (char *)luaL_checkstring(L, -1);      /* held by the stack; exec takes them as they are */
    }
    argv[count] = NULL;
    struct child *c = calloc(1, sizeof *c);
    if (!c) return orrb_fail(L, -ENOMEM, "spawn");
    c->pipe[0] = c->pipe[1] = -1;
    int rc = start(n, c, argv);
    if (rc < 0) {
        end_pipe(&c->pipe[0]);
        end_pipe(&c->pipe[1]);
        free(c);
        return orrb_fail(L, rc, argv[0]);
    }
    c->next = n->children;
    n->children = c;
    lua_pushinteger(L, c->pid);
    return 1;
}

static orr_time monotonic(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (orr_time)t.tv_sec * ORR_SECOND + t.tv_nsec;
}

/* -- Waiting ------------------------------------------------------------------------------------------------------ */
/* Bytes or the end of one pipe, if there are any: "data", pid, "out" or "err", bytes. */
static int read_pipe(lua_State *L, struct child *c, int which) {
    char buffer[16384];
    ssize_t got = c->pipe[which] < 0 ? -1 : read(c->pipe[which], buffer, sizeof buffer);
    if (got == 0) end_pipe(&c->pipe[which]);
    if (got <= 0) return 0;
    lua_pushliteral(L, "data");
    lua_pushinteger(L, c->pid);
    lua_pushstring(L, which == 0 ? "out" : "err");
    lua_pushlstring(L, buffer, (size_t)got);
    return 4;
}

/* "exit", pid, "exit", status   or   "exit", pid, "signal", name */
static int reap_one(lua_State *L, struct nursery *n) {
    for (struct child **at = &n->children; *at; at = &(*at)->next) {
        struct child *c = *at;
        int status;
        if (waitpid(c->pid, &status, WNOHANG) != c->pid) continue;
        lua_pushliteral(L, "exit");
        lua_pushinteger(L, c->pid);
        lua_pushstring(L, WIFSIGNALED(status) ? "signal" : "exit");
        if (WIFSIGNALED(status)) push_signal(L, WTERMSIG(status));
        else lua_pushinteger(L, WEXITSTATUS(status));
        *at = c->next;
        end_pipe(&c->pipe[0]);
        end_pipe(&c->pipe[1]);
        free(c);
        return 4;
    }
    n->reap = false;
    return 0;
}

/* The next signal for the user: "signal", name. */
static int read_signal(lua_State *L, struct nursery *n) {
    struct signalfd_siginfo info;
    while (read(n->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            n->reap = true;
            continue;
        }
        lua_pushliteral(L, "signal");
        push_signal(L, (int)info.ssi_signo);
        return 2;
    }
    return 0;
}

/* What is there now. Bytes come before the exit of whoever wrote them. */
static int next_event(lua_State *L, struct nursery *n) {
    int pushed = read_signal(L, n);
    for (struct child *c = n->children; c && !pushed; c = c->next) {
        pushed = read_pipe(L, c, 0);
        if (!pushed) pushed = read_pipe(L, c, 1);
    }
    return !pushed && n->reap ? reap_one(L, n) : pushed;
}

static void sleep_for(lua_State *L, const struct nursery *n, orr_time timeout) {
    size_t count = 1;
    for (const struct child *c = n->children; c; c = c->next) count += 2;
    struct pollfd *fds = lua_newuserdatauv(L, count * sizeof *fds, 0);
    struct pollfd *at = fds;
    *at++ = (struct pollfd){ .fd = n->signals, .events = POLLIN };
    for (const struct child *c = n->children; c; c = c->next)
        for (int i = 0; i < 2; i++) *at++ = (struct pollfd){ .fd = c->pipe[i], .events = POLLIN }; /* -1: passed over */
    int64_t ms = timeout / ORR_MS + (timeout % ORR_MS != 0);
    poll(fds, count, timeout == ORR_NEVER || ms > 1000000000 ? -1 : (int)ms);
    lua_pop(L, 1);
}

/* nursery:wait(T) -> an event, or nothing when time ran out. */
static int nursery_wait(lua_State *L) {
    struct nursery *n = check_nursery(L);
    orr_time left = orrb_seconds(L, 2), began = monotonic(), until = left == ORR_NEVER ? ORR_NEVER : began + left;
    for (;;) {                      /* the end of a pipe wakes us, too, and is no event */
        int pushed = next_event(L, n);
        if (pushed || left <= 0) return pushed;
        sleep_for(L, n, left);
        if (until != ORR_NEVER) left = until - monotonic();
    }
}

/* nursery:kill(pid, "TERM"): only a child of this nursery, so never a stranger that got its number. */
static int nursery_kill(lua_State *L) {
    struct nursery *n = check_nursery(L);
    pid_t pid = (pid_t)luaL_checkinteger(L, 2);
    int number = check_signal(L, 3);
    for (struct child *c = n->children; c; c = c->next)
        if (c->pid == pid) {
            lua_pushboolean(L, kill(pid, number) == 0);
            return 1;
        }
    lua_pushboolean(L, false);
    return 1;
}

/* -- This process ------------------------------------------------------------------------------------------------- */
static int process_pid(lua_State *L) {
    lua_pushinteger(L, getpid());
    return 1;
}

/* Seconds of a clock that never goes back, for telling how long something took. */
static int process_clock(lua_State *L) {
    lua_pushnumber(L, (lua_Number)monotonic() / 1e9);
    return 1;
}

/* Seconds since 1970, for people. */
static int process_wall(lua_State *L) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
    return 1;
}

/* The path of the running program. */
static int process_program(lua_State *L) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n < 0 || n == (ssize_t)sizeof path) return orrb_fail(L, n < 0 ? -errno : -ENAMETOOLONG, "/proc/self/exe");
    lua_pushlstring(L, path, (size_t)n);
    return 1;
}

/* process.make_directory(path, mode = 0777): true where it is there afterwards. One level. */
static int process_make_directory(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct stat there;
    if (mkdir(path, (mode_t)luaL_optinteger(L, 2, 0777)) < 0 && errno != EEXIST) return orrb_fail(L, -errno, path);
    if (stat(path, &there) < 0) return orrb_fail(L, -errno, path);
    if (!S_ISDIR(there.st_mode)) return orrb_fail(L, -ENOTDIR, path);
    lua_pushboolean(L, true);
    return 1;
}

static int bind_once(const struct addrinfo *a) {
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int rc = bind(fd, a->ai_addr, a->ai_addrlen) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

/* process.can_listen(host, port): true, or nil and why not. Names are not looked up, as in the loop. */
static int process_can_listen(lua_State *L) {
    const char *host = luaL_checkstring(L, 1);
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
    if (getaddrinfo(host, luaL_checkstring(L, 2), &hints, &found) != 0) {
        lua_pushnil(L);
        lua_pushliteral(L, "is no IP address, and names are not looked up");
        return 2;
    }
    int rc = bind_once(found);
    freeaddrinfo(found);
    if (rc == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, rc == -EADDRINUSE      ? "is in use"
                      : rc == -EADDRNOTAVAIL ? "is no address of this machine"
                                             : orr_strerror(rc));
    return 2;
}

int orrb_open_process(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "spawn", nursery_spawn }, { "wait", nursery_wait }, { "kill", nursery_kill }, { "close", nursery_close },
        { NULL, NULL },
    };
    static const luaL_Reg functions[] = {
        { "nursery", nursery_new },
        { "pid", process_pid },
        { "clock", process_clock },
        { "wall", process_wall },
        { "program", process_program },
        { "make_directory", process_make_directory },
        { "can_listen", process_can_listen },
        { NULL, NULL },
    };
    luaL_newmetatable(L, NURSERY);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, nursery_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, nursery_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
