/* moments.c, one clone: the templates of a tile, and the loop over tiles. */

#include "finish_rows.h"

#define TEMPLATE "moments_integer.h"
#include "each_integer.h"
#undef TEMPLATE

#define TEMPLATE "moments_float.h"
#include "each_float.h"
#undef TEMPLATE

static void FN(finish)(struct mpim_limbs sums, int nsum, struct mpim_limbs squares, int nsquare,
                       int is_signed, size_t m, uint64_t count, double *mean, double *variance)
{
    if (mean)
        FN(means)(sums, nsum, is_signed, m, count, mean);
    if (variance)
        FN(variances)(sums, nsum, squares, nsquare, is_signed, m, count, variance);
}
