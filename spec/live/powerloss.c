/* powerloss.c - an interposer (LD_PRELOAD) that makes kill -9 as bad as a power loss.
 *
 * After kill -9 the kernel still writes what the process had written, so killing processes proves nothing about
 * fsync. Under this library, writes to files below $POWERLOSS_DIR stay in the process's memory until fdatasync or
 * fsync of that file, and names (created, renamed, removed) until fsync of their folder: SIGKILL drops the rest. Now
 * and then some sectors of a write go to the file early, as the kernel's write-back would do it, so that unsynced
 * data is torn and not just gone.
 *
 * A created file has the name .unsynced.N.NAME until its folder is synced; the harness removes those after a kill,
 * and the interposed process doesn't see them in a listing. mkdir and fallocate take effect at once, which a power
 * loss allows. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 4096, PATH = 512, SECTOR = 512 };

struct pending {                    /* a write, or (bytes NULL) a truncation to `at` */
    struct pending *next;
    off_t at;
    size_t size;
    unsigned char bytes[];
};
struct file {                       /* an inode that this process has open */
    dev_t dev;
    ino_t ino;
    unsigned opens;
    off_t size;                     /* as the process sees it */
    struct pending *first, **last;
};
struct name {                       /* what the process sees at `path`, where that isn't durable yet */
    struct name *next;
    char path[PATH], real[PATH];    /* real empty: removed */
};
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static struct file *file_of[FDS];
static char dir_of[FDS][PATH];      /* folders that are open */
static struct name *names;
static char root[PATH];
static unsigned serial;
static uint64_t chance;

#define REAL(type, name, ...)                                                                                          \
    static type (*real)(__VA_ARGS__);                                                                                  \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *dir = getenv("POWERLOSS_DIR");
    if (dir && dir[0] == '/') snprintf(root, sizeof root, "%s", dir);
    else if (dir && getcwd(root, sizeof root - 1))
        snprintf(root + strlen(root), sizeof root - strlen(root), "/%s", dir);
    chance = (uint64_t)getpid() * 0x9E3779B97F4A7C15u;
}
static uint64_t draw(void) {
    chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
    return chance;
}

/* -- Names --------------------------------------------------------------------------------------------------------- */
static bool resolve(int at, const char *path, char *out) {
    if (path[0] == '/') snprintf(out, PATH, "%s", path);
    else if (at >= 0 && at < FDS && dir_of[at][0]) snprintf(out, PATH, "%s/%s", dir_of[at], path);
    else {
        char link[64];
        if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t n = readlink(link, out, PATH - 1);
        if (n < 0) return false;
        snprintf(out + n, PATH - (size_t)n, "/%s", path);
    }
    size_t n = strlen(root);
    return n && strncmp(out, root, n) == 0 && (out[n] == '/' || out[n] == 0);
}
static struct name *find_name(const char *path) {
    for (struct name *n = names; n; n = n->next)
        if (strcmp(n->path, path) == 0) return n;
    return NULL;
}
static struct name *put_name(const char *path, const char *real) {
    struct name *n = find_name(path);
    if (!n) {
        n = calloc(1, sizeof *n);
        if (!n) abort();
        n->next = names;
        names = n;
        snprintf(n->path, PATH, "%s", path);
    }
    snprintf(n->real, PATH, "%s", real);
    return n;
}
/* Where the bytes of `path` really are; NULL: it was removed. */
static const char *real_path(const char *path) {
    struct name *n = find_name(path);
    return !n ? path : n->real[0] ? n->real : NULL;
}
static bool parent_is(const char *path, const char *dir) {
    const char *slash = strrchr(path, '/');
    return slash && (size_t)(slash - path) == strlen(dir) && strncmp(path, dir, (size_t)(slash - path)) == 0;
}
static int real_rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    return real(from, to);
}
static int real_unlink(const char *path) {
    REAL(int, "unlink", const char *);
    return real(path);
}
/* The folder was synced: its names become what the process sees. First what has a new name, then what was removed: a
 * renamed file is under its old name until then. */
static void settle_some(const char *dir, bool removed) {
    for (struct name **at = &names; *at;) {
        struct name *n = *at;
        if (!parent_is(n->path, dir) || (n->real[0] == 0) != removed) {
            at = &n->next;
            continue;
        }
        if (removed) real_unlink(n->path);
        else if (strcmp(n->real, n->path) != 0) real_rename(n->real, n->path);
        *at = n->next;
        free(n);
    }
}
static void settle_names(const char *dir) {
    settle_some(dir, false);
    settle_some(dir, true);
}

/* -- Bytes --------------------------------------------------------------------------------------------------------- */
static ssize_t real_pwrite(int fd, const void *bytes, size_t size, off_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    return real(fd, bytes, size, at);
}
static ssize_t real_pread(int fd, void *bytes, size_t size, off_t at) {
    REAL(ssize_t, "pread64", int, void *, size_t, off_t);
    return real(fd, bytes, size, at);
}
static int real_ftruncate(int fd, off_t size) {
    REAL(int, "ftruncate64", int, off_t);
    return real(fd, size);
}
static struct file *tracked(int fd) { return fd >= 0 && fd < FDS ? file_of[fd] : NULL; }

static void track(int fd) {
    struct stat st;
    if (fd < 0 || fd >= FDS || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) return;
    for (int i = 0; i < FDS; i++)
        if (file_of[i] && file_of[i]->dev == st.st_dev && file_of[i]->ino == st.st_ino) {
            file_of[fd] = file_of[i];
            file_of[fd]->opens++;
            return;
        }
    struct file *f = calloc(1, sizeof *f);
    if (!f) abort();
    *f = (struct file){ st.st_dev, st.st_ino, 1, st.st_size, NULL, NULL };
    f->last = &f->first;
    file_of[fd] = f;
}
static void forget_pending(struct file *f) {
    for (struct pending *p = f->first, *next; p; p = next) next = p->next, free(p);
    f->first = NULL;
    f->last = &f->first;
}
static int settle(int fd, struct file *f) {
    for (struct pending *p = f->first; p; p = p->next) {
        if (p->size == SIZE_MAX) {
            if (real_ftruncate(fd, p->at) < 0) return -1;
            continue;
        }
        for (size_t done = 0; done < p->size;) {
            ssize_t n = real_pwrite(fd, p->bytes + done, p->size - done, p->at + (off_t)done);
            if (n <= 0) return -1;
            done += (size_t)n;
        }
    }
    forget_pending(f);
    return 0;
}
static struct pending *later(struct file *f, off_t at, size_t size, size_t room) {
    struct pending *p = malloc(sizeof *p + room);
    if (!p) abort();
    *p = (struct pending){ NULL, at, size };
    *f->last = p;
    f->last = &p->next;
    return p;
}
/* As write-back would: some sectors reach the file before anybody asked. They are written again, in order, by the
 * sync. */
static void leak_early(int fd, const struct pending *p) {
    if (draw() % 8) return;
    for (size_t from = 0; from < p->size; from += SECTOR) {
        size_t size = p->size - from < SECTOR ? p->size - from : SECTOR;
        if (draw() % 2 && real_pwrite(fd, p->bytes + from, size, p->at + (off_t)from) < 0) return;
    }
}
static ssize_t keep_write(int fd, const struct iovec *parts, int n, off_t at) {
    struct file *f = tracked(fd);
    size_t size = 0, done = 0;
    for (int i = 0; i < n; i++) size += parts[i].iov_len;
    struct pending *p = later(f, at, size, size);
    for (int i = 0; i < n; i++) memcpy(p->bytes + done, parts[i].iov_base, parts[i].iov_len), done += parts[i].iov_len;
    if (at + (off_t)size > f->size) f->size = at + (off_t)size;
    leak_early(fd, p);
    return (ssize_t)size;
}
static ssize_t see_read(int fd, void *out, size_t size, off_t at) {
    struct file *f = tracked(fd);
    if (at >= f->size) return 0;
    if ((off_t)size > f->size - at) size = (size_t)(f->size - at);
    memset(out, 0, size);
    if (real_pread(fd, out, size, at) < 0) return -1;
    for (const struct pending *p = f->first; p; p = p->next) {
        off_t from = p->at > at ? p->at : at, to = at + (off_t)size;
        if (p->size != SIZE_MAX && p->at + (off_t)p->size < to) to = p->at + (off_t)p->size;
        if (from >= to) continue;
        if (p->size == SIZE_MAX) memset((char *)out + (from - at), 0, (size_t)(to - from));
        else memcpy((char *)out + (from - at), p->bytes + (from - p->at), (size_t)(to - from));
    }
    return (ssize_t)size;
}

/* -- The calls ----------------------------------------------------------------------------------------------------- */
static int real_open(const char *path, int flags, mode_t mode) {
    REAL(int, "open64", const char *, int, ...);
    return real(path, flags, mode);
}
static int do_open(int at, const char *path, int flags, mode_t mode) {
    REAL(int, "openat64", int, const char *, int, ...);
    char full[PATH], fresh[2 * PATH];
    if (!root[0] || !resolve(at, path, full)) return real(at, path, flags, mode);
    pthread_mutex_lock(&lock);
    const char *where = real_path(full);
    bool exists = where && access(where, F_OK) == 0;
    int fd;
    if (!exists && flags & O_CREAT && !(flags & O_DIRECTORY)) {
        const char *slash = strrchr(full, '/');
        snprintf(fresh, sizeof fresh, "%.*s/.unsynced.%d.%u.%s", (int)(slash - full), full, (int)getpid(), serial++,
                 slash + 1);
        fd = real_open(fresh, flags, mode);
        if (fd >= 0) put_name(full, fresh);
    } else if (!exists) {
        errno = ENOENT;
        fd = -1;
    } else {
        fd = real_open(where, flags, mode);
    }
    struct stat st;
    if (fd >= 0 && fd < FDS) {
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) snprintf(dir_of[fd], PATH, "%s", full);
        else track(fd);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}
#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list args;                                                                                                  \
        va_start(args, flags);                                                                                         \
        mode = va_arg(args, mode_t);                                                                                   \
        va_end(args);                                                                                                  \
    }
int open(const char *path, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return do_open(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return do_open(at, path, flags, mode); }

int close(int fd) {
    REAL(int, "close", int);
    pthread_mutex_lock(&lock);
    struct file *f = tracked(fd);
    if (fd >= 0 && fd < FDS) dir_of[fd][0] = 0;
    if (f) {
        file_of[fd] = NULL;
        if (--f->opens == 0) forget_pending(f), free(f);     /* closed without a sync: as good as lost */
    }
    pthread_mutex_unlock(&lock);
    return real(fd);
}

static ssize_t do_write(int fd, const struct iovec *parts, int n, off_t at, bool sync);
static int do_sync(int fd, const char *call) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    pthread_mutex_lock(&lock);
    int rc = 0;
    if (tracked(fd)) rc = settle(fd, tracked(fd));
    else if (fd >= 0 && fd < FDS && dir_of[fd][0]) settle_names(dir_of[fd]);
    pthread_mutex_unlock(&lock);
    return rc < 0 ? rc : real(fd);
}
int fdatasync(int fd) { return do_sync(fd, "fdatasync"); }
int fsync(int fd) { return do_sync(fd, "fsync"); }

static ssize_t do_write(int fd, const struct iovec *parts, int n, off_t at, bool sync) {
    REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off_t);
    if (!tracked(fd)) return real(fd, parts, n, at);
    pthread_mutex_lock(&lock);
    ssize_t size = keep_write(fd, parts, n, at);
    pthread_mutex_unlock(&lock);
    return sync && fdatasync(fd) < 0 ? -1 : size;
}
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) { return do_write(fd, parts, n, at, false); }
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at) { return do_write(fd, parts, n, at, false); }
ssize_t pwritev2(int fd, const struct iovec *parts, int n, off_t at, int flags) {
    return do_write(fd, parts, n, at, (flags & (RWF_DSYNC | RWF_SYNC)) != 0);
}
ssize_t pwritev64v2(int fd, const struct iovec *parts, int n, off64_t at, int flags) {
    return pwritev2(fd, parts, n, at, flags);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    struct iovec part = { (void *)(uintptr_t)bytes, size };
    return do_write(fd, &part, 1, at, false);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) { return pwrite(fd, bytes, size, at); }

ssize_t pread(int fd, void *out, size_t size, off_t at) {
    pthread_mutex_lock(&lock);
    ssize_t n = tracked(fd) ? see_read(fd, out, size, at) : real_pread(fd, out, size, at);
    pthread_mutex_unlock(&lock);
    return n;
}
ssize_t pread64(int fd, void *out, size_t size, off64_t at) { return pread(fd, out, size, at); }

int ftruncate(int fd, off_t size) {
    if (!tracked(fd)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    later(tracked(fd), size, SIZE_MAX, 0);
    tracked(fd)->size = size;
    pthread_mutex_unlock(&lock);
    return 0;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int fallocate(int fd, int mode, off_t at, off_t size) {
    REAL(int, "fallocate64", int, int, off_t, off_t);
    int rc = real(fd, mode, at, size);
    pthread_mutex_lock(&lock);
    if (rc == 0 && mode == 0 && tracked(fd) && at + size > tracked(fd)->size) tracked(fd)->size = at + size;
    pthread_mutex_unlock(&lock);
    return rc;
}
int fallocate64(int fd, int mode, off64_t at, off64_t size) { return fallocate(fd, mode, at, size); }
int fstat(int fd, struct stat *st) {
    REAL(int, "fstat", int, struct stat *);
    int rc = real(fd, st);
    if (rc == 0 && tracked(fd)) st->st_size = tracked(fd)->size;
    return rc;
}
int fstat64(int fd, struct stat64 *st) { return fstat(fd, (struct stat *)st); }

int renameat(int from_at, const char *from, int to_at, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    char a[PATH], b[PATH], where[PATH];
    if (!root[0] || !resolve(from_at, from, a) || !resolve(to_at, to, b)) return real(from_at, from, to_at, to);
    pthread_mutex_lock(&lock);
    const char *is = real_path(a);
    int rc = is && access(is, F_OK) == 0 ? 0 : -1;
    if (rc == 0) {
        snprintf(where, sizeof where, "%s", is);
        put_name(b, where);
        put_name(a, "");
    } else {
        errno = ENOENT;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int unlinkat(int at, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    char full[PATH];
    if (!root[0] || flags || !resolve(at, path, full)) return real(at, path, flags);
    pthread_mutex_lock(&lock);
    const char *is = real_path(full);
    int rc = is && access(is, F_OK) == 0 ? 0 : -1;
    if (rc == 0) put_name(full, "");
    else errno = ENOENT;
    pthread_mutex_unlock(&lock);
    return rc;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

/* A listing shows what the process did: names that were removed, and files not yet named, are left out. */
struct dirent *readdir(DIR *d) {
    REAL(struct dirent *, "readdir64", DIR *);
    for (struct dirent *e; (e = real(d)) != NULL;) {
        char full[PATH];
        if (strncmp(e->d_name, ".unsynced.", 10) == 0) continue;
        if (root[0] && resolve(dirfd(d), e->d_name, full) && !real_path(full)) continue;
        return e;
    }
    return NULL;
}
struct dirent64 *readdir64(DIR *d) { return (struct dirent64 *)readdir(d); }
