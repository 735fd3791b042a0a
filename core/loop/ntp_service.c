/* ntp_service.c - answers to whoever asks, in batches: one recvmmsg, one look at the clock, one sendmmsg.
 *
 * t2 is the kernel's stamp, so a request may wait in the queue and still be told truly when it came; t3 is read as each
 * answer is written. In interleaved mode the next answer tells when this one really left: those whose requests ask for
 * that mode are sent with the wish to have them stamped, and the stamps come by number over the socket's error queue. A
 * time read by the program after it has sent would be too late, and a t3 that is too late makes the client's bound
 * wrong; so without a stamp nothing is told.
 *
 * On a socket for all addresses an answer leaves from the address that its request came to. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "loop/ntp_inner.h"

enum {
    BATCH = 64, BATCHES_A_CALL = 4,
    RECEIVE_BUFFER = 4 << 20,
    UNSTAMPED = 256,                /* answers whose stamps are to come; the oldest is forgotten */
    CONTROL = 128,                  /* bytes: a stamp and an address, either way */
    ORIGIN = 24                     /* in a packet */
};
static const orr_time stamp_late = ORR_SECOND;

struct letter {                     /* a request and its answer */
    unsigned char request[ORR_NTP_SIZE_MAX + 1], answer[ORR_NTP_SIZE];
    struct sockaddr_storage peer;
    struct iovec in, out;
    _Alignas(struct cmsghdr) char control_in[CONTROL], control_out[CONTROL];
    orr_time t3;                    /* local; 0: no stamp is asked for */
};
struct unstamped {
    unsigned char answer[ORR_NTP_SIZE];
    orr_time t3;                    /* 0: none */
};
struct orr_ntp_service {
    struct orr_loop *loop;
    struct orr_ntp_service_config config;
    struct orr_ntp_server *server;
    struct event readable;
    int fd;
    bool any_address;               /* bound to all */
    bool stamps;                    /* of what leaves, for those that ask */
    uint16_t port;
    int8_t precision;
    uint64_t unsent, sent_stamps;
    uint32_t next_number;           /* of the next answer that asks for its stamp */
    struct unstamped unstamped[UNSTAMPED];
    struct mmsghdr in[BATCH], out[BATCH];
    struct letter letters[BATCH];
    const struct letter *outgoing[BATCH];       /* of out[] */
};

/* -- Config -------------------------------------------------------------------------------------------------------- */
void orr_ntp_service_config_init(struct orr_ntp_service_config *config) {
    *config = (struct orr_ntp_service_config){ .size = sizeof *config, .address = ":123", .machine_stratum = 10 };
    orr_ntp_server_config_init(&config->server);
}

/* An address for all of the machine's is [::], which is IPv4's, too. */
static int address_of(const char *text, struct orri_address *out) {
    char all[32];
    if (text[0] != ':' || strlen(text) > 8) return orri_address_parse(out, text);
    all[0] = '\0';
    strcat(strcat(all, "[::]"), text);
    return orri_address_parse(out, all);
}

int orr_ntp_service_config_check(const struct orr_ntp_service_config *config, const char **field) {
    struct orri_address address;
    const char *of_server = NULL;
    (void)orr_ntp_server_config_check(&config->server, &of_server);
    const char *wrong = config->size != sizeof *config                                          ? "size"
                        : !config->address || address_of(config->address, &address) != 0        ? "address"
                        : config->sources && !config->clock                                     ? "clock"
                        : config->machine_stratum < 1 || config->machine_stratum > 15           ? "machine_stratum"
                                                                                                : of_server;
    if (wrong && field) *field = wrong;
    return wrong ? ORR_EINVALID : 0;
}

/* -- Stamps of what left ------------------------------------------------------------------------------------------- */
/* Numbers and answers may have come apart: begins anew. */
static void restart_stamps(struct orr_ntp_service *s) {
    uint32_t number;
    orr_time wall;
    while (orri_ntp_sent(s->fd, &number, &wall) >= 0) {}
    memset(s->unstamped, 0, sizeof s->unstamped);
    s->next_number = 0;
    (void)orri_ntp_stamps(s->fd, ORRI_NTP_RECEIVED);
    s->stamps = orri_ntp_stamps(s->fd, ORRI_NTP_RECEIVED | ORRI_NTP_SENT_ASKED);
}

static void take_sent_stamps(struct orr_ntp_service *s) {
    struct orri_ntp_told told;
    struct orri_ntp_moment now = { 0 };
    uint32_t number;
    orr_time wall, error;
    int got;
    while ((got = orri_ntp_sent(s->fd, &number, &wall)) >= 0) {
        struct unstamped *u = &s->unstamped[number % UNSTAMPED];
        if (got == 0 || u->t3 == 0 || s->next_number - number > UNSTAMPED) continue;
        if (now.local == 0) {
            now = orri_ntp_moment();
            orri_ntp_tell(&s->config, &now, &told);
        }
        orr_time left = orri_ntp_to_local(&now, wall, &error) - error;
        if (left >= u->t3 - error && left < u->t3 + stamp_late && left <= now.local) {
            orr_ntp_server_sent(s->server, u->answer, left + told.offset);
            s->sent_stamps++;
        }
        u->t3 = 0;
    }
}

static bool wants_stamp(const struct orr_ntp_service *s, const struct letter *l) {
    static const unsigned char none[8];
    return s->stamps && s->config.server.interleaved && memcmp(l->request + ORIGIN, none, sizeof none) != 0;
}

/* -- Answers ------------------------------------------------------------------------------------------------------- */
/* Where a request came to, as where its answer leaves from. 0: no such thing. */
static size_t source_from(const struct cmsghdr *c, struct cmsghdr *at) {
    struct in6_pktinfo v6;
    struct in_pktinfo v4;
    bool six = c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO;
    if (!six && (c->cmsg_level != SOL_IP || c->cmsg_type != IP_PKTINFO)) return 0;
    *at = (struct cmsghdr){ .cmsg_level = c->cmsg_level, .cmsg_type = c->cmsg_type, .cmsg_len = c->cmsg_len };
    if (six) {
        memcpy(&v6, CMSG_DATA(c), sizeof v6);
        if (!IN6_IS_ADDR_LINKLOCAL(&v6.ipi6_addr)) v6.ipi6_ifindex = 0;     /* the route back may be another */
        memcpy(CMSG_DATA(at), &v6, sizeof v6);
        return CMSG_SPACE(sizeof v6);
    }
    memcpy(&v4, CMSG_DATA(c), sizeof v4);
    v4.ipi_ifindex = 0;
    memcpy(CMSG_DATA(at), &v4, sizeof v4);
    return CMSG_SPACE(sizeof v4);
}

static void add_source(const struct orr_ntp_service *s, const struct letter *l, struct msghdr *out,
                       struct cmsghdr *at) {
    struct msghdr in = { .msg_control = (void *)(uintptr_t)l->control_in,
                         .msg_controllen = s->in[l - s->letters].msg_hdr.msg_controllen };
    size_t size = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&in); c && size == 0; c = CMSG_NXTHDR(&in, c)) size = source_from(c, at);
    out->msg_controllen += size;
}

static void put_out(struct orr_ntp_service *s, struct letter *l, unsigned at, orr_time t3) {
    struct msghdr *m = &s->out[at].msg_hdr;
    *m = (struct msghdr){ .msg_name = &l->peer, .msg_namelen = s->in[l - s->letters].msg_hdr.msg_namelen,
                          .msg_iov = &l->out, .msg_iovlen = 1, .msg_control = l->control_out };
    l->t3 = wants_stamp(s, l) ? t3 : 0;
    if (l->t3 != 0) {
        orri_ntp_ask_stamp((struct cmsghdr *)(void *)l->control_out);
        m->msg_controllen = ORRI_NTP_ASK_SIZE;
    }
    if (s->any_address) add_source(s, l, m, (struct cmsghdr *)(void *)(l->control_out + m->msg_controllen));
    if (m->msg_controllen == 0) m->msg_control = NULL;
    s->outgoing[at] = l;
}

/* Is there an answer? */
static bool answer(struct orr_ntp_service *s, struct letter *l, size_t size, const struct orri_ntp_moment *now,
                   const struct orri_ntp_told *told, orr_time *t3) {
    struct msghdr *m = &s->in[l - s->letters].msg_hdr;
    orr_time wall, error;
    struct orr_ntp_arrival a = { .at = l->request, .size = size, .from = orri_ntp_address(&l->peer),
                                 .local = now->local };
    if (orri_ntp_received(m, &wall)) {
        orr_time local = orri_ntp_to_local(now, wall, &error);
        if (local < now->local && local > now->local - stamp_late) {    /* not across a step of the wall clock */
            a.local = local;
            a.by_kernel = true;
        }
    }
    a.wall = a.local + told->offset;
    *t3 = orr_ntp_local();
    enum orr_ntp_verdict verdict = orr_ntp_server_recv(s->server, &a, &told->clock, *t3 + told->offset, l->answer);
    return verdict == ORR_NTP_TAKEN || verdict == ORR_NTP_RATE;
}

static void remember(struct orr_ntp_service *s, unsigned first, unsigned n) {
    for (unsigned i = first; i < first + n; i++) {
        const struct letter *l = s->outgoing[i];
        if (l->t3 == 0) continue;
        struct unstamped *u = &s->unstamped[s->next_number++ % UNSTAMPED];
        memcpy(u->answer, l->answer, sizeof u->answer);
        u->t3 = l->t3;
    }
}

/* One that can't be sent is passed over; the system may have counted it or not. */
static void send_all(struct orr_ntp_service *s, unsigned n) {
    bool asked = false, apart = false;
    for (unsigned i = 0; i < n; i++) asked = asked || s->outgoing[i]->t3 != 0;
    for (unsigned i = 0; i < n;) {
        int sent = sendmmsg(s->fd, s->out + i, n - i, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) {
            apart = apart || s->outgoing[i]->t3 != 0;
            s->unsent++;
            i++;
            continue;
        }
        remember(s, i, (unsigned)sent);
        i += (unsigned)sent;
    }
    if (apart) restart_stamps(s);
    else if (asked) take_sent_stamps(s);
}

static void answer_all(struct orr_ntp_service *s, unsigned n) {
    struct orri_ntp_told told;
    struct orri_ntp_moment now = orri_ntp_moment();
    unsigned n_out = 0;
    if (s->config.sources) orri_ntp_look_for_sleep(s->config.sources);
    orri_ntp_tell(&s->config, &now, &told);
    told.clock.precision = s->precision;
    for (unsigned i = 0; i < n; i++) {
        orr_time t3;
        if (answer(s, &s->letters[i], s->in[i].msg_len, &now, &told, &t3)) put_out(s, &s->letters[i], n_out++, t3);
    }
    if (n_out > 0) send_all(s, n_out);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct orr_ntp_service *s = arg;
    take_sent_stamps(s);            /* what is left in the error queue makes the socket readable, too */
    for (unsigned round = 0; round < BATCHES_A_CALL; round++) {
        for (unsigned i = 0; i < BATCH; i++) {
            struct letter *l = &s->letters[i];
            s->in[i].msg_hdr = (struct msghdr){ .msg_name = &l->peer, .msg_namelen = sizeof l->peer, .msg_iov = &l->in,
                                                .msg_iovlen = 1, .msg_control = l->control_in,
                                                .msg_controllen = sizeof l->control_in };
        }
        int n = recvmmsg(s->fd, s->in, BATCH, MSG_DONTWAIT, NULL);
        if (n > 0) answer_all(s, (unsigned)n);
        if (n < BATCH) return;
    }
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static bool is_any(const struct orri_address *a) {
    static const unsigned char none[16];
    struct orr_ntp_address n = orri_ntp_address(&a->at);
    return memcmp(n.ip + 12, none, 4) == 0 && (a->at.ss_family == AF_INET || memcmp(n.ip, none, 12) == 0);
}

static int bind_to(struct orr_ntp_service *s, const struct orri_address *address, bool both) {
    int one = 1, only = !both, size = RECEIVE_BUFFER;
    bool six = address->at.ss_family == AF_INET6;
    s->any_address = is_any(address);
    s->fd = socket(address->at.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) return -errno;
    (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);     /* as much as the system gives */
    if (six) (void)setsockopt(s->fd, SOL_IPV6, IPV6_V6ONLY, &only, sizeof only);
    if (s->any_address && six) (void)setsockopt(s->fd, SOL_IPV6, IPV6_RECVPKTINFO, &one, sizeof one);
    if (s->any_address && !six) (void)setsockopt(s->fd, SOL_IP, IP_PKTINFO, &one, sizeof one);
    return bind(s->fd, (const struct sockaddr *)&address->at, address->size) == 0 ? 0 : -errno;
}

static int open_socket(struct orr_ntp_service *s, const char *text) {
    struct orri_address address;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    (void)address_of(text, &address);       /* config_check has tried */
    int error = bind_to(s, &address, text[0] == ':');
    if ((error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL) && text[0] == ':') {     /* a machine without IPv6 */
        char all[32] = "0.0.0.0";
        if (s->fd >= 0) close(s->fd);
        (void)orri_address_parse(&address, strcat(all, text));
        error = bind_to(s, &address, false);
    }
    if (error != 0) return error;
    if (getsockname(s->fd, (struct sockaddr *)&bound, &size) != 0) return -errno;
    s->port = orri_ntp_address(&bound).port;
    restart_stamps(s);
    orri_event_set(s->loop, &s->readable, s->fd, EV_READ | EV_PERSIST, on_readable, s);
    return event_add(&s->readable, NULL) == 0 ? 0 : -ENOMEM;
}

int orr_ntp_service_new(struct orr_ntp_service **out, struct orr_loop *loop,
                        const struct orr_ntp_service_config *config) {
    if (orr_ntp_service_config_check(config, NULL) != 0) return ORR_EINVALID;
    struct orr_ntp_service *s = orri_alloc(loop, sizeof *s);
    if (!s) return -ENOMEM;
    s->loop = loop;
    s->config = *config;
    s->config.server.alloc = &loop->config.alloc;
    s->fd = -1;
    s->precision = orri_ntp_precision();
    for (unsigned i = 0; i < BATCH; i++) {
        s->letters[i].in = (struct iovec){ s->letters[i].request, sizeof s->letters[i].request };
        s->letters[i].out = (struct iovec){ s->letters[i].answer, sizeof s->letters[i].answer };
    }
    int error = orri_random(&s->config.server.seed, sizeof s->config.server.seed);
    if (error == 0) error = orr_ntp_server_new(&s->server, &s->config.server);
    if (error == 0) error = open_socket(s, config->address);
    s->config.address = NULL;       /* it was lent */
    orri_nudge(loop);
    if (error == 0) *out = s;
    else orr_ntp_service_free(s);
    return error;
}

void orr_ntp_service_free(struct orr_ntp_service *s) {
    if (!s) return;
    if (s->fd >= 0 && event_initialized(&s->readable)) event_del(&s->readable);
    if (s->fd >= 0) close(s->fd);
    orr_ntp_server_free(s->server);
    orri_dealloc(s->loop, s, sizeof *s);
}

uint16_t orr_ntp_service_port(const struct orr_ntp_service *s) { return s->port; }

void orr_ntp_service_status(const struct orr_ntp_service *s, struct orr_ntp_service_status *out) {
    struct orri_ntp_told told;
    struct orri_ntp_moment now = orri_ntp_moment();
    orri_ntp_tell(&s->config, &now, &told);
    told.clock.precision = s->precision;
    *out = (struct orr_ntp_service_status){ .unsent = s->unsent, .sent_stamps = s->sent_stamps, .clock = told.clock };
    orr_ntp_server_status(s->server, &out->server);
}
