/* glance.c - what a frame is that one node sends another, by its first bytes, for those who look on: a trace, say.
 *
 * It is given what the world's send() was given: the frame's head, then its parts. Nothing is checked that only the
 * receiver needs to check, and no node calls this. */
#include <string.h>

#include <orrery/trace.h>

#include "base/codec.h"
#include "node/frame.h"
#include "node/message.h"

enum { AT_VERSION = 4, AT_KIND = 6, AT_GROUP = 8 };         /* frame.h has the table */

/* The first message counts; messages of later parts aren't looked for. */
static void glance_messages(struct orr_slice messages, struct orr_glance *out) {
    static const char *const kinds[] = {
        [ORRI_MESSAGE_CALL] = "call",       [ORRI_MESSAGE_CAST] = "cast",   [ORRI_MESSAGE_PROPOSE] = "propose",
        [ORRI_MESSAGE_READ] = "read",       [ORRI_MESSAGE_REPLY] = "reply", [ORRI_MESSAGE_CANCEL] = "cancel",
        [ORRI_MESSAGE_READ_AGED] = "read",
    };
    out->kind = "messages";
    for (size_t at = 0; messages.size - at >= ORRI_MESSAGE_HEAD;) {
        const unsigned char *p = messages.at + at;
        size_t name = p[1], size = ORRI_MESSAGE_HEAD + name + (size_t)orri_get_le(p + 4, 4);
        if (p[0] >= ORRI_MESSAGE_KINDS || messages.size - at - ORRI_MESSAGE_HEAD < name) return;
        if (p[0] != ORRI_MESSAGE_NOTHING && out->count++ == 0) {
            out->kind = kinds[p[0]];
            if (name >= sizeof out->name) name = sizeof out->name - 1;
            memcpy(out->name, p + ORRI_MESSAGE_HEAD, name);
        }
        if (size > messages.size - at) return;
        at += size;
    }
}

int orr_frame_glance(const struct orr_slice *parts, size_t n_parts, const struct orr_order_ops *order,
                     struct orr_glance *out) {
    static const char *const kinds[] = {
        [ORRI_FRAME_HELLO] = "hello",     [ORRI_FRAME_REFUSED] = "refused", [ORRI_FRAME_PING] = "ping",
        [ORRI_FRAME_ORDER] = "order",     [ORRI_FRAME_FORWARD] = "forward", [ORRI_FRAME_RESEND] = "resend",
        [ORRI_FRAME_RPC] = "messages",    [ORRI_FRAME_VISIT] = "visit",     [ORRI_FRAME_WELCOME] = "welcome",
        [ORRI_FRAME_BUNDLE] = "bundle",
    };
    if (n_parts < 1 || parts[0].size != ORRI_FRAME_HEAD) return ORR_EINVALID;
    const unsigned char *head = parts[0].at;
    unsigned kind = head[AT_KIND];
    if (head[AT_VERSION] != ORRI_FRAME_VERSION || kind == 0 || kind >= ORRI_FRAME_KINDS) return ORR_EINVALID;
    *out = (struct orr_glance){ .kind = kinds[kind], .group = (uint32_t)orri_get_le(head + AT_GROUP, 4) };
    if (kind == ORRI_FRAME_ORDER && n_parts > 1 && order && order->glance) return order->glance(parts[1], out);
    if (kind == ORRI_FRAME_RPC && n_parts > 2) glance_messages(parts[2], out);
    return 0;
}
