/* Template: push rows of one float dtype onto the reduction tree (one tile). See tree.c. */

typedef T UNALIGNED TFN(in);
#define ROW(r) ((const TFN(in) *)(base + (ptrdiff_t)(r) * stride))

/* The level-3 node of eight aligned records, in registers. M2 of a leaf is 0, and 0 + 0 + x is x
 * for the squares x that occur: level 0 leaves the additions out and gives the same bits. */
static void TFN(leaves_moments)(const char *base, ptrdiff_t stride, size_t width,
                                double *restrict s, double *restrict m)
{
    for (size_t i = 0; i < width; i++) {
        double sum[GROUP / 2], dev[GROUP / 2];
#pragma GCC unroll 4
        for (int r = 0; r < GROUP / 2; r++) {
            const double a = ROW(2 * r)[i], b = ROW(2 * r + 1)[i], d = b - a;
            sum[r] = a + b;
            dev[r] = d * d * 0.5;
        }
#pragma GCC unroll 2
        for (int r = 0; r < GROUP / 4; r++) {
            const double d = sum[2 * r + 1] - sum[2 * r];
            sum[r] = sum[2 * r] + sum[2 * r + 1];
            dev[r] = (dev[2 * r] + dev[2 * r + 1]) + d * d * 0.25;
        }
        const double d = sum[1] - sum[0];
        s[i] = sum[0] + sum[1];
        m[i] = (dev[0] + dev[1]) + d * d * 0.125;
    }
}

static void TFN(leaves_sums)(const char *base, ptrdiff_t stride, size_t width, double *restrict s)
{
    for (size_t i = 0; i < width; i++) {
        const double ab = (double)ROW(0)[i] + (double)ROW(1)[i];
        const double cd = (double)ROW(2)[i] + (double)ROW(3)[i];
        const double ef = (double)ROW(4)[i] + (double)ROW(5)[i];
        const double gh = (double)ROW(6)[i] + (double)ROW(7)[i];
        s[i] = (ab + cd) + (ef + gh);
    }
}

static void TFN(leaf)(const TFN(in) *row, size_t width, double *restrict s, double *restrict m)
{
    for (size_t i = 0; i < width; i++)
        s[i] = row[i];
    if (m)
        for (size_t i = 0; i < width; i++)
            m[i] = 0.0;
}

/* Push k rows, width <= TREE_TILE; the slots' data already point at the tile. */
static void TFN(push_rows)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                           uint64_t start, uint64_t first, int parts, struct mpim_nodes left,
                           struct mpim_nodes right, T *maxima, T *minima)
{
    double s[TREE_TILE], deviations[TREE_TILE], *m = parts > 1 ? deviations : NULL;
    for (const uint64_t stop = start + k; start < stop;) {
        const int full = start % GROUP == 0 && stop - start >= GROUP;
        const size_t step = full ? GROUP : 1;
        if (full && m)
            TFN(leaves_moments)(base, stride, width, s, m);
        else if (full)
            TFN(leaves_sums)(base, stride, width, s);
        else
            TFN(leaf)(ROW(0), width, s, m);
        if (maxima)
            TFN(max_rows)(base, stride, step, width, maxima);
        if (minima)
            TFN(min_rows)(base, stride, step, width, minima);
        FN(carry)(start, full ? 3 : 0, first, width, s, m, left, right);
        base += (ptrdiff_t)step * stride;
        start += step;
    }
}
#undef ROW
