/* commands.c - how a command is found and checked, whoever answers it; Redis 7.0's texts for what isn't one. */
#include <stdarg.h>
#include <string.h>

#include "node/kv/kv.h"
#include "node/resp/resp.h"

const char orri_resp_not_integer[] = "ERR value is not an integer or out of range";

enum { NAME_MAX = 64 };

static unsigned char lower(unsigned char c) { return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c; }

bool orri_resp_is(struct orr_slice arg, const char *word) {
    for (size_t i = 0; i < arg.size; i++) {
        if (word[i] == 0 || lower(arg.at[i]) != (unsigned char)word[i]) return false;
    }
    return word[arg.size] == 0;
}

const struct orr_resp_command *orri_resp_search(const struct orr_resp_command *table, size_t n, size_t stride,
                                                struct orr_slice name) {
    char folded[NAME_MAX];
    if (name.size == 0 || name.size >= NAME_MAX) return NULL;
    for (size_t i = 0; i < name.size; i++) folded[i] = (char)lower(name.at[i]);
    folded[name.size] = 0;
    size_t from = 0, to = n;
    while (from < to) {
        size_t mid = (from + to) / 2;
        const void *at = (const char *)table + mid * stride;
        const struct orr_resp_command *cmd = at;
        int order = strcmp(folded, cmd->name);
        if (order == 0) return memchr(folded, 0, name.size) ? NULL : cmd;
        if (order < 0) to = mid;
        else from = mid + 1;
    }
    return NULL;
}

/* -- What isn't a command ------------------------------------------------------------------------------------------ */

/* Up to a NUL, as printf would show it. */
static int shown(struct orr_slice arg, size_t max) {
    const unsigned char *nul = memchr(arg.at, 0, arg.size);
    size_t size = nul ? (size_t)(nul - arg.at) : arg.size;
    return (int)(size < max ? size : max);
}

static void unknown(struct orri_resp_conn *c) {
    enum { SHOWN = 128 };
    char args[2 * SHOWN];
    size_t size = 0;
    for (size_t i = 1; i < orri_resp_n(c) && size < SHOWN; i++) {
        struct orr_slice arg = orri_resp_at(c, i);
        size_t n = (size_t)shown(arg, SHOWN - size);
        args[size++] = '\'';
        memcpy(args + size, arg.at, n);
        size += n;
        args[size++] = '\'';
        args[size++] = ' ';
    }
    struct orr_slice name = orri_resp_at(c, 0);
    orri_resp_say_error(c, "ERR unknown command '%.*s', with args beginning with: %.*s", shown(name, SHOWN),
                        (const char *)name.at, (int)size, args);
}

void orri_resp_syntax(struct orri_resp_conn *c) { orri_resp_say_error(c, "ERR syntax error"); }

void orri_resp_wrong_arity(struct orri_resp_conn *c, const char *name) {
    orri_resp_say_error(c, "ERR wrong number of arguments for '%s' command", name);
}

/* A browser that was lured into talking to us says one of these first: no word to it. */
static bool is_http(const struct orri_resp_conn *c) {
    struct orr_slice name = orri_resp_at(c, 0);
    return orri_resp_is(name, "post") || orri_resp_is(name, "host:");
}

void orri_resp_dispatch(struct orri_resp_conn *c) {
    const struct orr_resp_command *cmd = c->back->find(c, orri_resp_at(c, 0));
    c->n_commands++;
    c->skip = c->skip_next;
    c->skip_next = false;
    if (!cmd) {
        if (is_http(c)) orri_resp_give_up(c);
        else unknown(c);
        return;
    }
    int n = (int)orri_resp_n(c);
    if (cmd->arity > 0 ? n != cmd->arity : n < -cmd->arity) orri_resp_wrong_arity(c, cmd->name);
    else c->back->run(c, cmd);
}

bool orri_resp_take_int(struct orri_resp_conn *c, size_t i, int64_t *out) {
    if (orri_kv_read_int(orri_resp_at(c, i), out)) return true;
    orri_resp_say_error(c, "%s", orri_resp_not_integer);
    return false;
}
