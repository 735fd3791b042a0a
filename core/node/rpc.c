/* rpc.c - calls and casts: asking another node's host, and being asked.
 *
 * A call is told by its answer, by its deadline, or by the loss of the connection that bore it: answers are tied to
 * that connection at both ends, so a new process, or a new connection, never hears an old one's. What was written but
 * not sent (out.h: its number is above `sent`) is surely not done. The callee's deadline is a little before the
 * caller's; when it passes the callee says "unknown", and its host closes the task.                                  */
#include <string.h>

#include "node/inner.h"

#define RESERVE_MAX (5 * ORR_MS)    /* of what the caller has left, kept for the way back: 5 %, and at most this */
#define LEFT_MAX (ORR_NEVER / 4)

static const struct orr_slice nothing;

/* -- Asking -------------------------------------------------------------------------------------------------------- */
void orri_rpc_unlink(struct orri_under_way *u) {
    struct orri_out *o = &u->peer->out;
    if (u->before) u->before->next = u->next;
    else o->calls = u->next;
    if (u->next) u->next->before = u->before;
    else o->calls_last = u->before;
    o->n_calls--;
    u->peer = NULL;
}

int orri_rpc_ask(struct orri_under_way *u, struct orri_peer *p, const struct orri_message *m) {
    struct orri_out *o = &p->out;
    int rc = orri_out_put(p, m, false, &u->at);
    if (rc < 0) return rc;
    u->peer = p;
    u->number = o->queued;
    u->next = NULL;
    u->before = o->calls_last;
    if (o->calls_last) o->calls_last->next = u;
    else o->calls = u;
    o->calls_last = u;
    o->n_calls++;
    return 0;
}

static bool sent(const struct orri_under_way *u) { return u->number <= u->peer->out.sent; }

void orri_rpc_withdraw(struct orri_under_way *u) {
    const struct orri_message m = { .kind = ORRI_MESSAGE_CANCEL, .tag = orri_wait_tag(u) };
    unsigned char *at;
    if (!sent(u)) orri_message_void(u->at);
    else (void)orri_out_put(u->peer, &m, true, &at);        /* what can't be said, its deadline says */
}

void orri_rpc_late(struct orri_under_way *u) {
    int status = sent(u) ? ORR_EUNKNOWN : ORR_ETIMEOUT;
    orri_rpc_withdraw(u);
    orri_wait_tell(u, status, nothing);
}

static int ask(struct orri_under_way *u, orr_id to, struct orr_slice name, struct orr_slice args, orr_time deadline) {
    struct orr_node *n = u->node;
    struct orri_peer *p = orri_names_peer(n, to);
    const struct orri_message m = { ORRI_MESSAGE_CALL, orri_wait_tag(u), deadline, name, args };
    u->deadline = deadline;
    if (!p || n->phase != ORRI_NODE_RUNNING) return ORR_EUNAVAILABLE;
    if (deadline != ORR_NEVER && orri_heap_set(&n->heap, &u->alarm.timer, deadline) < 0) return -ENOMEM;
    return orri_rpc_ask(u, p, &m);
}

static int judge(const struct orr_node *n, struct orr_slice name, struct orr_slice args) {
    bool fits = name.size > 0 && name.size <= ORR_CALL_NAME_MAX && args.size <= n->cfg.message_bytes_max;
    return fits ? 0 : ORR_EINVALID;
}

int orr_node_call(struct orr_node *n, struct orr_wait *w, orr_id to, struct orr_slice name, struct orr_slice args,
                  orr_time deadline) {
    int rc = judge(n, name, args);
    if (rc == 0 && deadline <= orr_node_now(n)) rc = ORR_ETIMEOUT;
    struct orri_under_way *u = rc == 0 ? orri_wait_new(n, w, ORRI_IS_CALL, &rc) : NULL;
    if (!u) return rc;
    rc = ask(u, to, name, args, deadline);
    if (rc < 0) orri_wait_drop(u);
    return rc;
}

int orr_node_cast(struct orr_node *n, orr_id to, struct orr_slice name, struct orr_slice args) {
    struct orri_peer *p = orri_names_peer(n, to);
    const struct orri_message m = { .kind = ORRI_MESSAGE_CAST, .name = name, .body = args };
    unsigned char *at;
    int rc = judge(n, name, args);
    if (rc == 0 && (!p || n->phase != ORRI_NODE_RUNNING)) rc = ORR_EUNAVAILABLE;
    return rc == 0 ? orri_out_put(p, &m, false, &at) : rc;
}

static void answered(struct orri_peer *from, const struct orri_message *m) {
    struct orri_under_way *u = orri_wait_find(from->node, m->tag);
    if (!u || u->peer != from || !sent(u)) return;          /* told already, or never asked */
    if (u->kind == ORRI_IS_CARRIED) orri_carry_answered(u, (int)m->when, m->body);
    else orri_wait_tell(u, (int)m->when, m->body);
}

/* -- Being asked --------------------------------------------------------------------------------------------------- */
static void reply(struct orri_peer *to, uint64_t tag, int status, struct orr_slice result) {
    struct orri_message m = { .kind = ORRI_MESSAGE_REPLY, .tag = tag, .when = status, .body = result };
    if (status > 0 || status == INT32_MIN) m.when = ORR_EFAILED;
    unsigned char *at;
    if (orri_out_put(to, &m, false, &at) != ORR_EOVERLOADED) return;
    m.body = nothing;               /* the asker hears of it all the same; there are no more of these than calls_max */
    m.when = status < 0 ? status : ORR_EUNKNOWN;
    (void)orri_out_put(to, &m, true, &at);
}

static void question_free(struct orri_question *q) {
    struct orri_host *h = &q->node->host;
    orri_heap_unset(&q->node->heap, &q->alarm.timer);
    if (q->before) q->before->next = q->next;
    else h->asked = q->next;
    if (q->next) q->next->before = q->before;
    if (q->asked.from == ORR_NOBODY) h->n_visitors--;
    q->next = h->spare_questions;
    h->spare_questions = q;
    h->n_asked--;
}

void orri_rpc_answer(struct orri_question *q, int status, struct orr_slice result) {
    struct orri_peer *to = q->peer;
    uint64_t tag = q->tag;
    question_free(q);
    if (to) reply(to, tag, status, result);
}

void orr_node_answer(struct orr_asked *a, int status, struct orr_slice result) {
    struct orri_question *q = (struct orri_question *)(void *)a;
    bool large = result.size > q->node->cfg.message_bytes_max;
    orri_rpc_answer(q, large ? ORR_EFAILED : status, large ? nothing : result);
}

static void tell_gone(struct orri_question *q) {
    struct orr_node *n = q->node;
    q->peer = NULL;
    orri_heap_unset(&n->heap, &q->alarm.timer);
    if (q->wait.done) {             /* of a group: nobody but this node is concerned */
        orr_wait_cancel(&q->wait);
        orri_results_clear(&q->results);
        question_free(q);
    } else if (n->host.ops->gone) {
        n->host.ops->gone(n->host.ud, &q->asked);
    }
}

static void late(struct orri_alarm *alarm) {
    struct orri_question *q = ORRI_OWNER(alarm, struct orri_question, alarm);
    reply(q->peer, q->tag, ORR_EUNKNOWN, nothing);
    tell_gone(q);
}

static struct orri_question *question_new(struct orri_peer *from, const struct orri_message *m, orr_time deadline) {
    struct orr_node *n = from->node;
    struct orri_host *h = &n->host;
    struct orri_question *q = h->spare_questions;
    if (q) h->spare_questions = q->next;
    else q = orri_node_resize(n, NULL, 0, sizeof *q);
    if (!q) return NULL;
    bool cast = m->kind == ORRI_MESSAGE_CAST;
    *q = (struct orri_question){ .node = n, .peer = cast ? NULL : from, .tag = m->tag, .alarm.fire = late,
                                 .next = h->asked };
    q->asked = (struct orr_asked){ .from = from->id, .from_name = from->name, .cast = cast, .deadline = deadline,
                                   .name = m->name, .args = m->body };
    if (q->next) q->next->before = q;
    h->asked = q;
    h->n_asked++;
    if (q->asked.from == ORR_NOBODY) h->n_visitors++;
    return q;
}

/* What a handler may hand on ends a reserve before its asker's time; the handler itself half of that later, so that it
 * can still answer about a callee that was late. */
static orr_time deadline_of(const struct orr_node *n, const struct orri_message *m, orr_time clock, orr_time *grace) {
    *grace = 0;
    if (m->kind == ORRI_MESSAGE_CAST || m->when == ORR_NEVER) return ORR_NEVER;
    orr_time left = m->when - clock, reserve = left / 20 < RESERVE_MAX ? left / 20 : RESERVE_MAX;
    if (left <= 0) return n->now;
    *grace = reserve / 2;
    return n->now + (left < LEFT_MAX ? left - reserve : LEFT_MAX);
}

/* Why it is not taken at all. */
static int refusal(const struct orri_peer *from, orr_time deadline) {
    const struct orr_node *n = from->node;
    if (n->phase != ORRI_NODE_RUNNING) return ORR_EUNAVAILABLE;
    if (deadline <= n->now) return ORR_ETIMEOUT;
    if (orri_is_visitor(from) && n->host.n_visitors >= (n->cfg.calls_max + 1) / 2) return ORR_EOVERLOADED;
    return n->host.n_asked >= n->cfg.calls_max ? ORR_EOVERLOADED : 0;
}

static int hand_over(struct orri_question *q, orr_time grace) {
    struct orr_node *n = q->node;
    struct orri_host *h = &n->host;
    if (!h->ops || !h->ops->asked) return ORR_EINVALID;
    if (q->asked.deadline != ORR_NEVER && orri_heap_set(&n->heap, &q->alarm.timer, q->asked.deadline + grace) < 0)
        return ORR_EOVERLOADED;
    return h->ops->asked(h->ud, &q->asked);
}

static void asked(struct orri_peer *from, const struct orri_message *m, orr_time clock) {
    struct orr_node *n = from->node;
    orr_time grace, deadline = deadline_of(n, m, clock, &grace);
    int rc = refusal(from, deadline);
    struct orri_question *q = rc == 0 ? question_new(from, m, deadline) : NULL;
    if (rc == 0 && !q) rc = ORR_EOVERLOADED;
    if (m->kind == ORRI_MESSAGE_CAST) n->host.casts++;
    else n->host.calls++;
    if (rc == 0 && m->kind != ORRI_MESSAGE_CALL && m->kind != ORRI_MESSAGE_CAST) {
        orri_carry_asked(q, m->kind);
        return;
    }
    if (rc == 0) rc = hand_over(q, grace);
    if (rc == 0) return;            /* it may be answered by now */
    if (m->kind == ORRI_MESSAGE_CAST) n->host.casts_dropped++;
    if (q) orri_rpc_answer(q, rc, nothing);
    else if (m->kind != ORRI_MESSAGE_CAST) reply(from, m->tag, rc, nothing);
}

/* There are at most calls_max, and cancelling is rare. */
static struct orri_question *find(const struct orri_peer *from, const uint64_t *tag) {
    struct orri_question *q = from->node->host.asked;
    while (q && (q->peer != from || (tag && q->tag != *tag))) q = q->next;
    return q;
}

static void canceled(struct orri_peer *from, uint64_t tag) {
    struct orri_question *q = find(from, &tag);
    if (q) tell_gone(q);
}

/* -- A frame, and the end of a connection -------------------------------------------------------------------------- */
/* Groups are the nodes' own, and nobody asks a visitor anything. */
static bool may_say(const struct orri_peer *from, enum orri_message_kind kind) {
    bool nodes_own = kind == ORRI_MESSAGE_PROPOSE || kind == ORRI_MESSAGE_READ || kind == ORRI_MESSAGE_READ_AGED ||
                     kind == ORRI_MESSAGE_REPLY;
    return !nodes_own || !orri_is_visitor(from);
}

int orri_rpc_frame(struct orri_peer *from, struct orr_slice payload) {
    struct orri_message m;
    orr_time clock;
    size_t at;
    int rc = orri_messages_open(payload, &clock, &at);
    while (rc == 0 && (rc = orri_message_next(payload, &at, &m)) > 0) {
        if (!may_say(from, m.kind)) return ORR_EINVALID;
        rc = 0;
        switch (m.kind) {
        case ORRI_MESSAGE_CALL: case ORRI_MESSAGE_CAST: case ORRI_MESSAGE_PROPOSE: case ORRI_MESSAGE_READ:
        case ORRI_MESSAGE_READ_AGED:
            asked(from, &m, clock);
            break;
        case ORRI_MESSAGE_REPLY: answered(from, &m); break;
        case ORRI_MESSAGE_CANCEL: canceled(from, m.tag); break;
        case ORRI_MESSAGE_NOTHING: case ORRI_MESSAGE_KINDS: break;
        }
    }
    return rc;
}

void orri_rpc_lost(struct orri_peer *p) {
    struct orri_out *o = &p->out;
    struct orri_under_way *u;
    struct orri_question *q;
    orri_out_lost(p);
    while ((q = find(p, NULL))) tell_gone(q);       /* the host may answer any of them in that */
    while ((u = o->calls)) {                        /* and others may go to another replica, for this one is closed */
        int status = sent(u) ? ORR_EUNKNOWN : ORR_EUNAVAILABLE;
        if (u->kind == ORRI_IS_CARRIED) orri_carry_answered(u, status, nothing);
        else orri_wait_tell(u, status, nothing);
    }
    o->sent = o->queued;
}

void orri_rpc_clear(struct orr_node *n) {
    for (struct orri_question *q = n->host.asked, *next; q; q = next) {
        next = q->next;
        orri_results_clear(&q->results);
        orri_node_resize(n, q, sizeof *q, 0);
    }
    for (struct orri_question *q = n->host.spare_questions, *next; q; q = next) {
        next = q->next;
        orri_node_resize(n, q, sizeof *q, 0);
    }
    n->host.asked = n->host.spare_questions = NULL;
}

bool orr_node_peer(const struct orr_node *n, orr_id id, struct orr_peer_status *out) {
    const struct orri_peer *p = orri_names_peer((struct orr_node *)n, id);
    if (!p) return false;
    bool own = id == n->id;
    *out = (struct orr_peer_status){ .name = p->name, .linked = own || p->linked, .up = orri_out_open(p),
                                     .calls = p->out.n_calls, .queued = p->out.bytes };
    if (own) out->bundle = n->cfg.bundle;
    else if (p->up) out->bundle = p->up->hello.bundle;
    return true;
}
