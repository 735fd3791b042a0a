/* ntp_server.c - answers to whoever asks: honest about the clock, no larger than the question, and not too many.
 *
 * It answers modes 3 only, so two servers never talk to each other, and by 48 bytes only, so nobody gains by asking in
 * another's name. Each address has a bucket of tokens; one in EIGHTH of what is refused is answered with RATE, so that
 * an honest client hears of it. The table of addresses is sets of WAYS: a stranger costs a look at one set, and drives
 * out only what asked least lately there.
 *
 * Interleaved mode (RFC 9769): of the last SAVED answers t2 is kept, and t3 as soon as it is told. A request that names
 * such a t2 as origin gets its t3. No two answers have the same t2: where the clock gives one twice it is moved on by
 * 2^-32 s, less than it can tell. They are searched one after the other: 8 KiB in a row take no longer than the kernel
 * takes for a datagram. */
#include <orrery/ntp.h>

#include <errno.h>
#include <string.h>

#include "base/hash.h"

enum { SAVED = 1024, WAYS = 8, EIGHTH = 8, ADDRESSES_MAX = 1 << 20 };

struct bucket {
    unsigned char ip[16];           /* IPv6: the network's 64 bits only, for a host has as many addresses as it likes */
    uint32_t zone;
    bool used;
    orr_time full_at;               /* when all its tokens will be back */
    orr_time seen;
    unsigned refused;
};
struct orr_ntp_server {
    struct orr_ntp_server_config config;
    struct orr_alloc alloc;
    size_t n_sets;
    orr_ntp_stamp t2[SAVED], t3[SAVED];     /* a ring; 0: nothing, not told */
    unsigned saved;                         /* where the next one goes */
    struct orr_ntp_server_status status;
    struct bucket buckets[];                /* n_sets of WAYS */
};

/* -- Life ---------------------------------------------------------------------------------------------------------- */
void orr_ntp_server_config_init(struct orr_ntp_server_config *config) {
    *config = (struct orr_ntp_server_config){ .size = sizeof *config, .addresses_max = 4096,
                                              .interval = 500 * ORR_MS, .burst = 16, .interleaved = true };
}

int orr_ntp_server_config_check(const struct orr_ntp_server_config *config, const char **field) {
    const char *wrong = NULL;
    if (config->size != sizeof *config) wrong = "size";
    else if (config->addresses_max < 1 || config->addresses_max > ADDRESSES_MAX) wrong = "addresses_max";
    else if (config->interval < 0 || config->interval > 3600 * ORR_SECOND) wrong = "interval";
    else if (config->burst < 1 || config->burst > 65536) wrong = "burst";
    if (wrong && field) *field = wrong;
    return wrong ? ORR_EINVALID : 0;
}

static size_t size_of(size_t n_sets) {
    return sizeof(struct orr_ntp_server) + n_sets * WAYS * sizeof(struct bucket);
}

int orr_ntp_server_new(struct orr_ntp_server **out, const struct orr_ntp_server_config *config) {
    if (orr_ntp_server_config_check(config, NULL) < 0) return ORR_EINVALID;
    const struct orr_alloc *alloc = config->alloc ? config->alloc : &orr_alloc_libc;
    size_t n_sets = (config->addresses_max + WAYS - 1) / WAYS;
    struct orr_ntp_server *s = alloc->fn(alloc->ud, NULL, 0, size_of(n_sets));
    if (!s) return -ENOMEM;
    memset(s, 0, size_of(n_sets));
    s->config = *config;
    s->alloc = *alloc;
    s->n_sets = n_sets;
    *out = s;
    return 0;
}

void orr_ntp_server_free(struct orr_ntp_server *s) {
    if (s) (void)s->alloc.fn(s->alloc.ud, s, size_of(s->n_sets), 0);
}

/* -- Who asks how often -------------------------------------------------------------------------------------------- */
static void name_of(const struct orr_ntp_address *from, unsigned char ip[16]) {
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    memcpy(ip, from->ip, 16);
    if (memcmp(ip, mapped, sizeof mapped) != 0) memset(ip + 8, 0, 8);
}

static struct bucket *bucket_of(struct orr_ntp_server *s, const struct orr_ntp_address *from, orr_time now) {
    unsigned char ip[16];
    name_of(from, ip);
    uint64_t hash = orri_hash64(ip, sizeof ip, s->config.seed + from->zone);
    struct bucket *set = s->buckets + hash % s->n_sets * WAYS, *oldest = set;
    for (struct bucket *b = set; b < set + WAYS; b++) {
        if (b->used && b->zone == from->zone && memcmp(b->ip, ip, sizeof ip) == 0) return b;
        if (oldest->used && (!b->used || b->seen < oldest->seen)) oldest = b;
    }
    *oldest = (struct bucket){ .zone = from->zone, .used = true, .full_at = now };
    memcpy(oldest->ip, ip, sizeof ip);
    return oldest;
}

/* TAKEN; or too much: RATE is to be said, or nothing (LIMITED). A token less is a bucket that is full later. */
static enum orr_ntp_verdict admit(struct orr_ntp_server *s, const struct orr_ntp_address *from, orr_time now) {
    if (s->config.interval == 0) return ORR_NTP_TAKEN;
    struct bucket *b = bucket_of(s, from, now);
    orr_time full_at = b->full_at > now ? b->full_at : now;
    b->seen = now;
    if (__builtin_add_overflow(full_at, s->config.interval, &full_at)) return ORR_NTP_TAKEN;
    orr_time latest;
    if (!__builtin_add_overflow(now, s->config.interval * s->config.burst, &latest) && full_at > latest)
        return b->refused++ % EIGHTH == 0 ? ORR_NTP_RATE : ORR_NTP_LIMITED;
    b->full_at = full_at;
    return ORR_NTP_TAKEN;
}

/* -- Interleaved mode ---------------------------------------------------------------------------------------------- */
static int find(const struct orr_ntp_server *s, orr_ntp_stamp t2) {
    for (int i = 0; i < SAVED; i++) {
        if (s->t2[i] == t2) return i;
    }
    return -1;
}

static orr_ntp_stamp unlike_others(const struct orr_ntp_server *s, orr_ntp_stamp t2) {
    while (t2 == 0 || find(s, t2) >= 0) t2++;
    return t2;
}

static void save(struct orr_ntp_server *s, orr_ntp_stamp t2) {
    s->t2[s->saved] = t2;
    s->t3[s->saved] = 0;
    s->saved = (s->saved + 1) % SAVED;
}

void orr_ntp_server_sent(struct orr_ntp_server *s, const unsigned char sent[ORR_NTP_SIZE], orr_time wall) {
    struct orr_ntp_packet p;
    if (orr_ntp_decode(sent, ORR_NTP_SIZE, &p) != ORR_NTP_TAKEN || p.receive == 0) return;
    int i = find(s, p.receive);
    if (i >= 0) s->t3[i] = orr_ntp_stamp_of(wall);
}

/* t3 of the answer that the request names; 0: it names none, or that isn't known. */
static orr_ntp_stamp asked_for(const struct orr_ntp_server *s, const struct orr_ntp_packet *request) {
    if (request->origin == 0 || request->receive == 0 || request->receive == request->transmit) return 0;
    int i = find(s, request->origin);
    return i >= 0 ? s->t3[i] : 0;
}

/* -- Answers ------------------------------------------------------------------------------------------------------- */
static enum orr_ntp_verdict look(const struct orr_ntp_arrival *a, struct orr_ntp_packet *request) {
    enum orr_ntp_verdict form = orr_ntp_decode(a->at, a->size, request);
    if (form != ORR_NTP_TAKEN) return form;
    if (request->mode != ORR_NTP_CLIENT) return ORR_NTP_MODE;
    return request->version >= 1 && request->version <= 4 ? ORR_NTP_TAKEN : ORR_NTP_VERSION;
}

/* Half of the root delay and the dispersion together say how wrong the clock may be: rounded up, each. */
static void describe(struct orr_ntp_packet *p, const struct orr_ntp_server_clock *clock) {
    p->precision = clock->precision;
    if (!clock->synchronised || clock->stratum < 1 || clock->stratum > 15) {
        p->leap = ORR_NTP_UNSYNC;
        return;
    }
    orr_time root_delay = clock->root_delay > 0 ? clock->root_delay : 0;
    orr_time dispersion = clock->half_width > root_delay / 2 ? clock->half_width - root_delay / 2 : 0;
    p->leap = clock->leap & 3;
    p->stratum = clock->stratum;
    p->root_delay = orr_ntp_short_of(root_delay);
    p->root_dispersion = orr_ntp_short_of(dispersion);
    p->refid = clock->refid;
    p->reference = orr_ntp_stamp_of(clock->reference);
}

/* Kiss-o'-death: stratum 0 and a word. */
static void refuse(struct orr_ntp_packet *p, const struct orr_ntp_server_clock *clock) {
    p->leap = ORR_NTP_UNSYNC;
    p->precision = clock->precision;
    p->refid = (uint32_t)'R' << 24 | 'A' << 16 | 'T' << 8 | 'E';
}

static orr_ntp_stamp no_earlier(orr_ntp_stamp stamp, orr_ntp_stamp than) {
    return (int64_t)(stamp - than) < 0 ? than : stamp;
}

/* Its t3, if the request asked for that of an earlier answer; and its own t2, for the next one. */
static void interleave(struct orr_ntp_server *s, const struct orr_ntp_packet *request, struct orr_ntp_packet *p) {
    orr_ntp_stamp t3 = asked_for(s, request);
    p->receive = unlike_others(s, p->receive);
    save(s, p->receive);
    if (t3) {
        p->origin = request->receive;
        p->transmit = t3;
        s->status.interleaved++;
    } else {
        p->transmit = no_earlier(p->transmit, p->receive);
    }
}

enum orr_ntp_verdict orr_ntp_server_recv(struct orr_ntp_server *s, const struct orr_ntp_arrival *a,
                                         const struct orr_ntp_server_clock *clock, orr_time wall,
                                         unsigned char out[ORR_NTP_SIZE]) {
    struct orr_ntp_packet request;
    enum orr_ntp_verdict verdict = look(a, &request);
    if (verdict == ORR_NTP_TAKEN) verdict = admit(s, &a->from, a->local);
    s->status.verdicts[verdict]++;
    if (verdict != ORR_NTP_TAKEN && verdict != ORR_NTP_RATE) return verdict;

    struct orr_ntp_packet p = { .version = request.version, .mode = ORR_NTP_SERVER, .poll = request.poll,
                                .origin = request.transmit, .receive = orr_ntp_stamp_of(a->wall) };
    p.transmit = no_earlier(orr_ntp_stamp_of(wall), p.receive);
    if (verdict == ORR_NTP_RATE) {
        refuse(&p, clock);
    } else {
        describe(&p, clock);
        if (s->config.interleaved) interleave(s, &request, &p);
    }
    orr_ntp_encode(&p, out);
    return verdict;
}

void orr_ntp_server_status(const struct orr_ntp_server *s, struct orr_ntp_server_status *out) { *out = s->status; }
