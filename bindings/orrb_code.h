/* orrb_code.h - which scripts the groups of a node run, as the files see it that load them. See orrb_code.c. */
#ifndef ORRB_CODE_H
#define ORRB_CODE_H

#include "orrb_script.h"

enum { ORRB_GROUP_UPGRADE = 1 << 16 };      /* besides enum orr_group_event: other code runs */

/* Something has changed: who leads, who runs what. What this node, as a leader, can propose now, it does. */
void orrb_code_consider(struct orrb_host *h);
/* Of what is staged: ORR_EINVALID where a group's version would go down. */
int orrb_code_refused(const struct orrb_host *h, const char **group, lua_Integer *version);
void orrb_code_commit(struct orrb_host *h);
void orrb_code_abandon(struct orrb_host *h);

#endif
