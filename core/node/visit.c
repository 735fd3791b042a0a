/* visit.c - a visitor's own side (orrery/visit.h): it comes, asks, and hears answers.
 *
 *     closed ── open ──> opening: connects, says VISIT ── WELCOME ──> open
 *        ^                  |  REFUSED, nobody there, too late          |  lost, closed, garbage
 *        └──────────────────┴──────────────────────────────────────────┘
 *
 * A message is a frame of its own, and goes to the stream at once, which holds what can't leave yet and refuses what is
 * too much. So everything that was accepted counts as sent. Answers come in the order in which the node has them, and
 * are told at the turn's end: nothing that is told can pull the stream from under what reads it.                     */
#include <orrery/visit.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "node/frame.h"
#include "node/message.h"
#include "node/welcome.h"

static const orr_id whom = 1;       /* in the world's book of peers: there is one */
static const struct orr_slice nothing;

struct calls {                      /* in order */
    struct orr_visit_call *first, *last;
};
struct orr_visit {
    struct orr_world *w;
    struct orr_visit_config cfg;
    char wanted[ORRI_NAME_MAX + 1]; /* the cluster's name */
    enum orr_visit_state state;
    struct orr_stream *stream;      /* NULL: none, or it was given up */
    struct orri_assembly in;
    orr_time give_up;               /* OPENING: at the latest */
    struct orri_welcome node;
    int error;
    char why[ORRI_REFUSAL_TEXT_MAX + 1];
    struct calls asked, told;
    size_t n_asked;
    uint64_t tag;                   /* of the last call */
    bool in_turn;
};

static void turn(void *ud);

/* -- Life ---------------------------------------------------------------------------------------------------------- */
void orr_visit_config_init(struct orr_visit_config *cfg) {
    *cfg = (struct orr_visit_config){ .size = sizeof *cfg, .greeting = 2 * ORR_SECOND, .answer_bytes_max = 64 << 20 };
}

int orr_visit_new(struct orr_visit **out, struct orr_world *w, const struct orr_visit_config *cfg) {
    size_t size = cfg->cluster ? strlen(cfg->cluster) : 0;
    if (size > ORRI_NAME_MAX || cfg->greeting <= 0 || cfg->answer_bytes_max > UINT32_MAX / 2) return ORR_EINVALID;
    struct orr_visit *v = w->alloc.fn(w->alloc.ud, NULL, 0, sizeof *v);
    if (!v) return -ENOMEM;
    *v = (struct orr_visit){ .w = w, .cfg = *cfg, .give_up = ORR_NEVER };
    if (size) memcpy(v->wanted, cfg->cluster, size);
    v->cfg.cluster = v->wanted;
    w->wake = turn;
    w->ud = v;
    *out = v;
    return 0;
}

void orr_visit_free(struct orr_visit *v) {
    if (!v) return;
    struct orr_alloc alloc = v->w->alloc;
    for (struct orr_visit_call *c = v->told.first; c; c = c->next) orr_drop(c->result);
    orri_assembly_clear(&v->in);
    v->w->wake = NULL;
    alloc.fn(alloc.ud, v, sizeof *v, 0);
}

/* -- What is under way --------------------------------------------------------------------------------------------- */
static void put(struct calls *list, struct orr_visit_call *c) {
    c->next = NULL;
    c->before = list->last;
    if (list->last) list->last->next = c;
    else list->first = c;
    list->last = c;
}

static void take(struct calls *list, struct orr_visit_call *c) {
    if (c->before) c->before->next = c->next;
    else list->first = c->next;
    if (c->next) c->next->before = c->before;
    else list->last = c->before;
    c->next = c->before = NULL;
}

static void wake_up(struct orr_visit *v) {
    if (!v->in_turn) v->w->ops->alarm(v->w, v->w->ops->now(v->w), 0);
}

static void tell(struct orr_visit *v, struct orr_visit_call *c, int status, struct orr_slice result) {
    take(&v->asked, c);
    v->n_asked--;
    c->status = status;
    c->result = orr_hold(result);
    c->told = true;
    put(&v->told, c);
}

/* Those that are told by now: each may ask, cancel, close, open. */
static void tell_all(struct orr_visit *v) {
    const struct orr_visit_call *last = v->told.last;
    for (bool more = last != NULL; more && v->told.first;) {
        struct orr_visit_call *c = v->told.first;
        struct orr_slice result = c->result;
        more = c != last;
        take(&v->told, c);
        c->tag = 0;
        c->told = false;
        c->done(c);
        orr_drop(result);
    }
}

/* -- The end of a connection --------------------------------------------------------------------------------------- */
static void end(struct orr_visit *v, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void end(struct orr_visit *v, int error, const char *format, ...) {
    va_list args;
    if (v->state == ORR_VISIT_CLOSED) return;
    va_start(args, format);
    (void)vsnprintf(v->why, sizeof v->why, format, args);
    va_end(args);
    v->state = ORR_VISIT_CLOSED;
    v->error = error;
    v->give_up = ORR_NEVER;
    if (v->stream) {
        v->stream->owner = NULL;
        v->w->ops->close(v->w, v->stream, false);
    }
    v->stream = NULL;
    while (v->asked.first) tell(v, v->asked.first, ORR_EUNKNOWN, nothing);
    wake_up(v);
}

void orr_visit_close(struct orr_visit *v) { end(v, ORR_ECLOSED, "closed"); }

/* -- Coming -------------------------------------------------------------------------------------------------------- */
int orr_visit_open(struct orr_visit *v, const char *address) {
    struct orr_world *w = v->w;
    if (v->state != ORR_VISIT_CLOSED) return ORR_EBUSY;
    int rc = w->ops->peer(w, whom, address);
    if (rc == 0) rc = w->ops->connect(w, whom, &v->stream);
    if (rc < 0) return rc;
    v->stream->owner = v;
    orri_assembly_clear(&v->in);
    v->state = ORR_VISIT_OPENING;
    v->error = 0;
    v->why[0] = '\0';
    v->give_up = w->ops->now(w) + v->cfg.greeting;
    if (!v->in_turn) w->ops->alarm(w, v->give_up, 0);
    return 0;
}

static int send(struct orr_visit *v, enum orri_frame_kind kind, struct orr_slice head, struct orr_slice body) {
    unsigned char start[ORRI_FRAME_HEAD];
    struct orr_slice parts[] = { { 0 }, head, body };
    const struct orri_frame frame = { .kind = kind, .channel = kind == ORRI_FRAME_RPC };
    orri_frame_head(start, &frame, parts + 1, 2);
    parts[0] = orr_borrow(start, sizeof start);
    return v->w->ops->send(v->w, v->stream, frame.channel, parts, 3);
}

static void connected(struct orr_visit *v) {
    struct orri_visit_hello h = { .oldest = ORRI_PROTOCOL_RPC, .newest = ORRI_PROTOCOL_NEWEST };
    unsigned char bytes[ORRI_VISIT_MAX];
    memcpy(h.cluster, v->wanted, sizeof h.cluster);
    int rc = send(v, ORRI_FRAME_VISIT, orr_borrow(bytes, orri_visit_hello_write(&h, bytes)), nothing);
    if (rc < 0) end(v, ORR_EUNAVAILABLE, "%s", orr_strerror(rc));
}

static void welcomed(struct orr_visit *v, struct orr_slice payload) {
    if (orri_welcome_read(payload, &v->node) < 0) {
        v->node = (struct orri_welcome){ 0 };
        end(v, ORR_ECORRUPT, "its welcome can't be read");
        return;
    }
    v->state = ORR_VISIT_OPEN;
    v->give_up = ORR_NEVER;
}

static void refused(struct orr_visit *v, struct orr_slice payload) {
    struct orri_refused r;
    if (orri_refused_read(payload, &r) < 0) {
        end(v, ORR_ECORRUPT, "it said no, and can't be understood");
        return;
    }
    int error = r.reason == ORRI_REFUSED_REMOTE ? ORR_EDENIED
                : r.reason == ORRI_REFUSED_BUSY ? ORR_EOVERLOADED : ORR_EINVALID;
    end(v, error, "%s", r.text);
}

/* -- In ------------------------------------------------------------------------------------------------------------ */
static struct orr_visit_call *find(const struct orr_visit *v, uint64_t tag) {
    struct orr_visit_call *c = v->asked.first;
    while (c && c->tag != tag) c = c->next;
    return c;
}

static void answers(struct orr_visit *v, struct orr_slice payload) {
    struct orri_message m;
    orr_time clock;
    size_t at;
    int rc = orri_messages_open(payload, &clock, &at);
    while (rc == 0 && (rc = orri_message_next(payload, &at, &m)) > 0) {
        rc = m.kind == ORRI_MESSAGE_REPLY ? 0 : ORR_EINVALID;
        struct orr_visit_call *c = rc == 0 ? find(v, m.tag) : NULL;
        if (c) tell(v, c, (int)m.when, m.body);             /* else nobody waits for it any more */
    }
    if (rc < 0) end(v, ORR_ECORRUPT, "its answers can't be read");
}

static void on_frame(struct orr_visit *v, const struct orri_frame *f) {
    if (f->group || (v->state == ORR_VISIT_OPEN) != (f->kind == ORRI_FRAME_RPC)) {
        if (f->kind == ORRI_FRAME_REFUSED) refused(v, f->payload);
        else end(v, ORR_ECORRUPT, "it talks as no node does to a visitor");
    } else if (f->kind == ORRI_FRAME_RPC) {
        answers(v, f->payload);
    } else if (f->kind == ORRI_FRAME_WELCOME) {
        welcomed(v, f->payload);
    } else if (f->kind == ORRI_FRAME_REFUSED) {
        refused(v, f->payload);
    } else {
        end(v, ORR_ECORRUPT, "it talks as no node does to a visitor");
    }
}

static size_t payload_max(const struct orr_visit *v) {
    size_t most = v->node.bytes_max < v->cfg.answer_bytes_max ? v->node.bytes_max : v->cfg.answer_bytes_max;
    return v->state == ORR_VISIT_OPEN ? orri_visit_payload_max(most) : (size_t)ORRI_REFUSED_MAX;
}

static void on_data(struct orr_visit *v, struct orr_slice in) {
    struct orri_frame f;
    int rc = 1;
    while (v->state != ORR_VISIT_CLOSED &&
           (rc = orri_assembly_next(&v->in, v->w->chunks, payload_max(v), &in, &f)) > 0)
        on_frame(v, &f);
    if (rc == ORR_EOVERLOADED && v->state == ORR_VISIT_OPEN) end(v, ORR_ECORRUPT, "an answer above the limit came");
    else if (rc == -ENOMEM) end(v, ORR_EUNAVAILABLE, "no memory for an answer");
    else if (rc < 0) end(v, ORR_ECORRUPT, "what it says is no frame of a node");
}

static void closed(struct orr_visit *v, int status) {
    bool opening = v->state == ORR_VISIT_OPENING;
    v->stream = NULL;
    if (status == 0 && opening) end(v, ORR_EUNAVAILABLE, "it closed the connection without a word");
    else if (status == 0) end(v, ORR_EUNAVAILABLE, "the node closed the connection");
    else if (opening) end(v, status == ORR_ETIMEOUT ? ORR_ETIMEOUT : ORR_EUNAVAILABLE, "%s", orr_strerror(status));
    else end(v, ORR_EUNAVAILABLE, "the connection was lost: %s", orr_strerror(status));
}

static void on_event(struct orr_visit *v, const struct orr_stream_event *ev) {
    if (ev->stream != v->stream) return;            /* one that was given up */
    switch (ev->req.op) {
    case ORR_OP_CONNECTED: connected(v); break;
    case ORR_OP_DATA: on_data(v, ev->data); break;
    case ORR_OP_CLOSED: closed(v, ev->req.status); break;
    default: break;
    }
}

/* -- Asking -------------------------------------------------------------------------------------------------------- */
static int post(struct orr_visit *v, const struct orri_message *m) {
    unsigned char head[ORRI_MESSAGES_HEAD + ORRI_MESSAGE_HEAD + UINT8_MAX];
    orri_put_le(head, (uint64_t)v->w->ops->now(v->w), 8);
    orri_message_write(head + ORRI_MESSAGES_HEAD, m);
    size_t size = ORRI_MESSAGES_HEAD + orri_message_head_size(m);
    int rc = send(v, ORRI_FRAME_RPC, orr_borrow(head, size), m->body);
    return rc == ORR_ECLOSED ? ORR_EUNAVAILABLE : rc;
}

static int judge(const struct orr_visit *v, struct orr_slice name, struct orr_slice args) {
    if (v->state != ORR_VISIT_OPEN) return ORR_EUNAVAILABLE;
    return name.size > 0 && name.size <= UINT8_MAX && args.size <= v->node.bytes_max ? 0 : ORR_EINVALID;
}

int orr_visit_call(struct orr_visit *v, struct orr_visit_call *c, struct orr_slice name, struct orr_slice args,
                   orr_time deadline) {
    ORR_ASSERT(c->done && !c->tag);
    struct orr_world *w = v->w;
    orr_time now = w->ops->now(w);
    const struct orri_message m = { ORRI_MESSAGE_CALL, ++v->tag, deadline, name, args };
    int rc = judge(v, name, args);
    if (rc == 0 && deadline <= now) rc = ORR_ETIMEOUT;
    if (rc == 0) rc = post(v, &m);
    if (rc < 0) return rc;
    c->tag = m.tag;
    c->deadline = deadline;
    c->told = false;
    put(&v->asked, c);
    v->n_asked++;
    wake_up(v);                                     /* for the alarm */
    return 0;
}

int orr_visit_cast(struct orr_visit *v, struct orr_slice name, struct orr_slice args) {
    const struct orri_message m = { .kind = ORRI_MESSAGE_CAST, .name = name, .body = args };
    int rc = judge(v, name, args);
    return rc == 0 ? post(v, &m) : rc;
}

void orr_visit_cancel(struct orr_visit *v, struct orr_visit_call *c) {
    const struct orri_message m = { .kind = ORRI_MESSAGE_CANCEL, .tag = c->tag };
    if (!c->tag) return;
    if (c->told) {
        take(&v->told, c);
        orr_drop(c->result);
    } else {
        take(&v->asked, c);
        v->n_asked--;
        (void)post(v, &m);                          /* what can't be said, its deadline says */
    }
    c->tag = 0;
    c->told = false;
}

/* -- The turn ------------------------------------------------------------------------------------------------------ */
static void expire(struct orr_visit *v, orr_time now) {
    if (now >= v->give_up) end(v, ORR_ETIMEOUT, "it let nobody in within %g s", (double)v->cfg.greeting / 1e9);
    for (struct orr_visit_call *c = v->asked.first, *next; c; c = next) {
        const struct orri_message m = { .kind = ORRI_MESSAGE_CANCEL, .tag = c->tag };
        next = c->next;
        if (c->deadline > now) continue;
        (void)post(v, &m);
        tell(v, c, ORR_EUNKNOWN, nothing);
    }
}

static void arm(struct orr_visit *v) {
    orr_time at = v->told.first ? v->w->ops->now(v->w) : v->give_up;
    for (const struct orr_visit_call *c = v->asked.first; c; c = c->next)
        if (c->deadline < at) at = c->deadline;
    v->w->ops->alarm(v->w, at, 0);
}

static void turn(void *ud) {
    struct orr_visit *v = ud;
    v->in_turn = true;
    for (struct orr_req *req; (req = v->w->ops->take(v->w));)
        on_event(v, (const struct orr_stream_event *)(const void *)req);
    expire(v, v->w->ops->now(v->w));
    tell_all(v);
    arm(v);
    v->in_turn = false;
}

void orr_visit_status(const struct orr_visit *v, struct orr_visit_status *out) {
    *out = (struct orr_visit_status){ .state = v->state,
                                      .error = v->error,
                                      .why = v->why,
                                      .node = v->node.node,
                                      .cluster = v->node.cluster_name,
                                      .cluster_id = v->node.cluster,
                                      .nonce = v->node.nonce,
                                      .incarnation = v->node.incarnation,
                                      .bytes_max = v->node.bytes_max,
                                      .calls = v->n_asked };
}
