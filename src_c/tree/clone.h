/* tree.c, one clone: the arithmetic of nodes, which does not depend on the records' dtype. */

/* A NaN's sign and payload depend on the order of operands, which is the compiler's choice. */
static inline double FN(canonical)(double x) { return x == x ? x : (double)NAN; }

/* a + b; of finite a and b it is the greatest double where it would be infinite, so that a sum is
 * finite as long as the records are. */
static inline double FN(sum)(double a, double b)
{
    const double sum = a + b;
    const int over = (fabs(sum) > DBL_MAX) & (fabs(a) <= DBL_MAX) & (fabs(b) <= DBL_MAX);
    return over ? copysign(DBL_MAX, sum) : sum;
}

/* a + b - fl(a + b), exactly (Knuth, TAOCP 2, 4.2.2, theorem B); NaN once that is not finite. */
static inline double FN(lost)(double a, double b)
{
    const double sum = a + b, part = sum - a;
    return (a - (sum - part)) + (b - part);
}

/* One tile of a node: S, C, and M2 where it is kept, else NULL. */
struct FN(tile) {
    double *s, *c, *m;
};

static struct FN(tile) FN(slot)(struct mpim_nodes nodes, int parts, ptrdiff_t offset)
{
    double *s = nodes.data + offset;
    return (struct FN(tile)){s, s + nodes.part, parts > 2 ? s + 2 * nodes.part : NULL};
}

/* Siblings whose sums have lost nothing yet: C is taken as 0 without being read. */
static void FN(merge_uncompensated)(const double *restrict as, const double *restrict bs,
                                    const double *restrict am, const double *restrict bm,
                                    double scale, size_t width, double *restrict s,
                                    double *restrict c, double *restrict m)
{
    for (size_t i = 0; i < width; i++) {
        const double a = as[i], b = bs[i], d = b - a;
        c[i] = FN(lost)(a, b);
        s[i] = FN(sum)(a, b);
        m[i] = (am[i] + bm[i]) + d * d * scale;
    }
}

static void FN(merge_moments)(struct FN(tile) x, struct FN(tile) y, double scale, size_t width,
                              double *restrict s, double *restrict c, double *restrict m)
{
    const double *restrict as = x.s, *restrict ac = x.c, *restrict am = x.m;
    const double *restrict bs = y.s, *restrict bc = y.c, *restrict bm = y.m;
    for (size_t i = 0; i < width; i++) {
        const double d = (bs[i] - as[i]) + (bc[i] - ac[i]);
        c[i] = (ac[i] + bc[i]) + FN(lost)(as[i], bs[i]);
        s[i] = FN(sum)(as[i], bs[i]);
        m[i] = (am[i] + bm[i]) + d * d * scale;
    }
}

static void FN(merge_sums)(const double *restrict as, const double *restrict ac,
                           const double *restrict bs, const double *restrict bc, int first,
                           size_t width, double *restrict s, double *restrict c)
{
    if (first)
        for (size_t i = 0; i < width; i++) {
            c[i] = FN(lost)(as[i], bs[i]);
            s[i] = FN(sum)(as[i], bs[i]);
        }
    else
        for (size_t i = 0; i < width; i++) {
            c[i] = (ac[i] + bc[i]) + FN(lost)(as[i], bs[i]);
            s[i] = FN(sum)(as[i], bs[i]);
        }
}

/* Where the sums lose nothing there is no C to write, either. */
static void FN(merge_exact)(const double *restrict as, const double *restrict bs,
                            const double *restrict am, const double *restrict bm, double scale,
                            size_t width, double *restrict s, double *restrict m)
{
    if (m)
        for (size_t i = 0; i < width; i++) {
            const double d = bs[i] - as[i];
            m[i] = (am[i] + bm[i]) + d * d * scale;
            s[i] = as[i] + bs[i];
        }
    else
        for (size_t i = 0; i < width; i++)
            s[i] = as[i] + bs[i];
}

/* to = merge(a, b), siblings of 2^level records each; a is the even one. Below level `exact` sums
 * are taken as exact. 1 / (2 * 2^level) is exact, so that multiplying by it rounds as dividing by
 * 2 * 2^level does. Up to level `exact` C is 0 and is neither read nor written. */
static void FN(merge)(struct FN(tile) a, struct FN(tile) b, unsigned level, unsigned exact,
                      size_t width, struct FN(tile) to)
{
    const double scale = ldexp(0.5, -(int)level);
    if (level < exact)
        FN(merge_exact)(a.s, b.s, a.m, b.m, scale, width, to.s, to.m);
    else if (!to.m)
        FN(merge_sums)(a.s, a.c, b.s, b.c, level == exact, width, to.s, to.c);
    else if (level == exact)
        FN(merge_uncompensated)(a.s, b.s, a.m, b.m, scale, width, to.s, to.c, to.m);
    else
        FN(merge_moments)(a, b, scale, width, to.s, to.c, to.m);
}

static void FN(canonicalize)(size_t width, double *part)
{
    for (size_t i = 0; i < width; i++)
        part[i] = FN(canonical)(part[i]);
}

/* Make NaNs canonical in the slots of `levels` (a bit each), and write the C that was left out. */
static void FN(canonicalize_slots)(struct mpim_nodes slots, int parts, uint64_t levels,
                                   unsigned exact, size_t width)
{
    for (unsigned level = 0; levels >> level; level++)
        if (levels >> level & 1) {
            const struct FN(tile) node = FN(slot)(slots, parts, (ptrdiff_t)level * slots.level);
            FN(canonicalize)(width, node.s);
            if (level <= exact)
                memset(node.c, 0, width * sizeof *node.c);
            else
                FN(canonicalize)(width, node.c);
            if (node.m)
                FN(canonicalize)(width, node.m);
        }
}

/* A tile of the stack of nodes, while records are pushed: its slots, which of them were written,
 * and scratch for two nodes on their way up. */
struct FN(stack) {
    struct mpim_nodes left, right;
    uint64_t in_left, in_right, first;
    struct FN(tile) scratch[2];
    unsigned exact;
    int parts;
};

/* Whether the even sibling of the node of `level` that begins at `begin` is waiting for it. */
static int FN(sibling_waits)(const struct FN(stack) *stack, uint64_t begin, unsigned level)
{
    const uint64_t index = begin >> level;
    return index & 1 && (index - 1) << level >= stack->first;
}

/* Where that node is to be written: its slot, or the scratch that is not `from`. */
static struct FN(tile)
    FN(destination)(struct FN(stack) *stack, uint64_t begin, unsigned level, int from)
{
    if (FN(sibling_waits)(stack, begin, level))
        return stack->scratch[!from];
    const int odd = (int)(begin >> level & 1);
    const struct mpim_nodes to = odd ? stack->left : stack->right;
    *(odd ? &stack->in_left : &stack->in_right) |= UINT64_C(1) << level;
    return FN(slot)(to, stack->parts, (ptrdiff_t)level * to.level);
}

/* Bring the node that was written to destination(begin, level, 1) to its slot, merging it with its
 * waiting siblings on the way. */
static void FN(carry)(struct FN(stack) *stack, uint64_t begin, unsigned level, size_t width)
{
    for (int from = 0; FN(sibling_waits)(stack, begin, level); from = !from) {
        const struct FN(tile) even =
            FN(slot)(stack->right, stack->parts, (ptrdiff_t)level * stack->right.level);
        stack->in_right &= ~(UINT64_C(1) << level);
        begin -= UINT64_C(1) << level;
        FN(merge)(even, stack->scratch[from], level, stack->exact, width,
                  FN(destination)(stack, begin, level + 1, from));
        level++;
    }
}

/* The mean of b less that of a. na is a power of two in every tree, so that q = Sa / na is exact;
 * the rounding of nb q is made good by fma, which is exact wherever it runs. */
static inline double FN(mean_difference)(double sa, double ca, double na, double sb, double cb,
                                         double nb)
{
    const double q = sa / na, p = nb * q, left = fma(nb, q, -p);
    return ((sb - p) - left + cb) / nb - ca / na;
}

/* out = neighbours of na and nb records, merged; out may be a or b (so no restrict). */
static void FN(fold)(struct mpim_nodes a, double na, struct mpim_nodes b, double nb, int parts,
                     size_t m, struct mpim_nodes out)
{
    const double weight = na * nb / (na + nb);
    const struct FN(tile) x = FN(slot)(a, parts, 0), y = FN(slot)(b, parts, 0);
    const struct FN(tile) to = FN(slot)(out, parts, 0);
    for (size_t i = 0; i < m; i++) {
        const double xs = x.s[i], ys = y.s[i], xc = x.c[i], yc = y.c[i];
        if (to.m) {
            const double d = FN(mean_difference)(xs, xc, na, ys, yc, nb);
            to.m[i] = FN(canonical)((x.m[i] + y.m[i]) + d * d * weight);
        }
        to.c[i] = FN(canonical)((xc + yc) + FN(lost)(xs, ys));
        to.s[i] = FN(canonical)(FN(sum)(xs, ys));
    }
}

/* Whether finite records add up to more than a double holds: S is finite, what it lost no number.
 */
static inline int FN(sum_overflows)(double s, double c) { return isfinite(s) && !isfinite(c); }

/* The sum of the records of a node. */
static inline double FN(sum_of_records)(double s, double c)
{
    if (FN(sum_overflows)(s, c))
        return copysign((double)INFINITY, s);
    return FN(canonical)(isfinite(c) ? s + c : s);
}

/* Their mean: the quotient, made good for what the sum and the division have lost. */
static inline double FN(mean_of_records)(double s, double c, double count)
{
    const double q = FN(sum_of_records)(s, c) / count, more = (fma(-q, count, s) + c) / count;
    return FN(canonical)(isfinite(more) ? q + more : q);
}

/* Their population variance, as in NumPy: NaN where a record is not finite (inf - inf), infinite
 * where the mean alone is not. */
static inline double FN(variance_of_records)(double s, double c, double m, double count)
{
    if (FN(sum_overflows)(s, c))
        return (double)INFINITY;
    return isfinite(s) ? FN(canonical)(m / count) : (double)NAN;
}

/* Sum, mean and variance (where they are not NULL) of a node of `count` records. */
static void FN(finish)(struct mpim_nodes node, int parts, double count, size_t m, double *sum,
                       double *mean, double *variance)
{
    const struct FN(tile) from = FN(slot)(node, parts, 0);
    for (size_t i = 0; i < m; i++) {
        const double average = FN(mean_of_records)(from.s[i], from.c[i], count);
        if (sum)
            sum[i] = FN(sum_of_records)(from.s[i], from.c[i]);
        if (mean)
            mean[i] = average;
        if (variance)
            variance[i] = FN(variance_of_records)(from.s[i], from.c[i], from.m[i], count);
    }
}

/* out may be a or b, so the tile goes through a buffer. */
static void FN(merge_nodes)(struct mpim_nodes a, struct mpim_nodes b, int parts, size_t m,
                            unsigned level, unsigned exact, struct mpim_nodes out)
{
    double memory[3 * TREE_TILE];
    const struct mpim_nodes buffer = {memory, 0, TREE_TILE};
    for (size_t i = 0; i < m; i += TREE_TILE) {
        const size_t width = min_size(m - i, TREE_TILE);
        const ptrdiff_t offset = (ptrdiff_t)i;
        FN(merge)(FN(slot)(a, parts, offset), FN(slot)(b, parts, offset), level, exact, width,
                  FN(slot)(buffer, parts, 0));
        if (level < exact)
            memset(memory + TREE_TILE, 0, width * sizeof *memory);
        for (int part = 0; part < parts; part++) {
            double *to = out.data + part * out.part + offset;
            memcpy(to, memory + part * TREE_TILE, width * sizeof *memory);
            FN(canonicalize)(width, to);
        }
    }
}

#define TEMPLATE "tree/push.h"
#define ONLY IS_FLOAT
#include "common/for_each_dtype.h"
