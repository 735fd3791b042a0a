/* cluster.c - a cluster for scripts: `cluster PROGRAM N` prints a line `node ID resp PORT` for each node, then
 * `ready`, and stays until it is told to stop. Ports are free ones, the folder goes with it. */
#include <signal.h>
#include <stdlib.h>

#include "live.h"

int main(int argc, char **argv) {
    struct live l;
    sigset_t ends;
    int number;
    long n = argc == 3 ? atol(argv[2]) : 0;
    if (n < 1 || n > LIVE_NODES_MAX) return fprintf(stderr, "usage: cluster PROGRAM N\n"), 2;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    live_init(&l, argv[1], (size_t)n);
    live_up(&l);
    sigprocmask(SIG_BLOCK, &ends, NULL);        /* after the nodes were started: they want theirs */
    for (size_t i = 0; i < l.n; i++) printf("node %s resp %u\n", l.nodes[i].id, l.nodes[i].resp);
    printf("ready\n");
    sigwait(&ends, &number);
    return live_end(&l);
}
