/* server.c - commands about the connection and the server: answered here, in their place among the others.
 *
 * What a client library asks on its way in gets what it needs to go on: HELLO, CLIENT, COMMAND,
 * CONFIG GET. There is one database. */
#include <string.h>

#include "node/kv/kv.h"
#include "node/resp/resp.h"

/* The version of the protocol's first home that we speak like: clients choose their commands by it. */
static const char redis_version[] = "7.0.15";

static void say_text(struct orri_resp_conn *c, struct orr_slice text) {
    orri_resp_begin(c, 0);
    orri_resp_bulk(c, text.at, text.size);
    orri_resp_end(c, 0);
}

static void say_integer(struct orri_resp_conn *c, int64_t v) {
    orri_resp_begin(c, 0);
    orri_resp_integer(c, v);
    orri_resp_end(c, 0);
}

void orri_resp_ping(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    if (orri_resp_n(c) > 2) orri_resp_wrong_arity(c, cmd->face.name);
    else if (orri_resp_n(c) == 2) say_text(c, orri_resp_at(c, 1));
    else orri_resp_say_status(c, "PONG");
}

void orri_resp_echo(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    (void)cmd;
    say_text(c, orri_resp_at(c, 1));
}

void orri_resp_quit(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    (void)cmd;
    c->ended = true;
    orri_resp_begin(c, ORRI_RESP_CLOSE);
    orri_resp_status(c, "OK");
    orri_resp_end(c, ORRI_RESP_CLOSE);
}

void orri_resp_select(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    int64_t n;
    (void)cmd;
    if (!orri_resp_take_int(c, 1, &n)) return;
    if (n > INT32_MAX || n < INT32_MIN) {
        orri_resp_say_error(c, "ERR value is out of range, value must between -2147483648 and 2147483647");
    } else if (n != 0) orri_resp_say_error(c, "ERR DB index is out of range");
    else orri_resp_say_status(c, "OK");
}

/* -- Names --------------------------------------------------------------------------------------------------------- */

/* Redis's rule: printing characters and no blanks. */
static bool good_name(struct orr_slice name) {
    for (size_t i = 0; i < name.size; i++) {
        if (name.at[i] < '!' || name.at[i] > '~') return false;
    }
    return true;
}

/* False: it was refused, and that is answered. */
static bool set_name(struct orri_resp_conn *c, struct orr_slice name) {
    char *copy = NULL;
    if (!good_name(name)) {
        orri_resp_say_error(c, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    if (name.size > 0 && (name.size > ORRI_RESP_LINE_MAX || !(copy = c->alloc->fn(c->alloc->ud, NULL, 0, name.size)))) {
        orri_resp_say_error(c, "ERR out of memory");
        return false;
    }
    if (copy) memcpy(copy, name.at, name.size);
    if (c->name) c->alloc->fn(c->alloc->ud, c->name, c->name_size, 0);
    c->name = copy;
    c->name_size = copy ? name.size : 0;
    return true;
}

/* -- HELLO --------------------------------------------------------------------------------------------------------- */

static void say_hello(struct orri_resp_conn *c, unsigned flags) {
    orri_resp_begin(c, flags);
    orri_resp_map(c, 7);
    orri_resp_text(c, "server");
    orri_resp_text(c, "redis");
    orri_resp_text(c, "version");
    orri_resp_text(c, redis_version);
    orri_resp_text(c, "proto");
    orri_resp_integer(c, c->proto_in);
    orri_resp_text(c, "id");
    orri_resp_integer(c, (int64_t)orr_conn_serial(c->conn));
    orri_resp_text(c, "mode");
    orri_resp_text(c, "standalone");
    orri_resp_text(c, "role");
    orri_resp_text(c, "master");
    orri_resp_text(c, "modules");
    orri_resp_head(c, '*', 0);
    orri_resp_end(c, flags);
}

/* AUTH name password, SETNAME name. There are no passwords: the default user may come with any, nobody else exists. */
static bool hello_options(struct orri_resp_conn *c, struct orr_slice *name) {
    for (size_t i = 2; i < orri_resp_n(c); i++) {
        struct orr_slice word = orri_resp_at(c, i);
        size_t left = orri_resp_n(c) - i - 1;
        if (orri_resp_is(word, "auth") && left >= 2) {
            if (!orri_resp_is(orri_resp_at(c, i + 1), "default")) {
                orri_resp_say_error(c, "WRONGPASS invalid username-password pair or user is disabled.");
                return false;
            }
            i += 2;
        } else if (orri_resp_is(word, "setname") && left >= 1) {
            *name = orri_resp_at(c, ++i);
        } else {
            orri_resp_say_error(c, "ERR Syntax error in HELLO option '%.*s'", (int)(word.size < 128 ? word.size : 128),
                                (const char *)word.at);
            return false;
        }
    }
    return true;
}

void orri_resp_hello(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct orr_slice name = orr_borrow(NULL, 0);
    int64_t version = c->proto_in;
    (void)cmd;
    if (orri_resp_n(c) > 1 && !orri_kv_read_int(orri_resp_at(c, 1), &version)) {
        orri_resp_say_error(c, "ERR Protocol version is not an integer or out of range");
    } else if (version != 2 && version != 3) {
        orri_resp_say_error(c, "NOPROTO unsupported protocol version");
    } else if (hello_options(c, &name) && (!name.at || set_name(c, name))) {
        c->proto_in = (uint8_t)version;
        say_hello(c, version == 3 ? ORRI_RESP_PROTO3 : ORRI_RESP_PROTO2);
    }
}

/* -- Commands with subcommands ------------------------------------------------------------------------------------- */

struct sub {
    const char *name;
    int arity;                      /* with both names; negative: at least */
    void (*fn)(struct orri_resp_conn *c);
};

/* `of`: lower case, its name in errors. */
static void dispatch(struct orri_resp_conn *c, const char *of, const char *shouted, const struct sub *subs, size_t n) {
    struct orr_slice word = orri_resp_at(c, 1);
    int args = (int)orri_resp_n(c);
    for (size_t i = 0; i < n; i++) {
        if (!orri_resp_is(word, subs[i].name)) continue;
        if (subs[i].arity > 0 ? args == subs[i].arity : args >= -subs[i].arity) subs[i].fn(c);
        else orri_resp_say_error(c, "ERR wrong number of arguments for '%s|%s' command", of, subs[i].name);
        return;
    }
    orri_resp_say_error(c, "ERR unknown subcommand '%.*s'. Try %s HELP.", (int)(word.size < 128 ? word.size : 128),
                        (const char *)word.at, shouted);
}
#define DISPATCH(c, of, shouted, subs) dispatch((c), (of), (shouted), (subs), sizeof(subs) / sizeof *(subs))

static void ok(struct orri_resp_conn *c) { orri_resp_say_status(c, "OK"); }

/* -- CLIENT -------------------------------------------------------------------------------------------------------- */

static void client_setname(struct orri_resp_conn *c) {
    if (set_name(c, orri_resp_at(c, 2))) ok(c);
}

static void client_getname(struct orri_resp_conn *c) {
    orri_resp_begin(c, 0);
    if (c->name) orri_resp_bulk(c, c->name, c->name_size);
    else orri_resp_nil(c, c->proto_in);
    orri_resp_end(c, 0);
}

static void client_id(struct orri_resp_conn *c) { say_integer(c, (int64_t)orr_conn_serial(c->conn)); }

/* This connection's line: a service knows no other. */
static void client_line(struct orri_resp_conn *c) {
    char text[256], id[ORRI_KV_DIGITS], age[ORRI_KV_DIGITS];
    size_t size = 0;
    struct { const char *at; size_t n; } parts[] = {
        { "id=", 3 }, { id, orri_kv_write_int(id, (int64_t)orr_conn_serial(c->conn)) }, { " name=", 6 },
        { c->name ? c->name : "", c->name_size < 128 ? c->name_size : 128 }, { " age=", 5 },
        { age, orri_kv_write_int(age, (orr_conn_now(c->conn) - c->since) / ORR_SECOND) }, { " db=0 resp=", 11 },
        { c->proto_in == 3 ? "3" : "2", 1 }, { "\n", 1 },
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        memcpy(text + size, parts[i].at, parts[i].n);
        size += parts[i].n;
    }
    orri_resp_begin(c, 0);
    orri_resp_verbatim(c, text, size);
    orri_resp_end(c, 0);
}

static void client_reply(struct orri_resp_conn *c) {
    struct orr_slice word = orri_resp_at(c, 2);
    if (orri_resp_is(word, "on")) {
        c->mute = c->skip = false;
        ok(c);
    } else if (orri_resp_is(word, "off")) c->mute = true;
    else if (orri_resp_is(word, "skip")) c->skip_next = !c->mute;
    else orri_resp_syntax(c);
}

static void client_switch(struct orri_resp_conn *c) {
    struct orr_slice word = orri_resp_at(c, 2);
    if (orri_resp_is(word, "on") || orri_resp_is(word, "off")) ok(c);
    else orri_resp_syntax(c);
}

void orri_resp_client(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    static const struct sub subs[] = {
        { "setname", 3, client_setname }, { "getname", 2, client_getname }, { "id", 2, client_id },
        { "info", 2, client_line },       { "list", -2, client_line },      { "setinfo", 4, ok },
        { "reply", 3, client_reply },     { "no-evict", 3, client_switch }, { "no-touch", 3, client_switch },
    };
    DISPATCH(c, cmd->face.name, "CLIENT", subs);
}

/* -- CONFIG -------------------------------------------------------------------------------------------------------- */

static const char *const settings[][2] = {
    { "appendfsync", "always" }, { "appendonly", "yes" }, { "databases", "1" }, { "maxmemory", "0" },
    { "proto-max-bulk-len", "8388608" }, { "save", "" }, { "timeout", "0" },
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

static bool asked_for(const struct orri_resp_conn *c, const char *name) {
    for (size_t i = 2; i < orri_resp_n(c); i++) {
        struct orr_slice pattern = orri_resp_at(c, i);
        if (orri_resp_is(pattern, name) || orri_kv_match(pattern, orr_borrow(name, strlen(name)))) return true;
    }
    return false;
}

static void config_get(struct orri_resp_conn *c) {
    size_t n = 0;
    for (size_t i = 0; i < N_SETTINGS; i++) n += asked_for(c, settings[i][0]);
    orri_resp_begin(c, 0);
    orri_resp_map(c, n);
    for (size_t i = 0; i < N_SETTINGS; i++) {
        if (!asked_for(c, settings[i][0])) continue;
        orri_resp_text(c, settings[i][0]);
        orri_resp_text(c, settings[i][1]);
    }
    orri_resp_end(c, 0);
}

static void config_set(struct orri_resp_conn *c) {
    orri_resp_say_error(c, "ERR settings are made in the cluster file, not by CONFIG SET");
}

void orri_resp_config(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    static const struct sub subs[] = { { "get", -3, config_get }, { "set", -4, config_set }, { "resetstat", 2, ok } };
    DISPATCH(c, cmd->face.name, "CONFIG", subs);
}

/* -- COMMAND ------------------------------------------------------------------------------------------------------- */

/* Name, arity, flags, first key, last key, step: what a client routes by. */
static void describe(struct orri_resp_conn *c, const struct orr_resp_command *cmd) {
    bool has_key = cmd->flags & (ORR_RESP_KEY | ORR_RESP_KEYS | ORR_RESP_PAIRS);
    const char *kind = cmd->flags & ORR_RESP_WRITE ? "write"
                     : cmd->flags & ORR_RESP_READ ? "readonly" : "loading";
    orri_resp_head(c, '*', 6);
    orri_resp_text(c, cmd->name);
    orri_resp_integer(c, cmd->arity);
    orri_resp_head(c, '*', cmd->flags & ORR_RESP_FAST ? 2 : 1);
    orri_resp_status(c, kind);
    if (cmd->flags & ORR_RESP_FAST) orri_resp_status(c, "fast");
    orri_resp_integer(c, has_key);
    orri_resp_integer(c, cmd->flags & ORR_RESP_KEY ? 1 : has_key ? -1 : 0);
    orri_resp_integer(c, !has_key ? 0 : cmd->flags & ORR_RESP_PAIRS ? 2 : 1);
}

static size_t count_all(const struct orri_resp_conn *c) {
    size_t n = 0;
    while (c->back->at(c, n)) n++;
    return n;
}

static void command_all(struct orri_resp_conn *c) {
    size_t n = count_all(c);
    orri_resp_begin(c, 0);
    orri_resp_head(c, '*', (int64_t)n);
    for (size_t i = 0; i < n; i++) describe(c, c->back->at(c, i));
    orri_resp_end(c, 0);
}

static void command_info(struct orri_resp_conn *c) {
    if (orri_resp_n(c) == 2) {
        command_all(c);
        return;
    }
    orri_resp_begin(c, 0);
    orri_resp_head(c, '*', (int64_t)orri_resp_n(c) - 2);
    for (size_t i = 2; i < orri_resp_n(c); i++) {
        const struct orr_resp_command *cmd = c->back->find(c, orri_resp_at(c, i));
        if (cmd) describe(c, cmd);
        else orri_resp_nil(c, c->proto_in);
    }
    orri_resp_end(c, 0);
}

static void command_count(struct orri_resp_conn *c) {
    say_integer(c, (int64_t)count_all(c));
}

static void command_list(struct orri_resp_conn *c) {
    size_t n = count_all(c);
    orri_resp_begin(c, 0);
    orri_resp_head(c, '*', (int64_t)n);
    for (size_t i = 0; i < n; i++) orri_resp_text(c, c->back->at(c, i)->name);
    orri_resp_end(c, 0);
}

/* No documents: a client that asked for hints goes on without. */
static void command_docs(struct orri_resp_conn *c) {
    orri_resp_begin(c, 0);
    orri_resp_map(c, 0);
    orri_resp_end(c, 0);
}

void orri_resp_command(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    static const struct sub subs[] = {
        { "count", 2, command_count }, { "docs", -2, command_docs },
        { "info", -2, command_info }, { "list", -2, command_list },
    };
    if (orri_resp_n(c) == 1) command_all(c);
    else DISPATCH(c, cmd->face.name, "COMMAND", subs);
}
