/* wal_fetch.c - reading entries back: one read of one segment for each fetch, each entry judged by its own checksum.
 *
 * A fetch gives what lies in one stretch of one segment, so it may give less than was asked for, but always the first
 * entry. Only entries that are durable are given. A segment that is being read is not given up.                      */
#include "storage/inner.h"

#include <errno.h>
#include <stdio.h>

#define ENTRIES_MAX 1024            /* in one fetch */

struct fetch {
    struct orri_fetch f;            /* first */
    struct orri_segment *segment;   /* NULL: nothing was read */
    uint32_t group;
    orr_index from;
    size_t n;
    struct orr_entry *entries;
    struct orri_place *places;      /* both behind this struct */
    char text[160];
};

static int decode(struct fetch *f) {
    uint64_t begin = f->places[0].at;
    for (size_t i = 0; i < f->n; i++) {
        size_t at = (size_t)(f->places[i].at - begin), size = orri_wal_entry_size(f->places[i].size);
        int rc = ORR_ECORRUPT;
        if (at <= f->f.read.got.size && size <= f->f.read.got.size - at) {
            rc = orri_wal_get_entry(f->group, f->from + i, orr_part_of(f->f.read.got, at, size), &f->entries[i]);
        }
        if (rc == 0 && f->entries[i].data.size != f->places[i].size) rc = ORR_ECORRUPT;
        if (rc < 0) {
            (void)snprintf(f->text, sizeof f->text,
                           "log file %s, offset %llu: entry %llu of group %u can't be read back: damaged",
                           f->segment->name, (unsigned long long)f->places[i].at, (unsigned long long)(f->from + i),
                           f->group);
            f->f.result.done.text = f->text;
            return i > 0 ? (f->n = i, 0) : rc;      /* the good ones before it are good */
        }
    }
    return 0;
}

static void read_done(struct orr_req *req) {
    struct fetch *f = (struct fetch *)orri_fetch_over(req);
    int status = req->status < 0 ? req->status : decode(f);
    f->segment->readers--;
    if (status == 0) {
        f->f.result.done.entries = f->entries;
        f->f.result.done.n_entries = f->n;
    }
    orri_fetch_tell(&f->f, status);
}

/* How many entries from `from` on lie in one stretch that may be read for `bytes_max`; at least one. */
static size_t stretch(const struct orri_group *g, orr_index from, orr_index through, size_t bytes_max) {
    const struct orri_place *first = orri_index_place(g, from);
    uint64_t data = first->size, span_max = 2 * (uint64_t)bytes_max + 4096;
    size_t n = 1;
    while (n < ENTRIES_MAX && from + n <= through) {
        const struct orri_place *place = orri_index_place(g, from + n);
        data += place->size;
        if (place->segment != first->segment || data > bytes_max) break;
        if (place->at + orri_wal_entry_size(place->size) - first->at > span_max) break;
        n++;
    }
    return n;
}

int orri_wal_fetch(struct orr_storage *s, uint32_t group, const struct orr_fetch *fetch) {
    const struct orri_group *g = orri_group_find(s, group);
    orr_index through = g && fetch->through > g->stored ? g->stored : fetch->through;
    bool there = g && !g->reset && fetch->from >= g->first && fetch->from <= through && fetch->from > g->release;
    size_t n = there ? stretch(g, fetch->from, through, fetch->bytes_max) : 0;
    if (n > 1 && ORR_RARE(s->w, "storage.fetches_one")) n = 1;
    size_t size = sizeof(struct fetch) + n * (sizeof(struct orr_entry) + sizeof(struct orri_place));
    struct fetch *f = orri_fetch_new(
        s, size, (struct orri_storage_done){ .kind = ORR_TAKE_FETCHED, .group = group, .id = fetch->id });
    if (!f) return -ENOMEM;
    if (n == 0) {
        orri_fetch_tell(&f->f, ORR_EUNAVAILABLE);
        return 0;
    }
    f->from = fetch->from;
    f->n = n;
    f->group = group;
    f->entries = (struct orr_entry *)(f + 1);
    f->places = (struct orri_place *)(f->entries + n);
    for (size_t i = 0; i < n; i++) f->places[i] = *orri_index_place(g, fetch->from + i);
    f->segment = orri_segment_of(s, f->places[0].segment);
    uint64_t begin = f->places[0].at, end = f->places[n - 1].at + orri_wal_entry_size(f->places[n - 1].size);
    int rc = orri_fetch_read(&f->f, f->segment->file, begin, (size_t)(end - begin), read_done);
    if (rc < 0) {
        orri_put(s, f, size);
        return rc;
    }
    f->segment->readers++;
    return 0;
}
