/* The shape of a transposition's tiles, and their buffers. */
#ifndef MPIM_TRANSPOSE_SHAPE_H
#define MPIM_TRANSPOSE_SHAPE_H

#include "internal.h"

#if MPIM_X86
#include <immintrin.h>
#define STREAM 1
#else
#define STREAM 0
#endif

#ifndef TILE_ROW
#define TILE_ROW 512
#endif
#ifndef TILE_COLUMN
#define TILE_COLUMN 128
#endif
/* Bytes of a run in dst and in src, and the size from which a result goes past the cache. */
enum { STREAM_BYTES = 8 << 20 };

/* The widest tile is of bytes: TILE_ROW rows of TILE_COLUMN bytes; then 16 runs of the result. */
struct tile_buffers {
    char in[TILE_ROW * TILE_COLUMN] __attribute__((aligned(64)));
    char out[16 * TILE_ROW] __attribute__((aligned(64)));
};

#endif
