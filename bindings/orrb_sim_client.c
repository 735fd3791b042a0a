/* orrb_sim_client.c - endpoints outside the nodes of a simulation: core.client, a connection to a node's listener. */
#include <stdlib.h>
#include <string.h>

#include <orrery/sim.h>

#include "orrb_sim.h"

struct orrb_sim_client {
    struct orrb_sim_client *next;
    struct orrb_sim *owner;         /* NULL: closed */
    struct orr_sim_client *client;
    bool connected, over;           /* over: the other side, or the link, has ended it */
    int status;
    char *bytes;
    size_t size, cap;
};

static void on_connected(void *ud) {
    struct orrb_sim_client *c = ud;
    c->connected = true;
    orrb_sim_tell(c->owner);
}

static void on_data(void *ud, const void *bytes, size_t size) {
    struct orrb_sim_client *c = ud;
    if (size > c->cap - c->size) {
        size_t cap = 2 * (c->size + size);
        char *more = realloc(c->bytes, cap);
        if (!more) abort();         /* as the simulator's own memory: no outcome of a run may depend on it */
        c->bytes = more;
        c->cap = cap;
    }
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
    orrb_sim_tell(c->owner);
}

static void on_closed(void *ud, int status) {
    struct orrb_sim_client *c = ud;
    c->over = true;
    orrb_sim_tell(c->owner);
    c->status = status;
}

static void client_end(struct orrb_sim_client *c) {
    if (!c->owner) return;
    struct orrb_sim_client **at = &c->owner->clients;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    orr_sim_client_free(c->client);
    free(c->bytes);
    *c = (struct orrb_sim_client){ 0 };
}

void orrb_sim_clients_end(struct orrb_sim *s) {
    while (s->clients) client_end(s->clients);
}

static struct orrb_sim_client *check_client(lua_State *L) {
    struct orrb_sim_client *c = luaL_checkudata(L, 1, ORRB_SIM_CLIENT);
    luaL_argcheck(L, c->owner, 1, "the client is closed");
    return c;
}

int orrb_sim_client_close(lua_State *L) {
    client_end(luaL_checkudata(L, 1, ORRB_SIM_CLIENT));
    return 0;
}

/* sim:client(name, address) -> a client that connects */
static int sim_client(lua_State *L) {
    static const struct orr_sim_client_ops ops = { on_connected, on_data, on_closed };
    struct orrb_sim *s = orrb_sim_self(L);
    const char *name = luaL_checkstring(L, 2), *address = luaL_checkstring(L, 3);
    struct orrb_sim_client *c = lua_newuserdatauv(L, sizeof *c, 1);
    *c = (struct orrb_sim_client){ 0 };
    luaL_setmetatable(L, ORRB_SIM_CLIENT);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);    /* keeps the simulation */
    int rc = orr_sim_client_new(s->sim, &c->client, name, &ops, c);
    if (rc < 0) return orrb_fail(L, rc, "client");
    c->owner = s;
    c->next = s->clients;
    s->clients = c;
    rc = orr_sim_client_connect(c->client, address);
    return rc < 0 ? orrb_fail(L, rc, address) : 1;
}

/* client:send(bytes): queued while it connects */
static int client_send(lua_State *L) {
    struct orrb_sim_client *c = check_client(L);
    size_t size;
    const char *bytes = luaL_checklstring(L, 2, &size);
    return orrb_sim_answer(L, orr_sim_client_send(c->client, bytes, size), "send");
}

/* client:take() -> what came since the last time, "connecting", "open" or "closed" */
static int client_take(lua_State *L) {
    struct orrb_sim_client *c = check_client(L);
    lua_pushlstring(L, c->size ? c->bytes : "", c->size);
    c->size = 0;
    lua_pushstring(L, c->over ? "closed" : c->connected ? "open" : "connecting");
    return 2;
}

const luaL_Reg orrb_sim_clients[] = { { "client", sim_client }, { NULL, NULL } };
const luaL_Reg orrb_sim_client_methods[] = {
    { "send", client_send }, { "take", client_take }, { "close", orrb_sim_client_close }, { NULL, NULL },
};
