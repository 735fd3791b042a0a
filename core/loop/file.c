/* file.c - requests for files on the loop's thread: checked and kept until the turn ends, and finished when taken.
 *
 * The threads of the disk touch no chunk's count and not the world's allocator. What a read fills is got before it
 * starts; what a listing found lies in libc's memory until it is taken.                                              */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/inner.h"

void orri_file_init(struct orr_loop *loop) {
    struct orri_disk *disk = &loop->disk;
    disk->system = &orri_system_real;
    disk->dir = disk->lock_fd = -1;
    disk->names.fd = -1;
    orri_link_init(&disk->files);
    pthread_mutex_init(&disk->lock, NULL);
}

static struct orr_file *file_new(struct orr_loop *loop) {
    struct orr_file *file = orri_alloc(loop, sizeof *file);
    if (!file) return NULL;
    file->fd = -1;
    orri_link_init(&file->all);
    orri_link_last(&loop->disk.files, &file->all);
    return file;
}

static void file_free(struct orr_loop *loop, struct orr_file *file) {
    if (file->fd >= 0) close(file->fd);
    orri_unlink(&file->all);
    orri_dealloc(loop, file, sizeof *file);
}

void orri_file_free(struct orr_loop *loop) {
    struct orri_disk *disk = &loop->disk;
    while (orri_linked(&disk->files)) file_free(loop, ORRI_MEMBER(disk->files.next, struct orr_file, all));
    if (disk->dir >= 0) close(disk->dir);
    if (disk->lock_fd >= 0) close(disk->lock_fd);       /* and so the lock is given back */
    pthread_mutex_destroy(&disk->lock);
}

/* -- Submitting ---------------------------------------------------------------------------------------------------- */
static int may_submit(struct orr_loop *loop, const struct orr_file *file) {
    if (loop->halted) return ORR_ECLOSED;
    if (loop->disk.dir < 0) return ORR_EUNAVAILABLE;
    if (file && file->closing) return ORR_ECLOSED;
    return orri_disk_start(loop);
}

static void submit(struct orr_loop *loop, struct orr_req *req, enum orr_op op) {
    req->op = (uint16_t)op;
    req->cancel = false;
    req->status = 0;
    req->result = 0;
    req->begun = loop->now;
    orri_list_add(&loop->disk.submitted, req);
    orri_nudge(loop);
}

int orri_open(struct orr_world *w, struct orr_open *r) {
    struct orr_loop *loop = orri_loop(w);
    if (!orri_name_ok(r->path)) return ORR_EINVALID;
    int error = may_submit(loop, NULL);
    if (error != 0) return error;
    struct orr_file *file = file_new(loop);
    if (!file) return -ENOMEM;
    r->file = file;
    r->size = 0;
    submit(loop, &r->req, ORR_OP_OPEN);
    return 0;
}

int orri_write(struct orr_world *w, struct orr_write *r) {
    int error = may_submit(orri_loop(w), r->file);
    if (error == 0) submit(orri_loop(w), &r->req, ORR_OP_WRITE);
    return error;
}

int orri_read(struct orr_world *w, struct orr_read *r) {
    struct orr_loop *loop = orri_loop(w);
    int error = may_submit(loop, r->file);
    if (error != 0) return error;
    struct orr_chunk *chunk = w->chunks->get(w->chunks, r->size);
    if (!chunk) return -ENOMEM;
    r->got = (struct orr_slice){ chunk, chunk->at, 0 };
    submit(loop, &r->req, ORR_OP_READ);
    return 0;
}

int orri_file_op(struct orr_world *w, struct orr_file_op *r, enum orr_op op) {
    if (op != ORR_OP_SYNC && op != ORR_OP_CLOSE && op != ORR_OP_TRUNCATE && op != ORR_OP_PREPARE) return ORR_EINVALID;
    int error = may_submit(orri_loop(w), r->file);
    if (error != 0) return error;
    if (op == ORR_OP_CLOSE) r->file->closing = true;
    submit(orri_loop(w), &r->req, op);
    return 0;
}

int orri_name_op(struct orr_world *w, struct orr_name_op *r, enum orr_op op) {
    if (op < ORR_OP_RENAME || op > ORR_OP_SPACE) return ORR_EINVALID;
    if ((op == ORR_OP_RENAME || op == ORR_OP_REMOVE) && !orri_name_ok(r->path)) return ORR_EINVALID;
    if (op == ORR_OP_RENAME && !orri_name_ok(r->to)) return ORR_EINVALID;
    int error = may_submit(orri_loop(w), NULL);
    if (error != 0) return error;
    r->names = orr_borrow(NULL, 0);
    submit(orri_loop(w), &r->req, op);
    return 0;
}

/* -- Taking -------------------------------------------------------------------------------------------------------- */
static void opened(struct orr_loop *loop, struct orr_open *r) {
    if (r->req.status == 0) return;
    file_free(loop, r->file);
    r->file = NULL;
}

static void read_done(struct orr_read *r) {
    r->got.size = r->req.status == 0 ? (size_t)r->req.result : 0;
    if (r->got.size > 0) return;
    orr_drop(r->got);
    r->got = orr_borrow(NULL, 0);
}

static void listed(struct orr_loop *loop, struct orr_name_op *r) {
    struct orr_slice found = r->names;
    r->names = orr_borrow(NULL, 0);
    if (found.size > 0) {
        struct orr_chunk *chunk = loop->world.chunks->get(loop->world.chunks, found.size);
        if (chunk) {
            memcpy(chunk->at, found.at, found.size);
            r->names = (struct orr_slice){ chunk, chunk->at, found.size };
        } else {
            r->req.status = -ENOMEM;
        }
    }
    free((void *)(uintptr_t)found.at);
}

/* After halt. The requests are still the node's, who finds nothing in them that it would have to drop. */
void orri_file_drop(struct orri_list *list) {
    for (struct orr_req *req = orri_list_pop(list); req; req = orri_list_pop(list)) {
        if (req->op == ORR_OP_READ) {
            struct orr_read *r = (struct orr_read *)(void *)req;
            orr_drop(r->got);
            r->got = orr_borrow(NULL, 0);
        } else if (req->op == ORR_OP_LIST) {
            struct orr_name_op *r = (struct orr_name_op *)(void *)req;
            free((void *)(uintptr_t)r->names.at);
            r->names = orr_borrow(NULL, 0);
        }
    }
}

void orri_file_taken(struct orr_loop *loop, struct orr_req *req) {
    loop->disk.under_way--;
    switch (req->op) {
    case ORR_OP_OPEN: opened(loop, (struct orr_open *)(void *)req); break;
    case ORR_OP_READ: read_done((struct orr_read *)(void *)req); break;
    case ORR_OP_CLOSE: file_free(loop, ((struct orr_file_op *)(void *)req)->file); break;
    case ORR_OP_LIST: listed(loop, (struct orr_name_op *)(void *)req); break;
    default: break;
    }
}
