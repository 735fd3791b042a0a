/* history_fuzz.c - any bytes as a history, in pieces of any size, judged by each model. The first byte of the input
 * says how it is cut, the second which model, and how. Whatever is read is judged, within a small budget. */
#include <orrery/check.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size) {
    struct orr_history *h;
    struct orr_report report;
    if (size < 2 || orr_history_new(&h, NULL) < 0) return 0;
    size_t cut = at[0] ? at[0] : size;
    struct orr_judge judge = { .sequential = at[1] & 0x40, .strict = at[1] & 0x40, .search = at[1] & 0x80,
                               .steps_max = 20000 };
    size_t models = 0;
    while (orr_model_name(models)) models++;
    judge.model = (at[1] & 0x3f) < models ? orr_model_name(at[1] & 0x3f) : NULL;
    int rc = 0;
    for (size_t i = 2, n; i < size && rc == 0; i += n) {
        n = cut < size - i ? cut : size - i;
        rc = orr_history_read(h, at + i, n);
    }
    if (rc == 0) rc = orr_history_end(h);
    if (rc == 0) rc = orr_history_judge(h, &judge, &report);
    if (rc == ORR_EINVALID && orr_history_error(h)[0] == '\0') abort();     /* what is wrong is said */
    if (rc == 0 && report.result == ORR_VERDICT_VIOLATED && (!report.text || report.n_lines == 0)) abort();
    if (rc == 0 && (report.text ? strlen(report.text) : 0) > 64 * size + 65536) abort();
    orr_history_free(h);
    return 0;
}
