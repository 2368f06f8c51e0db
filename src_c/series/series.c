/* Statistics of time series: percentiles of rows, running percentiles, normalisation.
 *
 * Values are mapped to signed integer keys that are in the values' order (floats: -0 below +0), so
 * that one selection serves all dtypes of a size. Between neighbouring order statistics the result
 * is interpolated in double, with the formula that NumPy uses for its method 'linear'.
 */
#include "common/dtypes.h"
#include "series/ranked.h"

/* Samples of a row that are ranked together: their counters and the set stay in the first cache. */
enum { PART = 4096 };

/* The order statistics that a percentile lies between. */
struct position {
    size_t below;
    double fraction;
};

static struct position locate(double q, size_t n)
{
    const double at = q / 100.0 * (double)(n - 1);
    size_t below = (size_t)floor(at);
    if (below > n - 1)
        below = n - 1;
    return (struct position){below, at - (double)below};
}

/* a <= b. Where no interpolation is needed there is none: inf - inf and inf * 0 would be NaN. */
static double interpolate(double a, double b, double fraction)
{
    if (a == b || fraction == 0)
        return a;
    const double distance = b - a;
    return fraction >= 0.5 ? b - distance * (1 - fraction) : a + distance * fraction;
}

#define BODY "series/clone.h"
#include "common/clones.h"

typedef int (*percentile_fn)(const char *, size_t, size_t, ptrdiff_t, const double *, size_t,
                             double *, ptrdiff_t);
typedef int (*running_fn)(const char *, size_t, size_t, ptrdiff_t, size_t, double, double *,
                          ptrdiff_t);
typedef void (*normalize_fn)(const char *, size_t, size_t, ptrdiff_t, const char *, ptrdiff_t,
                             ptrdiff_t, double, int, char *, ptrdiff_t);

typedef void (*convolve_fn)(const char *, size_t, size_t, ptrdiff_t, const double *, size_t, char *,
                            ptrdiff_t);

static const percentile_fn percentiles[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, percentile)};
static const running_fn running_percentiles[][MPIM_ISA_COUNT] = {
    FOR_EACH_DTYPE(CLONES_OF, running_percentile)};
static const normalize_fn normalizers[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, normalize)};

static const convolve_fn convolvers[] = CLONES(convolve);

static int known(int dtype) { return dtype >= MPIM_U8 && dtype <= MPIM_F64; }

int mpim_percentile_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                         ptrdiff_t stride, const double *q, size_t nq, double *out,
                         ptrdiff_t out_stride)
{
    if (!known(dtype))
        return MPIM_BAD_TYPE;
    return percentiles[dtype][isa](block, k, t, stride, q, nq, out, out_stride);
}

int mpim_running_percentile_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                                 ptrdiff_t stride, size_t window, double q, double *out,
                                 ptrdiff_t out_stride)
{
    if (!known(dtype))
        return MPIM_BAD_TYPE;
    return running_percentiles[dtype][isa](block, k, t, stride, window, q, out, out_stride);
}

int mpim_normalize_rows(int isa, int dtype, const void *block, size_t k, size_t t, ptrdiff_t stride,
                        const double *baseline, ptrdiff_t baseline_row, ptrdiff_t baseline_item,
                        double offset, int out_dtype, void *out, ptrdiff_t out_stride)
{
    if (!known(dtype) || (out_dtype != MPIM_F32 && out_dtype != MPIM_F64))
        return MPIM_BAD_TYPE;
    normalizers[dtype][isa](block, k, t, stride, (const char *)baseline, baseline_row,
                            baseline_item, offset, out_dtype, out, out_stride);
    return MPIM_OK;
}

int mpim_convolve_rows(int isa, const double *block, size_t k, size_t m, ptrdiff_t stride,
                       const double *taps, size_t n, double *out, ptrdiff_t out_stride)
{
    convolvers[isa]((const char *)block, k, m, stride, taps, n, (char *)out, out_stride);
    return MPIM_OK;
}
