/* out.c - what is said to a peer on the host's behalf: all messages of a turn in one frame.
 *
 * A message is written where it will be sent from; a large body is held instead. A packet becomes a frame when the turn
 * ends, and another one is begun above FRAME_BYTES, so that no frame keeps a heartbeat waiting. What the stream does
 * not take stays, up to the limit. Messages are numbered: those up to `sent` have left, and whatever is lost with the
 * connection, or withdrawn, is surely not done where its number is above that.
 *
 * The stream is shared with the groups, and whoever fills it makes them lose theirs: so nothing is given to one in
 * which more than SHARE bytes wait.                                                                                  */
#include <string.h>

#include "node/inner.h"

enum {
    FRAME_BYTES = 256 << 10, COPY_MAX = 4 << 10, SHARE = 1 << 20,
    CHUNK_MIN = 512, CHUNK_MAX = 64 << 10, PARTS_MIN = 8, PACKETS_KEPT = 16, PARTS_KEPT = 64
};
#define RETRY (1 * ORR_MS)

/* -- Packets ------------------------------------------------------------------------------------------------------- */
static void packet_free(struct orr_node *n, struct orri_packet *k) {
    orri_node_resize(n, k->parts, k->cap_parts * sizeof *k->parts, 0);
    orri_node_resize(n, k, sizeof *k, 0);
}

static void recycle(struct orr_node *n, struct orri_packet *k) {
    struct orri_host *h = &n->host;
    orr_chunk_drop(k->chunk);
    for (size_t i = 0; i < k->n_parts; i++) orr_drop(k->parts[i]);
    if (h->n_spare_packets == PACKETS_KEPT || k->cap_parts > PARTS_KEPT) {
        packet_free(n, k);
        return;
    }
    *k = (struct orri_packet){ .next = h->spare_packets, .parts = k->parts, .cap_parts = k->cap_parts };
    h->spare_packets = k;
    h->n_spare_packets++;
}

static struct orri_packet *packet_new(struct orr_node *n, struct orri_out *o) {
    struct orri_host *h = &n->host;
    struct orri_packet *k = h->spare_packets;
    if (k) {
        h->spare_packets = k->next;
        h->n_spare_packets--;
        k->next = NULL;
    } else {
        k = orri_node_resize(n, NULL, 0, sizeof *k);
        if (!k) return NULL;
        *k = (struct orri_packet){ 0 };
    }
    if (o->tail) o->tail->next = k;
    else o->head = k;
    o->tail = k;
    return k;
}

/* Room for `more` parts, and one for the bytes that are being filled. */
static bool reserve_parts(struct orr_node *n, struct orri_packet *k, size_t more) {
    size_t need = k->n_parts + more + 1;
    if (need <= k->cap_parts) return true;
    size_t cap = 2 * k->cap_parts > PARTS_MIN ? 2 * k->cap_parts : PARTS_MIN;
    if (cap < need) cap = need;
    void *parts = orri_node_resize(n, k->parts, k->cap_parts * sizeof *k->parts, cap * sizeof *k->parts);
    if (!parts) return false;
    k->parts = parts;
    k->cap_parts = cap;
    return true;
}

/* What is filled so far becomes a part. */
static void close_part(struct orri_packet *k) {
    if (k->from == k->to) return;
    k->parts[k->n_parts++] = orr_hold((struct orr_slice){ k->chunk, k->chunk->at + k->from, k->to - k->from });
    k->from = k->to;
}

/* `size` bytes in a row. */
static unsigned char *room(struct orr_node *n, const struct orri_out *o, struct orri_packet *k, size_t size) {
    if (!k->chunk || k->room - k->to < size) {
        size_t cap = k->chunk ? CHUNK_MAX : o->hint < CHUNK_MIN ? CHUNK_MIN : o->hint > CHUNK_MAX ? CHUNK_MAX : o->hint;
        struct orr_chunk *chunk = n->w->chunks->get(n->w->chunks, cap > size ? cap : size);
        if (!chunk) return NULL;
        if (k->chunk) close_part(k);
        orr_chunk_drop(k->chunk);
        k->chunk = chunk;
        k->from = k->to = 0;
        k->room = chunk->cap;
    }
    return k->chunk->at + k->to;
}

static bool is_own(const struct orri_peer *p) { return p->id == p->node->id; }

bool orri_out_open(const struct orri_peer *p) {
    const struct orr_node *n = p->node;
    if (n->phase != ORRI_NODE_RUNNING && n->phase != ORRI_NODE_LEAVING) return false;
    return is_own(p) ? !n->closing : p->up && p->up->hello.newest >= ORRI_PROTOCOL_RPC;
}

static void list(struct orri_peer *p) {
    struct orri_host *h = &p->node->host;
    if (p->out.listed) return;
    p->out.listed = true;
    p->out.next = NULL;
    if (h->out_last) h->out_last->out.next = p;
    else h->out = p;
    h->out_last = p;
}

void orri_out_unlist(struct orri_peer *p) {
    struct orri_host *h = &p->node->host;
    struct orri_peer *before = NULL, *at = h->out;
    if (!p->out.listed) return;
    for (; at != p; at = at->out.next) before = at;
    if (before) before->out.next = p->out.next;
    else h->out = p->out.next;
    if (h->out_last == p) h->out_last = before;
    p->out.listed = false;
}

static size_t bytes_max(const struct orri_peer *p) {
    return orri_is_visitor(p) ? orri_visitor_bytes_max(p->node) : p->node->cfg.peer_bytes_max;
}

int orri_out_put(struct orri_peer *p, const struct orri_message *m, bool must, unsigned char **at) {
    struct orr_node *n = p->node;
    struct orri_out *o = &p->out;
    size_t head = orri_message_head_size(m), size = head + m->body.size;
    bool copied = m->body.size <= COPY_MAX || !m->body.chunk;
    if (!orri_out_open(p)) return ORR_EUNAVAILABLE;
    if (!must && o->bytes + size > bytes_max(p)) return ORR_EOVERLOADED;
    struct orri_packet *k = o->tail;
    if (!k || (k->bytes && k->bytes + size > FRAME_BYTES)) k = packet_new(n, o);
    if (!k || !reserve_parts(n, k, 3)) return -ENOMEM;
    unsigned char *to = room(n, o, k, copied ? size : head);
    if (!to) return -ENOMEM;
    orri_message_write(to, m);
    if (copied && m->body.size) memcpy(to + head, m->body.at, m->body.size);
    k->to += copied ? size : head;
    if (!copied) {
        close_part(k);
        k->parts[k->n_parts++] = orr_hold(m->body);
    }
    k->bytes += size;
    o->bytes += size;
    k->last = ++o->queued;
    *at = to;
    list(p);
    orri_host_wake(n);
    return 0;
}

/* -- Out ----------------------------------------------------------------------------------------------------------- */
static struct orri_packet *take_head(struct orri_out *o) {
    struct orri_packet *k = o->head;
    o->head = k->next;
    if (!o->head) o->tail = NULL;
    o->bytes -= k->bytes;
    o->hint = k->bytes + k->bytes / 4;
    return k;
}

void orri_out_lost(struct orri_peer *p) {
    struct orri_out *o = &p->out;
    while (o->head) recycle(p->node, take_head(o));
}

static bool flush_one(struct orri_peer *p, struct orri_packet *k) {
    struct orr_node *n = p->node;
    unsigned char clock[ORRI_MESSAGES_HEAD];
    const struct orri_frame frame = { .kind = ORRI_FRAME_RPC, .channel = 1 };
    if (n->w->ops->queued(n->w, p->up->stream) > SHARE) return false;
    close_part(k);
    orri_put_le(clock, (uint64_t)n->now, 8);
    return orri_peer_send(p, &frame, orr_borrow(clock, sizeof clock), k->parts, k->n_parts) == 0;
}

static void flush(struct orri_peer *p) {
    struct orr_node *n = p->node;
    uint64_t before = p->out.sent;
    while (p->out.head && flush_one(p, p->out.head)) {
        p->out.sent = p->out.head->last;
        recycle(n, take_head(&p->out));
    }
    if (orri_is_visitor(p)) orri_visitor_flushed(p, p->out.sent != before);
    else if (p->out.head) orri_node_alarm(n, &n->host.retry, n->now + RETRY);
}

/* Its own frames as one piece: they go no way on which they would be put together. */
static bool joined(struct orr_node *n, struct orri_packet *k, struct orr_slice *out) {
    struct orr_chunk *c = n->w->chunks->get(n->w->chunks, ORRI_MESSAGES_HEAD + k->bytes);
    if (!c) return false;
    close_part(k);
    orri_put_le(c->at, (uint64_t)n->now, 8);
    struct orr_writer w = orri_writer(c->at + ORRI_MESSAGES_HEAD, k->bytes);
    for (size_t i = 0; i < k->n_parts; i++) orri_write_bytes(&w, k->parts[i].at, k->parts[i].size);
    ORR_ASSERT(!w.failed && w.at == w.end);
    *out = (struct orr_slice){ c, c->at, ORRI_MESSAGES_HEAD + k->bytes };
    return true;
}

bool orri_outs_own(struct orr_node *n) {
    struct orri_peer *me = n->me;
    struct orri_packet *end = me->out.tail, *k = NULL;
    struct orr_slice payload;
    if (!end) return false;
    while (k != end && joined(n, me->out.head, &payload)) {       /* what is asked meanwhile comes in the next pass */
        k = me->out.head;
        me->out.sent = k->last;
        recycle(n, take_head(&me->out));
        int rc = orri_rpc_frame(me, payload);
        ORR_ASSERT(rc == 0);
        orr_drop(payload);
    }
    return true;
}

void orri_outs_flush(struct orr_node *n) {
    struct orri_host *h = &n->host;
    struct orri_peer *p = h->out, *next;
    h->out = h->out_last = NULL;
    for (; p; p = next) {
        next = p->out.next;
        p->out.listed = false;
        if (p->out.head && !is_own(p)) flush(p);
        if (p->out.head) list(p);
    }
}

void orri_outs_clear(struct orr_node *n) {
    for (size_t i = 0; i < n->n_peers; i++) orri_out_lost(&n->peers[i]);
    for (struct orri_visitor *v = n->visitors; v; v = v->next) orri_out_lost(&v->peer);
    for (struct orri_packet *k = n->host.spare_packets, *next; k; k = next) {
        next = k->next;
        packet_free(n, k);
    }
    n->host.spare_packets = NULL;
    n->host.n_spare_packets = 0;
}
