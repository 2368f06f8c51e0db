/* Template: the series kernels of one dtype. */
typedef T UNALIGNED TFN(item);

/* The signed dtype of the keys that values are mapped to. */
#if BITS <= 16
#define RANK_TAG i16
#elif BITS == 32
#define RANK_TAG i32
#else
#define RANK_TAG i64
#endif
#define RANK_KEY COLUMN(1, PASTE(DTYPE, RANK_TAG))
#define KEY_FN(name) FN_OF(name, RANK_TAG)

#if IS_FLOAT
static inline RANK_KEY TFN(key)(T x)
{
    RANK_KEY bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? (RANK_KEY)(bits ^ (RANK_KEY)((UT)-1 >> 1)) : bits;
}
static inline double TFN(value)(RANK_KEY key)
{
    const RANK_KEY bits = key < 0 ? (RANK_KEY)(key ^ (RANK_KEY)((UT)-1 >> 1)) : key;
    T x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
#define IS_NAN(x) ((x) != (x))
#else
/* Unsigned values go down by half the range; 8-bit ones fit the 16-bit key as they are. */
#define KEY_BIAS ((UT)(IS_SIGNED || BITS == 8 ? 0 : (UT)1 << (BITS - 1)))
static inline RANK_KEY TFN(key)(T x)
{
    return BITS == 8 ? (RANK_KEY)x : (RANK_KEY)((UT)x ^ KEY_BIAS);
}
static inline double TFN(value)(RANK_KEY key) { return (double)(T)((UT)key ^ KEY_BIAS); }
#define IS_NAN(x) ((void)(x), 0)
#endif

static int TFN(load_keys)(const TFN(item) *row, size_t t, RANK_KEY *keys)
{
    int nan = 0;
    for (size_t j = 0; j < t; j++) {
        const T x = row[j];
        nan |= IS_NAN(x);
        keys[j] = TFN(key)(x);
    }
    return nan;
}

static int TFN(percentile)(const char *block, size_t k, size_t t, ptrdiff_t stride, const double *q,
                           size_t nq, double *out, ptrdiff_t out_stride)
{
    RANK_KEY *keys = malloc(t * sizeof *keys);
    if (!keys)
        return MPIM_NO_MEMORY;
    for (size_t i = 0; i < k; i++) {
        double *result = (double *)(void *)((char *)out + (ptrdiff_t)i * out_stride);
        const int nan = TFN(load_keys)((const TFN(item) *)(block + (ptrdiff_t)i * stride), t, keys);
        RANK_KEY lowest, highest;
        KEY_FN(range)(keys, t, &lowest, &highest);
        for (size_t p = 0; p < nq; p++) {
            const struct position at = locate(q[p], t);
            RANK_KEY lower, upper;
            if (nan) {
                result[p] = (double)NAN;
                continue;
            }
            KEY_FN(select_pair)(keys, t, at.below, lowest, highest, &lower, &upper);
            result[p] = interpolate(TFN(value)(lower), TFN(value)(upper), at.fraction);
        }
    }
    free(keys);
    return MPIM_OK;
}

#include "series/running.h"

#define NORMALIZE(OUT, BASELINE)                                                                   \
    do {                                                                                           \
        OUT *restrict z = (OUT *)(void *)to;                                                       \
        for (size_t j = 0; j < t; j++) {                                                           \
            const double b = (BASELINE);                                                           \
            z[j] = (OUT)(((double)row[j] - b) / (b + offset));                                     \
        }                                                                                          \
    } while (0)

static void TFN(normalize)(const char *block, size_t k, size_t t, ptrdiff_t stride,
                           const char *baseline, ptrdiff_t baseline_row, ptrdiff_t baseline_item,
                           double offset, int out_dtype, char *out, ptrdiff_t out_stride)
{
    for (size_t i = 0; i < k; i++) {
        const TFN(item) *row = (const TFN(item) *)(block + (ptrdiff_t)i * stride);
        const double *base = (const double *)(const void *)(baseline + (ptrdiff_t)i * baseline_row);
        char *to = out + (ptrdiff_t)i * out_stride;
        if (out_dtype == MPIM_F32 && baseline_item)
            NORMALIZE(float, base[j]);
        else if (out_dtype == MPIM_F32)
            NORMALIZE(float, *base);
        else if (baseline_item)
            NORMALIZE(double, base[j]);
        else
            NORMALIZE(double, *base);
    }
}

#undef NORMALIZE
#undef IS_NAN
#undef RANK_TAG
#undef RANK_KEY
#undef KEY_FN
#undef KEY_BIAS
