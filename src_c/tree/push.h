/* Template: push a batch of one float dtype onto the reduction tree, tile by tile. See tree.c. */
#include "moments/extrema.h"

typedef T UNALIGNED TFN(in);
/* What the sum of two loses within a group: of float32, nothing (tree.c says why). */
#define EXACT (sizeof(T) == sizeof(float) ? 5u : 0u)
#define LOST(a, b) (EXACT ? 0.0 : FN(lost)(a, b))
#define ROW(r) ((const TFN(in) *)(base + (ptrdiff_t)(r) * stride))

/* The level-3 node of eight aligned records, in registers. C and M2 of a leaf are 0, and 0 + 0 + x
 * is x for the values that occur: level 0 leaves the additions out and gives the same bits. */
static void TFN(group_moments)(const char *base, ptrdiff_t stride, size_t width, double *restrict s,
                               double *restrict c, double *restrict m)
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

static void TFN(group_sums)(const char *base, ptrdiff_t stride, size_t width, double *restrict s,
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

/* The same node of one pixel, by the general merge of siblings. */
static void TFN(group_of_pixel)(const char *base, ptrdiff_t stride, struct FN(tile) node)
{
    double memory[2][3][GROUP] = {{{0}}};
    int from = 0;
    for (int r = 0; r < GROUP; r++)
        memory[0][0][r] = *ROW(r);
    for (unsigned level = 0; GROUP >> level > 1; level++, from = !from)
        for (int r = 0; r < GROUP >> (level + 1); r++) {
            struct FN(tile) at[3];
            for (int i = 0; i < 3; i++) {
                double (*part)[GROUP] = memory[i < 2 ? from : !from];
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
static inline uint64_t TFN(overflowed)(const char *base, ptrdiff_t stride, size_t i, double sum)
{
    uint64_t nan = 0;
#pragma GCC unroll 8
    for (int r = 0; r < GROUP; r++)
        nan |= ROW(r)[i] != ROW(r)[i];
    return !nan & !(fabs(sum) <= DBL_MAX);
}

/* push_group sums without a look at the range of doubles: repeat it where that was exceeded. */
static void TFN(resum_overflows)(const char *base, ptrdiff_t stride, size_t width,
                                 struct FN(tile) node)
{
    uint64_t beyond = 0, left = 0;
    for (size_t i = 0; i < width; i++)
        beyond |= !(fabs(node.s[i]) <= DBL_MAX);
    for (size_t i = 0; beyond && i < width; i++)
        left |= TFN(overflowed)(base, stride, i, node.s[i]);
    for (size_t i = 0; left && i < width; i++)
        if (TFN(overflowed)(base, stride, i, node.s[i]))
            TFN(group_of_pixel)(
                base + i * sizeof(T), stride,
                (struct FN(tile)){node.s + i, node.c + i, node.m ? node.m + i : NULL});
}

static void TFN(push_leaf)(const char *base, size_t width, struct FN(tile) node)
{
    const TFN(in) *row = (const TFN(in) *)base;
    for (size_t i = 0; i < width; i++)
        node.s[i] = row[i];
    if (node.m)
        memset(node.m, 0, width * sizeof *node.m);
}

/* The node of GROUP aligned records, segment by segment, while the next group is prefetched. */
static void TFN(push_group)(const char *base, ptrdiff_t stride, size_t width, struct prefetch next,
                            struct FN(tile) node)
{
    enum { STEP = SEGMENT / sizeof(T) };
    for (size_t at = 0; at < width; at += STEP, base += SEGMENT) {
        const size_t n = min_size(width - at, STEP);
        prefetch_group(next, stride, at * sizeof(T), (at + n) * sizeof(T));
        /* A whole segment is a width that the compiler knows: it needs no loop. */
        if (node.m && n == STEP)
            TFN(group_moments)(base, stride, STEP, node.s + at, node.c + at, node.m + at);
        else if (node.m)
            TFN(group_moments)(base, stride, n, node.s + at, node.c + at, node.m + at);
        else if (n == STEP)
            TFN(group_sums)(base, stride, STEP, node.s + at, node.c + at);
        else
            TFN(group_sums)(base, stride, n, node.s + at, node.c + at);
        if (!EXACT) /* sums of float32 stay far within the range */
            TFN(resum_overflows)(
                base, stride, n,
                (struct FN(tile)){node.s + at, node.c + at, node.m ? node.m + at : NULL});
    }
}

/* Push k rows of one tile, width <= TREE_TILE; the slots' data already point at it. */
static void TFN(push_tile)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                           struct prefetch next_tile, uint64_t start, uint64_t first, int parts,
                           struct mpim_nodes left, struct mpim_nodes right, T *maxima, T *minima)
{
    double memory[2][3 * TREE_TILE];
    struct FN(stack) stack = {left, right, 0, 0, first, {{NULL, NULL, NULL}}, EXACT, parts};
    for (int i = 0; i < 2; i++)
        stack.scratch[i] = FN(slot)((struct mpim_nodes){memory[i], 0, TREE_TILE}, parts, 0);
    while (k) {
        const int full = start % GROUP == 0 && k >= GROUP;
        const size_t step = full ? GROUP : 1;
        const struct FN(tile) node = FN(destination)(&stack, start, full ? 3 : 0, 1);
        k -= step;
        if (full)
            TFN(push_group)(base, stride, width,
                            next_group(base, stride, k, width * sizeof(T), next_tile), node);
        else
            TFN(push_leaf)(base, width, node);
        if (maxima)
            TFN(max_rows)(base, stride, step, width, maxima);
        if (minima)
            TFN(min_rows)(base, stride, step, width, minima);
        FN(carry)(&stack, start, full ? 3 : 0, width);
        base += (ptrdiff_t)step * stride;
        start += step;
    }
    FN(canonicalize_slots)(left, parts, stack.in_left, EXACT, width);
    FN(canonicalize_slots)(right, parts, stack.in_right, EXACT, width);
}

static void TFN(push)(const char *batch, size_t k, size_t m, ptrdiff_t stride, uint64_t start,
                      uint64_t first, int parts, struct mpim_nodes left, struct mpim_nodes right,
                      void *maxima, void *minima)
{
    T *highest = maxima, *lowest = minima;
    for (size_t i = 0, width; i < m; i += width) {
        width = tile_width(batch, i, m, sizeof(T), TREE_TILE);
        const char *base = batch + i * sizeof(T);
        const size_t after = k < GROUP ? 0 : min_size(m - i - width, TREE_TILE);
        struct mpim_nodes l = left, r = right;
        l.data += i;
        r.data += i;
        TFN(push_tile)(base, stride, k, width,
                       (struct prefetch){base + width * sizeof(T), after * sizeof(T)}, start, first,
                       parts, l, r, highest ? highest + i : NULL, lowest ? lowest + i : NULL);
    }
}
#undef ROW
#undef LOST
#undef EXACT
