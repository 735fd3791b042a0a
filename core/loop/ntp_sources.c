/* ntp_sources.c - the servers that a clock follows: where they are, when each is asked, what is made of the answers.
 *
 * A source is a name; it has one place, a pool's has several. A place whose server was never heard tries the name's
 * next address after a few requests. One that was heard keeps its server until the name can be looked up again: where
 * the network is gone that fails too, and what the clock knows of the server still counts. No two places ask the same
 * address, or it would vote twice.
 *
 * A place is asked at the later of two times: the clock's, which knows how often it needs to hear, and the
 * association's, which knows how often the server likes to be asked. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "loop/ntp_inner.h"

enum { SILENT_NEW = 2, SILENT_HEARD = 8, LOOK_UP_DOUBLINGS = 10, POOL_MAX = 16 };
static const orr_time look_up_again = 64 * ORR_SECOND;
static const orr_time suspend_min = ORR_MS;

static void say_of(const struct orri_ntp_server *s, enum orr_level level, const char *what) {
    char address[ORR_NTP_ADDRESS_TEXT];
    if (s->set->config.quiet) return;
    orri_ntp_text(&s->address.at, address);
    orri_say(s->set->loop, level, "ntp: %s (%s) %s", address, s->origin->name, what);
}

/* -- Config -------------------------------------------------------------------------------------------------------- */
void orr_ntp_sources_config_init(struct orr_ntp_sources_config *config) {
    *config = (struct orr_ntp_sources_config){ .size = sizeof *config, .pool_max = 4, .poll_min = 6, .poll_max = 10,
                                               .interleaved = true, .timeout = 2 * ORR_SECOND };
}

static const char *wrong_source(const struct orr_ntp_sources_config *config) {
    for (size_t i = 0; i < config->n_sources; i++)
        if (!config->sources[i].name || !orr_ntp_name_ok(config->sources[i].name)) return "sources";
    return NULL;
}

int orr_ntp_sources_config_check(const struct orr_ntp_sources_config *config, const char **field) {
    const char *wrong = config->size != sizeof *config                             ? "size"
                        : config->n_sources < 1 || !config->sources                ? "sources"
                        : config->n_sources > ORR_CLOCK_PEERS_MAX                  ? "n_sources"
                        : !config->clock                                           ? "clock"
                        : config->pool_max < 1 || config->pool_max > POOL_MAX      ? "pool_max"
                        : config->poll_min < ORR_NTP_POLL_MIN || config->poll_min > ORR_NTP_POLL_MAX ? "poll_min"
                        : config->poll_max < config->poll_min || config->poll_max > ORR_NTP_POLL_MAX ? "poll_max"
                        : config->timeout < ORR_MS || config->timeout > 3600 * ORR_SECOND            ? "timeout"
                                                                                   : wrong_source(config);
    if (wrong && field) *field = wrong;
    return wrong ? ORR_EINVALID : 0;
}

/* -- Addresses ----------------------------------------------------------------------------------------------------- */
static bool in_use(const struct orr_ntp_sources *set, const struct orri_address *a) {
    for (size_t i = 0; i < set->n_places; i++)
        if (set->places[i].client && orri_ntp_same(&set->places[i].address, a)) return true;
    return false;
}

static bool is_loopback(const struct sockaddr_storage *at) {
    static const unsigned char one[16] = { [15] = 1 };
    struct orr_ntp_address a = orri_ntp_address(at);
    return at->ss_family == AF_INET ? a.ip[12] == 127 : memcmp(a.ip, one, sizeof one) == 0;
}

/* As that server sees us: what it would call us, if it followed us. 0: on the same machine everybody has one name. */
static uint32_t our_refid(const struct orri_address *to) {
    struct sockaddr_storage us;
    socklen_t size = sizeof us;
    int fd = orri_ntp_connect(to);
    if (fd < 0) return 0;
    bool known = getsockname(fd, (struct sockaddr *)&us, &size) == 0;
    close(fd);
    return known && !is_loopback(&us) ? orri_ntp_refid(&us) : 0;
}

static int client_new(struct orri_ntp_server *s) {
    const struct orr_ntp_sources_config *of = &s->set->config;
    struct orr_ntp_client_config config;
    orr_ntp_client_config_init(&config);
    config.server = orri_ntp_address(&s->address.at);
    config.poll_min = of->poll_min;
    config.poll_max = of->poll_max;
    config.interleaved = of->interleaved;
    config.alloc = &s->set->loop->config.alloc;
    if (of->serves) config.refids[0] = our_refid(&s->address);
    int error = orri_random(&config.seed, sizeof config.seed);
    return error == 0 ? orr_ntp_client_new(&s->client, &config, orr_ntp_local()) : error;
}

/* The place forgets its server. */
static void leave(struct orri_ntp_server *s) {
    if (!s->client) return;
    orri_ntp_hang_up(s);
    orr_ntp_client_free(s->client);
    s->client = NULL;
    s->exchanges = s->silent = 0;
    s->heard = false;
    s->why = NULL;
    s->role = ORR_CLOCK_NEW;
    orr_clock_peer_remove(s->set->config.clock, orr_ntp_local(), s->id);
}

static int move_to(struct orri_ntp_server *s, const struct orri_address *to) {
    orr_time local = orr_ntp_local();
    leave(s);
    s->address = *to;
    int error = client_new(s);
    if (error != 0) return error;
    unsigned flags = s->origin->flags & (ORR_NTP_TRUST | ORR_NTP_NOSELECT);
    error = orr_clock_peer_add(s->set->config.clock, local, s->id, flags);
    if (error != 0) {
        orr_ntp_client_free(s->client);
        s->client = NULL;
    }
    s->due = local;
    return error;
}

/* 0; ORR_EUNAVAILABLE: the name has no address left that nobody asks. */
static int move_on(struct orri_ntp_server *s) {
    struct orri_ntp_origin *o = s->origin;
    while (o->next < o->n_addresses) {
        const struct orri_address *to = &o->addresses[o->next++];
        if (!in_use(s->set, to)) return move_to(s, to);
    }
    if (!s->client && o->n_addresses > 0) o->why = "it has no address that is not asked already";
    return ORR_EUNAVAILABLE;
}

/* -- Names --------------------------------------------------------------------------------------------------------- */
static void want_look_up(struct orri_ntp_origin *o, orr_time local) {
    if (o->number || o->lookup || o->look_up_at != ORR_NEVER) return;
    o->look_up_at = o->looked_up + look_up_again > local ? o->looked_up + look_up_again : local;
}

/* Of a server that was never heard the network's own word (refused, unreachable) is enough. */
static bool given_up(const struct orri_ntp_server *s) {
    if (s->heard) return s->silent >= SILENT_HEARD;
    return s->silent >= (s->why ? 1 : SILENT_NEW);
}

static void settle(struct orri_ntp_origin *o) {
    for (unsigned i = 0; i < o->n_places; i++) {
        struct orri_ntp_server *s = &o->places[i];
        if (!s->client || given_up(s)) move_on(s);
    }
}

static void not_found(struct orr_ntp_sources *set, struct orri_ntp_origin *o, orr_time local, const char *why) {
    unsigned doublings = o->failures < LOOK_UP_DOUBLINGS ? o->failures : LOOK_UP_DOUBLINGS;
    if (o->failures++ == 0 && !set->config.quiet)
        orri_say(set->loop, ORR_LOG_WARN, "ntp: %s is not found: %s", o->name, why);
    if (o->n_addresses == 0) o->why = why;
    o->look_up_at = local + (2 * ORR_SECOND << doublings);
}

static void look_up(struct orr_ntp_sources *set, struct orri_ntp_origin *o, orr_time local) {
    if (local >= o->look_up_at) {
        o->look_up_at = ORR_NEVER;
        o->looked_up = local;
        o->lookup = orri_ntp_look_up(set->loop, o->host, o->port);
        if (!o->lookup) not_found(set, o, local, "no thread could be started for the look-up");
    }
    struct orri_address found[ORRI_NTP_ADDRESSES];
    const char *why;
    int n = o->lookup ? orri_ntp_found(o->lookup, found, &why) : -1;
    if (n < 0) return;
    orri_ntp_look_up_free(o->lookup);
    o->lookup = NULL;
    if (n == 0) {
        not_found(set, o, local, why);
        return;
    }
    memcpy(o->addresses, found, (size_t)n * sizeof *found);
    o->n_addresses = (unsigned)n;
    o->next = o->failures = 0;
    o->why = NULL;
    settle(o);
}

/* -- Answers ------------------------------------------------------------------------------------------------------- */
static void plan(struct orri_ntp_server *s) {
    struct orr_clock_peer peer;
    orr_time local = orr_ntp_local();
    if (orr_clock_peer_info(s->set->config.clock, local, s->id, &peer) == 0)
        orr_ntp_client_set_poll(s->client, peer.poll);
    orr_time polite = orr_ntp_client_deadline(s->client), needed = orr_clock_next(s->set->config.clock, local, s->id);
    s->due = polite > needed ? polite : needed;
}

static void say_state(struct orr_ntp_sources *set, const struct orr_clock_time *now) {
    static const char *const words[] = { "not synchronised", "synchronised", "no source is heard any more" };
    if (now->state == set->state) return;
    set->state = now->state;
    if (set->config.quiet) return;
    if (now->state == ORR_CLOCK_UNSYNC) orri_say(set->loop, ORR_LOG_WARN, "ntp: %s", words[now->state]);
    else orri_say(set->loop, ORR_LOG_INFO, "ntp: %s, within %.3f ms, stratum %u", words[now->state],
                  (double)(now->latest - now->earliest) / 2e6, now->stratum);
}

/* A falseticker's own interval shares nothing with the clock's. The clock leaves out others, too, for less. */
static void say_role(struct orri_ntp_server *s, const struct orr_clock_time *now, orr_time local) {
    struct orr_clock_peer peer;
    if (!s->client || orr_clock_peer_info(s->set->config.clock, local, s->id, &peer) != 0) return;
    bool apart = peer.latest < now->earliest || peer.earliest > now->latest;
    if (peer.role == s->role || (peer.role == ORR_CLOCK_FALSE && !apart)) return;
    if (peer.role == ORR_CLOCK_FALSE) say_of(s, ORR_LOG_WARN, "is a falseticker: left out");
    if (peer.role == ORR_CLOCK_TRUE && s->role == ORR_CLOCK_FALSE) say_of(s, ORR_LOG_INFO, "is true again");
    s->role = peer.role;
}

static void say(struct orr_ntp_sources *set) {
    struct orr_clock_time now;
    orr_time local = orr_ntp_local();
    orr_clock_now(set->config.clock, local, &now);
    say_state(set, &now);
    for (size_t i = 0; i < set->n_places && now.state != ORR_CLOCK_UNSYNC; i++)
        say_role(&set->places[i], &now, local);
}

static void sample(struct orri_ntp_server *s, const struct orr_ntp_exchange *x) {
    struct orr_clock_exchange of = { .t1 = x->t1, .t2 = x->t2, .t3 = x->t3, .t4 = x->t4,
                                     .root_delay_ns = x->root_delay_ns, .root_dispersion_ns = x->root_dispersion_ns,
                                     .stamp_error_ns = x->stamp_error_ns, .stratum = x->stratum, .leap = x->leap };
    (void)orr_clock_sample(s->set->config.clock, orr_ntp_local(), s->id, &of);     /* what it thinks of it, it counts */
    s->last = *x;
    s->exchanges++;
}

void orri_ntp_answered(struct orri_ntp_server *s, enum orr_ntp_verdict verdict, const struct orr_ntp_exchange *x) {
    if (s->silent >= SILENT_HEARD) say_of(s, ORR_LOG_INFO, "is heard again");
    if (verdict != s->verdict || !s->heard) {
        if (verdict == ORR_NTP_DENY) say_of(s, ORR_LOG_WARN, "wants to hear no more of us: not asked again");
        if (verdict == ORR_NTP_RATE) say_of(s, ORR_LOG_INFO, "asks to be asked less");
    }
    s->heard = true;
    s->verdict = verdict;
    s->silent = 0;
    if (verdict == ORR_NTP_TAKEN) sample(s, x);
    else if (verdict != ORR_NTP_KEPT) orr_clock_lost(s->set->config.clock, orr_ntp_local(), s->id);
    if (verdict != ORR_NTP_DENY || !(s->origin->flags & ORR_NTP_POOL) || move_on(s) != 0) plan(s);
    say(s->set);
}

void orri_ntp_unanswered(struct orri_ntp_server *s) {
    orri_ntp_hang_up(s);
    orr_clock_lost(s->set->config.clock, orr_ntp_local(), s->id);
    plan(s);
    s->silent++;
    if (s->silent == SILENT_HEARD) say_of(s, ORR_LOG_WARN, s->why ? s->why : "does not answer");
    if (!given_up(s) || (!s->heard && move_on(s) == 0)) return;
    want_look_up(s->origin, orr_ntp_local());
}

/* -- Turns --------------------------------------------------------------------------------------------------------- */
void orri_ntp_look_for_sleep(struct orr_ntp_sources *set) {
    orr_time slept = orri_ntp_slept(), more = slept - set->slept, local = orr_ntp_local();
    if (more > 0) set->slept = slept;
    if (more < suspend_min) return;
    if (!set->config.quiet)
        orri_say(set->loop, ORR_LOG_WARN, "ntp: the machine was suspended for %.3f s", (double)more / 1e9);
    orr_clock_local_step(set->config.clock, local, ORR_CLOCK_UNKNOWN);
    for (size_t i = 0; i < set->n_places; i++) {
        struct orri_ntp_server *s = &set->places[i];
        struct orr_ntp_client *before = s->client;
        if (!before) continue;
        orri_ntp_hang_up(s);
        if (client_new(s) == 0) orr_ntp_client_free(before);        /* what it remembers is of another time */
        s->due = local;
    }
    orri_ntp_rearm(set);
}

void orri_ntp_rearm(struct orr_ntp_sources *set) {
    orr_time next = ORR_NEVER, local = orr_ntp_local(), now = orri_boottime();
    for (size_t i = 0; i < set->n_origins; i++)
        if (set->origins[i].look_up_at < next) next = set->origins[i].look_up_at;
    for (size_t i = 0; i < set->n_places; i++) {
        const struct orri_ntp_server *s = &set->places[i];
        orr_time at = s->fd >= 0 ? s->lost_at : s->due;
        if (s->client && at < next) next = at;
    }
    set->guest.deadline = next == ORR_NEVER ? ORR_NEVER : next > local ? now + (next - local) : now;
}

static bool looking_up(const struct orr_ntp_sources *set) {
    for (size_t i = 0; i < set->n_origins; i++)
        if (set->origins[i].lookup) return true;
    return false;
}

static void turn(struct orri_guest *g) {
    struct orr_ntp_sources *set = (struct orr_ntp_sources *)(void *)g;
    if (orri_boottime() < g->deadline && !looking_up(set)) return;
    orri_ntp_look_for_sleep(set);
    orr_time local = orr_ntp_local();
    for (size_t i = 0; i < set->n_origins; i++) look_up(set, &set->origins[i], local);
    for (size_t i = 0; i < set->n_places; i++) {
        struct orri_ntp_server *s = &set->places[i];
        if (s->client && s->fd >= 0 && local >= s->lost_at) orri_ntp_unanswered(s);
        if (s->client && s->fd < 0 && local >= s->due) orri_ntp_ask(s);
    }
    say(set);
    orri_ntp_rearm(set);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static size_t places_of(const struct orr_ntp_sources_config *config, size_t i) {
    return config->sources[i].flags & ORR_NTP_POOL ? config->pool_max : 1;
}

static int origin_init(struct orr_ntp_sources *set, struct orri_ntp_origin *o, const struct orr_ntp_source *from) {
    strcpy(o->name, from->name);    /* it fits, for it is ok */
    orri_ntp_split(o->name, o->host, &o->port);
    o->flags = from->flags;
    o->looked_up = INT64_MIN / 2;
    o->look_up_at = ORR_NEVER;
    o->number = orri_ntp_number(o->host, o->port, &o->addresses[0]);
    for (unsigned i = 0; i < o->n_places; i++) {
        o->places[i] = (struct orri_ntp_server){ .set = set, .origin = o, .fd = -1, .due = ORR_NEVER,
            .id = set->config.first_id + (uint32_t)(&o->places[i] - set->places) };
    }
    o->n_addresses = o->number;
    int error = o->number ? move_on(&o->places[0]) : 0;
    if (!o->number) o->look_up_at = orr_ntp_local();
    return error == ORR_EUNAVAILABLE ? 0 : error;
}

int orr_ntp_sources_new(struct orr_ntp_sources **out, struct orr_loop *loop,
                        const struct orr_ntp_sources_config *config) {
    if (orr_ntp_sources_config_check(config, NULL) != 0) return ORR_EINVALID;
    size_t n_places = 0;
    for (size_t i = 0; i < config->n_sources; i++) n_places += places_of(config, i);
    if (n_places > ORR_CLOCK_PEERS_MAX) return ORR_EOVERLOADED;
    size_t bytes = sizeof(struct orr_ntp_sources) + config->n_sources * sizeof(struct orri_ntp_origin) +
                   n_places * sizeof(struct orri_ntp_server);
    struct orr_ntp_sources *set = orri_alloc(loop, bytes);
    if (!set) return -ENOMEM;
    set->loop = loop;
    set->config = *config;
    set->bytes = bytes;
    set->origins = (struct orri_ntp_origin *)(set + 1);
    set->places = (struct orri_ntp_server *)(set->origins + config->n_sources);
    for (unsigned i = 0; i < 16; i++) {
        orr_time slept = orri_ntp_slept();
        if (i == 0 || slept > set->slept) set->slept = slept;
    }
    set->guest.turn = turn;
    orri_guest_join(loop, &set->guest);
    int error = 0;
    for (size_t i = 0; i < config->n_sources && error == 0; i++) {
        struct orri_ntp_origin *o = &set->origins[set->n_origins++];
        o->places = set->places + set->n_places;
        o->n_places = (unsigned)places_of(config, i);
        set->n_places += o->n_places;
        error = origin_init(set, o, &config->sources[i]);
    }
    set->config.sources = NULL;     /* it was lent */
    orri_ntp_rearm(set);
    for (size_t i = 0; i < set->n_places && error != 0; i++) leave(&set->places[i]);
    if (error == 0) *out = set;
    else orr_ntp_sources_free(set);
    return error;
}

void orr_ntp_sources_free(struct orr_ntp_sources *set) {
    if (!set) return;
    orri_unlink(&set->guest.all);
    for (size_t i = 0; i < set->n_origins; i++) orri_ntp_look_up_free(set->origins[i].lookup);
    for (size_t i = 0; i < set->n_places; i++) {
        orri_ntp_hang_up(&set->places[i]);
        orr_ntp_client_free(set->places[i].client);
    }
    orri_dealloc(set->loop, set, set->bytes);
}

/* -- Looking ------------------------------------------------------------------------------------------------------- */
size_t orr_ntp_sources_places(const struct orr_ntp_sources *set) { return set->n_places; }

bool orr_ntp_sources_place(const struct orr_ntp_sources *set, size_t place, struct orr_ntp_place *out) {
    if (place >= set->n_places) return false;
    const struct orri_ntp_server *s = &set->places[place];
    *out = (struct orr_ntp_place){ .source = s->origin->name, .id = s->id, .why = s->client ? s->why : s->origin->why,
                                   .exchanges = s->exchanges, .silent = s->silent,
                                   .untried = s->origin->n_addresses - s->origin->next, .waiting = s->fd >= 0,
                                   .heard = s->heard, .verdict = s->verdict, .last = s->last };
    if (s->client) {
        orri_ntp_text(&s->address.at, out->address);
        orr_ntp_client_status(s->client, &out->status);
    }
    return s->client || s == s->origin->places;
}
