/* fetch.c - a read on its way back to who asked: told, lent until the next take, given back.
 *
 * A storage that ends while reads run finds their fetches in a list. What such a read has got is the world's. */
#include "storage/inner.h"

#include "base/assert.h"

static void taken(struct orr_storage *s, struct orri_result *result) {
    struct orri_fetch *f = (struct orri_fetch *)result;
    orr_drop(f->read.got);
    orri_put(s, f, f->bytes);
}

void *orri_fetch_new(struct orr_storage *s, size_t bytes, struct orri_storage_done done) {
    ORR_ASSERT(bytes >= sizeof(struct orri_fetch));
    struct orri_fetch *f = orri_get(s, bytes);
    if (!f) return NULL;
    f->s = s;
    f->bytes = bytes;
    f->result.taken = taken;
    f->result.done = done;
    return f;
}

int orri_fetch_read(struct orri_fetch *f, struct orr_file *file, uint64_t at, size_t size,
                    void (*done)(struct orr_req *req)) {
    struct orr_storage *s = f->s;
    f->read = (struct orr_read){ .req = { .done = done, .owner = f }, .file = file, .at = at, .size = size };
    int rc = s->w->ops->read(s->w, &f->read);
    if (rc < 0) return rc;
    f->next = s->fetches;
    f->link = &s->fetches;
    if (f->next) f->next->link = &f->next;
    s->fetches = f;
    s->running++;
    return 0;
}

static void unlink_fetch(struct orri_fetch *f) {
    *f->link = f->next;
    if (f->next) f->next->link = f->link;
}

struct orri_fetch *orri_fetch_over(struct orr_req *req) {
    struct orri_fetch *f = req->owner;
    unlink_fetch(f);
    f->s->running--;
    return f;
}

void orri_fetch_tell(struct orri_fetch *f, int status) {
    f->result.done.status = status;
    orri_tell(f->s, &f->result);
}

void orri_fetches_clear(struct orr_storage *s) {
    for (struct orri_fetch *f; (f = s->fetches);) {
        unlink_fetch(f);
        orri_put(s, f, f->bytes);
    }
}
