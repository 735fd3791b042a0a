/* disk.c - images, files and names of a simulated disk; and what oracles may read of it.                             */
#include "sim/disk.h"

#include <errno.h>
#include <string.h>

/* -- Images ------------------------------------------------------------------------------------------------------ */
static void page_drop(struct orr_sim *sim, struct orri_page *page) {
    if (page && --page->refs == 0) orri_sim_put(sim, page, sizeof *page);
}

void orri_image_clear(struct orr_sim *sim, struct orri_image *image) {
    for (size_t i = 0; i < image->cap; i++) page_drop(sim, image->pages[i]);
    orri_sim_put(sim, image->pages, image->cap * sizeof(struct orri_page *));
    *image = (struct orri_image){ 0 };
}

void orri_image_share(struct orr_sim *sim, struct orri_image *to, const struct orri_image *from) {
    *to = (struct orri_image){ .cap = from->cap, .size = from->size };
    if (from->cap) to->pages = orri_sim_get(sim, from->cap * sizeof(struct orri_page *));
    for (size_t i = 0; i < from->cap; i++) {
        to->pages[i] = from->pages[i];
        if (to->pages[i]) to->pages[i]->refs++;
    }
}

static void image_reserve(struct orr_sim *sim, struct orri_image *image, size_t page) {
    if (page < image->cap) return;
    size_t cap = image->cap ? image->cap : 4;
    while (cap <= page) cap *= 2;
    struct orri_page **pages = orri_sim_get(sim, cap * sizeof *pages);
    if (image->cap) memcpy(pages, image->pages, image->cap * sizeof *pages);
    orri_sim_put(sim, image->pages, image->cap * sizeof *pages);
    image->pages = pages;
    image->cap = cap;
}

/* The page for writing: made, or copied where another image shares it. */
static struct orri_page *page_own(struct orr_sim *sim, struct orri_image *image, size_t i) {
    image_reserve(sim, image, i);
    struct orri_page *old = image->pages[i];
    if (old && old->refs == 1) return old;
    struct orri_page *page = orri_sim_get(sim, sizeof *page);
    if (old) memcpy(page->bytes, old->bytes, ORRI_PAGE);
    page_drop(sim, old);
    page->refs = 1;
    return image->pages[i] = page;
}

static size_t within_page(uint64_t at, size_t size) {
    size_t left = ORRI_PAGE - (size_t)(at % ORRI_PAGE);
    return size < left ? size : left;
}

static bool all_zero(const unsigned char *at, size_t size) {
    return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

void orri_image_write(struct orr_sim *sim, struct orri_image *image, uint64_t at, const void *bytes, size_t size) {
    const unsigned char *from = bytes;
    if (at + size > image->size) image->size = at + size;
    for (size_t some; size > 0; at += some, from += some, size -= some) {
        some = within_page(at, size);
        size_t i = (size_t)(at / ORRI_PAGE);
        bool blank = i >= image->cap || !image->pages[i];
        if (blank && all_zero(from, some)) continue;
        memcpy(page_own(sim, image, i)->bytes + at % ORRI_PAGE, from, some);
    }
}

void orri_image_resize(struct orr_sim *sim, struct orri_image *image, uint64_t size) {
    if (size < image->size) {
        size_t first = (size_t)(size / ORRI_PAGE);
        size_t keep = (size_t)(size % ORRI_PAGE);
        if (keep && first < image->cap && image->pages[first]) {
            memset(page_own(sim, image, first)->bytes + keep, 0, ORRI_PAGE - keep);
        }
        for (size_t i = first + (keep > 0); i < image->cap; i++) {
            page_drop(sim, image->pages[i]);
            image->pages[i] = NULL;
        }
    }
    image->size = size;
}

void orri_image_read(const struct orri_image *image, uint64_t at, void *out, size_t size) {
    unsigned char *to = out;
    for (size_t some; size > 0; at += some, to += some, size -= some) {
        some = within_page(at, size);
        size_t i = (size_t)(at / ORRI_PAGE);
        if (i < image->cap && image->pages[i]) {
            memcpy(to, image->pages[i]->bytes + at % ORRI_PAGE, some);
        } else {
            memset(to, 0, some);
        }
    }
}

/* -- Files ------------------------------------------------------------------------------------------------------- */
struct orri_inode *orri_inode_new(struct orri_disk *disk, const char *path) {
    struct orri_inode *inode = orri_sim_get(disk->sim, sizeof *inode);
    inode->disk = disk;
    inode->path = orri_sim_text(disk->sim, path);
    inode->refs = 1;
    inode->next = disk->inodes;
    disk->inodes = inode;
    return inode;
}

static void change_free(struct orr_sim *sim, struct orri_change *change) {
    orri_sim_put(sim, change, sizeof *change + change->size);
}

void orri_inode_forget(struct orri_inode *inode) {
    for (struct orri_change *c = inode->first, *next; c; c = next) {
        next = c->next;
        change_free(inode->disk->sim, c);
    }
    inode->first = inode->last = NULL;
    inode->disk->used += inode->durable.size - inode->size;
    inode->size = inode->durable.size;
}

void orri_inode_drop(struct orri_inode *inode) {
    if (--inode->refs > 0) return;
    struct orri_disk *disk = inode->disk;
    orri_inode_forget(inode);
    disk->used -= inode->size;
    orri_image_clear(disk->sim, &inode->durable);
    struct orri_inode **at = &disk->inodes;
    while (*at != inode) at = &(*at)->next;
    *at = inode->next;
    orri_sim_put_text(disk->sim, inode->path);
    orri_sim_put(disk->sim, inode, sizeof *inode);
}

static struct orri_change *change_add(struct orri_inode *inode, enum orri_change_kind kind, uint64_t at, size_t size) {
    struct orr_sim *sim = inode->disk->sim;
    struct orri_change *c = orri_sim_raw(sim, sizeof *c + size);
    *c = (struct orri_change){ .kind = kind, .at = at, .size = size };
    if (inode->last) {
        inode->last->next = c;
    } else {
        inode->first = c;
    }
    inode->last = c;
    return c;
}

static void set_size(struct orri_inode *inode, struct orri_change *c, uint64_t size) {
    inode->disk->used += size - inode->size;
    inode->size = c->size_after = size;
}

void orri_inode_write(struct orri_inode *inode, uint64_t at, const struct orr_slice *parts, size_t n_parts,
                      size_t size) {
    struct orri_change *c = change_add(inode, ORRI_CHANGE_WRITE, at, size);
    unsigned char *to = c->bytes;
    for (size_t i = 0; i < n_parts && size > 0; i++) {
        size_t some = parts[i].size < size ? parts[i].size : size;
        if (some) memcpy(to, parts[i].at, some);
        to += some;
        size -= some;
    }
    set_size(inode, c, at + c->size > inode->size ? at + c->size : inode->size);
}

void orri_inode_resize(struct orri_inode *inode, enum orri_change_kind kind, uint64_t size) {
    struct orri_change *c = change_add(inode, kind, size, 0);
    set_size(inode, c, kind == ORRI_CHANGE_GROW && size < inode->size ? inode->size : size);
}

/* What a change makes of `size` bytes read at `at` before it. */
static void overlay(const struct orri_change *c, uint64_t at, unsigned char *out, size_t size) {
    uint64_t from = c->at > at ? c->at : at;
    uint64_t end = at + size;
    if (c->kind == ORRI_CHANGE_TRUNCATE) {
        if (from < end) memset(out + (from - at), 0, (size_t)(end - from));
    } else if (c->kind == ORRI_CHANGE_WRITE) {
        if (c->at + c->size < end) end = c->at + c->size;
        if (from < end) memcpy(out + (from - at), c->bytes + (from - c->at), (size_t)(end - from));
    }
}

size_t orri_inode_read(const struct orri_inode *inode, uint64_t at, void *out, size_t size) {
    if (at >= inode->size) return 0;
    if (size > inode->size - at) size = (size_t)(inode->size - at);
    orri_image_read(&inode->durable, at, out, size);
    for (const struct orri_change *c = inode->first; c; c = c->next) overlay(c, at, out, size);
    return size;
}

void orri_inode_tell(struct orri_inode *inode, uint64_t at, size_t size) {
    struct orri_disk *disk = inode->disk;
    inode->changed = ++disk->changes;
    const struct orr_sim_config *config = &disk->sim->config;
    if (!config->durable) return;
    const char *node = disk->locked_by ? disk->locked_by->name : disk->dir;
    config->durable(config->ud, disk->sim->now, node, inode->path, at, size);
}

static void change_sync(struct orri_inode *inode, const struct orri_change *c) {
    if (c->kind == ORRI_CHANGE_WRITE) {
        orri_image_write(inode->disk->sim, &inode->durable, c->at, c->bytes, c->size);
        orri_inode_tell(inode, c->at, c->size);
    } else if (c->kind == ORRI_CHANGE_TRUNCATE || c->at > inode->durable.size) {
        orri_image_resize(inode->disk->sim, &inode->durable, c->at);
        orri_inode_tell(inode, c->at, 0);
    }
}

void orri_inode_sync(struct orri_inode *inode) {
    for (struct orri_change *c = inode->first; c; c = c->next) change_sync(inode, c);
    ORR_ASSERT(inode->durable.size == inode->size);
    orri_inode_forget(inode);
}

/* -- Names ------------------------------------------------------------------------------------------------------- */
/* Where path is, or would be. */
static size_t names_place(const struct orri_names *names, const char *path) {
    size_t from = 0;
    size_t to = names->n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (strcmp(names->at[mid].path, path) < 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from;
}

static bool names_has(const struct orri_names *names, size_t i, const char *path) {
    return i < names->n && strcmp(names->at[i].path, path) == 0;
}

struct orri_inode *orri_names_find(const struct orri_names *names, const char *path) {
    size_t i = names_place(names, path);
    return names_has(names, i, path) ? names->at[i].inode : NULL;
}

static void names_insert(struct orri_disk *disk, struct orri_names *names, size_t i, const char *path) {
    if (names->n == names->cap) {
        size_t cap = names->cap ? 2 * names->cap : 8;
        struct orri_name *at = orri_sim_get(disk->sim, cap * sizeof *at);
        if (names->n) memcpy(at, names->at, names->n * sizeof *at);
        orri_sim_put(disk->sim, names->at, names->cap * sizeof *at);
        names->at = at;
        names->cap = cap;
    }
    memmove(names->at + i + 1, names->at + i, (names->n - i) * sizeof *names->at);
    names->at[i] = (struct orri_name){ orri_sim_text(disk->sim, path), NULL };
    names->n++;
}

static void names_delete(struct orri_disk *disk, struct orri_names *names, size_t i) {
    orri_sim_put_text(disk->sim, names->at[i].path);
    names->n--;
    memmove(names->at + i, names->at + i + 1, (names->n - i) * sizeof *names->at);
}

void orri_names_set(struct orri_disk *disk, struct orri_names *names, const char *path, struct orri_inode *inode) {
    size_t i = names_place(names, path);
    bool there = names_has(names, i, path);
    struct orri_inode *old = there ? names->at[i].inode : NULL;
    if (names == &disk->durable) disk->names_changed = ++disk->changes;
    if (inode) {
        inode->refs++;
        if (!there) names_insert(disk, names, i, path);
        names->at[i].inode = inode;
    } else if (there) {
        names_delete(disk, names, i);
    }
    if (old) orri_inode_drop(old);
}

static void names_clear(struct orri_disk *disk, struct orri_names *names) {
    while (names->n > 0) orri_names_set(disk, names, names->at[names->n - 1].path, NULL);
    orri_sim_put(disk->sim, names->at, names->cap * sizeof *names->at);
    *names = (struct orri_names){ 0 };
}

void orri_name_apply(struct orri_disk *disk, struct orri_names *names, const struct orri_name_change *c,
                     bool leave_old) {
    switch (c->kind) {
    case ORRI_NAME_CREATE: orri_names_set(disk, names, c->path, c->inode); break;
    case ORRI_NAME_REMOVE: orri_names_set(disk, names, c->path, NULL); break;
    case ORRI_NAME_RENAME:
        orri_names_set(disk, names, c->to, c->inode);
        if (!leave_old && orri_names_find(names, c->path) == c->inode) orri_names_set(disk, names, c->path, NULL);
        break;
    }
}

void orri_disk_name(struct orri_disk *disk, enum orri_name_change_kind kind, const char *path, const char *to,
                    struct orri_inode *inode) {
    struct orri_name_change *c = orri_sim_get(disk->sim, sizeof *c);
    c->kind = kind;
    c->path = orri_sim_text(disk->sim, path);
    c->to = to ? orri_sim_text(disk->sim, to) : NULL;
    c->inode = inode;
    inode->refs++;
    if (disk->last) {
        disk->last->next = c;
    } else {
        disk->first = c;
    }
    disk->last = c;
    orri_name_apply(disk, &disk->now, c, false);
    if (to) {
        orri_sim_put_text(disk->sim, inode->path);
        inode->path = orri_sim_text(disk->sim, to);
    }
}

void orri_disk_forget_names(struct orri_disk *disk) {
    for (struct orri_name_change *c = disk->first, *next; c; c = next) {
        next = c->next;
        orri_sim_put_text(disk->sim, c->path);
        orri_sim_put_text(disk->sim, c->to);
        orri_inode_drop(c->inode);
        orri_sim_put(disk->sim, c, sizeof *c);
    }
    disk->first = disk->last = NULL;
}

void orri_disk_sync_names(struct orri_disk *disk) {
    for (struct orri_name_change *c = disk->first; c; c = c->next) orri_name_apply(disk, &disk->durable, c, false);
    orri_disk_forget_names(disk);
}

void orri_disk_show_durable_names(struct orri_disk *disk) {
    names_clear(disk, &disk->now);
    for (size_t i = 0; i < disk->durable.n; i++) {
        struct orri_inode *inode = disk->durable.at[i].inode;
        orri_names_set(disk, &disk->now, disk->durable.at[i].path, inode);
        orri_sim_put_text(disk->sim, inode->path);
        inode->path = orri_sim_text(disk->sim, disk->durable.at[i].path);
    }
}

/* -- Disks ------------------------------------------------------------------------------------------------------- */
struct orri_disk *orri_disk_of(struct orr_sim *sim, const char *dir) {
    struct orri_disk **at = &sim->disks;
    for (; *at; at = &(*at)->next) {
        if (strcmp((*at)->dir, dir) == 0) return *at;
    }
    struct orri_disk *disk = orri_sim_get(sim, sizeof *disk);
    disk->sim = sim;
    disk->dir = orri_sim_text(sim, dir);
    disk->room = sim->config.disk_bytes;
    disk->speed = sim->config.disk;
    disk->slower = 1;
    orri_sim_rng(sim, &disk->rng, "power", dir);
    return *at = disk;
}

static void saved_free(struct orri_disk *disk) {
    for (size_t i = 0; i < disk->n_saved; i++) {
        orri_sim_put_text(disk->sim, disk->saved[i].path);
        orri_image_clear(disk->sim, &disk->saved[i].image);
    }
    orri_sim_put(disk->sim, disk->saved, disk->n_saved * sizeof *disk->saved);
    disk->saved = NULL;
    disk->n_saved = 0;
}

void orri_disk_save(struct orri_disk *disk) {
    saved_free(disk);
    if (disk->durable.n == 0) return;
    disk->saved = orri_sim_get(disk->sim, disk->durable.n * sizeof *disk->saved);
    disk->n_saved = disk->durable.n;
    for (size_t i = 0; i < disk->n_saved; i++) {
        disk->saved[i].path = orri_sim_text(disk->sim, disk->durable.at[i].path);
        orri_image_share(disk->sim, &disk->saved[i].image, &disk->durable.at[i].inode->durable);
    }
}

static void restore_saved(struct orri_disk *disk) {
    for (size_t i = 0; i < disk->n_saved; i++) {
        struct orri_inode *inode = orri_inode_new(disk, disk->saved[i].path);
        orri_image_share(disk->sim, &inode->durable, &disk->saved[i].image);
        inode->size = inode->durable.size;
        disk->used += inode->size;
        orri_names_set(disk, &disk->now, inode->path, inode);
        orri_names_set(disk, &disk->durable, inode->path, inode);
        orri_inode_drop(inode);
    }
}

void orri_disk_reset(struct orri_disk *disk, enum orr_sim_disk how) {
    if (how == ORR_SIM_KEPT) return;
    orri_disk_forget_names(disk);
    names_clear(disk, &disk->now);
    names_clear(disk, &disk->durable);
    ORR_ASSERT(disk->inodes == NULL && disk->used == 0);
    if (how == ORR_SIM_OLD) restore_saved(disk);
    disk->damaged = true;
}

void orri_disk_free(struct orri_disk *disk) {
    struct orr_sim *sim = disk->sim;
    orri_disk_reset(disk, ORR_SIM_EMPTY);
    saved_free(disk);
    struct orri_disk **at = &sim->disks;
    while (*at != disk) at = &(*at)->next;
    *at = disk->next;
    orri_sim_put_text(sim, disk->dir);
    orri_sim_put(sim, disk, sizeof *disk);
}

bool orri_disk_has_room(const struct orri_disk *disk, uint64_t more) {
    return more == 0 || disk->used + more <= disk->room;
}

bool orri_disk_poisoned(const struct orri_node *node) {
    bool poisoned = node->names.poisoned;
    for (const struct orri_inode *inode = node->disk->inodes; inode; inode = inode->next) poisoned |= inode->poisoned;
    return poisoned;
}

/* -- For oracles and harness ------------------------------------------------------------------------------------- */
static struct orri_inode *durable_inode(const struct orr_sim *sim, const char *node, const char *path) {
    const struct orri_node *n = orri_node_find(sim, node);
    if (!n) return NULL;
    const struct orri_names *names = &n->disk->durable;
    size_t i = n->disk->asked;
    if (!names_has(names, i, path)) n->disk->asked = i = names_place(names, path);
    return names_has(names, i, path) ? names->at[i].inode : NULL;
}

int orr_sim_disk_durable(const struct orr_sim *sim, const char *node, const char *path, uint64_t at, void *buf,
                         size_t size, size_t *got) {
    const struct orri_inode *inode = durable_inode(sim, node, path);
    if (!inode) return -ENOENT;
    uint64_t left = at < inode->durable.size ? inode->durable.size - at : 0;
    *got = size < left ? size : (size_t)left;
    orri_image_read(&inode->durable, at, buf, *got);
    return 0;
}

int orr_sim_disk_durable_size(const struct orr_sim *sim, const char *node, const char *path, uint64_t *size) {
    const struct orri_inode *inode = durable_inode(sim, node, path);
    if (!inode) return -ENOENT;
    *size = inode->durable.size;
    return 0;
}

const char *orr_sim_disk_durable_name(const struct orr_sim *sim, const char *node, size_t i) {
    const struct orri_node *n = orri_node_find(sim, node);
    return n && i < n->disk->durable.n ? n->disk->durable.at[i].path : NULL;
}

uint64_t orr_sim_disk_changes(const struct orr_sim *sim, const char *node) {
    const struct orri_node *n = orri_node_find(sim, node);
    return n ? n->disk->changes : 0;
}

uint64_t orr_sim_disk_changed_beside(const struct orr_sim *sim, const char *node, const char *path) {
    const struct orri_node *n = orri_node_find(sim, node);
    if (!n) return 0;
    const struct orri_names *names = &n->disk->durable;
    const struct orri_inode *but = durable_inode(sim, node, path);
    uint64_t last = n->disk->names_changed;
    for (size_t i = 0; i < names->n; i++) {
        const struct orri_inode *inode = names->at[i].inode;
        if (inode != but && inode->changed > last) last = inode->changed;
    }
    return last;
}

int orr_sim_disk_room(struct orr_sim *sim, const char *node, uint64_t bytes) {
    struct orri_node *n = orri_node_find(sim, node);
    if (!n) return -ENOENT;
    n->disk->room = bytes;
    return 0;
}

int orr_sim_disk_used(const struct orr_sim *sim, const char *node, uint64_t *bytes) {
    const struct orri_node *n = orri_node_find(sim, node);
    if (!n) return -ENOENT;
    *bytes = n->disk->used;
    return 0;
}

orr_time orr_sim_disk_hangs(const struct orr_sim *sim, const char *node) {
    const struct orri_node *n = orri_node_find(sim, node);
    return n && n->state != ORR_SIM_DOWN ? n->disk->hangs_until : 0;
}

int orr_sim_disk_rot(struct orr_sim *sim, const char *node, const char *path, uint64_t at) {
    struct orri_inode *inode = durable_inode(sim, node, path);
    unsigned char byte;
    if (!inode || at >= inode->durable.size) return -ENOENT;
    orri_image_read(&inode->durable, at, &byte, 1);
    byte ^= (unsigned char)(1u << orri_rng_below(&inode->disk->rng, 8));
    orri_image_write(sim, &inode->durable, at, &byte, 1);
    inode->changed = ++inode->disk->changes;
    inode->disk->damaged = true;
    orri_sim_count(sim, ORR_SIM_ROT);
    return 0;
}

int orr_sim_disk_speed(struct orr_sim *sim, const char *node, const struct orr_sim_disk_speed *speed) {
    struct orri_node *n = orri_node_find(sim, node);
    if (!n) return -ENOENT;
    n->disk->speed = *speed;
    return 0;
}

int orr_sim_disk_slower(struct orr_sim *sim, const char *node, double times) {
    struct orri_node *n = orri_node_find(sim, node);
    if (!n) return -ENOENT;
    if (!(times >= 1)) return ORR_EINVALID;
    n->disk->slower = times;
    return 0;
}

bool orr_sim_disk_damaged(const struct orr_sim *sim, const char *node) {
    const struct orri_node *n = orri_node_find(sim, node);
    return n && n->disk->damaged;
}

void orr_sim_disk_repaired(struct orr_sim *sim, const char *node) {
    struct orri_node *n = orri_node_find(sim, node);
    if (n) n->disk->damaged = false;
}
