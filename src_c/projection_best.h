/* Template: the best of rows of values, for one dtype and one direction (BEST is max and GREATEST 1,
 * or min and 0). Included by projection_extrema.h.
 *
 * Values are compared as keys. Those of integers are the values themselves. A float's key is a
 * signed integer, the greater the better, with NaNs of either sign above all: its bits, those below
 * the sign turned where it is set, are in the order of IEEE 754's totalOrder. That order, seen as a
 * circle, is cut between the worst infinity and the NaN next to it, and walked from there.
 */

#define BFN(name) TFN(PASTE(BEST, name))

#ifdef IS_FLOAT
#define START ((UT)(INF_BITS + GREATEST + SIGN_BIT))
/* The key of x, of the type I (U without a sign): a value's bits or a vector of them. */
#define KEY_OF(I, U, x) ((I)(GREATEST ? (U)TURNED(x) + START : START - (U)TURNED(x)))
#define ORDERED_BITS(key) ((IT)(GREATEST ? (UT)(key) - START : START - (UT)(key)))
#define WORST ((IT)SIGN_BIT)
#else
#define KEY_OF(I, U, x) ((I)(x))
#define WORST (GREATEST ? LOWEST : HIGHEST)
#endif

#if GREATEST || defined(IS_FLOAT)
#define BEATS >
#define BETTER max
#else
#define BEATS <
#define BETTER min
#endif

/* What the keys stand for. */
static void BFN(values)(const KEY *restrict keys, size_t width, T *restrict to)
{
#ifdef IS_FLOAT
    TFN(bits) *restrict bits = (TFN(bits) *)to;
    for (size_t i = 0; i < width; i++) {
        const IT ordered = ORDERED_BITS(keys[i]);
        bits[i] = keys[i] > LAST_NUMBER ? NAN_BITS : (UT)TURNED(ordered);
    }
#else
    memcpy(to, keys, width * sizeof *to);
#endif
}

static void BFN(update)(const char *from, size_t width, KEY *restrict keys)
{
    const TFN(stored) *x = (const TFN(stored) *)from;
    for (size_t i = 0; i < width; i++) {
        const KEY key = KEY_OF(KEY, UT, x[i]);
        keys[i] = key BEATS keys[i] ? key : keys[i];
    }
}

/* The best of n rows of `inner` items. r of them, a power of two and at most n, are taken as one row
 * and folded at the end. They are read as they lie, not several in step, which would keep the
 * prefetchers from seeing any of their runs. The last may be read twice: it makes no difference. */
static void BFN(best_folded)(const char *from, size_t n, size_t inner, size_t r, T *to)
{
    KEY keys[FOLDED_BYTES / sizeof(KEY)];
    const size_t row = inner * sizeof(T);
    for (size_t i = 0; i < r * inner; i++)
        keys[i] = WORST;
    size_t done = 0;
    for (; done + r <= n; done += r)
        BFN(update)(from + done * row, r * inner, keys);
    if (done < n)
        BFN(update)(from + (n - r) * row, r * inner, keys);
    for (size_t half = r / 2 * inner; half >= inner; half /= 2)
        for (size_t i = 0; i < half; i++)
            keys[i] = keys[half + i] BEATS keys[i] ? keys[half + i] : keys[i];
    BFN(values)(keys, inner, to);
}

#include "projection_lanes.h"

#undef BFN
#undef START
#undef KEY_OF
#undef ORDERED_BITS
#undef WORST
#undef BEATS
#undef BETTER
