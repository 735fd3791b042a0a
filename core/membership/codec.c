/* codec.c - packets and facts as bytes. Integers are little-endian; a blob is its size (a varint), then its bytes.
 *
 *     packet                                              bodies, by kind
 *      0   4  "OrM" and the format, 1                      1 PING, 2 ACK   sequence 4, coordinate 44
 *      4   8  cluster                                      3 PING_REQ      sequence 4, target's id 8, within 8 (ns)
 *     12   8  sender's id                                  4 RELAYED, 5 NACK   sequence 4
 *     20   8  receiver's id                                6 GOSSIP        -
 *     28   1  kind; plus 128: a code is at the end         7 SYNC          half 1, 64 halves of hashes, 4 each
 *     29   .  body                                         8 RECORDS       buckets wanted back 8 (bits), flags 1
 *      .   .  facts, up to the end                         9 HEARTBEAT     stamp 8, echo 8, held 8 (ns), coordinate 44
 *      .  16  code (keyring.h); without one   8  XXH3-64 of all before it: a flipped bit would be believed
 *
 *     fact: kind 1, incarnation 8, by 8, then
 *     kind 0..3 (alive, suspect, failed, left), whole:    version, age in ms (varints), name, address, zone, tags
 *     kind 5..7 (suspect, failed, left), in short:        id 8
 *
 * A fact bears a name where it is whole, which makes its id. Reading is total, and all of a packet is read before any
 * of it counts. */
#include <string.h>

#include "base/hash.h"
#include "membership/inner.h"

enum { HEAD = 29, MAGIC = 0x014d724f, SEALED = 0x80, SHORT = 4 };

/* -- Facts --------------------------------------------------------------------------------------------------------- */
static bool is_text(struct orr_slice s) { return s.size == 0 || !memchr(s.at, 0, s.size); }

static bool read_whole(struct orr_reader *r, struct orri_fact *f) {
    uint64_t version = orri_read_varint(r), age = orri_read_varint(r);
    f->name = orri_read_blob(r, ORR_MEMBER_NAME_MAX);
    f->address = orri_read_blob(r, ORR_MEMBER_ADDRESS_MAX);
    f->zone = orri_read_blob(r, ORR_MEMBER_ZONE_MAX);
    f->tags = orri_read_blob(r, ORR_MEMBER_TAGS_MAX);
    if (r->failed || version > UINT32_MAX || age > INT64_MAX / (uint64_t)ORR_MS / 2) return false;
    if (f->name.size == 0 || !is_text(f->name) || !is_text(f->address) || !is_text(f->zone)) return false;
    char name[ORR_MEMBER_NAME_MAX + 1];
    memcpy(name, f->name.at, f->name.size);
    name[f->name.size] = 0;
    f->id = orr_id_of(name);
    f->version = (uint32_t)version;
    f->age = (orr_time)age * ORR_MS;
    return true;
}

bool orri_fact_read(struct orr_reader *r, struct orri_fact *f) {
    unsigned kind = orri_read_u8(r);
    *f = (struct orri_fact){ .state = kind % SHORT, .whole = kind < SHORT };
    f->incarnation = orri_read_u64(r);
    f->by = orri_read_u64(r);
    if (r->failed || kind == SHORT || kind > SHORT + ORR_MEMBER_LEFT) return false;
    if (f->incarnation > ORRI_INCARNATION_MAX) return false;
    if (f->whole) return read_whole(r, f);
    f->id = orri_read_u64(r);
    return !r->failed && f->id != ORR_NOBODY;
}

static uint64_t age_ms(const struct orri_fact *f) { return f->age > 0 ? (uint64_t)(f->age / ORR_MS) : 0; }

void orri_fact_write(struct orr_writer *w, const struct orri_fact *f) {
    orri_write_u8(w, (uint8_t)(f->state + (f->whole ? 0 : SHORT)));
    orri_write_u64(w, f->incarnation);
    orri_write_u64(w, f->by);
    if (!f->whole) {
        orri_write_u64(w, f->id);
        return;
    }
    orri_write_varint(w, f->version);
    orri_write_varint(w, age_ms(f));
    orri_write_blob(w, f->name.at, f->name.size);
    orri_write_blob(w, f->address.at, f->address.size);
    orri_write_blob(w, f->zone.at, f->zone.size);
    orri_write_blob(w, f->tags.at, f->tags.size);
}

static size_t blob(struct orr_slice s) { return orri_varint_size(s.size) + s.size; }

size_t orri_fact_size(const struct orri_fact *f) {
    if (!f->whole) return 1 + 8 + 8 + 8;
    return 1 + 8 + 8 + orri_varint_size(f->version) + orri_varint_size(age_ms(f)) + blob(f->name) + blob(f->address) +
           blob(f->zone) + blob(f->tags);
}

/* -- Packets ------------------------------------------------------------------------------------------------------- */
bool orri_packet_head(struct orr_slice bytes) {
    return bytes.size >= HEAD && bytes.size <= ORR_MEMBERSHIP_PACKET_MAX && orri_get_le(bytes.at, 4) == MAGIC;
}
uint64_t orri_packet_cluster(struct orr_slice bytes) { return orri_get_le(bytes.at + 4, 8); }
bool orri_packet_sealed(struct orr_slice bytes) { return bytes.at[HEAD - 1] & SEALED; }
orr_id orri_packet_from(struct orr_slice bytes) { return orri_get_le(bytes.at + 12, 8); }
orr_id orri_packet_to(struct orr_slice bytes) { return orri_get_le(bytes.at + 20, 8); }

static void read_coordinate(struct orr_reader *r, struct orri_packet *p) {
    struct orr_slice at = orri_read_bytes(r, ORRI_COORDINATE);
    if (at.size) memcpy(p->coordinate, at.at, ORRI_COORDINATE);
}

static bool read_body(struct orr_reader *r, struct orri_packet *p) {
    switch (p->kind) {
    case ORRI_PING:
    case ORRI_ACK:
        p->sequence = orri_read_u32(r);
        read_coordinate(r, p);
        return true;
    case ORRI_PING_REQ:
        p->sequence = orri_read_u32(r);
        p->target = orri_read_u64(r);
        p->within = orri_read_i64(r);
        return p->within >= 0 && p->within <= ORRI_LONGEST;
    case ORRI_RELAYED:
    case ORRI_NACK: p->sequence = orri_read_u32(r); return true;
    case ORRI_GOSSIP: return true;
    case ORRI_SYNC:
        p->upper = orri_read_u8(r);
        for (unsigned i = 0; i < ORRI_BUCKETS; i++) p->buckets[i] = orri_read_u32(r);
        return p->upper <= 1;
    case ORRI_RECORDS:
        p->wanted = orri_read_u64(r);
        p->flags = orri_read_u8(r);
        return p->flags < 2 * ORRI_ANSWER;
    case ORRI_HEARTBEAT:
        p->sent = orri_read_i64(r);
        p->echo = orri_read_i64(r);
        p->held = orri_read_i64(r);
        read_coordinate(r, p);
        return p->held >= 0;
    default: return false;
    }
}

static bool read_facts(struct orr_reader *r, struct orri_facts *facts) {
    facts->n = 0;
    while (orri_left(r) > 0) {
        if (facts->n == ORRI_FACTS_MAX || !orri_fact_read(r, &facts->at[facts->n++])) return false;
    }
    return true;
}

int orri_packet_read(struct orr_slice bytes, struct orri_packet *out, struct orri_facts *facts) {
    struct orr_reader r = orri_reader(bytes.at + HEAD, bytes.size - HEAD);
    *out = (struct orri_packet){ .from = orri_packet_from(bytes), .to = orri_packet_to(bytes),
                                 .kind = bytes.at[HEAD - 1] & ~SEALED };
    if (!read_body(&r, out) || r.failed) return ORR_EINVALID;
    return read_facts(&r, facts) ? 0 : ORR_EINVALID;
}

static void write_body(struct orr_writer *w, const struct orri_packet *p) {
    switch (p->kind) {
    case ORRI_PING:
    case ORRI_ACK:
        orri_write_u32(w, p->sequence);
        orri_write_bytes(w, p->coordinate, ORRI_COORDINATE);
        break;
    case ORRI_PING_REQ:
        orri_write_u32(w, p->sequence);
        orri_write_u64(w, p->target);
        orri_write_i64(w, p->within);
        break;
    case ORRI_RELAYED:
    case ORRI_NACK: orri_write_u32(w, p->sequence); break;
    case ORRI_GOSSIP: break;
    case ORRI_SYNC:
        orri_write_u8(w, p->upper);
        for (unsigned i = 0; i < ORRI_BUCKETS; i++) orri_write_u32(w, p->buckets[i]);
        break;
    case ORRI_RECORDS:
        orri_write_u64(w, p->wanted);
        orri_write_u8(w, p->flags);
        break;
    case ORRI_HEARTBEAT:
        orri_write_i64(w, p->sent);
        orri_write_i64(w, p->echo);
        orri_write_i64(w, p->held);
        orri_write_bytes(w, p->coordinate, ORRI_COORDINATE);
        break;
    }
}

void orri_packet_write(struct orr_writer *w, const struct orri_packet *p, uint64_t cluster, bool sealed) {
    orri_write_u32(w, MAGIC);
    orri_write_u64(w, cluster);
    orri_write_u64(w, p->from);
    orri_write_u64(w, p->to);
    orri_write_u8(w, (uint8_t)(p->kind | (sealed ? SEALED : 0)));
    write_body(w, p);
}

size_t orri_packet_sum(unsigned char *bytes, size_t size) {
    orri_put_le(bytes + size, orri_hash64(bytes, size, 0), ORRI_SUM);
    return size + ORRI_SUM;
}

bool orri_packet_whole(struct orr_slice *bytes) {
    if (bytes->size < HEAD + ORRI_SUM) return false;
    size_t size = bytes->size - ORRI_SUM;
    if (orri_get_le(bytes->at + size, ORRI_SUM) != orri_hash64(bytes->at, size, 0)) return false;
    bytes->size = size;
    return true;
}
