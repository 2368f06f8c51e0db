/* Statistics of time series: percentiles of rows, running percentiles, normalisation.
 *
 * Values are mapped to signed integer keys that are in the values' order (floats: -0 below +0), so
 * that one selection serves all dtypes of a size. Between neighbouring order statistics the result
 * is interpolated in double, with the formula that NumPy uses for its method 'linear'.
 */
#include "internal.h"

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

#define BODY "series_body.h"
#include "clones.h"

typedef int (*percentile_fn)(const char *, size_t, size_t, ptrdiff_t, const double *, size_t,
                             double *, ptrdiff_t);
typedef int (*running_fn)(const char *, size_t, size_t, ptrdiff_t, size_t, double, double *,
                          ptrdiff_t);
typedef void (*normalize_fn)(const char *, size_t, size_t, ptrdiff_t, const char *, ptrdiff_t,
                             ptrdiff_t, double, int, char *, ptrdiff_t);

static const percentile_fn percentiles[][MPIM_ISA_COUNT] = {
    CLONES(percentile_u8),  CLONES(percentile_i8),  CLONES(percentile_u16), CLONES(percentile_i16),
    CLONES(percentile_u32), CLONES(percentile_i32), CLONES(percentile_u64), CLONES(percentile_i64),
    CLONES(percentile_f32), CLONES(percentile_f64),
};
static const running_fn runnings[][MPIM_ISA_COUNT] = {
    CLONES(running_u8),  CLONES(running_i8),  CLONES(running_u16), CLONES(running_i16),
    CLONES(running_u32), CLONES(running_i32), CLONES(running_u64), CLONES(running_i64),
    CLONES(running_f32), CLONES(running_f64),
};
static const normalize_fn normalizers[][MPIM_ISA_COUNT] = {
    CLONES(normalize_u8),  CLONES(normalize_i8),  CLONES(normalize_u16), CLONES(normalize_i16),
    CLONES(normalize_u32), CLONES(normalize_i32), CLONES(normalize_u64), CLONES(normalize_i64),
    CLONES(normalize_f32), CLONES(normalize_f64),
};

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
    return runnings[dtype][isa](block, k, t, stride, window, q, out, out_stride);
}

int mpim_normalize_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                        ptrdiff_t stride, const double *baseline, ptrdiff_t baseline_row,
                        ptrdiff_t baseline_item, double offset, int out_dtype, void *out,
                        ptrdiff_t out_stride)
{
    if (!known(dtype) || (out_dtype != MPIM_F32 && out_dtype != MPIM_F64))
        return MPIM_BAD_TYPE;
    normalizers[dtype][isa](block, k, t, stride, (const char *)baseline, baseline_row,
                            baseline_item, offset, out_dtype, out, out_stride);
    return MPIM_OK;
}
