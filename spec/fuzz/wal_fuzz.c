/* wal_fuzz.c - any bytes as the files of a data directory: the storage recovers from them, or says why not.
 *
 * Input: files, one after another: a byte (0: a segment, 1: a snapshot, 2: a segment of another log, 3: a snapshot that
 * was never finished, 4: a file whose name stands in its first 32 bytes), a 3-byte size, the content. What was opened
 * is read back, written to, begun anew and compared. Built with ORR_FUZZING, every checksum matches.
 * With -DORR_FUZZ_SEEDS it is a program that writes the corpus: wal_fuzz FOLDER.                                     */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "storage/storage.h"
#include "storage/snapshot_format.h"
#include "storage/wal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* -- A world of files in memory, whose requests are done at once and taken in their order -------------------------- */
enum { FILES = 24, FILE_MAX = 1 << 20, SEGMENT = 64 << 10 };
struct orr_file {
    char name[ORRI_SNAPSHOT_NAME]; /* empty: there is none */
    unsigned char *bytes;
    size_t size;
};
struct world {
    struct orr_world w; /* first */
    struct orr_file files[FILES];
    struct orr_req *head, **tail;
};
static struct world *of(struct orr_world *w) { return (struct world *)w; }

static int over(struct orr_world *w, struct orr_req *req, int status) {
    req->status = status;
    req->next = NULL;
    *of(w)->tail = req;
    of(w)->tail = &req->next;
    return 0;
}

static struct orr_file *find(struct orr_world *w, const char *name) {
    for (size_t i = 0; i < FILES; i++) {
        if (strcmp(of(w)->files[i].name, name) == 0) return &of(w)->files[i];
    }
    return NULL;
}

static int resize(struct orr_file *f, uint64_t size) {
    if (size > FILE_MAX) return ORR_EFULL;
    unsigned char *bytes = realloc(f->bytes, size ? size : 1);
    if (!bytes) return -ENOMEM;
    if (size > f->size) memset(bytes + f->size, 0, size - f->size);
    f->bytes = bytes;
    f->size = size;
    return 0;
}

static int op_open(struct orr_world *w, struct orr_open *r) {
    r->file = find(w, r->path);
    if (!r->file && !(r->flags & ORR_F_CREATE)) return over(w, &r->req, -ENOENT);
    if (!r->file && (r->file = find(w, ""))) {
        snprintf(r->file->name, sizeof r->file->name, "%s", r->path);
        (void)resize(r->file, 0);
    }
    if (!r->file) return over(w, &r->req, ORR_EFULL);
    r->size = r->file->size;
    return over(w, &r->req, 0);
}

static int op_write(struct orr_world *w, struct orr_write *r) {
    uint64_t at = r->at;
    for (size_t i = 0; i < r->n_parts; i++) {
        if (at + r->parts[i].size > r->file->size) {
            int rc = resize(r->file, at + r->parts[i].size);
            if (rc < 0) return over(w, &r->req, rc);
        }
        if (r->parts[i].size) memcpy(r->file->bytes + at, r->parts[i].at, r->parts[i].size);
        at += r->parts[i].size;
    }
    return over(w, &r->req, 0);
}

static int op_read(struct orr_world *w, struct orr_read *r) {
    size_t left = r->at < r->file->size ? r->file->size - (size_t)r->at : 0;
    size_t size = r->size < left ? r->size : left;
    struct orr_chunk *c = w->chunks->get(w->chunks, size ? size : 1);
    if (!c) return -ENOMEM;
    if (size) memcpy(c->at, r->file->bytes + r->at, size);
    r->got = (struct orr_slice){ c, c->at, size };
    return over(w, &r->req, 0);
}

static int op_file(struct orr_world *w, struct orr_file_op *r, enum orr_op op) {
    int rc = 0;
    if (op == ORR_OP_TRUNCATE || (op == ORR_OP_PREPARE && r->at > r->file->size)) rc = resize(r->file, r->at);
    return over(w, &r->req, rc);
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static int op_name(struct orr_world *w, struct orr_name_op *r, enum orr_op op) {
    struct orr_file *f = r->path ? find(w, r->path) : NULL;
    if (op == ORR_OP_REMOVE && f) f->name[0] = 0;
    if (op == ORR_OP_RENAME && f) {
        struct orr_file *was = find(w, r->to);
        if (was && was != f) was->name[0] = 0;
        snprintf(f->name, sizeof f->name, "%s", r->to);
    }
    if (op == ORR_OP_LIST) {
        const char *names[FILES];
        size_t n = 0, size = 0;
        for (size_t i = 0; i < FILES; i++) {
            if (of(w)->files[i].name[0]) size += strlen(names[n++] = of(w)->files[i].name) + 1;
        }
        qsort(names, n, sizeof *names, by_name);
        struct orr_chunk *c = w->chunks->get(w->chunks, size + 1);
        if (!c) return -ENOMEM;
        for (size_t i = 0, at = 0; i < n; at += strlen(names[i]) + 1, i++)
            memcpy(c->at + at, names[i], strlen(names[i]) + 1);
        r->names = (struct orr_slice){ c, c->at, size };
    }
    r->free_bytes = r->total_bytes = 1 << 30;
    return over(w, &r->req, 0);
}

static orr_time op_now(struct orr_world *w) { return (void)w, 0; }
static void op_secret(struct orr_world *w, void *out, size_t size) { (void)w, memset(out, 7, size); }
static void op_log(struct orr_world *w, enum orr_level level, const char *text, size_t size) {
    (void)w, (void)level, (void)text, (void)size;
}

static const struct orr_world_ops ops = { .now = op_now,
                                          .secret = op_secret,
                                          .open = op_open,
                                          .write = op_write,
                                          .read = op_read,
                                          .file_op = op_file,
                                          .name_op = op_name,
                                          .log = op_log };

static void world_new(struct world *w) {
    memset(w, 0, sizeof *w);
    w->w = (struct orr_world){ .ops = &ops, .alloc = orr_alloc_libc, .chunks = orr_chunks_new(&orr_alloc_libc) };
    w->tail = &w->head;
}

static void world_free(struct world *w) {
    for (size_t i = 0; i < FILES; i++) free(w->files[i].bytes);
    orr_chunks_free(w->w.chunks);
}

/* -- A storage's life ---------------------------------------------------------------------------------------------- */
struct life {
    struct orr_storage *s;
    int opened; /* 1: not yet */
    size_t n_entries;
};

static void run(struct world *w, struct life *l) {
    struct orri_storage_done d;
    bool more = true;
    for (unsigned turns = 0; more || w->head; turns++) {
        if (turns > 100000) abort(); /* it never comes to rest */
        more = false;
        while (w->head) {
            struct orr_req *req = w->head;
            w->head = req->next;
            if (!w->head) w->tail = &w->head;
            req->done(req);
            more = true;
        }
        while (orri_storage_take(l->s, &d)) {
            more = true;
            if (d.kind == ORR_TAKE_OPENED) l->opened = d.status;
            if (d.kind == ORR_TAKE_FETCHED) l->n_entries += d.n_entries;
            for (size_t i = 0; i < d.n_entries; i++) {
                for (size_t k = 0; k < d.entries[i].data.size; k++)
                    l->n_entries += d.entries[i].data.at[k] == 0x7f && k > 1u << 20;
            }
        }
        if (l->opened == 0) orri_storage_flush(l->s);
    }
}

static void start(struct world *w, struct life *l) {
    struct orr_storage_config cfg;
    orri_storage_config_init(&cfg);
    cfg.segment_bytes = SEGMENT;
    *l = (struct life){ .opened = 1 };
    if (orri_storage_new(&l->s, &w->w, &cfg) < 0) abort();
    run(w, l);
}

/* A snapshot of its own, and one that comes from a peer, behind the log's end. */
static void snapshots(struct world *w, struct life *l, uint32_t g, const struct orr_boot *boot) {
    struct orr_snapshot own = { .index = boot->last, .term = 9, .config = orr_borrow("us", 2) };
    if (own.index > boot->snapshot.index && orri_storage_snapshot_begin(l->s, g, &own) == 0) {
        if (orri_storage_snapshot_write(l->s, g, orr_borrow("an image", 8)) < 0) abort();
        if (orri_storage_snapshot_finish(l->s, g) < 0) abort();
        run(w, l);
    }
    if (g != 3) return;
    struct orr_part part = { .id = 3, .data = orr_borrow("abc", 3), .done = true };
    part.snapshot = (struct orr_snapshot){ .index = boot->last + 9, .term = 9, .size = 3,
                                           .checksum = 0x78af5f94892f3950, .config = orr_borrow("x", 1) };
    if (orri_storage_part(l->s, g, &part) < 0) abort();
    run(w, l);
}

static void use(struct world *w, struct life *l) {
    for (uint32_t g = 0; g < 4; g++) {
        struct orr_boot boot;
        orri_storage_boot(l->s, g, &boot);
        if (boot.last + 1 < boot.first || boot.first > boot.snapshot.index + 1) abort();
        for (orr_index i = boot.first; i <= boot.last && i < boot.first + 300; i += 7) {
            struct orr_fetch f = { .id = 1, .from = i, .through = boot.last, .bytes_max = 5000 };
            if (orri_storage_fetch(l->s, g, &f) < 0) abort();
        }
        if (boot.snapshot.index) {
            struct orr_fetch f = { .id = 1,
                                   .kind = ORR_FETCH_SNAPSHOT,
                                   .from = boot.snapshot.index,
                                   .term = boot.snapshot.term,
                                   .bytes_max = 5000 };
            if (orri_storage_fetch(l->s, g, &f) < 0) abort();
        }
        run(w, l);
        struct orr_entry entry = {
            .index = boot.last + 1, .term = 9, .kind = ORR_ENTRY_DATA, .data = orr_borrow("new", 3)
        };
        struct orr_store store = {
            .id = 2, .state = orr_borrow("state", 5), .entries = &entry, .n_entries = g ? 1 : 0
        };
        if (boot.last < UINT64_MAX - 4 && orri_storage_store(l->s, g, &store) < 0) abort();
        orri_storage_release(l->s, g, boot.snapshot.index);
        run(w, l);
        orri_storage_boot(l->s, g, &boot);
        if (g && boot.last < UINT64_MAX - 20) snapshots(w, l, g, &boot);
    }
}

static void add_file(struct world *w, unsigned kind, uint32_t slot, const uint8_t *at, size_t size) {
    struct orr_file *f = find(&w->w, "");
    if (!f || resize(f, size) < 0) return;
    if (size) memcpy(f->bytes, at, size);
    uint32_t group = 1;
    struct orr_snapshot snapshot = { .index = slot + 1 };
    char name[ORRI_SNAPSHOT_NAME] = { 0 };
    switch (kind) {
    case 0: orri_wal_name(name, 0x0707070707070707, slot); break;
    case 1:                                         /* where it has no head that can be read, any name will do */
        (void)orri_snapshot_get_head(orr_borrow(f->bytes, size), &group, &snapshot);
        orri_snapshot_name(name, group, &snapshot);
        break;
    case 2: orri_wal_name(name, 0x0abcdef707070707, slot); break;
    case 3: orri_snapshot_tmp_name(name, slot); break;
    default: memcpy(name, at, size < 32 ? size : 32);
    }
    if (!find(&w->w, name)) memcpy(f->name, name, sizeof name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct world w;
    struct life l;
    world_new(&w);
    size_t at = 0;
    for (uint32_t slot = 0; slot < 8 && at + 4 <= size; slot++) {
        size_t content = (size_t)orri_get_le(data + at + 1, 3);
        unsigned kind = data[at] & 7;
        at += 4;
        if (content > size - at) content = size - at;
        add_file(&w, kind, slot, data + at, content);
        at += content;
    }
    start(&w, &l);
    int first = l.opened;
    if (first == 0) use(&w, &l);
    orri_storage_free(l.s);
    if (first == 0) { /* what it has written itself it can read again */
        start(&w, &l);
        if (l.opened != 0) abort();
        orri_storage_free(l.s);
    }
    world_free(&w);
    return 0;
}

#ifdef ORR_FUZZ_SEEDS
static void dump(struct world *w, const char *folder, unsigned n) {
    char path[600];
    snprintf(path, sizeof path, "%s/%02u", folder, n);
    FILE *out = fopen(path, "wb");
    if (!out) exit(2);
    for (size_t i = 0; i < FILES; i++) {
        struct orr_file *f = &w->files[i];
        size_t size = f->size;
        while (size > 0 && f->bytes[size - 1] == 0) size--;
        if (!f->name[0] || (size == 0 && i > 0)) continue;
        size = size + 200 < f->size ? size + 200 : f->size;
        unsigned char head[4] = { f->name[0] == 's' };
        orri_put_le(head + 1, size, 3);
        fwrite(head, 1, 4, out);
        fwrite(f->bytes, 1, size, out);
    }
    fclose(out);
}

static void put(struct world *w, struct life *l, uint32_t group, orr_index first, size_t n, bool truncate,
                size_t size) {
    static unsigned char bytes[40000];
    struct orr_entry entries[8];
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct orr_entry){ first + i, first, 5, i == 1 ? ORR_ENTRY_CONFIG : ORR_ENTRY_DATA,
                                         orr_borrow(bytes, size) };
    struct orr_store store = { .id = 1,
                               .state = orr_borrow("abcdefgh", group + 2),
                               .entries = entries,
                               .n_entries = group ? n : 0,
                               .truncate = truncate };
    if (orri_storage_store(l->s, group, &store) < 0) exit(2);
    run(w, l);
}

int main(int argc, char **argv) {
    static struct world w;
    struct life l;
    world_new(&w);
    if (argc < 2) return 2;
    start(&w, &l);
    dump(&w, argv[1], 0);
    put(&w, &l, 0, 0, 0, false, 0);
    dump(&w, argv[1], 1);
    put(&w, &l, 1, 1, 4, false, 20);
    put(&w, &l, 2, 1, 3, false, 40);
    put(&w, &l, 1, 3, 2, true, 3);
    dump(&w, argv[1], 2);
    struct orr_snapshot s = { .index = 3, .term = 3, .time = 5, .config = orr_borrow("config", 6) };
    if (orri_storage_snapshot_begin(l.s, 1, &s) < 0) return 2;
    if (orri_storage_snapshot_write(l.s, 1, orr_borrow("an image", 8)) < 0) return 2;
    if (orri_storage_snapshot_finish(l.s, 1) < 0) return 2;
    run(&w, &l);
    orri_storage_release(l.s, 1, 2);
    put(&w, &l, 1, 5, 1, false, 30);
    dump(&w, argv[1], 3);
    put(&w, &l, 2, 4, 1, false, 36000);
    put(&w, &l, 2, 5, 1, false, 36000);
    put(&w, &l, 2, 6, 1, false, 10);
    dump(&w, argv[1], 4);
    struct orr_part part = { .id = 3,
                             .snapshot = { .index = 90,
                                           .term = 8,
                                           .time = 6,
                                           .size = 3,
                                           .checksum = 0x78af5f94892f3950,
                                           .config = orr_borrow("x", 1) },
                             .data = orr_borrow("abc", 3),
                             .done = true };
    if (orri_storage_part(l.s, 2, &part) < 0) return 2;
    run(&w, &l);
    put(&w, &l, 2, 91, 2, false, 10);
    dump(&w, argv[1], 5);
    orri_storage_free(l.s);
    world_free(&w);
    return 0;
}
#endif
