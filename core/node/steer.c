/* steer.c - a node that steers its machine's clock by the time of the cluster's NTP servers (config.clock.discipline).
 *
 * What it follows is the likely value; what it commands is orrery/steer.h's, and it is in nobody's way: the clock that
 * the node keeps is the local one plus an offset, and slewing moves both clocks of a machine alike. So the local clock
 * runs off by what is slewed, for a while, beside what its oscillator does: half of `drift_max` is all that is taken.
 * The one step is told to wall.c, which would take it for somebody's setting. */
#include <orrery/steer.h>

#include "node/inner.h"
#include "node/time.h"

#define EVERY (16 * ORR_SECOND)
#define FAR (100 * ORR_MS)          /* people want to know */

static void give_up(struct orri_time *t, int rc) {
    t->steering.off = true;
    orri_heap_unset(&t->node->heap, &t->steering.alarm.timer);
    orri_node_log(t->node, ORR_LOG_ERROR, "this machine's clock can't be steered (clock.discipline): %s%s",
                  orr_strerror(rc), rc == -EPERM ? "; it takes the right to set it, CAP_SYS_TIME" : "");
}

/* -- The clock as it would be ------------------------------------------------------------------------------------- */
orr_time orri_time_free_running(const struct orri_time *t, orr_time local) {
    const struct orri_steering *s = &t->steering;
    const struct orri_stretch *in = local < s->now.local ? &s->before : &s->now;
    orr_time passed = local - in->local;
    return in->free + passed - (orr_time)((double)passed * in->ppb / (1e9 + in->ppb));
}

static int apply(struct orri_time *t, const struct orr_steer_command *c) {
    struct orri_steering *s = &t->steering;
    struct orr_world *w = t->node->w;
    int32_t rate = c->rate_ppb;
    int rc = w->ops->steer(w, c->step, &rate);
    orr_time local = w->ops->fresh(w);
    if (rc < 0) return rc;
    const struct orri_stretch next = { local, orri_time_free_running(t, local), rate - s->found };
    s->before = s->now;
    s->now = next;
    return 0;
}

/* -- Steering ------------------------------------------------------------------------------------------------------ */
static int begin(struct orri_time *t) {
    struct orr_steer_config cfg;
    int32_t rate = ORR_RATE_KEEP, most = (int32_t)(t->node->cfg.clock.drift_max_ppb / 2);
    int rc = t->node->w->ops->steer(t->node->w, 0, &rate);
    if (rc < 0) return rc;
    t->steering.found = rate;
    orr_steer_config_init(&cfg);
    if (most < cfg.slew_max_ppb) cfg.slew_max_ppb = most > 0 ? most : 1;
    return orr_steer_init(&t->steering.steer, &cfg, rate);
}

static void tell(struct orri_time *t, orr_time offset, const struct orr_steer_command *c) {
    struct orr_node *n = t->node;
    if (c->step != 0) {
        orri_wall_stepped(&t->wall, c->step);
        orri_node_log(n, ORR_LOG_WARN, "this machine's clock is set by %+.6f s, and slewed from now on",
                      (double)c->step / 1e9);
    } else if (offset > FAR || offset < -FAR) {
        orri_node_log_rarely(n, &t->steering.note, ORR_LOG_WARN, "this machine's clock is %+.3f s off and slewed by "
                             "%.0f ppm at most: started again, this node sets it", (double)-offset / 1e9,
                             (double)t->steering.steer.config.slew_max_ppb / 1e3);
    }
}

static void steer(struct orri_alarm *alarm) {
    struct orri_steering *s = (struct orri_steering *)(void *)alarm;
    struct orri_time *t = ORRI_OWNER(s, struct orri_time, steering);
    struct orr_node *n = t->node;
    struct orr_node_time now;
    struct orr_steer_command c;
    struct orr_wall wall;
    orri_node_alarm(n, &s->alarm, n->now + EVERY);
    if (orr_node_time_peek(n, &now) < 0 || now.state != ORR_CLOCK_SYNC) {
        orri_steer_rest(t);
        return;
    }
    n->w->ops->wall(n->w, &wall);
    int rc = s->begun ? 0 : begin(t);
    s->begun = rc == 0;
    if (rc == 0) {
        orr_time offset = now.likely - wall.realtime;
        orr_steer_update(&s->steer, n->w->ops->fresh(n->w), offset, (now.latest - now.earliest) / 2, &c);
        rc = apply(t, &c);
        if (rc == 0) tell(t, offset, &c);
    }
    if (rc < 0) give_up(t, rc);
}

int orr_node_time_step(struct orr_node *n) {
    struct orri_time *t = orri_time_ask(n);
    if (!n->cfg.clock.discipline || n->cfg.clock.off) return ORR_EINVALID;
    if (!t || t->steering.off) return ORR_EUNAVAILABLE;
    orr_steer_begin(&t->steering.steer);
    orri_node_alarm(n, &t->steering.alarm, orr_node_now(n));
    orri_host_wake(n);
    return 0;
}

/* What a slew leaves behind, nobody would take back. */
void orri_steer_rest(struct orri_time *t) {
    struct orri_steering *s = &t->steering;
    struct orr_steer_command c;
    if (!s->begun || s->off) return;
    orr_steer_rest(&s->steer, t->node->w->ops->fresh(t->node->w), &c);
    int rc = apply(t, &c);
    if (rc < 0) give_up(t, rc);
}

void orri_steer_start(struct orri_time *t) {
    struct orri_steering *s = &t->steering;
    if (!t->node->w->ops->steer) {
        give_up(t, ORR_EUNAVAILABLE);
        return;
    }
    s->alarm.fire = steer;
    orri_node_alarm(t->node, &s->alarm, orr_node_now(t->node) + EVERY);
}

void orri_steer_stop(struct orri_time *t) {
    orri_heap_unset(&t->node->heap, &t->steering.alarm.timer);
    orri_steer_rest(t);
}
