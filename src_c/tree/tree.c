/* Float moments in an order that the record numbers alone decide.
 *
 * A node (L, j) stands for records j 2^L ... (j + 1) 2^L - 1. Its value is S, their sum, C, what
 * rounding has taken from S, and M2, the sum of squared deviations from their mean. A leaf has
 * S = x, C = M2 = 0. Siblings a (even j) and b of n records each merge into
 *
 *   S  = Sa + Sb
 *   C  = (Ca + Cb) + (what Sa + Sb loses, exactly: Knuth's TwoSum)
 *   M2 = (M2a + M2b) + d^2 / (2 n),  d = (Sb - Sa) + (Cb - Ca)
 *
 * This is the pairwise update of Chan, Golub, LeVeque (Tech. Rep. STAN-CS-79-773, 1979, eq. 2.1) on
 * sums that are carried as Ogita, Rump and Oishi's Sum2 (SIAM J. Sci. Comput. 26, 2005) carries
 * them. Without C, float64 records on a large offset would lose in Sb - Sa what they
 * vary by. No other additions occur, so that neither the batches nor the ranks between which the
 * records are cut can change a bit. S + C is the sum as if added in twice the precision.
 *
 * Where finite records add up to more than a double holds, S stays the greatest double and C
 * becomes NaN, so that S is not finite only where a record is not. The sum and the mean are then
 * infinite, and so is the variance: as in NumPy, but that nothing can cancel to NaN.
 *
 * Of float32, sums below level 5 (of up to 32 records) are taken as exact: C stays 0. They are, in
 * float64, unless the records' exponents differ by more than 24, and what is lost then is below
 * 2^-48 of the largest of them, whose own rounding to float32 is 2^23 times as much.
 *
 * A range of records [first, stop) that need not be aligned leaves one node a level at most on
 * either side: right[L] holds a node with even index, whose sibling is yet to come; left[L] one
 * with odd index, whose sibling begins before `first` and is another rank's. Which slots are
 * occupied follows from (first, stop): it is the usual decomposition of a range into aligned nodes.
 * Slots that are not occupied hold leftovers.
 */
#include "common/dtypes.h"

#define BODY "tree/clone.h"
#include "common/clones.h"

typedef void (*push_fn)(const char *, size_t, size_t, ptrdiff_t, uint64_t, uint64_t, int,
                        struct mpim_nodes, struct mpim_nodes, void *, void *);
typedef void (*merge_fn)(struct mpim_nodes, struct mpim_nodes, int, size_t, unsigned, unsigned,
                         struct mpim_nodes);
typedef void (*fold_fn)(struct mpim_nodes, double, struct mpim_nodes, double, int, size_t,
                        struct mpim_nodes);
typedef void (*finish_fn)(struct mpim_nodes, int, double, size_t, double *, double *, double *);

static const push_fn pushers[][MPIM_ISA_COUNT] = {FOR_EACH_FLOAT(CLONES_OF, push)};
static const merge_fn mergers[MPIM_ISA_COUNT] = CLONES(merge_nodes);
static const fold_fn folders[MPIM_ISA_COUNT] = CLONES(fold);
static const finish_fn finishers[MPIM_ISA_COUNT] = CLONES(finish);

int mpim_push_floats(int isa, int dtype, const void *batch, size_t k, size_t m, ptrdiff_t stride,
                     uint64_t start, uint64_t first, int parts, struct mpim_nodes left,
                     struct mpim_nodes right, void *maxima, void *minima)
{
    if (dtype != MPIM_F32 && dtype != MPIM_F64)
        return MPIM_BAD_TYPE;
    pushers[dtype][isa](batch, k, m, stride, start, first, parts, left, right, maxima, minima);
    return MPIM_OK;
}

int mpim_merge_nodes(int isa, struct mpim_nodes a, struct mpim_nodes b, int parts, size_t m,
                     unsigned level, unsigned exact, struct mpim_nodes out)
{
    mergers[isa](a, b, parts, m, level, exact, out);
    return MPIM_OK;
}

int mpim_fold_nodes(int isa, struct mpim_nodes a, double na, struct mpim_nodes b, double nb,
                    int parts, size_t m, struct mpim_nodes out)
{
    folders[isa](a, na, b, nb, parts, m, out);
    return MPIM_OK;
}

int mpim_finish_floats(int isa, struct mpim_nodes node, int parts, size_t m, uint64_t count,
                       double *sum, double *mean, double *variance)
{
    finishers[isa](node, parts, (double)count, m, sum, mean, variance);
    return MPIM_OK;
}
