/* nosync.c - a library (LD_PRELOAD, before powerloss.so) under which nothing is ever synced: what the interposer must
 * catch. */
int fdatasync(int fd);
int fsync(int fd);

int fdatasync(int fd) { return (void)fd, 0; }
int fsync(int fd) { return (void)fd, 0; }
