/* identity.c - the node's own state: birth, incarnation, founding, pins (format and meaning: identity.h).            */
#include "node/identity.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/hash.h"
#include "node/batch.h"

enum { VERSION = 1 };

void orri_identity_init(struct orri_identity *id, const struct orr_alloc *alloc) {
    *id = (struct orri_identity){ .alloc = alloc };
}

void orri_identity_clear(struct orri_identity *id) {
    id->alloc->fn(id->alloc->ud, id->founding, id->founding_size, 0);
    id->alloc->fn(id->alloc->ud, id->pins, id->cap_pins * sizeof *id->pins, 0);
    orri_identity_init(id, id->alloc);
}

int orri_identity_found(struct orri_identity *id, const char *name, const char *founding, size_t size) {
    if (strlen(name) > ORRI_NAME_MAX || size == 0 || size > ORRI_FOUNDING_MAX) return ORR_EINVALID;
    char *text = id->alloc->fn(id->alloc->ud, NULL, 0, size);
    if (!text) return -ENOMEM;
    memcpy(text, founding, size);
    id->alloc->fn(id->alloc->ud, id->founding, id->founding_size, 0);
    id->founding = text;
    id->founding_size = size;
    memcpy(id->name, name, strlen(name) + 1);
    id->cluster = orri_hash64(founding, size, 0);
    return 0;
}

static int grow_pins(struct orri_identity *id) {
    size_t cap = id->cap_pins ? 2 * id->cap_pins : 8;
    void *p = id->alloc->fn(id->alloc->ud, id->pins, id->cap_pins * sizeof *id->pins, cap * sizeof *id->pins);
    if (!p) return -ENOMEM;
    id->pins = p;
    id->cap_pins = cap;
    return 0;
}

static void read_birth(struct orr_reader *r, struct orr_birth *out) {
    struct orr_slice s = orri_read_bytes(r, sizeof out->b);
    if (s.size) memcpy(out->b, s.at, s.size);
}

static int read_pins(struct orri_identity *id, struct orr_reader *r) {
    uint64_t n = orri_read_varint(r);
    if (r->failed || n > ORRI_PINS_MAX) return ORR_ECORRUPT;
    for (uint64_t i = 0; i < n; i++) {
        if (id->n_pins == id->cap_pins && grow_pins(id) < 0) return -ENOMEM;
        struct orri_pin *p = &id->pins[id->n_pins++];
        p->id = orri_read_u64(r);
        read_birth(r, &p->birth);
        p->incarnation = orri_read_u32(r);
        p->nonce = orri_read_u64(r);
    }
    return r->failed || orri_left(r) ? ORR_ECORRUPT : 0;
}

int orri_identity_read(struct orri_identity *id, struct orr_slice state) {
    struct orr_reader r = orri_reader(state.at, state.size);
    char name[ORRI_NAME_MAX + 1] = { 0 };
    if (orri_read_u16(&r) != VERSION) return ORR_ECORRUPT;
    id->disenfranchised = orri_read_u8(&r) == 1;
    (void)orri_read_u8(&r);
    id->incarnation = orri_read_u32(&r);
    read_birth(&r, &id->birth);
    uint64_t cluster = orri_read_u64(&r);
    for (size_t i = 0; i < ORRI_TRAIL; i++) id->trail[i] = orri_read_u32(&r);
    struct orr_slice text = orri_read_blob(&r, ORRI_NAME_MAX);
    if (text.size) memcpy(name, text.at, text.size);
    text = orri_read_blob(&r, ORRI_FOUNDING_MAX);
    if (r.failed) return ORR_ECORRUPT;
    int rc = orri_identity_found(id, name, (const char *)text.at, text.size);
    if (rc < 0) return rc == ORR_EINVALID ? ORR_ECORRUPT : rc;
    if (id->cluster != cluster || orri_birth_none(&id->birth)) return ORR_ECORRUPT;
    return read_pins(id, &r);
}

size_t orri_identity_size(const struct orri_identity *id) {
    return 32 + 4 * ORRI_TRAIL + ORR_VARINT_MAX * 3 + strlen(id->name) + id->founding_size + id->n_pins * 36;
}

size_t orri_identity_write(const struct orri_identity *id, unsigned char *at, size_t cap) {
    struct orr_writer w = orri_writer(at, cap);
    orri_write_u16(&w, VERSION);
    orri_write_u8(&w, id->disenfranchised);
    orri_write_u8(&w, 0);
    orri_write_u32(&w, id->incarnation);
    orri_write_bytes(&w, id->birth.b, sizeof id->birth.b);
    orri_write_u64(&w, id->cluster);
    for (size_t i = 0; i < ORRI_TRAIL; i++) orri_write_u32(&w, id->trail[i]);
    orri_write_blob(&w, id->name, strlen(id->name));
    orri_write_blob(&w, id->founding, id->founding_size);
    orri_write_varint(&w, id->n_pins);
    for (size_t i = 0; i < id->n_pins; i++) {
        orri_write_u64(&w, id->pins[i].id);
        orri_write_bytes(&w, id->pins[i].birth.b, sizeof id->pins[i].birth.b);
        orri_write_u32(&w, id->pins[i].incarnation);
        orri_write_u64(&w, id->pins[i].nonce);
    }
    ORR_ASSERT(!w.failed);
    return (size_t)(w.at - at);
}

/* What a start leaves in the trail. */
static uint32_t mark_of(uint64_t nonce) { return (uint32_t)nonce ? (uint32_t)nonce : 1; }

void orri_identity_begin(struct orri_identity *id, uint64_t nonce) {
    memmove(id->trail + 1, id->trail, sizeof id->trail - sizeof *id->trail);
    id->trail[0] = mark_of(nonce);
    id->nonce = nonce;
    id->incarnation++;
}

/* Has the disk that says this hello forgotten that its run met us? */
static bool forgot(const struct orri_pin *pin, const struct orri_hello *hello) {
    if (hello->incarnation <= pin->incarnation)
        return hello->incarnation != pin->incarnation || hello->nonce != pin->nonce;
    uint32_t since = hello->incarnation - pin->incarnation;
    return since < ORRI_TRAIL && hello->trail[since] != mark_of(pin->nonce);
}

const struct orri_pin *orri_identity_pin(const struct orri_identity *id, orr_id peer) {
    for (size_t i = 0; i < id->n_pins; i++) {
        if (id->pins[i].id == peer) return &id->pins[i];
    }
    return NULL;
}

enum orri_refusal orri_identity_meet(struct orri_identity *id, const struct orri_hello *hello, bool *changed) {
    *changed = false;
    struct orri_pin met = { hello->id, hello->birth, hello->incarnation, hello->nonce };
    const struct orri_pin *known = orri_identity_pin(id, hello->id);
    struct orri_pin *pin = known ? &id->pins[known - id->pins] : NULL;
    if (pin) {
        if (!orri_birth_equal(&pin->birth, &met.birth)) return ORRI_REFUSED_BIRTH;
        if (forgot(pin, hello)) return ORRI_REFUSED_MEMORY;
        *changed = met.incarnation != pin->incarnation;
        *pin = met;
        return ORRI_WELCOME;
    }
    if (id->n_pins == ORRI_PINS_MAX) return ORRI_WELCOME; /* far more than vote; the protocols' own checks remain */
    if (id->n_pins == id->cap_pins && grow_pins(id) < 0) return ORRI_REFUSED_BUSY;
    id->pins[id->n_pins++] = met;
    *changed = true;
    return ORRI_WELCOME;
}
