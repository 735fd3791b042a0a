/* strings.c - commands on values whose arguments need reading: options, numbers, times;
 * with Redis 7.0's order of checks and texts. */
#include <string.h>

#include "node/kv/kv.h"
#include "node/resp/kv.h"

/* Milliseconds that log time will never reach: a relative time below can be added to it. */
#define MS_MAX (INT64_MAX - (INT64_C(1) << 53))

static void bad_time(struct orri_resp_conn *c, const char *command) {
    orri_resp_say_error(c, "ERR invalid expire time in '%s' command", command);
}

/* -- SET, GETEX: options ------------------------------------------------------------------------------------------- */

struct options {
    unsigned flags;                 /* ORR_KV_... ; SECONDS: the time is in seconds */
    size_t time, equal;             /* which argument, 0: none */
    bool persist;
};
enum { OF_SET, OF_GETEX };

static bool set_flag(struct options *o, unsigned flag, bool allowed) {
    if (allowed) o->flags |= flag;
    return allowed;
}

/* EX, PX, EXAT, PXAT at argument *i: the time is the next. They exclude each other, but the same one may come again. */
static bool take_time(struct orri_resp_conn *c, struct options *o, size_t *i) {
    static const struct {
        const char *word;
        unsigned flags;
    } kinds[] = { { "ex", ORR_KV_RELATIVE | ORR_KV_SECONDS }, { "px", ORR_KV_RELATIVE }, { "exat", ORR_KV_SECONDS },
                { "pxat", 0 } };
    for (size_t k = 0; k < 4; k++) {
        if (!orri_resp_is(orri_resp_at(c, *i), kinds[k].word)) continue;
        unsigned flags = ORR_KV_TIMED | kinds[k].flags,
                 had = o->flags & (ORR_KV_TIMED | ORR_KV_RELATIVE | ORR_KV_SECONDS);
        if (*i + 1 >= orri_resp_n(c) || o->persist || (o->flags & ORR_KV_KEEPTTL) || (had && had != flags))
            return false;
        o->flags |= flags;
        o->time = ++*i;
        return true;
    }
    return false;
}

static bool take_option(struct orri_resp_conn *c, struct options *o, int of, size_t *i) {
    struct orr_slice word = orri_resp_at(c, *i);
    unsigned conditions = ORR_KV_NX | ORR_KV_XX | ORR_KV_IFEQ, had = o->flags & conditions;
    bool timed = o->flags & ORR_KV_TIMED;
    if (of == OF_GETEX && orri_resp_is(word, "persist")) return !timed && (o->persist = true);
    if (of == OF_GETEX) return take_time(c, o, i);
    if (orri_resp_is(word, "nx")) return set_flag(o, ORR_KV_NX, (had & ~(unsigned)ORR_KV_NX) == 0);
    if (orri_resp_is(word, "xx")) return set_flag(o, ORR_KV_XX, (had & ~(unsigned)ORR_KV_XX) == 0);
    if (orri_resp_is(word, "get")) return set_flag(o, ORR_KV_WITH_GET, true);
    if (orri_resp_is(word, "keepttl")) return set_flag(o, ORR_KV_KEEPTTL, !timed);
    if (!orri_resp_is(word, "ifeq")) return take_time(c, o, i);
    o->equal = ++*i;
    return set_flag(o, ORR_KV_IFEQ, had == 0 && *i < orri_resp_n(c));
}

static bool take_options(struct orri_resp_conn *c, struct options *o, int of, size_t from) {
    for (size_t i = from; i < orri_resp_n(c); i++) {
        if (take_option(c, o, of, &i)) continue;
        orri_resp_syntax(c);
        return false;
    }
    return true;
}

/* The time in argument i, in milliseconds, or Redis's error. */
static bool read_time(struct orri_resp_conn *c, size_t i, unsigned flags, const char *command, int64_t *out) {
    if (!orri_resp_take_int(c, i, out)) return false;
    bool seconds = flags & ORR_KV_SECONDS;
    if (*out > 0 && !(seconds && *out > INT64_MAX / 1000)) {
        if (seconds) *out *= 1000;
        if (!(flags & ORR_KV_RELATIVE) || *out <= MS_MAX) return true;
    }
    bad_time(c, command);
    return false;
}

void orri_resp_set(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct options o = { 0 };
    struct orr_kv_call call = { .code = cmd->code };
    if (orri_resp_n(c) > 3) {
        if (!take_options(c, &o, OF_SET, 3)) return;
        if (o.time && !read_time(c, o.time, o.flags, "set", &call.a)) return;
    }
    call.flags = o.flags & ~(unsigned)ORR_KV_SECONDS;
    if (!o.equal) {
        orri_resp_send(c, &call, 1, 2);
        return;
    }
    struct orr_slice args[3] = { orri_resp_at(c, 1), orri_resp_at(c, 2), orri_resp_at(c, o.equal) };
    call.args = args;
    call.n_args = 3;
    orri_resp_send_args(c, &call);
}

void orri_resp_setex(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_kv_call call = { .code = cmd->code, .flags = ORR_KV_TIMED | ORR_KV_RELATIVE };
    if (!read_time(c, 2, call.flags | cmd->op_flags, cmd->face.name, &call.a)) return;
    struct orr_slice args[2] = { orri_resp_at(c, 1), orri_resp_at(c, 3) };
    call.args = args;
    call.n_args = 2;
    orri_resp_send_args(c, &call);
}

/* Without options it changes nothing: a GET. */
void orri_resp_getex(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct options o = { 0 };
    struct orr_kv_call call = { .code = ORR_KV_GET };
    if (!take_options(c, &o, OF_GETEX, 2)) return;
    if (o.time && !read_time(c, o.time, o.flags, "getex", &call.a)) return;
    if (o.time) {
        call.code = cmd->code;
        call.flags = o.flags & ~(unsigned)ORR_KV_SECONDS;
    } else if (o.persist) {
        call.code = ORR_KV_PERSIST;
        call.flags = ORR_KV_WITH_GET;
    }
    orri_resp_send(c, &call, 1, 1);
}

/* -- The others ---------------------------------------------------------------------------------------------------- */

void orri_resp_mset(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    if (orri_resp_n(c) % 2 == 0) orri_resp_wrong_arity(c, cmd->face.name);
    else orri_resp_plain(c, cmd);
}

void orri_resp_incrby(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_kv_call call = { .code = cmd->code };
    if (!orri_resp_take_int(c, 2, &call.a)) return;
    if (cmd->a < 0 && call.a == INT64_MIN) {
        orri_resp_say_error(c, "ERR decrement would overflow");
        return;
    }
    call.a *= cmd->a;
    orri_resp_send(c, &call, 1, 1);
}

void orri_resp_getrange(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_kv_call call = { .code = cmd->code };
    if (!orri_resp_take_int(c, 2, &call.a) || !orri_resp_take_int(c, 3, &call.b)) return;
    orri_resp_send(c, &call, 1, 1);
}

void orri_resp_setrange(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_kv_call call = { .code = cmd->code };
    if (!orri_resp_take_int(c, 2, &call.a)) return;
    if (call.a < 0) {
        orri_resp_say_error(c, "ERR offset is out of range");
        return;
    }
    struct orr_slice args[2] = { orri_resp_at(c, 1), orri_resp_at(c, 3) };
    call.args = args;
    call.n_args = 2;
    orri_resp_send_args(c, &call);
}

/* -- EXPIRE and its kind ------------------------------------------------------------------------------------------- */

static bool take_conditions(struct orri_resp_conn *c, unsigned *flags) {
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = { { "nx", ORR_KV_NX }, { "xx", ORR_KV_XX }, { "gt", ORR_KV_GT }, { "lt", ORR_KV_LT } };
    for (size_t i = 3; i < orri_resp_n(c); i++) {
        struct orr_slice arg = orri_resp_at(c, i);
        size_t k = 0;
        while (k < 4 && !orri_resp_is(arg, words[k].word)) k++;
        if (k == 4) {
            orri_resp_say_error(c, "ERR Unsupported option %.*s", (int)(arg.size < 256 ? arg.size : 256),
                                (const char *)arg.at);
            return false;
        }
        *flags |= words[k].flag;
    }
    if ((*flags & ORR_KV_NX) && (*flags & (ORR_KV_XX | ORR_KV_GT | ORR_KV_LT))) {
        orri_resp_say_error(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (!(*flags & ORR_KV_GT) || !(*flags & ORR_KV_LT)) return true;
    orri_resp_say_error(c, "ERR GT and LT options at the same time are not compatible");
    return false;
}

/* Times may be past or negative: the key goes at once. */
void orri_resp_expire(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_kv_call call = { .code = cmd->code, .flags = ORR_KV_TIMED | (cmd->op_flags & ORR_KV_RELATIVE) };
    if (!take_conditions(c, &call.flags) || !orri_resp_take_int(c, 2, &call.a)) return;
    if (cmd->op_flags & ORR_KV_SECONDS) {
        if (call.a > INT64_MAX / 1000 || call.a < INT64_MIN / 1000) {
            bad_time(c, cmd->face.name);
            return;
        }
        call.a *= 1000;
    }
    if ((call.flags & ORR_KV_RELATIVE) && call.a > MS_MAX) bad_time(c, cmd->face.name);
    else orri_resp_send(c, &call, 1, 1);
}

/* -- SCAN, FLUSHALL ------------------------------------------------------------------------------------------------ */

/* A cursor as strtoul reads it, but for signs and blanks. */
static bool read_cursor(struct orr_slice arg, uint64_t *out) {
    uint64_t v = 0;
    for (size_t i = 0; i < arg.size; i++) {
        unsigned digit = (unsigned)arg.at[i] - '0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *out = v;
    return arg.size > 0;
}

void orri_resp_scan(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_kv_call call = { .code = cmd->code };
    struct orr_slice pattern;
    uint64_t cursor;
    if (!read_cursor(orri_resp_at(c, 1), &cursor)) {
        orri_resp_say_error(c, "ERR invalid cursor");
        return;
    }
    call.a = cursor > INT64_MAX ? 0 : (int64_t)cursor;
    for (size_t i = 2; i < orri_resp_n(c); i += 2) {
        struct orr_slice word = orri_resp_at(c, i);
        bool known = i + 1 < orri_resp_n(c);
        if (known && orri_resp_is(word, "count")) {
            if (!orri_resp_take_int(c, i + 1, &call.b)) return;
            known = call.b >= 1;
        } else if (known && orri_resp_is(word, "match")) {
            pattern = orri_resp_at(c, i + 1);
            call.args = &pattern;
            call.n_args = 1;
        } else if (known && orri_resp_is(word, "type")) {
            call.flags = orri_resp_is(orri_resp_at(c, i + 1), "string") ? 0 : ORR_KV_NONE;
        } else known = false;
        if (known) continue;
        orri_resp_syntax(c);
        return;
    }
    orri_resp_send_args(c, &call);
}

void orri_resp_flush(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_kv_call call = { .code = cmd->code };
    bool option =
        orri_resp_n(c) == 2 && (orri_resp_is(orri_resp_at(c, 1), "async") || orri_resp_is(orri_resp_at(c, 1), "sync"));
    if (orri_resp_n(c) == 1 || option) orri_resp_send(c, &call, 1, 0);
    else orri_resp_syntax(c);
}
