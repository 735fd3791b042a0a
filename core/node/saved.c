/* saved.c - durable values by name: each a file, replaced as a whole (the format: orrery/host.h).
 *
 *     idle ── save ──> open ─> cut, write and sync ─> close ─> rename, sync the directory ─> told ─> idle, or the next
 *                        │ failed                       │ failed
 *                        └──────────> remove <──────────┘         the old value stands
 *
 * One writing at a time for a name, into a file of its own, so a crash leaves the old value or the new one. What is
 * saved while one is written waits, and only the last of it is written: all before it are told with it. Everything is
 * read at the start, before the host declares anything.                                                              */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "node/inner.h"

enum {
    VERSION = 1, HEAD = 16, SUM = 8, VALUES_MAX = 1024,
    PREFIX = 6, PATH = PREFIX + 3 * ORR_SAVED_NAME_MAX + 5,
    FILE_MAX = HEAD + ORR_SAVED_NAME_MAX + (1 << 30) + SUM
};
static const char prefix[PREFIX + 1] = "value-";
static const struct orr_slice nothing;

struct orri_value {
    struct orr_node *node;
    char name[ORR_SAVED_NAME_MAX + 1], path[PATH], new_path[PATH];
    struct orr_slice value;         /* the one that is saved */
    int status;                     /* -ENOENT: none; ORR_ECORRUPT */
    struct orr_slice next;          /* to be written once more, for `waiting`; */
    bool more, busy;
    struct orri_value *next_due;    /* of those that begin when the turn ends */
    struct orri_under_way *waiting, **waiting_end, *running;
    struct orr_slice writing;
    int failed;
    unsigned char head[HEAD + ORR_SAVED_NAME_MAX], sum[SUM];
    struct orr_slice parts[3];
    union {
        struct orr_req req;
        struct orr_open open;
        struct orr_write write;
        struct orr_file_op file;
        struct orr_name_op name;
    } r;
    struct orr_file *file;
    struct orr_file_op cut;         /* goes with the write */
    struct orr_name_op sync;        /* with the rename */
    unsigned under_way;
};
struct orri_reading {               /* the start */
    struct orr_node *node;
    struct orr_slice names;
    size_t at;
    struct orri_value *value;       /* being read */
    struct orr_slice got;
    union {
        struct orr_req req;
        struct orr_open open;
        struct orr_read read;
        struct orr_file_op file;
        struct orr_name_op name;
    } r;
    struct orr_file *file;
};

/* -- Names --------------------------------------------------------------------------------------------------------- */
static bool plain(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static void path_of(const char *name, char path[PATH]) {
    static const char digits[] = "0123456789ABCDEF";
    char *to = path + PREFIX;
    memcpy(path, prefix, PREFIX);
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        if (plain(*p)) {
            *to++ = (char)*p;
        } else {
            *to++ = '%';
            *to++ = digits[*p >> 4];
            *to++ = digits[*p & 15];
        }
    }
    *to = '\0';
}

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* False: no value's file (one that was being written, perhaps). */
static bool name_of(const char *path, char name[ORR_SAVED_NAME_MAX + 1]) {
    char again[PATH];
    size_t n = 0;
    if (strncmp(path, prefix, PREFIX) != 0) return false;
    for (const char *p = path + PREFIX; *p; p++) {
        bool coded = *p == '%' && digit(p[1]) >= 0 && digit(p[2]) >= 0;
        if (n == ORR_SAVED_NAME_MAX) return false;
        name[n++] = (char)(coded ? digit(p[1]) << 4 | digit(p[2]) : *p);
        if (coded) p += 2;
    }
    name[n] = '\0';
    path_of(name, again);
    return n > 0 && strcmp(again, path) == 0;       /* no other way to write it */
}

static struct orri_value *value_find(const struct orr_node *n, const char *name) {
    return orri_map_get(&n->host.values, name, strlen(name));
}

static struct orri_value *value_of(struct orr_node *n, const char *name, int *status) {
    struct orri_value *v = value_find(n, name);
    if (v) return v;
    *status = ORR_EFULL;
    if (n->host.values.n >= VALUES_MAX) return NULL;
    *status = -ENOMEM;
    v = orri_node_resize(n, NULL, 0, sizeof *v);
    if (!v) return NULL;
    *v = (struct orri_value){ .node = n, .status = -ENOENT, .waiting_end = &v->waiting };
    memcpy(v->name, name, strlen(name) + 1);
    path_of(name, v->path);
    memcpy(v->new_path, v->path, strlen(v->path));
    memcpy(v->new_path + strlen(v->path), ".new", 5);
    if (orri_map_set(&n->host.values, name, strlen(name), v, NULL) == 0) return v;
    orri_node_resize(n, v, sizeof *v, 0);
    return NULL;
}

/* -- The format ---------------------------------------------------------------------------------------------------- */
static void frame(struct orri_value *v) {
    size_t name = strlen(v->name);
    struct orr_writer w = orri_writer(v->head, sizeof v->head);
    orri_write_bytes(&w, "ORRV", 4);
    orri_write_u16(&w, VERSION);
    orri_write_u16(&w, (uint16_t)name);
    orri_write_u64(&w, v->writing.size);
    orri_write_bytes(&w, v->name, name);
    v->parts[0] = orr_borrow(v->head, (size_t)(w.at - v->head));
    v->parts[1] = v->writing;
    orri_put_le(v->sum, orri_hash64_slices(v->parts, 2, 0), SUM);
    v->parts[2] = orr_borrow(v->sum, SUM);
}

static int unframe(struct orri_value *v, struct orr_slice file) {
    struct orr_reader r = orri_reader(file.at, file.size);
    struct orr_slice magic = orri_read_bytes(&r, 4);
    unsigned version = orri_read_u16(&r), name_size = orri_read_u16(&r);
    uint64_t size = orri_read_u64(&r);
    struct orr_slice name = orri_read_bytes(&r, name_size);
    if (r.failed || memcmp(magic.at, "ORRV", 4) != 0 || version != VERSION || size > orri_left(&r)) return ORR_ECORRUPT;
    if (name.size != strlen(v->name) || memcmp(name.at, v->name, name.size) != 0) return ORR_ECORRUPT;
    size_t at = HEAD + name.size;
    if (file.size != at + size + SUM) return ORR_ECORRUPT;
#ifndef ORR_FUZZING
    if (orri_hash64(file.at, at + size, 0) != orri_get_le(file.at + at + size, SUM)) return ORR_ECORRUPT;
#endif
    v->value = orr_hold(orr_part_of(file, at, size));
    return 0;
}

/* -- Saving -------------------------------------------------------------------------------------------------------- */
static void begin(struct orri_value *v);

static void tell_all(struct orri_value *v, int status) {
    struct orri_under_way *u;
    while ((u = v->running)) {
        v->running = u->next_save;
        orri_wait_tell(u, status, nothing);
    }
}

static void over(struct orri_value *v, int status) {
    struct orr_node *n = v->node;
    if (status == 0) {
        orr_drop(v->value);
        v->value = v->writing;
        v->status = 0;
    } else {
        orr_drop(v->writing);
        orri_node_log(n, ORR_LOG_WARN, "%s could not be saved: %s", v->name, orr_strerror(status));
    }
    v->writing = nothing;
    v->busy = false;
    n->host.n_saving--;
    tell_all(v, status);
    if (v->more) begin(v);
}

static struct orr_req *step(struct orri_value *v, struct orr_req *req, void (*done)(struct orr_req *)) {
    *req = (struct orr_req){ .done = done, .owner = v };
    v->under_way++;
    return req;
}

/* What could not be submitted is over at once. */
static void stepped(struct orr_req *req, int rc) {
    if (rc == 0) return;
    req->status = rc;
    req->done(req);
}

static struct orri_value *ended(struct orr_req *req) {
    struct orri_value *v = req->owner;
    v->under_way--;
    if (req->status < 0 && v->failed == 0) v->failed = req->status;
    return v->under_way ? NULL : v;
}

static void on_removed(struct orr_req *req) {
    struct orri_value *v = req->owner;
    v->under_way--;                                 /* whatever became of it: the next writing begins with a cut */
    over(v, v->failed);
}

static void on_named(struct orr_req *req) {
    struct orri_value *v = ended(req);
    if (v) over(v, v->failed);
}

static void on_closed(struct orr_req *req) {
    struct orri_value *v = ended(req);
    const struct orr_world_ops *ops = v->node->w->ops;
    v->r.name = (struct orr_name_op){ .path = v->new_path, .to = v->path };
    if (v->failed < 0) {
        step(v, &v->r.req, on_removed);
        stepped(&v->r.req, ops->name_op(v->node->w, &v->r.name, ORR_OP_REMOVE));
        return;
    }
    v->sync = (struct orr_name_op){ 0 };
    step(v, &v->r.req, on_named);
    step(v, &v->sync.req, on_named);                /* before either is submitted: neither may end it alone */
    int rc = ops->name_op(v->node->w, &v->r.name, ORR_OP_RENAME);
    int sync = rc < 0 ? rc : ops->name_op(v->node->w, &v->sync, ORR_OP_SYNC_DIR);
    stepped(&v->r.req, rc);
    stepped(&v->sync.req, sync);
}

static void on_written(struct orr_req *req) {
    struct orri_value *v = ended(req);
    if (!v) return;
    v->r.file = (struct orr_file_op){ .file = v->file };
    step(v, &v->r.req, on_closed);
    stepped(&v->r.req, v->node->w->ops->file_op(v->node->w, &v->r.file, ORR_OP_CLOSE));
}

static void on_opened(struct orr_req *req) {
    struct orri_value *v = ended(req);
    const struct orr_world_ops *ops = v->node->w->ops;
    if (v->failed < 0) {
        over(v, v->failed);
        return;
    }
    v->file = v->r.open.file;
    frame(v);
    v->cut = (struct orr_file_op){ .file = v->file };
    v->r.write = (struct orr_write){ .file = v->file, .parts = v->parts, .n_parts = 3, .flags = ORR_W_SYNC };
    step(v, &v->cut.req, on_written);
    step(v, &v->r.req, on_written);
    int rc = ops->file_op(v->node->w, &v->cut, ORR_OP_TRUNCATE);
    int write = rc < 0 ? rc : ops->write(v->node->w, &v->r.write);
    stepped(&v->cut.req, rc);
    stepped(&v->r.req, write);
}

static void begin(struct orri_value *v) {
    v->writing = v->next;
    v->next = nothing;
    v->more = false;
    v->busy = true;
    v->failed = 0;
    v->running = v->waiting;
    v->waiting = NULL;
    v->waiting_end = &v->waiting;
    v->node->host.n_saving++;
    v->r.open = (struct orr_open){ .path = v->new_path, .flags = ORR_F_CREATE };
    step(v, &v->r.req, on_opened);
    stepped(&v->r.req, v->node->w->ops->open(v->node->w, &v->r.open));
}

static bool take_out(struct orri_under_way **at, struct orri_under_way *u) {
    while (*at && *at != u) at = &(*at)->next_save;
    if (!*at) return false;
    *at = u->next_save;
    return true;
}

void orri_saved_forget(struct orri_under_way *u) {
    struct orri_value *v = u->saving;
    if (!v || take_out(&v->running, u) || !take_out(&v->waiting, u)) return;
    v->waiting_end = &v->waiting;
    while (*v->waiting_end) v->waiting_end = &(*v->waiting_end)->next_save;
}

static int held(struct orr_node *n, struct orr_slice value, struct orr_slice *out) {
    *out = orr_hold(value);
    if (value.chunk || value.size == 0) return 0;
    struct orr_chunk *c = n->w->chunks->get(n->w->chunks, value.size);
    if (!c) return -ENOMEM;
    memcpy(c->at, value.at, value.size);
    *out = (struct orr_slice){ c, c->at, value.size };
    return 0;
}

static int may_save(const struct orr_node *n, const char *name, size_t size) {
    size_t length = name ? strlen(name) : 0;
    if (length == 0 || length > ORR_SAVED_NAME_MAX) return ORR_EINVALID;
    if (size > n->cfg.op_bytes_max) return ORR_EOVERLOADED;
    if (!n->host.ops || n->closing || n->phase < ORRI_NODE_NAMING || n->phase > ORRI_NODE_LEAVING)
        return ORR_EUNAVAILABLE;
    return n->disk_full ? ORR_EFULL : 0;
}

int orr_node_save(struct orr_node *n, struct orr_wait *w, const char *name, struct orr_slice value) {
    if (name && strncmp(name, ORRI_SAVED_OWN, strlen(ORRI_SAVED_OWN)) == 0) return ORR_EINVALID;
    return orri_saved_put(n, w, name, value);
}

int orri_saved_put(struct orr_node *n, struct orr_wait *w, const char *name, struct orr_slice value) {
    struct orr_slice kept = nothing;
    int rc = may_save(n, name, value.size);
    struct orri_value *v = rc == 0 ? value_of(n, name, &rc) : NULL;
    if (v) rc = held(n, value, &kept);
    struct orri_under_way *u = rc == 0 ? orri_wait_new(n, w, ORRI_IS_SAVE, &rc) : NULL;
    if (!u) {
        orr_drop(kept);
        return rc;
    }
    u->saving = v;
    *v->waiting_end = u;
    v->waiting_end = &u->next_save;
    orr_drop(v->next);
    v->next = kept;
    if (!v->more && !v->busy) {
        v->next_due = n->host.due;
        n->host.due = v;
    }
    v->more = true;
    orri_host_wake(n);
    return 0;
}

void orri_saved_flush(struct orr_node *n) {
    struct orri_value *v;
    while ((v = n->host.due)) {
        n->host.due = v->next_due;
        begin(v);
    }
}

int orr_node_load(const struct orr_node *n, const char *name, struct orr_slice *out) {
    const struct orri_value *v = name ? value_find(n, name) : NULL;
    if (!v) return -ENOENT;
    if (v->status == 0) *out = v->value;
    return v->status;
}

/* -- The start ----------------------------------------------------------------------------------------------------- */
static void read_next(struct orri_reading *r);

static void reading_free(struct orri_reading *r) {
    struct orr_node *n = r->node;
    orr_drop(r->names);
    n->host.reading = NULL;
    orri_node_resize(n, r, sizeof *r, 0);
}

static void damaged(struct orri_reading *r, int status, const char *what) {
    struct orri_value *v = r->value;
    v->status = ORR_ECORRUPT;
    orri_node_log(r->node, ORR_LOG_ERROR, "the saved value %s (%s) is lost: %s: %s", v->name, v->path, what,
                  orr_strerror(status));
}

static void on_read_closed(struct orr_req *req) { read_next(req->owner); }

static void read_close(struct orri_reading *r) {
    r->r.file = (struct orr_file_op){ .req = { .done = on_read_closed, .owner = r }, .file = r->file };
    stepped(&r->r.req, r->node->w->ops->file_op(r->node->w, &r->r.file, ORR_OP_CLOSE));
}

static void on_read(struct orr_req *req) {
    struct orri_reading *r = req->owner;
    struct orr_slice got = r->r.read.got;
    if (req->status < 0) {
        damaged(r, req->status, "it can't be read");
    } else {
        r->value->status = unframe(r->value, got);
        if (r->value->status < 0) damaged(r, ORR_ECORRUPT, "its checksum or head is wrong");
        orr_drop(got);
    }
    read_close(r);
}

static void on_read_opened(struct orr_req *req) {
    struct orri_reading *r = req->owner;
    uint64_t size = r->r.open.size;
    r->file = r->r.open.file;
    if (req->status < 0) {
        damaged(r, req->status, "it can't be opened");
        read_next(r);
    } else if (size > FILE_MAX) {
        damaged(r, ORR_ECORRUPT, "it is too large");
        read_close(r);
    } else {
        r->r.read = (struct orr_read){ .req = { .done = on_read, .owner = r }, .file = r->file, .size = (size_t)size };
        stepped(&r->r.req, r->node->w->ops->read(r->node->w, &r->r.read));
    }
}

static void read_next(struct orri_reading *r) {
    struct orr_node *n = r->node;
    char name[ORR_SAVED_NAME_MAX + 1];
    int status = 0;
    while (r->at < r->names.size) {
        const char *path = (const char *)r->names.at + r->at;
        r->at += strlen(path) + 1;
        if (!name_of(path, name)) continue;
        r->value = value_of(n, name, &status);
        if (!r->value) {
            orri_node_fail(n, 4, "the saved value %s can't be read: %s", name, orr_strerror(status));
            break;
        }
        r->r.open = (struct orr_open){ .req = { .done = on_read_opened, .owner = r }, .path = r->value->path,
                                       .flags = ORR_F_READONLY };
        stepped(&r->r.req, n->w->ops->open(n->w, &r->r.open));
        return;
    }
    reading_free(r);
    if (!orri_node_dead(n)) orri_host_declare(n);
}

static void on_listed(struct orr_req *req) {
    struct orri_reading *r = req->owner;
    if (req->status == 0) {
        r->names = r->r.name.names;
    } else {
        orri_node_fail(r->node, 4, "the node's directory can't be read: %s", orr_strerror(req->status));
    }
    read_next(r);
}

void orri_saved_read(struct orr_node *n) {
    struct orri_reading *r = orri_node_resize(n, NULL, 0, sizeof *r);
    if (!r) {
        orri_node_fail(n, 4, "memory is out");
        return;
    }
    *r = (struct orri_reading){ .node = n, .r.name.req = { .done = on_listed, .owner = r } };
    n->host.reading = r;
    stepped(&r->r.req, n->w->ops->name_op(n->w, &r->r.name, ORR_OP_LIST));
}

/* -- The end ------------------------------------------------------------------------------------------------------- */
bool orri_saved_idle(const struct orr_node *n) { return n->host.n_saving == 0 && !n->host.due; }

void orri_saved_clear(struct orr_node *n) {
    struct orr_map_entry *e;
    if (n->host.reading) reading_free(n->host.reading);
    for (size_t at = 0; (e = orri_map_each(&n->host.values, &at));) {
        struct orri_value *v = e->value;
        orr_drop(v->value);
        orr_drop(v->next);
        orr_drop(v->writing);
        orri_node_resize(n, v, sizeof *v, 0);
    }
    orri_map_clear(&n->host.values);
}
