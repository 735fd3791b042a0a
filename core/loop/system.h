/* system.h - the system calls of the disk threads as a table, so that a test can let one fail, hang or be counted.   */
#ifndef ORRI_LOOP_SYSTEM_H
#define ORRI_LOOP_SYSTEM_H

#include <sys/types.h>
#include <sys/uio.h>

struct orri_system {                /* as in the manual's section 2: -1 and errno */
    ssize_t (*pwritev)(int fd, const struct iovec *parts, int n_parts, off_t at);
    ssize_t (*pread)(int fd, void *to, size_t size, off_t at);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);           /* of directories */
    int (*ftruncate)(int fd, off_t size);
    int (*fallocate)(int fd, int mode, off_t at, off_t size);
};
extern const struct orri_system orri_system_real;

#endif
