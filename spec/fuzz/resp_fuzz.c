/* resp_fuzz.c - any bytes from a client, in packets of any size, with writes applied, served and lost in between.
 * The first byte of the input says how it is cut, the second what becomes of what waits. */
#include "../node/resp_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size) {
    static struct fake f;
    if (size < 2) return 0;
    fake_init(&f);
    struct fake_conn *c = fake_connect(&f);
    size_t cut = at[0] ? at[0] : size;
    unsigned fate = at[1];
    for (size_t i = 2, n; i < size; i += n) {
        n = cut < size - i ? cut : size - i;
        fake_feed(c, at + i, n);
        if ((fate & 3) == 0) fake_turn(&f);
        if ((fate & 3) == 1) fake_services(&f);
        if ((fate & 4) && f.n_ops) fake_lose(&f, false, ORR_EUNKNOWN);
        if ((fate & 8) && f.n_reads) fake_lose(&f, true, ORR_ETIMEOUT);
        f.at.time += ORR_MS;
    }
    fake_turn(&f);
    fake_free(&f);
    return 0;
}
