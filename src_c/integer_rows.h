/* Template: add rows of one integer dtype to exact sums and sums of squares (one tile).
 *
 * Partial sums of a group of rows at a time are kept in a `part`, as narrow as they can be, and turned
 * into limbs after `spill` records at most; how is a matter of the dtype's size.
 */

typedef T UNALIGNED TFN(in);

#define ROW(r) ((const TFN(in) *)(base + (ptrdiff_t)(r) * stride))

#if BITS == 64
#include "integer_64.h"
#else
#if BITS == 32
#include "integer_32.h"
#else
#include "integer_narrow.h"
#endif

/* Add k rows of one tile, width <= TILE; the sums' data already point at it. */
static void TFN(add_rows)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                          struct mpim_limbs sums, struct mpim_limbs squares, T *maxima, T *minima)
{
    struct TFN(part) part;
    const int any = sums.data || squares.data;
    for (size_t done = 0; done < k;) {
        const size_t n = smaller(k - done, TFN(spill));
        if (any)
            TFN(clear)(&part, width);
        for (size_t r = 0; r < n;) {
            const size_t step = n - r >= GROUP ? GROUP : 1;
            if (squares.data && step == GROUP)
                TFN(square_group)(base, stride, width, &part);
            else if (squares.data)
                TFN(square_row)(base, width, &part);
            else if (sums.data && step == GROUP)
                TFN(sum_group)(base, stride, width, &part);
            else if (sums.data)
                TFN(sum_row)(base, width, &part);
            if (maxima)
                TFN(max_rows)(base, stride, step, width, maxima);
            if (minima)
                TFN(min_rows)(base, stride, step, width, minima);
            base += (ptrdiff_t)step * stride;
            r += step;
        }
        if (any)
            TFN(flush)(&part, n, width, sums, squares);
        done += n;
    }
}

#endif
#undef ROW
