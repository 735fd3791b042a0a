/* members.c - what nodes say of each other's lives (orrery/membership.h), against the truth.
 *
 * At every moment: an incarnation is what the node itself has told of itself, in one of its lives, and nobody makes one
 * up; what an observer holds goes forward: to a higher incarnation, or of the same one to a worse state (by heartbeats
 * a failed one may live again: nobody asks it for more). Without faults nobody who runs is suspected.
 *
 * Left alone, and within the bound that the nodes tell: all who take part, or did in an earlier life, hold each other
 * for alive, in their present lives, and nobody who is down. That is asked of pairs that may talk to each other: what is
 * heard of others takes the same way. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lab_internal.h"

struct view {
    bool linked, knows;
    enum orr_member_state state;
    uint64_t incarnation;
};
struct life {
    enum orr_sim_state state;
    bool takes_part;
    uint64_t first;                 /* incarnation of this life */
    uint64_t told;                  /* the highest of all its lives */
};
struct lab_members {
    struct life lives[LAB_NODES_MAX];
    struct view views[LAB_NODES_MAX][LAB_NODES_MAX];        /* [who][of whom] */
    orr_time bound;
    uint64_t events;
    char owes[160];
};

int lab_members_new(struct orr_lab *lab) {
    lab->members = lab->alloc.fn(lab->alloc.ud, NULL, 0, sizeof *lab->members);
    if (!lab->members) return -ENOMEM;
    *lab->members = (struct lab_members){ .events = 0 };
    return 0;
}
void lab_members_free(struct orr_lab *lab) {
    if (lab->members) lab->alloc.fn(lab->alloc.ud, lab->members, sizeof *lab->members, 0);
}

void lab_members_life(struct orr_lab *lab, size_t node, enum orr_sim_state state) {
    struct lab_members *m = lab->members;
    bool same = state == ORR_SIM_PAUSED || m->lives[node].state == ORR_SIM_PAUSED;
    m->lives[node].state = state;
    if (same && state != ORR_SIM_DOWN) return;
    m->lives[node].takes_part = false;
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) m->views[node][i] = (struct view){ .linked = false };
}

static void takes_part(struct lab_members *m, size_t node, const struct orr_trace_member *t) {
    struct life *life = &m->lives[node];
    if (!life->takes_part) life->first = t->incarnation;
    life->takes_part = true;
    if (t->incarnation > life->told) life->told = t->incarnation;
    if (t->bound > m->bound) m->bound = t->bound;
}

static bool goes_forward(const struct view *v, const struct orr_trace_member *t) {
    if (t->incarnation != v->incarnation) return t->incarnation > v->incarnation;
    return t->state >= v->state || t->by_heartbeats;
}

static void says(struct orr_lab *lab, size_t node, size_t of, const struct orr_trace_member *t) {
    struct lab_members *m = lab->members;
    struct view *v = &m->views[node][of];
    const char *id = lab->cfg.nodes[node].id, *other = lab->cfg.nodes[of].id;
    m->events++;
    if (t->incarnation > m->lives[of].told)
        lab_violate(lab, "membership", "%s holds %s in incarnation %" PRIu64 ", which that never had", id, other,
                    t->incarnation);
    if (v->knows && !goes_forward(v, t))
        lab_violate(lab, "membership", "%s held %s for %s in incarnation %" PRIu64 ", and now for %s in %" PRIu64, id,
                    other, orr_member_state_word(v->state), v->incarnation, orr_member_state_word(t->state),
                    t->incarnation);
    bool worse = t->state == ORR_MEMBER_SUSPECT || t->state == ORR_MEMBER_FAILED;
    if (worse && lab->cfg.quiet && m->lives[of].state == ORR_SIM_UP)
        lab_violate(lab, "membership", "%s holds %s for %s although nothing had happened", id, other,
                    orr_member_state_word(t->state));
    v->knows = true;
    v->state = t->state;
    v->incarnation = t->incarnation;
}

void lab_members_trace(struct orr_lab *lab, size_t node, const struct orr_trace_member *t) {
    int of = lab_node_of(lab, t->about);
    if (of < 0) return;
    if ((size_t)of == node) takes_part(lab->members, node, t);
    else if (t->unheard) lab->members->views[node][of] = (struct view){ .linked = t->linked };
    else says(lab, node, (size_t)of, t);
}

/* What is wrong with what one holds of another, or NULL. */
static const char *wrong(const struct orr_lab *lab, size_t node, size_t of) {
    const struct lab_members *m = lab->members;
    const struct view *v = &m->views[node][of];
    const struct life *life = &m->lives[of];
    bool gone = !v->knows || v->state == ORR_MEMBER_FAILED || v->state == ORR_MEMBER_LEFT;
    if (!v->linked) return NULL;
    if (life->state == ORR_SIM_PAUSED) return NULL;
    if (life->state == ORR_SIM_DOWN) return gone ? NULL : "is down";
    if (!life->takes_part || lab->excused[of]) return NULL;
    return v->knows && v->state == ORR_MEMBER_ALIVE && v->incarnation >= life->first ? NULL : "is alive";
}

static bool owes_nothing(const struct orr_lab *lab, size_t node) {
    const struct life *life = &lab->members->lives[node];
    return life->state != ORR_SIM_UP || life->told == 0 || lab->excused[node];
}

bool lab_members_settled(const struct orr_lab *lab, const char **who, const char **owes) {
    struct lab_members *m = lab->members;
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) {
        *who = lab->cfg.nodes[i].id;
        *owes = "takes no part any more";
        if (!owes_nothing(lab, i) && !m->lives[i].takes_part) return false;
    }
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) {
        if (owes_nothing(lab, i)) continue;
        for (size_t j = 0; j < lab->cfg.n_nodes; j++) {
            const char *what = i == j ? NULL : wrong(lab, i, j);
            if (!what) continue;
            (void)snprintf(m->owes, sizeof m->owes, "doesn't know that %s %s", lab->cfg.nodes[j].id, what);
            *who = lab->cfg.nodes[i].id;
            *owes = m->owes;
            return false;
        }
    }
    return true;
}

orr_time lab_members_bound(const struct orr_lab *lab) { return lab->members->bound; }
uint64_t lab_members_events(const struct orr_lab *lab) { return lab->members->events; }
