/* One clone: convolution of rows of doubles. Each value is summed in the order of the taps, many
 * values side by side in registers: a sum over taps could not be vectorised without another order. */
enum { FN(SIDE_BY_SIDE) = ISA_LEVEL >= 3 ? 32 : 16 };

static ALWAYS_INLINE void FN(convolve_some)(const double *x, const double *taps, size_t n,
                                            size_t count, double *restrict out)
{
    double sums[FN(SIDE_BY_SIDE)] = {0};
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < count; j++)
            sums[j] += taps[i] * x[n - 1 - i + j];
    for (size_t j = 0; j < count; j++)
        out[j] = sums[j];
}

static void FN(convolve)(const char *block, size_t k, size_t m, ptrdiff_t stride,
                         const double *taps, size_t n, char *out, ptrdiff_t out_stride)
{
    const size_t step = FN(SIDE_BY_SIDE);
    for (size_t row = 0; row < k; row++) {
        const double *x = (const double *)(const void *)(block + (ptrdiff_t)row * stride);
        double *to = (double *)(void *)(out + (ptrdiff_t)row * out_stride);
        size_t j = 0;
        for (; j + step <= m; j += step)
            FN(convolve_some)(x + j, taps, n, step, to + j);
        if (j < m)
            FN(convolve_some)(x + j, taps, n, m - j, to + j);
    }
}
