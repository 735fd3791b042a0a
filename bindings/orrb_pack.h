/* orrb_pack.h - MessagePack as values are packed: its tokens, the order of keys, a buffer that grows without raising.
 *
 * Shared by orrb_pack.c, orrb_unpack.c, orrb_why.c and orrb_map.c; other files use orrb_value_... of orrb.h. The keys
 * of a table are ordered by kind, then by rank, and strings of the same rank bytewise. */
#ifndef ORRB_PACK_H
#define ORRB_PACK_H

#include <errno.h>
#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "orrb.h"

enum {
    ORRB_TABLE_DEPTH = 64,          /* tables within each other, the outermost one counted */
    ORRB_EXT_MAP = 1,               /* MessagePack's extension type of a map; its data is a MessagePack map */
    ORRB_HEAD_MAX = 9,              /* bytes of a token without its string */
};

/* -- Keys ---------------------------------------------------------------------------------------------------------- */
enum { ORRB_KEY_POSITIVE, ORRB_KEY_INTEGER, ORRB_KEY_FLOAT, ORRB_KEY_STRING, ORRB_KEY_BOOLEAN };

struct orrb_key {
    uint64_t rank;                  /* in this order within its kind; of strings their first eight bytes */
    const unsigned char *at;        /* of a string, borrowed; else NULL */
    size_t size;
    unsigned kind;
};

struct orrb_key orrb_key_of_integer(lua_Integer v);
struct orrb_key orrb_key_of_float(lua_Number v);        /* not NaN; one that is an integer is that integer's */
struct orrb_key orrb_key_of_string(const void *at, size_t size);
struct orrb_key orrb_key_of_boolean(int v);
/* Of the Lua value there; false if it has no order: nil, NaN, tables, functions and such. */
bool orrb_key_at(lua_State *L, int idx, struct orrb_key *out);
int orrb_key_compare(const struct orrb_key *a, const struct orrb_key *b);
lua_Integer orrb_key_integer(const struct orrb_key *key);   /* the way back, for the kinds that have one */
lua_Number orrb_key_float(const struct orrb_key *key);
void orrb_key_push(lua_State *L, const struct orrb_key *key);

/* -- Writing: into room that has been made ------------------------------------------------------------------------- */
int orrb_buffer_grow(lua_State *L, struct orrb_buffer *b, size_t more);
/* Room for so many bytes more: 0; -ENOMEM; ORR_EFULL: beyond what the buffer may hold. */
static inline int orrb_buffer_room(lua_State *L, struct orrb_buffer *b, size_t more) {
    return b->cap - b->size >= more ? 0 : orrb_buffer_grow(L, b, more);
}
/* Each returns where the next byte goes, at most ORRB_HEAD_MAX further on. */
unsigned char *orrb_put_integer(unsigned char *at, lua_Integer v);
unsigned char *orrb_put_float(unsigned char *at, lua_Number v);
unsigned char *orrb_put_string_head(unsigned char *at, size_t size);
unsigned char *orrb_put_table_head(unsigned char *at, size_t n, bool array);
unsigned char *orrb_put_ext_head(unsigned char *at, size_t size, int type);
/* The value at the top, without raising: 0; -ENOMEM; ORR_EFULL: too big; ORR_EINVALID: orrb_why knows. What it wrote
 * before an error is taken back. May leave values on the stack. */
int orrb_pack_top(lua_State *L, struct orrb_buffer *b, int depth);
int orrb_pack_key(lua_State *L, struct orrb_buffer *b, const struct orrb_key *key);
/* Raises what is wrong with the value at idx, which could not be packed; `what` names it. */
int orrb_why(lua_State *L, int idx, unsigned flags, const char *what);

/* -- Reading ------------------------------------------------------------------------------------------------------- */
enum orrb_token_kind {
    ORRB_TOKEN_BAD,                 /* nothing that a value starts with, or cut off */
    ORRB_TOKEN_NIL, ORRB_TOKEN_BOOLEAN, ORRB_TOKEN_INTEGER, ORRB_TOKEN_FLOAT, ORRB_TOKEN_STRING,
    ORRB_TOKEN_ARRAY, ORRB_TOKEN_MAP, ORRB_TOKEN_EXT,
};
struct orrb_token {
    enum orrb_token_kind kind;
    int type;                       /* of an extension */
    size_t n;                       /* bytes of a string or an extension's data; elements or pairs of a table */
    const unsigned char *at;        /* those bytes, borrowed */
    union {
        lua_Integer integer;        /* of a boolean: 0 or 1 */
        lua_Number number;
    };
};
void orrb_token_read(struct orr_reader *r, struct orrb_token *t);
/* Past one value that has been packed here. */
void orrb_token_skip(struct orr_reader *r);
/* As orrb_key_at; false for tokens that are no keys. */
bool orrb_token_key(const struct orrb_token *t, struct orrb_key *out);

static inline void orrb_put_be(unsigned char *at, uint64_t v, unsigned bytes) {
    orri_put_le(at, __builtin_bswap64(v) >> (64 - 8 * bytes), bytes);
}
static inline uint64_t orrb_get_be(const unsigned char *at, unsigned bytes) {
    return __builtin_bswap64(orri_get_le(at, bytes) << (64 - 8 * bytes));
}

/* -- Maps ---------------------------------------------------------------------------------------------------------- */
int orrb_map_pack(lua_State *L, struct orrb_map *m, struct orrb_buffer *b);     /* as orrb_pack_top */
/* Pushes the map whose packed pairs these are, or nothing and ORR_EINVALID. */
int orrb_map_unpack(lua_State *L, const void *at, size_t size);
/* Pushes the key at idx as a path shows it: .name, [1], ["a b"]. */
void orrb_key_describe(lua_State *L, int idx);
/* Pushes a buffer that lives as long as it is referred to. */
void orrb_buffer_push(lua_State *L);

#endif
