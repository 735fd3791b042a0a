/* snapshot_read.c - the snapshots that a group has: which are kept, and reading them back piece by piece.
 *
 * A file is opened by the first that reads it and stays open. Whoever reads it from its beginning to its end in a row
 * has the checksum compared on the way: the last piece is ORR_ECORRUPT where it differs.                            */
#include "storage/inner.h"

#include "base/assert.h"
#include <errno.h>
#include <string.h>

struct fetch {
    struct orri_fetch f;            /* first */
    struct orri_kept *kept;
    uint64_t offset;
    size_t size;
    char name[ORRI_SNAPSHOT_NAME];  /* of its file, which may be gone when this is told */
};

/* -- Which are kept ------------------------------------------------------------------------------------------------ */
struct orri_kept *orri_kept_new(struct orr_storage *s, uint32_t group, const struct orr_snapshot *snapshot) {
    struct orri_kept *kept = orri_get(s, sizeof *kept + snapshot->config.size);
    if (!kept) return NULL;
    unsigned char *config = (unsigned char *)(kept + 1);
    if (snapshot->config.size) memcpy(config, snapshot->config.at, snapshot->config.size);
    kept->snapshot = *snapshot;
    kept->snapshot.config = orr_borrow(config, snapshot->config.size);
    kept->group = group;
    kept->e.s = s;
    kept->e.owner = kept;
    orri_snapshot_name(kept->name, group, snapshot);
    return kept;
}

void orri_kept_free(struct orr_storage *s, struct orri_kept *kept) {
    if (!kept) return;
    struct orri_result *r;
    while ((r = orri_queue_pop(&kept->reads))) orri_put(s, r, sizeof(struct fetch));
    orri_sum_free(s, kept->sum);
    orri_put(s, kept, sizeof *kept + kept->snapshot.config.size);
}

bool orri_snapshot_later(const struct orri_kept *a, const struct orri_kept *b) {
    if (!b) return true;
    return a->snapshot.index != b->snapshot.index ? a->snapshot.index > b->snapshot.index
                                                  : a->snapshot.term > b->snapshot.term;
}

static void gone(struct orri_errand *e, int status) {
    struct orri_kept *kept = e->owner;
    (void)status;                   /* the next start sees three of them and sweeps */
    struct orri_kept **link = &e->s->retired;
    while (*link != kept) link = &(*link)->next;
    *link = kept->next;
    orri_kept_free(e->s, kept);
}

static void removed(struct orri_errand *e, int status) {
    const struct orri_kept *kept = e->owner;
    if (kept->damaged) orri_errand_name(e, ORR_OP_SYNC_DIR, NULL, NULL, gone);
    else gone(e, status);
}

static void closed(struct orri_errand *e, int status) {
    struct orri_kept *kept = e->owner;
    (void)status;
    kept->file = NULL;
    if (kept->remove) orri_errand_name(e, ORR_OP_REMOVE, kept->name, NULL, removed);
    else gone(e, 0);
}

static void go_if_unread(struct orri_kept *kept) {
    if (!kept->dropped || kept->readers > 0 || kept->e.running) return;
    if (kept->file) orri_errand_file(&kept->e, ORR_OP_CLOSE, kept->file, 0, 0, closed);
    else closed(&kept->e, 0);
}

static void retire(struct orr_storage *s, struct orri_kept *kept, bool remove) {
    kept->dropped = true;
    kept->remove = remove;
    kept->next = s->retired;
    s->retired = kept;
    go_if_unread(kept);
}

void orri_storage_snapshot_damaged(struct orr_storage *s, uint32_t group) {
    struct orri_group *g = orri_group_find(s, group);
    if (!g || !g->newest) return;
    g->newest->damaged = true;
    g->newest->next = g->damaged;
    g->damaged = g->newest;
    g->newest = g->older;
    g->older = NULL;
    orri_index_measure(g);
}

/* A file of the same name is the new one's. */
static void drop_damaged(struct orr_storage *s, struct orri_group *g, const struct orri_kept *now) {
    for (struct orri_kept *kept; (kept = g->damaged);) {
        g->damaged = kept->next;
        retire(s, kept, strcmp(kept->name, now->name) != 0);
    }
}

void orri_snapshot_keep(struct orr_storage *s, struct orri_group *g, struct orri_kept *kept) {
    struct orri_kept *out = g->older;
    drop_damaged(s, g, kept);
    if (g->newest && strcmp(g->newest->name, kept->name) == 0) {
        retire(s, g->newest, false);            /* the same name again: the file is the new one's */
        g->newest = kept;
        return;
    }
    if (orri_snapshot_later(kept, g->newest)) {
        g->older = g->newest;
        g->newest = kept;
    } else if (orri_snapshot_later(kept, g->older)) {
        g->older = kept;
    } else {
        out = kept;
    }
    if (out) retire(s, out, out != kept || !g->older || strcmp(g->older->name, kept->name) != 0);
    orri_index_measure(g);
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */
static void tell(struct fetch *f, int status) {
    struct orri_kept *kept = f->kept;
    orri_fetch_tell(&f->f, status);
    if (!kept) return;
    kept->readers--;
    go_if_unread(kept);
}

/* The running checksum, where the piece continues it. */
static int sum_up(struct orri_kept *kept, uint64_t offset, struct orr_slice bytes) {
    if (offset == 0) {
        if (!kept->sum) kept->sum = orri_sum_new(kept->e.s);
        if (kept->sum) orri_sum_reset(kept->sum);
        kept->summed = 0;
    }
    if (!kept->sum || kept->summed != offset) return 0;
    orri_sum_add(kept->sum, bytes);
    kept->summed += bytes.size;
    bool whole = kept->summed == kept->snapshot.size;
    return whole && orri_sum_get(kept->sum) != kept->snapshot.checksum ? ORR_ECORRUPT : 0;
}

static void read_done(struct orr_req *req) {
    struct fetch *f = (struct fetch *)orri_fetch_over(req);
    const struct orr_slice got = f->f.read.got;
    int status = req->status;
    if (status == 0 && got.size != f->size) status = ORR_ECORRUPT;
    if (status == 0) status = sum_up(f->kept, f->offset, got);
    if (status == 0) f->f.result.done.data = got;
    tell(f, status);
}

static void submit(struct fetch *f) {
    int rc = orri_fetch_read(&f->f, f->kept->file, ORRI_SNAPSHOT_HEAD + f->offset, f->size, read_done);
    if (rc < 0) tell(f, rc);
}

static void opened(struct orri_errand *e, int status) {
    struct orri_kept *kept = e->owner;
    struct orri_result *r;
    if (status == 0) kept->file = e->r.open.file;
    while ((r = orri_queue_pop(&kept->reads))) {
        if (status == 0) submit((struct fetch *)r);
        else tell((struct fetch *)r, status);
    }
    go_if_unread(kept);
}

static struct orri_kept *kept_of(const struct orri_group *g, const struct orr_fetch *fetch) {
    struct orri_kept *of[2] = { g ? g->newest : NULL, g ? g->older : NULL };
    for (size_t i = 0; i < 2; i++) {
        if (of[i] && of[i]->snapshot.index == fetch->from && of[i]->snapshot.term == fetch->term) return of[i];
    }
    return NULL;
}

int orri_snapshot_fetch(struct orr_storage *s, uint32_t group, const struct orr_fetch *fetch) {
    struct fetch *f = orri_fetch_new(
        s, sizeof *f, (struct orri_storage_done){ .kind = ORR_TAKE_FETCHED_PART, .group = group, .id = fetch->id });
    if (!f) return -ENOMEM;
    f->kept = kept_of(orri_group_find(s, group), fetch);
    f->offset = fetch->offset;
    uint64_t left = f->kept && f->offset < f->kept->snapshot.size ? f->kept->snapshot.size - f->offset : 0;
    f->size = fetch->bytes_max < left ? fetch->bytes_max : (size_t)left;
    if (f->size > 1 && ORR_RARE(s->w, "storage.reads_less")) f->size /= 2;
    if (f->kept) {
        f->kept->readers++;
        f->f.result.done.snapshot = f->kept->snapshot;
        f->f.result.done.snapshot.config = orr_borrow(NULL, 0);
        memcpy(f->name, f->kept->name, sizeof f->name);
        f->f.result.done.text = f->name;
    }
    if (f->size == 0) {
        tell(f, f->kept ? 0 : ORR_EUNAVAILABLE);
    } else if (f->kept->file) {
        submit(f);
    } else {
        orri_queue_push(&f->kept->reads, &f->f.result);
        if (!f->kept->e.running) orri_errand_open(&f->kept->e, f->kept->name, ORR_F_READONLY, opened);
    }
    return 0;
}
