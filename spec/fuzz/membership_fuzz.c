/* membership_fuzz.c - any bytes from peers: what is a packet is written back as the same bytes, and a membership that
 * is told lies goes on: it may believe them, but it doesn't break, nor say what nobody can read.
 *
 * Input: a byte that chooses the detector and whether the cluster is open; then records, each a byte that says what
 * comes: a packet of a peer (a byte of size, then from its kind on: what is before that is made to fit, and so is the
 * checksum), time that passes, an answer to what it asked last, or something of the node's own. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "membership/inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 28, PEERS = 4 };
static const char *const names[PEERS] = { "b", "c", "d", "stranger" };

struct rig {
    struct orr_membership *m;
    orr_time now;
    size_t n_keys;
    struct orri_packet ping, request;       /* the last that it sent */
};

static void same_bytes(struct orr_slice bytes) {
    static struct orri_facts facts;
    struct orri_packet p;
    unsigned char out[ORR_MEMBERSHIP_PACKET_MAX];
    if (!orri_packet_head(bytes) || orri_packet_read(bytes, &p, &facts) < 0) return;
    struct orr_writer w = orri_writer(out, sizeof out);
    orri_packet_write(&w, &p, orri_packet_cluster(bytes), orri_packet_sealed(bytes));
    for (size_t i = 0; i < facts.n; i++) {
        const unsigned char *from = w.at;
        orri_fact_write(&w, &facts.at[i]);
        if (!w.failed && (size_t)(w.at - from) != orri_fact_size(&facts.at[i])) abort();
    }
    if (w.failed || (size_t)(w.at - out) != bytes.size || memcmp(out, bytes.at, bytes.size) != 0) abort();
}

/* Whatever it says can be read, by one who has its keys. */
static void listen_to(struct rig *r) {
    const struct orr_membership_ready *rd;
    while ((rd = orr_membership_ready(r->m))) {
        static struct orri_facts facts;
        struct orri_packet p;
        struct orr_slice bytes = rd->packet.bytes;
        if (rd->kind == ORR_MEMBERSHIP_EVENT) {
            if (!rd->event.name[0]) abort();
            continue;
        }
        if (bytes.size > ORR_MEMBERSHIP_PACKET_MAX || !orri_packet_head(bytes)) abort();
        if (orri_packet_sealed(bytes) != (r->n_keys > 0)) abort();
        bytes.size -= r->n_keys ? ORRI_CODE : ORRI_SUM;
        if (orri_packet_read(bytes, &p, &facts) < 0 || p.to != rd->packet.to) abort();
        same_bytes(bytes);
        if (p.kind == ORRI_PING) r->ping = p;
        if (p.kind == ORRI_PING_REQ) r->request = p;
    }
}

static void receive(struct rig *r, unsigned from, const uint8_t *bytes, size_t size) {
    unsigned char packet[HEAD + 255 * 5 + ORRI_SUM];
    struct orr_writer w = orri_writer(packet, sizeof packet);
    orri_packet_write(&w, &(struct orri_packet){ .kind = ORRI_GOSSIP, .from = orr_id_of(names[from % PEERS]),
                                                 .to = orr_id_of("a") }, 7, false);
    memcpy(packet + HEAD, bytes, size);
    same_bytes(orr_borrow(packet, HEAD + size));
    size_t whole = orri_packet_sum(packet, HEAD + size);
    (void)orr_membership_recv(r->m, r->now, ORR_NOBODY, orr_borrow(packet, whole));
    (void)orr_membership_recv(r->m, r->now, ORR_NOBODY, orr_borrow(bytes, size));
}

static void answer(struct rig *r, unsigned number) {
    struct orri_packet p = number % 4 == 0 ? r->ping : r->request;
    unsigned char packet[ORR_MEMBERSHIP_PACKET_MAX + ORRI_SUM];
    struct orr_writer w = orri_writer(packet, ORR_MEMBERSHIP_PACKET_MAX);
    p.from = p.to;
    p.to = orr_id_of("a");
    p.kind = number % 4 == 0 ? ORRI_ACK : number % 4 == 1 ? ORRI_RELAYED : ORRI_NACK;
    orri_packet_write(&w, &p, 7, false);
    size_t size = orri_packet_sum(packet, (size_t)(w.at - packet));
    (void)orr_membership_recv(r->m, r->now, ORR_NOBODY, orr_borrow(packet, size));
}

static void look(const struct rig *r) {
    struct orr_member_why why;
    struct orr_member_info member;
    for (size_t i = 0; orr_membership_at(r->m, i, &member); i++) {
        orr_time rtt;
        double error;
        if (orr_membership_why(r->m, r->now, member.id, &why) < 0) abort();
        (void)orr_membership_estimate(r->m, orr_id_of("a"), member.id, &rtt, &error);
    }
}

static void own(struct rig *r, unsigned what, unsigned number) {
    unsigned char key[ORR_MEMBERSHIP_KEY] = { (unsigned char)(number % 3) };
    switch (what) {
    case 0: orr_membership_heard(r->m, r->now, orr_id_of(names[number % PEERS])); break;
    case 1: (void)orr_membership_tags(r->m, r->now, orr_borrow("red and blue", number % 13)); break;
    case 2: if (number == 255) orr_membership_leave(r->m, r->now); break;
    case 3: (void)orr_membership_know(r->m, r->now, names[number % PEERS], number & 4 ? "x" : "", number & 8); break;
    case 4: number ? answer(r, number) : look(r); break;
    case 5: r->n_keys += orr_membership_key_add(r->m, key) == 0 && r->m->keyring.n > r->n_keys; break;
    case 6: (void)orr_membership_key_primary(r->m, key); break;
    case 7: r->n_keys -= orr_membership_key_remove(r->m, key) == 0; break;
    default: break;
    }
}

static void step(struct rig *r, const uint8_t **at, const uint8_t *end) {
    unsigned what = *(*at)++, number = *at < end ? *(*at)++ : 0;
    if (what % 4 < 2) {
        size_t size = (what % 4 == 1 ? 5 : 1) * (size_t)number, left = (size_t)(end - *at);
        if (size > left) size = left;
        receive(r, what / 4, *at, size);
        *at += size;
    } else if (what % 4 == 2) {
        r->now += (orr_time)number * number * 10 * ORR_MS;
        for (unsigned i = 0; i < 100 && orr_membership_deadline(r->m) <= r->now; i++) orr_membership_tick(r->m, r->now);
    } else {
        own(r, what / 4 % 8, number);
    }
    listen_to(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rig r = { .now = ORR_SECOND };
    struct orr_membership_config cfg;
    unsigned first = size ? data[0] : 0;
    orr_membership_config_init(&cfg);
    cfg.self.name = "a";
    cfg.self.incarnation = 1;
    cfg.cluster = 7;
    cfg.detector = (enum orr_detector)(first % 3);
    cfg.open = first & 4;
    cfg.forget = first & 8 ? 60 * ORR_SECOND : 0;
    if (orr_membership_new(&r.m, &cfg, r.now, NULL) < 0) abort();
    for (unsigned i = 0; i < 3; i++) {
        if (orr_membership_know(r.m, r.now, names[i], "somewhere", i < 2) < 0) abort();
    }
    listen_to(&r);
    for (const uint8_t *at = data + (size > 0), *end = data + size; at < end;) step(&r, &at, end);
    orr_membership_free(r.m);
    return 0;
}
