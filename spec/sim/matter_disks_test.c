/* matter_disks_test.c - each kind of fault of disks and power losses matters: a bug that only it finds (matter.h). */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "matter_counter.h"

static const struct program passes_errors = COUNTER(PASSES_ERRORS, .bug = "a write fails on a full disk only");
static const struct program passes_sync = COUNTER(PASSES_SYNC, .bug = "a sync that failed is mended by the next one");
static const struct program loses_patience = COUNTER(LOSES_PATIENCE, .bug = "a sync takes half a second at most");
static const struct program gives_up = COUNTER(GIVES_UP, .bug = "a write takes 5 ms at most", .judge = counter_judge);
static const struct program passes_full = COUNTER(PASSES_FULL, .bug = "a write fails by an error of the disk only");
static const struct program tells_written = COUNTER(TELLS_WRITTEN, .bug = "what was written is synced");

/* -- A shelf ------------------------------------------------------------------------------------------------------ */
/* Places that are written in turn, each with the round, and read back at any time; it knows in which round each was
 * written last. What is not in order is damage, and told as such; each flag leaves out one look. */
enum { NO_SUM = 1, NO_PLACE = 2, NO_ROUND = 4, NO_STATUS = 8 };
struct shelf {
    struct probe_req req, read;
    struct orr_file *file;
    uint64_t n, at, rounds[PLACES];          /* 0: what is there is not known */
    orr_time next;
    struct record record, back;
};

static void shelf_take(struct member *m) {
    struct shelf *s = m->memory;
    int status = status_of(&s->read);
    struct record right = record_of(s->rounds[s->at], s->at);
    take_read(&s->read, &s->back, sizeof s->back);
    struct record seems = record_of(s->back.number, s->back.place);
    m->rig->work++;
    if (status != 0 && !careless(m, NO_STATUS)) return;      /* no answer is better than a wrong one */
    if (status == 0 && s->back.sum != mix(s->back.number, s->back.place)) return;
    if (status == 0 && !careless(m, NO_SUM) && memcmp(s->back.rest, seems.rest, sizeof seems.rest) != 0) return;
    if (status == 0 && !careless(m, NO_PLACE) && s->back.place != s->at) return;
    if (status == 0 && !careless(m, NO_ROUND) && s->back.number != s->rounds[s->at]) return;
    if (memcmp(s->back.rest, right.rest, sizeof right.rest) != 0) m->rig->wrong = true;
}

static void shelf_turn(struct member *m) {
    struct shelf *s = m->memory;
    PROGRAM_BEGIN(m)
    do {
        s->req = to_open("shelf", ORR_F_CREATE);
        RUN(m, &s->req);
    } while (status_of(&s->req) != 0);
    s->file = s->req.u.open.file;
    s->req = to_name(ORR_OP_SYNC_DIR, NULL, NULL);
    RUN(m, &s->req);
    do {
        s->req = to_do(s->file, ORR_OP_PREPARE, PLACES * RECORD);
        RUN(m, &s->req);
    } while (status_of(&s->req) != 0);
    for (;; s->n++) {
        AWAIT(m, now_of(m) >= s->next);
        s->next = now_of(m) + ORR_MS;
        s->at = s->n % PLACES;
        s->record = record_of(s->n / PLACES + 1 + (uint64_t)m->boot * 1000, s->at);
        s->rounds[s->at] = 0;
        s->req = to_write(s->file, s->at * RECORD, &s->record, sizeof s->record);
        RUN(m, &s->req);
        if (status_of(&s->req) == 0) s->rounds[s->at] = s->record.number;
        s->req = to_do(s->file, ORR_OP_SYNC, 0);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) m->p.w->ops->stop(m->p.w, 1, "disk");
        if (status_of(&s->req) != 0) return;
        s->at = mix(s->n, 1) % PLACES;
        if (s->rounds[s->at] == 0) continue;
        s->read = to_read(s->file, s->at * RECORD, RECORD);
        RUN(m, &s->read);
        shelf_take(m);
    }
    PROGRAM_END
}
#define SHELF(carelessness, what)                                                                                      \
    { .bug = (what), .nodes = 1, .memory = sizeof(struct shelf), .turn = shelf_turn, .flags = (carelessness) }
static const struct program no_status = SHELF(NO_STATUS, "what can't be read was never written");
static const struct program no_sum = SHELF(NO_SUM, "the disk gives back what it was given");
static const struct program no_place = SHELF(NO_PLACE, "what is here was written here");
static const struct program no_round = SHELF(NO_ROUND, "what is here is what was written last");

/* -- A mark that says that all is there --------------------------------------------------------------------------- */
/* Writes the record, then the mark, which names it; and syncs both. The careful one syncs the record first. */
struct mark {
    struct probe_req req;
    struct orr_file *file;
    uint64_t n;
    orr_time next;
    struct record record, mark, all[PLACES];
};

static void mark_recover(struct member *m) {
    struct mark *s = m->memory;
    take_read(&s->req, s->all, sizeof s->all);
    uint64_t n = record_fits(&s->all[0], 0) ? s->all[0].number : 0;
    uint64_t place = 1 + n % (PLACES - 1);
    if (n > 0 && s->all[place].number != n && !damaged(m)) m->rig->wrong = true;
    for (unsigned i = 0; i < PLACES; i++) {          /* never a number again */
        if (s->all[i].number > s->n && record_fits(&s->all[i], i)) s->n = s->all[i].number;
    }
}

static void mark_turn(struct member *m) {
    struct mark *s = m->memory;
    PROGRAM_BEGIN(m)
    do {
        s->req = to_open("log", ORR_F_CREATE);
        RUN(m, &s->req);
    } while (status_of(&s->req) != 0);
    s->file = s->req.u.open.file;
    s->req = to_name(ORR_OP_SYNC_DIR, NULL, NULL);
    RUN(m, &s->req);
    do {
        s->req = to_do(s->file, ORR_OP_PREPARE, sizeof s->all);
        RUN(m, &s->req);
    } while (status_of(&s->req) != 0);
    s->req = to_do(s->file, ORR_OP_SYNC, 0);
    RUN(m, &s->req);
    do {
        s->req = to_read(s->file, 0, sizeof s->all);
        RUN(m, &s->req);
    } while (status_of(&s->req) == -EIO);
    mark_recover(m);
    for (;;) {
        AWAIT(m, now_of(m) >= s->next);
        s->next = now_of(m) + ORR_MS;
        s->n++;
        s->record = record_of(s->n, 1 + s->n % (PLACES - 1));
        s->mark = record_of(s->n, 0);
        do {
            s->req = to_write(s->file, s->record.place * RECORD, &s->record, sizeof s->record);
            RUN(m, &s->req);
        } while (status_of(&s->req) == -EIO);
        if (m->rig->careful) {
            s->req = to_do(s->file, ORR_OP_SYNC, 0);
            RUN(m, &s->req);
        }
        if (status_of(&s->req) != 0) break;
        do {
            s->req = to_write(s->file, 0, &s->mark, sizeof s->mark);
            RUN(m, &s->req);
        } while (status_of(&s->req) == -EIO);
        s->req = to_do(s->file, ORR_OP_SYNC, 0);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) break;
        m->rig->work++;
    }
    m->p.w->ops->stop(m->p.w, 1, "disk");
    AWAIT(m, false);
    PROGRAM_END
}
static const struct program marks_first = { .bug = "what is written later is on the disk later", .nodes = 1,
    .memory = sizeof(struct mark), .turn = mark_turn };

/* -- A file that grows -------------------------------------------------------------------------------------------- */
/* Appends records where the file ends. The careful one first cuts off what is no whole record. */
struct tail {
    struct probe_req req;
    struct orr_file *file;
    uint64_t size;
    orr_time next;
    struct record record;
};
static void tail_turn(struct member *m) {
    struct tail *s = m->memory;
    PROGRAM_BEGIN(m)
    do {
        s->req = to_open("log", ORR_F_CREATE);
        RUN(m, &s->req);
    } while (status_of(&s->req) != 0);
    s->file = s->req.u.open.file;
    s->size = s->req.u.open.size;
    s->req = to_name(ORR_OP_SYNC_DIR, NULL, NULL);
    RUN(m, &s->req);
    if (m->rig->careful) {
        s->size -= s->size % RECORD;
        s->req = to_do(s->file, ORR_OP_TRUNCATE, s->size);
        RUN(m, &s->req);
    }
    for (;;) {
        s->next = now_of(m) + ORR_MS;
        AWAIT(m, now_of(m) >= s->next);
        s->record = record_of(s->size / RECORD, 0);
        if (s->size % RECORD != 0) m->rig->wrong = true;
        s->req = to_write(s->file, s->size, &s->record, sizeof s->record);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) continue;
        s->size += sizeof s->record;
        s->req = to_do(s->file, ORR_OP_SYNC, 0);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) break;
        m->rig->work++;
    }
    m->p.w->ops->stop(m->p.w, 1, "disk");
    AWAIT(m, false);
    PROGRAM_END
}
static const struct program appends = { .bug = "a file ends where a record ends", .nodes = 1,
    .memory = sizeof(struct tail), .turn = tail_turn };

/* -- Names -------------------------------------------------------------------------------------------------------- */
/* Each number is a file of its own, synced; the careful one syncs the directory, too. */
struct files {
    struct probe_req req;
    struct orr_file *file;
    uint64_t n;
    orr_time next;
    char name[24];
    struct record record;
};
static void files_name(struct files *s, uint64_t n) {
    s->n = n;
    snprintf(s->name, sizeof s->name, "f%u", (unsigned)n);
}
static void files_turn(struct member *m) {
    struct files *s = m->memory;
    uint64_t *told = m->rig->ledger;
    PROGRAM_BEGIN(m)
    files_name(s, *told);
    if (*told > 0) {
        s->req = to_open(s->name, 0);
        RUN(m, &s->req);
        if (status_of(&s->req) == -ENOENT && !damaged(m)) m->rig->wrong = true;
    }
    for (;;) {
        s->next = now_of(m) + 5 * ORR_MS;
        AWAIT(m, now_of(m) >= s->next);
        files_name(s, s->n + 1);
        s->record = record_of(s->n, 0);
        s->req = to_open(s->name, ORR_F_CREATE);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) continue;
        s->file = s->req.u.open.file;
        s->req = to_write(s->file, 0, &s->record, sizeof s->record);
        RUN(m, &s->req);
        bool written = status_of(&s->req) == 0;
        if (!written) continue;
        s->req = to_do(s->file, ORR_OP_SYNC, 0);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) break;
        if (m->rig->careful) {
            s->req = to_name(ORR_OP_SYNC_DIR, NULL, NULL);
            RUN(m, &s->req);
        }
        if (status_of(&s->req) != 0) break;
        *told = s->n;
        m->rig->work++;
        s->req = to_do(s->file, ORR_OP_CLOSE, 0);
        RUN(m, &s->req);
    }
    m->p.w->ops->stop(m->p.w, 1, "disk");
    AWAIT(m, false);
    PROGRAM_END
}
static const struct program syncs_no_names = { .bug = "what is synced has its name", .nodes = 1,
    .memory = sizeof(struct files), .ledger = sizeof(uint64_t), .turn = files_turn };

/* Replaces a file by writing a new one and renaming it. Where a new one is left from before, it is written over; the
 * careful one removes it. What is under the old name must not change by that. */
struct swap {
    struct probe_req req;
    struct orr_file *old, *new;
    uint64_t n;
    orr_time next;
    struct record before, after, record;
};
static void swap_turn(struct member *m) {
    struct swap *s = m->memory;
    PROGRAM_BEGIN(m)
    for (;;) {
        AWAIT(m, now_of(m) >= s->next);
        s->next = now_of(m) + 2 * ORR_MS;
        if (m->rig->careful && s->n == 0) {
            s->req = to_name(ORR_OP_REMOVE, "new", NULL);
            RUN(m, &s->req);
        }
        s->old = s->new = NULL;
        memset(&s->before, 0, sizeof s->before);
        memset(&s->after, 0, sizeof s->after);
        s->req = to_open("old", 0);
        RUN(m, &s->req);
        if (status_of(&s->req) == 0) s->old = s->req.u.open.file;
        if (s->old) {
            s->req = to_read(s->old, 0, sizeof s->before);
            RUN(m, &s->req);
            take_read(&s->req, &s->before, sizeof s->before);
        }
        if (s->old && status_of(&s->req) != 0) goto next;
        s->req = to_open("new", ORR_F_CREATE);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) goto next;
        s->new = s->req.u.open.file;
        s->n++;
        s->record = record_of((uint64_t)m->boot << 32 | s->n, 0);
        s->req = to_write(s->new, 0, &s->record, sizeof s->record);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) goto next;
        if (s->old) {
            s->req = to_read(s->old, 0, sizeof s->after);
            RUN(m, &s->req);
            take_read(&s->req, &s->after, sizeof s->after);
        }
        if (s->old && status_of(&s->req) == 0 && s->after.number != s->before.number && !damaged(m))
            m->rig->wrong = true;
        s->req = to_do(s->new, ORR_OP_SYNC, 0);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) break;
        s->req = to_name(ORR_OP_RENAME, "new", "old");
        RUN(m, &s->req);
        m->rig->work++;
    next:
        if (s->old) {
            s->req = to_do(s->old, ORR_OP_CLOSE, 0);
            RUN(m, &s->req);
        }
        if (s->new) {
            s->req = to_do(s->new, ORR_OP_CLOSE, 0);
            RUN(m, &s->req);
        }
    }
    m->p.w->ops->stop(m->p.w, 1, "disk");
    AWAIT(m, false);
    PROGRAM_END
}
static const struct program writes_over = { .bug = "a file has one name", .nodes = 1, .memory = sizeof(struct swap),
    .turn = swap_turn };

/* -- Trials ------------------------------------------------------------------------------------------------------- */
/* A sibling: a misdirected write did not land where it should, as a stale one.
 *
 * What a power loss does has no rates: it is off, all five kinds at once, where each crash is a kill -9 (and no sync
 * fails, which leaves the same of a file). It is the programs that tell the five apart. Two write over what is synced,
 * in a file that neither grows nor changes its name: one is hurt by sectors that are lost, whatever else is kept; the
 * other only by one that is kept where an earlier one is lost. One grows by whole sectors that nobody reads. One loses
 * names of files that are whole, and one has a single sector under two names. */
static const struct trial trials[] = {
    TRIAL(ORR_SIM_WRITE_ERROR, passes_errors),
    TRIAL(ORR_SIM_READ_ERROR, no_status),
    TRIAL(ORR_SIM_SYNC_ERROR, passes_sync),
    TRIAL(ORR_SIM_SYNC_HANG, loses_patience),
    TRIAL(ORR_SIM_WORN, gives_up),
    TRIAL(ORR_SIM_DISK_FULL, passes_full),
    TRIAL(ORR_SIM_ROT, no_sum, .rate = 60),
    TRIAL(ORR_SIM_MISDIRECTED, no_place),
    TRIAL(ORR_SIM_STALE, no_round, .siblings = BIT(ORR_SIM_MISDIRECTED)),
    TRIAL(ORR_SIM_SECTOR_LOST, tells_written, .with = BIT(ORR_SIM_CRASH_WRITTEN), .power = true),
    TRIAL(ORR_SIM_SECTOR_KEPT, marks_first, .with = BIT(ORR_SIM_CRASH_WRITTEN), .power = true),
    TRIAL(ORR_SIM_SIZE_LOST, appends, .with = BIT(ORR_SIM_CRASH_WRITTEN), .power = true),
    TRIAL(ORR_SIM_NAME_LOST, syncs_no_names, .with = BIT(ORR_SIM_CRASH), .power = true),
    TRIAL(ORR_SIM_NAME_BOTH, writes_over, .with = BIT(ORR_SIM_CRASH_WRITTEN), .power = true),
};

int main(void) {
    return matter_trials(trials, sizeof trials / sizeof *trials, ORR_SIM_WRITE_ERROR, ORR_SIM_NAME_BOTH);
}
