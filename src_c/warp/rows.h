/* Template: moved rows of one dtype. */
typedef T UNALIGNED TFN(item);

/* What is computed in, and the functions of sums.h for it. */
#define REAL_TAG PASTE(REAL_OF, TAG)
#define REAL COLUMN(1, PASTE(DTYPE, REAL_TAG))
#define REAL_FN(name) FN_OF(name, REAL_TAG)

#if !IS_FLOAT
#if BITS == 64
/* Rounded up, to the first number that does not fit. */
#define HIGHEST ((REAL)(IS_SIGNED ? (UT)-1 >> 1 : (UT)-1))
#define LOWEST (IS_SIGNED ? -0x1p63 : 0.0)

static inline T TFN(rounded)(REAL x)
{
    if (x >= HIGHEST)
        return (T)(IS_SIGNED ? (UT)-1 >> 1 : (UT)-1);
    /* From 2^52 on there are only whole numbers; below, adding that rounds, ties to even. */
    const REAL to_whole = x < 0 ? -0x1p52 : 0x1p52;
    const REAL whole = x > -0x1p52 && x < 0x1p52 ? (x + to_whole) - to_whole : x;
    return (T)(whole < LOWEST ? LOWEST : whole);
}
#else
/* Added to a small number, it leaves that in the last bits, rounded to a whole one, ties to even.
 * There is no instruction for it in x86-64-v1, nor one that keeps a number in a range. Cubics
 * exceed the range of 16 or 32 bits by a factor of less than 3. */
#define TO_WHOLE ((REAL)(sizeof(REAL) == 4 ? 0x1.8p23 : 0x1.8p52))
#define WHOLE COLUMN(1, PASTE(DTYPE, WHOLE_OF_REAL))
#define LOWEST (IS_SIGNED ? -((WHOLE)1 << (BITS - 1)) : 0)
#define HIGHEST (((WHOLE)1 << (BITS - IS_SIGNED)) - 1)
#if BITS == 32
#define WHOLE_OF_REAL i64
#else
#define WHOLE_OF_REAL i32
#endif

static inline T TFN(rounded)(REAL x)
{
    const REAL shifted = x + TO_WHOLE, zero = TO_WHOLE;
    WHOLE whole, offset;
    memcpy(&whole, &shifted, sizeof whole);
    memcpy(&offset, &zero, sizeof offset);
    whole -= offset;
    whole = whole < LOWEST ? LOWEST : whole;
    return (T)(whole > HIGHEST ? HIGHEST : whole);
}
#endif
#endif

static inline void TFN(store)(const REAL *restrict from, size_t n, int out_dtype, char *to)
{
#if !IS_FLOAT || BITS == 64
    if (out_dtype == MPIM_F32)
        REAL_FN(store_f32)(from, n, (float *)(void *)to);
    else
#endif
    if (out_dtype == MPIM_F64)
        REAL_FN(store_f64)(from, n, (double *)(void *)to);
#if IS_FLOAT
    else
        REAL_FN(store_f32)(from, n, (float *)(void *)to);
#else
    else {
        T *restrict items = (T *)(void *)to;
        for (size_t m = 0; m < n; m++)
            items[m] = TFN(rounded)(from[m]);
    }
#endif
}

/* The sum of the taps along the rows' axis, of whole rows of n items. */
static inline void TFN(sum_rows)(const TFN(item) *const taps[4], size_t count, const REAL w[4],
                                 size_t n, REAL *restrict to)
{
    const TFN(item) *a = taps[0], *b = taps[1], *c = taps[2], *d = taps[3];
    const REAL u = w[0], v = w[1], s = w[2], t = w[3];
    if (count == 1)
        for (size_t m = 0; m < n; m++)
            to[m] = (REAL)a[m];
    else if (count == 2)
        for (size_t m = 0; m < n; m++)
            to[m] = u * (REAL)a[m] + v * (REAL)b[m];
    else
        for (size_t m = 0; m < n; m++)
            to[m] = u * (REAL)a[m] + v * (REAL)b[m] + s * (REAL)c[m] + t * (REAL)d[m];
}

/* The rows that are the taps of row y, those beyond the edge again those at the edge. */
static inline void TFN(rows_at)(const char *frame, const size_t dims[3], ptrdiff_t first,
                                size_t count, const TFN(item) *taps[4])
{
    for (size_t j = 0; j < MAX_TAPS; j++) {
        const size_t y = (size_t)clamped(first + (ptrdiff_t)min_size(j, count - 1), dims[0]);
        taps[j] = (const TFN(item) *)(frame + y * dims[1] * dims[2] * sizeof(T));
    }
}

static void TFN(shift_row)(const char *frame, const size_t dims[3], const struct taps axes[3],
                           size_t y, struct rows scratch, int out_dtype, char *to)
{
    const size_t columns = dims[1], pages = dims[2], n = columns * pages;
    const struct taps *row = &axes[0], *column = &axes[1], *page = &axes[2];
    REAL *sums = scratch.sums, w[4] = {1, 0, 0, 0};
    const TFN(item) *taps[4];
    TFN(rows_at)(frame, dims, (ptrdiff_t)y + row->first, row->count, taps);
    REAL_FN(weights)(row, w);
    TFN(sum_rows)(taps, row->count, w, n, sums);
    if (column->count > 1 || column->first) {
        spread((const char *)sums, columns, column->first, columns + column->count - 1,
               pages * sizeof *sums, scratch.spread);
        sums = scratch.spread;
    }
    if (column->count > 1) {
        REAL_FN(weights)(column, w);
        REAL_FN(sum_taps)(sums, pages, column->count, w, n, scratch.columns);
        sums = scratch.columns;
    }
    if (page->count > 1 || page->first) {
        REAL_FN(weights)(page, w);
        for (size_t x = 0; x < columns; x++) {
            REAL *run = sums + x * pages;
            spread((const char *)run, pages, page->first, pages + page->count - 1, sizeof *run,
                   scratch.pages);
            if (page->count > 1)
                REAL_FN(sum_taps)(scratch.pages, 1, page->count, w, pages, run);
            else
                memcpy(run, scratch.pages, pages * sizeof *run);
        }
    }
    TFN(store)(sums, n, out_dtype, to);
}

/* Row y of an image in REAL: several rows of a moved image are computed from it. */
static inline const REAL *TFN(real_row)(const char *frame, const size_t dims[3], size_t y,
                                        struct field *field)
{
    const size_t slot = y % KEPT_ROWS;
    REAL *kept = (REAL *)field->kept + slot * (dims[1] + STEP);
    if (field->kept_row[slot] != y) {
        const TFN(item) *row = (const TFN(item) *)(frame + y * dims[1] * sizeof(T));
        for (size_t x = 0; x < dims[1]; x++)
            kept[x] = (REAL)row[x];
        field->kept_row[slot] = y;
    }
    return kept;
}

/* Whether the position of a pixel is outside of an axis of n pixels. */
static inline int TFN(outside)(const struct field *field, size_t axis, size_t x, ptrdiff_t p,
                               size_t n)
{
    const REAL *fraction = field->fraction[axis];
    p += field->whole[axis][x];
    return p < 0 || p >= (ptrdiff_t)n || (p == (ptrdiff_t)n - 1 && fraction[x] > 0);
}

static void TFN(warp_row)(const char *frame, const size_t dims[3], const struct mpim_blocks *blocks,
                          size_t y, struct field *field, const struct mpim_moved *moved, char *to)
{
    const size_t columns = dims[1];
    for (size_t axis = 0; axis < 2; axis++)
        REAL_FN(split_row)(field, axis, dims[axis], columns, blocks->column_count);
    const ptrdiff_t before = moved->order == 1 ? 0 : 1;
    for (size_t begin = 0; begin < columns;) {
        const size_t end = run_end(field->whole[0], field->whole[1], begin, columns);
        const ptrdiff_t first = (ptrdiff_t)y + field->whole[0][begin] - before;
        const REAL *taps[4];
        for (ptrdiff_t j = 0; j < (moved->order == 1 ? 2 : 4); j++)
            taps[j] = TFN(real_row)(frame, dims, (size_t)clamped(first + j, dims[0]), field);
        REAL_FN(warp_run)(taps, columns, moved->order, begin, end, IS_FLOAT, field);
        begin = end;
    }
    TFN(store)(field->values, columns, moved->dtype, to);
#if BITS == 64 && !IS_FLOAT
    /* Those that are only moved keep the digits that a double does not have. */
    const REAL *row = field->fraction[0], *column = field->fraction[1];
    for (size_t x = 0; x < columns && moved->dtype != MPIM_F64; x++)
        if (row[x] == 0 && column[x] == 0) {
            const ptrdiff_t at = clamped((ptrdiff_t)y + field->whole[0][x], dims[0]);
            const ptrdiff_t by = clamped((ptrdiff_t)x + field->whole[1][x], columns);
            memcpy(to + x * sizeof(T), frame + ((size_t)at * columns + (size_t)by) * sizeof(T),
                   sizeof(T));
        }
#endif
    if (!moved->fill)
        return;
    const size_t bytes = moved->dtype == MPIM_F64 ? 8 : moved->dtype == MPIM_F32 ? 4 : sizeof(T);
    for (size_t x = 0; x < columns; x++)
        if (TFN(outside)(field, 0, x, (ptrdiff_t)y, dims[0]) ||
            TFN(outside)(field, 1, x, (ptrdiff_t)x, columns))
            memcpy(to + x * bytes, moved->fill, bytes);
}

#undef REAL_TAG
#undef REAL
#undef REAL_FN
#undef TO_WHOLE
#undef WHOLE
#undef WHOLE_OF_REAL
#undef LOWEST
#undef HIGHEST
