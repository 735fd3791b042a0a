/* orrb_pattern.c - core.pattern: find, match, gmatch, gsub with every step counted; rep and other functions over bytes.
 *
 * Lua's patterns to the letter (manual §6.4.1), with classes of the C locale. A matcher backtracks, so one call may
 * take time without end between two instructions; this one charges the budget as it goes. The matcher is recursive
 * where a choice has to be taken back, LEVELS_MAX deep as Lua's; everything else is a loop.                          */
#define _GNU_SOURCE
#include <string.h>

#include "orrb_environment.h"

enum { LEVELS_MAX = 200, CAPTURES_MAX = 32, CHARGED_AT = 500 };
enum { OPEN = -1, POSITION = -2 };

struct matcher {
    lua_State *L;
    struct orrb_environment *e;
    const char *subject, *subject_end, *pattern_end;
    int levels, steps;
    int n;                          /* captures */
    struct {
        const char *from;
        ptrdiff_t size;             /* or OPEN, or POSITION */
    } captures[CAPTURES_MAX];
};

static void tick(struct matcher *m) {
    if (++m->steps < CHARGED_AT) return;
    int steps = m->steps;
    m->steps = 0;
    orrb_charge(m->L, m->e, steps);
}

/* A long set takes its time, be it searched or only passed over. */
static void tick_set(struct matcher *m, const char *from, const char *to) {
    m->steps += (int)((to - from) / 8);
    tick(m);
}

/* -- One character ------------------------------------------------------------------------------------------------- */
static bool between(int c, int low, int high) { return c >= low && c <= high; }

static bool is_alpha(int c) { return between(c | 0x20, 'a', 'z'); }

static bool in_class(int c, int class) {
    bool in;
    switch (class | 0x20) {
    case 'a': in = is_alpha(c); break;
    case 'c': in = c < 32 || c == 127; break;
    case 'd': in = between(c, '0', '9'); break;
    case 'g': in = between(c, 33, 126); break;
    case 'l': in = between(c, 'a', 'z'); break;
    case 'p': in = between(c, 33, 126) && !is_alpha(c) && !between(c, '0', '9'); break;
    case 's': in = c == ' ' || between(c, '\t', '\r'); break;
    case 'u': in = between(c, 'A', 'Z'); break;
    case 'w': in = is_alpha(c) || between(c, '0', '9'); break;
    case 'x': in = between(c, '0', '9') || between(c | 0x20, 'a', 'f'); break;
    default: return class == c;
    }
    return between(class, 'A', 'Z') ? !in : in;
}

/* The end of the single-character item that begins at p. */
static const char *item_end(struct matcher *m, const char *p) {
    if (*p == '%') {
        if (p + 1 == m->pattern_end) luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p++ != '[') return p;
    if (p < m->pattern_end && *p == '^') p++;
    do {                            /* a ] that comes first is an ordinary one */
        if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%') p++;
        if (p > m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

/* Whether c is in the set from p, its '[', to `last`, its ']'. */
static bool in_set(int c, const char *p, const char *last) {
    bool sense = true;
    if (p[1] == '^') sense = false, p++;
    while (++p < last) {
        if (*p == '%') {
            if (in_class(c, (unsigned char)*++p)) return sense;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if (between(c, (unsigned char)p[-2], (unsigned char)*p)) return sense;
        } else if ((unsigned char)*p == c) {
            return sense;
        }
    }
    return !sense;
}

/* Whether the character at s is one of the item p..end. */
static bool single(struct matcher *m, const char *s, const char *p, const char *end) {
    tick(m);
    if (s >= m->subject_end) return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.': return true;
    case '%': return in_class(c, (unsigned char)p[1]);
    case '[':
        tick_set(m, p, end);
        return in_set(c, p, end - 1);
    default: return (unsigned char)*p == c;
    }
}

/* -- Matching: the end of what matched, or NULL -------------------------------------------------------------------- */
static const char *match(struct matcher *m, const char *s, const char *p);

static const char *match_balanced(struct matcher *m, const char *s, const char *p) {
    if (p + 1 >= m->pattern_end) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->subject_end || *s != p[0]) return NULL;
    for (int depth = 1; ++s < m->subject_end;) {
        tick(m);
        if (*s == p[1]) {
            if (--depth == 0) return s + 1;
        } else if (*s == p[0]) {
            depth++;
        }
    }
    return NULL;
}

static const char *match_longest(struct matcher *m, const char *s, const char *p, const char *end) {
    ptrdiff_t n = 0;
    while (single(m, s + n, p, end)) n++;
    for (; n >= 0; n--) {
        const char *rest = match(m, s + n, end + 1);
        if (rest) return rest;
    }
    return NULL;
}

static const char *match_shortest(struct matcher *m, const char *s, const char *p, const char *end) {
    for (;; s++) {
        const char *rest = match(m, s, end + 1);
        if (rest) return rest;
        if (!single(m, s, p, end)) return NULL;
    }
}

static const char *match_capture(struct matcher *m, const char *s, const char *p, ptrdiff_t size) {
    if (m->n >= CAPTURES_MAX) luaL_error(m->L, "too many captures");
    m->captures[m->n].from = s;
    m->captures[m->n++].size = size;
    const char *rest = match(m, s, p);
    if (!rest) m->n--;
    return rest;
}

static const char *match_capture_end(struct matcher *m, const char *s, const char *p) {
    int i = m->n - 1;
    while (i >= 0 && m->captures[i].size != OPEN) i--;
    if (i < 0) luaL_error(m->L, "invalid pattern capture");
    m->captures[i].size = s - m->captures[i].from;
    const char *rest = match(m, s, p);
    if (!rest) m->captures[i].size = OPEN;
    return rest;
}

static const char *match_back(struct matcher *m, const char *s, char digit) {
    int i = digit - '1';
    if (i < 0 || i >= m->n || m->captures[i].size == OPEN)
        luaL_error(m->L, "invalid capture index %%%d", i + 1);
    size_t size = (size_t)m->captures[i].size;
    if ((size_t)(m->subject_end - s) < size) return NULL;
    orrb_charge_bytes(m->L, m->e, size);
    return memcmp(m->captures[i].from, s, size) == 0 ? s + size : NULL;
}

/* Whether a set, from its '[' at p to its end, begins to hold at s. */
static bool is_frontier(struct matcher *m, const char *s, const char *p, const char *end) {
    int before = s == m->subject ? 0 : (unsigned char)s[-1], here = s == m->subject_end ? 0 : (unsigned char)*s;
    return !in_set(before, p, end - 1) && in_set(here, p, end - 1);
}

static const char *match_from(struct matcher *m, const char *s, const char *p) {
    while (p < m->pattern_end) {
        tick(m);
        if (*p == '(') {
            bool position = p + 1 < m->pattern_end && p[1] == ')';
            return position ? match_capture(m, s, p + 2, POSITION) : match_capture(m, s, p + 1, OPEN);
        }
        if (*p == ')') return match_capture_end(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end) return s == m->subject_end ? s : NULL;
        char escaped = *p == '%' && p + 1 < m->pattern_end ? p[1] : 0;
        if (escaped == 'b') {
            s = match_balanced(m, s, p + 2);
            if (!s) return NULL;
            p += 4;
            continue;
        }
        if (escaped == 'f') {
            p += 2;
            if (p == m->pattern_end || *p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
            const char *end = item_end(m, p);
            tick_set(m, p, end);
            if (!is_frontier(m, s, p, end)) return NULL;
            p = end;
            continue;
        }
        if (between(escaped, '0', '9')) {
            s = match_back(m, s, escaped);
            if (!s) return NULL;
            p += 2;
            continue;
        }
        const char *end = item_end(m, p), *rest;
        tick_set(m, p, end);
        switch (end < m->pattern_end ? *end : 0) {
        case '?':
            if (single(m, s, p, end) && (rest = match(m, s + 1, end + 1))) return rest;
            p = end + 1;
            continue;
        case '*': return match_longest(m, s, p, end);
        case '+': return single(m, s, p, end) ? match_longest(m, s + 1, p, end) : NULL;
        case '-': return match_shortest(m, s, p, end);
        default: break;
        }
        if (!single(m, s, p, end)) return NULL;
        s++;
        p = end;
    }
    return s;
}

static const char *match(struct matcher *m, const char *s, const char *p) {
    if (m->levels-- == 0) luaL_error(m->L, "pattern too complex");
    const char *end = match_from(m, s, p);
    m->levels++;
    return end;
}

/* -- Captures ------------------------------------------------------------------------------------------------------ */
static void begin(struct matcher *m, lua_State *L, const char *subject, size_t size, const char *pattern_end) {
    m->L = L;
    m->e = orrb_self(L);
    m->subject = subject;
    m->subject_end = subject + size;
    m->pattern_end = pattern_end;
    m->steps = 0;
}

static const char *try(struct matcher *m, const char *s, const char *p) {
    m->levels = LEVELS_MAX;
    m->n = 0;
    return match(m, s, p);
}

/* Pushes capture i; without any, capture 0 is the whole match from s to end. */
static void push_capture(struct matcher *m, int i, const char *s, const char *end) {
    if (i >= m->n) {
        if (i != 0) luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, s, (size_t)(end - s));
    } else if (m->captures[i].size == POSITION) {
        lua_pushinteger(m->L, m->captures[i].from - m->subject + 1);
    } else if (m->captures[i].size == OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->captures[i].from, (size_t)m->captures[i].size);
    }
}

static int push_captures(struct matcher *m, const char *s, const char *end) {
    int n = m->n == 0 && s ? 1 : m->n;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) push_capture(m, i, s, end);
    return n;
}

/* Settles what has not been charged yet: at least one step a call. */
static void settle(struct matcher *m) { orrb_charge(m->L, m->e, m->steps + 1); }

/* -- find, match --------------------------------------------------------------------------------------------------- */
/* Where to begin, counted from 0, of an argument that counts from 1, or from the end below 0. */
static size_t start_of(lua_State *L, int arg, size_t size) {
    lua_Integer at = luaL_optinteger(L, arg, 1);
    if (at > 0) return (size_t)at - 1;
    if (at == 0 || at < -(lua_Integer)size) return 0;
    return size - (size_t)-at;
}

static int find_plain(lua_State *L, const char *subject, size_t size, size_t from, const char *what, size_t what_size) {
    const char *at = what_size ? memmem(subject + from, size - from, what, what_size) : subject + from;
    orrb_charge_bytes(L, orrb_self(L), (at ? (size_t)(at - subject) : size) - from);
    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - subject + 1);
    lua_pushinteger(L, at - subject + (lua_Integer)what_size);
    return 2;
}

static bool is_plain(const char *pattern, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (pattern[i] && strchr("^$*+?.([%-", pattern[i])) return false;
    return true;
}

static int search(lua_State *L, bool find) {
    size_t size, pattern_size;
    const char *subject = luaL_checklstring(L, 1, &size), *pattern = luaL_checklstring(L, 2, &pattern_size);
    size_t from = start_of(L, 3, size);
    if (from > size) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || is_plain(pattern, pattern_size)))
        return find_plain(L, subject, size, from, pattern, pattern_size);
    struct matcher m;
    begin(&m, L, subject, size, pattern + pattern_size);
    bool anchored = *pattern == '^';
    for (const char *s = subject + from; s <= m.subject_end; s++) {
        const char *rest = try(&m, s, pattern + anchored);
        if (rest) {
            settle(&m);
            if (!find) return push_captures(&m, s, rest);
            lua_pushinteger(L, s - subject + 1);
            lua_pushinteger(L, rest - subject);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (anchored) break;
    }
    settle(&m);
    lua_pushnil(L);
    return 1;
}

static int pattern_find(lua_State *L) { return search(L, true); }
static int pattern_match(lua_State *L) { return search(L, false); }

/* -- gmatch: upvalues environment, subject, pattern, where to go on, where the last match ended -------------------- */
static int gmatch_next(lua_State *L) {
    size_t size, pattern_size;
    const char *subject = lua_tolstring(L, lua_upvalueindex(2), &size);
    const char *pattern = lua_tolstring(L, lua_upvalueindex(3), &pattern_size);
    const char *last = subject + lua_tointeger(L, lua_upvalueindex(5));
    struct matcher m;
    begin(&m, L, subject, size, pattern + pattern_size);
    for (const char *s = subject + lua_tointeger(L, lua_upvalueindex(4)); s <= m.subject_end; s++) {
        const char *rest = try(&m, s, pattern);
        if (!rest || rest == last) continue;
        settle(&m);
        lua_pushinteger(L, rest - subject);
        lua_copy(L, -1, lua_upvalueindex(4));
        lua_replace(L, lua_upvalueindex(5));
        return push_captures(&m, s, rest);
    }
    settle(&m);
    lua_pushinteger(L, (lua_Integer)size + 1);
    lua_replace(L, lua_upvalueindex(4));
    return 0;
}

static int pattern_gmatch(lua_State *L) {
    size_t size;
    luaL_checklstring(L, 1, &size);
    luaL_checkstring(L, 2);
    size_t from = start_of(L, 3, size);
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushinteger(L, (lua_Integer)(from > size ? size + 1 : from));
    lua_pushinteger(L, -1);         /* no match yet */
    lua_pushcclosure(L, gmatch_next, 5);
    return 1;
}

/* -- gsub ---------------------------------------------------------------------------------------------------------- */
static void add_template(struct matcher *m, luaL_Buffer *b, const char *s, const char *end) {
    lua_State *L = m->L;
    size_t size;
    const char *text = lua_tolstring(L, 3, &size), *stop = text + size, *percent;
    orrb_charge_bytes(L, m->e, size);
    while ((percent = memchr(text, '%', (size_t)(stop - text)))) {
        luaL_addlstring(b, text, (size_t)(percent - text));
        char c = percent + 1 < stop ? percent[1] : 0;
        text = percent + 2;
        if (c == '%') {
            luaL_addchar(b, '%');
        } else if (c == '0') {
            luaL_addlstring(b, s, (size_t)(end - s));
        } else if (between(c, '1', '9')) {
            push_capture(m, c - '1', s, end);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
    luaL_addlstring(b, text, (size_t)(stop - text));
}

/* Adds what comes in the place of the match s..end; whether that is something else. */
static bool add_replacement(struct matcher *m, luaL_Buffer *b, const char *s, const char *end, int kind) {
    lua_State *L = m->L;
    if (kind == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, end), 1);
    } else if (kind == LUA_TTABLE) {
        push_capture(m, 0, s, end);
        lua_gettable(L, 3);
    } else {
        add_template(m, b, s, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(end - s));
        return false;
    }
    if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
    return true;
}

static int pattern_gsub(lua_State *L) {
    size_t size, pattern_size;
    const char *subject = luaL_checklstring(L, 1, &size), *s = subject, *last = NULL;
    const char *pattern = luaL_checklstring(L, 2, &pattern_size);
    int kind = lua_type(L, 3);
    lua_Integer n_max = luaL_optinteger(L, 4, (lua_Integer)size + 1), n = 0;
    luaL_argexpected(L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION || kind == LUA_TTABLE, 3,
                     "string/function/table");
    struct matcher m;
    luaL_Buffer b;
    bool anchored = *pattern == '^', changed = false;
    begin(&m, L, subject, size, pattern + pattern_size);
    luaL_buffinit(L, &b);
    while (n < n_max) {
        const char *rest = try(&m, s, pattern + anchored);
        if (rest && rest != last) {
            n++;
            changed = add_replacement(&m, &b, s, rest, kind) || changed;
            s = last = rest;
        } else if (s < m.subject_end) {
            luaL_addchar(&b, *s++);
        } else {
            break;
        }
        if (anchored) break;
    }
    if (!changed) {
        lua_pushvalue(L, 1);
    } else {
        luaL_addlstring(&b, s, (size_t)(m.subject_end - s));
        luaL_pushresult(&b);
    }
    settle(&m);
    orrb_charge_bytes(L, m.e, size + lua_rawlen(L, -1));
    lua_pushinteger(L, n);
    return 2;
}

/* -- Bytes --------------------------------------------------------------------------------------------------------- */
static int pattern_rep(lua_State *L) {
    size_t size, between_size;
    const char *text = luaL_checklstring(L, 1, &size);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &between_size);
    if (n <= 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    size_t most = (size_t)LUA_MAXINTEGER / (size_t)n;
    if (size > most || between_size > most - size) return luaL_error(L, "resulting string too large");
    size_t total = (size_t)n * size + (size_t)(n - 1) * between_size;
    if (total == 0) n = 1;          /* nothing, however often */
    orrb_charge_bytes(L, orrb_self(L), total);
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, total);
    for (char *at = to; n-- > 0;) {
        memcpy(at, text, size);
        at += size;
        if (n > 0) memcpy(at, separator, between_size), at += between_size;
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

static int change_case(lua_State *L, char from, char to) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    luaL_Buffer b;
    orrb_charge_bytes(L, orrb_self(L), size);
    char *out = luaL_buffinitsize(L, &b, size);
    for (size_t i = 0; i < size; i++) out[i] = (char)(between(text[i], from, to) ? text[i] ^ 0x20 : text[i]);
    luaL_pushresultsize(&b, size);
    return 1;
}

static int pattern_lower(lua_State *L) { return change_case(L, 'A', 'Z'); }
static int pattern_upper(lua_State *L) { return change_case(L, 'a', 'z'); }

int orrb_open_pattern(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "find", pattern_find }, { "match", pattern_match }, { "gmatch", pattern_gmatch }, { "gsub", pattern_gsub },
        { "rep", pattern_rep },   { "lower", pattern_lower }, { "upper", pattern_upper },   { NULL, NULL },
    };
    orrb_environment_functions(L, functions);
    return 1;
}
