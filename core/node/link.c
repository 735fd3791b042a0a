/* link.c - one connection between two nodes: the handshake, then frames.
 *
 *     dialer                              acceptor
 *     HELLO ───────────────────────────>  judges it; keeps its pin durably
 *     judges it; keeps its pin  <───────  HELLO
 *     PING  ───────────────────────────>  up
 *     up
 *
 * So neither side says anything else before it is sure of the other, and before what it now knows of the other survives
 * a power loss. Whoever says no says why, in a REFUSED frame; where that costs the other side its vote, it has said
 * HELLO before, so that the other side can tell who it is. A side that is half-open, slow or talks garbage is
 * closed. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "node/inner.h"

#define HANDSHAKE (2 * ORR_SECOND)
enum { PIECE = 16 << 10 /* bytes of an unfinished frame that count as a sign of life */ };

static void on_event(struct orri_endpoint *end, const struct orr_stream_event *ev);
static void on_alarm(struct orri_alarm *alarm);
static bool is_visitors(const struct orri_link *l) { return l->peer && orri_is_visitor(l->peer); }

static const char *name_of(const struct orri_link *l) { return l->peer ? l->peer->name : "a stranger"; }
static struct orri_note *note_of(struct orri_link *l) { return l->peer ? &l->peer->note : &l->node->note_stranger; }

/* -- Life ---------------------------------------------------------------------------------------------------------- */
struct orri_link *orri_link_new(struct orr_node *n, struct orr_stream *s, struct orri_peer *dialed) {
    struct orri_link *l = orri_node_resize(n, NULL, 0, sizeof *l);
    if (!l) return NULL;
    *l = (struct orri_link){ .end.event = on_event, .node = n, .peer = dialed, .stream = s, .dialed = dialed != NULL,
                             .stranger = !dialed, .state = dialed ? ORRI_LINK_CONNECTING : ORRI_LINK_HELLO,
                             .alarm.fire = on_alarm, .next = n->links, .heard = n->now, .said = n->now };
    if (n->links) n->links->before = l;
    n->links = l;
    if (l->stranger) n->n_strangers++;
    s->owner = &l->end;
    orri_node_alarm(n, &l->alarm, n->now + HANDSHAKE);
    return l;
}

void orri_link_known(struct orri_link *l) {
    if (l->stranger) l->node->n_strangers--;
    l->stranger = false;
}

void orri_link_free(struct orri_link *l) {
    struct orr_node *n = l->node;
    orri_link_known(l);
    if (l->before) l->before->next = l->next;
    else n->links = l->next;
    if (l->next) l->next->before = l->before;
    orri_heap_unset(&n->heap, &l->alarm.timer);
    orri_assembly_clear(&l->in);
    orri_node_resize(n, l, sizeof *l, 0);
}

void orri_link_close(struct orri_link *l, bool flush) {
    if (l->state == ORRI_LINK_CLOSING) return;
    l->state = ORRI_LINK_CLOSING;
    orri_link_known(l);
    orri_heap_unset(&l->node->heap, &l->alarm.timer);
    l->node->w->ops->close(l->node->w, l->stream, flush);
    orri_peer_gone(l);
}

/* -- Out ----------------------------------------------------------------------------------------------------------- */
static int reserve_parts(struct orr_node *n, size_t count) {
    if (count <= n->cap_parts) return 0;
    size_t cap = count < 64 ? 64 : 2 * count;
    void *p = orri_node_resize(n, n->parts, n->cap_parts * sizeof *n->parts, cap * sizeof *n->parts);
    if (!p) return -ENOMEM;
    n->parts = p;
    n->cap_parts = cap;
    return 0;
}

int orri_link_send(struct orri_link *l, const struct orri_frame *frame, struct orr_slice head,
                   const struct orr_slice *body, size_t n_body) {
    struct orr_node *n = l->node;
    unsigned char start[ORRI_FRAME_HEAD];
    if (reserve_parts(n, n_body + 2) < 0) return -ENOMEM;
    n->parts[1] = head;
    if (n_body) memcpy(n->parts + 2, body, n_body * sizeof *body);
    orri_frame_head(start, frame, n->parts + 1, n_body + 1);
    n->parts[0] = orr_borrow(start, sizeof start);
    int rc = n->w->ops->send(n->w, l->stream, frame->channel, n->parts, n_body + 2);
    if (rc < 0) return rc;
    l->said = n->now;
    n->frames_out++;
    for (size_t i = 0; i < n_body + 2; i++) n->bytes_out += n->parts[i].size;
    return 0;
}

static int send_bytes(struct orri_link *l, enum orri_frame_kind kind, const void *at, size_t size) {
    return orri_link_send(l, &(struct orri_frame){ .kind = kind }, orr_borrow(at, size), NULL, 0);
}

static void say_hello(struct orri_link *l) {
    const struct orr_node *n = l->node;
    const struct orri_identity *id = &n->identity;
    struct orri_hello h = { .oldest = ORRI_PROTOCOL_OLDEST,
                            .newest = ORRI_PROTOCOL_NEWEST,
                            .cluster = id->cluster,
                            .id = n->id,
                            .birth = id->birth,
                            .incarnation = id->incarnation,
                            .nonce = id->nonce,
                            .bundle = n->cfg.bundle };
    unsigned char bytes[ORRI_HELLO_MAX];
    memcpy(h.trail, id->trail, sizeof h.trail);
    memcpy(h.name, n->name, strlen(n->name) + 1);
    for (size_t i = 0; i < n->n_groups; i++) {
        const struct orr_group *g = n->groups[i];
        if (!g->x) continue;
        h.groups[h.n_groups++] = (struct orri_hello_group){ g->number, g->durable_term, g->status.stored };
    }
    if (send_bytes(l, ORRI_FRAME_HELLO, bytes, orri_hello_write(&h, bytes)) < 0) orri_link_close(l, false);
}

void orri_link_refuse(struct orri_link *l, enum orri_refusal reason, const char *format, ...) {
    const struct orri_identity *id = &l->node->identity;
    struct orri_refused r = { .reason = reason, .cluster = id->cluster, .id = l->node->id, .birth = id->birth };
    unsigned char bytes[ORRI_REFUSED_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r.text, sizeof r.text, format, args);
    va_end(args);
    orri_node_log_rarely(l->node, note_of(l), ORR_LOG_WARN, "refused %s: %s: %s", name_of(l), orri_refusal_word(reason),
                         r.text);
    (void)send_bytes(l, ORRI_FRAME_REFUSED, bytes, orri_refused_write(&r, bytes, sizeof bytes));
    orri_link_close(l, true);
}

/* -- The handshake ------------------------------------------------------------------------------------------------- */
/* Is the other side somebody that this node talks to? Refuses it where not. */
static bool acceptable(struct orri_link *l, const struct orri_hello *h) {
    struct orr_node *n = l->node;
    struct orri_peer *p = orri_names_peer(n, h->id);
    if (h->newest < ORRI_PROTOCOL_OLDEST || h->oldest > ORRI_PROTOCOL_NEWEST) {
        orri_link_refuse(l, ORRI_REFUSED_VERSION, "%s speaks protocol %d to %d", n->name, ORRI_PROTOCOL_OLDEST,
                         ORRI_PROTOCOL_NEWEST);
    } else if (h->cluster != n->identity.cluster) {
        orri_link_refuse(l, ORRI_REFUSED_CLUSTER, "%s is of cluster %s, founded as %016llx, not %016llx", n->name,
                         n->cluster, (unsigned long long)n->identity.cluster, (unsigned long long)h->cluster);
    } else if (!p || p->id == n->id || (l->peer && l->peer != p)) {
        orri_link_refuse(l, ORRI_REFUSED_STRANGER, "%s did not expect %s here", n->name, h->name);
    } else if (!p->linked) {
        orri_link_refuse(l, ORRI_REFUSED_LINK, "the cluster has no link between %s and %s", n->name, p->name);
    } else {
        l->peer = p;
        return true;
    }
    return false;
}

static void on_hello(struct orri_link *l, struct orr_slice payload) {
    struct orr_node *n = l->node;
    struct orri_hello *h = &l->hello;
    bool changed = false;
    if (orri_hello_read(payload, h) < 0) {
        orri_link_refuse(l, ORRI_REFUSED_VERSION, "that is no HELLO that %s can read", n->name);
        return;
    }
    if (!acceptable(l, h)) return;
    if (!l->dialed && orri_peer_prefers_own(l->peer)) {     /* they cross: no word, for nothing is wrong */
        orri_link_close(l, false);
        return;
    }
    enum orri_refusal verdict = orri_identity_meet(&n->identity, h, &changed);
    if (!l->dialed && (verdict == ORRI_REFUSED_BIRTH || verdict == ORRI_REFUSED_MEMORY)) {
        say_hello(l);
        if (l->state == ORRI_LINK_CLOSING) return;
    }
    if (verdict == ORRI_REFUSED_BIRTH) {
        orri_link_refuse(l, verdict, "%s knows %s with another data directory", n->name, l->peer->name);
    } else if (verdict == ORRI_REFUSED_MEMORY) {
        orri_link_refuse(l, verdict,
                         "%s has met a start of %s that its start number %u knows nothing of: its disk is an older one",
                         n->name, l->peer->name, h->incarnation);
    } else if (verdict != ORRI_WELCOME) {
        orri_link_refuse(l, verdict, "%s has no room now", n->name);
    } else {
        if (changed || ORR_RARE(n->w, "link.saves_again")) orri_node_save(n);
        l->state = ORRI_LINK_PIN;
        l->pin = n->saves;
        if (n->saved >= l->pin) orri_link_pinned(l);
    }
}

void orri_link_pinned(struct orri_link *l) {
    if (l->dialed) {
        if (send_bytes(l, ORRI_FRAME_PING, NULL, 0) < 0) {
            orri_link_close(l, false);
            return;
        }
        orri_peer_up(l);
    } else {
        l->state = ORRI_LINK_READY;
        say_hello(l);
    }
}

void orri_link_bad(struct orri_link *l, const char *what) {
    l->node->frames_bad++;
    orri_node_log_rarely(l->node, &l->node->note_bad, ORR_LOG_WARN, "closed the connection of %s: %s", name_of(l),
                         what);
    orri_link_close(l, false);
}

/* Does this refusal come from the peer that the link is with? One that was met before shows the birth that it had then;
 * one that wasn't has said HELLO on this very connection. */
static bool proven(const struct orri_link *l, const struct orri_refused *r) {
    const struct orri_identity *id = &l->node->identity;
    if (!l->peer || r->id != l->peer->id || r->cluster != id->cluster) return false;
    const struct orri_pin *pin = orri_identity_pin(id, r->id);
    if (!pin && l->hello.id != r->id) return false;
    return memcmp(&r->birth, pin ? &pin->birth : &l->hello.birth, sizeof r->birth) == 0;
}

static void on_refused(struct orri_link *l, struct orr_slice payload) {
    struct orri_refused r;
    struct orr_node *n = l->node;
    if (orri_refused_read(payload, &r) < 0)
        r = (struct orri_refused){ .reason = ORRI_REFUSED_VERSION, .text = "unreadable" };
    bool forgot = r.reason == ORRI_REFUSED_BIRTH || r.reason == ORRI_REFUSED_MEMORY;
    if (forgot && !proven(l, &r)) {
        orri_link_bad(l, "a refusal that is not its own");
        return;
    }
    orri_node_log_rarely(n, note_of(l), ORR_LOG_WARN, "%s refused this node: %s: %s", name_of(l),
                         orri_refusal_word(r.reason), r.text);
    orri_link_close(l, false);
    if (forgot) orri_node_disenfranchise(n, r.text);
}

/* -- In ------------------------------------------------------------------------------------------------------------ */
static void on_group_frame(struct orri_link *l, const struct orri_frame *f) {
    struct orr_node *n = l->node;
    for (size_t i = 0; i < n->n_groups; i++) {
        if (n->groups[i]->number != f->group) continue;
        orri_group_frame(n->groups[i], l, f);
        return;
    }
}

static void on_messages(struct orri_link *l, const struct orri_frame *f) {
    if (f->group || orri_rpc_frame(l->peer, f->payload) < 0) orri_link_bad(l, "a message that can't be read");
}

static void on_bundle(struct orri_link *l, const struct orri_frame *f) {
    struct orr_birth *bundle = &l->hello.bundle;
    if (f->group || f->payload.size != sizeof bundle->b) {
        orri_link_bad(l, "a bundle that can't be read");
        return;
    }
    memcpy(bundle->b, f->payload.at, sizeof bundle->b);
    orri_peer_runs(l->peer);
}

static void on_frame(struct orri_link *l, const struct orri_frame *f) {
    if (is_visitors(l)) {
        orri_visitor_frame(l, f);
    } else if (f->kind == ORRI_FRAME_VISIT && l->state == ORRI_LINK_HELLO && !l->dialed) {
        orri_visitor_come(l, f->payload);
    } else if (f->kind == ORRI_FRAME_REFUSED) {
        on_refused(l, f->payload);
    } else if (f->kind == ORRI_FRAME_HELLO) {
        if (l->state == ORRI_LINK_HELLO) on_hello(l, f->payload);
        else orri_link_bad(l, "a second HELLO");
    } else if (l->state != ORRI_LINK_READY && l->state != ORRI_LINK_UP) {
        orri_link_bad(l, "it speaks before it says who it is");
    } else {
        if (l->state == ORRI_LINK_READY) orri_peer_up(l);
        if (l->state == ORRI_LINK_UP) orri_peer_heard(l->peer);
        if (l->state == ORRI_LINK_UP && f->kind == ORRI_FRAME_RPC) on_messages(l, f);
        else if (l->state == ORRI_LINK_UP && f->kind == ORRI_FRAME_BUNDLE) on_bundle(l, f);
        else if (l->state == ORRI_LINK_UP && (f->kind != ORRI_FRAME_PING || f->payload.size)) on_group_frame(l, f);
    }
}

static size_t payload_max(const struct orri_link *l) {
    if (is_visitors(l)) return orri_visitor_payload_max(l->node);
    return l->state >= ORRI_LINK_READY ? orri_node_payload_max(l->node) : (size_t)ORRI_HELLO_MAX;
}

static void on_data(struct orri_link *l, struct orr_slice in) {
    struct orr_node *n = l->node;
    struct orri_frame f;
    int rc = 1;
    n->bytes_in += in.size;
    l->piece += in.size;
    if (l->piece >= PIECE) l->heard = n->now, l->piece = 0;
    while (l->state != ORRI_LINK_CLOSING &&
           (rc = orri_assembly_next(&l->in, n->w->chunks, payload_max(l), &in, &f)) > 0) {
        n->frames_in++;
        l->heard = n->now;
        l->piece = 0;
        on_frame(l, &f);
    }
    if (l->state == ORRI_LINK_CLOSING || rc == 0) return;
    orri_link_bad(l, rc == ORR_EOVERLOADED ? "a frame above the limit"
                     : rc == ORR_ECORRUPT ? "a frame's checksum is wrong"
                     : rc == -ENOMEM ? "no memory for its frame" : "that is no frame");
}

static void on_event(struct orri_endpoint *end, const struct orr_stream_event *ev) {
    struct orri_link *l = ORRI_OWNER(end, struct orri_link, end);
    bool closing = l->state == ORRI_LINK_CLOSING;
    switch (ev->req.op) {
    case ORR_OP_CONNECTED:
        if (l->state != ORRI_LINK_CONNECTING) break;
        l->state = ORRI_LINK_HELLO;
        say_hello(l);
        break;
    case ORR_OP_DATA:
        if (!closing) on_data(l, ev->data);
        break;
    case ORR_OP_ROOM:
        if (l->state == ORRI_LINK_UP && !is_visitors(l)) orri_peer_room(l->peer);
        break;
    case ORR_OP_CLOSED:
        if (!closing) {
            l->state = ORRI_LINK_CLOSING;
            orri_peer_gone(l);
        }
        orri_link_free(l);
        break;
    default: break;
    }
}

/* -- Time ---------------------------------------------------------------------------------------------------------- */
static orr_time silence_max(const struct orr_node *n) {
    return 4 * n->cfg.election > ORR_SECOND ? 4 * n->cfg.election : ORR_SECOND;
}

static void on_alarm(struct orri_alarm *alarm) {
    struct orri_link *l = ORRI_OWNER(alarm, struct orri_link, alarm);
    struct orr_node *n = l->node;
    orr_time ping = orri_node_ping(n);
    if (is_visitors(l)) {
        orri_visitor_alarm(l);
        return;
    }
    if (l->state != ORRI_LINK_UP) {
        orri_node_log_rarely(n, note_of(l), ORR_LOG_INFO, "%s did not finish the handshake in time", name_of(l));
        orri_link_close(l, false);
        return;
    }
    if (n->now - l->heard >= silence_max(n)) {
        orri_node_log(n, ORR_LOG_INFO, "nothing heard from %s for %lld ms: connection closed", l->peer->name,
                 (long long)((n->now - l->heard) / ORR_MS));
        orri_link_close(l, false);
        return;
    }
    if (ORR_RARE(n->w, "link.closes")) {
        orri_link_close(l, false);
        return;
    }
    if (n->now - l->said >= ping || ORR_RARE(n->w, "link.early_ping")) (void)send_bytes(l, ORRI_FRAME_PING, NULL, 0);
    orri_node_alarm(n, &l->alarm, l->said + ping > n->now ? l->said + ping : n->now + ping);
}
