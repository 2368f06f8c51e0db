/* Template: maxima and minima of a batch of one float dtype, tile by tile. */
#include "extrema_rows.h"

static void TFN(extrema)(const char *batch, size_t k, size_t m, ptrdiff_t stride, void *maxima,
                         void *minima)
{
    T *highest = maxima, *lowest = minima;
    for (size_t i = 0; i < m; i += TILE) {
        const size_t width = smaller(m - i, TILE);
        const char *base = batch + i * sizeof(T);
        for (size_t r = 0; r < k; r += GROUP) {
            const size_t step = smaller(k - r, GROUP);
            if (highest)
                TFN(max_rows)(base, stride, step, width, highest + i);
            if (lowest)
                TFN(min_rows)(base, stride, step, width, lowest + i);
            base += (ptrdiff_t)step * stride;
        }
    }
}
