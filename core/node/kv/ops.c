/* ops.c - what each op does. One function an op; the state's functions keep digest and snapshots right.
 *
 * An op first looks and judges, then changes, so that an error or a failed condition leaves everything as it was (but
 * for keys whose time had come: those it met are removed, on every replica alike). Return: 0, or -ENOMEM. */
#include <errno.h>
#include <string.h>

#include "node/kv/kv.h"

#define NOT_INTEGER "ERR value is not an integer or out of range"
#define TOO_LONG "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

typedef int (*op_fn)(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink);

/* When the key shall end; 0: never. Saturates: the far future is as good as never. */
static int64_t ends_of(const struct orri_kv_args *args, const struct orr_at *at) {
    int64_t now = orri_kv_ms(at);
    if (!(args->flags & ORR_KV_TIMED)) return 0;
    if (!(args->flags & ORR_KV_RELATIVE)) return args->a;
    return args->a > INT64_MAX - now ? INT64_MAX : args->a + now;
}

static bool is_past(const struct orri_kv_args *args, const struct orr_at *at, int64_t ends) {
    return (args->flags & ORR_KV_TIMED) && (ends <= orri_kv_ms(at) || ends <= 0);
}

static bool equal(const struct orri_kv_entry *e, struct orr_slice value) {
    return e->value_size == value.size && memcmp(orri_kv_value(e), value.at, value.size) == 0;
}

static int do_seed(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    (void)m;                        /* orr_kv_machine's apply has done it */
    (void)at;
    (void)args;
    return orri_kv_nil(sink);
}

static bool may_set(const struct orri_kv *m, const struct orr_at *at, const struct orri_kv_args *args,
                    const struct orri_kv_entry *e) {
    if ((args->flags & ORR_KV_NX) && e) return false;
    if ((args->flags & ORR_KV_XX) && !e) return false;
    if ((args->flags & ORR_KV_IFEQ) && !(e && args->n == 3 && equal(e, args->arg[2]))) return false;
    return !(args->flags & ORR_KV_IFVERSION) || orri_kv_version(m, at, args->arg[0]) == (uint64_t)args->b;
}

static int say_not_set(const struct orri_kv_args *args, struct orr_sink *sink) {
    if (args->flags & ORR_KV_WITH_GET) return 0;                /* the old value was said */
    if (args->flags & ORR_KV_INTEGER) return orri_kv_integer(sink, 0);
    if (!(args->flags & ORR_KV_IFVERSION)) return orri_kv_nil(sink);
    return orri_kv_error(sink, ORR_ECONFLICT, "CONFLICT the key has another version");
}

static int do_set(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot spot;
    orri_kv_look(m, at, args->arg[0], &spot);
    const struct orri_kv_entry *e = orri_kv_at(&spot);
    if (args->flags & ORR_KV_WITH_GET) orri_kv_value_or_nil(sink, e);
    if (!may_set(m, at, args, e)) return say_not_set(args, sink);
    int64_t ends = ends_of(args, at);
    if (e && (args->flags & ORR_KV_KEEPTTL)) ends = orri_kv_ends(m->live, e);
    int status = 0;
    if (!is_past(args, at, ends)) status = orri_kv_store(m, at, &spot, args->arg[1], ends);
    else if (e) orri_kv_drop(m, at, &spot);
    if (status < 0 || (args->flags & ORR_KV_WITH_GET)) return status;
    return args->flags & ORR_KV_INTEGER ? orri_kv_integer(sink, 1) : orri_kv_ok(sink);
}

/* Are all the keys (each second argument) absent? */
static bool all_absent(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args args) {
    bool absent = true;
    for (size_t i = 0; i < args.n; i += 2) {
        struct orri_kv_spot spot;
        orri_kv_warm(m, &args, i, 2);
        orri_kv_look(m, at, orri_kv_next_arg(&args), &spot);
        (void)orri_kv_next_arg(&args);
        if (spot.link) absent = false;
    }
    return absent;
}

static int do_mset(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    if ((args->flags & ORR_KV_NX) && !all_absent(m, at, *args)) return orri_kv_integer(sink, 0);
    for (size_t i = 0; i < args->n; i += 2) {
        struct orri_kv_spot spot;
        orri_kv_warm(m, args, i, 2);
        orri_kv_look(m, at, orri_kv_next_arg(args), &spot);
        if (orri_kv_store(m, at, &spot, orri_kv_next_arg(args), 0) < 0) return -ENOMEM;
    }
    return args->flags & ORR_KV_INTEGER ? orri_kv_integer(sink, 1) : orri_kv_ok(sink);
}

/* Puts `with` into the value at `offset`, which lies within it, at its end,
 * or behind (zeros between). The end stays. */
static int overwrite(struct orri_kv *m, const struct orr_at *at, struct orri_kv_spot *spot, size_t offset,
                     struct orr_slice with, struct orr_sink *sink) {
    struct orri_kv_entry *e = orri_kv_at(spot);
    size_t old_size = e ? e->value_size : 0, size = offset + with.size;
    if (size < old_size) size = old_size;
    if (orri_kv_open(m, spot, (uint32_t)size, &e) < 0) return -ENOMEM;
    unsigned char *value = e->bytes + e->key_size;
    if (offset > old_size) memset(value + old_size, 0, offset - old_size);
    if (with.size) memcpy(value + offset, with.at, with.size);
    orri_kv_close(m, at, e);
    return orri_kv_integer(sink, (int64_t)size);
}

static int do_append(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot spot;
    orri_kv_look(m, at, args->arg[0], &spot);
    size_t old_size = spot.link ? (*spot.link)->value_size : 0;
    if (old_size + args->arg[1].size > ORR_KV_VALUE_MAX) return orri_kv_error(sink, ORR_EINVALID, TOO_LONG);
    return overwrite(m, at, &spot, old_size, args->arg[1], sink);
}

static int do_setrange(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot spot;
    orri_kv_look(m, at, args->arg[0], &spot);
    if (args->a < 0) return orri_kv_error(sink, ORR_EINVALID, "ERR offset is out of range");
    if (args->arg[1].size == 0) return orri_kv_integer(sink, spot.link ? (*spot.link)->value_size : 0);
    if ((uint64_t)args->a + args->arg[1].size > ORR_KV_VALUE_MAX) return orri_kv_error(sink, ORR_EINVALID, TOO_LONG);
    return overwrite(m, at, &spot, (size_t)args->a, args->arg[1], sink);
}

/* A number's new text in place of the old; the end stays. */
static int put_text(struct orri_kv *m, const struct orr_at *at, struct orri_kv_spot *spot, const char *text,
                    size_t size) {
    struct orri_kv_entry *e;
    if (orri_kv_open(m, spot, (uint32_t)size, &e) < 0) return -ENOMEM;
    memcpy(e->bytes + e->key_size, text, size);
    orri_kv_close(m, at, e);
    return 0;
}

static int do_add(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot spot;
    int64_t v = 0;
    orri_kv_look(m, at, args->arg[0], &spot);
    const struct orri_kv_entry *e = orri_kv_at(&spot);
    if (e && !orri_kv_read_int(orr_borrow(orri_kv_value(e), e->value_size), &v)) {
        return orri_kv_error(sink, ORR_EINVALID, NOT_INTEGER);
    }
    if (__builtin_add_overflow(v, args->a, &v)) {
        return orri_kv_error(sink, ORR_EINVALID, "ERR increment or decrement would overflow");
    }
    char text[ORRI_KV_DIGITS];
    if (put_text(m, at, &spot, text, orri_kv_write_int(text, v)) < 0) return -ENOMEM;
    return orri_kv_integer(sink, v);
}

static int do_add_float(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot spot;
    __int128 v = 0, by;
    char text[ORRI_KV_DECIMAL];
    orri_kv_look(m, at, args->arg[0], &spot);
    const struct orri_kv_entry *e = orri_kv_at(&spot);
    if ((e && !orri_kv_read_decimal(orr_borrow(orri_kv_value(e), e->value_size), &v)) ||
        !orri_kv_read_decimal(args->arg[1], &by)) {
        return orri_kv_error(sink, ORR_EINVALID, "ERR value is not a valid float");
    }
    size_t size = orri_kv_write_decimal(text, v + by);
    __int128 again;                 /* a sum that could not be read back is out of range */
    if (!orri_kv_read_decimal(orr_borrow(text, size), &again)) {
        return orri_kv_error(sink, ORR_EINVALID, "ERR increment would produce NaN or Infinity");
    }
    if (put_text(m, at, &spot, text, size) < 0) return -ENOMEM;
    return orri_kv_text(sink, text, size);
}

static int do_del(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    int64_t n = 0;
    for (size_t i = 0; i < args->n; i++) {
        struct orri_kv_spot spot;
        orri_kv_warm(m, args, i, 1);
        orri_kv_look(m, at, orri_kv_next_arg(args), &spot);
        if ((args->flags & ORR_KV_WITH_GET) && i == 0) orri_kv_value_or_nil(sink, orri_kv_at(&spot));
        if (!spot.link) continue;
        orri_kv_drop(m, at, &spot);
        n++;
    }
    return args->flags & ORR_KV_WITH_GET ? 0 : orri_kv_integer(sink, n);
}

/* Gives the key another end (0: none), or removes it when that is past. */
static int set_ends(struct orri_kv *m, const struct orr_at *at, struct orri_kv_spot *spot, bool past, int64_t ends) {
    struct orri_kv_entry *e;
    if (past) {
        orri_kv_drop(m, at, spot);
        return 0;
    }
    if (orri_kv_open(m, spot, (*spot->link)->value_size, &e) < 0) return -ENOMEM;
    int status = orri_kv_set_ends(m->live, e, ends);
    orri_kv_close(m, at, e);
    return status;
}

/* No end counts as one infinitely far away. */
static bool may_expire(unsigned flags, int64_t now_ends, int64_t ends) {
    if ((flags & ORR_KV_NX) && now_ends) return false;
    if ((flags & ORR_KV_XX) && !now_ends) return false;
    if ((flags & ORR_KV_GT) && (!now_ends || ends <= now_ends)) return false;
    return !((flags & ORR_KV_LT) && now_ends && ends >= now_ends);
}

static int do_expire(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot spot;
    args->flags |= ORR_KV_TIMED;
    int64_t ends = ends_of(args, at);
    orri_kv_look(m, at, args->arg[0], &spot);
    if (!spot.link || !may_expire(args->flags, orri_kv_ends(m->live, *spot.link), ends))
        return orri_kv_integer(sink, 0);
    if (set_ends(m, at, &spot, is_past(args, at, ends), ends) < 0) return -ENOMEM;
    return orri_kv_integer(sink, 1);
}

static int do_persist(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot spot;
    orri_kv_look(m, at, args->arg[0], &spot);
    bool had = spot.link && orri_kv_ends(m->live, *spot.link) != 0;
    if (args->flags & ORR_KV_WITH_GET) orri_kv_value_or_nil(sink, orri_kv_at(&spot));
    if (had && set_ends(m, at, &spot, false, 0) < 0) return -ENOMEM;
    return args->flags & ORR_KV_WITH_GET ? 0 : orri_kv_integer(sink, had);
}

static int do_get_expire(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot spot;
    args->flags |= ORR_KV_TIMED;
    int64_t ends = ends_of(args, at);
    orri_kv_look(m, at, args->arg[0], &spot);
    orri_kv_value_or_nil(sink, orri_kv_at(&spot));
    return spot.link ? set_ends(m, at, &spot, is_past(args, at, ends), ends) : 0;
}

/* `to` is written first, from the bytes of `from`, which stay where they are meanwhile. */
static int move(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args) {
    struct orri_kv_spot from, to;
    orri_kv_look(m, at, args->arg[0], &from);
    orri_kv_look(m, at, args->arg[1], &to);
    const struct orri_kv_entry *e = *from.link;
    int64_t ends = orri_kv_ends(m->live, e);
    if (orri_kv_store(m, at, &to, orr_borrow(orri_kv_value(e), e->value_size), ends) < 0) return -ENOMEM;
    orri_kv_look(m, at, args->arg[0], &from);       /* the table has changed: find it again */
    orri_kv_drop(m, at, &from);
    return 0;
}

static int do_rename(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct orri_kv_spot from, to;
    bool nx = args->flags & ORR_KV_NX;
    orri_kv_look(m, at, args->arg[1], &to);
    orri_kv_look(m, at, args->arg[0], &from);
    if (!from.link) return orri_kv_error(sink, ORR_EINVALID, "ERR no such key");
    bool same = args->arg[0].size == args->arg[1].size &&
                memcmp(args->arg[0].at, args->arg[1].at, args->arg[0].size) == 0;
    if (nx && (same || to.link)) return orri_kv_integer(sink, 0);
    if (!same && move(m, at, args) < 0) return -ENOMEM;
    return nx ? orri_kv_integer(sink, 1) : orri_kv_ok(sink);
}

static int do_flush(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    (void)args;
    if (orri_kv_flush(m, at) < 0) return -ENOMEM;
    return orri_kv_ok(sink);
}

static const op_fn ops[] = {
    [ORR_KV_SEED] = do_seed,         [ORR_KV_SET] = do_set,         [ORR_KV_MSET] = do_mset,
    [ORR_KV_APPEND] = do_append,     [ORR_KV_SETRANGE] = do_setrange, [ORR_KV_ADD] = do_add,
    [ORR_KV_ADD_FLOAT] = do_add_float, [ORR_KV_DEL] = do_del,       [ORR_KV_EXPIRE] = do_expire,
    [ORR_KV_PERSIST] = do_persist,   [ORR_KV_GET_EXPIRE] = do_get_expire, [ORR_KV_RENAME] = do_rename,
    [ORR_KV_FLUSH] = do_flush,
};

int orri_kv_apply(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    if (args->code >= sizeof ops / sizeof *ops) return orri_kv_error(sink, ORR_EINVALID, "ERR not an op");
    return ops[args->code](m, at, args, sink);
}
