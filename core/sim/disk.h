/* disk.h - a simulated disk: names, files as durable images and what was done to them since the last sync.
 *
 * A file is its durable image (sparse pages of 4 KiB; a page that was never written is zeros and costs nothing) and the
 * list of changes since: that is what readers see, one on top of the other. A sync applies the changes to the image. A
 * power loss applies some of them (disk_crash.c). Names work the same way: the durable ones, and changes.            */
#ifndef ORRI_SIM_DISK_H
#define ORRI_SIM_DISK_H

#include "sim/room.h"

enum { ORRI_PAGE = 4096 };

struct orri_page {
    uint32_t refs;                  /* images that share it */
    unsigned char bytes[ORRI_PAGE];
};
struct orri_image {
    struct orri_page **pages;
    size_t cap;                     /* of pages */
    uint64_t size;
};

enum orri_change_kind { ORRI_CHANGE_WRITE, ORRI_CHANGE_TRUNCATE, ORRI_CHANGE_GROW };
struct orri_change {
    struct orri_change *next;
    enum orri_change_kind kind;
    uint64_t at;                    /* TRUNCATE, GROW: the new size */
    uint64_t size_after;            /* of the file */
    size_t size;
    unsigned char bytes[];
};
struct orri_inode {
    struct orri_inode *next;        /* of its disk */
    struct orri_disk *disk;
    unsigned refs;                  /* names, name changes, open files */
    char *path;                     /* its last name */
    struct orri_image durable;
    struct orri_change *first, *last;
    uint64_t size;                  /* as readers see it */
    bool poisoned;                  /* a sync failed; until the node restarts */
    uint64_t changed;               /* number of the last change of its durable image */
};

struct orri_name {
    char *path;
    struct orri_inode *inode;
};
struct orri_names {                 /* sorted bytewise */
    struct orri_name *at;
    size_t n, cap;
};
enum orri_name_change_kind { ORRI_NAME_CREATE, ORRI_NAME_RENAME, ORRI_NAME_REMOVE };
struct orri_name_change {
    struct orri_name_change *next;
    enum orri_name_change_kind kind;
    char *path, *to;
    struct orri_inode *inode;
};
struct orri_saved {                 /* a whole disk as it was */
    char *path;
    struct orri_image image;
};
struct orri_disk {
    struct orri_disk *next;
    struct orr_sim *sim;
    char *dir;
    struct orri_node *locked_by;
    struct orri_inode *inodes;
    struct orri_names now, durable;
    size_t asked;                   /* place of the durable name that was asked for last */
    uint64_t changes;               /* of durable images and names, so far */
    uint64_t names_changed;         /* number of the last one of the durable names */
    struct orri_name_change *first, *last;
    struct orri_saved *saved;
    size_t n_saved;
    uint64_t room, used;
    bool damaged;
    orr_time hangs_until;           /* of syncs that hang, while the node is up */
    struct orr_sim_disk_speed speed;
    double slower;                  /* chaos's: so many times the latencies */
    struct orr_rng rng;
};

/* Images. */
void orri_image_clear(struct orr_sim *sim, struct orri_image *image);
void orri_image_share(struct orr_sim *sim, struct orri_image *to, const struct orri_image *from);
/* grows it */
void orri_image_write(struct orr_sim *sim, struct orri_image *image, uint64_t at, const void *bytes, size_t size);
void orri_image_resize(struct orr_sim *sim, struct orri_image *image, uint64_t size);
void orri_image_read(const struct orri_image *image, uint64_t at, void *out, size_t size);  /* zeros past the end */

/* Files. */
struct orri_inode *orri_inode_new(struct orri_disk *disk, const char *path);
void orri_inode_drop(struct orri_inode *inode);
/* The first `size` bytes of parts. */
void orri_inode_write(struct orri_inode *inode, uint64_t at, const struct orr_slice *parts, size_t n_parts,
                      size_t size);
void orri_inode_resize(struct orri_inode *inode, enum orri_change_kind kind, uint64_t size);
size_t orri_inode_read(const struct orri_inode *inode, uint64_t at, void *out, size_t size);     /* up to the end */
void orri_inode_sync(struct orri_inode *inode);
void orri_inode_forget(struct orri_inode *inode);    /* drops all changes */
void orri_inode_crash(struct orri_inode *inode, struct orr_rng *rng);        /* keeps any part of them */
void orri_inode_tell(struct orri_inode *inode, uint64_t at, size_t size);    /* the durable image changed there */

/* Names. */
struct orri_inode *orri_names_find(const struct orri_names *names, const char *path);
/* NULL: removes */
void orri_names_set(struct orri_disk *disk, struct orri_names *names, const char *path, struct orri_inode *inode);
void orri_disk_name(struct orri_disk *disk, enum orri_name_change_kind kind, const char *path, const char *to,
                    struct orri_inode *inode);
/* leave_old: of a rename, both names are there afterwards. */
void orri_name_apply(struct orri_disk *disk, struct orri_names *names, const struct orri_name_change *c,
                     bool leave_old);
void orri_disk_forget_names(struct orri_disk *disk);         /* drops all changes */
void orri_disk_show_durable_names(struct orri_disk *disk);   /* after a power loss */
void orri_disk_sync_names(struct orri_disk *disk);
void orri_disk_crash(struct orri_disk *disk);        /* power loss: see disk_crash.c */
bool orri_disk_has_room(const struct orri_disk *disk, uint64_t more);
bool orri_disk_poisoned(const struct orri_node *node);        /* some file, or the names, of a node had a failed sync */

#endif
