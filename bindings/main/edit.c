/* edit.c - orrery.edit, the prompt's terminal: lines edited by libedit, Ctrl-C, widths, folders, a private file.
 *
 * It is the program's alone: the module orrery.core, which other programs load, knows neither libedit nor signals.
 *
 * While a line is read, an idler may be called now and then: what it says stands above the line that is being typed.
 *
 * While an editor is open, SIGINT only counts. What runs in a guard raises then, at its next Lua instruction,
 * coroutines within some thousand; so what C does is finished first, and a third Ctrl-C that nobody heeded ends the
 * program. While a line is read, signals come out of a descriptor, beside the keys: there is no moment at which one
 * could be missed, and libedit never sees them. The terminal is given back before the process stops or dies of one.
 *
 * libedit wants a locale, and Lua's patterns must not see any: it is this thread's during a read, and nobody else's.
 * Without libedit (ORR_LIBEDIT is not defined) lines are read as they come.                                         */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#ifdef ORR_LIBEDIT
#include <histedit.h>
#endif

#include "edit.h"
#include "orrb.h"

#define EDITOR "orrery.editor"

enum { HISTORY_LINES = 1000, LOOK_EVERY = 10000, LAST_RESORT = 3 };

static volatile sig_atomic_t interrupts;
static lua_State *volatile guarded;     /* who runs in a guard */

/* -- Guarded calls ------------------------------------------------------------------------------------------------ */
/* The simulation's own Lua must not be torn in the middle: it asks pending() between two events, and ends its run. */
static bool is_spared(const char *source) {
    static const char *const files[] = {
        "/orrery/sim.lua", "/orrery/sim/time.lua", "/orrery/sim/notes.lua", "/orrery/faults.lua", "/orrery/handle.lua",
        "/orrery/client.lua",
    };
    size_t size = strlen(source);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t end = strlen(files[i]);
        if (size >= end && strcmp(source + size - end, files[i]) == 0) return true;
    }
    return false;
}

/* Once it has raised it does so at every instruction of this thread: a loop around pcall doesn't outlive it. */
static void look(lua_State *L, lua_Debug *ar) {
    if (!interrupts || (lua_getinfo(L, "S", ar) && is_spared(ar->source))) return;
    lua_sethook(L, look, LUA_MASKCOUNT, 1);
    luaL_where(L, 0);
    lua_pushliteral(L, "interrupted");
    lua_concat(L, 2);
    lua_error(L);
}

/* The guard's own thread raises at its next instruction, coroutines of it when they look. */
static void count_interrupt(int signo) {
    interrupts++;
    if (guarded) lua_sethook(guarded, look, LUA_MASKCOUNT, 1);
    if (interrupts < LAST_RESORT) return;
    signal(signo, SIG_DFL);
    raise(signo);                       /* delivered once this handler is left */
}

/* Upvalue 1: the handler in Lua, which is to run to its end. */
static int handle(lua_State *L) {
    lua_sethook(L, NULL, 0, 0);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* guard(f, handler) -> "done", result...; or "failed" or "interrupted", and what handler made of the error. */
static int edit_guard(lua_State *L) {
    luaL_argcheck(L, !guarded, 1, "already guarded");
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushcclosure(L, handle, 1);
    lua_insert(L, 1);
    interrupts = 0;
    lua_sethook(L, look, LUA_MASKCOUNT, LOOK_EVERY);    /* coroutines made meanwhile inherit it */
    guarded = L;
    int rc = lua_pcall(L, 0, LUA_MULTRET, 1);
    guarded = NULL;
    lua_sethook(L, NULL, 0, 0);
    clearerr(stdout);               /* a write that was interrupted is no reason to fail at the end */
    lua_pushstring(L, rc == LUA_OK ? "done" : interrupts ? "interrupted" : "failed");
    lua_replace(L, 1);
    interrupts = 0;
    return lua_gettop(L);
}

/* pending() -> whether Ctrl-C came, and nobody ended for it yet. */
static int edit_pending(lua_State *L) {
    lua_pushboolean(L, interrupts > 0);
    return 1;
}

/* -- The editor --------------------------------------------------------------------------------------------------- */
struct editor {
    bool open;
    struct sigaction before;
#ifdef ORR_LIBEDIT
    EditLine *el;
    History *history;
    locale_t locale;
    int signals;                    /* signalfd */
    sigset_t watched;
    lua_State *L;                   /* while a line is read */
    locale_t others;                /* meanwhile: the locale of all but the editor */
    const char *prompt;
    int idle_ms;                    /* until the idler is called; -1: there is none, or it wants no more */
    bool interrupted, empty;        /* empty: nothing stood in the line that was interrupted */
#endif
};

static struct editor *check_editor(lua_State *L) {
    struct editor *e = luaL_checkudata(L, 1, EDITOR);
    luaL_argcheck(L, e->open, 1, "the editor is closed");
    return e;
}

#ifdef ORR_LIBEDIT
static struct editor *editor_of(EditLine *el) {
    void *e = NULL;
    el_get(el, EL_CLIENTDATA, &e);
    return e;
}

static char *prompt_of(EditLine *el) { return (char *)editor_of(el)->prompt; }

static void redraw(EditLine *el) {
    el_set(el, EL_PREP_TERM, 1);
    el_set(el, EL_REFRESH);
}

/* Lets a signal do what it does, with the terminal as it was; comes back if the process goes on. */
static void suffer(struct editor *e, int signo) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signo);
    el_set(e->el, EL_PREP_TERM, 0);
    raise(signo);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    sigprocmask(SIG_BLOCK, &one, NULL);
    if (signo != SIGTSTP) redraw(e->el);            /* after that, SIGCONT does */
}

/* One signal, if there is any. False: it ends this line. */
static bool take_signal(struct editor *e) {
    struct signalfd_siginfo info;
    if (read(e->signals, &info, sizeof info) != (ssize_t)sizeof info) return true;
    switch (info.ssi_signo) {
    case SIGINT: {
        const LineInfo *line = el_line(e->el);
        e->interrupted = true;
        e->empty = line->lastchar == line->buffer;
        return false;
    }
    case SIGWINCH: el_resize(e->el); return true;
    case SIGCONT: redraw(e->el); return true;
    default: suffer(e, (int)info.ssi_signo); return true;
    }
}

/* How many rows of the screen are above the cursor's, of the prompt and what has been typed. */
static int rows_above(struct editor *e) {
    const LineInfoW *line = el_wline(e->el);
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0) return 0;
    int columns = (int)strlen(e->prompt);
    for (const wchar_t *c = line->buffer; c < line->cursor; c++) {
        int width = wcwidth(*c);
        columns += width > 0 ? width : *c < L' ' ? 2 : 0;           /* ^A */
    }
    return columns / size.ws_col;
}

/* The text in place of the line that is being typed, and that below it. */
static void say_above(struct editor *e, const char *text) {
    char *up = NULL, *clear = NULL;
    el_get(e->el, EL_GETTC, "up", &up, NULL);
    el_get(e->el, EL_GETTC, "cd", &clear, NULL);
    bool clears = up && *up && clear && *clear;
    fputc(clears ? '\r' : '\n', stdout);
    for (int i = clears ? rows_above(e) : 0; i > 0; i--) fputs(up, stdout);
    fprintf(stdout, "%s%s\n", clears ? clear : "", text);
    fflush(stdout);
    el_set(e->el, EL_REFRESH);
}

/* The idler says what is to be told, and when it is to be called again. One that fails is told, and not called again
 * for this line. */
static void call_idler(struct editor *e) {
    lua_State *L = e->L;
    int top = lua_gettop(L);
    e->idle_ms = -1;
    if (!lua_checkstack(L, 4)) return;
    locale_t ours = uselocale(e->others);
    lua_pushvalue(L, 3);
    bool went = lua_pcall(L, 0, 2, 0) == LUA_OK;
    if (went && lua_type(L, -1) == LUA_TNUMBER) {
        lua_Number ms = 1000 * lua_tonumber(L, -1) + 1;
        e->idle_ms = ms < 1 ? 1 : ms > 60000 ? 60000 : (int)ms;
    }
    uselocale(ours);
    const char *text = lua_tostring(L, went ? -2 : -1);
    if (text) say_above(e, text);
    lua_settop(L, top);
}

/* Waits for a key: its character, 1; 0 at the end of input; -1 where a signal ends the line. */
static int next_key(EditLine *el, wchar_t *key) {
    struct editor *e = editor_of(el);
    mbstate_t state = { 0 };
    for (;;) {
        struct pollfd fds[] = { { .fd = e->signals, .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
        int ready = poll(fds, 2, e->idle_ms);
        if (ready < 0 && errno != EINTR) return -1;
        if (ready == 0) call_idler(e);
        if (ready <= 0) continue;
        if (fds[0].revents && !take_signal(e)) {
            errno = EINTR;
            return -1;
        }
        if (!fds[1].revents) continue;
        char byte;
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got == 0) return 0;
        if (got < 0 && errno != EINTR && errno != EAGAIN) return -1;
        size_t size = got < 0 ? (size_t)-2 : mbrtowc(key, &byte, 1, &state);
        if (size == (size_t)-1) state = (mbstate_t){ 0 };           /* no character: passed over */
        else if (size != (size_t)-2) return 1;
    }
}

/* The Tab key. The completer is given what stands before the cursor, and gives what to insert, or what to list. */
static unsigned char complete(EditLine *el, int key) {
    (void)key;
    struct editor *e = editor_of(el);
    lua_State *L = e->L;
    const LineInfo *line = el_line(el);
    int top = lua_gettop(L);
    unsigned char then = CC_REFRESH_BEEP;
    if (!lua_checkstack(L, 4)) return then;
    lua_getiuservalue(L, 1, 1);
    lua_pushlstring(L, line->buffer, (size_t)(line->cursor - line->buffer));
    if (lua_pcall(L, 1, 2, 0) == LUA_OK) {
        if (lua_type(L, -2) == LUA_TSTRING && el_insertstr(el, lua_tostring(L, -2)) == 0) then = CC_REFRESH;
        if (lua_type(L, -1) == LUA_TSTRING) {
            printf("\n%s\n", lua_tostring(L, -1));
            fflush(stdout);
            then = CC_REDISPLAY;
        }
    }
    lua_settop(L, top);
    return then;
}

/* A locale whose characters are the user's, or UTF-8's where he has none. */
static locale_t characters(void) {
    locale_t found = newlocale(LC_CTYPE_MASK, "", (locale_t)0), before = found ? uselocale(found) : (locale_t)0;
    bool narrow = !found || MB_CUR_MAX == 1;
    if (before) uselocale(before);
    locale_t wide = narrow ? newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0) : (locale_t)0;
    if (!wide) return found ? found : newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
    if (found) freelocale(found);
    return wide;
}

static void bind_keys(EditLine *el) {
    static const char *const keys[][2] = {
        { "^I", "orrery-complete" },    { "^R", "em-inc-search-prev" },  { "^W", "ed-delete-prev-word" },
        { "\\e[3~", "ed-delete-next-char" }, { "\\e[1~", "ed-move-to-beg" },  { "\\e[4~", "ed-move-to-end" },
        { "\\e[H", "ed-move-to-beg" },  { "\\e[F", "ed-move-to-end" },
        { "\\e[1;5C", "em-next-word" }, { "\\e[1;5D", "ed-prev-word" },
    };
    el_set(el, EL_EDITOR, "emacs");
    /* The narrow call copies both texts and never frees them. */
    el_wset(el, EL_ADDFN, L"orrery-complete", L"Completes the word before the cursor", complete);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
    el_source(el, NULL);            /* ~/.editrc has the last word */
}

static int editor_start(struct editor *e) {
    static const int watched[] = { SIGINT, SIGTSTP, SIGCONT, SIGWINCH, SIGTERM, SIGHUP, SIGQUIT };
    HistEvent event;
    sigemptyset(&e->watched);
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++) sigaddset(&e->watched, watched[i]);
    e->signals = signalfd(-1, &e->watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (e->signals < 0) return -errno;
    e->locale = characters();
    locale_t before = uselocale(e->locale);
    e->el = el_init("orrery", stdin, stdout, stderr);
    e->history = history_init();
    if (e->el && e->history) {
        history(e->history, &event, H_SETSIZE, HISTORY_LINES);
        history(e->history, &event, H_SETUNIQUE, 1);
        el_set(e->el, EL_CLIENTDATA, e);
        el_set(e->el, EL_SIGNAL, 0);
        el_set(e->el, EL_GETCFN, next_key);
        el_set(e->el, EL_PROMPT, prompt_of);
        el_set(e->el, EL_HIST, history, e->history);
        bind_keys(e->el);
    }
    uselocale(before);
    return e->el && e->history ? 0 : -ENOMEM;
}

static void editor_end(struct editor *e) {
    if (e->el) el_end(e->el);
    if (e->history) history_end(e->history);
    if (e->locale) freelocale(e->locale);
    if (e->signals >= 0) close(e->signals);
}

/* editor:read(prompt, idle = nil) -> line; nil, "end"; nil, "interrupt", whether the line was empty. idle() -> what is
 * to be told meanwhile, or nil; in how many seconds it is to be called again, or nil: not for this line */
static int editor_read(lua_State *L) {
    struct editor *e = check_editor(L);
    sigset_t before;
    int size = 0;
    lua_settop(L, 3);
    e->prompt = luaL_checkstring(L, 2);
    e->idle_ms = lua_isnil(L, 3) ? -1 : 1;
    e->L = L;
    e->interrupted = false;
    fflush(stdout);
    e->others = uselocale(e->locale);
    sigprocmask(SIG_BLOCK, &e->watched, &before);
    const char *line = el_gets(e->el, &size);
    sigprocmask(SIG_SETMASK, &before, NULL);
    uselocale(e->others);
    e->L = NULL;
    if (e->interrupted) {
        fputs("^C", stdout);                        /* the terminal says so only where it echoes */
        lua_pushnil(L);
        lua_pushliteral(L, "interrupt");
        lua_pushboolean(L, e->empty);
        return 3;
    }
    if (!line || size <= 0) {
        lua_pushnil(L);
        lua_pushliteral(L, "end");
        return 2;
    }
    lua_pushlstring(L, line, (size_t)size - (line[size - 1] == '\n'));
    return 1;
}

/* editor:remember(line): what the up key brings back. */
static int editor_remember(lua_State *L) {
    struct editor *e = check_editor(L);
    HistEvent event;
    const char *line = luaL_checkstring(L, 2);
    locale_t locale = uselocale(e->locale);
    history(e->history, &event, H_ENTER, line);
    uselocale(locale);
    return 0;
}
#else
static int editor_start(struct editor *e) {
    (void)e;
    return 0;
}

static void editor_end(struct editor *e) { (void)e; }

/* Calls the idler at 3, where there is one, until there is a line to read: what it says is told, then the prompt. */
static void idle(lua_State *L) {
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    int ms = lua_isnil(L, 3) ? -1 : 1;
    while (ms >= 0 && poll(&in, 1, ms) == 0) {
        ms = -1;
        lua_pushvalue(L, 3);
        bool went = lua_pcall(L, 0, 2, 0) == LUA_OK;
        if (went && lua_type(L, -1) == LUA_TNUMBER) ms = (int)(1000 * lua_tonumber(L, -1)) % 60000 + 1;
        const char *text = lua_tostring(L, went ? -2 : -1);
        if (text) printf("\n%s\n%s", text, lua_tostring(L, 2));
        fflush(stdout);
        lua_settop(L, 3);
    }
}

static int editor_read(lua_State *L) {
    check_editor(L);
    lua_settop(L, 3);
    fputs(luaL_checkstring(L, 2), stdout);
    fflush(stdout);
    interrupts = 0;
    idle(L);
    char *line = NULL;
    size_t room = 0;
    ssize_t size = getline(&line, &room, stdin);
    lua_settop(L, 0);
    if (size >= 0) lua_pushlstring(L, line, (size_t)size - (size > 0 && line[size - 1] == '\n'));
    free(line);
    if (size >= 0) return 1;
    lua_pushnil(L);
    lua_pushstring(L, interrupts ? "interrupt" : "end");
    lua_pushboolean(L, true);
    clearerr(stdin);
    interrupts = 0;
    return 3;
}

static int editor_remember(lua_State *L) {
    check_editor(L);
    luaL_checkstring(L, 2);
    return 0;
}
#endif

static int editor_close(lua_State *L) {
    struct editor *e = luaL_checkudata(L, 1, EDITOR);
    if (e->open) {
        editor_end(e);
        sigaction(SIGINT, &e->before, NULL);
    }
    e->open = false;
    return 0;
}

/* open(complete) -> editor, on stdin and stdout. complete(text before the cursor) -> what to insert, what to list. */
static int edit_open(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    struct editor *e = lua_newuserdatauv(L, sizeof *e, 1);
    memset(e, 0, sizeof *e);
    luaL_setmetatable(L, EDITOR);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    int rc = editor_start(e);
    if (rc < 0) {
        editor_end(e);
        return orrb_fail(L, rc, "the terminal");
    }
    struct sigaction ours = { .sa_handler = count_interrupt };      /* no SA_RESTART: a read ends, too */
    sigemptyset(&ours.sa_mask);
    sigaction(SIGINT, &ours, &e->before);
    e->open = true;
    return 1;
}

/* -- What Lua can't ask ------------------------------------------------------------------------------------------- */
static int edit_is_terminal(lua_State *L) {
    lua_pushboolean(L, isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
    return 1;
}

/* columns() -> of the terminal at stdout, or nil. */
static int edit_columns(lua_State *L) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0) return 0;
    lua_pushinteger(L, size.ws_col);
    return 1;
}

/* names(path) -> array of what is in a folder, folders with a slash at the end; nil where it can't be read. */
static int edit_names(lua_State *L) {
    DIR *folder = opendir(luaL_checkstring(L, 1));
    if (!folder) return 0;
    /* Lua may raise for want of memory; a descriptor left open is then the least of it. */
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct dirent *d = readdir(folder); d; d = readdir(folder)) {
        struct stat what;
        bool is_folder = fstatat(dirfd(folder), d->d_name, &what, 0) == 0 && S_ISDIR(what.st_mode);
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
        lua_pushfstring(L, "%s%s", d->d_name, is_folder ? "/" : "");
        lua_seti(L, -2, ++n);
    }
    closedir(folder);
    return 1;
}

/* append(path, text) -> true: to a file that is its owner's alone, made where there is none. */
static int edit_append(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    size_t size;
    const char *text = luaL_checklstring(L, 2, &size);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0) return orrb_fail(L, -errno, path);
    ssize_t put = write(fd, text, size);
    int rc = put < 0 ? -errno : (size_t)put < size ? -ENOSPC : 0;
    if (close(fd) < 0 && rc == 0) rc = -errno;
    if (rc < 0) return orrb_fail(L, rc, path);
    lua_pushboolean(L, true);
    return 1;
}

int orrb_open_edit(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "read", editor_read }, { "remember", editor_remember }, { "close", editor_close }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = {
        { "open", edit_open },       { "guard", edit_guard },
        { "pending", edit_pending }, { "is_terminal", edit_is_terminal },
        { "columns", edit_columns }, { "names", edit_names },
        { "append", edit_append },   { NULL, NULL },
    };
    luaL_newmetatable(L, EDITOR);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, editor_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, editor_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    lua_pushinteger(L, HISTORY_LINES);
    lua_setfield(L, -2, "lines");
    return 1;
}
