/* names.c - the node's directory: made, locked, and the names in it.
 *
 * A name is "file" or "dir/file"; the dir is made when it is first needed. The file LOCK is ours: it is locked with
 * flock for as long as the loop lives, so a second process, or a second loop of this one, is refused. Names never leave
 * the directory: no absolute ones, no dots alone, and no symbolic link is followed at the last step.                 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "loop/inner.h"

static const char lock_name[] = "LOCK";

static bool part_ok(const char *at, size_t size) {
    if (size == 0 || size > NAME_MAX) return false;
    return !(at[0] == '.' && (size == 1 || (size == 2 && at[1] == '.')));
}

bool orri_name_ok(const char *path) {
    if (!path || strcmp(path, lock_name) == 0) return false;
    const char *slash = strchr(path, '/');
    if (!slash) return part_ok(path, strlen(path));
    return part_ok(path, (size_t)(slash - path)) && part_ok(slash + 1, strlen(slash + 1)) && !strchr(slash + 1, '/');
}

/* -- At the start -------------------------------------------------------------------------------------------------- */
static int sync_path(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int error = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return error;
}

/* mkdir -p. What it makes is durable: its parent is synced. `path` is changed while it runs. */
static int make_dirs(char *path) {
    for (char *end = path + 1;; end++) {
        if (*end != '/' && *end != '\0') continue;
        char kept = *end;
        *end = '\0';
        int error = mkdir(path, 0700) == 0 ? 0 : -errno;
        if (error == 0) {
            char *slash = strrchr(path, '/');
            if (slash && slash != path) *slash = '\0';
            error = sync_path(!slash ? "." : slash == path ? "/" : path);
            if (slash) *slash = '/';
        } else if (error == -EEXIST) {
            error = 0;
        }
        *end = kept;
        if (error != 0 || kept == '\0') return error;
    }
}

static int lock_take(struct orri_disk *disk) {
    char pid[32];
    int fd = openat(disk->dir, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno == EWOULDBLOCK ? ORR_EBUSY : -errno;
        close(fd);
        return error;
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());     /* for people; no reason not to start if it fails */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) < 0) errno = 0;
    disk->lock_fd = fd;
    return 0;
}

int orri_open_dir(struct orr_world *w) {
    struct orr_loop *loop = orri_loop(w);
    struct orri_disk *disk = &loop->disk;
    if (!loop->dir) return ORR_EUNAVAILABLE;
    if (loop->halted) return ORR_ECLOSED;
    if (disk->dir >= 0) return 0;
    if (loop->dir[0] == '\0') return ORR_EINVALID;
    int error = make_dirs(loop->dir);
    if (error != 0) return error;
    disk->dir = open(loop->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->dir < 0) return -errno;
    error = lock_take(disk);
    if (error != 0) {
        close(disk->dir);
        disk->dir = -1;
    }
    return error;
}

/* -- On a disk thread ---------------------------------------------------------------------------------------------- */
/* Makes the directory part of a name; false when there is none, or it was there. */
static bool make_parent(struct orri_disk *disk, const char *path) {
    char parent[NAME_MAX + 1];
    const char *slash = strchr(path, '/');
    if (!slash) return false;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    return mkdirat(disk->dir, parent, 0700) == 0;
}

/* ORR_F_DIRECT is not followed: it gains nothing measurable here and forbids slices that lie anywhere. */
int orri_names_open(struct orri_disk *disk, const struct orr_open *r) {
    int flags = O_CLOEXEC | O_NOFOLLOW | (r->flags & ORR_F_READONLY ? O_RDONLY : O_RDWR);
    if (r->flags & ORR_F_CREATE) flags |= O_CREAT;
    if (r->flags & ORR_F_EXCLUSIVE) flags |= O_EXCL;
    int fd;
    do fd = openat(disk->dir, r->path, flags, 0600);
    while (fd < 0 && (errno == EINTR || (errno == ENOENT && (flags & O_CREAT) && make_parent(disk, r->path))));
    return fd;
}

static int rename_name(struct orri_disk *disk, const struct orr_name_op *r) {
    int failed;
    do failed = renameat(disk->dir, r->path, disk->dir, r->to);
    while (failed && errno == ENOENT && make_parent(disk, r->to));
    return failed ? orri_errno() : 0;
}

/* Calls fn for each entry of a directory of ours, "." being ours itself. */
typedef int (*entry_fn)(struct orri_disk *disk, const char *dir, const char *name, bool is_dir, void *ud);

static bool entry_is_dir(int dir, const struct dirent *e) {
    struct stat s;
    if (e->d_type != DT_UNKNOWN) return e->d_type == DT_DIR;
    return fstatat(dir, e->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode);
}

static int each_entry(struct orri_disk *disk, const char *dir, entry_fn fn, void *ud) {
    int fd = openat(disk->dir, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), error = 0;
    if (fd < 0) return orri_errno();
    DIR *entries = fdopendir(fd);
    if (!entries) {
        error = orri_errno();
        close(fd);
        return error;
    }
    errno = 0;
    for (struct dirent *e = readdir(entries); e && error == 0; errno = 0, e = readdir(entries))
        if (part_ok(e->d_name, strlen(e->d_name))) error = fn(disk, dir, e->d_name, entry_is_dir(fd, e), ud);
    if (error == 0 && errno != 0) error = orri_errno();
    closedir(entries);
    return error;
}

struct found {
    char **names;
    size_t n, cap, bytes;
};

static int found_add(struct orri_disk *disk, const char *dir, const char *name, bool is_dir, void *ud) {
    struct found *found = ud;
    bool top = strcmp(dir, ".") == 0;
    char *path;
    if (is_dir) return top ? each_entry(disk, name, found_add, ud) : 0;
    if (top && strcmp(name, lock_name) == 0) return 0;
    if (found->n == found->cap) {
        size_t cap = found->cap ? 2 * found->cap : 32;
        char **grown = realloc(found->names, cap * sizeof *grown);
        if (!grown) return -ENOMEM;
        found->names = grown;
        found->cap = cap;
    }
    int n = top ? asprintf(&path, "%s", name) : asprintf(&path, "%s/%s", dir, name);
    if (n < 0) return -ENOMEM;
    found->names[found->n++] = path;
    found->bytes += (size_t)n + 1;
    return 0;
}

static int bytewise(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The names as one block of libc's memory, which file.c copies into a chunk and frees. */
static int list_names(struct orri_disk *disk, struct orr_name_op *r) {
    struct found found = { NULL, 0, 0, 0 };
    int error = each_entry(disk, ".", found_add, &found);
    char *all = error == 0 && found.n > 0 ? malloc(found.bytes) : NULL;
    if (found.n > 0 && error == 0 && !all) error = -ENOMEM;
    if (all) {
        size_t at = 0;
        qsort(found.names, found.n, sizeof *found.names, bytewise);
        for (size_t i = 0; i < found.n; i++) {
            size_t size = strlen(found.names[i]) + 1;
            memcpy(all + at, found.names[i], size);
            at += size;
        }
        r->names = orr_borrow(all, found.bytes);
        r->req.result = found.n;
    }
    for (size_t i = 0; i < found.n; i++) free(found.names[i]);
    free(found.names);
    return error;
}

static int sync_entry(struct orri_disk *disk, const char *dir, const char *name, bool is_dir, void *ud) {
    (void)dir, (void)ud;
    if (!is_dir) return 0;
    int fd = openat(disk->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return orri_errno();
    int error = disk->system->fsync(fd) == 0 ? 0 : ORR_EPOISONED;
    close(fd);
    return error;
}

/* Every subdirectory, then the directory that names them. */
static int sync_dirs(struct orri_disk *disk) {
    int error = each_entry(disk, ".", sync_entry, NULL);
    if (error == 0 && disk->system->fsync(disk->dir) != 0) error = ORR_EPOISONED;
    atomic_fetch_add(&disk->syncs, 1);
    return error;
}

static int space(struct orri_disk *disk, struct orr_name_op *r) {
    struct statvfs s;
    if (fstatvfs(disk->dir, &s) != 0) return orri_errno();
    r->free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
    r->total_bytes = (uint64_t)s.f_blocks * s.f_frsize;
    return 0;
}

int orri_names_run(struct orri_disk *disk, struct orr_req *req) {
    struct orr_name_op *r = (struct orr_name_op *)(void *)req;
    switch (req->op) {
    case ORR_OP_RENAME: return rename_name(disk, r);
    case ORR_OP_REMOVE: return unlinkat(disk->dir, r->path, 0) == 0 ? 0 : orri_errno();
    case ORR_OP_LIST: return list_names(disk, r);
    case ORR_OP_SYNC_DIR: return sync_dirs(disk);
    case ORR_OP_SPACE: return space(disk, r);
    default: return ORR_EINVALID;
    }
}
