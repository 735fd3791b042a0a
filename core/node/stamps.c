/* stamps.c - a node's own hybrid logical clock (orrery/node_hlc.h): the arithmetic of orrery/hlc.h, fed with the
 * cluster's time, its limit on the node's disk.
 *
 * What keeps these rules is `give`, which everything goes through:
 *   - a stamp at or above what is known to be stored is not given: a process that is started again begins there;
 *   - nor one more than skew_max above `earliest`. The true time is not below that, so the `latest` of whoever knows
 *     the time isn't either, and nobody refuses the stamp. The wall clock of the arithmetic is cut off there too: the
 *     likely time may be above it, where the time is known badly.
 * A stamp that is not given is lost, and numbers are cheap: who waits draws another one. */
#include <orrery/node_hlc.h>
#include <orrery/time.h>

#include "base/codec.h"
#include "node/inner.h"

enum { SIZE = 8 };                  /* of the value: the limit, little-endian */
#define AGAIN_AFTER (100 * ORR_MS)  /* a failed write */

struct orri_stamps {
    struct orr_node *node;
    struct orr_hlc hlc;
    int status;                     /* < 0: what was stored can't be read */
    struct orr_wait saving;         /* of `limit`; */
    orr_hlc_stamp limit;
    int failed;                     /* how the last one ended, */
    orr_time not_before;            /* and the next one begins, if it failed */
    struct orri_under_way *waiting;
    uint64_t given;
};

/* -- Life ---------------------------------------------------------------------------------------------------------- */
/* 0 where nothing was ever stored. */
static int stored_limit(const struct orr_node *n, orr_hlc_stamp *limit) {
    struct orr_slice value;
    int rc = orr_node_load(n, ORRI_SAVED_HLC, &value);
    *limit = 0;
    if (rc == -ENOENT) return 0;
    if (rc == 0 && value.size != SIZE) rc = ORR_ECORRUPT;
    if (rc == 0) *limit = orri_get_le(value.at, SIZE);
    return rc;
}

static struct orri_stamps *begun(struct orr_node *n) {
    struct orr_hlc_config cfg;
    orr_hlc_stamp limit;
    if (n->stamps) return n->stamps;
    struct orri_stamps *s = orri_node_resize(n, NULL, 0, sizeof *s);
    if (!s) return NULL;
    *s = (struct orri_stamps){ .node = n };
    orr_hlc_config_init(&cfg);
    cfg.skew_max = n->cfg.clock.skew_max;
    s->status = stored_limit(n, &limit);
    (void)orr_hlc_init(&s->hlc, &cfg, limit);       /* the node's config was checked */
    n->stamps = s;
    return s;
}

void orri_stamps_free(struct orr_node *n) {
    if (n->stamps) orri_node_resize(n, n->stamps, sizeof *n->stamps, 0);
    n->stamps = NULL;
}

/* -- The limit ----------------------------------------------------------------------------------------------------- */
static void told(struct orri_stamps *s, int status) {
    struct orri_under_way *u;
    s->failed = status;
    if (status == 0) {
        orr_hlc_stored(&s->hlc, s->limit);
    } else {
        orr_hlc_unstored(&s->hlc);
        s->not_before = orr_node_now(s->node) + AGAIN_AFTER;
    }
    while ((u = s->waiting)) {
        s->waiting = u->next_save;
        orri_wait_tell(u, 0, orr_borrow(NULL, 0));  /* asking again, it hears of a failure */
    }
}

static void on_saved(struct orr_wait *w) { told(w->owner, w->status); }

/* Asks for the next limit, where it is time for one. */
static int extend(struct orri_stamps *s, orr_time wall) {
    struct orr_node *n = s->node;
    unsigned char bytes[SIZE];
    if (s->saving.under_way) return 0;
    if (s->failed < 0 && orr_node_now(n) < s->not_before) return s->failed;
    if (!orr_hlc_store(&s->hlc, wall, &s->limit)) return 0;
    orri_put_le(bytes, s->limit, SIZE);
    s->saving = (struct orr_wait){ .done = on_saved, .owner = s };
    int rc = orri_saved_put(n, &s->saving, ORRI_SAVED_HLC, orr_borrow(bytes, SIZE));
    if (rc < 0) told(s, rc);
    return rc;
}

/* -- Stamps -------------------------------------------------------------------------------------------------------- */
static orr_time later(orr_time at, orr_time by) { return at > INT64_MAX - by ? INT64_MAX : at + by; }

static void trace(const struct orri_stamps *s, orr_hlc_stamp stamp, const orr_hlc_stamp *heard) {
    struct orr_world *w = s->node->w;
    const struct orr_trace_stamp event = { .stamp = stamp, .heard = heard ? *heard : 0, .skew_max = s->hlc.skew_max };
    if (w->ops->trace) w->ops->trace(w, 0, ORR_TRACE_STAMP, &event, sizeof event);
}

static int give(struct orr_node *n, const orr_hlc_stamp *heard, orr_hlc_stamp *stamp) {
    struct orri_stamps *s = begun(n);
    struct orr_node_time t;
    orr_hlc_stamp next;
    *stamp = 0;
    if (!s) return -ENOMEM;
    if (s->status < 0) return s->status;
    int rc = orr_node_time(n, &t);
    if (rc < 0) return rc;
    orr_time most = later(t.earliest, s->hlc.skew_max), wall = t.likely < most ? t.likely : most;
    rc = heard ? orr_hlc_receive(&s->hlc, wall, t.latest, *heard, &next) : orr_hlc_tick(&s->hlc, wall, &next);
    if (rc < 0) return rc;
    rc = extend(s, wall);
    if (!orr_hlc_usable(&s->hlc, next)) return rc < 0 ? rc : -EAGAIN;
    if (orr_hlc_time(next) > most) return -EAGAIN;
    s->given++;
    *stamp = next;
    trace(s, next, heard);
    return 0;
}

int orr_node_hlc_now(struct orr_node *n, orr_hlc_stamp *stamp) { return give(n, NULL, stamp); }

int orr_node_hlc_recv(struct orr_node *n, orr_hlc_stamp heard, orr_hlc_stamp *stamp) {
    return give(n, &heard, stamp);
}

/* -- Waiting ------------------------------------------------------------------------------------------------------- */
/* When it is worth trying again, unless a limit is stored before. */
static orr_time next_try(struct orr_node *n, const struct orri_stamps *s) {
    orr_time now = orr_node_now(n);
    orr_time missing = orr_node_time_wait(n, orr_hlc_time(s->hlc.last) - s->hlc.skew_max);
    if (missing == ORR_NEVER) return now;           /* it isn't known any more, as is told then */
    if (missing > 0) return later(now, missing);
    return s->saving.under_way ? ORR_NEVER : now;
}

int orr_node_hlc_wait(struct orr_node *n, struct orr_wait *w, orr_time deadline) {
    int rc = -ENOMEM;
    struct orri_stamps *s = orri_node_dead(n) ? NULL : begun(n);
    if (!s) return orri_node_dead(n) ? ORR_EUNAVAILABLE : rc;
    struct orri_under_way *u = orri_wait_new(n, w, ORRI_IS_STAMP, &rc);
    if (!u) return rc;
    orr_time at = next_try(n, s);
    u->deadline = deadline;
    u->next_save = s->waiting;
    s->waiting = u;
    if (orri_heap_set(&n->heap, &u->alarm.timer, at < deadline ? at : deadline) < 0) {
        orri_wait_drop(u);
        return -ENOMEM;
    }
    if (!n->in_turn) n->w->ops->alarm(n->w, orri_heap_next(&n->heap), 0);
    return 0;
}

void orri_stamps_due(struct orri_under_way *u) {
    orri_wait_tell(u, u->node->now >= u->deadline ? ORR_ETIMEOUT : 0, orr_borrow(NULL, 0));
}

void orri_stamps_forget(struct orri_under_way *u) {
    struct orri_under_way **at = &u->node->stamps->waiting;
    while (*at && *at != u) at = &(*at)->next_save;
    if (*at) *at = u->next_save;
}

/* -- What others see ----------------------------------------------------------------------------------------------- */
orr_time orr_node_hlc_skew_max(const struct orr_node *n) { return n->cfg.clock.skew_max; }

void orr_node_hlc_status(const struct orr_node *n, struct orr_node_hlc_status *out) {
    const struct orri_stamps *s = n->stamps;
    struct orr_node_time t;
    *out = (struct orr_node_hlc_status){ 0 };
    if (!s) return;
    *out = (struct orr_node_hlc_status){ .last = s->hlc.last, .limit = s->hlc.limit, .given = s->given,
                                         .refused = s->hlc.refused };
    if (orr_node_time_peek(n, &t) == 0) out->ahead = orr_hlc_ahead(&s->hlc, t.earliest);
}
