/* Matrix transposition of items of 1, 2, 4 or 8 bytes.
 *
 * The work is memory traffic: what counts is that every line of either array is touched once. So
 * the matrix is cut into tiles that have whole lines on both sides. A tile's rows are copied into a
 * buffer first, each in one go: reading them a vector at a time would, where their distance is a
 * power of two, drop every line from the cache before its second vector is read. Squares of the
 * buffer are transposed in registers (a network of interleavings, see transpose_tile.h) into runs of
 * the result's rows, which are written in one go too.
 */
#include "internal.h"
#include "transpose_shape.h"

#define BODY "transpose_body.h"
#include "clones.h"

typedef int (*transpose_fn)(const char *, size_t, size_t, ptrdiff_t, char *, ptrdiff_t);
static const transpose_fn transposers[][MPIM_ISA_COUNT] = {
    CLONES(transpose_b1), CLONES(transpose_b2), CLONES(transpose_b4), CLONES(transpose_b8)};

int mpim_transpose(int isa, size_t itemsize, const void *src, size_t n, size_t m,
                   ptrdiff_t src_stride, void *dst, ptrdiff_t dst_stride)
{
    int size = 0;
    while (size < 4 && (size_t)1 << size != itemsize)
        size++;
    if (size == 4)
        return MPIM_BAD_TYPE;
    return transposers[size][isa](src, n, m, src_stride, dst, dst_stride);
}
