/* parser.h - Redis's requests out of a stream of bytes: *n arrays of $n strings, and lines typed by hand.
 *
 * A command is parsed where it lies; only a line's words are copied (their quotes and escapes go). Bytes that
 * were offered once and did not make a whole command are offered again from the command's beginning: the parser
 * goes on where it stopped. */
#ifndef ORRI_RESP_PARSER_H
#define ORRI_RESP_PARSER_H

#include <orrery/base.h>

enum {
    ORRI_RESP_ARGS_MAX = 1 << 20,
    ORRI_RESP_BULK_MAX = 8 << 20,           /* one argument: a value's limit */
    ORRI_RESP_LINE_MAX = 64 << 10,
    ORRI_RESP_ARGS_HERE = 6
};
struct orri_resp_arg {
    uint32_t from, size;                    /* from: counted from `base` */
};
struct orri_resp_parser {
    const struct orr_alloc *alloc;
    size_t command_max;                     /* bytes of a whole command */
    const unsigned char *base;              /* of a whole command's arguments,
                                             * borrowed with its bytes or our own `words` */
    struct orri_resp_arg *args, here[ORRI_RESP_ARGS_HERE];
    uint32_t n_args, args_max, announced;
    size_t at;                              /* bytes of this command dealt with */
    int64_t bulk;                           /* size of the string that comes, -1: its $ line comes */
    unsigned char *words;
    size_t words_size;
    const char *error;                      /* what to tell the client; static, or in error_text */
    char error_text[48];
};

void orri_resp_parser_init(struct orri_resp_parser *p, const struct orr_alloc *alloc, size_t command_max);
void orri_resp_parser_clear(struct orri_resp_parser *p);
/* 1: a whole command (n_args may be 0: nothing to do), `p->at` bytes long, its arguments good until parser_next.
 * 0: more is needed; *need: no use to call with less. -1: broken, see error;
 * the stream can't be followed any further. */
int orri_resp_parse(struct orri_resp_parser *p, const unsigned char *at, size_t size, size_t *need);
void orri_resp_parser_next(struct orri_resp_parser *p);

static inline struct orr_slice orri_resp_arg(const struct orri_resp_parser *p, size_t i) {
    return orr_borrow(p->base + p->args[i].from, p->args[i].size);
}

#endif
