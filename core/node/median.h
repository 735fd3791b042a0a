/* median.h - the median of clocks that are known by intervals only, and what most intervals hold: pure arithmetic. */
#ifndef ORRI_MEDIAN_H
#define ORRI_MEDIAN_H

#include <orrery/base.h>

/* A clock that may be anything. */
#define ORRI_SPAN_ANY ((struct orri_span){ INT64_MIN, INT64_MAX })

struct orri_span {
    orr_time low, high;
};
/* The lower median of n >= 1 clocks is in there. An end that is INT64_MIN or INT64_MAX is none. */
struct orri_span orri_median(const struct orri_span *clocks, size_t n);
/* From the first to the last point that at least k >= 1 of the n intervals hold; ORRI_SPAN_ANY: there is none. */
struct orri_span orri_covered(const struct orri_span *spans, size_t n, size_t k);
/* The k-th smallest, from 1. n is at most ORRI_MEDIAN_MAX. */
enum { ORRI_MEDIAN_MAX = 64 };
orr_time orri_smallest(const orr_time *values, size_t n, size_t k);

#endif
