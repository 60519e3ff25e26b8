/* symbols.h - from an address of this process to source lines, inlined calls included (libdw). One thread. */
#ifndef NJ_PROFILE_SYMBOLS_H
#define NJ_PROFILE_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/error.h"

typedef struct nj_symbols nj_symbols;

/* A function of the source text; all its compiled pieces are one. */
typedef struct nj_function {
    const char *name, *file; /* file: as the compiler wrote it, absolute where it could be made so;
                              * "" = no debug information */
    int line;                /* of its definition; 0 = not known */
} nj_function;

/* One level of a stack. */
typedef struct nj_frame {
    uint32_t function; /* index for nj_symbols_function */
    int line;          /* 0 = not known */
    bool part;         /* a piece that the compiler split off the function that calls it */
} nj_frame;

/* How to get from a frame to its caller's, for the code from..to. */
typedef enum {
    NJ_CFI_PLAIN, /* caller's frame at stack or base pointer + cfa_offset, its address 8 below */
    NJ_CFI_END,   /* the host's dispatch, or the first function of a thread */
    NJ_CFI_HARD   /* another kind of rule, or none */
} nj_cfi_kind;
typedef struct nj_cfi {
    uint64_t from, to;
    int64_t cfa_offset, bp_offset; /* bp_offset: of the caller's base pointer, from the frame's address;
                                    * 0 = not saved */
    nj_cfi_kind kind;
    bool from_bp, bp_saved;
} nj_cfi;

nj_symbols *nj_symbols_new(nj_error *err); /* of the objects that are loaded now */
void nj_symbols_free(nj_symbols *s);
/* The frames of an address, innermost first; is_return: a return address (the call lies before it). Never 0
 * frames: without debug information, one with the symbol's name. The pointer lives until the next call. */
uint32_t nj_symbols_frames(nj_symbols *s, uint64_t pc, bool is_return, const nj_frame **frame);
const nj_function *nj_symbols_function(const nj_symbols *s, uint32_t function);
/* The line of the function at this address from which it leaves for callee by a tail call: that of the only
 * call of this kind, or of the only one to a function of that name. 0 = not known. */
int nj_symbols_tail_line(nj_symbols *s, uint64_t pc, const char *callee);
/* The file that defines the function at this address, how it was compiled (DW_AT_producer);
 * NULL without -g. */
const char *nj_symbols_source(nj_symbols *s, uint64_t pc, const char **producer);

/* The rule that holds at an address, x86-64, and from which one on.
 * HARD for the address alone when there is none. */
nj_cfi nj_symbols_cfi(nj_symbols *s, uint64_t pc);
/* Is it code of the host's dispatch, below which the host ends and the module begins? */
bool nj_symbols_is_dispatch(const nj_function *function);

#endif
