/* jobs.c - a pool of threads for work that would hold up the loop. Threads come as jobs wait for one, and stay.      */
#define _GNU_SOURCE
#include <errno.h>

#include "loop/inner.h"

void orri_jobs_init(struct orr_loop *loop) {
    struct orri_jobs *jobs = &loop->jobs;
    jobs->max = loop->config.jobs_max;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->work, NULL);
}

/* With the lock; it is let go while the job runs. */
static void run_next(struct orr_loop *loop) {
    struct orri_jobs *jobs = &loop->jobs;
    struct orri_list done = { NULL, NULL };
    struct orr_job *job = (struct orr_job *)(void *)orri_list_pop(&jobs->waiting);
    jobs->n_waiting--;
    bool canceled = job->req.cancel || jobs->stopping;
    pthread_mutex_unlock(&jobs->lock);
    if (canceled) job->req.status = ORR_ECANCELED;
    else job->run(job->arg);
    job->req.ended = orri_boottime();
    orri_list_add(&done, &job->req);
    orri_done_push(loop, &done);
    orri_done_ring(loop);
    pthread_mutex_lock(&jobs->lock);
}

static void *work(void *arg) {
    struct orr_loop *loop = arg;
    struct orri_jobs *jobs = &loop->jobs;
    pthread_mutex_lock(&jobs->lock);
    while (jobs->waiting.first || !jobs->stopping) {
        if (jobs->waiting.first) {
            run_next(loop);
            continue;
        }
        jobs->idle++;
        pthread_cond_wait(&jobs->work, &jobs->lock);
        jobs->idle--;
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

/* With the lock. One more thread, unless there are enough; an error only where there is none at all. */
static int hire(struct orr_loop *loop) {
    struct orri_jobs *jobs = &loop->jobs;
    if (jobs->n_waiting < jobs->idle || jobs->n == jobs->max) return 0;
    if (!jobs->threads) jobs->threads = orri_alloc(loop, jobs->max * sizeof *jobs->threads);
    int error = jobs->threads ? orri_thread_start(&jobs->threads[jobs->n], work, loop) : -ENOMEM;
    if (error == 0) jobs->n++;
    return jobs->n > 0 ? 0 : error;
}

int orri_job(struct orr_world *w, struct orr_job *r) {
    struct orr_loop *loop = orri_loop(w);
    struct orri_jobs *jobs = &loop->jobs;
    if (loop->halted) return ORR_ECLOSED;
    pthread_mutex_lock(&jobs->lock);
    int error = hire(loop);
    if (error == 0) {
        r->req.op = ORR_OP_JOB;
        r->req.cancel = false;
        r->req.status = 0;
        r->req.result = 0;
        r->req.begun = loop->now;
        orri_list_add(&jobs->waiting, &r->req);
        jobs->n_waiting++;
        pthread_cond_signal(&jobs->work);
    }
    pthread_mutex_unlock(&jobs->lock);
    return error;
}

void orri_jobs_cancel(struct orr_loop *loop, struct orr_req *req) {
    pthread_mutex_lock(&loop->jobs.lock);
    req->cancel = true;
    pthread_mutex_unlock(&loop->jobs.lock);
}

void orri_jobs_halt(struct orr_loop *loop) {
    struct orri_jobs *jobs = &loop->jobs;
    pthread_mutex_lock(&jobs->lock);
    jobs->stopping = true;
    pthread_cond_broadcast(&jobs->work);
    pthread_mutex_unlock(&jobs->lock);
    for (unsigned i = 0; i < jobs->n; i++) pthread_join(jobs->threads[i], NULL);
    orri_dealloc(loop, jobs->threads, jobs->max * sizeof *jobs->threads);
    jobs->threads = NULL;
    pthread_mutex_destroy(&jobs->lock);
    pthread_cond_destroy(&jobs->work);
}
