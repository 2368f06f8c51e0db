/* Template: push rows of one float dtype onto the reduction tree (one tile). See tree.c. */

typedef T UNALIGNED TFN(in);
/* What the sum of two loses within a group: of float32, nothing (tree.c says why). */
#define EXACT (sizeof(T) == sizeof(float) ? 5u : 0u)
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
        if (!EXACT)
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
        if (!EXACT)
            c[i] = (rest[0] + rest[1]) + LOST(sum[0], sum[1]);
    }
}

/* The same node of one pixel, sum by sum as siblings merge anywhere else. */
static void TFN(leaves_of)(const char *base, ptrdiff_t stride, struct FN(tile) node)
{
    double memory[2][3][GROUP] = {{{0}}};
    int from = 0;
    for (int r = 0; r < GROUP; r++)
        memory[0][0][r] = *ROW(r);
    for (unsigned level = 0; GROUP >> level > 1; level++, from = !from)
        for (int r = 0; r < GROUP >> (level + 1); r++) {
            struct FN(tile) at[3];
            for (int i = 0; i < 3; i++) {
                double(*part)[GROUP] = memory[i < 2 ? from : !from];
                const int place = i < 2 ? 2 * r + i : r;
                at[i] = (struct FN(tile)){part[0] + place, part[1] + place,
                                          node.m ? part[2] + place : NULL};
            }
            FN(merge)(at[0], at[1], level, 0, 1, at[2]);
        }
    *node.s = memory[from][0][0];
    *node.c = memory[from][1][0];
    if (node.m)
        *node.m = memory[from][2][0];
}

/* Whether a sum is not finite, for another reason than that a record is NaN. */
static inline uint64_t TFN(was_left)(const char *base, ptrdiff_t stride, size_t i, double sum)
{
    uint64_t nan = 0;
#pragma GCC unroll 8
    for (int r = 0; r < GROUP; r++)
        nan |= ROW(r)[i] != ROW(r)[i];
    return !nan & !(fabs(sum) <= DBL_MAX);
}

/* What was summed without a look at the range of doubles is done again where it was left. */
static void TFN(mend)(const char *base, ptrdiff_t stride, size_t width, struct FN(tile) node)
{
    uint64_t beyond = 0, left = 0;
    for (size_t i = 0; i < width; i++)
        beyond |= !(fabs(node.s[i]) <= DBL_MAX);
    for (size_t i = 0; beyond && i < width; i++)
        left |= TFN(was_left)(base, stride, i, node.s[i]);
    for (size_t i = 0; left && i < width; i++)
        if (TFN(was_left)(base, stride, i, node.s[i]))
            TFN(leaves_of)(base + i * sizeof(T), stride,
                           (struct FN(tile)){node.s + i, node.c + i, node.m ? node.m + i : NULL});
}

static void TFN(leaf)(const char *base, size_t width, struct FN(tile) node)
{
    const TFN(in) *row = (const TFN(in) *)base;
    for (size_t i = 0; i < width; i++)
        node.s[i] = row[i];
    if (node.m)
        memset(node.m, 0, width * sizeof *node.m);
}

/* The node of GROUP aligned records, stretch by stretch, while the next group is fetched. */
static void TFN(leaves)(const char *base, ptrdiff_t stride, size_t width, struct ahead next,
                        struct FN(tile) node)
{
    enum { STEP = STRETCH / sizeof(T) };
    for (size_t at = 0; at < width; at += STEP, base += STRETCH) {
        const size_t n = smaller(width - at, STEP);
        fetch(next, stride, at * sizeof(T), (at + n) * sizeof(T));
        /* A whole stretch is a width that the compiler knows: it needs no loop. */
        if (node.m && n == STEP)
            TFN(leaves_moments)(base, stride, STEP, node.s + at, node.c + at, node.m + at);
        else if (node.m)
            TFN(leaves_moments)(base, stride, n, node.s + at, node.c + at, node.m + at);
        else if (n == STEP)
            TFN(leaves_sums)(base, stride, STEP, node.s + at, node.c + at);
        else
            TFN(leaves_sums)(base, stride, n, node.s + at, node.c + at);
        if (!EXACT) /* sums of float32 stay far within the range */
            TFN(mend)(base, stride, n,
                      (struct FN(tile)){node.s + at, node.c + at, node.m ? node.m + at : NULL});
    }
}

/* Push k rows, width <= TREE_TILE; the slots' data already point at the tile, and `tile` is what
 * comes after it. */
static void TFN(push_tile)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                           struct ahead tile, uint64_t start, uint64_t first, int parts,
                           struct mpim_nodes left, struct mpim_nodes right, T *maxima, T *minima)
{
    double memory[2][3 * TREE_TILE];
    struct FN(stack) stack = {left, right, 0, 0, first, {{NULL, NULL, NULL}}, EXACT, parts};
    for (int i = 0; i < 2; i++)
        stack.passing[i] = FN(slot)((struct mpim_nodes){memory[i], 0, TREE_TILE}, parts, 0);
    while (k) {
        const int full = start % GROUP == 0 && k >= GROUP;
        const size_t step = full ? GROUP : 1;
        const struct FN(tile) node = FN(place)(&stack, start, full ? 3 : 0, 1);
        k -= step;
        if (full)
            TFN(leaves)(base, stride, width,
                        ahead_of(base, stride, k, width * sizeof(T), tile), node);
        else
            TFN(leaf)(base, width, node);
        if (maxima)
            TFN(max_rows)(base, stride, step, width, maxima);
        if (minima)
            TFN(min_rows)(base, stride, step, width, minima);
        FN(carry)(&stack, start, full ? 3 : 0, width);
        base += (ptrdiff_t)step * stride;
        start += step;
    }
    FN(tidy)(left, parts, stack.in_left, EXACT, width);
    FN(tidy)(right, parts, stack.in_right, EXACT, width);
}

/* The same of a tile that nothing follows. */
static inline void TFN(push_rows)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                                  uint64_t start, uint64_t first, int parts,
                                  struct mpim_nodes left, struct mpim_nodes right, T *maxima,
                                  T *minima)
{
    TFN(push_tile)(base, stride, k, width, (struct ahead){base, 0}, start, first, parts, left, right,
                   maxima, minima);
}
#undef ROW
#undef LOST
#undef EXACT
