/* errand.c - a row of requests to the world, one at a time: the thread of what happens to one file.
 *
 * What can't even be submitted is told like what failed later, so that an errand has one way to go wrong.            */
#include "storage/inner.h"

#include "base/assert.h"

static void over(struct orr_req *req) {
    struct orri_errand *e = req->owner;
    e->running = false;
    e->s->running--;
    e->then(e, req->status);
}

static struct orr_req *begin(struct orri_errand *e, orri_then_fn then) {
    ORR_ASSERT(!e->running);
    e->r.req.done = over;
    e->r.req.owner = e;
    e->then = then;
    return &e->r.req;
}

static void begun(struct orri_errand *e, int rc) {
    if (rc < 0) {
        e->then(e, rc);
        return;
    }
    e->running = true;
    e->s->running++;
}

void orri_errand_open(struct orri_errand *e, const char *path, unsigned flags, orri_then_fn then) {
    e->r.open = (struct orr_open){ .path = path, .flags = flags };
    begin(e, then);
    begun(e, e->s->w->ops->open(e->s->w, &e->r.open));
}

void orri_errand_read(struct orri_errand *e, struct orr_file *file, uint64_t at, size_t size, orri_then_fn then) {
    e->r.read = (struct orr_read){ .file = file, .at = at, .size = size };
    begin(e, then);
    begun(e, e->s->w->ops->read(e->s->w, &e->r.read));
}

void orri_errand_write(struct orri_errand *e, struct orr_file *file, uint64_t at, struct orr_slice bytes,
                       unsigned flags, orri_then_fn then) {
    e->bytes = bytes;
    e->r.write = (struct orr_write){ .file = file, .at = at, .parts = &e->bytes, .n_parts = 1, .flags = flags };
    begin(e, then);
    begun(e, e->s->w->ops->write(e->s->w, &e->r.write));
}

void orri_errand_file(struct orri_errand *e, enum orr_op op, struct orr_file *file, uint64_t at, unsigned flags,
                      orri_then_fn then) {
    e->r.file = (struct orr_file_op){ .file = file, .at = at, .flags = flags };
    begin(e, then);
    begun(e, e->s->w->ops->file_op(e->s->w, &e->r.file, op));
}

void orri_errand_name(struct orri_errand *e, enum orr_op op, const char *path, const char *to, orri_then_fn then) {
    e->r.name = (struct orr_name_op){ .path = path, .to = to };
    begin(e, then);
    begun(e, e->s->w->ops->name_op(e->s->w, &e->r.name, op));
}
