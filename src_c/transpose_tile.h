/* Template: transpose items of one size. */

typedef T TFN(vec) __attribute__((vector_size(16)));

/* Items of a vector, rows of a square. */
enum { TFN(SIDE) = VECTOR_BYTES / sizeof(T) };

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

static void TFN(fill)(char *in, size_t pitch, struct TFN(place) tile, ptrdiff_t stride)
{
    const size_t bytes = tile.columns * sizeof(T);
    if (bytes == COLUMN_BYTES)
        for (size_t i = 0; i < tile.rows; i++)
            memcpy(in + i * pitch, tile.src + (ptrdiff_t)i * stride, COLUMN_BYTES);
    else
        for (size_t i = 0; i < tile.rows; i++)
            memcpy(in + i * pitch, tile.src + (ptrdiff_t)i * stride, bytes);
}

/* Ask for rows [from, to) of a tile. */
static inline void TFN(prefetch)(struct TFN(place) tile, size_t from, size_t to, ptrdiff_t stride)
{
    for (size_t i = from; i < smaller(to, tile.rows); i++)
        for (size_t at = 0; at < tile.columns * sizeof(T); at += LINE_BYTES)
            __builtin_prefetch(tile.src + (ptrdiff_t)i * stride + at, 0, 2);
}

/* Write the runs of `count` dst rows, which lie `pitch` apart in `out`. */
static void TFN(write)(const char *out, size_t pitch, size_t rows, size_t count, char *dst,
                       ptrdiff_t dst_stride, struct shape shape)
{
    if (shape.packed) {
        FN(put)(dst, out, count * rows * sizeof(T), shape.stream);
        return;
    }
    for (size_t c = 0; c < count; c++)
        FN(put)(dst + (ptrdiff_t)c * dst_stride, out + c * pitch, rows * sizeof(T), shape.stream);
}

/* Write one tile to dst, and have the next one come meanwhile: its rows are too far from each other
 * for the processor to foresee them. In `out` the runs of packed rows follow each other, so that a
 * square's last rows, of which there are more than n where SIDE does not divide n, are written over
 * by the next run: the runs must be made in their order, and there is room after the last. */
static void TFN(tile)(struct TFN(place) tile, struct TFN(place) next, ptrdiff_t src_stride,
                      char *dst, ptrdiff_t dst_stride, struct shape shape, char *in, char *out)
{
    const size_t in_pitch = shape.columns * sizeof(T);
    const size_t out_pitch = (shape.packed ? tile.rows : shape.rows) * sizeof(T);
    const size_t share = (shape.rows * TFN(SIDE) + tile.columns - 1) / tile.columns;
    TFN(fill)(in, in_pitch, tile, src_stride);
    for (size_t j = 0; j < tile.columns; j += TFN(SIDE)) {
        const size_t from = j / TFN(SIDE) * share;
        TFN(prefetch)(next, from, from + share, src_stride);
        for (size_t i = 0; i < tile.rows; i += TFN(SIDE))
            TFN(square)(in + i * in_pitch + j * sizeof(T), in_pitch, out + i * sizeof(T), out_pitch);
        TFN(write)(out, out_pitch, tile.rows, smaller(tile.columns - j, TFN(SIDE)),
                   dst + (ptrdiff_t)j * dst_stride, dst_stride, shape);
    }
}

static int TFN(transpose)(const char *src, size_t n, size_t m, ptrdiff_t src_stride, char *dst,
                          ptrdiff_t dst_stride)
{
    if (!n || !m)
        return MPIM_OK;
    const struct shape shape = shape_of(sizeof(T), n, m, dst_stride);
    char *in = aligned_alloc(LINE_BYTES, IN_BYTES + OUT_BYTES);
    if (!in)
        return MPIM_NO_MEMORY;
    struct TFN(place) tile = TFN(place_at)(src, n, m, src_stride, shape, 0, 0);
    for (size_t i = 0, j = 0; j < m;) {
        const int last = i + shape.rows >= n;
        const size_t i_next = last ? 0 : i + shape.rows, j_next = last ? j + shape.columns : j;
        const struct TFN(place) next =
            TFN(place_at)(src, n, m, src_stride, shape, i_next, j_next);
        TFN(tile)(tile, next, src_stride, dst + (ptrdiff_t)j * dst_stride + i * sizeof(T),
                  dst_stride, shape, in, in + IN_BYTES);
        tile = next;
        i = i_next;
        j = j_next;
    }
    FN(fence)(shape.stream);
    free(in);
    return MPIM_OK;
}
