/* kv.c - the RESP service of a group's kv machine: the table of its commands, and how one is sent on.
 *
 * Most commands are a code of the machine with flags and their arguments as they came:
 * orri_resp_plain, nothing more. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "node/kv/kv.h"
#include "node/resp/kv.h"

#define W ORR_RESP_WRITE
#define R ORR_RESP_READ
#define F ORR_RESP_FAST
#define K ORR_RESP_KEY
#define KS ORR_RESP_KEYS
#define KP ORR_RESP_PAIRS
#define S ORRI_RESP_SERVER
#define PLAIN orri_resp_plain

/* Sorted by name: a test sees to it. */
static const struct orri_resp_command table[] = {
    { { "append", 3, W | F | K }, PLAIN, ORR_KV_APPEND, 0, 0 },
    { { "client", -2, S }, orri_resp_client, 0, 0, 0 },
    { { "command", -1, S }, orri_resp_command, 0, 0, 0 },
    { { "config", -2, S }, orri_resp_config, 0, 0, 0 },
    { { "dbsize", 1, R | F }, PLAIN, ORR_KV_DBSIZE, 0, 0 },
    { { "decr", 2, W | F | K }, PLAIN, ORR_KV_ADD, 0, -1 },
    { { "decrby", 3, W | F | K }, orri_resp_incrby, ORR_KV_ADD, 0, -1 },
    { { "del", -2, W | KS }, PLAIN, ORR_KV_DEL, 0, 0 },
    { { "echo", 2, F | S }, orri_resp_echo, 0, 0, 0 },
    { { "exists", -2, R | F | KS }, PLAIN, ORR_KV_COUNT, 0, 0 },
    { { "expire", -3, W | F | K }, orri_resp_expire, ORR_KV_EXPIRE, ORR_KV_RELATIVE | ORR_KV_SECONDS, 0 },
    { { "expireat", -3, W | F | K }, orri_resp_expire, ORR_KV_EXPIRE, ORR_KV_SECONDS, 0 },
    { { "expiretime", 2, R | F | K }, PLAIN, ORR_KV_TTL, ORR_KV_SECONDS, 0 },
    { { "flushall", -1, W }, orri_resp_flush, ORR_KV_FLUSH, 0, 0 },
    { { "flushdb", -1, W }, orri_resp_flush, ORR_KV_FLUSH, 0, 0 },
    { { "get", 2, R | F | K }, PLAIN, ORR_KV_GET, 0, 0 },
    { { "getdel", 2, W | F | K }, PLAIN, ORR_KV_DEL, ORR_KV_WITH_GET, 0 },
    { { "getex", -2, W | F | K }, orri_resp_getex, ORR_KV_GET_EXPIRE, 0, 0 },
    { { "getrange", 4, R | K }, orri_resp_getrange, ORR_KV_RANGE, 0, 0 },
    { { "getset", 3, W | F | K }, PLAIN, ORR_KV_SET, ORR_KV_WITH_GET, 0 },
    { { "hello", -1, F | S }, orri_resp_hello, 0, 0, 0 },
    { { "incr", 2, W | F | K }, PLAIN, ORR_KV_ADD, 0, 1 },
    { { "incrby", 3, W | F | K }, orri_resp_incrby, ORR_KV_ADD, 0, 1 },
    { { "incrbyfloat", 3, W | F | K }, PLAIN, ORR_KV_ADD_FLOAT, 0, 0 },
    { { "info", -1, S }, orri_resp_info, 0, 0, 0 },
    { { "keys", 2, R }, orri_resp_keys, ORR_KV_SCAN, 0, 0 },
    { { "mget", -2, R | F | KS }, PLAIN, ORR_KV_MGET, 0, 0 },
    { { "mset", -3, W | KP }, orri_resp_mset, ORR_KV_MSET, 0, 0 },
    { { "msetnx", -3, W | KP }, orri_resp_mset, ORR_KV_MSET, ORR_KV_NX | ORR_KV_INTEGER, 0 },
    { { "persist", 2, W | F | K }, PLAIN, ORR_KV_PERSIST, 0, 0 },
    { { "pexpire", -3, W | F | K }, orri_resp_expire, ORR_KV_EXPIRE, ORR_KV_RELATIVE, 0 },
    { { "pexpireat", -3, W | F | K }, orri_resp_expire, ORR_KV_EXPIRE, 0, 0 },
    { { "pexpiretime", 2, R | F | K }, PLAIN, ORR_KV_TTL, 0, 0 },
    { { "ping", -1, F | S }, orri_resp_ping, 0, 0, 0 },
    { { "psetex", 4, W | K }, orri_resp_setex, ORR_KV_SET, 0, 0 },
    { { "pttl", 2, R | F | K }, PLAIN, ORR_KV_TTL, ORR_KV_RELATIVE, 0 },
    { { "quit", -1, F | S }, orri_resp_quit, 0, 0, 0 },
    { { "randomkey", 1, R }, PLAIN, ORR_KV_RANDOM, 0, 0 },
    { { "rename", 3, W | KS }, PLAIN, ORR_KV_RENAME, 0, 0 },
    { { "renamenx", 3, W | F | KS }, PLAIN, ORR_KV_RENAME, ORR_KV_NX, 0 },
    { { "scan", -2, R }, orri_resp_scan, ORR_KV_SCAN, 0, 0 },
    { { "select", 2, F | S }, orri_resp_select, 0, 0, 0 },
    { { "set", -3, W | K }, orri_resp_set, ORR_KV_SET, 0, 0 },
    { { "setex", 4, W | K }, orri_resp_setex, ORR_KV_SET, ORR_KV_SECONDS, 0 },
    { { "setnx", 3, W | F | K }, PLAIN, ORR_KV_SET, ORR_KV_NX | ORR_KV_INTEGER, 0 },
    { { "setrange", 4, W | K }, orri_resp_setrange, ORR_KV_SETRANGE, 0, 0 },
    { { "strlen", 2, R | F | K }, PLAIN, ORR_KV_SIZE, 0, 0 },
    { { "substr", 4, R | K }, orri_resp_getrange, ORR_KV_RANGE, 0, 0 },
    { { "touch", -2, R | F | KS }, PLAIN, ORR_KV_COUNT, 0, 0 },
    { { "ttl", 2, R | F | K }, PLAIN, ORR_KV_TTL, ORR_KV_RELATIVE | ORR_KV_SECONDS, 0 },
    { { "type", 2, R | F | K }, PLAIN, ORR_KV_TYPE, 0, 0 },
    { { "unlink", -2, W | F | KS }, PLAIN, ORR_KV_DEL, 0, 0 },
};
enum { N_COMMANDS = sizeof table / sizeof *table };

const struct orri_resp_command *orri_resp_commands(size_t *n) {
    *n = N_COMMANDS;
    return table;
}

const struct orri_resp_command *orri_resp_find(struct orr_slice name) {
    return (const void *)orri_resp_search(&table->face, N_COMMANDS, sizeof *table, name);
}

static const struct orr_resp_command *find(const struct orri_resp_conn *c, struct orr_slice name) {
    const struct orri_resp_command *cmd = orri_resp_find(name);
    (void)c;
    return cmd ? &cmd->face : NULL;
}

static const struct orr_resp_command *command_at(const struct orri_resp_conn *c, size_t i) {
    (void)c;
    return i < N_COMMANDS ? &table[i].face : NULL;
}

/* -- Checked, and run ---------------------------------------------------------------------------------------------- */

static bool keys_fit(const struct orri_resp_conn *c, const struct orr_resp_command *cmd) {
    if (c->parser.at <= ORR_KV_KEY_MAX || !(cmd->flags & (ORR_RESP_KEY | ORR_RESP_KEYS | ORR_RESP_PAIRS)))
        return true;
    size_t step = cmd->flags & ORR_RESP_KEY ? orri_resp_n(c) : cmd->flags & ORR_RESP_PAIRS ? 2 : 1;
    for (size_t i = 1; i < orri_resp_n(c); i += step) {
        if (orri_resp_at(c, i).size > ORR_KV_KEY_MAX) return false;
    }
    return true;
}

/* One op is applied in one go; a client that wants more sends several commands, which turns can come between. */
static bool too_many_keys(const struct orri_resp_conn *c, const struct orr_resp_command *cmd) {
    size_t n = orri_resp_n(c) - 1;
    if (!(cmd->flags & (ORR_RESP_KEYS | ORR_RESP_PAIRS))) return false;
    return (cmd->flags & ORR_RESP_PAIRS ? n / 2 : n) > ORR_KV_KEYS_MAX;
}

static void run(struct orri_resp_conn *c, const struct orr_resp_command *cmd) {
    const struct orri_resp_command *own = (const void *)cmd;
    if (too_many_keys(c, cmd))
        orri_resp_say_error(c, "ERR too many keys in one command (limit %d)", ORR_KV_KEYS_MAX);
    else if (!keys_fit(c, cmd)) orri_resp_say_error(c, "ERR a key may have at most %d bytes", ORR_KV_KEY_MAX);
    else own->fn(c, own);
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
static void see_to_seed(struct orri_resp_kv *kv) {
    struct orri_resp_conn *c = &kv->conn;
    static const struct orr_sink_ops ops = { no_nil, no_integer, seed_text, no_status, no_error, no_array };
    struct seed_sink seed = { .face = { &ops } };
    unsigned char bytes[32];
    struct orr_at at;
    kv->seeded = true;
    struct orr_kv_call call = { .code = ORR_KV_UNSEEDED };
    size_t size = orr_kv_encode(bytes, sizeof bytes, &call);
    orri_group_here(c->group, &at);
    if (orri_group_query(c->group, &at, orr_borrow(bytes, size), &seed.face) < 0 || seed.size == 0) return;
    struct orr_slice arg = orr_borrow(seed.bytes, seed.size);
    call = (struct orr_kv_call){ .code = ORR_KV_SEED, .args = &arg, .n_args = 1 };
    int status;
    unsigned char *room = orri_group_room(c->group, orr_kv_size(&call), &status);
    if (room) orri_group_commit(c->group, orr_kv_encode(room, orr_kv_size(&call), &call), &kv->waiter, 0);
}

/* Where a call's bytes go: a place in the turn's batch, or in the queue. NULL: it was refused, and that is answered. */
static unsigned char *open_call(struct orri_resp_conn *c, const struct orr_kv_call *call, size_t max) {
    struct orri_resp_kv *kv = orri_resp_kv_of(c);
    bool is_op = call->code < 64;
    if (is_op && !kv->seeded) see_to_seed(kv);
    struct orri_resp_item *item = orri_resp_push(c, is_op ? ORRI_RESP_WRITE : ORRI_RESP_READ, is_op ? 0 : max);
    if (!item) return NULL;
    if (!is_op) {
        kv->last_read = c->tag;
        return orri_resp_bytes(item);
    }
    int status = 0;
    unsigned char *room = orri_group_room(c->group, max, &status);
    if (room) kv->last_write = c->tag;
    else orri_resp_refuse(c, status);
    return room;
}

static void close_call(struct orri_resp_conn *c, const struct orr_kv_call *call, size_t size) {
    ORR_ASSERT(size > 0);
    if (call->code < 64) orri_group_commit(c->group, size, &orri_resp_kv_of(c)->waiter, c->tag);
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

/* -- Life ---------------------------------------------------------------------------------------------------------- */

static void on_close(struct orri_resp_conn *c) {
    orri_group_forget(c->group, &orri_resp_kv_of(c)->waiter);
    orri_resp_walk_clear(orri_resp_kv_of(c));
}

static const struct orri_resp_back back = {
    .size = sizeof(struct orri_resp_kv), .find = find, .at = command_at, .run = run, .turn = orri_resp_reads_turn,
    .close = on_close,
};

static int on_open(void *ud, struct orr_conn *conn, void **state) {
    struct orri_resp_conn *c = orri_resp_open(&back, conn);
    if (!c) return -ENOMEM;
    c->group = ud;
    orri_resp_kv_of(c)->waiter.ops = &orri_resp_waiter_ops;
    *state = c;
    return 0;
}

const struct orr_service orr_resp_service = ORRI_RESP_SERVICE("resp", on_open);
