/* Template: maxima and minima of a batch of one float dtype, tile by tile. */
#include "extrema_rows.h"

/* Of a group of rows, stretch by stretch, while the next one is fetched; at most a group. */
static void TFN(extreme_rows)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                              struct ahead next, T *maxima, T *minima)
{
    enum { STEP = STRETCH / sizeof(T) };
    for (size_t at = 0; at < width; at += STEP, base += STRETCH) {
        const size_t n = smaller(width - at, STEP);
        fetch(next, stride, at * sizeof(T), (at + n) * sizeof(T));
        /* Of whole groups and stretches the compiler knows the width: they need no loop. */
        if (maxima && k == GROUP && n == STEP)
            TFN(max_rows)(base, stride, GROUP, STEP, maxima + at);
        else if (maxima)
            TFN(max_rows)(base, stride, k, n, maxima + at);
        if (minima)
            TFN(min_rows)(base, stride, k, n, minima + at);
    }
}

static void TFN(extrema)(const char *batch, size_t k, size_t m, ptrdiff_t stride, void *maxima,
                         void *minima)
{
    T *highest = maxima, *lowest = minima;
    for (size_t i = 0, width; i < m; i += width) {
        width = tile_width(batch, i, m, sizeof(T), TILE);
        const char *base = batch + i * sizeof(T);
        const size_t after = k < GROUP ? 0 : smaller(m - i - width, TILE);
        const struct ahead tile = {base + width * sizeof(T), after * sizeof(T)};
        for (size_t r = 0, step; r < k; r += step) {
            step = smaller(k - r, GROUP);
            TFN(extreme_rows)(base, stride, step, width,
                              ahead_of(base, stride, k - r - step, width * sizeof(T), tile),
                              highest ? highest + i : NULL, lowest ? lowest + i : NULL);
            base += (ptrdiff_t)step * stride;
        }
    }
}
