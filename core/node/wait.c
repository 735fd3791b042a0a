/* wait.c - what is under way for the host: records, and how their waits are told (rpc.h, orrery/host.h).
 *
 *     open ── answered, late, lost ──> told, in a row ── the node's turn: done(w) ──> free
 *
 * A record lies at its place for the node's life, so a tag finds it by its index; how often the place was used tells an
 * old tag from a new one. done is called from orri_waits_told alone, which nothing but the turn calls: so no wait is
 * told inside a call of the host's, and whoever is told may call anything.                                           */
#include "node/inner.h"

enum { PLACES_MAX = 1 << 20, PLACES_MIN = 64 };

/* -- Records ------------------------------------------------------------------------------------------------------- */
static bool reserve(struct orr_node *n) {
    struct orri_host *h = &n->host;
    if (h->n_places < h->cap_places) return true;
    size_t cap = h->cap_places ? 2 * h->cap_places : PLACES_MIN;
    void *places = orri_node_resize(n, h->places, h->cap_places * sizeof(void *), cap * sizeof(void *));
    if (!places) return false;
    h->places = places;
    h->cap_places = cap;
    return true;
}

static struct orri_under_way *pooled(struct orr_node *n, int *status) {
    struct orri_host *h = &n->host;
    struct orri_under_way *u = h->spare;
    if (u) {
        h->spare = u->next;
        return u;
    }
    *status = ORR_EOVERLOADED;
    if (h->n_places == PLACES_MAX) return NULL;
    *status = -ENOMEM;
    u = reserve(n) ? orri_node_resize(n, NULL, 0, sizeof *u) : NULL;
    if (!u) return NULL;
    *u = (struct orri_under_way){ .place = (uint32_t)h->n_places };
    return h->places[h->n_places++] = u;
}

static void fire(struct orri_alarm *alarm) {
    struct orri_under_way *u = ORRI_OWNER(alarm, struct orri_under_way, alarm);
    switch (u->kind) {
    case ORRI_IS_CALL: orri_rpc_late(u); break;
    case ORRI_IS_CARRIED: case ORRI_IS_PROPOSAL: case ORRI_IS_READ: orri_carry_late(u); break;
    case ORRI_IS_STAMP: orri_stamps_due(u); break;
    case ORRI_IS_TIMER: case ORRI_IS_SAVE: case ORRI_IS_SNAPSHOT: orri_wait_tell(u, 0, orr_borrow(NULL, 0)); break;
    }
}

struct orri_under_way *orri_wait_new(struct orr_node *n, struct orr_wait *w, enum orri_errand_kind kind, int *status) {
    ORR_ASSERT(w->done && !w->under_way);
    struct orri_under_way *u = pooled(n, status);
    if (!u) return NULL;
    *u = (struct orri_under_way){ .alarm.fire = fire, .node = n, .w = w, .kind = kind, .state = ORRI_RECORD_OPEN,
                                  .place = u->place, .used = u->used + 1, .deadline = ORR_NEVER };
    w->under_way = u;
    return u;
}

struct orri_under_way *orri_wait_find(struct orr_node *n, uint64_t tag) {
    uint32_t place = (uint32_t)tag;
    struct orri_under_way *u = place < n->host.n_places ? n->host.places[place] : NULL;
    return u && u->state == ORRI_RECORD_OPEN && u->used == tag >> 32 ? u : NULL;
}

/* Nobody else points to it from here on. */
static void detach(struct orri_under_way *u) {
    orri_heap_unset(&u->node->heap, &u->alarm.timer);
    if (u->peer) orri_rpc_unlink(u);
    if (u->kind == ORRI_IS_SAVE) orri_saved_forget(u);
    if (u->kind == ORRI_IS_SNAPSHOT) orri_snapshot_forget(u);
    if (u->kind == ORRI_IS_STAMP) orri_stamps_forget(u);
    orr_drop(u->body);
    u->body = orr_borrow(NULL, 0);
}

static void give_back(struct orri_under_way *u) {
    struct orri_host *h = &u->node->host;
    u->state = ORRI_RECORD_FREE;
    u->w->under_way = NULL;
    u->w = NULL;
    u->next = h->spare;
    h->spare = u;
}

/* -- Telling ------------------------------------------------------------------------------------------------------- */
void orri_wait_tell(struct orri_under_way *u, int status, struct orr_slice result) {
    struct orri_host *h = &u->node->host;
    ORR_ASSERT(u->state == ORRI_RECORD_OPEN && (result.chunk || !result.size));
    detach(u);
    u->state = ORRI_RECORD_TOLD;
    u->status = status;
    u->result = orr_hold(result);
    u->next = NULL;
    u->before = h->told_last;
    if (h->told_last) h->told_last->next = u;
    else h->told = u;
    h->told_last = u;
    h->n_told++;
    orri_host_wake(u->node);
}

static void untell(struct orri_under_way *u) {
    struct orri_host *h = &u->node->host;
    if (u->before) u->before->next = u->next;
    else h->told = u->next;
    if (u->next) u->next->before = u->before;
    else h->told_last = u->before;
    h->n_told--;
}

/* The state that a read is served from may have gone on meanwhile. */
static void renew(struct orri_under_way *u) {
    struct orr_at here;
    if (u->kind != ORRI_IS_READ || u->status < 0 || !orr_group_here(u->group, &here)) return;
    if (here.time < u->logged.time) here.time = u->logged.time;
    u->logged = here;
}

bool orri_waits_told(struct orr_node *n) {
    struct orri_host *h = &n->host;
    size_t count = h->n_told;
    for (size_t i = 0; i < count && h->told; i++) {     /* fewer, where some are cancelled meanwhile */
        struct orri_under_way *u = h->told;
        struct orr_wait *w = u->w;
        struct orr_slice result = u->result;
        renew(u);
        untell(u);
        w->status = u->status;
        w->result = result;
        w->at = u->logged;
        give_back(u);
        w->done(w);
        orr_drop(result);
    }
    return count > 0;
}

void orri_wait_drop(struct orri_under_way *u) {
    if (u->state == ORRI_RECORD_TOLD) {
        untell(u);
        orr_drop(u->result);
    } else {
        detach(u);
    }
    give_back(u);
}

void orr_wait_cancel(struct orr_wait *w) {
    struct orri_under_way *u = w->under_way;
    if (!u) return;
    if (u->state == ORRI_RECORD_OPEN && u->peer) orri_rpc_withdraw(u);
    orri_wait_drop(u);
}

/* -- The end ------------------------------------------------------------------------------------------------------- */
void orri_waits_end(struct orr_node *n) {
    for (size_t i = 0; i < n->host.n_places; i++) {
        struct orri_under_way *u = n->host.places[i];
        if (u->state != ORRI_RECORD_OPEN) continue;
        bool only_waits = u->kind == ORRI_IS_TIMER || u->kind == ORRI_IS_STAMP;
        orri_wait_tell(u, only_waits ? ORR_ECANCELED : ORR_EUNKNOWN, orr_borrow(NULL, 0));
    }
    (void)orri_waits_told(n);
}

void orri_waits_clear(struct orr_node *n) {
    struct orri_host *h = &n->host;
    for (size_t i = 0; i < h->n_places; i++) {
        struct orri_under_way *u = h->places[i];
        if (u->state == ORRI_RECORD_TOLD) orr_drop(u->result);
        else if (u->state == ORRI_RECORD_OPEN) orr_drop(u->body);
        orri_node_resize(n, u, sizeof *u, 0);
    }
    orri_node_resize(n, h->places, h->cap_places * sizeof(void *), 0);
    h->places = NULL;
    h->n_places = h->cap_places = 0;
    h->spare = h->told = h->told_last = NULL;
}

int orr_node_timer(struct orr_node *n, struct orr_wait *w, orr_time at) {
    int status = ORR_EUNAVAILABLE;
    struct orri_under_way *u = orri_node_dead(n) ? NULL : orri_wait_new(n, w, ORRI_IS_TIMER, &status);
    if (!u) return status;
    if (orri_heap_set(&n->heap, &u->alarm.timer, at) < 0) {
        orri_wait_drop(u);
        return -ENOMEM;
    }
    if (!n->in_turn) n->w->ops->alarm(n->w, orri_heap_next(&n->heap), 0);
    return 0;
}
