/* peer_name.c - peers that are called by a name: for datagrams alone, as NTP servers are (world.h, peer).
 *
 * "HOST:PORT" is one peer; of a host with many addresses, "HOST:PORT/K" for K = 1, 2, ... are as many, each with an
 * address of its own while there are enough. No address is two peers': whose datagrams come from there would not be
 * known, and one server would vote twice. Until a peer has one, what is sent to it vanishes.
 *
 * A peer that was never heard takes the name's next address after SILENT_NEW datagrams. One that was heard keeps its
 * own after SILENT_HEARD, until the name is found again: where the network is gone that fails, too. Names are looked up
 * on a thread (ntp_name.c), once a minute at most, less and less often where that fails. All of this is looked at when
 * something is to be sent: who sends nothing costs nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/ntp_inner.h"

enum { SILENT_NEW = 2, SILENT_HEARD = 8, PLACES_MAX = 16, DOUBLINGS = 8 };

struct orri_host {
    struct orri_host *next;
    char name[ORR_NTP_NAME_MAX + 1];
    uint16_t port;
    struct orri_ntp_lookup *lookup;
    struct orri_address found[ORRI_NTP_ADDRESSES];
    unsigned n_found, tried;        /* of them, since the last look-up */
    unsigned failures;              /* of look-ups, in a row */
    orr_time look_up_at, looked_up; /* ORR_NEVER: there is no need; when that was last done */
};

/* -- Names --------------------------------------------------------------------------------------------------------- */
/* "HOST:PORT" or "HOST:PORT/K". */
static int split(const char *text, char host[ORR_NTP_NAME_MAX + 1], uint16_t *port, unsigned *place) {
    char whole[ORR_NTP_NAME_MAX + 1], *end;
    const char *slash = strchr(text, '/'), *colon = strchr(text, ':');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    *place = 0;
    if (!colon || n >= sizeof whole) return ORR_EINVALID;
    memcpy(whole, text, n);
    whole[n] = '\0';
    if (slash) {
        unsigned long k = slash[1] >= '1' && slash[1] <= '9' ? strtoul(slash + 1, &end, 10) : 0;
        if (k < 1 || k > PLACES_MAX || *end) return ORR_EINVALID;
        *place = (unsigned)k;
    }
    int error = orri_ntp_split(whole, host, port);
    struct orri_address number;
    bool any = error == 0 && host[strspn(host, "0123456789.")] != '\0';     /* else a number that is none */
    return any && !orri_ntp_number(host, *port, &number) ? 0 : ORR_EINVALID;
}

static void hosts_turn(struct orri_guest *g);

static struct orri_host *host_of(struct orr_loop *loop, const char *name, uint16_t port) {
    for (struct orri_host *h = loop->hosts; h; h = h->next) {
        if (h->port == port && strcmp(h->name, name) == 0) return h;
    }
    struct orri_host *h = orri_alloc(loop, sizeof *h);
    if (!h) return NULL;
    snprintf(h->name, sizeof h->name, "%s", name);
    h->port = port;
    h->look_up_at = ORR_NEVER;
    h->looked_up = -loop->look_up_again;
    h->next = loop->hosts;
    if (!loop->hosts) {
        loop->names = (struct orri_guest){ .deadline = ORR_NEVER, .turn = hosts_turn };
        orri_link_init(&loop->names.all);
        orri_guest_join(loop, &loop->names);
    }
    loop->hosts = h;
    return h;
}

int orri_named_init(struct orr_loop *loop, const char *text, struct orri_peer *out) {
    char host[ORR_NTP_NAME_MAX + 1];
    uint16_t port;
    int error = split(text, host, &port, &out->place);
    if (error != 0) return error;
    out->host = host_of(loop, host, port);
    return out->host ? 0 : -ENOMEM;
}

void orri_named_free(struct orr_loop *loop) {
    struct orri_host *h;
    if (loop->hosts) orri_unlink(&loop->names.all);
    while ((h = loop->hosts)) {
        loop->hosts = h->next;
        orri_ntp_look_up_free(h->lookup);
        orri_dealloc(loop, h, sizeof *h);
    }
}

/* -- Addresses ----------------------------------------------------------------------------------------------------- */
static bool is_free(const struct orr_loop *loop, const struct orri_address *a) {
    for (size_t i = 0; i < loop->n_peers; i++)
        if (loop->peers[i].address.size && orri_ntp_same(&loop->peers[i].address, a)) return false;
    return true;
}

/* From the socket that there is one can't send to addresses of another family. */
static bool can_reach(const struct orr_loop *loop, const struct orri_address *a) {
    struct orri_address own = { .size = sizeof own.at };
    if (loop->udp_fd < 0 || getsockname(loop->udp_fd, (struct sockaddr *)&own.at, &own.size) != 0) return true;
    return own.at.ss_family == a->at.ss_family;
}

static bool move_on(struct orr_loop *loop, struct orri_peer *p) {
    struct orri_host *h = p->host;
    char text[ORR_NTP_ADDRESS_TEXT];
    while (h->tried < h->n_found) {
        const struct orri_address *to = &h->found[h->tried++];
        if (!can_reach(loop, to) || !is_free(loop, to)) continue;
        p->address = *to;
        p->unheard = 0;
        p->heard = false;
        p->moved++;
        orri_ntp_text(&to->at, text);
        if (p->place) orri_say(loop, ORR_LOG_INFO, "ntp: %s:%u/%u is %s", h->name, h->port, p->place, text);
        else orri_say(loop, ORR_LOG_INFO, "ntp: %s:%u is %s", h->name, h->port, text);
        return true;
    }
    return false;
}

static bool given_up(const struct orri_peer *p) { return p->unheard >= (p->heard ? SILENT_HEARD : SILENT_NEW); }

static void want_look_up(struct orr_loop *loop, struct orri_host *h) {
    orr_time now = orri_boottime();
    if (h->lookup || h->look_up_at != ORR_NEVER) return;
    h->look_up_at = h->looked_up + loop->look_up_again > now ? h->looked_up + loop->look_up_again : now;
    if (h->look_up_at < loop->names.deadline) loop->names.deadline = h->look_up_at;
    orri_nudge(loop);
}

bool orri_named_placed(struct orr_loop *loop, struct orri_peer *p) {
    bool lost = p->address.size && given_up(p);
    if (!p->address.size || lost) {
        bool moved = !(lost && p->heard) && move_on(loop, p);
        if (!moved) want_look_up(loop, p->host);
    }
    if (!p->address.size) return false;
    p->unheard++;
    return true;
}

void orri_named_heard(struct orri_peer *p) {
    p->heard = true;
    p->unheard = 0;
}

/* -- Looking up ---------------------------------------------------------------------------------------------------- */
static void not_found(struct orr_loop *loop, struct orri_host *h, const char *why) {
    unsigned doublings = h->failures < DOUBLINGS ? h->failures : DOUBLINGS;
    if (h->failures++ == 0) orri_say(loop, ORR_LOG_WARN, "ntp: %s is not found: %s", h->name, why);
    h->look_up_at = orri_boottime() + (2 * ORR_SECOND << doublings);
}

static void found(struct orr_loop *loop, struct orri_host *h, unsigned n) {
    if (h->failures > 0) orri_say(loop, ORR_LOG_INFO, "ntp: %s is found now", h->name);
    h->n_found = n;
    h->tried = h->failures = 0;
    for (size_t i = 0; i < loop->n_peers; i++) {
        struct orri_peer *p = &loop->peers[i];
        if (p->host == h && (!p->address.size || given_up(p))) (void)move_on(loop, p);
    }
}

static void look_up(struct orr_loop *loop, struct orri_host *h) {
    struct orri_address addresses[ORRI_NTP_ADDRESSES];
    const char *why;
    if (orri_boottime() >= h->look_up_at) {
        h->look_up_at = ORR_NEVER;
        h->looked_up = orri_boottime();
        h->lookup = orri_ntp_look_up(loop, h->name, h->port);
        if (!h->lookup) not_found(loop, h, "no thread could be started for the look-up");
    }
    int n = h->lookup ? orri_ntp_found(h->lookup, addresses, &why) : -1;
    if (n < 0) return;
    orri_ntp_look_up_free(h->lookup);
    h->lookup = NULL;
    if (n == 0) {
        not_found(loop, h, why);
        return;
    }
    memcpy(h->found, addresses, (size_t)n * sizeof *addresses);
    found(loop, h, (unsigned)n);
}

static void hosts_turn(struct orri_guest *g) {
    struct orr_loop *loop = ORRI_MEMBER(g, struct orr_loop, names);
    g->deadline = ORR_NEVER;
    for (struct orri_host *h = loop->hosts; h; h = h->next) {
        look_up(loop, h);
        if (h->look_up_at < g->deadline) g->deadline = h->look_up_at;
    }
}
