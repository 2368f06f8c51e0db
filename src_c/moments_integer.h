/* Template: accumulate a batch of one integer dtype, tile by tile. */
#include "extrema_rows.h"
#include "integer_rows.h"

static void TFN(accumulate)(const char *batch, size_t k, size_t m, ptrdiff_t stride,
                            struct mpim_limbs sums, struct mpim_limbs squares, void *maxima,
                            void *minima)
{
    T *highest = maxima, *lowest = minima;
    for (size_t i = 0; i < m; i += TILE) {
        struct mpim_limbs s = sums, q = squares;
        if (s.data)
            s.data += i;
        if (q.data)
            q.data += i;
        TFN(add_rows)(batch + i * sizeof(T), stride, k, smaller(m - i, TILE), s, q,
                      highest ? highest + i : NULL, lowest ? lowest + i : NULL);
    }
}
