/* The arithmetic of tree nodes that does not depend on the records' dtype. See tree.c. */

/* A NaN's sign and payload depend on the order of operands, which is the compiler's choice. */
static inline double FN(canonical)(double x) { return x == x ? x : (double)NAN; }

/* a + b - fl(a + b), exactly (Knuth, TAOCP 2, 4.2.2, theorem B); NaN once the sum is not finite. */
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

static void FN(merge_moments)(const double *restrict node_s, const double *restrict node_c,
                              const double *restrict node_m, double scale, size_t width,
                              double *restrict s, double *restrict c, double *restrict m)
{
    for (size_t i = 0; i < width; i++) {
        const double d = (s[i] - node_s[i]) + (c[i] - node_c[i]);
        c[i] = (node_c[i] + c[i]) + FN(lost)(node_s[i], s[i]);
        s[i] = node_s[i] + s[i];
        m[i] = (node_m[i] + m[i]) + d * d * scale;
    }
}

static void FN(merge_sums)(const double *restrict node_s, const double *restrict node_c,
                           size_t width, double *restrict s, double *restrict c)
{
    for (size_t i = 0; i < width; i++) {
        c[i] = (node_c[i] + c[i]) + FN(lost)(node_s[i], s[i]);
        s[i] = node_s[i] + s[i];
    }
}

/* Where the sums lose nothing, C stays 0. */
static void FN(merge_exact)(const double *restrict node_s, const double *restrict node_m,
                            double scale, size_t width, double *restrict s, double *restrict m)
{
    if (m)
        for (size_t i = 0; i < width; i++) {
            const double d = s[i] - node_s[i];
            m[i] = (node_m[i] + m[i]) + d * d * scale;
        }
    for (size_t i = 0; i < width; i++)
        s[i] = node_s[i] + s[i];
}

/* to = merge(node, to); node is the even sibling, each has 2^level records. Below level `exact` sums
 * are taken as exact. 1 / (2 * 2^level) is exact, so that multiplying by it rounds as dividing by
 * 2 * 2^level does. */
static void FN(merge)(struct FN(tile) node, unsigned level, unsigned exact, size_t width,
                      struct FN(tile) to)
{
    if (level < exact)
        FN(merge_exact)(node.s, node.m, ldexp(0.5, -(int)level), width, to.s, to.m);
    else if (to.m)
        FN(merge_moments)(node.s, node.c, node.m, ldexp(0.5, -(int)level), width, to.s, to.c, to.m);
    else
        FN(merge_sums)(node.s, node.c, width, to.s, to.c);
}

static void FN(store_part)(const double *restrict from, size_t width, double *restrict to)
{
    for (size_t i = 0; i < width; i++)
        to[i] = FN(canonical)(from[i]);
}

static void FN(store)(struct FN(tile) from, size_t width, struct FN(tile) node)
{
    FN(store_part)(from.s, width, node.s);
    FN(store_part)(from.c, width, node.c);
    if (from.m)
        FN(store_part)(from.m, width, node.m);
}

/* Bring the node of `level` that begins at record `begin` to its slot, merging it with its waiting
 * siblings on the way. */
static void FN(carry)(uint64_t begin, unsigned level, unsigned exact, uint64_t first, size_t width,
                      int parts, struct FN(tile) node, struct mpim_nodes left,
                      struct mpim_nodes right)
{
    uint64_t index = begin >> level;
    while (index & 1 && (index - 1) << level >= first) {
        FN(merge)(FN(slot)(right, parts, (ptrdiff_t)level * right.level), level, exact, width,
                  node);
        index >>= 1;
        level++;
    }
    const struct mpim_nodes to = index & 1 ? left : right;
    FN(store)(node, width, FN(slot)(to, parts, (ptrdiff_t)level * to.level));
}

/* The mean of b less that of a. na is a power of two in every tree, so that q = Sa / na is exact; the
 * rounding of nb q is made good by fma, which is exact wherever it runs. */
static inline double FN(step)(double sa, double ca, double na, double sb, double cb, double nb)
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
            const double d = FN(step)(xs, xc, na, ys, yc, nb);
            to.m[i] = FN(canonical)((x.m[i] + y.m[i]) + d * d * weight);
        }
        to.c[i] = FN(canonical)((xc + yc) + FN(lost)(xs, ys));
        to.s[i] = FN(canonical)(xs + ys);
    }
}

/* The sum of the records of a node. Once it is not finite, what it lost is no number. */
static inline double FN(total)(double s, double c)
{
    return FN(canonical)(isfinite(c) ? s + c : s);
}

/* Their mean: the quotient, made good for what the sum and the division have lost. */
static inline double FN(average)(double s, double c, double count)
{
    const double q = FN(total)(s, c) / count, more = (fma(-q, count, s) + c) / count;
    return FN(canonical)(isfinite(more) ? q + more : q);
}

/* Their population variance: NaN where the mean is not finite (inf - inf, as in NumPy). */
static inline double FN(spread)(double mean, double m, double count)
{
    return isfinite(mean) ? FN(canonical)(m / count) : (double)NAN;
}

/* Sum, mean and variance (where they are not NULL) of a node of `count` records. */
static void FN(finish)(struct mpim_nodes node, int parts, double count, size_t m, double *sum,
                       double *mean, double *variance)
{
    const struct FN(tile) from = FN(slot)(node, parts, 0);
    for (size_t i = 0; i < m; i++) {
        const double average = FN(average)(from.s[i], from.c[i], count);
        if (sum)
            sum[i] = FN(total)(from.s[i], from.c[i]);
        if (mean)
            mean[i] = average;
        if (variance)
            variance[i] = FN(spread)(average, from.m[i], count);
    }
}
