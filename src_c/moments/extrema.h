/* Template: maxima and minima of k rows (one tile), for integers and floats.
 *
 * Floats are compared as the integers that hold their bits, which vectorises without a branch.
 * As signed integers the non-negative floats are in order, +NaN above all; as unsigned integers
 * the negative ones are in reverse order, -NaN above all. So, over a group of values with the
 * signed extremes smax, smin and the unsigned extremes umax, umin of their bits:
 *   the maximum is smax where smax >= 0, else smin (all are negative: the least in magnitude,
 *   with -0 = the lowest integer); the minimum is umax where its sign bit is set, else umin;
 *   a NaN is present where smax > +inf or umax > -inf.
 */

#if IS_FLOAT
typedef UT UNALIGNED TFN(bits);
#define ROW(r) ((const TFN(bits) *)(base + (ptrdiff_t)(r) * stride))

#define UPDATE(x)                                                                                  \
    do {                                                                                           \
        const UT u_ = (x);                                                                         \
        const KEY s_ = (KEY)u_;                                                                    \
        smax = s_ > smax ? s_ : smax;                                                              \
        smin = s_ < smin ? s_ : smin;                                                              \
        umax = u_ > umax ? u_ : umax;                                                              \
        umin = u_ < umin ? u_ : umin;                                                              \
    } while (0)
#define IS_NAN (smax > (KEY)INF_BITS || umax > (SIGN_BIT | INF_BITS))
#define MAXIMUM (IS_NAN ? NAN_BITS : smax >= 0 ? (UT)smax : (UT)smin)
#define MINIMUM (IS_NAN ? NAN_BITS : umax >= SIGN_BIT ? umax : umin)

#define DEFINE(name, RESULT)                                                                       \
    static void TFN(name##_group)(const char *base, ptrdiff_t stride, size_t width,                \
                                  TFN(bits) *restrict extrema)                                     \
    {                                                                                              \
        for (size_t i = 0; i < width; i++) {                                                       \
            UT umax = extrema[i], umin = umax;                                                     \
            KEY smax = (KEY)umax, smin = smax;                                                     \
            _Pragma("GCC unroll 8") for (int r = 0; r < GROUP; r++) UPDATE(ROW(r)[i]);             \
            (void)smin, (void)umin;                                                                \
            extrema[i] = RESULT;                                                                   \
        }                                                                                          \
    }                                                                                              \
    static void TFN(name##_row)(const char *base, size_t width, TFN(bits) *restrict extrema)       \
    {                                                                                              \
        const ptrdiff_t stride = 0;                                                                \
        for (size_t i = 0; i < width; i++) {                                                       \
            UT umax = extrema[i], umin = umax;                                                     \
            KEY smax = (KEY)umax, smin = smax;                                                     \
            UPDATE(ROW(0)[i]);                                                                     \
            (void)smin, (void)umin;                                                                \
            extrema[i] = RESULT;                                                                   \
        }                                                                                          \
    }
/* defines max_group, max_row, min_group, min_row */
DEFINE(max, MAXIMUM)
DEFINE(min, MINIMUM)
#undef UPDATE
#undef IS_NAN
#undef MAXIMUM
#undef MINIMUM
#define EXTREMA(p) ((TFN(bits) *)(p))

#else

typedef T UNALIGNED TFN(item);
#define ROW(r) ((const TFN(item) *)(base + (ptrdiff_t)(r) * stride))
#define DEFINE(name, OP)                                                                           \
    static void TFN(name##_group)(const char *base, ptrdiff_t stride, size_t width,                \
                                  T *restrict extrema)                                             \
    {                                                                                              \
        for (size_t i = 0; i < width; i++) {                                                       \
            T b = extrema[i];                                                                      \
            _Pragma("GCC unroll 8") for (int r = 0; r < GROUP; r++) b =                            \
                ROW(r)[i] OP b ? ROW(r)[i] : b;                                                    \
            extrema[i] = b;                                                                        \
        }                                                                                          \
    }                                                                                              \
    static void TFN(name##_row)(const char *base, size_t width, T *restrict extrema)               \
    {                                                                                              \
        const ptrdiff_t stride = 0;                                                                \
        for (size_t i = 0; i < width; i++)                                                         \
            extrema[i] = ROW(0)[i] OP extrema[i] ? ROW(0)[i] : extrema[i];                         \
    }
/* defines max_group, max_row, min_group, min_row */
DEFINE(max, >)
DEFINE(min, <)
#define EXTREMA(p) (p)
#endif
#undef DEFINE
#undef ROW

#define DEFINE(name)                                                                               \
    static void TFN(name##_rows)(const char *base, ptrdiff_t stride, size_t k, size_t width,       \
                                 T *extrema)                                                       \
    {                                                                                              \
        for (; k >= GROUP; k -= GROUP, base += GROUP * stride)                                     \
            TFN(name##_group)(base, stride, width, EXTREMA(extrema));                              \
        for (; k; k--, base += stride)                                                             \
            TFN(name##_row)(base, width, EXTREMA(extrema));                                        \
    }
/* defines max_rows, min_rows */
DEFINE(max)
DEFINE(min)
#undef DEFINE
#undef EXTREMA
