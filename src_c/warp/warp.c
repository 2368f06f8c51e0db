/* Motion is undone: frames are read at positions beside their pixels.
 *
 * A position is a whole number of pixels and a fraction in 0 ... 1. The taps are the pixels that it
 * is computed from along one axis: with order 1 the two beside it (linear), with order 3 four,
 * whose weights are the cubic convolution of R. G. Keys, IEEE Trans. Acoust. Speech Signal
 * Process. 29, 1153 (1981), with a = -1/2. Taps beyond the edge are the pixel at the edge. Where
 * the fraction is 0, the pixel itself is the only tap: 0 * NaN would be NaN.
 *
 * The axes are taken one after the other, rows first. All is computed in float for integers of at
 * most 16 bits and for float, else in double: in REAL. The last step stores what came out: integers
 * are rounded and kept in their range, of floats each NaN is the positive quiet one without payload
 * (else it would depend on the order in which the compiler has a processor add).
 *
 *   mpim_shift  All pixels of a frame have the same weights: whole rows are summed. Only a frame
 *               that moves by whole pixels alone is copied as it is.
 *   mpim_warp   Each pixel has its own weights. Where the whole number is the same along a run of
 *               pixels, so are the distances of their taps, and the run needs no gathering. Fields
 *               are smooth, and runs long. Rows of the frame are kept in REAL while they are
 *               needed.
 *
 * Whether a clone computes with vectors is the compiler's choice: no operation is reordered.
 */
#include "common/dtypes.h"

enum { MAX_TAPS = 4 };

/* Pixels that mpim_warp computes at least, a power of two: rows of scratch are longer by so many,
 * or by MAX_TAPS. Rows of a frame that it keeps converted. */
enum { STEP = 8, KEPT_ROWS = 16 };

/* The dtype that each is computed in. */
#define REAL_OF_u8 f32
#define REAL_OF_i8 f32
#define REAL_OF_u16 f32
#define REAL_OF_i16 f32
#define REAL_OF_u32 f64
#define REAL_OF_i32 f64
#define REAL_OF_u64 f64
#define REAL_OF_i64 f64
#define REAL_OF_f32 f32
#define REAL_OF_f64 f64

/* Closer than this to a whole number of pixels, a position is that number. So no weight of a tap
 * that is read is 0, nor denormal. */
#define NEARLY_WHOLE 0x1p-24

/* Taps of an axis of n pixels: tap j of pixel p is pixel p + first + j, `fraction` beyond tap
 * `before`. `inside` pixels, from `begin` on, have their position between the first and the
 * last. */
struct taps {
    size_t count;
    ptrdiff_t first;
    double fraction;
    size_t begin, inside;
};

/* The scratch rows of mpim_shift, one after the other in one allocation. */
struct rows {
    void *sums, *spread, *columns, *pages;
};

static inline ptrdiff_t clamped(ptrdiff_t at, size_t n)
{
    return at < 0 ? 0 : at < (ptrdiff_t)n ? at : (ptrdiff_t)n - 1;
}

/* The shift is finite, but may be larger than any integer. */
static struct taps taps_of(double shift, size_t n, int order)
{
    const double far = (double)n + MAX_TAPS;
    const double at = shift < -far ? -far : shift > far ? far : shift;
    ptrdiff_t whole = (ptrdiff_t)floor(at);
    double fraction = at - (double)whole;
    if (fraction > 1 - NEARLY_WHOLE)
        whole++;
    if (fraction < NEARLY_WHOLE || fraction > 1 - NEARLY_WHOLE)
        fraction = 0;
    const size_t count = fraction == 0 ? 1 : order == 1 ? 2 : 4;
    const ptrdiff_t begin = whole < 0 ? -whole : 0;
    const ptrdiff_t end = (ptrdiff_t)n - (whole > 0 ? whole : 0);
    /* The last pixel's position is inside only where it is a pixel. */
    const ptrdiff_t last = whole >= 0 && fraction > 0 ? end - 1 : end;
    return (struct taps){count, count == 4 ? whole - 1 : whole, fraction,
                         (size_t)begin, last > begin ? (size_t)(last - begin) : 0};
}

/* to[j] = from[first + j], or the item at the edge beyond it, for `count` items of `bytes`
 * bytes. */
static void spread(const char *from, size_t n, ptrdiff_t first, size_t count, size_t bytes,
                   char *to)
{
    const size_t before = first < 0 ? min_size((size_t)-first, count) : 0;
    const size_t skipped = first < 0 ? 0 : min_size((size_t)first, n);
    const size_t within = min_size(n - skipped, count - before);
    for (size_t j = 0; j < before; j++)
        memcpy(to + j * bytes, from, bytes);
    memcpy(to + before * bytes, from + skipped * bytes, within * bytes);
    for (size_t j = before + within; j < count; j++)
        memcpy(to + j * bytes, from + (n - 1) * bytes, bytes);
}

/* Write an item n times. */
static void repeat(const char *item, size_t n, size_t bytes, char *to)
{
    for (size_t j = 0; j < n; j++)
        memcpy(to + j * bytes, item, bytes);
}

/* What lies outside along one axis of an array (n, inner bytes) becomes `item`. */
static void fill_outside(const struct taps *axis, size_t n, size_t inner, const char *item,
                         size_t bytes, char *to)
{
    const size_t begin = axis->inside ? axis->begin : n, end = begin + axis->inside;
    repeat(item, begin * (inner / bytes), bytes, to);
    if (end < n)
        repeat(item, (n - end) * (inner / bytes), bytes, to + end * inner);
}

static int holds(const struct taps *axis, size_t p)
{
    return p >= axis->begin && p - axis->begin < axis->inside;
}

/* The row y of one frame moved by whole pixels alone. */
static void copy_row(const char *frame, const size_t dims[3], const struct taps axes[3], size_t y,
                     size_t bytes, char *to)
{
    const size_t columns = dims[1], pages = dims[2], run = pages * bytes;
    const size_t from = (size_t)clamped((ptrdiff_t)y + axes[0].first, dims[0]);
    const char *row = frame + from * columns * run;
    if (axes[2].first == 0) {
        spread(row, columns, axes[1].first, columns, run, to);
        return;
    }
    for (size_t x = 0; x < columns; x++) {
        const size_t column = (size_t)clamped((ptrdiff_t)x + axes[1].first, columns);
        spread(row + column * run, pages, axes[2].first, pages, bytes, to + x * run);
    }
}

/* How the pixels of one row of an image move, in scratch: along rows (0) and columns (1) the whole
 * numbers and fractions, in REAL, of each pixel, and the shifts of the row at the blocks' columns.
 * Columns starts[j - 1] ... starts[j] - 1 lie between the blocks j - 1 and j, where the part
 * `between` of the way to block j is left behind. */
struct field {
    int32_t *whole[2];
    void *fraction[2], *between, *values;
    double *shifts[2];
    size_t *starts;
    /* Rows of the frame in REAL: row kept_row[i] is in slot i. */
    void *kept;
    size_t kept_row[KEPT_ROWS];
};

/* How long the whole shifts stay those of column x: sixteen columns are compared at a time. */
static inline size_t run_end(const int32_t *rows, const int32_t *columns, size_t x, size_t n)
{
    const int32_t row = rows[x], column = columns[x];
    for (; x + 16 <= n; x += 16) {
        int32_t other = 0;
        for (size_t j = 0; j < 16; j++)
            other |= (rows[x + j] ^ row) | (columns[x + j] ^ column);
        if (other)
            break;
    }
    while (x < n && rows[x] == row && columns[x] == column)
        x++;
    return x;
}

/* Every length is far below this. */
#define FAR 0x1p30

/* Which of n ascending positions is the last one at or before p, or -1. */
static ptrdiff_t block_before(const double *positions, size_t n, double p)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (positions[middle] <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return (ptrdiff_t)low - 1;
}

/* The part of the way from block j to the next, 0 beyond the outermost. Halves, because the whole
 * distance of two doubles may be infinite. */
static double part_of_way(const double *positions, size_t n, ptrdiff_t j, double p)
{
    if (j < 0 || j == (ptrdiff_t)n - 1)
        return 0;
    return (p / 2 - positions[j] / 2) / (positions[j + 1] / 2 - positions[j] / 2);
}

static double bounded(double shift) { return shift < -FAR ? -FAR : shift > FAR ? FAR : shift; }

/* The shifts of frame row y at the blocks' columns. */
static void shifts_of_row(const struct mpim_blocks *blocks, const double *shifts, size_t y,
                          struct field *field)
{
    const ptrdiff_t j = block_before(blocks->rows, blocks->row_count, (double)y);
    const double part = part_of_way(blocks->rows, blocks->row_count, j, (double)y);
    const size_t above = (size_t)clamped(j, blocks->row_count);
    const size_t below = (size_t)clamped(j + 1, blocks->row_count);
    for (size_t c = 0; c < blocks->column_count; c++)
        for (size_t axis = 0; axis < 2; axis++) {
            const double a = bounded(shifts[2 * (above * blocks->column_count + c) + axis]);
            const double b = bounded(shifts[2 * (below * blocks->column_count + c) + axis]);
            field->shifts[axis][c] = a + part * (b - a);
        }
}

/* The columns of frames between those of blocks. */
static void starts_of_columns(const struct mpim_blocks *blocks, size_t columns, struct field *field)
{
    size_t x = 0;
    for (size_t j = 0; j < blocks->column_count; j++) {
        while (x < columns && (double)x < blocks->columns[j])
            x++;
        field->starts[j] = x;
    }
}

#define BODY "warp/clone.h"
#include "common/clones.h"

/* The row y of one frame. */
typedef void (*row_fn)(const char *, const size_t[3], const struct taps[3], size_t, struct rows,
                       int, char *);
static const row_fn rows_of[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, shift_row)};

typedef void (*between_fn)(const struct mpim_blocks *, size_t, struct field *);
typedef void (*warp_row_fn)(const char *, const size_t[3], const struct mpim_blocks *, size_t,
                            struct field *, const struct mpim_moved *, char *);
static const between_fn betweens[][MPIM_ISA_COUNT] = {FOR_EACH_FLOAT(CLONES_OF, between_blocks)};
static const warp_row_fn warpers[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, warp_row)};

static const struct {
    unsigned char itemsize, real_size;
} dtypes[] = {
#define SIZES(unused, tag, number)                                                                 \
    [number] = {sizeof(COLUMN(1, DTYPE_##tag)), sizeof(COLUMN(1, PASTE(DTYPE, REAL_OF_##tag)))},
    FOR_EACH_DTYPE(SIZES, )};

/* Of float frames no integers are made; other dtypes than the frames' only where REAL is exact. */
static int possible(int dtype, int out_dtype)
{
    if (dtype < MPIM_U8 || dtype > MPIM_F64)
        return 0;
    return out_dtype == dtype || out_dtype == MPIM_F64 ||
           (out_dtype == MPIM_F32 && dtypes[dtype].real_size == sizeof(float));
}

/* Rows of scratch, in one piece at sums. Frames exist, so that a row's items can be counted in
 * bytes; that a few rows of double can be, too, is checked here. */
static int allocate(const size_t dims[3], size_t real_size, struct rows *rows)
{
    const size_t row = dims[1] * dims[2], padded = (dims[1] + MAX_TAPS) * dims[2];
    const size_t total = row + padded + row + dims[2] + MAX_TAPS;
    if (dims[1] > SIZE_MAX / 64 / dims[2] - MAX_TAPS - 1)
        return MPIM_NO_MEMORY;
    char *at = malloc(total * real_size);
    if (!at)
        return MPIM_NO_MEMORY;
    *rows = (struct rows){at, at + row * real_size, at + (row + padded) * real_size,
                          at + (row + padded + row) * real_size};
    return MPIM_OK;
}

static void shift_frame(int isa, const struct mpim_frames *frames, const char *frame,
                        const double *shift, const struct mpim_moved *moved, struct rows rows,
                        char *to)
{
    const size_t *dims = frames->dims, bytes = dtypes[moved->dtype].itemsize;
    const size_t run = dims[2] * bytes, row = dims[1] * run;
    struct taps axes[3];
    for (int a = 0; a < 3; a++)
        axes[a] = taps_of(shift[a], dims[a], moved->order);
    const int whole = axes[0].count * axes[1].count * axes[2].count == 1;
    for (size_t y = 0; y < dims[0]; y++, to += row) {
        if (moved->fill && !holds(&axes[0], y)) {
            repeat(moved->fill, row / bytes, bytes, to);
            continue;
        }
        if (whole && moved->dtype == frames->dtype)
            copy_row(frame, dims, axes, y, bytes, to);
        else
            rows_of[frames->dtype][isa](frame, dims, axes, y, rows, moved->dtype, to);
        if (!moved->fill)
            continue;
        fill_outside(&axes[1], dims[1], run, moved->fill, bytes, to);
        if (axes[2].inside < dims[2])
            for (size_t x = 0; x < dims[1]; x++)
                fill_outside(&axes[2], dims[2], bytes, moved->fill, bytes, to + x * run);
    }
}

int mpim_shift(int isa, struct mpim_frames frames, const double *shifts, struct mpim_moved moved)
{
    if (!possible(frames.dtype, moved.dtype))
        return MPIM_BAD_TYPE;
    if (!frames.dims[0] || !frames.dims[1] || !frames.dims[2])
        return MPIM_OK;
    struct rows rows;
    const int status = allocate(frames.dims, dtypes[frames.dtype].real_size, &rows);
    if (status)
        return status;
    for (size_t i = 0; i < frames.k; i++)
        shift_frame(isa, &frames, (const char *)frames.data + (ptrdiff_t)i * frames.stride,
                    shifts + 3 * i, &moved, rows, (char *)moved.data + (ptrdiff_t)i * moved.stride);
    free(rows.sums);
    return MPIM_OK;
}

/* In one piece, at field->shifts[0]; the longest items first, so that all are aligned. What lies
 * beyond the ends of rows is read, but not used: it is 0. */
static int allocate_field(const struct mpim_blocks *blocks, size_t columns, size_t real_size,
                          struct field *field)
{
    const size_t count = blocks->column_count, padded = columns + STEP, row = padded * real_size;
    if (count > SIZE_MAX / 64 || columns > SIZE_MAX / 512 - STEP)
        return MPIM_NO_MEMORY;
    char *at = calloc(count * (2 * sizeof(double) + sizeof(size_t)) + (4 + KEPT_ROWS) * row +
                      2 * padded * sizeof(int32_t), 1);
    if (!at)
        return MPIM_NO_MEMORY;
    double *const shifts = (double *)(void *)at;
    size_t *const starts = (size_t *)(void *)(shifts + 2 * count);
    char *const reals = (char *)(starts + count);
    int32_t *const whole = (int32_t *)(void *)(reals + (4 + KEPT_ROWS) * row);
    *field = (struct field){.whole = {whole, whole + padded}, .fraction = {reals, reals + row},
                            .between = reals + 2 * row, .values = reals + 3 * row,
                            .kept = reals + 4 * row, .shifts = {shifts, shifts + count},
                            .starts = starts};
    return MPIM_OK;
}

int mpim_warp(int isa, struct mpim_frames frames, struct mpim_blocks blocks,
              struct mpim_moved moved)
{
    if (!possible(frames.dtype, moved.dtype))
        return MPIM_BAD_TYPE;
    const size_t *dims = frames.dims, real_size = dtypes[frames.dtype].real_size;
    if (!dims[0] || !dims[1])
        return MPIM_OK;
    struct field field;
    const int status = allocate_field(&blocks, dims[1], real_size, &field);
    if (status)
        return status;
    starts_of_columns(&blocks, dims[1], &field);
    betweens[real_size == sizeof(float) ? MPIM_F32 : MPIM_F64][isa](&blocks, dims[1], &field);
    const size_t shifts = 2 * blocks.row_count * blocks.column_count;
    for (size_t i = 0; i < frames.k; i++) {
        const char *frame = (const char *)frames.data + (ptrdiff_t)i * frames.stride;
        char *to = (char *)moved.data + (ptrdiff_t)i * moved.stride;
        for (size_t slot = 0; slot < KEPT_ROWS; slot++)
            field.kept_row[slot] = SIZE_MAX;
        for (size_t y = 0; y < dims[0]; y++) {
            shifts_of_row(&blocks, blocks.shifts + i * shifts, y, &field);
            warpers[frames.dtype][isa](frame, dims, &blocks, y, &field, &moved,
                                       to + y * dims[1] * dtypes[moved.dtype].itemsize);
        }
    }
    free(field.shifts[0]);
    return MPIM_OK;
}
