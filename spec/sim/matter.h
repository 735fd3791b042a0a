/* matter.h - does a kind of fault matter? For each kind a small program with one bug that only this kind finds.
 *
 * A program is a few dozen lines over world.h, as people write them; it is in order but for one thing that it takes for
 * granted. Its judge stands outside (the rig's ledger, which no crash wipes) and sees when that has done harm. A trial
 * says four things of a kind, with seeds:
 *   - alone, it finds the bug within a few seeds;
 *   - in three times as many, all other kinds together, and every other half of them, do not find it;
 *   - with `careful` the same program holds, alone with the kind and with everything on: the judge is not at fault;
 *   - the runs without the kind did work, and the kind did not strike in them.
 * Where no program can tell a kind from another, the other one (a sibling) is off where the kind is, and the trial's
 * table says why. */
#ifndef ORR_SPEC_SIM_MATTER_H
#define ORR_SPEC_SIM_MATTER_H

#include "probe.h"

enum { MATTER_NODES = 3, MATTER_SEEDS = 10, MATTER_KINDS_MAX = 16 };
#define MATTER_LASTS (4 * ORR_SECOND)
#define BIT(kind) ((uint64_t)1 << (kind))

struct rig;
struct member;
struct program {
    const char *bug;                /* what it takes for granted */
    unsigned nodes;
    size_t memory, ledger;          /* bytes: of a node, zeroed at each start; of the judge */
    void (*begin)(struct rig *r);   /* each but turn() may be NULL */
    void (*start)(struct member *m);
    void (*event)(struct member *m, struct orr_req *req);    /* what is no request of the node's own */
    void (*turn)(struct member *m);          /* at the end of each turn; one comes each millisecond */
    void (*judge)(struct rig *r);            /* at the end of the run */
    unsigned flags;                 /* the program's own */
    bool heals;                     /* faults end, and a calm second follows */
    bool twice;                     /* what it does at its first start is done before faults begin */
    bool own_alarm;
};
struct member {
    struct probe p;
    struct rig *rig;
    unsigned place;
    uint16_t boot;                  /* how often it has been started */
    int line;                       /* of its straight-line code */
    void *memory;
};
struct rig {
    struct orr_sim *sim;
    const struct program *program;
    struct orr_sim_faults rates;
    bool careful, wrong;
    uint64_t work;                  /* what the program was there for, so many times */
    struct member m[MATTER_NODES];
    void *ledger;
};

static const char *const matter_names[MATTER_NODES] = { "a", "b", "c" };
static const char *const matter_addresses[MATTER_NODES] = { "a:1", "b:1", "c:1" };

/* -- What programs are written with ------------------------------------------------------------------------------ */
static inline orr_time now_of(const struct member *m) { return m->p.w->ops->now(m->p.w); }
static inline bool flag(const struct member *m, unsigned bit) { return (m->rig->program->flags & bit) != 0; }
/* Has it this carelessness? */
static inline bool careless(const struct member *m, unsigned bit) { return !m->rig->careful && flag(m, bit); }
static inline bool damaged(const struct member *m) { return orr_sim_disk_damaged(m->rig->sim, m->p.name); }

/* Straight-line code in turn(): it goes on where it waited (Dunkels, "Protothreads"). Nothing but the node's memory
 * outlives a wait. */
#define PROGRAM_BEGIN(m)                                                                                               \
    switch ((m)->line) {                                                                                               \
    case 0:
#define PROGRAM_END }
#define AWAIT(m, condition)                                                                                            \
    do {                                                                                                               \
        (m)->line = __LINE__;                                                                                          \
        __attribute__((fallthrough));                                                                                  \
    case __LINE__:                                                                                                     \
        if (!(condition)) return;                                                                                      \
    } while (0)
#define RUN(m, request)                                                                                                \
    do {                                                                                                               \
        submit(m, request);                                                                                            \
        AWAIT(m, (request)->done);                                                                                     \
    } while (0)

static inline void submit(struct member *m, struct probe_req *r) {
    probe_submit(&m->p, r);
    if (r->refused != 0) abort();
}
static inline int status_of(const struct probe_req *r) { return r->u.req.status; }
static inline struct probe_req to_open(const char *path, unsigned flags) {
    return (struct probe_req){ .op = ORR_OP_OPEN, .u.open = { .path = path, .flags = flags } };
}
static inline struct probe_req to_write(struct orr_file *f, uint64_t at, const void *bytes, size_t size) {
    return (struct probe_req){ .op = ORR_OP_WRITE, .u.write = { .file = f, .at = at },
                               .part = orr_borrow(bytes, size) };
}
static inline struct probe_req to_read(struct orr_file *f, uint64_t at, size_t size) {
    return (struct probe_req){ .op = ORR_OP_READ, .u.read = { .file = f, .at = at, .size = size } };
}
static inline struct probe_req to_do(struct orr_file *f, enum orr_op op, uint64_t at) {
    return (struct probe_req){ .op = op, .u.file = { .file = f, .at = at } };
}
static inline struct probe_req to_name(enum orr_op op, const char *path, const char *to) {
    return (struct probe_req){ .op = op, .u.name = { .path = path, .to = to } };
}
/* What a read brought, into out; what it did not is zeros. */
static inline void take_read(struct probe_req *r, void *out, size_t size) {
    struct orr_slice got = status_of(r) == 0 ? r->u.read.got : orr_borrow(NULL, 0);
    memset(out, 0, size);
    if (got.size) memcpy(out, got.at, got.size < size ? got.size : size);
    orr_drop(got);
}

static inline uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t h = (a ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu + b;
    h = (h ^ h >> 32) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

/* -- Words: what nodes tell each other --------------------------------------------------------------------------- */
struct word {
    uint16_t from, from_boot, to_boot, kind;
    uint64_t number, value, sum;
};
struct inlet {                      /* of a stream that brings words */
    struct orr_stream *stream;
    size_t have;
    struct word word;
    uint64_t last;
};
enum { INLETS = 16 };

static inline uint64_t sum_of(const struct word *w) {
    uint64_t head = (uint64_t)w->from << 48 | (uint64_t)w->from_boot << 32 | (uint64_t)w->to_boot << 16 | w->kind;
    return mix(mix(head, w->number), w->value);
}
/* The rig gives each the other's boot, as a handshake would. */
static inline struct word word_of(const struct member *m, unsigned to, uint16_t kind, uint64_t number, uint64_t value) {
    struct word w = { (uint16_t)m->place, m->boot, m->rig->m[to].boot, kind, number, value, 0 };
    w.sum = sum_of(&w);
    return w;
}
static inline bool whole(const struct word *w) { return w->sum == sum_of(w) && w->from < MATTER_NODES; }
/* Between these lives of the two? */
static inline bool timely(const struct member *m, const struct word *w) {
    return w->from < MATTER_NODES && w->to_boot == m->boot && w->from_boot == m->rig->m[w->from].boot;
}

static inline void throw_word(struct member *m, unsigned to, uint16_t kind, uint64_t number, uint64_t value) {
    struct word w = word_of(m, to, kind, number, value);
    (void)m->p.w->ops->datagram(m->p.w, orr_id_of(matter_names[to]), orr_borrow(&w, sizeof w));
}
/* A datagram's word; false: it is none, or of another size. */
static inline bool caught(const struct orr_req *req, struct word *w) {
    const struct orr_datagram *d = (const struct orr_datagram *)(const void *)req;
    if (req->op != ORR_OP_DATAGRAM || d->data.size != sizeof *w) return false;
    memcpy(w, d->data.at, sizeof *w);
    return true;
}
static inline struct orr_stream *call(struct member *m, unsigned to) {
    struct orr_stream *s;
    if (m->p.w->ops->connect(m->p.w, orr_id_of(matter_names[to]), &s) != 0) abort();
    return s;
}
/* `times` words alike, at once. */
static inline void say(struct member *m, struct orr_stream *s, unsigned times, struct word w) {
    struct orr_slice parts[16];
    for (unsigned i = 0; i < times; i++) parts[i] = orr_borrow(&w, sizeof w);
    (void)m->p.w->ops->send(m->p.w, s, 0, parts, times);
}
static inline struct inlet *inlet_of(struct inlet in[INLETS], const struct orr_req *req) {
    struct orr_stream *s = ((const struct orr_stream_event *)(const void *)req)->stream;
    struct inlet *spare = NULL;
    for (unsigned i = 0; i < INLETS; i++) {
        if (in[i].stream == s) return &in[i];
        if (!in[i].stream && !spare) spare = &in[i];
    }
    if (!spare) abort();
    *spare = (struct inlet){ .stream = s };
    return spare;
}
/* Takes a DATA event word by word; fn gets bad ones, too. Forgets a stream that is CLOSED. */
static inline void read_words(struct member *m, struct inlet in[INLETS], const struct orr_req *req,
                              void (*fn)(struct member *m, struct inlet *in, const struct word *w)) {
    const struct orr_stream_event *e = (const struct orr_stream_event *)(const void *)req;
    if (req->op != ORR_OP_DATA && req->op != ORR_OP_CLOSED) return;
    struct inlet *from = inlet_of(in, req);
    if (req->op == ORR_OP_CLOSED) *from = (struct inlet){ 0 };
    for (size_t i = 0; req->op == ORR_OP_DATA && i < e->data.size; i++) {
        ((unsigned char *)&from->word)[from->have++] = e->data.at[i];
        if (from->have < sizeof from->word) continue;
        from->have = 0;
        fn(m, from, &from->word);
    }
}

/* -- Rates ------------------------------------------------------------------------------------------------------- */
struct trial {
    enum orr_sim_fault kind;
    const struct program *program;
    double rate;                    /* alone; 0: the usual one */
    uint64_t with;                  /* what must happen for it to happen, too */
    uint64_t siblings;              /* off where it is off */
    bool kills;                     /* a program that promises to outlive kill -9 only: no crash is a power loss */
    bool power;                     /* it is what power losses do: where it is off, none is one, and no sync fails */
};
#define TRIAL(what, whose, ...) { .kind = (what), .program = &(whose), __VA_ARGS__ }
enum mode { ALONE, WITHOUT, ALL };

static inline double usual_rate(enum orr_sim_fault kind, bool alone) {
    const char *unit = orr_sim_fault_unit(kind);
    if (strcmp(unit, "COUNT") == 0) return 1;                /* the rig sees to it that it can happen */
    if (strcmp(unit, "SHARE") == 0) return alone ? 1 : 0.2;
    if (strcmp(unit, "TIMED") == 0) return alone ? 4 : 0.4;
    switch (kind) {
    case ORR_SIM_WRITE_ERROR: case ORR_SIM_SYNC_ERROR: case ORR_SIM_MISDIRECTED: case ORR_SIM_STALE:
    case ORR_SIM_MUTATE:
        return alone ? 0.02 : 0.002;
    case ORR_SIM_SYNC_HANG: return alone ? 0.01 : 0.0005;
    default: return alone ? 0.1 : 0.02;
    }
}

static inline void matter_rates(struct orr_sim_faults *f, const struct trial *t, enum mode mode, uint64_t seed) {
    orr_sim_faults_init(f);
    memset(f->rate, 0, sizeof f->rate);
    f->budget = MATTER_NODES;
    f->down_mean = 100 * ORR_MS;
    f->pause_mean = 250 * ORR_MS;
    f->cut_mean = 600 * ORR_MS;
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++) {
        enum orr_sim_fault kind = (enum orr_sim_fault)i;
        bool own = kind == t->kind, off = own || (t->siblings & BIT(i));
        bool drawn = seed % 2 == 1 || mix(seed, i) % 2 == 0;
        double alone = own && t->rate > 0 ? t->rate : usual_rate(kind, true);
        if (mode == ALONE) f->rate[i] = own || (t->with & BIT(i)) ? alone : 0;
        if (mode == WITHOUT) f->rate[i] = !off && drawn ? usual_rate(kind, false) : 0;
        if (mode == ALL) f->rate[i] = own ? alone : usual_rate(kind, false);
    }
    if (t->kills || (t->power && mode == WITHOUT)) f->rate[ORR_SIM_CRASH_PROCESS] = 1;
    if (t->power && mode == WITHOUT) f->rate[ORR_SIM_SYNC_ERROR] = 0;
    if (f->rate[ORR_SIM_FAR] > 0) f->delay = mode == ALONE ? 200 * ORR_MS : 2 * ORR_MS;
    if (f->rate[ORR_SIM_FAR] > 0 && mode != ALONE) f->jitter = 500 * ORR_US;
    if (f->rate[ORR_SIM_WORN] > 0) f->slower = mode == ALONE ? 1000 : 4;
}

/* -- Runs -------------------------------------------------------------------------------------------------------- */
static inline void matter_start(struct probe *p) {
    struct member *m = p->ud;
    memset(m->memory, 0, m->rig->program->memory);
    m->boot++;
    m->line = 0;
    for (unsigned i = 0; i < m->rig->program->nodes; i++) {
        if (p->w->ops->peer(p->w, orr_id_of(matter_names[i]), matter_addresses[i]) != 0) abort();
    }
    if (m->rig->program->start) m->rig->program->start(m);
}
static inline void matter_event(struct probe *p, struct orr_req *req) {
    struct member *m = p->ud;
    if (m->rig->program->event) m->rig->program->event(m, req);
}
static inline void matter_turn(struct probe *p) {
    struct member *m = p->ud;
    m->rig->program->turn(m);
}

static inline struct rig *matter_rig(const struct program *program, uint64_t seed) {
    struct rig *r = calloc(1, sizeof *r);
    struct orr_sim_config cfg;
    assert_non_null(r);
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.faults.rate[ORR_SIM_TURN_CUT] = cfg.faults.rate[ORR_SIM_SHORT_READ] = cfg.faults.rate[ORR_SIM_RARE] = 0;
    assert_int_equal(orr_sim_new(&r->sim, &cfg), 0);
    r->program = program;
    r->ledger = calloc(1, program->ledger + 1);
    assert_non_null(r->ledger);
    return r;
}

static inline void matter_nodes(struct rig *r) {
    const struct program *program = r->program;
    for (unsigned i = 0; i < program->nodes; i++) {
        struct member *m = &r->m[i];
        *m = (struct member){ .rig = r, .place = i, .memory = calloc(1, program->memory + 1) };
        assert_non_null(m->memory);
        m->p = (struct probe){ .on_start = matter_start, .on_event = matter_event, .on_turn = matter_turn,
                               .idle = program->own_alarm, .ud = m };
        assert_int_equal(probe_add(r->sim, &m->p, matter_names[i], matter_addresses[i]), 0);
    }
    if (program->twice) orr_sim_run(r->sim, 50 * ORR_MS);
    for (unsigned i = 0; program->twice && i < program->nodes; i++)
        assert_int_equal(orr_sim_restart(r->sim, matter_names[i], ORR_SIM_KEPT), 0);
    if (program->begin) program->begin(r);
}

static inline void matter_free(struct rig *r) {
    orr_sim_free(r->sim);
    for (unsigned i = 0; i < MATTER_NODES; i++) free(r->m[i].memory);
    free(r->ledger);
    free(r);
}

struct outcome {
    bool wrong;
    uint64_t strikes, work;
};

static inline struct outcome matter_run(const struct trial *t, bool careful, enum mode mode, uint64_t seed) {
    struct rig *r = matter_rig(t->program, seed);
    r->careful = careful;
    matter_rates(&r->rates, t, mode, seed);
    matter_nodes(r);
    orr_time calm = t->program->heals ? MATTER_LASTS : MATTER_LASTS + ORR_SECOND;
    orr_time end = t->program->heals ? MATTER_LASTS + ORR_SECOND : MATTER_LASTS;
    assert_int_equal(orr_sim_chaos(r->sim, &r->rates, orr_sim_now(r->sim), calm), 0);
    while (!r->wrong && orr_sim_step_until(r->sim, end)) continue;
    if (!r->wrong && t->program->judge) t->program->judge(r);
    struct outcome outcome = { r->wrong, orr_sim_counts(r->sim)[t->kind], r->work };
    matter_free(r);
    return outcome;
}

/* -- Trials ------------------------------------------------------------------------------------------------------ */
static inline void it_finds_the_bug_alone(const struct trial *t) {
    for (uint64_t seed = 1; seed <= MATTER_SEEDS; seed++) {
        struct outcome o = matter_run(t, false, ALONE, seed);
        if (o.wrong && o.strikes > 0) return;
    }
    fail_msg("%s alone does not find it in %u seeds", orr_sim_fault_name(t->kind), MATTER_SEEDS);
}

static inline void nothing_else_does(const struct trial *t) {
    uint64_t work = 0;
    for (uint64_t seed = 1; seed <= 3 * MATTER_SEEDS; seed++) {
        struct outcome o = matter_run(t, false, WITHOUT, seed);
        if (o.wrong) fail_msg("found without %s, too: seed %u", orr_sim_fault_name(t->kind), (unsigned)seed);
        assert_int_equal(o.strikes, 0);
        work += o.work;
    }
    if (work < 1000) fail_msg("only %u pieces of work in all", (unsigned)work);
}

static inline void without_the_bug_all_is_well(const struct trial *t) {
    for (uint64_t seed = 1; seed <= MATTER_SEEDS; seed++) {
        if (matter_run(t, true, ALONE, seed).wrong) fail_msg("flagged, though careful: alone, seed %u", (unsigned)seed);
        if (matter_run(t, true, ALL, seed).wrong) fail_msg("flagged, though careful: seed %u", (unsigned)seed);
    }
}

static inline void matter_trial(void **state) {
    const struct trial *t = *state;
    it_finds_the_bug_alone(t);
    nothing_else_does(t);
    without_the_bug_all_is_well(t);
}

/* All kinds from `first` to `last`, in their order. */
static inline int matter_trials(const struct trial *trials, size_t n, enum orr_sim_fault first,
                                enum orr_sim_fault last) {
    static char names[MATTER_KINDS_MAX][160];
    struct CMUnitTest tests[MATTER_KINDS_MAX];
    if (n > MATTER_KINDS_MAX || n != (size_t)(last - first) + 1) abort();
    for (size_t i = 0; i < n; i++) {
        if (trials[i].kind != (enum orr_sim_fault)(first + i)) abort();
        snprintf(names[i], sizeof names[i], "only %s finds: %s", orr_sim_fault_name(trials[i].kind),
                 trials[i].program->bug);
        tests[i] = (struct CMUnitTest){ .name = names[i], .test_func = matter_trial,
                                        .initial_state = (void *)(uintptr_t)&trials[i] };
    }
    return _cmocka_run_group_tests("matter", tests, n, NULL, NULL);
}

#endif
