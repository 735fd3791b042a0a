/* median.c - the median of clocks that are known by intervals only.
 *
 * The k-th smallest of n values grows where any of the values grows. So whatever each clock is within its interval, the
 * k-th smallest of them is between the k-th smallest lower end and the k-th smallest upper end. With k the lower
 * median, (n + 1) / 2, both ends are finite while at most k - 1 lower and n - k upper ends are not: while a majority is
 * known. */
#include "node/median.h"

#include "base/assert.h"

orr_time orri_smallest(const orr_time *values, size_t n, size_t k) {
    orr_time sorted[ORRI_MEDIAN_MAX];
    ORR_ASSERT(n <= ORRI_MEDIAN_MAX && k >= 1 && k <= n);
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > values[i]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
    }
    return sorted[k - 1];
}

struct orri_span orri_median(const struct orri_span *clocks, size_t n) {
    orr_time lows[ORRI_MEDIAN_MAX], highs[ORRI_MEDIAN_MAX];
    ORR_ASSERT(n >= 1 && n <= ORRI_MEDIAN_MAX);
    for (size_t i = 0; i < n; i++) {
        lows[i] = clocks[i].low;
        highs[i] = clocks[i].high;
    }
    size_t k = (n + 1) / 2;
    return (struct orri_span){ orri_smallest(lows, n, k), orri_smallest(highs, n, k) };
}

/* Where enough hold a point, the first such point is a lower end and the last one an upper end. */
struct orri_span orri_covered(const struct orri_span *spans, size_t n, size_t k) {
    struct orri_span out = { INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < n; i++) {
        size_t low = 0, high = 0;
        for (size_t j = 0; j < n; j++) {
            low += spans[j].low <= spans[i].low && spans[i].low <= spans[j].high;
            high += spans[j].low <= spans[i].high && spans[i].high <= spans[j].high;
        }
        if (low >= k && spans[i].low < out.low) out.low = spans[i].low;
        if (high >= k && spans[i].high > out.high) out.high = spans[i].high;
    }
    return out.low <= out.high ? out : ORRI_SPAN_ANY;
}
