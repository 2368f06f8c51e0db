/* Template: partial sums of 8- and 16-bit values (one tile). See integer_rows.h for what is used.
 *
 * Let u be the value as unsigned (a signed one biased by half the range) and
 * M = 2^BITS - 1. Then u (M - u) = u * ~u is at most M^2 / 4, so that FOUR of them still fit an
 * unsigned integer of twice the width (4 * 127 * 128 < 2^16, 4 * 32767 * 32768 < 2^32), where not
 * even two squares would. With P the sum of u ~u:   sum of u^2 = M * (sum of u) - P.
 * What is kept per pixel is the sum of u in 32 bits (65536 * 65535 < 2^32) and P in 32 bits for
 * 8-bit (65536 * 127 * 128 < 2^31) and 64 bits for 16-bit values; after SPILL records at most
 * these are turned into sums of the values themselves and added to the limbs. All of that is
 * done modulo 2^64, in which the true sums of so few records fit.
 */

#if BITS == 8
#define NARROW uint16_t /* one product, or the sum of a group */
#define PART_S uint32_t
#define PART_P uint32_t
#elif BITS == 16
#define NARROW uint32_t
#define PART_S uint32_t
#define PART_P uint64_t
#endif

enum { TFN(spill) = 65536 };

struct TFN(part) {
    PART_S s[TILE];
    PART_P p[TILE];
};

static void TFN(reset)(struct TFN(part) *part, size_t width, struct mpim_limbs squares)
{
    (void)squares;
    memset(part->s, 0, width * sizeof *part->s);
    memset(part->p, 0, width * sizeof *part->p);
}

#if SIGNED
#define BIASED(x) ((UT)((UT)(x) ^ (UT)(1u << (BITS - 1))))
#else
#define BIASED(x) ((UT)(x))
#endif
#define PRODUCT(u) ((NARROW)((NARROW)(u) * (NARROW)(UT)~(u)))

static void TFN(sum_group)(const char *base, ptrdiff_t stride, size_t width,
                           struct TFN(part) *restrict part, size_t at)
{
    PART_S *restrict s = part->s + at;
    for (size_t i = 0; i < width; i++) {
        NARROW sum = 0;
#pragma GCC unroll 8
        for (int r = 0; r < GROUP; r++)
            sum = (NARROW)(sum + BIASED(ROW(r)[i]));
        s[i] += sum;
    }
}

static void TFN(sum_row)(const char *base, size_t width, struct TFN(part) *restrict part,
                         size_t at)
{
    const ptrdiff_t stride = 0;
    PART_S *restrict s = part->s + at;
    for (size_t i = 0; i < width; i++)
        s[i] += BIASED(ROW(0)[i]);
}

static void TFN(square_group)(const char *base, ptrdiff_t stride, size_t width,
                              struct TFN(part) *restrict part, size_t at)
{
    PART_S *restrict s = part->s + at;
    PART_P *restrict p = part->p + at;
    for (size_t i = 0; i < width; i++) {
        NARROW sum = 0, low = 0, high = 0;
#pragma GCC unroll 4
        for (int r = 0; r < GROUP / 2; r++) {
            const UT u = BIASED(ROW(r)[i]), v = BIASED(ROW(r + GROUP / 2)[i]);
            sum = (NARROW)(sum + u + v);
            low = (NARROW)(low + PRODUCT(u));
            high = (NARROW)(high + PRODUCT(v));
        }
        s[i] += sum;
        p[i] += (PART_P)low + (PART_P)high;
    }
}

static void TFN(square_row)(const char *base, size_t width, struct TFN(part) *restrict part,
                            size_t at)
{
    const ptrdiff_t stride = 0;
    PART_S *restrict s = part->s + at;
    PART_P *restrict p = part->p + at;
    for (size_t i = 0; i < width; i++) {
        const UT u = BIASED(ROW(0)[i]);
        s[i] += u;
        p[i] += PRODUCT(u);
    }
}

/* With b the bias (0 or 2^(BITS-1)) and x = u - b over n records:
 * sum x = sum u - n b,  sum x^2 = (M - 2 b) sum u - P + n b^2. */
static void TFN(flush)(struct TFN(part) *restrict part, size_t n, size_t width,
                       struct mpim_limbs sums, struct mpim_limbs squares)
{
    const uint64_t bias = SIGNED ? UINT64_C(1) << (BITS - 1) : 0;
    const uint64_t factor = ((UINT64_C(1) << BITS) - 1) - 2 * bias;
    uint64_t *restrict sum = sums.data, *restrict square = squares.data;
    if (sum)
        for (size_t i = 0; i < width; i++)
            sum[i] += part->s[i] - n * bias;
    if (square)
        for (size_t i = 0; i < width; i++)
            square[i] += factor * part->s[i] - part->p[i] + n * bias * bias;
}

#undef BIASED
#undef PRODUCT

#undef NARROW
#undef PART_S
#undef PART_P
