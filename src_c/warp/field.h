/* Template: where the pixels of a row of an image move, in float or double. */

/* The part of the way between blocks of each column, once for all rows. */
static void TFN(between_blocks)(const struct mpim_blocks *blocks, size_t columns,
                                struct field *field)
{
    T *between = field->between;
    for (size_t x = 0; x < columns; x++) {
        const ptrdiff_t j = block_before(blocks->columns, blocks->column_count, (double)x);
        between[x] = (T)part_of_way(blocks->columns, blocks->column_count, j, (double)x);
    }
}

/* Shifts from a to b as whole numbers and fractions, those of pixels far outside cut to `far`. */
static inline void TFN(split)(T a, T b, T far, const T *restrict between, size_t n,
                              int32_t *restrict wholes, T *restrict fractions)
{
    const T way = b - a, low = (T)NEARLY_WHOLE, high = (T)(1 - NEARLY_WHOLE);
    for (size_t x = 0; x < n; x++) {
        T at = a + between[x] * way;
        at = at < -far ? -far : at;
        at = at > far ? far : at;
        int32_t whole = (int32_t)at;
        whole -= at < (T)whole;
        const T fraction = at - (T)whole;
        const int up = fraction > high;
        wholes[x] = whole + up;
        fractions[x] = (fraction < low) | up ? 0 : fraction;
    }
}

/* The shifts of all pixels of a row of an axis of n pixels. */
static inline void TFN(split_row)(const struct field *field, size_t axis, size_t n, size_t columns,
                                  size_t blocks)
{
    const T *between = field->between;
    const double *shifts = field->shifts[axis];
    T *fractions = field->fraction[axis];
    for (size_t j = 0; j <= blocks; j++) {
        const size_t begin = j ? field->starts[j - 1] : 0;
        const size_t end = j < blocks ? field->starts[j] : columns;
        TFN(split)((T)shifts[j ? j - 1 : 0], (T)shifts[min_size(j, blocks - 1)],
                   (T)(n + MAX_TAPS), between + begin, end - begin, field->whole[axis] + begin,
                   fractions + begin);
    }
}

/* a where the fraction is 0, else b. In bits, as compilers make a branch of the plain choice, and
 * no vectors. */
static ALWAYS_INLINE T TFN(chosen)(T a, T b, T fraction)
{
    const UT mask = fraction == 0 ? (UT)-1 : 0;
    UT x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    x = (x & mask) | (y & ~mask);
    memcpy(&a, &x, sizeof a);
    return a;
}

/* What is between the taps: the tap itself where the fraction is 0. That needs a choice only where
 * a tap `may` be infinite or no number. */
static ALWAYS_INLINE T TFN(between_2)(T a, T b, T f, int may)
{
    T w[2];
    TFN(linear_weights)(f, w);
    const T sum = w[0] * a + w[1] * b;
    return may ? TFN(chosen)(a, sum, f) : sum;
}

static ALWAYS_INLINE T TFN(between_4)(T a, T b, T c, T d, T f, int may)
{
    T w[4];
    TFN(cubic_weights)(f, w);
    const T sum = w[0] * a + w[1] * b + w[2] * c + w[3] * d;
    return may ? TFN(chosen)(b, sum, f) : sum;
}

/* A run of pixels whose taps begin at column `first` of the rows `taps`. Whole steps are computed:
 * what is too much is computed again as part of the next run. */
static ALWAYS_INLINE void TFN(warp_linear)(const T *const taps[4], size_t first,
                                           const T *restrict rows, const T *restrict columns,
                                           size_t steps, int may, T *restrict to)
{
    const T *restrict a = taps[0] + first, *restrict b = taps[1] + first;
    for (size_t x = 0; x < steps * STEP; x++) {
        const T left = TFN(between_2)(a[x], b[x], rows[x], may);
        const T right = TFN(between_2)(a[x + 1], b[x + 1], rows[x], may);
        to[x] = TFN(between_2)(left, right, columns[x], may);
    }
}

static ALWAYS_INLINE void TFN(warp_cubic)(const T *const taps[4], size_t first,
                                          const T *restrict rows, const T *restrict columns,
                                          size_t steps, int may, T *restrict to)
{
    const T *restrict a = taps[0] + first, *restrict b = taps[1] + first;
    const T *restrict c = taps[2] + first, *restrict d = taps[3] + first;
    for (size_t x = 0; x < steps * STEP; x++) {
        const T p = TFN(between_4)(a[x], b[x], c[x], d[x], rows[x], may);
        const T q = TFN(between_4)(a[x + 1], b[x + 1], c[x + 1], d[x + 1], rows[x], may);
        const T r = TFN(between_4)(a[x + 2], b[x + 2], c[x + 2], d[x + 2], rows[x], may);
        const T s = TFN(between_4)(a[x + 3], b[x + 3], c[x + 3], d[x + 3], rows[x], may);
        to[x] = TFN(between_4)(p, q, r, s, columns[x], may);
    }
}

/* Columns begin ... end - 1, which have the same whole shifts. Taps beyond the edge are copied
 * side by side first, for a step at a time. */
static ALWAYS_INLINE void TFN(warp_run)(const T *const rows[4], size_t columns, int order,
                                        size_t begin, size_t end, int may, struct field *field)
{
    const size_t count = order == 1 ? 2 : 4;
    const ptrdiff_t away = field->whole[1][begin] - (order == 1 ? 0 : 1);
    const T *row = field->fraction[0], *column = field->fraction[1];
    T *to = field->values, copies[4][STEP + MAX_TAPS];
    const T *const edge[4] = {copies[0], copies[1], copies[2], copies[3]};
    for (size_t x = begin, n; x < end; x += n) {
        const ptrdiff_t first = (ptrdiff_t)x + away;
        const int within = first >= 0 && (size_t)first + count <= columns;
        if (within) {
            n = min_size(end - x, columns - count - (size_t)first + 1);
        } else {
            n = min_size(end - x, STEP);
            for (size_t i = 0; i < count; i++)
                for (size_t j = 0; j < STEP + MAX_TAPS; j++)
                    copies[i][j] = rows[i][clamped(first + (ptrdiff_t)j, columns)];
        }
        const T *const *taps = within ? rows : edge;
        const size_t at = within ? (size_t)first : 0, steps = (n + STEP - 1) / STEP;
        if (order == 1)
            TFN(warp_linear)(taps, at, row + x, column + x, steps, may, to + x);
        else
            TFN(warp_cubic)(taps, at, row + x, column + x, steps, may, to + x);
    }
}
