/* snapshot_write.c - snapshots of our own, and those that peers send: pieces into a .tmp, then head, sync, name.
 *
 * Both are one writer; they differ in who says how large it is, and in what happens once it has its name: a peer's
 * begins the group's log anew, and is told only when the log says so too. A writer that fails or is not wanted any more
 * is on its own from then on: it waits for its requests, removes its file and goes; another may begin meanwhile.     */
#include "storage/inner.h"

#include "base/assert.h"
#include <errno.h>
#include <string.h>

#define QUEUED_MAX ((size_t)1 << 20)    /* bytes of pieces that may be on their way to the disk, */
#define QUEUED_FEW ((size_t)4 << 10)    /* or so many, as if the disk were slow */

struct piece {                          /* some bytes; of an incoming snapshot, also the result of their part */
    struct orri_result result;          /* first */
    struct orr_write write;
    struct orr_slice bytes;
    struct orri_writer *writer;
    bool quiet;                         /* nobody is told of it alone */
};
struct orri_writer {
    struct orri_result result;          /* first; of our own: the finished snapshot */
    struct orri_writer *next;           /* in s->writers */
    struct orr_storage *s;
    struct orri_group *g;
    struct orri_errand e;
    struct orr_file *file;
    struct orr_snapshot snapshot;
    uint64_t size;                      /* bytes handed in */
    size_t queued, queued_max;          /* of them not yet written; how many may be */
    struct orri_queue early;            /* pieces that wait for the file */
    struct orri_queue finals;           /* the last part, and its repetitions */
    struct orri_sum *sum;
    struct orri_kept *kept;
    bool incoming, room_missed, finishing, leaving, closing;
    int status;
    unsigned char config[ORR_CONFIG_MAX];
    unsigned char head[ORRI_SNAPSHOT_HEAD];
    char tmp[ORRI_SNAPSHOT_NAME];
};

static void go_on(struct orri_writer *w);

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static void writer_free(struct orri_writer *w) {
    struct orr_storage *s = w->s;
    struct orri_writer **link = &s->writers;
    while (*link != w) link = &(*link)->next;
    *link = w->next;
    orri_sum_free(s, w->sum);
    orri_kept_free(s, w->kept);
    orri_put(s, w, sizeof *w);
}

static void own_taken(struct orr_storage *s, struct orri_result *result) {
    (void)s;
    writer_free((struct orri_writer *)result);
}

static void opened(struct orri_errand *e, int status) {
    struct orri_writer *w = e->owner;
    if (status == 0) w->file = e->r.open.file;
    else w->status = status;
    go_on(w);
}

static struct orri_writer *writer_new(struct orr_storage *s, struct orri_group *g, const struct orr_snapshot *snapshot,
                                      bool incoming) {
    struct orri_writer *w = orri_get(s, sizeof *w);
    if (!w) return NULL;
    w->sum = orri_sum_new(s);
    if (!w->sum) {
        orri_put(s, w, sizeof *w);
        return NULL;
    }
    w->s = s;
    w->g = g;
    w->incoming = incoming;
    w->queued_max = !incoming && ORR_RARE(s->w, "storage.short_queue") ? QUEUED_FEW : QUEUED_MAX;
    w->snapshot = *snapshot;
    if (snapshot->config.size) memcpy(w->config, snapshot->config.at, snapshot->config.size);
    w->snapshot.config = orr_borrow(w->config, snapshot->config.size);
    w->next = s->writers;
    s->writers = w;
    w->e.s = s;
    w->e.owner = w;
    orri_snapshot_tmp_name(w->tmp, s->serial++);
    orri_errand_open(&w->e, w->tmp, ORR_F_CREATE, opened);
    return w;
}

/* -- The end: done, or not ----------------------------------------------------------------------------------------- */
static void part_taken(struct orr_storage *s, struct orri_result *result) { orri_put(s, result, sizeof(struct piece)); }

/* Its group may begin another. */
static void detach(struct orri_writer *w) {
    if (w->g->writer == w) w->g->writer = NULL;
    if (w->g->receiver == w) w->g->receiver = NULL;
}

static void tell(struct orri_writer *w) {
    struct orr_storage *s = w->s;
    struct orri_result *r;
    detach(w);
    while ((r = orri_queue_pop(&w->finals))) {
        r->done.status = w->status;
        orri_tell(s, r);
    }
    if (w->incoming || w->leaving) {
        writer_free(w);
        return;
    }
    /* The result lies in the writer: whoever takes it ends both. */
    w->result.taken = own_taken;
    w->result.done = (struct orri_storage_done){ .kind = ORR_TAKE_SNAPSHOT, .group = w->g->id, .status = w->status,
        .snapshot = w->snapshot };
    orri_tell(s, &w->result);
}

static void removed(struct orri_errand *e, int status) {
    (void)status;                               /* the next start sweeps it */
    tell(e->owner);
}

static void closed_for_good(struct orri_errand *e, int status) {
    struct orri_writer *w = e->owner;
    (void)status;
    w->file = NULL;
    orri_errand_name(e, ORR_OP_REMOVE, w->tmp, NULL, removed);
}

static void give_up(struct orri_writer *w) {
    w->closing = true;
    detach(w);
    if (w->file) orri_errand_file(&w->e, ORR_OP_CLOSE, w->file, 0, 0, closed_for_good);
    else closed_for_good(&w->e, 0);
}

static void installed(struct orri_writer *w) {
    orri_snapshot_keep(w->s, w->g, w->kept);
    w->kept = NULL;
    if (!w->incoming) {
        tell(w);
        return;
    }
    int rc = orri_wal_reset(w->s, w->g, &w->snapshot, w);
    if (rc < 0) orri_snapshot_reset_done(w->s, w, rc);
}

void orri_snapshot_reset_done(struct orr_storage *s, struct orri_writer *receiver, int status) {
    (void)s;
    receiver->status = status;
    tell(receiver);
}

static void directory_synced(struct orri_errand *e, int status) {
    struct orri_writer *w = e->owner;
    w->status = status;
    if (status < 0) tell(w);                    /* whether it has its name, the next start will see */
    else if (w->leaving) tell(w);
    else installed(w);
}

static void named(struct orri_errand *e, int status) {
    struct orri_writer *w = e->owner;
    w->status = status;
    if (status < 0) give_up(w);
    else orri_errand_name(e, ORR_OP_SYNC_DIR, NULL, NULL, directory_synced);
}

static void closed(struct orri_errand *e, int status) {
    struct orri_writer *w = e->owner;
    (void)status;
    w->file = NULL;
    if (w->leaving) give_up(w);
    else orri_errand_name(e, ORR_OP_RENAME, w->tmp, w->kept->name, named);
}

static void synced(struct orri_errand *e, int status) {
    struct orri_writer *w = e->owner;
    w->status = status;
    if (status < 0) give_up(w);
    else orri_errand_file(e, ORR_OP_CLOSE, w->file, 0, 0, closed);
}

/* All pieces are written: does it hold what it should? */
static void finish(struct orri_writer *w) {
    uint64_t checksum = orri_sum_get(w->sum);
    if (w->incoming && (w->size != w->snapshot.size || checksum != w->snapshot.checksum)) {
        w->status = ORR_ECORRUPT;
        give_up(w);
        return;
    }
    w->snapshot.size = w->size;
    w->snapshot.checksum = checksum;
    w->kept = orri_kept_new(w->s, w->g->id, &w->snapshot);
    if (!w->kept) {
        w->status = -ENOMEM;
        give_up(w);
        return;
    }
    w->closing = true;
    orri_snapshot_put_head(w->head, w->g->id, &w->snapshot);
    orri_errand_write(&w->e, w->file, 0, orr_borrow(w->head, sizeof w->head), ORR_W_SYNC | ORR_W_BULK, synced);
}

/* -- Pieces -------------------------------------------------------------------------------------------------------- */
static void piece_over(struct piece *piece, int status) {
    struct orri_writer *w = piece->writer;
    struct orr_storage *s = w->s;
    w->queued -= piece->bytes.size;
    orr_drop(piece->bytes);
    if (status < 0 && w->status == 0) w->status = status;
    piece->result.done.status = w->status;
    if (piece->quiet) orri_put(s, piece, sizeof *piece);
    else orri_tell(s, &piece->result);
    if (w->room_missed && w->queued < w->queued_max / 2 && w->g->writer == w) {
        w->room_missed = false;
        w->g->room.done = (struct orri_storage_done){ .kind = ORR_TAKE_ROOM, .group = w->g->id };
        orri_tell(s, &w->g->room);
    }
}

static void piece_written(struct orr_req *req) {
    struct piece *piece = req->owner;
    struct orri_writer *w = piece->writer;
    w->s->running--;
    piece_over(piece, req->status);
    go_on(w);
}

static void piece_submit(struct piece *piece) {
    struct orri_writer *w = piece->writer;
    piece->write.req.done = piece_written;
    piece->write.req.owner = piece;
    piece->write.file = w->file;
    piece->write.parts = &piece->bytes;
    piece->write.n_parts = 1;
    piece->write.flags = ORR_W_BULK;
    int rc = w->status < 0 ? w->status : w->s->w->ops->write(w->s->w, &piece->write);
    if (rc < 0) piece_over(piece, rc);
    else w->s->running++;
}

/* After anything that happened to it. */
static void go_on(struct orri_writer *w) {
    struct orri_result *r;
    if (w->e.running || w->closing) return;
    while ((r = orri_queue_pop(&w->early))) piece_submit((struct piece *)r);
    if (w->queued > 0) return;
    if (w->status < 0 || w->leaving) give_up(w);
    else if (w->finishing) finish(w);
}

static int piece_new(struct orri_writer *w, struct orr_slice bytes, struct piece **out) {
    struct piece *piece = orri_get(w->s, sizeof *piece);
    if (!piece) return -ENOMEM;
    piece->writer = w;
    piece->bytes = bytes;
    piece->write.at = ORRI_SNAPSHOT_HEAD + w->size;
    piece->result.taken = part_taken;
    w->size += bytes.size;
    w->queued += bytes.size;
    orri_sum_add(w->sum, bytes);
    *out = piece;
    return 0;
}

/* -- Our own ------------------------------------------------------------------------------------------------------- */
static int state_of(const struct orr_storage *s) {
    return s->failed ? ORR_EPOISONED : s->opened ? 0 : ORR_EUNAVAILABLE;
}

int orri_storage_snapshot_begin(struct orr_storage *s, uint32_t group, const struct orr_snapshot *snapshot) {
    int rc = state_of(s);
    if (rc < 0) return rc;
    if (snapshot->config.size > ORR_CONFIG_MAX || snapshot->index == 0) return ORR_EINVALID;
    struct orri_group *g = orri_group_make(s, group);
    if (!g) return -ENOMEM;
    if (g->writer) return ORR_EBUSY;
    g->writer = writer_new(s, g, snapshot, false);
    return g->writer ? 0 : -ENOMEM;
}

static struct orri_writer *own(const struct orr_storage *s, uint32_t group) {
    struct orri_group *g = orri_group_find(s, group);
    return g && g->writer && !g->writer->finishing ? g->writer : NULL;
}

size_t orri_storage_snapshot_room(const struct orr_storage *s, uint32_t group) {
    struct orri_writer *w = own(s, group);
    size_t room = !w ? 0 : w->queued < w->queued_max ? w->queued_max - w->queued : 0;
    if (w && room == 0) w->room_missed = true;
    return room > 64 && ORR_RARE(s->w, "storage.small_room") ? 64 : room;
}

int orri_storage_snapshot_write(struct orr_storage *s, uint32_t group, struct orr_slice bytes) {
    struct orri_writer *w = own(s, group);
    struct piece *piece;
    if (!w) return ORR_ECANCELED;
    if (w->status < 0) return w->status;
    if (bytes.size == 0) {
        orr_drop(bytes);
        return 0;
    }
    int rc = piece_new(w, bytes, &piece);
    if (rc < 0) return rc;
    piece->quiet = true;
    if (w->queued >= w->queued_max) w->room_missed = true;
    if (w->file) piece_submit(piece);
    else orri_queue_push(&w->early, &piece->result);
    return 0;
}

int orri_storage_snapshot_finish(struct orr_storage *s, uint32_t group) {
    struct orri_writer *w = own(s, group);
    if (!w) return ORR_ECANCELED;
    w->finishing = true;
    go_on(w);
    return 0;
}

void orri_storage_snapshot_abort(struct orr_storage *s, uint32_t group) {
    struct orri_group *g = orri_group_find(s, group);
    struct orri_writer *w = g ? g->writer : NULL;
    if (!w || w->closing) return;               /* almost there, or failed: its result comes */
    w->leaving = true;
    detach(w);
    go_on(w);
}

/* -- A peer's ------------------------------------------------------------------------------------------------------ */
static bool same(const struct orr_snapshot *a, const struct orr_snapshot *b) {
    return a->index == b->index && a->term == b->term && a->size == b->size && a->checksum == b->checksum;
}

/* The writer that takes this snapshot's pieces; an unfinished one of another snapshot is left. */
static int receiver_of(struct orr_storage *s, struct orri_group *g, const struct orr_part *part) {
    struct orri_writer *w = g->receiver;
    if (w && same(&w->snapshot, &part->snapshot)) return 0;
    if (w && (w->closing || w->finishing)) return ORR_ECONFLICT;
    if (g->newest && g->newest->snapshot.index > part->snapshot.index) return ORR_ECONFLICT;
    if (part->offset != 0) return ORR_EINVALID;
    if (w) {
        w->leaving = true;
        detach(w);
        go_on(w);
    }
    g->receiver = writer_new(s, g, &part->snapshot, true);
    return g->receiver ? 0 : -ENOMEM;
}

static int tell_part(struct orr_storage *s, uint32_t group, uint64_t id, int status) {
    struct piece *piece = orri_get(s, sizeof *piece);
    if (!piece) return -ENOMEM;
    piece->result.taken = part_taken;
    piece->result.done =
        (struct orri_storage_done){ .kind = ORR_TAKE_PART, .group = group, .id = id, .status = status };
    orri_tell(s, &piece->result);
    return 0;
}

/* The last piece is told when all is over. */
static int last_part(struct orri_writer *w, const struct orr_part *part) {
    struct piece *piece = orri_get(w->s, sizeof *piece);
    if (!piece) return -ENOMEM;
    piece->result.taken = part_taken;
    piece->result.done = (struct orri_storage_done){ .kind = ORR_TAKE_PART, .group = w->g->id, .id = part->id };
    orri_queue_push(&w->finals, &piece->result);
    return 0;
}

static int take_piece(struct orri_writer *w, const struct orr_part *part) {
    struct piece *piece;
    int rc = piece_new(w, part->data, &piece);
    if (rc < 0) return rc;
    (void)orr_hold(part->data);
    piece->quiet = part->done;
    piece->result.done = (struct orri_storage_done){ .kind = ORR_TAKE_PART, .group = w->g->id, .id = part->id };
    if (w->file) piece_submit(piece);
    else orri_queue_push(&w->early, &piece->result);
    return 0;
}

int orri_storage_part(struct orr_storage *s, uint32_t group, const struct orr_part *part) {
    int rc = state_of(s);
    if (rc < 0) return rc;
    if (part->snapshot.config.size > ORR_CONFIG_MAX || part->snapshot.index == 0) return ORR_EINVALID;
    struct orri_group *g = orri_group_make(s, group);
    if (!g) return -ENOMEM;
    rc = receiver_of(s, g, part);
    if (rc == -ENOMEM) return rc;
    if (rc < 0) return tell_part(s, group, part->id, rc);
    struct orri_writer *w = g->receiver;
    uint64_t end = part->offset + part->data.size;
    if (part->done && (end == w->size || part->offset == w->size)) rc = last_part(w, part);
    else if (end <= w->size) return tell_part(s, group, part->id, w->status);   /* here already */
    else if (part->offset != w->size || w->finishing) return tell_part(s, group, part->id, ORR_EINVALID);
    if (rc == 0 && part->offset == w->size && part->data.size && !w->finishing) rc = take_piece(w, part);
    if (rc < 0) return rc;
    w->finishing = w->finishing || part->done;
    go_on(w);
    return 0;
}

/* -- All ----------------------------------------------------------------------------------------------------------- */
void orri_snapshots_clear(struct orr_storage *s) {
    while (s->writers) {
        struct orri_writer *w = s->writers;
        struct orri_result *r;
        while ((r = orri_queue_pop(&w->early)) || (r = orri_queue_pop(&w->finals))) {
            orr_drop(((struct piece *)r)->bytes);
            part_taken(s, r);
        }
        writer_free(w);
    }
    while (s->retired) {
        struct orri_kept *kept = s->retired;
        s->retired = kept->next;
        orri_kept_free(s, kept);
    }
}
