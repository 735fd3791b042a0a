/* ntp_name.c - addresses of servers: their text, and looking up names without holding up the loop.
 *
 * getaddrinfo asks whatever the machine is configured to ask and can't be interrupted. So each look-up has a thread of
 * its own, which shares one block with who asked; whoever is done with it last frees it. Who gives up waits for
 * nothing. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/ntp_inner.h"

/* -- Text ---------------------------------------------------------------------------------------------------------- */
static bool port_of(const char *text, uint16_t *out) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    unsigned long port = strtoul(text, &end, 10);
    *out = (uint16_t)port;
    return *end == '\0' && port >= 1 && port <= UINT16_MAX;
}

static bool host_ok(const char *host) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%";
    return *host && *host != '-' && host[strspn(host, letters)] == '\0';
}

int orri_ntp_split(const char *name, char host[ORR_NTP_NAME_MAX + 1], uint16_t *port) {
    const char *colon = strrchr(name, ':'), *bracket = strrchr(name, ']');
    size_t n = strlen(name);
    *port = ORR_NTP_PORT;
    if (n > ORR_NTP_NAME_MAX) return ORR_EINVALID;
    bool bare = colon && !bracket && memchr(name, ':', (size_t)(colon - name));    /* an IPv6 address, no port */
    if (colon && !bare && (!bracket || colon > bracket)) {
        if (!port_of(colon + 1, port)) return ORR_EINVALID;
        n = (size_t)(colon - name);
    }
    if (bracket || *name == '[') {
        if (!bracket || *name != '[' || name + n != bracket + 1) return ORR_EINVALID;
        name++;
        n -= 2;
    }
    memcpy(host, name, n);
    host[n] = '\0';
    struct orri_address ignored;
    if (strchr(host, ':') && !orri_ntp_number(host, *port, &ignored)) return ORR_EINVALID;
    return host_ok(host) ? 0 : ORR_EINVALID;
}

bool orr_ntp_name_ok(const char *name) {
    char host[ORR_NTP_NAME_MAX + 1];
    uint16_t port;
    return orri_ntp_split(name, host, &port) == 0;
}

void orri_ntp_text(const struct sockaddr_storage *at, char out[ORR_NTP_ADDRESS_TEXT]) {
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1], port[8];
    socklen_t size = at->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    out[0] = '\0';
    if (getnameinfo((const struct sockaddr *)at, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV | NI_DGRAM) != 0)
        return;
    int n = snprintf(out, ORR_NTP_ADDRESS_TEXT, at->ss_family == AF_INET ? "%s:%s" : "[%s]:%s", host, port);
    if (n >= ORR_NTP_ADDRESS_TEXT) out[0] = '\0';
}

/* -- Addresses ----------------------------------------------------------------------------------------------------- */
struct orr_ntp_address orri_ntp_address(const struct sockaddr_storage *at) {
    struct orr_ntp_address out = { .ip = { [10] = 0xff, [11] = 0xff } };
    if (at->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)at;
        memcpy(out.ip + 12, &v4->sin_addr, 4);
        out.port = ntohs(v4->sin_port);
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at;
        memcpy(out.ip, &v6->sin6_addr, 16);
        out.zone = v6->sin6_scope_id;
        out.port = ntohs(v6->sin6_port);
    }
    return out;
}

bool orri_ntp_same(const struct orri_address *a, const struct orri_address *b) {
    struct orr_ntp_address x = orri_ntp_address(&a->at), y = orri_ntp_address(&b->at);
    return memcmp(x.ip, y.ip, sizeof x.ip) == 0 && x.zone == y.zone && x.port == y.port;
}

static unsigned keep(const struct addrinfo *found, struct orri_address *out) {
    unsigned n = 0;
    for (; found && n < ORRI_NTP_ADDRESSES; found = found->ai_next) {
        if (found->ai_family != AF_INET && found->ai_family != AF_INET6) continue;
        out[n] = (struct orri_address){ .size = found->ai_addrlen };
        memcpy(&out[n++].at, found->ai_addr, found->ai_addrlen);
    }
    return n;
}

static int ask_system(const char *host, uint16_t port, int flags, struct orri_address *out, unsigned *n) {
    struct addrinfo hints = { .ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM }, *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &found);
    *n = failed ? 0 : keep(found, out);
    if (!failed) freeaddrinfo(found);
    return failed;
}

bool orri_ntp_number(const char *host, uint16_t port, struct orri_address *out) {
    struct orri_address found[ORRI_NTP_ADDRESSES];
    unsigned n;
    if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
    if (ask_system(host, port, AI_NUMERICHOST, found, &n) != 0 || n == 0) return false;
    *out = found[0];
    return true;
}

/* -- Looking up ---------------------------------------------------------------------------------------------------- */
struct orri_ntp_lookup {            /* libc's memory: the loop's allocator is for its thread alone */
    pthread_mutex_t lock;
    struct orr_loop *loop;          /* NULL: nobody wants to know any more */
    bool done;
    char host[ORR_NTP_NAME_MAX + 1];
    uint16_t port;
    int failed;                     /* getaddrinfo's */
    unsigned n;
    struct orri_address found[ORRI_NTP_ADDRESSES];
};

static void look_up_free(struct orri_ntp_lookup *l) {
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* The loop is rung under the lock: it can't be freed meanwhile. */
static void *look_up(void *arg) {
    struct orri_ntp_lookup *l = arg;
    l->failed = ask_system(l->host, l->port, 0, l->found, &l->n);
    pthread_mutex_lock(&l->lock);
    l->done = true;
    bool wanted = l->loop != NULL;
    if (wanted) orr_loop_ring(l->loop);
    pthread_mutex_unlock(&l->lock);
    if (!wanted) look_up_free(l);
    return NULL;
}

struct orri_ntp_lookup *orri_ntp_look_up(struct orr_loop *loop, const char *host, uint16_t port) {
    pthread_t thread;
    struct orri_ntp_lookup *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    pthread_mutex_init(&l->lock, NULL);
    l->loop = loop;
    l->port = port;
    snprintf(l->host, sizeof l->host, "%s", host);
    if (orri_thread_start(&thread, look_up, l) != 0) {
        look_up_free(l);
        return NULL;
    }
    pthread_detach(thread);
    return l;
}

int orri_ntp_found(struct orri_ntp_lookup *l, struct orri_address *out, const char **why) {
    pthread_mutex_lock(&l->lock);
    bool done = l->done;
    pthread_mutex_unlock(&l->lock);
    if (!done) return -1;
    memcpy(out, l->found, l->n * sizeof *out);
    *why = l->n > 0 ? NULL : l->failed ? gai_strerror(l->failed) : "no IP address has this name";
    return (int)l->n;
}

void orri_ntp_look_up_free(struct orri_ntp_lookup *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    bool done = l->done;
    l->loop = NULL;
    pthread_mutex_unlock(&l->lock);
    if (done) look_up_free(l);
}
