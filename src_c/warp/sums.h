/* Template: weights and sums of taps, in float or double. */

/* The weights of the taps at a fraction of more than 0. With g = 1 - f, Keys' polynomials in f have
 * these factors, which keep the digits near 0 and 1. */
static ALWAYS_INLINE void TFN(linear_weights)(T f, T w[2])
{
    w[0] = 1 - f;
    w[1] = f;
}

static ALWAYS_INLINE void TFN(cubic_weights)(T f, T w[4])
{
    const T g = 1 - f, half = (T)0.5, most = (T)1.5;
    w[0] = -half * f * g * g;
    w[1] = g * (1 + f * (1 - most * f));
    w[2] = f * (1 + g * (1 - most * g));
    w[3] = -half * g * f * f;
}

static inline void TFN(weights)(const struct taps *axis, T w[4])
{
    if (axis->count == 2)
        TFN(linear_weights)((T)axis->fraction, w);
    else if (axis->count == 4)
        TFN(cubic_weights)((T)axis->fraction, w);
}

/* to[m] = the sum of the taps at from[m], from[m + step], ... */
static inline void TFN(sum_taps)(const T *restrict from, size_t step, size_t count, const T w[4],
                                 size_t n, T *restrict to)
{
    const T *a = from, *b = a + step;
    const T u = w[0], v = w[1];
    if (count == 2) {
        for (size_t m = 0; m < n; m++)
            to[m] = u * a[m] + v * b[m];
        return;
    }
    const T *c = b + step, *d = c + step;
    const T s = w[2], t = w[3];
    for (size_t m = 0; m < n; m++)
        to[m] = u * a[m] + v * b[m] + s * c[m] + t * d[m];
}

/* As float and as double; a NaN becomes the positive quiet one without payload. */
static inline void TFN(store_f32)(const T *restrict from, size_t n, float *restrict to)
{
    for (size_t m = 0; m < n; m++) {
        const T x = from[m];
        to[m] = x == x ? (float)x : (float)NAN;
    }
}

static inline void TFN(store_f64)(const T *restrict from, size_t n, double *restrict to)
{
    for (size_t m = 0; m < n; m++) {
        const T x = from[m];
        to[m] = x == x ? (double)x : (double)NAN;
    }
}
