/* The arithmetic of tree nodes that does not depend on the records' dtype. See tree.c. */

/* A NaN's sign and payload depend on the order of operands, which is the compiler's choice. */
static inline double FN(canonical)(double x) { return x == x ? x : (double)NAN; }

/* s, m = merge(node, (s, m)); node is the even sibling, each has 2^level records. 1 / (2 * 2^level)
 * is exact, so that multiplying by it rounds as dividing by 2 * 2^level does. */
static void FN(merge)(const double *restrict node_s, const double *restrict node_m, unsigned level,
                      size_t width, double *restrict s, double *restrict m)
{
    const double scale = ldexp(0.5, -(int)level);
    if (!m) {
        for (size_t i = 0; i < width; i++)
            s[i] = node_s[i] + s[i];
        return;
    }
    for (size_t i = 0; i < width; i++) {
        const double d = s[i] - node_s[i];
        s[i] = node_s[i] + s[i];
        m[i] = (node_m[i] + m[i]) + d * d * scale;
    }
}

static void FN(store)(const double *restrict s, const double *restrict m, size_t width,
                      double *restrict node_s, double *restrict node_m)
{
    for (size_t i = 0; i < width; i++)
        node_s[i] = FN(canonical)(s[i]);
    if (m)
        for (size_t i = 0; i < width; i++)
            node_m[i] = FN(canonical)(m[i]);
}

/* Bring the node (s, m) of `level` that begins at record `begin` to its slot, merging it with its
 * waiting siblings on the way. */
static void FN(carry)(uint64_t begin, unsigned level, uint64_t first, size_t width, double *s,
                      double *m, struct mpim_nodes left, struct mpim_nodes right)
{
    uint64_t index = begin >> level;
    while (index & 1 && (index - 1) << level >= first) {
        const double *node = right.data + (ptrdiff_t)level * right.level;
        FN(merge)(node, m ? node + right.part : NULL, level, width, s, m);
        index >>= 1;
        level++;
    }
    const struct mpim_nodes to = index & 1 ? left : right;
    double *node = to.data + (ptrdiff_t)level * to.level;
    FN(store)(s, m, width, node, m ? node + to.part : NULL);
}

/* out = neighbours of na and nb records, merged; out may be a or b (so no restrict). */
static void FN(fold)(struct mpim_nodes a, double na, struct mpim_nodes b, double nb, int parts,
                     size_t m, struct mpim_nodes out)
{
    const double weight = na * nb / (na + nb);
    const double *as = a.data, *bs = b.data, *am = as + a.part, *bm = bs + b.part;
    double *os = out.data, *om = os + out.part;
    for (size_t i = 0; i < m; i++) {
        const double x = as[i], y = bs[i];
        if (parts > 1) {
            const double d = y / nb - x / na;
            om[i] = FN(canonical)((am[i] + bm[i]) + d * d * weight);
        }
        os[i] = FN(canonical)(x + y);
    }
}
