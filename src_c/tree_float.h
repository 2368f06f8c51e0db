/* Template: push a batch of one float dtype, tile by tile. */
#include "extrema_rows.h"
#include "tree_rows.h"

static void TFN(push)(const char *batch, size_t k, size_t m, ptrdiff_t stride, uint64_t start,
                      uint64_t first, int parts, struct mpim_nodes left, struct mpim_nodes right,
                      void *maxima, void *minima)
{
    T *highest = maxima, *lowest = minima;
    for (size_t i = 0; i < m; i += TREE_TILE) {
        struct mpim_nodes l = left, r = right;
        l.data += i;
        r.data += i;
        TFN(push_rows)(batch + i * sizeof(T), stride, k, smaller(m - i, TREE_TILE), start, first,
                       parts, l, r, highest ? highest + i : NULL, lowest ? lowest + i : NULL);
    }
}
