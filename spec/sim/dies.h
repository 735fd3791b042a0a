/* dies.h - does a function end the process by an assertion? It runs in a child, whose words are thrown away. */
#ifndef ORR_SPEC_SIM_DIES_H
#define ORR_SPEC_SIM_DIES_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef ORR_NO_ASSERTS
enum { ASSERTS_ON = 0 };
#else
enum { ASSERTS_ON = 1 };
#endif

static inline bool dies(void (*fn)(void)) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(2);
        fn();
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
