/* orrb_question.h - a node of this process is asked from outside its turns, in plain C: the answer waits here, as
 * bytes, until Lua fetches it. orrb_ask.c makes objects of questions; orrb_thread.c sends them to another thread. */
#ifndef ORRB_QUESTION_H
#define ORRB_QUESTION_H

#include <orrery/host.h>

#include "orrb.h"
#include "orrb_sink.h"

enum orrb_verb { ORRB_PROPOSE, ORRB_READ, ORRB_SNAPSHOT };
extern const char *const orrb_verbs[];              /* by their names, NULL behind them */

struct orrb_question {
    struct orr_wait wait;
    bool under_way;
    int status;
    unsigned char *bytes;           /* of a call */
    size_t size;
    struct orrb_sink sink;          /* of a group */
    bool index;                     /* the answer is where in the log */
    void (*over)(struct orrb_question *q);      /* in the node's turn, once it is no more under way; may be NULL */
};
/* All take an empty one (zeros, `over` apart). 0: it is under way; or an error, which is its status too. Bytes are
 * copied. until: by the node's clock. */
int orrb_question_call(struct orrb_question *q, struct orr_node *node, orr_id to, struct orr_slice name,
                       struct orr_slice args, orr_time until);
/* A proposal, a strong read, or a snapshot, which takes no value. ORR_EINVALID: no such group, or (but for snapshots)
 * its machine is none of Lua's: what that is asked is no value of Lua. */
int orrb_question_group(struct orrb_question *q, struct orrb_node *n, enum orrb_verb verb, const char *group,
                        struct orr_slice value, orr_time until);
/* What the replica here answers: not under way afterwards. */
int orrb_question_peek(struct orrb_question *q, struct orrb_node *n, const char *group, struct orr_slice value);
/* Pushes true, what came; or false, why, code: no answer. Then it is over. */
int orrb_question_results(lua_State *L, const struct orrb_question *q);
int orrb_question_failure(lua_State *L, int status);        /* false, why, code */
/* Frees what it has. It must not be under way. */
void orrb_question_clear(struct orrb_question *q);

#endif
