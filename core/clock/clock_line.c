/* clock_line.c - a straight line between upper and lower bounds: the support vector machine of Huygens (NSDI 2018).
 *
 * Each exchange gives a value that the offset is surely below and one that it is surely above. Of all lines that part
 * the two kinds, the one with the widest margin is taken; points on the wrong side are forgiven at a price. Where the
 * clock runs straight, such a line comes nearer as 1/n, like the bounds themselves; where it bends, it is wrong.
 *
 * Solved in its dual form, one coordinate after the other (Hsieh and others, ICML 2008): each point has a price, from
 * 0, where it doesn't touch the margin, to PRICE_MOST. The solutions of two exchanges running differ little, so each
 * begins at the last one's prices, and a few sweeps do.                                                             */
#include <math.h>

#include "clock/clock_inner.h"

#define PRICE_MOST 1000.0
#define STILL 1e-4                  /* a sweep that moves no price by more was the last */
enum { SWEEPS = 16, LEAST = 4 };

struct point {
    double x, v, side;              /* moment, offset, 1 for an upper bound and -1 for a lower one */
    float *price;                   /* kept for the next time */
};
struct plane {                      /* x, v, 1: 1 and more on the upper bounds, -1 and less on the lower */
    double x, v, one;
};

static void lean(struct plane *plane, const struct point *p, double by) {
    plane->x += by * p->side * p->x;
    plane->v += by * p->side * p->v;
    plane->one += by * p->side;
}

static void solve(struct plane *plane, const struct point *points, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) lean(plane, &points[i], (double)*points[i].price);
    for (unsigned round = 0; round < SWEEPS; round++) {
        double most = 0;
        for (uint32_t i = 0; i < n; i++) {
            const struct point *p = &points[i];
            double missing = 1 - p->side * (plane->x * p->x + plane->v * p->v + plane->one);
            double before = (double)*p->price;
            double price = before + missing / (p->x * p->x + p->v * p->v + 1);
            *p->price = (float)orri_smaller(orri_larger(price, 0), PRICE_MOST);
            double moved = (double)*p->price - before;
            if (moved < 0 || moved > 0) lean(plane, p, moved);
            most = orri_larger(most, fabs(moved));
        }
        if (most < STILL) return;
    }
}

bool orri_line_fit(float price[][2], uint32_t length, const struct orri_history *h, const struct orri_bank *b,
                   double jitter, double *offset) {
    struct point points[2 * ORRI_HISTORY];
    struct plane plane = { 0, 0, 0 };
    uint32_t n = h->n < length ? h->n : length;
    if (n < LEAST) return false;
    double span = orri_seconds(b->at - orri_history_at(h, n - 1)->at), gap = INFINITY;
    for (uint32_t j = 0; j < n; j++) {
        gap = orri_smaller(gap, (orri_history_at(h, j)->high - orri_history_at(h, j)->low) / 2);
    }
    /* Against the bank's own line, in units of the jitter; what lies between all bounds anyway is taken out. */
    double unit = orri_smaller(jitter, gap);
    gap -= unit;
    for (uint32_t j = 0; j < n; j++) {
        const struct orri_bounds *e = orri_history_at(h, j);
        float *own = price[(h->next + ORRI_HISTORY - 1 - j) % length];
        double dt = orri_seconds(e->at - b->at);
        double x = 2 * dt / span + 1, base = b->offset + b->rate * dt;
        if (j == 0) own[0] = own[1] = 0;
        points[2 * j] = (struct point){ x, (e->high - base - gap) / unit, 1, &own[0] };
        points[2 * j + 1] = (struct point){ x, (e->low - base + gap) / unit, -1, &own[1] };
    }
    solve(&plane, points, 2 * n);
    if (!(plane.v > 1e-12)) return false;
    *offset = b->offset - unit * (plane.x + plane.one) / plane.v;       /* where the plane is 0, at x = 1 */
    return true;
}
