/* moments.c, one clone. */

#define TEMPLATE "moments/accumulate.h"
#define ONLY 1
#include "common/for_each_dtype.h"

/* Means and variances of many pixels. Where all of them allow it (small counts of narrow
 * integers: the usual case) the arithmetic is 64-bit and vectorises; its results are the same,
 * since either way an exact integer is rounded once. */

static void FN(means)(struct mpim_limbs sums, int nsum, int is_signed, size_t m, uint64_t count,
                      double *restrict mean)
{
    const uint64_t exact = UINT64_C(1) << (DBL_MANT_DIG - 1);
    const uint64_t *restrict s = sums.data;
    /* Not 0 if some sum may lie outside -2^52 ... 2^52 - 1 (unsigned: 0 ... 2^53 - 1), within which
     * the conversion to double is exact. */
    uint64_t large = nsum > 1 || count >= exact;
    if (!large)
        for (size_t i = 0; i < m; i++)
            large |= (s[i] + (is_signed ? exact : 0)) & ~(2 * exact - 1);
    if (large) {
        for (size_t i = 0; i < m; i++)
            mean[i] = mean_of(sums, nsum, is_signed, i, count);
        return;
    }
    const double divisor = (double)count;
    for (size_t i = 0; i < m; i++)
        mean[i] = (double)(int64_t)s[i] / divisor;
}

static void FN(variances)(struct mpim_limbs sums, int nsum, struct mpim_limbs squares, int nsquare,
                          int is_signed, size_t m, uint64_t count, double *restrict variance)
{
    const uint64_t *restrict s = sums.data, *restrict q = squares.data;
    uint64_t all = nsquare > 1 || count >> 31 ? UINT64_MAX : 0;
    if (!all)
        for (size_t i = 0; i < m; i++)
            all |= q[i];
    if (all > (uint64_t)INT64_MAX / count) {
        for (size_t i = 0; i < m; i++)
            variance[i] = variance_of(sums, nsum, squares, nsquare, is_signed, i, count);
        return;
    }
    /* count Q < 2^63, and S S <= count Q (Cauchy-Schwarz). */
    const double divisor = (double)(count * count);
    for (size_t i = 0; i < m; i++)
        variance[i] = (double)(int64_t)(count * q[i] - s[i] * s[i]) / divisor;
}

static void FN(finish)(struct mpim_limbs sums, int nsum, struct mpim_limbs squares, int nsquare,
                       int is_signed, size_t m, uint64_t count, double *mean, double *variance)
{
    if (mean)
        FN(means)(sums, nsum, is_signed, m, count, mean);
    if (variance)
        FN(variances)(sums, nsum, squares, nsquare, is_signed, m, count, variance);
}
