/* effect_test.c - every kind of fault, alone: it strikes, it is counted, and a node or its peer can tell.
 *
 * Three nodes tell each other, every 4 ms and each by datagram and by stream, a number and the time; each writes and
 * syncs a record and reads one back; each looks at its clocks and allocates a little. What is odd about all this is
 * counted. A run without faults has nothing odd; with one kind it has what that kind is for. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "probe.h"

enum { N = 3, RECORD = 704, RECORDS = 2048 };
static const char *const names[N] = { "n1", "n2", "n3" };
static const char *const addresses[N] = { "n1:1", "n2:1", "n3:1" };
#define LASTS (6 * ORR_SECOND)

struct figures {
    uint64_t grams, twice, overtaken, odd, pieces, again, closed;
    orr_time longest_way, longest_silence, longest_write;
    uint64_t write_errors, read_errors, sync_errors, full, wrong_reads;
    uint64_t downs, ups, empty, shrunk, pauses;
    uint64_t steps, stands, no_memory, rares;
    double drift;
};
struct frame {
    uint64_t number, from;
    orr_time sent;
    uint64_t check;
};
struct inlet {                      /* of a stream that others opened */
    struct orr_stream *stream;
    struct frame frame;
    size_t have;
    uint64_t last;
};
struct member {
    struct orr_stream *to[N];
    uint64_t number, heard[N];
    orr_time heard_at[N], next;
    struct inlet in[16];
    struct probe_req write, read, name;
    struct orr_file *log;
    unsigned char record[RECORD];
    unsigned round, looked;         /* records written; the one that is being read */
    unsigned synced[RECORDS];       /* by place: which round's record is there */
    orr_time asked, wall, local, at;
    uint32_t steps;
};
struct cluster {
    struct orr_sim *sim;
    struct probe p[N];
    struct member m[N];
    uint64_t size[N];               /* of its log, synced, over restarts */
    struct figures f;
};

static unsigned place_of(const struct probe *p) { return (unsigned)(p->name[1] - '1'); }
static uint64_t check_of(const struct frame *f) { return f->number * 31 + f->from * 17 + (uint64_t)f->sent; }

/* -- Hearing ----------------------------------------------------------------------------------------------------- */
static void heard(struct cluster *c, struct member *m, const struct frame *f, bool stream, uint64_t *last) {
    orr_time now = orr_sim_now(c->sim);
    if (f->check != check_of(f) || f->from >= N) {
        c->f.odd++;
        return;
    }
    if (stream) {
        c->f.again += f->number <= *last;
        if (now - f->sent > c->f.longest_way) c->f.longest_way = now - f->sent;
        if (m->heard_at[f->from] && now - m->heard_at[f->from] > c->f.longest_silence)
            c->f.longest_silence = now - m->heard_at[f->from];
        m->heard_at[f->from] = now;
    } else {
        c->f.grams++;
        c->f.twice += f->number == *last;
        c->f.overtaken += f->number < *last;
    }
    if (f->number > *last) *last = f->number;
}

static void take_bytes(struct cluster *c, struct member *m, struct inlet *in, struct orr_slice data) {
    c->f.pieces++;
    for (size_t i = 0; i < data.size; i++) {
        ((unsigned char *)&in->frame)[in->have++] = data.at[i];
        if (in->have < sizeof in->frame) continue;
        in->have = 0;
        heard(c, m, &in->frame, true, &in->last);
    }
}

static struct inlet *inlet_of(struct member *m, struct orr_stream *stream, bool make) {
    for (size_t i = 0; i < 16; i++)
        if (m->in[i].stream == stream) return &m->in[i];
    for (size_t i = 0; make && i < 16; i++) {
        if (m->in[i].stream) continue;
        m->in[i] = (struct inlet){ .stream = stream };
        return &m->in[i];
    }
    return NULL;
}

static void event(struct probe *p, struct orr_req *req) {
    struct cluster *c = p->ud;
    struct member *m = &c->m[place_of(p)];
    const struct orr_stream_event *e = (const struct orr_stream_event *)(const void *)req;
    if (req->op == ORR_OP_DATAGRAM) {
        const struct orr_datagram *d = (const struct orr_datagram *)(const void *)req;
        struct frame f = { .from = N };
        if (d->data.size == sizeof f) memcpy(&f, d->data.at, sizeof f);
        heard(c, m, &f, false, f.from < N ? &m->heard[f.from] : &f.number);
    } else if (req->op == ORR_OP_DATA) {
        struct inlet *in = inlet_of(m, e->stream, true);
        if (in) take_bytes(c, m, in, e->data);
    } else if (req->op == ORR_OP_CLOSED) {
        struct inlet *in = inlet_of(m, e->stream, false);
        if (in) in->stream = NULL;
        c->f.closed++;
        for (unsigned i = 0; i < N; i++)
            if (m->to[i] == e->stream) m->to[i] = NULL;
    }
}

/* -- Doing ------------------------------------------------------------------------------------------------------- */
static void tell(struct probe *p, struct member *m) {
    struct frame f = { ++m->number, place_of(p), orr_sim_now(p->sim), 0 };
    f.check = check_of(&f);
    for (unsigned i = 0; i < N; i++) {
        if (i == place_of(p)) continue;
        if (!m->to[i] && p->w->ops->connect(p->w, orr_id_of(names[i]), &m->to[i]) != 0) abort();
        struct orr_slice part = orr_borrow(&f, sizeof f);
        (void)p->w->ops->send(p->w, m->to[i], 0, &part, 1);
        (void)p->w->ops->datagram(p->w, orr_id_of(names[i]), part);
    }
}

static void look_at_record(struct cluster *c, struct probe *p, struct member *m) {
    struct orr_slice got = m->read.u.read.got;
    if (m->read.u.req.status == -EIO) c->f.read_errors++;
    for (size_t i = 0; m->read.u.req.status == 0 && i < got.size; i++) {
        if (got.at[i] == (unsigned char)m->synced[m->looked]) continue;
        c->f.wrong_reads++;
        break;
    }
    (void)p;
    orr_drop(got);
}

static void wrote(struct cluster *c, struct probe *p, struct member *m) {
    int status = m->write.u.req.status;
    orr_time took = p->w->ops->now(p->w) - m->asked;
    if (m->write.op == ORR_OP_OPEN) {
        m->log = status == 0 ? m->write.u.open.file : NULL;
        m->name = (struct probe_req){ .op = ORR_OP_SYNC_DIR };
        probe_submit(p, &m->name);
        uint64_t size = status == 0 ? m->write.u.open.size : 0;
        c->f.empty += c->size[place_of(p)] > 0 && size == 0;
        c->f.shrunk += size < c->size[place_of(p)];
        c->size[place_of(p)] = size;
    } else if (status == 0) {
        unsigned at = m->round++ % RECORDS;
        m->synced[at] = m->round;
        uint64_t end = (uint64_t)(at + 1) * RECORD;
        if (end > c->size[place_of(p)]) c->size[place_of(p)] = end;
        if (took > c->f.longest_write) c->f.longest_write = took;
    }
    if (status == -EIO || status == ORR_EPOISONED) {
        if (status == ORR_EPOISONED || orr_sim_counts(c->sim)[ORR_SIM_SYNC_ERROR] > c->f.sync_errors)
            c->f.sync_errors++;
        else c->f.write_errors++;
        p->w->ops->stop(p->w, 1, "disk");
    }
    c->f.full += status == ORR_EFULL;
}

static void work(struct cluster *c, struct probe *p, struct member *m) {
    if (!m->write.done || !m->read.done) return;
    wrote(c, p, m);
    if (m->read.op == ORR_OP_READ) look_at_record(c, p, m);
    m->read.op = 0;
    if (!m->log) return;
    m->asked = p->w->ops->now(p->w);
    memset(m->record, (int)(m->round + 1) & 0xff, sizeof m->record);
    m->write = (struct probe_req){ .op = ORR_OP_WRITE, .part = orr_borrow(m->record, sizeof m->record) };
    m->write.u.write = (struct orr_write){ .file = m->log, .at = m->round % RECORDS * RECORD, .flags = ORR_W_SYNC };
    probe_submit(p, &m->write);
    if (m->round == 0) return;
    m->looked = (unsigned)(m->number * 7919 % (m->round < RECORDS ? m->round : RECORDS));
    m->read = (struct probe_req){ .op = ORR_OP_READ };
    m->read.u.read = (struct orr_read){ .file = m->log, .at = m->looked * RECORD, .size = RECORD };
    probe_submit(p, &m->read);
}

static void look_at_clocks(struct cluster *c, struct probe *p, struct member *m) {
    struct orr_wall w;
    orr_time local = p->w->ops->now(p->w), at = orr_sim_now(p->sim);
    p->w->ops->wall(p->w, &w);
    if (m->at > 0 && at > m->at) {
        double drift = (double)(local - m->local) / (double)(at - m->at) - 1;
        if (drift < 0) drift = -drift;
        if (drift > c->f.drift) c->f.drift = drift;
        c->f.stands += w.realtime == m->wall;
    }
    c->f.steps += w.steps > m->steps;
    m->steps = w.steps;
    m->wall = w.realtime;
    m->local = local;
    m->at = at;
}

static void turn(struct probe *p) {
    struct cluster *c = p->ud;
    struct member *m = &c->m[place_of(p)];
    c->f.rares += ORR_RARE(p->w, "now and then");
    if (p->w->ops->now(p->w) < m->next) return;
    m->next = p->w->ops->now(p->w) + 4 * ORR_MS;
    tell(p, m);
    work(c, p, m);
    look_at_clocks(c, p, m);
    const struct orr_alloc *a = &p->w->alloc;
    void *block = a->fn(a->ud, NULL, 0, 100);
    if (block) (void)a->fn(a->ud, block, 100, 0);
    else c->f.no_memory++;
}

static void begin(struct probe *p) {
    struct cluster *c = p->ud;
    struct member *m = &c->m[place_of(p)];
    *m = (struct member){ .read = { .done = true } };
    for (unsigned i = 0; i < N; i++) {
        if (p->w->ops->peer(p->w, orr_id_of(names[i]), addresses[i]) != 0) abort();
    }
    m->write = (struct probe_req){ .op = ORR_OP_OPEN, .u.open = { .path = "log", .flags = ORR_F_CREATE } };
    probe_submit(p, &m->write);
}

static void on_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why) {
    struct cluster *c = ud;
    (void)now;
    (void)node;
    (void)code;
    c->f.downs += state == ORR_SIM_DOWN;
    c->f.ups += state == ORR_SIM_UP && strcmp(why, "start") == 0;
    c->f.pauses += state == ORR_SIM_PAUSED;
}

/* -- Runs -------------------------------------------------------------------------------------------------------- */
/* rates NULL: none. The counts are those while it struck. */
static struct figures run(uint64_t seed, const struct orr_sim_faults *rates, uint64_t counts[ORR_SIM_KINDS]) {
    struct cluster *c = calloc(1, sizeof *c);
    struct orr_sim_config cfg;
    assert_non_null(c);
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.life = on_life;
    cfg.ud = c;
    cfg.faults.rate[ORR_SIM_TURN_CUT] = cfg.faults.rate[ORR_SIM_SHORT_READ] = cfg.faults.rate[ORR_SIM_RARE] = 0;
    assert_int_equal(orr_sim_new(&c->sim, &cfg), 0);
    for (unsigned i = 0; i < N; i++) {
        c->p[i] = (struct probe){ .on_event = event, .on_turn = turn, .on_start = begin, .ud = c };
        assert_int_equal(probe_add(c->sim, &c->p[i], names[i], addresses[i]), 0);
    }
    if (rates) assert_int_equal(orr_sim_chaos(c->sim, rates, 100 * ORR_MS, LASTS + ORR_SECOND), 0);
    orr_sim_run(c->sim, LASTS);
    memcpy(counts, orr_sim_counts(c->sim), ORR_SIM_KINDS * sizeof *counts);
    struct figures f = c->f;
    c->f = (struct figures){ 0 };
    orr_sim_free(c->sim);
    free(c);
    return f;
}

/* Is it to be seen in f, beside a quiet run? */
static bool shows(enum orr_sim_fault kind, const struct figures *f, const struct figures *quiet) {
    switch (kind) {
    case ORR_SIM_LOSS: return f->grams < quiet->grams * 9 / 10;
    case ORR_SIM_DUPLICATE: return f->twice > 0 && f->grams > quiet->grams;
    case ORR_SIM_REORDER: return f->overtaken > 0;
    case ORR_SIM_DELAY: case ORR_SIM_STALL: return f->longest_way > 20 * ORR_MS && f->closed == 0;
    case ORR_SIM_FAR: case ORR_SIM_SLOW: return f->longest_way > 3 * quiet->longest_way && f->closed == 0;
    case ORR_SIM_MUTATE: return f->odd > 0;
    case ORR_SIM_REPLAY: return f->again > 0 && f->odd == 0;
    case ORR_SIM_RESET: return f->closed > 0 && f->downs == 0;
    case ORR_SIM_CUT: case ORR_SIM_CUT_ONE_WAY: case ORR_SIM_PARTITION:
        return f->longest_silence > 200 * ORR_MS && f->downs == 0;
    case ORR_SIM_CRASH: case ORR_SIM_CRASH_SEND: case ORR_SIM_CRASH_SUBMITTED: case ORR_SIM_CRASH_WRITTEN:
    case ORR_SIM_CRASH_SYNCED:
        return f->downs > 0 && f->ups > N && f->closed > 0;
    case ORR_SIM_CRASH_PROCESS: return f->downs > 0 && f->shrunk == 0;
    case ORR_SIM_CRASH_SILENT: return f->downs > 0;
    case ORR_SIM_RESTART_EMPTY: return f->empty > 0;
    case ORR_SIM_RESTART_OLD: return f->shrunk > 0;
    case ORR_SIM_START: return f->downs > 0 && f->ups > N;
    case ORR_SIM_PAUSE: return f->pauses > 0 && f->longest_silence > 100 * ORR_MS && f->downs == 0;
    case ORR_SIM_WRITE_ERROR: return f->write_errors > 0;
    case ORR_SIM_READ_ERROR: return f->read_errors > 0;
    case ORR_SIM_SYNC_ERROR: return f->sync_errors > 0;
    case ORR_SIM_SYNC_HANG: return f->longest_write > ORR_SECOND;
    case ORR_SIM_WORN: return f->longest_write > 5 * quiet->longest_write;
    case ORR_SIM_DISK_FULL: return f->full > 0;
    case ORR_SIM_ROT: case ORR_SIM_MISDIRECTED: case ORR_SIM_STALE: return f->wrong_reads > 0;
    case ORR_SIM_CLOCK_STEP: return f->steps > 0;
    case ORR_SIM_CLOCK_FREEZE: return f->stands > 10;
    case ORR_SIM_CLOCK_DRIFT: case ORR_SIM_CLOCK_WANDER: return f->drift > 50e-6;
    case ORR_SIM_ALLOC: return f->no_memory > 0;
    case ORR_SIM_SHORT_READ: return f->pieces > quiet->pieces && f->odd == 0;
    case ORR_SIM_RARE: return f->rares > 0;
    default: return false;
    }
}

/* What is counted where it happens, of a power loss or of clients (file_test.c, stream_test.c); and turns that are cut
 * short, for which more must be ready at once than here (node_test.c). */
static bool elsewhere(int kind) {
    bool power_loss = kind >= ORR_SIM_SECTOR_LOST && kind <= ORR_SIM_NAME_BOTH;
    return power_loss || kind == ORR_SIM_HALF_CLOSE || kind == ORR_SIM_TURN_CUT;
}

static void one_kind(struct orr_sim_faults *rates, enum orr_sim_fault kind) {
    const char *unit = orr_sim_fault_unit(kind);
    orr_sim_faults_init(rates);
    memset(rates->rate, 0, sizeof rates->rate);
    rates->down_mean = 300 * ORR_MS;
    rates->rate[kind] = strcmp(unit, "TIMED") == 0 ? 2 : strcmp(unit, "SHARE") == 0 ? 1 : 0.05;
    if (strcmp(unit, "COUNT") == 0) rates->rate[kind] = 0;
    if (strcmp(unit, "SHARE") == 0) rates->rate[ORR_SIM_CRASH_WRITTEN] = 2;
    if (kind == ORR_SIM_LOSS) rates->rate[kind] = 0.3;
    if (kind == ORR_SIM_ROT) rates->rate[kind] = 60;
    if (kind == ORR_SIM_DISK_FULL) rates->rate[kind] = 4;
    if (kind == ORR_SIM_START) rates->rate[ORR_SIM_SYNC_ERROR] = 0.01;
    bool rare = kind == ORR_SIM_WRITE_ERROR || kind == ORR_SIM_SYNC_ERROR || kind == ORR_SIM_SYNC_HANG;
    if (rare) rates->rate[kind] = 0.01;
    if (kind == ORR_SIM_FAR) rates->delay = rates->jitter = 50 * ORR_MS;
    if (kind == ORR_SIM_WORN) rates->slower = 100;
}

static void each_kind_alone_is_counted_and_shows(void **state) {
    (void)state;
    unsigned missing = 0;
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        if (elsewhere(kind)) continue;
        struct orr_sim_faults rates;
        unsigned counted = 0, shown = 0;
        one_kind(&rates, (enum orr_sim_fault)kind);
        for (uint64_t seed = 1; seed <= 3; seed++) {
            uint64_t counts[ORR_SIM_KINDS], none[ORR_SIM_KINDS];
            struct figures quiet = run(seed, NULL, none), hurt = run(seed, &rates, counts);
            assert_false(shows((enum orr_sim_fault)kind, &quiet, &quiet));
            assert_int_equal(none[kind], 0);
            counted += counts[kind] > 0;
            shown += shows((enum orr_sim_fault)kind, &hurt, &quiet);
        }
        if (counted >= 2 && shown >= 2) continue;
        print_message("%s: counted in %u of 3 runs, shown in %u\n", orr_sim_fault_name((enum orr_sim_fault)kind),
                      counted, shown);
        missing++;
    }
    assert_int_equal(missing, 0);
}

static void a_quiet_run_has_nothing_odd(void **state) {
    (void)state;
    uint64_t counts[ORR_SIM_KINDS];
    struct figures f = run(4, NULL, counts);
    assert_true(f.grams > 5000 && f.pieces > 5000);
    assert_int_equal(f.twice + f.overtaken + f.odd + f.again + f.closed, 0);
    assert_int_equal(f.write_errors + f.read_errors + f.sync_errors + f.full + f.wrong_reads, 0);
    assert_int_equal(f.downs + f.empty + f.shrunk + f.pauses + f.steps + f.stands + f.no_memory + f.rares, 0);
    assert_int_equal(f.ups, N);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) assert_int_equal(counts[kind], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_run_has_nothing_odd),
        cmocka_unit_test(each_kind_alone_is_counted_and_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
