/* node_members.h - who of the cluster file's nodes is there and alive, as this node knows: its membership
 * (orrery/membership.h), driven over the node's datagrams.
 *
 *     orr_node_members_ask(node);                             // joins; events come to the host's member()
 *     const struct orr_membership *m = orr_node_members(node);
 *     struct orr_member who;
 *     for (size_t i = 0; m && orr_membership_at(m, i, &who); i++) ...
 *
 * A node that nobody asked takes no part, until another node's datagram finds it: then it joins, so that it is enough
 * if one of them wants to know. The streams between nodes are a second way: a peer whose stream was heard lives,
 * whatever became of datagrams. A node that leaves tells the others before it stops; its next life is known by the
 * number of its start, which is on the disk. */
#ifndef ORR_NODE_MEMBERS_H
#define ORR_NODE_MEMBERS_H

#include <orrery/membership.h>
#include <orrery/node.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From now on this node takes part; before it runs: from then on. Again: nothing. 0; -ENOMEM: try again later;
 * ORR_EUNAVAILABLE: it has left. On the world's thread. */
ORR_API int orr_node_members_ask(struct orr_node *node);
/* To be looked at with orr_membership_count, _at, _find, _why, _estimate, _status. NULL: it takes no part (yet). */
ORR_API const struct orr_membership *orr_node_members(const struct orr_node *node);
/* Others are told these tags of this node; kept for when it takes part. Copied. ORR_EINVALID: more than
 * ORR_MEMBER_TAGS_MAX; -ENOMEM. */
ORR_API int orr_node_members_tags(struct orr_node *node, struct orr_slice tags);
/* As orr_membership_key_add, _primary, _remove; kept for when it takes part. */
enum orr_node_key { ORR_NODE_KEY_ADD, ORR_NODE_KEY_PRIMARY, ORR_NODE_KEY_REMOVE };
ORR_API int orr_node_members_key(struct orr_node *node, enum orr_node_key what,
                                 const unsigned char key[ORR_MEMBERSHIP_KEY]);

#ifdef __cplusplus
}
#endif
#endif
