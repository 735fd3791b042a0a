/* commands.c - the table of commands, how one is found, checked and sent on; Redis 7.0's texts for what isn't one.
 *
 * Most commands are a code of the machine with flags and their arguments as they came:
 * orri_resp_plain, nothing more. */
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "node/kv/kv.h"
#include "node/resp/resp.h"

const char orri_resp_not_integer[] = "ERR value is not an integer or out of range";

#define W ORRI_RESP_IS_WRITE
#define R ORRI_RESP_IS_READ
#define F ORRI_RESP_FAST
#define K ORRI_RESP_KEY
#define KS ORRI_RESP_KEYS
#define KP ORRI_RESP_PAIRS
#define PLAIN orri_resp_plain

/* Sorted by name: a test sees to it. */
static const struct orri_resp_command table[] = {
    { "append", 3, W | F | K, PLAIN, ORR_KV_APPEND, 0, 0 },
    { "client", -2, 0, orri_resp_client, 0, 0, 0 },
    { "command", -1, 0, orri_resp_command, 0, 0, 0 },
    { "config", -2, 0, orri_resp_config, 0, 0, 0 },
    { "dbsize", 1, R | F, PLAIN, ORR_KV_DBSIZE, 0, 0 },
    { "decr", 2, W | F | K, PLAIN, ORR_KV_ADD, 0, -1 },
    { "decrby", 3, W | F | K, orri_resp_incrby, ORR_KV_ADD, 0, -1 },
    { "del", -2, W | KS, PLAIN, ORR_KV_DEL, 0, 0 },
    { "echo", 2, F, orri_resp_echo, 0, 0, 0 },
    { "exists", -2, R | F | KS, PLAIN, ORR_KV_COUNT, 0, 0 },
    { "expire", -3, W | F | K, orri_resp_expire, ORR_KV_EXPIRE, ORR_KV_RELATIVE | ORR_KV_SECONDS, 0 },
    { "expireat", -3, W | F | K, orri_resp_expire, ORR_KV_EXPIRE, ORR_KV_SECONDS, 0 },
    { "expiretime", 2, R | F | K, PLAIN, ORR_KV_TTL, ORR_KV_SECONDS, 0 },
    { "flushall", -1, W, orri_resp_flush, ORR_KV_FLUSH, 0, 0 },
    { "flushdb", -1, W, orri_resp_flush, ORR_KV_FLUSH, 0, 0 },
    { "get", 2, R | F | K, PLAIN, ORR_KV_GET, 0, 0 },
    { "getdel", 2, W | F | K, PLAIN, ORR_KV_DEL, ORR_KV_WITH_GET, 0 },
    { "getex", -2, W | F | K, orri_resp_getex, ORR_KV_GET_EXPIRE, 0, 0 },
    { "getrange", 4, R | K, orri_resp_getrange, ORR_KV_RANGE, 0, 0 },
    { "getset", 3, W | F | K, PLAIN, ORR_KV_SET, ORR_KV_WITH_GET, 0 },
    { "hello", -1, F, orri_resp_hello, 0, 0, 0 },
    { "incr", 2, W | F | K, PLAIN, ORR_KV_ADD, 0, 1 },
    { "incrby", 3, W | F | K, orri_resp_incrby, ORR_KV_ADD, 0, 1 },
    { "incrbyfloat", 3, W | F | K, PLAIN, ORR_KV_ADD_FLOAT, 0, 0 },
    { "info", -1, 0, orri_resp_info, 0, 0, 0 },
    { "keys", 2, R, orri_resp_keys, ORR_KV_SCAN, 0, 0 },
    { "mget", -2, R | F | KS, PLAIN, ORR_KV_MGET, 0, 0 },
    { "mset", -3, W | KP, orri_resp_mset, ORR_KV_MSET, 0, 0 },
    { "msetnx", -3, W | KP, orri_resp_mset, ORR_KV_MSET, ORR_KV_NX | ORR_KV_INTEGER, 0 },
    { "persist", 2, W | F | K, PLAIN, ORR_KV_PERSIST, 0, 0 },
    { "pexpire", -3, W | F | K, orri_resp_expire, ORR_KV_EXPIRE, ORR_KV_RELATIVE, 0 },
    { "pexpireat", -3, W | F | K, orri_resp_expire, ORR_KV_EXPIRE, 0, 0 },
    { "pexpiretime", 2, R | F | K, PLAIN, ORR_KV_TTL, 0, 0 },
    { "ping", -1, F, orri_resp_ping, 0, 0, 0 },
    { "psetex", 4, W | K, orri_resp_setex, ORR_KV_SET, 0, 0 },
    { "pttl", 2, R | F | K, PLAIN, ORR_KV_TTL, ORR_KV_RELATIVE, 0 },
    { "quit", -1, F, orri_resp_quit, 0, 0, 0 },
    { "randomkey", 1, R, PLAIN, ORR_KV_RANDOM, 0, 0 },
    { "rename", 3, W | KS, PLAIN, ORR_KV_RENAME, 0, 0 },
    { "renamenx", 3, W | F | KS, PLAIN, ORR_KV_RENAME, ORR_KV_NX, 0 },
    { "scan", -2, R, orri_resp_scan, ORR_KV_SCAN, 0, 0 },
    { "select", 2, F, orri_resp_select, 0, 0, 0 },
    { "set", -3, W | K, orri_resp_set, ORR_KV_SET, 0, 0 },
    { "setex", 4, W | K, orri_resp_setex, ORR_KV_SET, ORR_KV_SECONDS, 0 },
    { "setnx", 3, W | F | K, PLAIN, ORR_KV_SET, ORR_KV_NX | ORR_KV_INTEGER, 0 },
    { "setrange", 4, W | K, orri_resp_setrange, ORR_KV_SETRANGE, 0, 0 },
    { "strlen", 2, R | F | K, PLAIN, ORR_KV_SIZE, 0, 0 },
    { "substr", 4, R | K, orri_resp_getrange, ORR_KV_RANGE, 0, 0 },
    { "touch", -2, R | F | KS, PLAIN, ORR_KV_COUNT, 0, 0 },
    { "ttl", 2, R | F | K, PLAIN, ORR_KV_TTL, ORR_KV_RELATIVE | ORR_KV_SECONDS, 0 },
    { "type", 2, R | F | K, PLAIN, ORR_KV_TYPE, 0, 0 },
    { "unlink", -2, W | F | KS, PLAIN, ORR_KV_DEL, 0, 0 },
};
enum { N_COMMANDS = sizeof table / sizeof *table, NAME_MAX = 16 };

const struct orri_resp_command *orri_resp_commands(size_t *n) {
    *n = N_COMMANDS;
    return table;
}

static unsigned char lower(unsigned char c) { return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c; }

bool orri_resp_is(struct orr_slice arg, const char *word) {
    for (size_t i = 0; i < arg.size; i++) {
        if (word[i] == 0 || lower(arg.at[i]) != (unsigned char)word[i]) return false;
    }
    return word[arg.size] == 0;
}

const struct orri_resp_command *orri_resp_find(struct orr_slice name) {
    char folded[NAME_MAX];
    if (name.size == 0 || name.size >= NAME_MAX) return NULL;
    for (size_t i = 0; i < name.size; i++) folded[i] = (char)lower(name.at[i]);
    folded[name.size] = 0;
    size_t from = 0, to = N_COMMANDS;
    while (from < to) {
        size_t mid = (from + to) / 2;
        int order = strcmp(folded, table[mid].name);
        if (order == 0) return memchr(folded, 0, name.size) ? NULL : &table[mid];
        if (order < 0) to = mid;
        else from = mid + 1;
    }
    return NULL;
}

/* -- What isn't a command ------------------------------------------------------------------------------------------ */

/* Up to a NUL, as printf would show it. */
static int shown(struct orr_slice arg, size_t max) {
    const unsigned char *nul = memchr(arg.at, 0, arg.size);
    size_t size = nul ? (size_t)(nul - arg.at) : arg.size;
    return (int)(size < max ? size : max);
}

static void unknown(struct orri_resp_conn *c) {
    enum { SHOWN = 128 };
    char args[2 * SHOWN];
    size_t size = 0;
    for (size_t i = 1; i < orri_resp_n(c) && size < SHOWN; i++) {
        struct orr_slice arg = orri_resp_at(c, i);
        size_t n = (size_t)shown(arg, SHOWN - size);
        args[size++] = '\'';
        memcpy(args + size, arg.at, n);
        size += n;
        args[size++] = '\'';
        args[size++] = ' ';
    }
    struct orr_slice name = orri_resp_at(c, 0);
    orri_resp_say_error(c, "ERR unknown command '%.*s', with args beginning with: %.*s", shown(name, SHOWN),
                        (const char *)name.at, (int)size, args);
}

void orri_resp_syntax(struct orri_resp_conn *c) { orri_resp_say_error(c, "ERR syntax error"); }

void orri_resp_wrong_arity(struct orri_resp_conn *c, const char *name) {
    orri_resp_say_error(c, "ERR wrong number of arguments for '%s' command", name);
}

/* A browser that was lured into talking to us says one of these first: no word to it. */
static bool is_http(const struct orri_resp_conn *c) {
    struct orr_slice name = orri_resp_at(c, 0);
    return orri_resp_is(name, "post") || orri_resp_is(name, "host:");
}

static bool keys_fit(const struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    if (c->parser.at <= ORR_KV_KEY_MAX || !(cmd->flags & (ORRI_RESP_KEY | ORRI_RESP_KEYS | ORRI_RESP_PAIRS)))
        return true;
    size_t step = cmd->flags & ORRI_RESP_KEY ? orri_resp_n(c) : cmd->flags & ORRI_RESP_PAIRS ? 2 : 1;
    for (size_t i = 1; i < orri_resp_n(c); i += step) {
        if (orri_resp_at(c, i).size > ORR_KV_KEY_MAX) return false;
    }
    return true;
}

/* One op is applied in one go; a client that wants more sends several commands, which turns can come between. */
static bool too_many_keys(const struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    size_t n = orri_resp_n(c) - 1;
    if (!(cmd->flags & (ORRI_RESP_KEYS | ORRI_RESP_PAIRS))) return false;
    return (cmd->flags & ORRI_RESP_PAIRS ? n / 2 : n) > ORR_KV_KEYS_MAX;
}

void orri_resp_dispatch(struct orri_resp_conn *c) {
    const struct orri_resp_command *cmd = orri_resp_find(orri_resp_at(c, 0));
    c->n_commands++;
    c->skip = c->skip_next;
    c->skip_next = false;
    if (!cmd) {
        if (is_http(c)) orri_resp_give_up(c);
        else unknown(c);
        return;
    }
    int n = (int)orri_resp_n(c);
    if (cmd->arity > 0 ? n != cmd->arity : n < -cmd->arity) orri_resp_wrong_arity(c, cmd->name);
    else if (too_many_keys(c, cmd))
        orri_resp_say_error(c, "ERR too many keys in one command (limit %d)", ORR_KV_KEYS_MAX);
    else if (!keys_fit(c, cmd)) orri_resp_say_error(c, "ERR a key may have at most %d bytes", ORR_KV_KEY_MAX);
    else cmd->fn(c, cmd);
}

/* -- To the group -------------------------------------------------------------------------------------------------- */

struct seed_sink {
    struct orr_sink face;
    unsigned char bytes[16];
    size_t size;
};
static void no_nil(struct orr_sink *s) { (void)s; }
static void no_integer(struct orr_sink *s, int64_t v) { (void)s, (void)v; }
static void seed_text(struct orr_sink *s, const void *at, size_t size) {
    struct seed_sink *seed = (struct seed_sink *)(void *)s;
    seed->size = size < sizeof seed->bytes ? size : sizeof seed->bytes;
    memcpy(seed->bytes, at, seed->size);
}
static void no_status(struct orr_sink *s, const char *word) { (void)s, (void)word; }
static void no_error(struct orr_sink *s, int code, const char *text) { (void)s, (void)code, (void)text; }
static void no_array(struct orr_sink *s, size_t n) { (void)s, (void)n; }

/* Before a connection's first write: while the machine has no seed yet,
 * secret bytes for one (orrery/kv.h). Nobody waits for it. */
static void see_to_seed(struct orri_resp_conn *c) {
    static const struct orr_sink_ops ops = { no_nil, no_integer, seed_text, no_status, no_error, no_array };
    struct seed_sink seed = { .face = { &ops } };
    unsigned char bytes[32];
    struct orr_at at;
    c->seeded = true;
    struct orr_kv_call call = { .code = ORR_KV_UNSEEDED };
    size_t size = orr_kv_encode(bytes, sizeof bytes, &call);
    orri_group_here(c->group, &at);
    if (orri_group_query(c->group, &at, orr_borrow(bytes, size), &seed.face) < 0 || seed.size == 0) return;
    struct orr_slice arg = orr_borrow(seed.bytes, seed.size);
    call = (struct orr_kv_call){ .code = ORR_KV_SEED, .args = &arg, .n_args = 1 };
    int status;
    unsigned char *room = orri_group_room(c->group, orr_kv_size(&call), &status);
    if (room) orri_group_commit(c->group, orr_kv_encode(room, orr_kv_size(&call), &call), &c->waiter, 0);
}

/* Where a call's bytes go: a place in the turn's batch, or in the queue. NULL: it was refused, and that is answered. */
static unsigned char *open_call(struct orri_resp_conn *c, const struct orr_kv_call *call, size_t max) {
    bool is_op = call->code < 64;
    if (is_op && !c->seeded) see_to_seed(c);
    struct orri_resp_item *item = orri_resp_push(c, is_op ? ORRI_RESP_WRITE : ORRI_RESP_READ, is_op ? 0 : max);
    if (!item) return NULL;
    if (!is_op) {
        c->last_read = c->tag;
        return orri_resp_bytes(item);
    }
    int status = 0;
    unsigned char *room = orri_group_room(c->group, max, &status);
    if (room) c->last_write = c->tag;
    else orri_resp_refuse(c, status);
    return room;
}

static void close_call(struct orri_resp_conn *c, const struct orr_kv_call *call, size_t size) {
    ORR_ASSERT(size > 0);
    if (call->code < 64) orri_group_commit(c->group, size, &c->waiter, c->tag);
    else orri_resp_trim(c, size);
}

void orri_resp_send_args(struct orri_resp_conn *c, struct orr_kv_call *call) {
    size_t max = orr_kv_size(call);
    unsigned char *at = open_call(c, call, max);
    if (at) close_call(c, call, orr_kv_encode(at, max, call));
}

void orri_resp_send(struct orri_resp_conn *c, struct orr_kv_call *call, size_t from, size_t n) {
    enum { OP_HEAD = 1 + 4 * ORR_VARINT_MAX };
    size_t bytes = OP_HEAD;
    for (size_t i = from; i < from + n; i++) bytes += orri_resp_at(c, i).size + ORR_VARINT_MAX / 2;
    unsigned char *at = open_call(c, call, bytes);
    if (!at) return;
    struct orr_writer w = orri_writer(at, bytes);
    call->n_args = n;
    orri_kv_write_head(&w, call);
    for (size_t i = from; i < from + n; i++) {
        struct orr_slice arg = orri_resp_at(c, i);
        orri_write_blob(&w, arg.at, arg.size);
    }
    ORR_ASSERT(!w.failed);
    close_call(c, call, (size_t)(w.at - at));
}

void orri_resp_plain(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_kv_call call = { .code = cmd->code, .flags = cmd->op_flags, .a = cmd->a };
    orri_resp_send(c, &call, 1, orri_resp_n(c) - 1);
}

bool orri_resp_take_int(struct orri_resp_conn *c, size_t i, int64_t *out) {
    if (orri_kv_read_int(orri_resp_at(c, i), out)) return true;
    orri_resp_say_error(c, "%s", orri_resp_not_integer);
    return false;
}
