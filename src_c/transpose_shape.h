/* The shape of a transposition's tiles. */
#ifndef MPIM_TRANSPOSE_SHAPE_H
#define MPIM_TRANSPOSE_SHAPE_H

#include "internal.h"

#if MPIM_X86
#include <immintrin.h>
#define STREAM 1
#else
#define STREAM 0
#endif

enum {
    LANE_BYTES = 16,
    LINE_BYTES = 64,
    TILE_ROWS = 64, /* of src; a multiple of all blocks' */
    COLUMN_BYTES = 256, /* of a src row in a tile, at most */
    PANEL_BYTES = 256 << 10,   /* in the second cache */
    STREAM_BYTES = 4 << 20      /* results from this size on go past the cache */
};

/* A tile is `rows` x `columns` items, less at the edges.
 *
 * Where the rows of dst are contiguous but do not begin with a line, `panel` is set: whole rows of
 * dst are put together in the cache and written as one run, else nearly every run would share its
 * first and last line with a neighbour. */
struct shape {
    size_t rows, columns;
    int panel, stream;
};

static inline struct shape shape_of(size_t itemsize, size_t n, size_t m, const void *dst,
                                    ptrdiff_t dst_stride)
{
    const size_t row_bytes = n * itemsize;
    const int aligned = (dst_stride | (ptrdiff_t)(uintptr_t)dst) % LINE_BYTES == 0;
    struct shape shape = {TILE_ROWS, COLUMN_BYTES / itemsize, 0, 0};
    shape.stream = STREAM && row_bytes * m >= STREAM_BYTES;
    shape.panel = shape.stream && !aligned && dst_stride == (ptrdiff_t)row_bytes &&
                  row_bytes * (LINE_BYTES / itemsize) <= PANEL_BYTES;
    if (shape.panel)
        while (shape.columns * row_bytes > PANEL_BYTES)
            shape.columns /= 2;
    return shape;
}

/* The runs' distance is no power of two, or they would compete for a few sets of the cache. */
enum { RUN_PITCH = TILE_ROWS * 8 + LINE_BYTES };

/* A tile's edge blocks read rows that were not filled, and drop what
 * comes of them. */
struct tile_buffers {
    char in[TILE_ROWS * COLUMN_BYTES] __attribute__((aligned(64)));
    char out[LANE_BYTES * RUN_PITCH] __attribute__((aligned(64)));
};

#endif
