/* file.c - a simulated node's requests on files and names: queues, latencies, group commit, faults, crash points.
 *
 * Each open file is a queue; so are the name requests of a world. When the turn ends (or the batch before is done) the
 * first request starts, with all writes that directly follow where it is a write: they are executed at one instant, and
 * synced once where one of them asks for it. Bytes are read when the write is executed, not when it was submitted, and
 * compared with a checksum of the submission: who changes borrowed bytes is found.
 *
 * The crash points of a write lie here: submitted, not executed; executed, not synced; synced, not reported. */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "sim/disk.h"

static const char *const op_words[] = {
    "OPEN",   "READ",   "WRITE", "SYNC",     "TRUNCATE", "PREPARE", "CLOSE",
    "RENAME", "REMOVE", "LIST",  "SYNC_DIR", "SPACE",    "JOB",
};

/* -- Requests ---------------------------------------------------------------------------------------------------- */
static struct orri_io *io_of(const struct orr_req *req) { return (struct orri_io *)(void *)req->next; }

static void io_link(struct orri_node *node, struct orri_io *io) {
    io->node_prev = NULL;
    io->node_next = node->ios;
    if (node->ios) node->ios->node_prev = io;
    node->ios = io;
}

static void io_unlink(struct orri_io *io) {
    if (io->node_prev) {
        io->node_prev->node_next = io->node_next;
    } else {
        io->node->ios = io->node_next;
    }
    if (io->node_next) io->node_next->node_prev = io->node_prev;
}

/* A request that is still running has `next` set: submitting it again, or one that was never zeroed, is a bug. */
static struct orri_io *io_new(struct orri_node *node, struct orr_req *req, enum orr_op op) {
    ORR_ASSERT(node->in_turn);
    ORR_ASSERT(req->next == NULL);
    struct orri_io *io = orri_pool_get(&node->sim->ios);
    memset(io, 0, sizeof *io);
    io->ready.kind = ORRI_READY_IO;
    io->req = req;
    io->node = node;
    io_link(node, io);
    req->next = (struct orr_req *)(void *)io;
    req->op = (uint16_t)op;
    req->cancel = false;
    req->begun = node->now;
    return io;
}

static void io_done(struct orri_io *io, int status, uint64_t result) {
    ORR_ASSERT(io_of(io->req) == io);          /* else it was freed or overwritten while it ran */
    io->status = status;
    io->result = result;
    orri_node_ready(io->node, &io->ready);
}

static void push(struct orri_ios *ios, struct orri_io *io) {
    io->next = NULL;
    if (ios->last) {
        ios->last->next = io;
    } else {
        ios->first = io;
    }
    ios->last = io;
}

static struct orri_io *pop(struct orri_ios *ios) {
    struct orri_io *io = ios->first;
    if (!io) return NULL;
    ios->first = io->next;
    if (!ios->first) ios->last = NULL;
    return io;
}

/* Bytes that a request brings back count as delivered. */
static struct orr_slice brought(const struct orr_req *req) {
    if (req->op == ORR_OP_READ) return ((const struct orr_read *)(const void *)req)->got;
    if (req->op == ORR_OP_LIST) return ((const struct orr_name_op *)(const void *)req)->names;
    return orr_borrow(NULL, 0);
}

struct orr_req *orri_io_take(struct orri_io *io) {
    struct orri_node *node = io->node;
    struct orr_req *req = io->req;
    ORR_ASSERT(io_of(req) == io);
    req->next = NULL;
    req->status = io->status;
    req->result = io->result;
    req->ended = node->now;
    struct orr_slice bytes = io->status == 0 ? brought(req) : orr_borrow(NULL, 0);
    orri_sim_deliver(node->sim, node->index, req->op, io->status, bytes.at, bytes.size);
    ORRI_SAY(node->sim, node->name, "%s %d %llu", op_words[req->op], io->status, (unsigned long long)io->result);
    io_unlink(io);
    orri_pool_put(&node->sim->ios, io);
    return req;
}

/* A chunk for what the world itself brings: that allocation is not the node's, so it does not fail. */
static struct orr_slice bring(struct orri_node *node, size_t size) {
    if (size == 0) return orr_borrow(NULL, 0);
    node->memory.never_fails = true;
    struct orr_chunk *chunk = node->world.chunks->get(node->world.chunks, size);
    node->memory.never_fails = false;
    ORR_ASSERT(chunk != NULL);
    return (struct orr_slice){ chunk, chunk->at, size };
}

/* -- Executing --------------------------------------------------------------------------------------------------- */
static struct orr_write *write_of(const struct orri_io *io) { return (struct orr_write *)(void *)io->req; }

static size_t size_of(const struct orr_write *w) {
    size_t size = 0;
    for (size_t i = 0; i < w->n_parts; i++) size += w->parts[i].size;
    return size;
}

/* Nothing, all, or some sectors of it: what a write that failed, or was cut off by a crash, may leave. */
static size_t some_of(struct orri_node *node, size_t size) {
    unsigned sector = node->sim->config.sector;
    uint64_t fate = orri_rng_below(&node->disks, 3);
    if (fate == 0) return 0;
    if (fate == 1) return size;
    return (size_t)orri_rng_below(&node->disks, size / sector + 1) * sector;
}

static bool damages(struct orri_node *node, enum orr_sim_fault kind) {
    return node->aims[kind].left > 0 && orri_may_damage(node, kind) && orri_strike(node, kind);
}

static uint64_t misdirect(struct orri_node *node, const struct orri_inode *inode) {
    unsigned sector = node->sim->config.sector;
    return orri_rng_below(&node->disks, inode->size / sector + 1) * sector;
}

static int write_bytes(struct orr_file *file, const struct orr_write *w, size_t size) {
    struct orri_node *node = file->node;
    struct orri_disk *disk = node->disk;
    uint64_t end = w->at + size;
    uint64_t more = end > file->inode->size ? end - file->inode->size : 0;
    if (!orri_disk_has_room(disk, more)) return ORR_EFULL;
    if (orri_strike(node, ORR_SIM_WRITE_ERROR)) {
        orri_inode_write(file->inode, w->at, w->parts, w->n_parts, some_of(node, size));
        return -EIO;
    }
    uint64_t at = w->at;
    if (damages(node, ORR_SIM_STALE)) {
        disk->damaged = true;
        return 0;
    }
    if (damages(node, ORR_SIM_MISDIRECTED)) {
        disk->damaged = true;
        at = misdirect(node, file->inode);
    }
    orri_inode_write(file->inode, at, w->parts, w->n_parts, size);
    return 0;
}

static void do_write(struct orri_io *io) {
    const struct orr_write *w = write_of(io);
    size_t size = size_of(w);
    ORR_ASSERT(orri_hash64_slices(w->parts, w->n_parts, size) == io->sum);    /* borrowed bytes were changed */
    io->status = write_bytes(io->file, w, size);
    io->result = io->status == 0 ? size : 0;
}

static void do_read(struct orri_io *io) {
    struct orr_read *r = (struct orr_read *)(void *)io->req;
    const struct orri_inode *inode = io->file->inode;
    if (orri_strike(io->node, ORR_SIM_READ_ERROR)) {
        io->status = -EIO;
        return;
    }
    uint64_t left = r->at < inode->size ? inode->size - r->at : 0;
    r->got = bring(io->node, r->size < left ? r->size : (size_t)left);
    if (r->got.size) orri_inode_read(inode, r->at, r->got.chunk->at, r->got.size);
    io->result = r->got.size;
}

static void do_prepare(struct orri_io *io) {
    struct orri_inode *inode = io->file->inode;
    uint64_t to = ((struct orr_file_op *)(void *)io->req)->at;
    if (to <= inode->size) return;
    if (!orri_disk_has_room(io->node->disk, to - inode->size)) {
        io->status = ORR_EFULL;
    } else {
        orri_inode_resize(inode, ORRI_CHANGE_GROW, to);
    }
}

static void do_truncate(struct orri_io *io) {
    struct orri_inode *inode = io->file->inode;
    uint64_t to = ((struct orr_file_op *)(void *)io->req)->at;
    if (to > inode->size && !orri_disk_has_room(io->node->disk, to - inode->size)) {
        io->status = ORR_EFULL;
    } else if (to != inode->size) {
        orri_inode_resize(inode, ORRI_CHANGE_TRUNCATE, to);
    }
}

/* -- Names ------------------------------------------------------------------------------------------------------- */
static void do_rename(struct orri_io *io) {
    const struct orr_name_op *r = (struct orr_name_op *)(void *)io->req;
    struct orri_disk *disk = io->node->disk;
    struct orri_inode *inode = orri_names_find(&disk->now, r->path);
    if (!inode) {
        io->status = -ENOENT;
    } else if (strcmp(r->path, r->to) != 0) {
        orri_disk_name(disk, ORRI_NAME_RENAME, r->path, r->to, inode);
    }
}

static void do_remove(struct orri_io *io) {
    const struct orr_name_op *r = (struct orr_name_op *)(void *)io->req;
    struct orri_inode *inode = orri_names_find(&io->node->disk->now, r->path);
    if (inode) {
        orri_disk_name(io->node->disk, ORRI_NAME_REMOVE, r->path, NULL, inode);
    } else {
        io->status = -ENOENT;
    }
}

static void do_list(struct orri_io *io) {
    struct orr_name_op *r = (struct orr_name_op *)(void *)io->req;
    const struct orri_names *names = &io->node->disk->now;
    size_t size = 0;
    for (size_t i = 0; i < names->n; i++) size += strlen(names->at[i].path) + 1;
    r->names = bring(io->node, size);
    unsigned char *to = size ? r->names.chunk->at : NULL;
    for (size_t i = 0; i < names->n; i++) {
        size_t n = strlen(names->at[i].path) + 1;
        memcpy(to, names->at[i].path, n);
        to += n;
    }
    io->result = size;
}

static void do_space(struct orri_io *io) {
    struct orr_name_op *r = (struct orr_name_op *)(void *)io->req;
    const struct orri_disk *disk = io->node->disk;
    r->total_bytes = disk->room;
    r->free_bytes = disk->used < disk->room ? disk->room - disk->used : 0;
}

static void execute(struct orri_io *io) {
    switch (io->req->op) {
    case ORR_OP_WRITE: do_write(io); break;
    case ORR_OP_READ: do_read(io); break;
    case ORR_OP_TRUNCATE: do_truncate(io); break;
    case ORR_OP_PREPARE: do_prepare(io); break;
    case ORR_OP_RENAME: do_rename(io); break;
    case ORR_OP_REMOVE: do_remove(io); break;
    case ORR_OP_LIST: do_list(io); break;
    case ORR_OP_SPACE: do_space(io); break;
    default: break;                 /* SYNC, SYNC_DIR, CLOSE have no part here */
    }
}

/* -- Opening ----------------------------------------------------------------------------------------------------- */
static struct orr_file *file_new(struct orri_node *node, struct orri_inode *inode, unsigned flags);

static int open_now(struct orri_node *node, struct orr_open *r) {
    struct orri_disk *disk = node->disk;
    struct orri_inode *inode = orri_names_find(&disk->now, r->path);
    if (inode && (r->flags & ORR_F_CREATE) && (r->flags & ORR_F_EXCLUSIVE)) return -EEXIST;
    if (!inode && !(r->flags & ORR_F_CREATE)) return -ENOENT;
    if (inode && inode->poisoned) return ORR_EPOISONED;
    bool made = !inode;
    if (made) {
        if (disk->used >= disk->room) return ORR_EFULL;
        inode = orri_inode_new(disk, r->path);
        orri_disk_name(disk, ORRI_NAME_CREATE, r->path, NULL, inode);
    }
    r->file = file_new(node, inode, r->flags);
    r->size = inode->size;
    if (made) orri_inode_drop(inode);
    return 0;
}

static void solo_fire(struct orri_tick *tick) {
    struct orri_io *io = ORRI_CONTAINER(tick, struct orri_io, tick);
    ORR_ASSERT(io_of(io->req) == io);
    int status = io->req->op == ORR_OP_OPEN ? open_now(io->node, (struct orr_open *)(void *)io->req) : 0;
    io_done(io, status, 0);
}

/* -- A file's queue ---------------------------------------------------------------------------------------------- */
static void file_fire(struct orri_tick *tick);

static struct orr_file *file_new(struct orri_node *node, struct orri_inode *inode, unsigned flags) {
    struct orr_file *file = orri_sim_get(node->sim, sizeof *file);
    *file = (struct orr_file){ .tick = { .fire = file_fire }, .node = node, .inode = inode, .flags = flags };
    inode->refs++;
    file->node_next = node->files;
    if (node->files) node->files->node_prev = file;
    node->files = file;
    return file;
}

static void file_free(struct orr_file *file) {
    struct orri_node *node = file->node;
    orri_sim_unset(node->sim, &file->tick);
    if (file->node_prev) {
        file->node_prev->node_next = file->node_next;
    } else {
        node->files = file->node_next;
    }
    if (file->node_next) file->node_next->node_prev = file->node_prev;
    orri_inode_drop(file->inode);
    orri_sim_put(node->sim, file, sizeof *file);
}

static orr_time tail(struct orri_node *node, orr_time base) { return base + orri_expo(&node->disks, base / 10) + 1; }

/* What the disk takes for an operation of that latency. */
static orr_time work(struct orri_node *node, orr_time base) {
    return tail(node, node->disk->slower == 1 ? base : (orr_time)((double)base * node->disk->slower));
}

static orr_time moving(const struct orri_disk *disk, uint64_t size, bool bulk) {
    if (disk->speed.bandwidth == 0) return 0;
    double seconds = (double)size / (double)disk->speed.bandwidth * (bulk ? 2 : 1);
    return (orr_time)(seconds * (double)ORR_SECOND);
}

static orr_time latency(const struct orr_file *file, const struct orri_io *io) {
    struct orri_node *node = file->node;
    const struct orri_disk *disk = node->disk;
    const struct orr_file_op *op = (const struct orr_file_op *)(const void *)io->req;
    switch (io->req->op) {
    case ORR_OP_WRITE: return work(node, disk->speed.write);
    case ORR_OP_READ:
        return work(node, disk->speed.read) +
               moving(disk, ((const struct orr_read *)(const void *)io->req)->size, false);
    case ORR_OP_PREPARE: {
        uint64_t size = op->at > file->inode->size ? op->at - file->inode->size : 0;
        return work(node, disk->speed.write) + moving(disk, size, op->flags & ORR_W_BULK);
    }
    case ORR_OP_TRUNCATE: return work(node, disk->speed.write);
    case ORR_OP_SYNC: case ORR_OP_SYNC_DIR: case ORR_OP_CLOSE: return 1;
    default: return work(node, disk->speed.name);
    }
}

static orr_time batch_latency(const struct orr_file *file) {
    orr_time all = 0;
    for (const struct orri_io *io = file->batch.first; io; io = io->next) {
        orr_time one = latency(file, io);
        if (one > all) all = one;
        if (io->req->op != ORR_OP_WRITE) continue;
        const struct orr_write *w = write_of(io);
        all += moving(file->node->disk, size_of(w), w->flags & ORR_W_BULK);
    }
    return all;
}

/* Starts what comes next, if nothing runs. */
static void file_begin(struct orr_file *file) {
    struct orri_io *io = file->batch.first ? NULL : pop(&file->waiting);
    if (!io) return;
    push(&file->batch, io);
    bool alone = io->req->op != ORR_OP_WRITE || orri_strike(file->node, ORR_SIM_TURN_CUT);
    while (!alone && file->waiting.first && file->waiting.first->req->op == ORR_OP_WRITE) {
        push(&file->batch, pop(&file->waiting));
    }
    orri_sim_set(file->node->sim, &file->tick, file->node->sim->now + batch_latency(file));
}

static bool wants_sync(const struct orr_file *file) {
    for (const struct orri_io *io = file->batch.first; io; io = io->next) {
        if (io->req->op == ORR_OP_SYNC || io->req->op == ORR_OP_SYNC_DIR) return true;
        if (io->req->op == ORR_OP_WRITE && (write_of(io)->flags & ORR_W_SYNC)) return true;
    }
    return false;
}

/* The batch is over: every request of it is ready, with `status` where it has none of its own. */
static void batch_done(struct orr_file *file, int status) {
    bool closed = false;
    for (struct orri_io *io; (io = pop(&file->batch));) {
        if (io->req->op == ORR_OP_CLOSE) closed = true;
        int own = io->status != 0 ? io->status : status;
        io_done(io, own, own == 0 ? io->result : 0);
    }
    file->syncing = false;
    if (closed) {
        ORR_ASSERT(!file->waiting.first);
        file_free(file);
    } else {
        file_begin(file);
    }
}

/* A sync that failed may have done any of it; what it did not is lost, whatever readers saw of it. */
static void sync_failed(struct orr_file *file) {
    file->poisoned = true;
    if (!file->inode) return;
    file->inode->poisoned = true;
    orri_inode_crash(file->inode, &file->node->disks);
}

static void sync_now(struct orr_file *file) {
    struct orri_node *node = file->node;
    if (orri_strike(node, ORR_SIM_SYNC_ERROR)) {
        sync_failed(file);
        batch_done(file, -EIO);
        return;
    }
    bool wrote = !file->inode || file->inode->first;
    if (file->inode) {
        orri_inode_sync(file->inode);
    } else {
        orri_disk_sync_names(node->disk);
    }
    if (wrote && orri_strike(node, ORR_SIM_CRASH_SYNCED)) {
        orri_node_crash(node, "crash_synced");
        return;
    }
    batch_done(file, 0);
}

static void sync_begin(struct orr_file *file) {
    struct orri_node *node = file->node;
    orr_time takes = work(node, node->disk->speed.sync);
    if (orri_strike(node, ORR_SIM_SYNC_HANG)) {
        takes += orri_rng_between(&node->disks, ORR_SECOND, 10 * ORR_SECOND);
        if (node->sim->now + takes > node->disk->hangs_until) node->disk->hangs_until = node->sim->now + takes;
    }
    file->syncing = true;
    orri_sim_set(node->sim, &file->tick, node->sim->now + takes);
}

static void execute_batch(struct orr_file *file) {
    struct orri_node *node = file->node;
    bool writes = file->batch.first->req->op == ORR_OP_WRITE;
    if (writes && orri_strike(node, ORR_SIM_CRASH_SUBMITTED)) {
        orri_node_crash(node, "crash_submitted");
        return;
    }
    for (struct orri_io *io = file->batch.first; io; io = io->next) {
        ORR_ASSERT(io_of(io->req) == io);
        execute(io);
    }
    if (writes && orri_strike(node, ORR_SIM_CRASH_WRITTEN)) {
        orri_node_crash(node, "crash_written");
        return;
    }
    if (wants_sync(file)) {
        sync_begin(file);
    } else {
        batch_done(file, 0);
    }
}

static void file_fire(struct orri_tick *tick) {
    struct orr_file *file = ORRI_CONTAINER(tick, struct orr_file, tick);
    if (file->poisoned || (file->inode && file->inode->poisoned)) {
        batch_done(file, ORR_EPOISONED);
    } else if (file->syncing) {
        sync_now(file);
    } else {
        execute_batch(file);
    }
}

/* -- The world's calls ------------------------------------------------------------------------------------------- */
int orri_world_open_dir(struct orr_world *w) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(node->in_turn && !node->locked);
    if (node->disk->locked_by) return ORR_EBUSY;
    node->disk->locked_by = node;
    node->locked = true;
    node->names = (struct orr_file){ .tick = { .fire = file_fire }, .node = node };
    return 0;
}

/* Relative, at most one '/', no empty part, no "." or "..". */
static bool path_fits(const char *path) {
    if (!path || !path[0]) return false;
    unsigned slashes = 0;
    for (const char *part = path; part; ) {
        const char *end = strchr(part, '/');
        size_t size = end ? (size_t)(end - part) : strlen(part);
        if (size == 0 || size > 255 || strcmp(part, ".") == 0 || strncmp(part, "..", 2) == 0) return false;
        slashes += end != NULL;
        part = end ? end + 1 : NULL;
    }
    return slashes <= 1;
}

static void submit(struct orr_file *file, struct orri_io *io) {
    struct orri_node *node = file->node;
    io->file = file;
    push(&file->waiting, io);
    if (file->touched) return;
    file->touched = true;
    file->touched_next = node->touched_files;
    node->touched_files = file;
}

static bool file_usable(const struct orri_node *node, const struct orr_file *file) {
    return node->locked && file && file->node == node && file->inode && !file->closing;
}

static void solo(struct orri_io *io, orr_time takes) {
    orri_sim_set(io->node->sim, &io->tick, io->node->sim->now + takes);
}

int orri_world_open(struct orr_world *w, struct orr_open *r) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(node->locked);
    if (!path_fits(r->path)) return ORR_EINVALID;
    struct orri_io *io = io_new(node, &r->req, ORR_OP_OPEN);
    io->tick.fire = solo_fire;
    solo(io, work(node, node->disk->speed.name));
    return 0;
}

int orri_world_write(struct orr_world *w, struct orr_write *r) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(file_usable(node, r->file) && !(r->file->flags & ORR_F_READONLY));
    struct orri_io *io = io_new(node, &r->req, ORR_OP_WRITE);
    io->sum = orri_hash64_slices(r->parts, r->n_parts, size_of(r));
    submit(r->file, io);
    return 0;
}

int orri_world_read(struct orr_world *w, struct orr_read *r) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(file_usable(node, r->file));
    r->got = orr_borrow(NULL, 0);
    submit(r->file, io_new(node, &r->req, ORR_OP_READ));
    return 0;
}

int orri_world_file_op(struct orr_world *w, struct orr_file_op *r, enum orr_op op) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(op == ORR_OP_SYNC || op == ORR_OP_CLOSE || op == ORR_OP_TRUNCATE || op == ORR_OP_PREPARE);
    ORR_ASSERT(file_usable(node, r->file));
    ORR_ASSERT(op == ORR_OP_SYNC || op == ORR_OP_CLOSE || !(r->file->flags & ORR_F_READONLY));
    submit(r->file, io_new(node, &r->req, op));
    if (op == ORR_OP_CLOSE) r->file->closing = true;
    return 0;
}

int orri_world_name_op(struct orr_world *w, struct orr_name_op *r, enum orr_op op) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(op >= ORR_OP_RENAME && op <= ORR_OP_SPACE);
    ORR_ASSERT(node->locked);
    if ((op == ORR_OP_RENAME || op == ORR_OP_REMOVE) && !path_fits(r->path)) return ORR_EINVALID;
    if (op == ORR_OP_RENAME && !path_fits(r->to)) return ORR_EINVALID;
    r->names = orr_borrow(NULL, 0);
    submit(&node->names, io_new(node, &r->req, op));
    return 0;
}

int orri_world_job(struct orr_world *w, struct orr_job *r) {
    struct orri_node *node = orri_node_of(w);
    struct orri_io *io = io_new(node, &r->req, ORR_OP_JOB);
    r->run(r->arg);
    io->tick.fire = solo_fire;
    solo(io, tail(node, (orr_time)r->cost_ns));
    return 0;
}

static bool take_out(struct orri_ios *ios, struct orri_io *io) {
    struct orri_io *before = NULL;
    for (struct orri_io *at = ios->first; at; before = at, at = at->next) {
        if (at != io) continue;
        if (before) {
            before->next = io->next;
        } else {
            ios->first = io->next;
        }
        if (ios->last == io) ios->last = before;
        return true;
    }
    return false;
}

/* What waits behind another request is taken out; what has begun comes as it comes. A CLOSE is never cancelled. */
void orri_world_cancel(struct orr_world *w, struct orr_req *req) {
    struct orri_node *node = orri_node_of(w);
    struct orri_io *io = io_of(req);
    ORR_ASSERT(node->in_turn && io && io->req == req);
    req->cancel = true;
    if (io->file && req->op != ORR_OP_CLOSE && take_out(&io->file->waiting, io)) io_done(io, ORR_ECANCELED, 0);
}

void orri_files_begin(struct orri_node *node) {
    while (node->touched_files) {
        struct orr_file *file = node->touched_files;
        node->touched_files = file->touched_next;
        file->touched = false;
        file_begin(file);
    }
}

/* -- The end ----------------------------------------------------------------------------------------------------- */
static bool changes_disk(const struct orri_io *io) {
    switch (io->req->op) {
    case ORR_OP_WRITE: case ORR_OP_TRUNCATE: case ORR_OP_PREPARE: case ORR_OP_RENAME: case ORR_OP_REMOVE: return true;
    default: return false;
    }
}

/* Writes under way when the process died may have got as far as the page cache, in order, the last in part. */
static void cut_off(struct orr_file *file) {
    if (!file->batch.first || file->syncing || file->poisoned) return;
    uint64_t whole = orri_rng_below(&file->node->disks, 4);
    for (struct orri_io *io = file->batch.first; io; io = io->next) {
        if (whole == 0) {
            const struct orr_write *w = write_of(io);
            size_t size = io->req->op == ORR_OP_WRITE ? some_of(file->node, size_of(w)) : 0;
            if (size && orri_disk_has_room(file->node->disk, size))
                orri_inode_write(file->inode, w->at, w->parts, w->n_parts, size);
            return;
        }
        if (changes_disk(io)) execute(io);
        whole--;
    }
}

/* Before the node's memory goes: its requests and their bytes are in it. */
void orri_files_cut(struct orri_node *node) {
    for (struct orr_file *file = node->files; file; file = file->node_next) cut_off(file);
    if (node->locked) cut_off(&node->names);
}

static void forget_request(struct orri_io *io) {
    struct orri_node *node = io->node;
    orri_sim_unset(node->sim, &io->tick);
    io_unlink(io);
    orri_pool_put(&node->sim->ios, io);
}

void orri_files_end(struct orri_node *node, enum orri_end_how how) {
    node->disk->hangs_until = 0;
    node->touched_files = NULL;
    orri_sim_unset(node->sim, &node->names.tick);
    while (node->ios) forget_request(node->ios);
    while (node->files) file_free(node->files);
    if (!node->locked) return;
    for (struct orri_inode *inode = node->disk->inodes; inode; inode = inode->next) inode->poisoned = false;
    if (how == ORRI_POWER) orri_disk_crash(node->disk);
    node->disk->locked_by = NULL;
    node->locked = false;
    node->names = (struct orr_file){ 0 };
}
