/* The shape of a transposition's pieces. */
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
    TILE_ROWS = 64,   /* of src; a multiple of all blocks' */
    GROUP_ROWS = 8,   /* read in step: so many streams the processor foresees */
    PANEL_RUN = 1024, /* of a src row in a panel, at most ... */
    RUN_LEAST = 256,  /* ... and where there are many rows: shorter runs are slow to read */
    PANEL_BYTES = 1 << 20,
    CHUNK_ROWS = PANEL_BYTES / RUN_LEAST, /* more rows are taken one chunk after the other */
    TILE_PITCH = PANEL_RUN + LINE_BYTES,  /* no power of two: a column's lines share no set */
    TILE_BYTES = TILE_ROWS * TILE_PITCH,
    SLACK_BYTES = 2 * LINE_BYTES, /* of a panel: see transpose_tile.h */
    STREAM_BYTES = 4 << 20        /* results from this size on go past the cache */
};

/* The first row of the last tile. */
static inline size_t last_tile(size_t n) { return (n - 1) / TILE_ROWS * TILE_ROWS; }

/* Bytes of a src row in a panel, a multiple of a lane's; n <= CHUNK_ROWS. */
static inline size_t run_for(size_t itemsize, size_t n, size_t m)
{
    size_t run = PANEL_RUN;
    while (run * n > PANEL_BYTES)
        run /= 2;
    /* m is small in the second operand: no overflow. */
    return m >= run / itemsize ? run
                               : (m * itemsize + LANE_BYTES - 1) / LANE_BYTES * LANE_BYTES;
}

/* What two panels and two tiles are kept in, one after the other; each begins with a line. */
struct buffers {
    char *memory, *panel[2], *tile[2];
};

static inline int get_buffers(struct buffers *b, size_t panel_bytes)
{
    const size_t each = (panel_bytes + SLACK_BYTES + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    b->memory = malloc(2 * (each + TILE_BYTES) + LINE_BYTES);
    if (!b->memory)
        return MPIM_NO_MEMORY;
    b->tile[0] = b->memory + (-(uintptr_t)b->memory & (LINE_BYTES - 1));
    b->tile[1] = b->tile[0] + TILE_BYTES;
    b->panel[0] = b->tile[1] + TILE_BYTES;
    b->panel[1] = b->panel[0] + each;
    return MPIM_OK;
}

#endif
