/* orrb_question.c - see orrb_question.h. */
#include "orrb_question.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void answered(struct orr_wait *w) {
    struct orrb_question *q = w->owner;
    q->under_way = false;
    q->status = w->status;
    q->bytes = w->result.size ? malloc(w->result.size) : NULL;
    if (q->bytes) {
        q->size = w->result.size;
        memcpy(q->bytes, w->result.at, q->size);
    } else if (w->result.size) {
        q->status = ORR_EUNKNOWN;   /* it can't be told */
    }
    if (q->over) q->over(q);
}

static void begin(struct orrb_question *q, bool sink) {
    q->wait.done = answered;
    q->wait.owner = q;
    q->wait.sink = sink ? orrb_sink_begin(&q->sink, true) : NULL;
}

static int begun(struct orrb_question *q, int rc) {
    q->under_way = rc == 0;
    q->status = rc;
    return rc;
}

int orrb_question_call(struct orrb_question *q, struct orr_node *node, orr_id to, struct orr_slice name,
                       struct orr_slice args, orr_time until) {
    begin(q, false);
    return begun(q, orr_node_call(node, &q->wait, to, name, args, until));
}

/* -- Groups ------------------------------------------------------------------------------------------------------- */
static struct orr_group *find_group(struct orrb_node *n, const char *name) {
    struct orr_group *g = orr_node_group(orrb_node_of(n), name);
    return g && orrb_node_in_lua(n, g) ? g : NULL;
}

static int read_group(struct orrb_question *q, struct orr_group *g, struct orr_chunks *chunks, struct orr_slice value,
                      orr_time until) {
    struct orr_chunk *c = chunks->get(chunks, value.size);
    if (!c) return -ENOMEM;
    memcpy(c->at, value.at, value.size);
    struct orr_slice question = { c, c->at, value.size };
    int rc = orr_group_read(g, &q->wait, question, 0, until);
    orr_drop(question);
    return rc;
}

const char *const orrb_verbs[] = { "propose", "read", "snapshot", NULL };

static int snapshot(struct orrb_question *q, struct orr_group *g) {
    q->index = true;
    begin(q, false);
    return begun(q, g ? orr_group_snapshot(g, &q->wait) : ORR_EINVALID);
}

int orrb_question_group(struct orrb_question *q, struct orrb_node *n, enum orrb_verb verb, const char *group,
                        struct orr_slice value, orr_time until) {
    if (verb == ORRB_SNAPSHOT) return snapshot(q, orr_node_group(orrb_node_of(n), group));
    struct orr_group *g = find_group(n, group);
    begin(q, true);
    if (!g) return begun(q, ORR_EINVALID);
    return begun(q, verb == ORRB_READ ? read_group(q, g, orr_node_world(orrb_node_of(n))->chunks, value, until)
                         : orr_group_propose(g, &q->wait, value, until));
}

int orrb_question_peek(struct orrb_question *q, struct orrb_node *n, const char *group, struct orr_slice value) {
    struct orr_group *g = find_group(n, group);
    begin(q, true);
    q->status = g ? orr_group_query(g, NULL, value, q->wait.sink) : ORR_EINVALID;
    return q->status;
}

/* -- What came ---------------------------------------------------------------------------------------------------- */
static int push_failure(lua_State *L, int status, const char *text, size_t size) {
    lua_pushboolean(L, false);
    if (size) lua_pushlstring(L, text, size);
    else lua_pushstring(L, orr_strerror(status));
    lua_pushstring(L, orr_error_word(status));
    return 3;
}

int orrb_question_failure(lua_State *L, int status) { return push_failure(L, status, NULL, 0); }

/* true, the values of this list; or false, why, code */
static int push_list(lua_State *L, const void *at, size_t size) {
    lua_pushboolean(L, true);
    int n = orrb_value_unpack_args(L, at, size);
    return n >= 0 ? n + 1 : orrb_question_failure(L, ORR_ECORRUPT);
}

int orrb_question_results(lua_State *L, const struct orrb_question *q) {
    static const char unheard[] = "there is no such handler";
    const struct orrb_sink *sink = q->wait.sink ? &q->sink : NULL;
    if (q->under_way) return orrb_question_failure(L, ORR_EUNKNOWN);
    if (q->status == ORR_EINVALID && !sink && !q->index) return push_failure(L, q->status, unheard, sizeof unheard - 1);
    if (q->status == ORR_EFAILED) return push_failure(L, q->status, (const char *)q->bytes, q->size);
    if (q->status < 0) return orrb_question_failure(L, q->status);
    if (q->index) {
        lua_pushboolean(L, true);
        lua_pushinteger(L, (lua_Integer)q->wait.at.index);
        return 2;
    }
    if (sink && sink->failed) return orrb_question_failure(L, -ENOMEM);
    return sink ? push_list(L, sink->out.at, sink->out.size) : push_list(L, q->bytes, q->size);
}

void orrb_question_clear(struct orrb_question *q) {
    free(q->bytes);
    orrb_sink_clear(&q->sink);
    q->bytes = NULL;
    q->size = 0;
}
