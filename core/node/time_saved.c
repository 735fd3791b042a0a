/* time_saved.c - what the estimation learned outlives the node: how this machine's oscillator follows the temperature
 * takes hours to learn, and what mode pacemaker knows of the queues on each way takes minutes; both stay what they are.
 *
 * It is one of the node's saved values (saved.c), by a name that is not for others: written each SAVE_EVERY, and when
 * the node leaves. Without either there is nothing in it that isn't found anew in a minute, so nothing is written.
 * Before it stands who was asked, in what order: the estimation has numbers for names.
 *
 *   byte  size  field
 *      0     8  XXH3-64 over the ids of all who are asked, each 8 bytes, little-endian
 *      8     *  orr_clock_save's
 *
 * Nothing that is promised rests on it: the intervals are widened by `drift_max` alone, whatever was learned. So a
 * value that is damaged, or of another time, costs a likely time that is a little worse. */
#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "node/inner.h"
#include "node/time.h"

enum { WHO = 8 };
#define SENSE_EVERY (4 * ORR_SECOND)
#define SAVE_EVERY (600 * ORR_SECOND)

static uint64_t who_is_asked(const struct orri_time *t) {
    uint64_t digest = 0;
    for (size_t i = 0; i < t->n_asked; i++) digest = orri_mix64(digest, t->asked[i].id);
    return digest;
}

void orri_time_load(struct orri_time *t) {
    struct orr_slice v;
    if (orr_node_load(t->node, ORRI_SAVED_CLOCK, &v) < 0 || v.size < WHO) return;
    if (orri_get_le(v.at, WHO) != who_is_asked(t)) return;
    if (orr_clock_load(t->clock, v.at + WHO, v.size - WHO) < 0)
        orri_node_log(t->node, ORR_LOG_WARN, "what was learned of this machine's oscillator can't be read: it is "
                      "learned anew");
}

static bool learns(const struct orri_time *t) {
    return t->senses || t->node->cfg.clock.mode == ORR_CLOCK_PACEMAKER;
}

static void saved(struct orr_wait *w) { (void)w; }          /* it is said where it failed; the next one may not */

void orri_time_save(struct orri_time *t) {
    struct orr_node *n = t->node;
    if (!t->clock || !learns(t) || t->saving.under_way) return;
    size_t size = WHO + orr_clock_save(t->clock, NULL, 0);
    struct orr_chunk *c = n->w->chunks->get(n->w->chunks, size);
    if (!c) return;
    orri_put_le(c->at, who_is_asked(t), WHO);
    (void)orr_clock_save(t->clock, c->at + WHO, size - WHO);
    t->saving = (struct orr_wait){ .done = saved };
    (void)orri_saved_put(n, &t->saving, ORRI_SAVED_CLOCK, (struct orr_slice){ c, c->at, size });
    orr_chunk_drop(c);
}

/* Where a question has just gone out, so it needs no alarm of its own: a few times a minute. */
void orri_time_sense(struct orri_time *t) {
    struct orr_node *n = t->node;
    int32_t milli_c;
    if (n->now < t->sense_at) return;
    bool learned = learns(t);
    t->sense_at = n->now + SENSE_EVERY;
    if (n->w->ops->temperature && n->w->ops->temperature(n->w, &milli_c) == 0) {
        orr_clock_temperature(t->clock, orri_time_free_running(t, n->w->ops->fresh(n->w)), milli_c);
        t->senses = true;
    }
    if (!learns(t)) return;
    if (!learned || t->save_at == 0) t->save_at = n->now + SAVE_EVERY;
    if (n->now < t->save_at) return;
    t->save_at = n->now + SAVE_EVERY;
    orri_time_save(t);
}
