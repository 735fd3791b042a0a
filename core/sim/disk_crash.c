/* disk_crash.c - what a power loss leaves of a disk.
 *
 * A sector holds its durable bytes with the first m of the unsynced writes to it, for any m of its own: the cache
 * writes whole sectors, in any order, at any time. Sizes are metadata, which file systems log in order: the size is
 * one of the unsynced history, or on the way to the next one where that grows; a truncation cuts bytes off only where
 * its size is part of what was kept. Names come and go one by one; of a rename both may be left.
 *
 * A third of the crashes lose all, a third none, as real machines do at their extremes; the others mix. */
#include <string.h>

#include "sim/disk.h"

enum mode { LOSE_ALL, KEEP_ALL, MIX };

struct fate {                       /* of one file */
    struct orri_inode *inode;
    struct orr_rng *rng;
    enum mode mode;
    double keep;                    /* chance of each sector of each write */
    size_t sizes_kept;              /* the first so many changes' sizes */
    uint64_t size;
    uint64_t first_sector;
    unsigned char *frozen;          /* bit by sector: later writes to it are lost too */
    size_t frozen_size;
};

static void choose_size(struct fate *f) {
    size_t n = 0;
    for (const struct orri_change *c = f->inode->first; c; c = c->next) n++;
    f->sizes_kept = f->mode == LOSE_ALL ? 0 : f->mode == KEEP_ALL ? n : (size_t)orri_rng_below(f->rng, n + 1);
    f->size = f->inode->durable.size;
    const struct orri_change *c = f->inode->first;
    for (size_t i = 0; i < f->sizes_kept; i++, c = c->next) f->size = c->size_after;
    bool on_the_way = f->mode == MIX && c && c->size_after > f->size && orri_rng_chance(f->rng, 0.5);
    if (on_the_way) f->size = (uint64_t)orri_rng_between(f->rng, (int64_t)f->size, (int64_t)c->size_after);
    if (f->size != f->inode->size) orri_sim_count(f->inode->disk->sim, ORR_SIM_SIZE_LOST);
}

/* A bit for each sector between the first and the last that was written. */
static void freeze_begin(struct fate *f) {
    unsigned sector = f->inode->disk->sim->config.sector;
    uint64_t from = UINT64_MAX;
    uint64_t to = 0;
    for (const struct orri_change *c = f->inode->first; c; c = c->next) {
        if (c->kind != ORRI_CHANGE_WRITE || c->size == 0) continue;
        if (c->at / sector < from) from = c->at / sector;
        if ((c->at + c->size - 1) / sector > to) to = (c->at + c->size - 1) / sector;
    }
    if (from > to) return;
    f->first_sector = from;
    f->frozen_size = (size_t)((to - from) / 8 + 1);
    f->frozen = orri_sim_get(f->inode->disk->sim, f->frozen_size);
}

static bool sector_kept(struct fate *f, uint64_t sector) {
    uint64_t i = sector - f->first_sector;
    unsigned char bit = (unsigned char)(1u << (i % 8));
    if (f->frozen[i / 8] & bit) return false;
    if (f->mode == KEEP_ALL || (f->mode == MIX && orri_rng_chance(f->rng, f->keep))) return true;
    f->frozen[i / 8] |= bit;
    return false;
}

static void crash_write(struct fate *f, const struct orri_change *c) {
    struct orr_sim *sim = f->inode->disk->sim;
    unsigned sector = sim->config.sector;
    for (size_t done = 0, some; done < c->size; done += some) {
        uint64_t at = c->at + done;
        some = sector - (size_t)(at % sector);
        if (some > c->size - done) some = c->size - done;
        bool kept = sector_kept(f, at / sector);
        orri_sim_count(sim, kept ? ORR_SIM_SECTOR_KEPT : ORR_SIM_SECTOR_LOST);
        if (kept) orri_image_write(sim, &f->inode->durable, at, c->bytes + done, some);
    }
}

static void crash_changes(struct fate *f) {
    size_t i = 0;
    for (const struct orri_change *c = f->inode->first; c; c = c->next, i++) {
        if (c->kind == ORRI_CHANGE_WRITE) {
            crash_write(f, c);
        } else if (c->kind == ORRI_CHANGE_TRUNCATE && i < f->sizes_kept && c->at < f->inode->durable.size) {
            orri_image_resize(f->inode->disk->sim, &f->inode->durable, c->at);
        }
    }
    orri_image_resize(f->inode->disk->sim, &f->inode->durable, f->size);
}

static enum mode choose_mode(struct orr_rng *rng) { return (enum mode)orri_rng_below(rng, 3); }

void orri_inode_crash(struct orri_inode *inode, struct orr_rng *rng) {
    static const double keeps[] = { 0.1, 0.5, 0.9 };
    if (!inode->first) return;
    struct fate f = { .inode = inode, .rng = rng, .mode = choose_mode(rng) };
    f.keep = keeps[orri_rng_below(rng, 3)];
    choose_size(&f);
    freeze_begin(&f);
    crash_changes(&f);
    orri_sim_put(inode->disk->sim, f.frozen, f.frozen_size);
    for (const struct orri_change *c = inode->first; c; c = c->next) {
        if (c->kind == ORRI_CHANGE_WRITE) orri_inode_tell(inode, c->at, c->size);
    }
    orri_inode_tell(inode, inode->durable.size, 0);
    orri_inode_forget(inode);
}

static void crash_names(struct orri_disk *disk) {
    enum mode mode = choose_mode(&disk->rng);
    for (struct orri_name_change *c = disk->first; c; c = c->next) {
        bool kept = mode == KEEP_ALL || (mode == MIX && orri_rng_chance(&disk->rng, 0.5));
        if (!kept) {
            orri_sim_count(disk->sim, ORR_SIM_NAME_LOST);
            continue;
        }
        bool both = mode == MIX && c->kind == ORRI_NAME_RENAME && orri_rng_chance(&disk->rng, 0.5);
        if (both) orri_sim_count(disk->sim, ORR_SIM_NAME_BOTH);
        orri_name_apply(disk, &disk->durable, c, both);
    }
}

void orri_disk_crash(struct orri_disk *disk) {
    for (struct orri_inode *inode = disk->inodes; inode; inode = inode->next) orri_inode_crash(inode, &disk->rng);
    crash_names(disk);
    orri_disk_forget_names(disk);
    orri_disk_show_durable_names(disk);
}
