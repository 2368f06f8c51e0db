/* Matrix transposition of items of 1, 2, 4 or 8 bytes. */
#include "internal.h"

#define BODY "transpose_body.h"
#include "clones.h"

typedef void (*transpose_fn)(const char *, size_t, size_t, ptrdiff_t, char *, ptrdiff_t);
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
    transposers[size][isa](src, n, m, src_stride, dst, dst_stride);
    return MPIM_OK;
}
