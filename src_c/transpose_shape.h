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

#ifndef TUNE_IN
#define TUNE_IN (256 << 10)
#define TUNE_RUN 4096
#define TUNE_COLUMN 256
#endif
enum {
    VECTOR_BYTES = 16,
    LINE_BYTES = 64,
    RUN_BYTES = TUNE_RUN,       /* of a dst row in a tile, at most */
    COLUMN_BYTES = TUNE_COLUMN, /* of a src row in a tile, at most */
    IN_BYTES = TUNE_IN,         /* the tile as it was in src: half of a small second cache */
    OUT_BYTES = VECTOR_BYTES * RUN_BYTES,
    STREAM_BYTES = 4 << 20 /* results from this size on go past the cache */
};

/* A tile is `rows` x `columns` items, less at the edges. `packed`: its runs are whole rows of a
 * contiguous dst and lie there one after the other. */
struct shape {
    size_t rows, columns;
    int packed, stream;
};

static inline struct shape shape_of(size_t itemsize, size_t n, size_t m, ptrdiff_t dst_stride)
{
    const size_t side = VECTOR_BYTES / itemsize;
    const size_t rows = smaller((n + side - 1) / side * side, RUN_BYTES / itemsize);
    size_t column_bytes = COLUMN_BYTES;
    while (column_bytes > LINE_BYTES && column_bytes * rows > IN_BYTES)
        column_bytes /= 2;
    const struct shape shape = {
        rows,
        column_bytes / itemsize,
        n <= rows && dst_stride == (ptrdiff_t)(n * itemsize),
        STREAM && n * m * itemsize >= STREAM_BYTES,
    };
    return shape;
}

#endif
