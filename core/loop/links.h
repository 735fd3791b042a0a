/* links.h - circular lists whose links lie in their members. A link in no list points to itself,
 * so taking one out twice is harmless.                                                                               */
#ifndef ORRI_LOOP_LINKS_H
#define ORRI_LOOP_LINKS_H

#include <stdbool.h>
#include <stddef.h>

struct orri_link {
    struct orri_link *prev, *next;
};

static inline void orri_link_init(struct orri_link *l) { l->prev = l->next = l; }
static inline bool orri_linked(const struct orri_link *l) { return l->next != l; }
static inline void orri_unlink(struct orri_link *l) {
    l->prev->next = l->next;
    l->next->prev = l->prev;
    orri_link_init(l);
}
/* Puts l, which may be in a list, last into another. */
static inline void orri_link_last(struct orri_link *list, struct orri_link *l) {
    orri_unlink(l);
    l->prev = list->prev;
    l->next = list;
    list->prev->next = l;
    list->prev = l;
}

/* The struct that the link lies in. */
#define ORRI_MEMBER(link, type, field) ((type *)(void *)((char *)(link)-offsetof(type, field)))

#endif
