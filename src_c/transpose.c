/* Matrix transposition of items of 1, 2, 4 or 8 bytes.
 *
 * The work is memory traffic: what counts is that every line of either array is touched once, in
 * runs that are long enough to be fast. The matrix is cut into panels, all rows by some columns: a
 * panel of the result is made in the cache, and written past it as whole lines, which where dst is
 * contiguous reach across its rows. A panel is made of tiles. A tile's rows are copied into a buffer
 * first, in runs of up to a KB, several rows in step: reading them a vector at a time would, where
 * their distance is a power of two, drop every line from the cache before its second vector is read.
 * Squares of the buffer are transposed in registers (a network of interleavings, see
 * transpose_block.h). While one tile is turned, the next is read and the panel before is written.
 */
#include "internal.h"
#include "transpose_shape.h"

#define BODY "transpose_body.h"
#include "clones.h"

typedef int (*transpose_fn)(const char *, size_t, size_t, ptrdiff_t, char *, ptrdiff_t, int);
static const transpose_fn transposers[][MPIM_ISA_COUNT] = {
    CLONES(transpose_b1), CLONES(transpose_b2), CLONES(transpose_b4), CLONES(transpose_b8)};

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
                                        smaller(n - i, chunk), m, src_stride,
                                        (char *)dst + i * itemsize, dst_stride, stream);
    return status;
}
