/* host.c - the RESP service of whoever bears the node (orrery/resp.h).
 *
 *     parsed ──> waits ── fewer than calls_max are begun ──> begun ── orr_resp_end ──> ended ── all older are ──> gone
 *
 * The queue has an item for each call, and the replies of the service's own commands between them. Only the first one's
 * reply is written to the client, at once; what is said of a later one, or to a client that doesn't read, is kept with
 * its call. A call whose client has gone belongs to nobody but the host, until that ends it.
 *
 * The host is called from the service's own functions only, never from one that it calls: so an orr_resp_end that makes
 * room for the next call asks for a turn. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "node/resp/resp.h"

enum {
    HELD_MIN = 4 << 10,             /* arguments of so many bytes are held where they came, if they lie in a chunk */
    REPLY_FIRST = 256
};
enum call_state { WAITS, BEGUN, ENDED };
struct orri_resp_call {
    struct orr_resp_call face;      /* first */
    struct orr_sink sink;
    struct orri_resp_guest *of;     /* NULL: the client has gone */
    const struct orr_alloc *alloc;
    struct orri_resp_call *next;    /* of those that wait */
    enum call_state state;
    bool said, muted;
    uint8_t proto;
    struct orr_chunk *held;         /* where the arguments lie, if not behind `args` */
    size_t block, charged;          /* bytes of all this; and of what it holds */
    unsigned char *reply;           /* not written yet */
    size_t size, cap;
    struct orr_slice args[];
};
struct orri_resp_guest {
    struct orri_resp_conn conn;     /* first */
    const struct orr_resp_host *host;
    struct orri_resp_call *first, *last;    /* those that wait */
    size_t running;
};

static struct orri_resp_guest *guest_of(struct orri_resp_conn *c) {
    return ORRI_RESP_OWNER(c, struct orri_resp_guest, conn);
}
static struct orri_resp_call *call_of(struct orr_resp_call *call) { return (struct orri_resp_call *)(void *)call; }

/* The call that an item of the queue is about. */
static struct orri_resp_call *call_in(struct orri_resp_item *item) {
    struct orri_resp_call *call = NULL;
    if (item && item->kind == ORRI_RESP_CALL) memcpy(&call, orri_resp_bytes(item), sizeof(void *));
    return call;
}

static void keeps(struct orri_resp_conn *c, size_t less, size_t more) {
    c->kept = c->kept - less + more;
    orr_conn_keeps(c->conn, c->kept);
}

/* -- A call's memory ----------------------------------------------------------------------------------------------- */
static void drop_reply(struct orri_resp_call *call) {
    if (call->of) keeps(&call->of->conn, call->cap, 0);
    call->alloc->fn(call->alloc->ud, call->reply, call->cap, 0);
    call->reply = NULL;
    call->size = call->cap = 0;
}

static void call_free(struct orri_resp_call *call) {
    drop_reply(call);
    if (call->of) keeps(&call->of->conn, call->charged, 0);
    orr_chunk_drop(call->held);
    call->alloc->fn(call->alloc->ud, call, call->block, 0);
}

/* Arguments are copied behind the call, or held where they are many bytes. */
static void set_args(struct orri_resp_call *call, struct orri_resp_conn *c) {
    unsigned char *at = (unsigned char *)(call->args + orri_resp_n(c));
    for (size_t i = 0; i < orri_resp_n(c); i++) {
        struct orr_slice arg = orri_resp_at(c, i);
        arg.chunk = call->held;
        if (!call->held) {
            if (arg.size) memcpy(at, arg.at, arg.size);
            arg.at = at;
            at += arg.size;
        }
        call->args[i] = arg;
    }
    call->face.args = call->args;
    call->face.n_args = orri_resp_n(c);
}

/* The parser's command, as a call that waits. */
static struct orri_resp_call *call_new(struct orri_resp_guest *g, const struct orr_resp_command *cmd) {
    struct orri_resp_conn *c = &g->conn;
    size_t bytes = 0, n = orri_resp_n(c);
    for (size_t i = 0; i < n; i++) bytes += orri_resp_at(c, i).size;
    bool hold = c->input && !c->parser.words && bytes >= HELD_MIN;
    size_t block = sizeof(struct orri_resp_call) + n * sizeof(struct orr_slice) + (hold ? 0 : bytes);
    struct orri_resp_call *call = c->alloc->fn(c->alloc->ud, NULL, 0, block);
    if (!call) return NULL;
    *call = (struct orri_resp_call){
        .face = { .command = cmd, .client = orr_conn_serial(c->conn) },
        .of = g, .alloc = c->alloc, .proto = c->proto_in, .muted = c->mute || c->skip, .block = block,
        .charged = block + (hold ? bytes : 0),
    };
    if (hold) {
        call->held = c->input;
        call->held->refs++;
    }
    set_args(call, c);
    keeps(c, 0, call->charged);
    return call;
}

/* -- Answers ------------------------------------------------------------------------------------------------------- */
void orri_resp_later(struct orri_resp_conn *c, const void *at, size_t size) {
    struct orri_resp_call *call = c->into;
    if (call->cap - call->size < size) {
        size_t cap = call->cap ? call->cap : REPLY_FIRST;
        while (cap - call->size < size) cap *= 2;
        unsigned char *reply = c->alloc->fn(c->alloc->ud, call->reply, call->cap, cap);
        if (!reply) {
            orri_resp_give_up(c);
            return;
        }
        keeps(c, call->cap, cap);
        call->reply = reply;
        call->cap = cap;
    }
    memcpy(call->reply + call->size, at, size);
    call->size += size;
}

static bool is_first(const struct orri_resp_call *call) { return call_in(orri_resp_first(&call->of->conn)) == call; }

/* NULL: nobody hears it. */
static struct orri_resp_conn *enter(struct orri_resp_call *call) {
    call->said = true;
    if (!call->of || call->state != BEGUN) return NULL;
    struct orri_resp_conn *c = &call->of->conn;
    bool directly = call->size == 0 && is_first(call) && !orr_conn_crowded(c->conn);
    c->into = directly ? NULL : call;
    c->muted = call->muted;
    c->proto_out = call->proto;
    return c;
}

static void leave(struct orri_resp_conn *c) {
    c->into = NULL;
    c->muted = false;
}

static void out_nil(struct orr_sink *s) {
    struct orri_resp_conn *c = enter(ORRI_RESP_OWNER(s, struct orri_resp_call, sink));
    if (!c) return;
    c->sink.ops->nil(&c->sink);
    leave(c);
}
static void out_integer(struct orr_sink *s, int64_t v) {
    struct orri_resp_conn *c = enter(ORRI_RESP_OWNER(s, struct orri_resp_call, sink));
    if (!c) return;
    c->sink.ops->integer(&c->sink, v);
    leave(c);
}
static void out_text(struct orr_sink *s, const void *at, size_t size) {
    struct orri_resp_conn *c = enter(ORRI_RESP_OWNER(s, struct orri_resp_call, sink));
    if (!c) return;
    c->sink.ops->text(&c->sink, at, size);
    leave(c);
}
static void out_status(struct orr_sink *s, const char *word) {
    struct orri_resp_conn *c = enter(ORRI_RESP_OWNER(s, struct orri_resp_call, sink));
    if (!c) return;
    c->sink.ops->status(&c->sink, word);
    leave(c);
}
static void out_error(struct orr_sink *s, int code, const char *text) {
    struct orri_resp_conn *c = enter(ORRI_RESP_OWNER(s, struct orri_resp_call, sink));
    if (!c) return;
    c->sink.ops->error(&c->sink, code, text);
    leave(c);
}
static void out_array(struct orr_sink *s, size_t n) {
    struct orri_resp_conn *c = enter(ORRI_RESP_OWNER(s, struct orri_resp_call, sink));
    if (!c) return;
    c->sink.ops->array(&c->sink, n);
    leave(c);
}
static const struct orr_sink_ops out_ops = { out_nil, out_integer, out_text, out_status, out_error, out_array };

/* What of the queue's first item can be written: true when that was all of it. */
static bool write_first(struct orri_resp_conn *c, struct orri_resp_item *item) {
    struct orri_resp_call *call = call_in(item);
    orri_resp_show(c, item);
    orri_resp_put(c, call ? call->reply : orri_resp_bytes(item), call ? call->size : item->size);
    c->muted = false;
    if (!call) return true;
    if (call->cap) drop_reply(call);
    if (call->state != ENDED) return false;
    call_free(call);
    return true;
}

static void drain(struct orri_resp_conn *c) {
    struct orri_resp_item *item;
    while ((item = orri_resp_first(c))) {
        if (orr_conn_crowded(c->conn)) {
            orr_conn_soon(c->conn);
            break;
        }
        if (!write_first(c, item)) break;
        orri_resp_answered(c);
    }
    orri_resp_drained(c);
}

struct orr_sink *orr_resp_sink(struct orr_resp_call *call) { return &call_of(call)->sink; }

void orr_resp_fail(struct orr_resp_call *call, int status, const char *text) {
    struct orri_resp_conn *c = enter(call_of(call));
    if (!c) return;
    const char *known = orri_resp_failure(status);
    size_t word = strcspn(known, " ");
    if (strncmp(known, "FAILED", word) == 0) known = "ERR", word = 3;
    if (text) orri_resp_error(c, "%.*s %s", (int)word, known, text);
    else orri_resp_lost(c, status);
    leave(c);
}

void orr_resp_end(struct orr_resp_call *call) {
    struct orri_resp_call *own = call_of(call);
    struct orri_resp_guest *g = own->of;
    if (!g) {
        call_free(own);
        return;
    }
    ORR_ASSERT(own->state == BEGUN);
    if (!own->said) orr_resp_fail(call, ORR_EFAILED, "the command was given no answer");
    own->state = ENDED;
    g->running--;
    if (g->first) orr_conn_soon(g->conn.conn);
    if (is_first(own)) drain(&g->conn);
}

/* -- Commands ------------------------------------------------------------------------------------------------------ */
static void begin(struct orri_resp_guest *g) {
    const struct orr_resp_host *h = g->host;
    struct orri_resp_call *call;
    while ((call = g->first) && (h->calls_max == 0 || g->running < h->calls_max)) {
        g->first = call->next;
        call->state = BEGUN;
        g->running++;
        int rc = h->command(h->ud, &call->face);
        if (rc >= 0) continue;
        orr_resp_fail(&call->face, rc, NULL);
        orr_resp_end(&call->face);
    }
}

static const struct orr_resp_command anything = { "", -1, 0 };

static const struct orr_resp_command *own_command(struct orr_slice name) {
    const struct orri_resp_command *cmd = orri_resp_find(name);
    return cmd && (cmd->face.flags & ORRI_RESP_SERVER) ? &cmd->face : NULL;
}

static const struct orr_resp_command *find(const struct orri_resp_conn *c, struct orr_slice name) {
    const struct orr_resp_host *h = ORRI_RESP_OWNER(c, const struct orri_resp_guest, conn)->host;
    const struct orr_resp_command *cmd = orri_resp_search(h->commands, h->n_commands, sizeof *cmd, name);
    if (!cmd) cmd = own_command(name);
    return cmd || !h->any ? cmd : &anything;
}

/* The host's, then those of the service that it has not taken. */
static const struct orr_resp_command *command_at(const struct orri_resp_conn *c, size_t i) {
    const struct orr_resp_host *h = ORRI_RESP_OWNER(c, const struct orri_resp_guest, conn)->host;
    size_t n;
    if (i < h->n_commands) return &h->commands[i];
    i -= h->n_commands;
    for (const struct orri_resp_command *cmd = orri_resp_commands(&n), *end = cmd + n; cmd < end; cmd++) {
        struct orr_slice name = orr_borrow(cmd->face.name, strlen(cmd->face.name));
        if (own_command(name) && find(c, name) == &cmd->face && i-- == 0) return &cmd->face;
    }
    return NULL;
}

static void run(struct orri_resp_conn *c, const struct orr_resp_command *cmd) {
    struct orri_resp_guest *g = guest_of(c);
    const struct orri_resp_command *own = (const void *)cmd;
    if (cmd->flags & ORRI_RESP_SERVER) {
        own->fn(c, own);
        return;
    }
    struct orri_resp_call *call = call_new(g, cmd == &anything ? NULL : cmd);
    struct orri_resp_item *item = call ? orri_resp_push(c, ORRI_RESP_CALL, sizeof(void *)) : NULL;
    if (!item) {
        if (call) call_free(call);
        orri_resp_give_up(c);
        return;
    }
    call->sink.ops = &out_ops;
    memcpy(orri_resp_bytes(item), &call, sizeof(void *));
    if (g->first) g->last->next = call;
    else g->first = call;
    g->last = call;
    begin(g);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static void on_turn(struct orri_resp_conn *c) {
    c->turn++;
    begin(guest_of(c));
    if (!orri_resp_idle(c)) drain(c);
}

static void on_close(struct orri_resp_conn *c) {
    const struct orr_resp_host *h = guest_of(c)->host;
    for (struct orri_resp_item *item = orri_resp_first(c); item; item = orri_resp_after(c, item)) {
        struct orri_resp_call *call = call_in(item);
        if (!call) continue;
        bool begun = call->state == BEGUN;
        if (begun) drop_reply(call);
        call->of = NULL;
        if (!begun) call_free(call);
        else if (h->gone) h->gone(h->ud, &call->face);
    }
}

static const struct orri_resp_back back = {
    .size = sizeof(struct orri_resp_guest), .find = find, .at = command_at, .run = run, .turn = on_turn,
    .close = on_close,
};

static bool sorted(const struct orr_resp_host *h) {
    size_t i = 1;
    while (i < h->n_commands && strcmp(h->commands[i - 1].name, h->commands[i].name) < 0) i++;
    return i >= h->n_commands;
}

static int on_open(void *ud, struct orr_conn *conn, void **state) {
    ORR_CHECK(sorted(ud));
    struct orri_resp_conn *c = orri_resp_open(&back, conn);
    if (!c) return -ENOMEM;
    guest_of(c)->host = ud;
    *state = c;
    return 0;
}

const struct orr_service orr_resp_host_service = ORRI_RESP_SERVICE("resp", on_open);
