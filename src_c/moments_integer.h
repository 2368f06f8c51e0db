/* Template: accumulate a batch of one integer dtype, tile by tile. */
#include "extrema_rows.h"
#include "integer_rows.h"

static void TFN(accumulate)(const char *batch, size_t k, size_t m, ptrdiff_t stride,
                            struct mpim_limbs sums, struct mpim_limbs squares, void *maxima,
                            void *minima)
{
    struct TFN(wanted) to = {sums, squares, maxima, minima};
    for (size_t i = 0, width; i < m; i += width) {
        width = tile_width(batch, i, m, sizeof(T), TILE);
        const size_t after = smaller(m - i - width, TILE);
        const char *base = batch + i * sizeof(T);
        TFN(add_tile)(base, stride, k, width,
                      (struct ahead){base + width * sizeof(T), after * sizeof(T)}, &to);
        to.sums.data += to.sums.data ? width : 0;
        to.squares.data += to.squares.data ? width : 0;
        to.maxima += to.maxima ? width : 0;
        to.minima += to.minima ? width : 0;
    }
}
