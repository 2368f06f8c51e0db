/* Exact sums of each pixel's values, of the sums over a box around it, and of their products.
 *
 * An image is cut into tiles of rows and columns, whose accumulators stay in the second cache. Of a
 * tile the images of a batch pass in groups, row by row. Each image of a group has one row of sums
 * over the rows of the box. From row to row these gain the row that enters the box and lose the one
 * that leaves it. Along the columns sums are made by doubling: a window of 2 w is two windows of w.
 * Beyond its borders an image is reflected: ... b a | a b ... y z | z y ...
 *
 * Values are taken as unsigned: those of signed dtypes with half of the range added, which changes
 * neither variances nor covariances. A box sum fits 32 bits. The products of even and of odd pixels
 * are made apart, from the lower halves of 64-bit lanes.
 */
#include "common/dtypes.h"
#if MPIM_X86
#include <immintrin.h>
#endif

/* Images of a group; items of a row of a tile, which has at least one column; bytes of a tile's
 * accumulators; items to which rows of scratch are filled up: a vector of any level; by how many rows
 * reading is ahead. */
enum { IMAGES = 8, TILE_ITEMS = 512, TILE_BYTES = 256 << 10, VECTOR_ITEMS = 16, AHEAD = 2 };

/* The sums of a pixel, in the order of the results; the last two have upper limbs, too. */
enum { SUM_X, SUM_XX, SUM_B, SUM_XB, SUM_BB, SUMS, UPPER = SUMS - SUM_XB };

/* Products in the accumulators; 32-bit items of the accumulators of an item. */
enum { XX, XB, BB };
enum { KEPT = 8 };

/* A tile, and scratch. */
struct tile {
    const struct mpim_box *box;
    size_t first_row, rows, first_column, columns;
    size_t low, high;    /* the columns that its boxes reach */
    size_t width;        /* items of a row */
    size_t pitch, filled; /* items between rows of sums over rows, and of boxes */
    size_t margin;       /* items in front of a row, so that its first column is aligned */
    uint32_t *over_rows; /* of each image: sums over the rows of boxes, with a margin at both ends */
    uint32_t *boxes;     /* of each image: sums over boxes */
    uint32_t *windows;   /* two rows */
    uint32_t *pages;     /* those of a column, with a margin */
    void *sums;
};

/* Where sums go: row `s` of data is sum s, its items are pixels from `first_row` on. */
struct results {
    uint64_t *data;
    ptrdiff_t stride;
    size_t first_row;
    int wide;
};

/* The row, column or page that stands at `at` of an axis of n. */
static inline size_t reflected(ptrdiff_t at, size_t n)
{
    if (at >= 0 && (size_t)at < n)
        return (size_t)at;
    /* One reflection is by far the usual case, and divisions would be slow. */
    if (at < 0 && at >= -(ptrdiff_t)n)
        return (size_t)(-1 - at);
    if (at >= 0 && (size_t)at < 2 * n)
        return 2 * n - 1 - (size_t)at;
    const ptrdiff_t period = 2 * (ptrdiff_t)n, place = (at % period + period) % period;
    return (size_t)(place < (ptrdiff_t)n ? place : period - 1 - place);
}

static inline size_t filled_up(size_t items)
{
    return (items + VECTOR_ITEMS - 1) / VECTOR_ITEMS * VECTOR_ITEMS;
}

#define BODY "boxes/clone.h"
#include "common/clones.h"

typedef void (*add_fn)(const char *, size_t, ptrdiff_t, const struct tile *,
                       const struct results *);
static const add_fn adders[][MPIM_ISA_COUNT] = {
    [MPIM_U8] = CLONES(add_tile_u8), [MPIM_I8] = CLONES(add_tile_i8),
    [MPIM_U16] = CLONES(add_tile_u16), [MPIM_I16] = CLONES(add_tile_i16)};

/* The largest sum over a box; 0 where 32 bits do not hold it. */
static uint64_t largest_sum(int dtype, const struct mpim_box *box)
{
    const uint64_t largest = dtype <= MPIM_I8 ? UINT8_MAX : UINT16_MAX;
    uint64_t sum = largest;
    for (int axis = 0; axis < 3; axis++) {
        if (box->reach[axis] > UINT32_MAX / 4)
            return 0;
        sum *= 2 * box->reach[axis] + 1; /* below 2^32 * 2^31 */
        if (sum > UINT32_MAX)
            return 0;
    }
    return sum;
}

int mpim_box_limbs(int dtype, const struct mpim_box *box, uint64_t count)
{
    if (dtype < MPIM_U8 || dtype > MPIM_I16)
        return 0;
    const uint64_t sum = largest_sum(dtype, box);
    if (!sum || count > UINT64_C(1) << 32)
        return 0;
    return count <= UINT64_MAX / (sum * sum) ? 1 : 2;
}

/* Choose the sizes of tiles, and allocate the scratch of one. The box fits 32-bit sums, so that no
 * size overflows that an image in memory allows. */
static int prepare(const struct mpim_box *box, struct tile *tile, void **memory)
{
    const size_t columns = box->dims[1], inner = box->dims[2], reach = box->reach[1];
    size_t width = columns;
    /* Tiles that are narrower than the image do not look beyond one reflection. */
    if (reach < columns && columns * inner > TILE_ITEMS)
        width = min_size(columns, TILE_ITEMS / inner ? TILE_ITEMS / inner : 1);
    const size_t filled = filled_up(width * inner) + VECTOR_ITEMS;
    const size_t margin = filled_up(reach * inner);
    const size_t pitch = margin + filled_up((width + 2 * reach) * inner) + VECTOR_ITEMS;
    const size_t pages = filled_up(inner + 2 * box->reach[2]);
    const size_t a_row = filled * KEPT * sizeof(uint32_t);
    const size_t rows = min_size(box->dims[0], TILE_BYTES / a_row ? TILE_BYTES / a_row : 1);
    const size_t scratch = ((IMAGES + 2) * pitch + IMAGES * filled + pages) * sizeof(uint32_t);
    char *raw = malloc(rows * a_row + scratch + LINE);
    if (!raw)
        return MPIM_NO_MEMORY;
    *memory = raw;
    char *aligned = raw + LINE - (uintptr_t)raw % LINE;
    tile->box = box;
    tile->rows = rows;
    tile->columns = width;
    tile->pitch = pitch;
    tile->filled = filled;
    tile->margin = margin;
    tile->sums = aligned;
    tile->over_rows = (uint32_t *)(void *)(aligned + rows * a_row);
    tile->boxes = tile->over_rows + IMAGES * pitch;
    tile->windows = tile->boxes + IMAGES * filled;
    tile->pages = tile->windows + 2 * pitch;
    return MPIM_OK;
}

int mpim_add_boxes(int isa, int dtype, const void *batch, size_t k, ptrdiff_t stride,
                   const struct mpim_box *box, size_t first_row, size_t rows, uint64_t *sums,
                   ptrdiff_t sums_stride, int wide)
{
    if (!mpim_box_limbs(dtype, box, 1))
        return MPIM_BAD_TYPE;
    if (!k || !rows || !box->dims[1] || !box->dims[2])
        return MPIM_OK;
    struct tile tile;
    void *memory;
    const uint64_t largest = largest_sum(dtype, box);
    const int status = prepare(box, &tile, &memory);
    if (status)
        return status;
    const struct results to = {sums, sums_stride, first_row, wide};
    const size_t most_rows = tile.rows, most_columns = tile.columns, reach = box->reach[1];
    /* So many images the accumulators hold: box sums in 32 bits, their squares in 64. */
    const uint64_t holds = UINT32_MAX / largest;
    for (size_t done = 0; done < k;) {
        const size_t n = holds < k - done ? (size_t)holds : k - done;
        for (size_t row = 0; row < rows; row += most_rows)
            for (size_t column = 0; column < box->dims[1]; column += most_columns) {
                tile.first_row = first_row + row;
                tile.rows = min_size(most_rows, rows - row);
                tile.first_column = column;
                tile.columns = min_size(most_columns, box->dims[1] - column);
                tile.width = tile.columns * box->dims[2];
                tile.low = column > reach ? column - reach : 0;
                tile.high = min_size(box->dims[1], column + tile.columns + reach);
                adders[dtype][isa]((const char *)batch + (ptrdiff_t)done * stride, n, stride, &tile,
                                   &to);
            }
        done += n;
    }
    free(memory);
    return MPIM_OK;
}

/* -- The correlation ---------------------------------------------------------------------------- */

static inline u128 joined(uint64_t low, uint64_t high) { return (u128)high << 64 | low; }

/* Each product below fits 128 bits: count <= 2^32, x < 2^16 and b < 2^32, so that count * sum of b b
 * is below 2^64 * 2^64, and the square of the sum of b is no more (Cauchy-Schwarz). */
int mpim_box_correlation(const uint64_t *sums, ptrdiff_t stride, int wide, size_t m, uint64_t count,
                         double *restrict correlation)
{
    const uint64_t *row[2 + SUMS];
    for (int s = 0; s < 2 + SUMS; s++)
        row[s] = s < SUMS || wide ? sums + s * stride : NULL;
    for (size_t i = 0; i < m; i++) {
        const uint64_t x = row[SUM_X][i], b = row[SUM_B][i];
        const u128 xb = joined(row[SUM_XB][i], wide ? row[UPPER + SUM_XB][i] : 0);
        const u128 bb = joined(row[SUM_BB][i], wide ? row[UPPER + SUM_BB][i] : 0);
        const double xx = (double)((u128)row[SUM_XX][i] * count - (u128)x * x);
        const double square = (double)(bb * count - (u128)b * b);
        const u128 both = xb * count, apart = (u128)x * b;
        const double product = both < apart ? -(double)(apart - both) : (double)(both - apart);
        const double r = product / sqrt(xx * square);
        correlation[i] = r > 1 ? 1 : r < -1 ? -1 : r; /* NaN stays */
    }
    return MPIM_OK;
}
