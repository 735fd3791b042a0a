/* ntp_fuzz.c - any datagrams to an NTP client and an NTP server, in any order, at any time; those that bear the cookie,
 * too. What comes out is an exchange that can be, and what goes out is 48 bytes that the other end understands.
 *
 * Each step is a byte that says which and one for the time that goes by, then its bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/hlc.h>
#include <orrery/ntp.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct orr_ntp_address server_address = { .ip = { 0x20, 1, 0xd, 0xb8 }, .port = 123 };

struct input {
    const uint8_t *at;
    size_t size;
};
struct ends {
    struct orr_ntp_client *c;
    struct orr_ntp_server *s;
    orr_time now, wall;
    unsigned char request[ORR_NTP_SIZE];
};

static uint8_t byte(struct input *in) {
    if (in->size == 0) return 0;
    in->size--;
    return *in->at++;
}

static size_t bytes(struct input *in, unsigned char *out, size_t size) {
    if (size > in->size) size = in->size;
    if (size) memcpy(out, in->at, size);
    in->at += size;
    in->size -= size;
    return size;
}

static int64_t number(struct input *in) {
    int64_t v = 0;
    unsigned char b[8] = { 0 };
    (void)bytes(in, b, sizeof b);
    memcpy(&v, b, sizeof v);
    return v;
}

static struct ends begin(struct input *in) {
    struct ends e = { .now = number(in), .wall = number(in) };
    struct orr_ntp_client_config client;
    struct orr_ntp_server_config server;
    uint8_t flags = byte(in);
    orr_ntp_client_config_init(&client);
    orr_ntp_server_config_init(&server);
    client.server = server_address;
    client.interleaved = flags & 1;
    client.burst = flags & 2;
    client.poll_min = (int8_t)(flags & 4 ? -6 : 4);
    client.refids[0] = 0x01020304;
    server.interleaved = flags & 8;
    server.burst = flags & 16 ? 1 : 3;
    server.addresses_max = flags & 32 ? 1 : 64;
    if (orr_ntp_client_new(&e.c, &client, e.now) < 0 || orr_ntp_server_new(&e.s, &server) < 0) abort();
    return e;
}

static void pass(struct ends *e, uint8_t time) {
    orr_time by = (orr_time)time * time * time * 65536;     /* up to 18 minutes */
    if (__builtin_add_overflow(e->now, by, &e->now)) e->now = INT64_MAX;
    if (__builtin_add_overflow(e->wall, by, &e->wall)) e->wall = INT64_MIN;
}

static void ask(struct ends *e, struct input *in) {
    struct orr_ntp_cookies cookies = { (uint64_t)number(in), (uint64_t)byte(in) };
    struct orr_ntp_packet p;
    if (orr_ntp_client_request(e->c, e->now, &cookies, e->request) < 0) return;
    if (orr_ntp_decode(e->request, sizeof e->request, &p) != ORR_NTP_TAKEN || p.mode != ORR_NTP_CLIENT) abort();
    if (p.transmit == 0 || p.transmit == p.receive) abort();
    if (orr_ntp_client_deadline(e->c) < e->now && e->now < ORR_NEVER - 1) abort();
    if (cookies.receive & 1) orr_ntp_client_sent(e->c, p.transmit, e->now);
}

static void hear(struct ends *e, const unsigned char *at, size_t size, uint8_t how) {
    struct orr_ntp_arrival a = { .at = at, .size = size, .from = server_address, .local = e->now, .wall = e->wall,
                                 .by_kernel = how & 16 };
    struct orr_ntp_exchange x;
    if ((how & 224) == 224) a.from.port++;
    if (orr_ntp_client_recv(e->c, &a, &x) != ORR_NTP_TAKEN) return;
    if (x.t1 >= x.t4 || x.t2 > x.t3 || x.t3 - x.t2 > 4 * ORR_SECOND) abort();
    if ((x.t4 - x.t1) - (x.t3 - x.t2) < -((x.t4 - x.t1) / 1000000 + (orr_time)x.stamp_error_ns + 1000)) abort();
    if (x.leap == 3 || x.stratum < 1 || x.stratum > 15 || x.precision > 0) abort();
    if ((uint64_t)x.root_delay_ns / 2 + x.root_dispersion_ns > (uint64_t)ORR_SECOND) abort();
}

/* The client's last request, or any bytes; and the answer to the client, if `how` says so. */
static void serve(struct ends *e, const unsigned char *at, size_t size, uint8_t how) {
    struct orr_ntp_arrival a = { .at = at, .size = size, .local = e->now, .wall = e->wall };
    struct orr_ntp_server_clock clock = { .synchronised = (how & 16) == 0, .stratum = 2, .precision = -20,
                                          .reference = e->wall, .root_delay = e->now, .half_width = e->now };
    unsigned char out[ORR_NTP_SIZE];
    struct orr_ntp_packet p;
    a.from.ip[0] = how >> 5;
    enum orr_ntp_verdict verdict = orr_ntp_server_recv(e->s, &a, &clock, e->wall, out);
    if (verdict != ORR_NTP_TAKEN && verdict != ORR_NTP_RATE) return;
    if (size < sizeof out || orr_ntp_decode(out, sizeof out, &p) != ORR_NTP_TAKEN || p.mode != ORR_NTP_SERVER) abort();
    if (p.version < 1 || p.version > 4 || p.receive == 0 || p.transmit == 0) abort();
    if (how & 64) orr_ntp_server_sent(e->s, out, e->wall);
    if (how & 128) {
        pass(e, how);
        hear(e, out, sizeof out, how);
    }
}

/* Bytes as they are, but with the cookie where it has to be: the client's transmit or its receive; and a refid that
 * means something. */
static void answer(struct ends *e, unsigned char *at, size_t size, uint8_t how) {
    static const char refids[][5] = { "RATE", "DENY", "RSTR", "INIT", "\1\2\3\4" };
    if (size < ORR_NTP_SIZE) return;
    if (how & 64) memcpy(at + 12, refids[at[12] % 5], 4);
    at[0] = (unsigned char)((at[0] & 0xc0) | 0x24);
    memcpy(at + 24, e->request + (how & 32 ? 32 : 40), 8);
    hear(e, at, size, how);
}

static void logical(struct orr_hlc *h, orr_time wall, orr_hlc_stamp heard) {
    struct orr_hlc before = *h;
    orr_hlc_stamp stamp, limit;
    if (orr_hlc_receive(h, wall, wall, heard, &stamp) == 0) {
        if (stamp <= heard || stamp <= before.last || stamp < orr_hlc_of(wall)) abort();
    } else {
        before.refused = h->refused;
        if (memcmp(&before, h, sizeof before) != 0) abort();
    }
    if (orr_hlc_store(h, wall, &limit)) orr_hlc_stored(h, limit);
    if (h->last && !orr_hlc_usable(h, h->last)) abort();
    if (orr_hlc_ahead(h, wall) < 0) abort();
    if (orr_hlc_tick(h, wall, &stamp) == 0 && stamp <= before.last) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = { data, size };
    struct ends e = begin(&in);
    struct orr_hlc hlc;
    if (orr_hlc_init(&hlc, NULL, 0) < 0) abort();
    while (in.size > 0) {
        unsigned char b[255 * 6];
        uint8_t how = byte(&in);
        pass(&e, byte(&in));
        switch (how & 7) {
        case 0: ask(&e, &in); break;
        case 1: hear(&e, b, bytes(&in, b, how & 8 ? byte(&in) * 6u : ORR_NTP_SIZE), how); break;
        case 2: serve(&e, b, bytes(&in, b, how & 8 ? byte(&in) * 6u : ORR_NTP_SIZE), how); break;
        case 3: serve(&e, e.request, sizeof e.request, how); break;
        case 4: orr_ntp_client_set_poll(e.c, (int)number(&in)); break;
        case 5: e.wall = number(&in); break;
        case 6: logical(&hlc, e.wall, (orr_hlc_stamp)number(&in)); break;
        default: answer(&e, b, bytes(&in, b, how & 8 ? 64 : ORR_NTP_SIZE), how);
        }
    }
    struct orr_ntp_client_status asked;
    struct orr_ntp_server_status answered;
    orr_ntp_client_status(e.c, &asked);
    orr_ntp_server_status(e.s, &answered);
    if (asked.verdicts[ORR_NTP_TAKEN] + asked.verdicts[ORR_NTP_KEPT] > asked.requests) abort();
    if (asked.stopped != (asked.verdicts[ORR_NTP_DENY] > 0)) abort();
    if (answered.interleaved > answered.verdicts[ORR_NTP_TAKEN]) abort();
    orr_ntp_client_free(e.c);
    orr_ntp_server_free(e.s);
    return 0;
}
