/* Template: push rows of one float dtype onto the reduction tree (one tile). See tree.c. */

typedef T UNALIGNED TFN(in);
/* What the sum of two loses within a group: of float32, nothing (tree.c says why). */
#define EXACT (sizeof(T) == sizeof(float) ? 3u : 0u)
#define LOST(a, b) (EXACT ? 0.0 : FN(lost)(a, b))
#define ROW(r) ((const TFN(in) *)(base + (ptrdiff_t)(r) * stride))

/* The level-3 node of eight aligned records, in registers. C and M2 of a leaf are 0, and 0 + 0 + x is
 * x for the values that occur: level 0 leaves the additions out and gives the same bits. */
static void TFN(leaves_moments)(const char *base, ptrdiff_t stride, size_t width,
                                double *restrict s, double *restrict c, double *restrict m)
{
    for (size_t i = 0; i < width; i++) {
        double sum[GROUP / 2], rest[GROUP / 2], dev[GROUP / 2];
#pragma GCC unroll 4
        for (int r = 0; r < GROUP / 2; r++) {
            const double a = ROW(2 * r)[i], b = ROW(2 * r + 1)[i], d = b - a;
            sum[r] = a + b;
            rest[r] = LOST(a, b);
            dev[r] = d * d * 0.5;
        }
#pragma GCC unroll 2
        for (int r = 0; r < GROUP / 4; r++) {
            const double a = sum[2 * r], b = sum[2 * r + 1];
            const double d = (b - a) + (rest[2 * r + 1] - rest[2 * r]);
            sum[r] = a + b;
            rest[r] = (rest[2 * r] + rest[2 * r + 1]) + LOST(a, b);
            dev[r] = (dev[2 * r] + dev[2 * r + 1]) + d * d * 0.25;
        }
        const double d = (sum[1] - sum[0]) + (rest[1] - rest[0]);
        s[i] = sum[0] + sum[1];
        c[i] = (rest[0] + rest[1]) + LOST(sum[0], sum[1]);
        m[i] = (dev[0] + dev[1]) + d * d * 0.125;
    }
}

static void TFN(leaves_sums)(const char *base, ptrdiff_t stride, size_t width, double *restrict s,
                             double *restrict c)
{
    for (size_t i = 0; i < width; i++) {
        double sum[GROUP / 2], rest[GROUP / 2];
#pragma GCC unroll 4
        for (int r = 0; r < GROUP / 2; r++) {
            const double a = ROW(2 * r)[i], b = ROW(2 * r + 1)[i];
            sum[r] = a + b;
            rest[r] = LOST(a, b);
        }
#pragma GCC unroll 2
        for (int r = 0; r < GROUP / 4; r++) {
            const double a = sum[2 * r], b = sum[2 * r + 1];
            sum[r] = a + b;
            rest[r] = (rest[2 * r] + rest[2 * r + 1]) + LOST(a, b);
        }
        s[i] = sum[0] + sum[1];
        c[i] = (rest[0] + rest[1]) + LOST(sum[0], sum[1]);
    }
}

static void TFN(leaf)(const TFN(in) *row, size_t width, struct FN(tile) node)
{
    for (size_t i = 0; i < width; i++)
        node.s[i] = row[i];
    memset(node.c, 0, width * sizeof *node.c);
    if (node.m)
        memset(node.m, 0, width * sizeof *node.m);
}

/* The node of GROUP aligned records. */
static void TFN(leaves)(const char *base, ptrdiff_t stride, size_t width, struct FN(tile) node)
{
    if (node.m)
        TFN(leaves_moments)(base, stride, width, node.s, node.c, node.m);
    else
        TFN(leaves_sums)(base, stride, width, node.s, node.c);
}

/* Push k rows, width <= TREE_TILE; the slots' data already point at the tile. */
static void TFN(push_rows)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                           uint64_t start, uint64_t first, int parts, struct mpim_nodes left,
                           struct mpim_nodes right, T *maxima, T *minima)
{
    double memory[3 * TREE_TILE];
    const struct mpim_nodes buffer = {memory, 0, TREE_TILE};
    const struct FN(tile) node = FN(slot)(buffer, parts, 0);
    for (const uint64_t stop = start + k; start < stop;) {
        const int full = start % GROUP == 0 && stop - start >= GROUP;
        const size_t step = full ? GROUP : 1;
        if (full)
            TFN(leaves)(base, stride, width, node);
        else
            TFN(leaf)(ROW(0), width, node);
        if (maxima)
            TFN(max_rows)(base, stride, step, width, maxima);
        if (minima)
            TFN(min_rows)(base, stride, step, width, minima);
        FN(carry)(start, full ? 3 : 0, EXACT, first, width, parts, node, left, right);
        base += (ptrdiff_t)step * stride;
        start += step;
    }
}
#undef ROW
#undef LOST
#undef EXACT
