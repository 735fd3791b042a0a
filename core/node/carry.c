/* carry.c - groups for the host: a proposal or a read, on a node with a replica or without.
 *
 * Here: one waiter stands for all of the host's commands and reads, and their tags find the records. A command whose
 * time is up before its batch had a number is taken out of it: surely not done.
 * Elsewhere: the op goes to a voter as a message, and its results come back; the voter's own origin stream makes it
 * happen at most once. Another voter is asked only after an answer that says "surely not done", or for a read.
 *
 * The body of such an answer: 8 index, 8 term, 8 time, then the results (results.h).                                 */
#include <string.h>

#include "node/inner.h"

enum { AT_SIZE = 24, AGE_SIZE = 8 };
static const struct orr_slice nothing;

/* -- The waiter ---------------------------------------------------------------------------------------------------- */
static struct orr_node *node_of(struct orri_waiter *w) {
    return ORRI_OWNER(ORRI_OWNER(w, struct orri_host, waiter), struct orr_node, host);
}

static struct orr_sink *begin(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_under_way *u = orri_wait_find(node_of(w), tag);
    (void)at;
    return u ? u->w->sink : NULL;
}

static void end(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_under_way *u = orri_wait_find(node_of(w), tag);
    if (!u) return;
    u->logged = *at;
    orri_wait_tell(u, 0, nothing);
}

static void served(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_under_way *u = orri_wait_find(node_of(w), tag);
    if (!u) return;
    u->logged = *at;
    int rc = u->w->sink ? orri_group_query(u->group, at, u->body, u->w->sink) : 0;
    orri_wait_tell(u, rc < 0 ? rc : 0, nothing);
}

static void lost(struct orri_waiter *w, uint64_t tag, bool read, int status) {
    struct orri_under_way *u = orri_wait_find(node_of(w), tag);
    (void)read;
    if (u) orri_wait_tell(u, status, nothing);
}

static const struct orri_waiter_ops waiter_ops = { begin, end, served, lost };

/* -- A replica is here --------------------------------------------------------------------------------------------- */
static int arm(struct orri_under_way *u, orr_time deadline) {
    struct orr_node *n = u->node;
    u->deadline = deadline;
    if (deadline >= n->now + n->cfg.call) return 0;         /* the group's own deadline comes first */
    return orri_heap_set(&n->heap, &u->alarm.timer, deadline);
}

static int propose_here(struct orri_under_way *u, struct orr_slice op, orr_time deadline) {
    struct orr_group *g = u->group;
    int rc = arm(u, deadline);
    unsigned char *at = rc == 0 ? orri_group_room(g, op.size, &rc) : NULL;
    if (!at) return rc;
    if (op.size) memcpy(at, op.at, op.size);
    orri_group_commit(g, op.size, &u->node->host.waiter, orri_wait_tag(u));
    return 0;
}

/* The copy here will do: told as a read is whose index has been reached. */
static int read_at_once(struct orri_under_way *u, struct orr_slice question) {
    struct orr_at at;
    int rc = orr_group_here(u->group, &at) ? 0 : ORR_EUNAVAILABLE;
    if (rc == 0 && u->w->sink) rc = orri_group_query(u->group, &at, question, u->w->sink);
    u->logged = at;
    if (rc == 0) orri_wait_tell(u, 0, nothing);
    return rc;
}

static int read_here(struct orri_under_way *u, struct orr_slice question, orr_time deadline) {
    if (u->age_max > 0 && orri_lease_age(u->group) <= u->age_max) return read_at_once(u, question);
    int rc = arm(u, deadline);
    if (rc == 0) rc = orri_group_read(u->group, &u->node->host.waiter, orri_wait_tag(u));
    if (rc == 0) u->body = orr_hold(question);
    return rc;
}

/* -- None is: asking a voter --------------------------------------------------------------------------------------- */
static bool elsewhere(int status) {                         /* may another one do it? */
    return status == ORR_EUNAVAILABLE || status == ORR_EOVERLOADED || status == ORR_ENOLEADER || status == ORR_EFULL ||
           status == ORR_ECORRUPT;
}

static int carry_on(struct orri_under_way *u, int status) {
    struct orr_group *g = u->group;
    const struct orri_message m = { !u->read         ? ORRI_MESSAGE_PROPOSE
                                    : u->age_max > 0 ? ORRI_MESSAGE_READ_AGED
                                                     : ORRI_MESSAGE_READ,
                                    orri_wait_tag(u), u->deadline, orr_borrow(g->name, strlen(g->name)), u->body };
    for (; u->tries < g->n_voters; g->carrier = (g->carrier + 1) % g->n_voters) {
        struct orri_peer *p = orri_names_peer(u->node, g->voters[g->carrier].id);
        int rc = orri_rpc_ask(u, p, &m);
        u->tries++;
        if (rc == 0) return 0;
        if (rc != ORR_EUNAVAILABLE) status = rc;
    }
    return status;
}

/* What is sent, maybe more than once: the body, behind how old a copy may be where that is said. */
static int keep_body(struct orri_under_way *u, struct orr_slice body) {
    size_t head = u->age_max > 0 ? AGE_SIZE : 0;
    if (head == 0 && (body.chunk || body.size == 0)) {
        u->body = orr_hold(body);
        return 0;
    }
    struct orr_chunk *c = u->node->w->chunks->get(u->node->w->chunks, head + body.size);
    if (!c) return -ENOMEM;
    if (head) orri_put_le(c->at, (uint64_t)u->age_max, AGE_SIZE);
    if (body.size) memcpy(c->at + head, body.at, body.size);
    u->body = (struct orr_slice){ c, c->at, head + body.size };
    return 0;
}

static int carry(struct orri_under_way *u, struct orr_slice body, orr_time deadline) {
    struct orr_node *n = u->node;
    orr_time latest = n->now + n->cfg.call;
    u->deadline = deadline < latest ? deadline : latest;
    if (orri_heap_set(&n->heap, &u->alarm.timer, u->deadline) < 0) return -ENOMEM;
    int rc = keep_body(u, body);
    return rc < 0 ? rc : carry_on(u, ORR_EUNAVAILABLE);
}

void orri_carry_answered(struct orri_under_way *u, int status, struct orr_slice body) {
    struct orr_node *n = u->node;
    orri_rpc_unlink(u);
    if (elsewhere(status) || (u->read && status == ORR_EUNKNOWN)) {
        u->group->carrier = (u->group->carrier + 1) % u->group->n_voters;
        status = n->now < u->deadline ? carry_on(u, status) : status;
        if (status == 0) return;
    }
    struct orr_reader r = orri_reader(body.at, body.size);
    u->logged = (struct orr_at){ .index = orri_read_u64(&r), .term = orri_read_u64(&r), .time = orri_read_i64(&r) };
    if (status == 0 && r.failed) status = ORR_EFAILED;
    if (status == 0 && u->w->sink && orri_results_tell(orr_part_of(body, AT_SIZE, body.size - AT_SIZE), u->w->sink) < 0)
        status = ORR_EFAILED;
    orri_wait_tell(u, status, nothing);
}

void orri_carry_late(struct orri_under_way *u) {
    struct orr_group *g = u->group;
    int surely = g->here && g->status.leader == ORR_NOBODY ? ORR_ENOLEADER : ORR_ETIMEOUT;
    if (u->kind == ORRI_IS_CARRIED && u->peer) {
        if (u->read) orri_rpc_withdraw(u), orri_wait_tell(u, ORR_ETIMEOUT, nothing);
        else orri_rpc_late(u);
    } else {
        bool sent = u->kind == ORRI_IS_PROPOSAL &&
                    !orri_origin_withdraw(&g->origin, &u->node->host.waiter, orri_wait_tag(u));
        orri_wait_tell(u, sent ? ORR_EUNKNOWN : surely, nothing);
    }
}

/* -- What the host calls ------------------------------------------------------------------------------------------- */
static int judge(const struct orr_group *g, size_t size, orr_time deadline) {
    const struct orr_node *n = g->node;
    if (size > n->cfg.op_bytes_max || (!g->here && size + AGE_SIZE > n->cfg.message_bytes_max)) return ORR_EINVALID;
    if (n->phase != ORRI_NODE_RUNNING) return ORR_EUNAVAILABLE;
    return deadline <= orr_node_now(n) ? ORR_ETIMEOUT : 0;
}

static int submit(struct orr_group *g, struct orr_wait *w, struct orr_slice body, orr_time deadline, bool read,
                  orr_time age_max) {
    struct orr_node *n = g->node;
    int rc = judge(g, body.size, deadline);
    enum orri_errand_kind kind = !g->here ? ORRI_IS_CARRIED : read ? ORRI_IS_READ : ORRI_IS_PROPOSAL;
    struct orri_under_way *u = rc == 0 ? orri_wait_new(n, w, kind, &rc) : NULL;
    if (!u) return rc;
    n->host.waiter.ops = &waiter_ops;
    u->group = g;
    u->read = read;
    u->age_max = age_max;
    rc = !g->here ? carry(u, body, deadline) : read ? read_here(u, body, deadline) : propose_here(u, body, deadline);
    if (rc < 0) orri_wait_drop(u);
    else orri_host_wake(n);
    return rc;
}

int orr_group_propose(struct orr_group *g, struct orr_wait *w, struct orr_slice op, orr_time deadline) {
    return submit(g, w, op, deadline, false, 0);
}

int orr_group_read(struct orr_group *g, struct orr_wait *w, struct orr_slice question, orr_time age_max,
                   orr_time deadline) {
    if ((!w->sink && !g->here) || age_max < 0) return ORR_EINVALID;
    return submit(g, w, question, deadline, true, age_max);
}

int orr_group_query(struct orr_group *g, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink) {
    return orri_group_query(g, at ? at : &g->at, question, sink);
}

bool orr_group_here(const struct orr_group *g, struct orr_at *at) {
    *at = g->at;
    return g->here && !g->restoring.on;
}

void *orr_group_machine(const struct orr_group *g) { return g->machine; }
const struct orr_machine_ops *orr_group_machine_ops(const struct orr_group *g) { return g->machine_ops; }
const char *orr_group_name(const struct orr_group *g) { return g->name; }

/* -- A node without a replica asks this one ------------------------------------------------------------------------ */
static void carried(struct orr_wait *w) {
    struct orri_question *q = ORRI_OWNER(w, struct orri_question, wait);
    int status = w->status < 0 ? w->status : q->results.status == -ENOMEM ? ORR_EFAILED : q->results.status;
    struct orr_slice body = status == 0 ? orri_results_take(&q->results) : nothing;
    if (status == 0 && !body.chunk) status = ORR_EFAILED;
    if (status == 0) {
        struct orr_writer head = orri_writer(body.chunk->at, AT_SIZE);
        orri_write_u64(&head, w->at.index);
        orri_write_u64(&head, w->at.term);
        orri_write_i64(&head, w->at.time);
    }
    orri_results_clear(&q->results);
    orri_rpc_answer(q, status, body);
    orr_drop(body);
}

static struct orr_group *group_of(struct orr_node *n, struct orr_slice name) {
    for (size_t i = 0; i < n->n_groups; i++) {
        const char *have = n->groups[i]->name;
        if (strlen(have) == name.size && memcmp(have, name.at, name.size) == 0) return n->groups[i];
    }
    return NULL;
}

void orri_carry_asked(struct orri_question *q, enum orri_message_kind kind) {
    struct orr_node *n = q->node;
    struct orr_group *g = group_of(n, q->asked.name);
    struct orr_slice body = q->asked.args;
    orr_time age_max = 0;
    int rc = !g ? ORR_EINVALID : !g->here ? ORR_EUNAVAILABLE : 0;
    if (kind == ORRI_MESSAGE_READ_AGED && rc == 0) {
        struct orr_reader r = orri_reader(body.at, body.size);
        age_max = orri_read_i64(&r);
        if (r.failed || age_max <= 0) rc = ORR_EINVALID;
        else body = orr_part_of(body, AGE_SIZE, body.size - AGE_SIZE);
    }
    orri_results_init(&q->results, n->w->chunks, AT_SIZE, n->cfg.message_bytes_max - AT_SIZE);
    q->wait = (struct orr_wait){ .done = carried, .sink = &q->results.sink };
    if (rc == 0) rc = submit(g, &q->wait, body, q->asked.deadline, kind != ORRI_MESSAGE_PROPOSE, age_max);
    if (rc == 0) return;
    q->wait.done = NULL;
    orri_rpc_answer(q, rc == -ENOMEM ? ORR_EOVERLOADED : rc, nothing);
}
