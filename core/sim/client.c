/* client.c - endpoints outside the nodes: streams whose owner is a callback.
 *
 * A client's callbacks are called from the tick that brings the news, never from inside one of its own functions, and
 * outside every node's turn. Each may call the client's functions, so everything is looked at anew after it.         */
#include <errno.h>
#include <string.h>

#include "sim/room.h"

struct orr_sim_client {
    struct orr_sim *sim;
    struct orr_sim_client *prev, *next;
    char *name;
    const struct orr_sim_client_ops *ops;
    void *ud;
    struct orri_end *end;           /* NULL: not connected, nor connecting */
    struct orri_tick tick;          /* news that came up while the client itself was calling */
    bool calling;
};

static void tick_fire(struct orri_tick *tick) {
    struct orr_sim_client *client = ORRI_CONTAINER(tick, struct orr_sim_client, tick);
    if (client->end) orri_client_news(client->end);
}

int orr_sim_client_new(struct orr_sim *sim, struct orr_sim_client **out, const char *name,
                       const struct orr_sim_client_ops *client_ops, void *ud) {
    struct orr_sim_client *client = orri_sim_get(sim, sizeof *client);
    client->sim = sim;
    client->name = orri_sim_text(sim, name);
    client->ops = client_ops;
    client->ud = ud;
    client->tick.fire = tick_fire;
    client->next = sim->clients;
    if (sim->clients) sim->clients->prev = client;
    sim->clients = client;
    *out = client;
    return 0;
}

/* The client has no stream any more. */
static void leave(struct orr_sim_client *client) {
    struct orri_end *end = client->end;
    struct orri_conn *conn = end->conn;
    client->end = NULL;
    end->client = NULL;
    orri_pieces_clear(client->sim, &end->inbox);
    orri_conn_release(conn);
}

void orr_sim_client_free(struct orr_sim_client *client) {
    if (!client) return;
    struct orr_sim *sim = client->sim;
    if (client->end) {
        if (!client->end->finished && !client->end->over) orri_wire_put(client->end, ORRI_FIN, 0);
        client->end->finished = true;
        leave(client);
    }
    if (client->prev) {
        client->prev->next = client->next;
    } else {
        sim->clients = client->next;
    }
    if (client->next) client->next->prev = client->prev;
    orri_sim_unset(sim, &client->tick);
    orri_sim_put_text(sim, client->name);
    orri_sim_put(sim, client, sizeof *client);
}

int orr_sim_client_connect(struct orr_sim_client *client, const char *address) {
    struct orr_sim *sim = client->sim;
    if (client->end) return -EISCONN;
    struct orri_conn *conn = orri_conn_new(sim, ORRI_SITE_CLIENTS, orri_listener_find(sim, address));
    client->end = &conn->end[0];
    client->end->client = client;
    return 0;
}

int orr_sim_client_send(struct orr_sim_client *client, const void *bytes, size_t size) {
    struct orri_end *end = client->end;
    if (!end || end->closing || end->ending) return -ENOTCONN;
    if (end->over) return 0;
    if (end->queue[1].bytes > client->sim->config.stream_bytes_max) return ORR_EOVERLOADED;
    struct orr_slice part = orr_borrow(bytes, size);
    orri_end_send(end, 1, &part, 1);
    client->calling = true;
    orri_wire_pump(end);
    client->calling = false;
    return 0;
}

int orr_sim_client_end(struct orr_sim_client *client) {
    struct orri_end *end = client->end;
    if (!end || end->closing || end->ending) return -ENOTCONN;
    end->ending = true;
    client->sim->counts[ORR_SIM_HALF_CLOSE]++;
    client->calling = true;
    orri_wire_pump(end);
    client->calling = false;
    return 0;
}

void orr_sim_client_close(struct orr_sim_client *client) {
    struct orri_end *end = client->end;
    if (!end || end->closing) return;
    end->closing = true;
    client->calling = true;
    if (end->finished) {
        orri_client_news(end);
    } else if (end->opened) {
        orri_wire_pump(end);
    } else {
        end->finished = true;
        orri_wire_put(end, ORRI_RST, -ECONNRESET);
        orri_client_news(end);
    }
    client->calling = false;
}

static void closed(struct orr_sim_client *client, int status) {
    struct orr_sim *sim = client->sim;
    leave(client);
    orri_sim_deliver(sim, UINT16_MAX, ORR_OP_CLOSED, status, NULL, 0);
    ORRI_SAY(sim, client->name, "CLOSED %d", status);
    client->ops->closed(client->ud, status);
}

static void data(struct orr_sim_client *client, struct orri_piece *piece) {
    struct orr_sim *sim = client->sim;
    orri_sim_carried(sim, piece->bytes, piece->size);
    orri_sim_deliver(sim, UINT16_MAX, ORR_OP_DATA, 0, piece->bytes, piece->size);
    ORRI_SAY(sim, client->name, "DATA %zu", piece->size);
    client->ops->data(client->ud, piece->bytes, piece->size);
    orri_piece_free(sim, piece);
}

/* Callbacks may change end->client at any time: it is looked at anew for each piece of news. */
void orri_client_news(struct orri_end *end) {
    struct orr_sim_client *client = end->client;
    if (client->calling) {
        orri_sim_set(client->sim, &client->tick, client->sim->now);
        return;
    }
    if (end->opened && !end->told) {
        end->told = true;
        ORRI_SAY(client->sim, client->name, "CONNECTED");
        client->ops->connected(client->ud);
    }
    while (end->client == client && end->inbox.first && !end->closing) data(client, orri_pieces_pop(&end->inbox));
    if (end->client != client) return;
    if (end->over) {
        closed(client, end->status);
    } else if (end->closing && end->finished) {
        closed(client, 0);
    }
}
