/* Template: transpose items of one size, tile by tile. */
#include "transpose_block.h"

/* Where a tile lies in src, and its size there. */
struct TFN(place) {
    const char *src;
    size_t rows, columns;
};

static struct TFN(place) TFN(place_at)(const char *src, size_t n, size_t m, ptrdiff_t stride,
                                       struct shape shape, size_t i, size_t j)
{
    if (j >= m)
        return (struct TFN(place)){NULL, 0, 0};
    return (struct TFN(place)){src + (ptrdiff_t)i * stride + j * sizeof(T),
                               smaller(n - i, shape.rows), smaller(m - j, shape.columns)};
}

static void TFN(fill)(char *in, struct TFN(place) tile, ptrdiff_t stride)
{
    const size_t bytes = tile.columns * sizeof(T);
    if (bytes == COLUMN_BYTES)
        for (size_t i = 0; i < tile.rows; i++)
            memcpy(in + i * COLUMN_BYTES, tile.src + (ptrdiff_t)i * stride, COLUMN_BYTES);
    else
        for (size_t i = 0; i < tile.rows; i++)
            memcpy(in + i * COLUMN_BYTES, tile.src + (ptrdiff_t)i * stride, bytes);
}

/* Ask for rows [from, to) of a tile. */
static inline void TFN(prefetch)(struct TFN(place) tile, size_t from, size_t to, ptrdiff_t stride)
{
    for (size_t i = from; i < smaller(to, tile.rows); i++)
        for (size_t at = 0; at < tile.columns * sizeof(T); at += LINE_BYTES)
            __builtin_prefetch(tile.src + (ptrdiff_t)i * stride + at, 0, 3);
}

/* Turn `rows` rows of one lane each into `count` runs of that many items, `pitch` apart. */
static inline void TFN(turn)(const char *in, size_t in_pitch, size_t rows, size_t count, char *out,
                             size_t pitch)
{
    size_t i = 0;
    if (count == TFN(SIDE))
        for (; i + TFN(BLOCK) <= rows; i += TFN(BLOCK))
            TFN(block)(in + i * in_pitch, in_pitch, out + i * sizeof(T), pitch);
    for (; i < rows; i += TFN(BLOCK)) {
        char edge[TFN(SIDE) * sizeof(VEC)];
        TFN(block)(in + i * in_pitch, in_pitch, edge, sizeof(VEC));
        for (size_t c = 0; c < count; c++)
            memcpy(out + c * pitch + i * sizeof(T), edge + c * sizeof(VEC),
                   smaller(rows - i, TFN(BLOCK)) * sizeof(T));
    }
}

/* Turn one tile into runs, in the panel or straight to dst, and have the next tile come meanwhile:
 * its rows are too far from each other for the processor to foresee them. */
static void TFN(tile)(struct TFN(place) tile, struct TFN(place) next, ptrdiff_t src_stride,
                      struct shape shape, struct tile_buffers *buffers, char *dst,
                      ptrdiff_t dst_stride)
{
    const size_t squares = (tile.columns + TFN(SIDE) - 1) / TFN(SIDE);
    const size_t share = (next.rows + squares - 1) / squares;
    TFN(fill)(buffers->in, tile, src_stride);
    for (size_t q = 0; q < squares; q++) {
        const size_t j = q * TFN(SIDE), count = smaller(tile.columns - j, TFN(SIDE));
        const char *in = buffers->in + j * sizeof(T);
        char *to = dst + (ptrdiff_t)j * dst_stride;
        TFN(prefetch)(next, q * share, (q + 1) * share, src_stride);
        if (shape.panel) {
            TFN(turn)(in, COLUMN_BYTES, tile.rows, count, to, (size_t)dst_stride);
            continue;
        }
        TFN(turn)(in, COLUMN_BYTES, tile.rows, count, buffers->out, RUN_PITCH);
        for (size_t c = 0; c < count; c++)
            FN(put)(to + (ptrdiff_t)c * dst_stride, buffers->out + c * RUN_PITCH,
                    tile.rows * sizeof(T), shape.stream);
    }
}

static int TFN(transpose)(const char *src, size_t n, size_t m, ptrdiff_t src_stride, char *dst,
                          ptrdiff_t dst_stride)
{
    if (!n || !m)
        return MPIM_OK;
    struct tile_buffers buffers;
    const struct shape shape = shape_of(sizeof(T), n, m, dst, dst_stride);
    char *panel = shape.panel ? malloc(PANEL_BYTES) : NULL;
    if (shape.panel && !panel)
        return MPIM_NO_MEMORY;
    struct TFN(place) tile = TFN(place_at)(src, n, m, src_stride, shape, 0, 0);
    for (size_t i = 0, j = 0; j < m;) {
        const int last = i + shape.rows >= n;
        const size_t i_next = last ? 0 : i + shape.rows, j_next = last ? j + shape.columns : j;
        const struct TFN(place) next =
            TFN(place_at)(src, n, m, src_stride, shape, i_next, j_next);
        char *column = dst + (ptrdiff_t)j * dst_stride;
        TFN(tile)(tile, next, src_stride, shape, &buffers,
                  (panel ? panel : column) + i * sizeof(T), dst_stride);
        if (panel && last)
            FN(put)(column, panel, tile.columns * n * sizeof(T), shape.stream);
        tile = next;
        i = i_next;
        j = j_next;
    }
    FN(fence)(shape.stream);
    free(panel);
    return MPIM_OK;
}
