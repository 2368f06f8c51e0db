/* Exact sums, sums of squares, maxima and minima over records.
 *
 * Integer moments are kept exact, so that they merge in any order to the same bits: as limbs of
 * 64 bits, from which mean and variance are computed once, at the end, with the numerator
 * count * Q - S * S in full. (The textbook formula that is useless in floating point, see Chan,
 * Golub, LeVeque, "Algorithms for computing the sample variance", Am. Stat. 37 (1983) 242, is the
 * right one in integers.)
 *
 * A batch is cut into tiles of pixels. Within a tile the records pass in groups, and everything
 * that is wanted of a group is computed while it is in the cache: each byte is read once.
 */
#include "common/dtypes.h"
#include "moments/finish.h"

#define BODY "moments/clone.h"
#include "common/clones.h"

typedef void (*accumulate_fn)(const char *, size_t, size_t, ptrdiff_t, struct mpim_limbs,
                              struct mpim_limbs, void *, void *);
typedef void (*extrema_fn)(const char *, size_t, size_t, ptrdiff_t, void *, void *);
typedef void (*finish_fn)(struct mpim_limbs, int, struct mpim_limbs, int, int, size_t, uint64_t,
                          double *, double *);

static const accumulate_fn accumulators[][MPIM_ISA_COUNT] = {
    FOR_EACH_INTEGER(CLONES_OF, accumulate)};
static const extrema_fn float_extrema[][MPIM_ISA_COUNT] = {FOR_EACH_FLOAT(CLONES_OF, extrema)};
static const finish_fn finishers[MPIM_ISA_COUNT] = CLONES(finish);

int mpim_integer_limbs(int dtype, int *sums, int *squares)
{
    if (dtype < MPIM_U8 || dtype > MPIM_I64)
        return MPIM_BAD_TYPE;
    *sums = dtype >= MPIM_U64 ? 2 : 1;
    *squares = dtype >= MPIM_U64 ? 3 : dtype >= MPIM_U32 ? 2 : 1;
    return MPIM_OK;
}

int mpim_accumulate(int isa, int dtype, const void *batch, size_t k, size_t m, ptrdiff_t stride,
                    struct mpim_limbs sums, struct mpim_limbs squares, void *maxima, void *minima)
{
    if (dtype < MPIM_U8 || dtype > MPIM_I64)
        return MPIM_BAD_TYPE;
    accumulators[dtype][isa](batch, k, m, stride, sums, squares, maxima, minima);
    return MPIM_OK;
}

int mpim_extrema(int isa, int dtype, const void *batch, size_t k, size_t m, ptrdiff_t stride,
                 void *maxima, void *minima)
{
    const struct mpim_limbs none = {NULL, 0};
    if (dtype < MPIM_F32)
        return mpim_accumulate(isa, dtype, batch, k, m, stride, none, none, maxima, minima);
    if (dtype > MPIM_F64)
        return MPIM_BAD_TYPE;
    float_extrema[dtype][isa](batch, k, m, stride, maxima, minima);
    return MPIM_OK;
}

int mpim_finish_integers(int isa, struct mpim_limbs sums, int nsum, struct mpim_limbs squares,
                         int nsquare, int is_signed, size_t m, uint64_t count, double *mean,
                         double *variance)
{
    finishers[isa](sums, nsum, squares, nsquare, is_signed, m, count, mean, variance);
    return MPIM_OK;
}
