/* correlate.c, one clone: rows of each dtype as double, and the sums. */
#define TEMPLATE "correlate/load.h"
#define ONLY 1
#include "common/for_each_dtype.h"

/* Vectors as long as the level has, and as many at a time as hide the latency of an addition. */
#define VECTOR_BYTES (ISA_LEVEL == 4 ? 64 : ISA_LEVEL == 3 ? 32 : 16)
#define ITEMS (VECTOR_BYTES / sizeof(double))
#define BLOCK (4 * ITEMS)

typedef double FN(vector)
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(double)), may_alias));

#define VECTOR(p) (*(const FN(vector) *)(const void *)(p))

/* BLOCK sums from the item at `at` on, whose neighbours are `apart` items away. */
static ALWAYS_INLINE void FN(sum_block)(const struct job *job, int symmetry, const double *at,
                                        size_t apart, double *restrict sums)
{
    const double *const weights = job->weights;
    FN(vector) s0, s1, s2, s3;
    if (symmetry) {
        double weight = weights[job->before];
        s0 = VECTOR(at) * weight;
        s1 = VECTOR(at + ITEMS) * weight;
        s2 = VECTOR(at + 2 * ITEMS) * weight;
        s3 = VECTOR(at + 3 * ITEMS) * weight;
        for (size_t j = job->before; j > 0; j--) {
            const double *low = at - j * apart, *high = at + j * apart;
            weight = weights[job->before - j];
            if (symmetry > 0) {
                s0 += (VECTOR(low) + VECTOR(high)) * weight;
                s1 += (VECTOR(low + ITEMS) + VECTOR(high + ITEMS)) * weight;
                s2 += (VECTOR(low + 2 * ITEMS) + VECTOR(high + 2 * ITEMS)) * weight;
                s3 += (VECTOR(low + 3 * ITEMS) + VECTOR(high + 3 * ITEMS)) * weight;
            } else {
                s0 += (VECTOR(low) - VECTOR(high)) * weight;
                s1 += (VECTOR(low + ITEMS) - VECTOR(high + ITEMS)) * weight;
                s2 += (VECTOR(low + 2 * ITEMS) - VECTOR(high + 2 * ITEMS)) * weight;
                s3 += (VECTOR(low + 3 * ITEMS) - VECTOR(high + 3 * ITEMS)) * weight;
            }
        }
    } else {
        const double *from = at + job->after * apart;
        double weight = weights[job->taps - 1];
        s0 = VECTOR(from) * weight;
        s1 = VECTOR(from + ITEMS) * weight;
        s2 = VECTOR(from + 2 * ITEMS) * weight;
        s3 = VECTOR(from + 3 * ITEMS) * weight;
        from = at - job->before * apart;
        for (size_t j = 0; j + 1 < job->taps; j++, from += apart) {
            weight = weights[j];
            s0 += VECTOR(from) * weight;
            s1 += VECTOR(from + ITEMS) * weight;
            s2 += VECTOR(from + 2 * ITEMS) * weight;
            s3 += VECTOR(from + 3 * ITEMS) * weight;
        }
    }
    memcpy(sums, &s0, sizeof s0);
    memcpy(sums + ITEMS, &s1, sizeof s1);
    memcpy(sums + 2 * ITEMS, &s2, sizeof s2);
    memcpy(sums + 3 * ITEMS, &s3, sizeof s3);
}

/* One sum, in the same order. */
static ALWAYS_INLINE double FN(sum_one)(const struct job *job, const double *at, size_t apart)
{
    const double *const weights = job->weights;
    if (!job->symmetry) {
        double sum = at[job->after * apart] * weights[job->taps - 1];
        const double *from = at - job->before * apart;
        for (size_t j = 0; j + 1 < job->taps; j++, from += apart)
            sum += *from * weights[j];
        return sum;
    }
    double sum = at[0] * weights[job->before];
    for (size_t j = job->before; j > 0; j--) {
        const double low = *(at - j * apart), high = at[j * apart];
        sum += (job->symmetry > 0 ? low + high : low - high) * weights[job->before - j];
    }
    return sum;
}

/* Divide sums, unless the divisor is 1. */
static ALWAYS_INLINE void FN(divide)(const struct job *job, size_t m, double *sums)
{
    if (job->divisor != 1)
        for (size_t k = 0; k < m; k++)
            sums[k] /= job->divisor;
}

/* Store results; each NaN is the positive quiet one, whose bits depend on no order of operands. */
static ALWAYS_INLINE void FN(store)(const double *restrict sums, size_t m, int single,
                                    char *restrict out)
{
    if (single) {
        float *to = (float *)(void *)out;
        for (size_t k = 0; k < m; k++)
            to[k] = sums[k] == sums[k] ? (float)sums[k] : NAN;
    } else {
        double *to = (double *)(void *)out;
        for (size_t k = 0; k < m; k++)
            to[k] = sums[k] == sums[k] ? sums[k] : (double)NAN;
    }
}

static ALWAYS_INLINE void FN(sum_all)(const struct job *job, int symmetry, int single,
                                      const double *at, size_t apart, size_t m, char *out)
{
    const size_t size = single ? sizeof(float) : sizeof(double);
    double sums[BLOCK];
    if (m < BLOCK) {
        for (size_t k = 0; k < m; k++)
            sums[k] = FN(sum_one)(job, at + k, apart);
        FN(divide)(job, m, sums);
        FN(store)(sums, m, single, out);
        return;
    }
    for (size_t k = 0; k < m; k += BLOCK) {
        const size_t from = min_size(k, m - BLOCK); /* the last block overlaps the one before */
        FN(sum_block)(job, symmetry, at + from, apart, sums);
        FN(divide)(job, BLOCK, sums);
        FN(store)(sums, BLOCK, single, out + from * size);
    }
}

/* The sums of m successive items of a tile, from the one at `at` on. */
static void FN(sum)(const struct job *job, const double *at, size_t apart, size_t m, char *out)
{
    const int single = job->single;
    if (job->symmetry > 0)
        single ? FN(sum_all)(job, 1, 1, at, apart, m, out)
               : FN(sum_all)(job, 1, 0, at, apart, m, out);
    else if (job->symmetry < 0)
        single ? FN(sum_all)(job, -1, 1, at, apart, m, out)
               : FN(sum_all)(job, -1, 0, at, apart, m, out);
    else
        single ? FN(sum_all)(job, 0, 1, at, apart, m, out)
               : FN(sum_all)(job, 0, 0, at, apart, m, out);
}

#undef VECTOR_BYTES
#undef ITEMS
#undef BLOCK
#undef VECTOR
