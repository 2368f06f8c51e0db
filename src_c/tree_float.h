/* Template: push a batch of one float dtype, tile by tile. */
#include "extrema_rows.h"
#include "tree_rows.h"

static void TFN(push)(const char *batch, size_t k, size_t m, ptrdiff_t stride, uint64_t start,
                      uint64_t first, int parts, struct mpim_nodes left, struct mpim_nodes right,
                      void *maxima, void *minima)
{
    T *highest = maxima, *lowest = minima;
    for (size_t i = 0, width; i < m; i += width) {
        width = tile_width(batch, i, m, sizeof(T), TREE_TILE);
        const char *base = batch + i * sizeof(T);
        const size_t after = k < GROUP ? 0 : smaller(m - i - width, TREE_TILE);
        struct mpim_nodes l = left, r = right;
        l.data += i;
        r.data += i;
        TFN(push_tile)(base, stride, k, width,
                       (struct ahead){base + width * sizeof(T), after * sizeof(T)}, start, first,
                       parts, l, r, highest ? highest + i : NULL, lowest ? lowest + i : NULL);
    }
}
