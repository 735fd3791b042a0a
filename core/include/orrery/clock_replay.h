/* clock_replay.h - a clock fed from a recorded trace, a line of text at a time.
 *
 *     char text[ORR_CLOCK_TEXT];
 *     while (the next line) {
 *         int said = orr_clock_replay(c, line, size, text);
 *         if (said < 0) ...                                // malformed: text says what
 *         if (said > 0) puts(text);                        // it was a query, this is the answer
 *     }
 *
 * Lines, their fields apart by blanks, times in ns:
 *
 *     X peer t1 t2 t3 t4 . . . stratum root_delay root_dispersion      an exchange; it is now t4
 *     L peer . t1                                                      a request without a reply; it is now t1
 *     S local millicelsius                                             a temperature
 *     Q . local . ...                                                  a query; whatever follows is not read
 *
 * A dot stands for any word: there a generator of traces writes what was true, and it is not read. Empty lines, and
 * those that begin with `#`, are passed over. The answer is
 *
 *     local offset earliest latest sd freq_ppb state goodmask
 *
 * in ns, offset being reference minus local, and earliest and latest likewise; freq_ppb is the local clock's against
 * reference, positive is fast; state is sync, holdover or unsync; bit k of goodmask (hexadecimal) is the true peer in
 * place k. `-` is unknown. */
#ifndef ORR_CLOCK_REPLAY_H
#define ORR_CLOCK_REPLAY_H

#include <orrery/clock.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ORR_CLOCK_TEXT = 192 };
/* Feeds it one line, without its newline. A peer that the clock doesn't know is added. 1: it was a query, `text` is the
 * answer; 0: it wasn't; ORR_EINVALID: the line is malformed, `text` says where, and nothing has changed;
 * ORR_EOVERLOADED: one peer more than there is room for, likewise. */
ORR_API int orr_clock_replay(struct orr_clock *c, const char *line, size_t size, char text[ORR_CLOCK_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
