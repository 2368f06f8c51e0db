/* Template: transpose items of one size. */

typedef T TFN(vec) __attribute__((vector_size(16)));

enum {
    TFN(SIDE) = 16 / sizeof(T),           /* items of a vector, rows of a square */
    TFN(ROWS) = TILE_ROW / sizeof(T),     /* rows of a tile: their items are a run of a dst row */
    TFN(COLUMNS) = TILE_COLUMN / sizeof(T) /* columns of a tile */
};

/* A square of SIDE x SIDE items in registers. Each stage interleaves the two halves of the rows,
 * which rotates the bits of an item's number by one place; after log2(SIDE) stages its row and its
 * column have changed places. */
static inline __attribute__((always_inline)) void
TFN(square)(const char *from, size_t from_pitch, char *to, size_t to_pitch)
{
    TFN(vec) a[TFN(SIDE)], b[TFN(SIDE)];
#pragma GCC unroll 16
    for (int i = 0; i < TFN(SIDE); i++)
        memcpy(&a[i], from + (size_t)i * from_pitch, sizeof a[i]);
#pragma GCC unroll 4
    for (int stage = 1; stage < TFN(SIDE); stage *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < TFN(SIDE) / 2; i++) {
            b[2 * i] = INTERLEAVE_LOW(a[i], a[i + TFN(SIDE) / 2]);
            b[2 * i + 1] = INTERLEAVE_HIGH(a[i], a[i + TFN(SIDE) / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < TFN(SIDE); i++)
            a[i] = b[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < TFN(SIDE); i++)
        memcpy(to + (size_t)i * to_pitch, &a[i], sizeof a[i]);
}

/* Where a tile lies in src. */
struct TFN(place) {
    const char *src;
    size_t rows, columns;
};

static void TFN(fill)(char *in, struct TFN(place) tile, ptrdiff_t stride)
{
    if (tile.columns == TFN(COLUMNS))
        for (size_t i = 0; i < tile.rows; i++)
            memcpy(in + i * TILE_COLUMN, tile.src + (ptrdiff_t)i * stride, TILE_COLUMN);
    else
        for (size_t i = 0; i < tile.rows; i++)
            memcpy(in + i * TILE_COLUMN, tile.src + (ptrdiff_t)i * stride,
                   tile.columns * sizeof(T));
}

/* Ask for rows [from, to) of a tile. */
static inline void TFN(prefetch)(struct TFN(place) tile, size_t from, size_t to, ptrdiff_t stride)
{
    for (size_t i = from; i < smaller(to, tile.rows); i++)
        for (size_t at = 0; at < TILE_COLUMN; at += 64)
            __builtin_prefetch(tile.src + (ptrdiff_t)i * stride + at, 0, 2);
}

/* Write one tile to dst, and have the next one come meanwhile: its rows are too far from each other
 * for the processor to foresee them. */
static void TFN(tile)(struct TFN(place) tile, struct TFN(place) next, ptrdiff_t src_stride,
                      char *dst, ptrdiff_t dst_stride, struct tile_buffers *buffers, int stream)
{
    char *in = buffers->in, *out = buffers->out;
    const size_t share = TFN(ROWS) * TFN(SIDE) / TFN(COLUMNS);
    TFN(fill)(in, tile, src_stride);
    for (size_t j = 0; j < tile.columns; j += TFN(SIDE)) {
        const size_t from = j / TFN(SIDE) * share;
        TFN(prefetch)(next, from, from + share, src_stride);
        for (size_t i = 0; i < tile.rows; i += TFN(SIDE))
            TFN(square)(in + i * TILE_COLUMN + j * sizeof(T), TILE_COLUMN, out + i * sizeof(T),
                        TILE_ROW);
        const size_t end = smaller(tile.columns - j, TFN(SIDE));
        for (size_t c = 0; c < end; c++) {
            char *to = dst + (ptrdiff_t)(j + c) * dst_stride;
            if (stream)
                FN(put_streaming)(to, out + c * TILE_ROW, tile.rows * sizeof(T));
            else
                FN(put)(to, out + c * TILE_ROW, tile.rows * sizeof(T));
        }
    }
}

static void TFN(transpose)(const char *src, size_t n, size_t m, ptrdiff_t src_stride, char *dst,
                           ptrdiff_t dst_stride)
{
    struct tile_buffers buffers;
    const int stream = STREAM && n * m * sizeof(T) >= STREAM_BYTES;
    if (!n || !m)
        return;
    memset(&buffers, 0, sizeof buffers);
    struct TFN(place) tile = {src, smaller(n, TFN(ROWS)), smaller(m, TFN(COLUMNS))};
    for (size_t i = 0, j = 0; j < m;) {
        size_t i_next = i + TFN(ROWS), j_next = j;
        if (i_next >= n) {
            i_next = 0;
            j_next = j + TFN(COLUMNS);
        }
        struct TFN(place) next = {NULL, 0, 0};
        if (j_next < m) {
            next.src = src + (ptrdiff_t)i_next * src_stride + j_next * sizeof(T);
            next.rows = smaller(n - i_next, TFN(ROWS));
            next.columns = smaller(m - j_next, TFN(COLUMNS));
        }
        TFN(tile)(tile, next, src_stride, dst + (ptrdiff_t)j * dst_stride + i * sizeof(T),
                  dst_stride, &buffers, stream);
        tile = next;
        i = i_next;
        j = j_next;
    }
    if (stream)
        FN(fence)();
}
