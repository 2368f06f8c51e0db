/* Matrix transposition of items of 1, 2, 4 or 8 bytes.
 *
 * The work is memory traffic: what counts is that every line of either array is touched once, in
 * runs that are long enough to be fast. The matrix is cut into panels, all rows by some columns: a
 * panel of the result is made in the cache, and written past it as whole lines, which where dst is
 * contiguous reach across its rows. A panel is made of tiles. A tile's rows are copied into a
 * buffer first, in runs of up to a KB, several rows in step: reading them a vector at a time would,
 * where their distance is a power of two, drop every line from the cache before its second vector
 * is read. Blocks of the buffer are transposed in registers (a network of interleavings, see
 * common/block.h). While one tile is transposed, the next is read and the panel before is written.
 */
#include "common/vectors.h"

enum {
    TILE_ROWS = 64,   /* of src; a multiple of all blocks' */
    GROUP_ROWS = 8,   /* read in step: so many streams the processor foresees */
    PANEL_RUN = 1024, /* of a src row in a panel, at most ... */
    RUN_LEAST = 256,  /* ... and where there are many rows: shorter runs are slow to read */
    PANEL_BYTES = 1 << 20,
    CHUNK_ROWS = PANEL_BYTES / RUN_LEAST, /* more rows are taken one chunk after the other */
    TILE_PITCH = PANEL_RUN + LINE,        /* no power of two: a column's lines share no set */
    TILE_BYTES = TILE_ROWS * TILE_PITCH,
    SLACK_BYTES = 2 * LINE, /* of a panel: see tile.h */
    STREAM_BYTES = 4 << 20  /* results from this size on go past the cache */
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
    return m >= run / itemsize ? run : (m * itemsize + LANE_BYTES - 1) / LANE_BYTES * LANE_BYTES;
}

/* What two panels and two tiles are kept in, one after the other; each begins with a line. */
struct buffers {
    char *memory, *panel[2], *tile[2];
};

static inline int get_buffers(struct buffers *b, size_t panel_bytes)
{
    const size_t each = (panel_bytes + SLACK_BYTES + LINE - 1) / LINE * LINE;
    b->memory = malloc(2 * (each + TILE_BYTES) + LINE);
    if (!b->memory)
        return MPIM_NO_MEMORY;
    b->tile[0] = b->memory + (-(uintptr_t)b->memory & (LINE - 1));
    b->tile[1] = b->tile[0] + TILE_BYTES;
    b->panel[0] = b->tile[1] + TILE_BYTES;
    b->panel[1] = b->panel[0] + each;
    return MPIM_OK;
}

#define BODY "transpose/clone.h"
#include "common/clones.h"

typedef int (*transpose_fn)(const char *, size_t, size_t, ptrdiff_t, char *, ptrdiff_t, int);
static const transpose_fn transposers[][MPIM_ISA_COUNT] = {
    CLONES(transpose_u8), CLONES(transpose_u16), CLONES(transpose_u32), CLONES(transpose_u64)};

int mpim_transpose(int isa, size_t itemsize, const void *src, size_t n, size_t m,
                   ptrdiff_t src_stride, void *dst, ptrdiff_t dst_stride)
{
    int size = 0, status = MPIM_OK;
    while (size < 4 && (size_t)1 << size != itemsize)
        size++;
    if (size == 4)
        return MPIM_BAD_TYPE;
    if (!n || !m)
        return MPIM_OK;
    const int stream = STREAM && n * m * itemsize >= STREAM_BYTES;
    /* Chunks of about one size, each beginning as far from a line of dst as the first. */
    const size_t chunks = (n - 1) / CHUNK_ROWS + 1;
    const size_t chunk = ((n - 1) / chunks / TILE_ROWS + 1) * TILE_ROWS;
    for (size_t i = 0; i < n && status == MPIM_OK; i += chunk)
        status = transposers[size][isa]((const char *)src + (ptrdiff_t)i * src_stride,
                                        min_size(n - i, chunk), m, src_stride,
                                        (char *)dst + i * itemsize, dst_stride, stream);
    return status;
}
