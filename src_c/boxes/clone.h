/* boxes.c, one clone: vectors of 32-bit items, and what is done with them. */

/* Values are widened by intrinsics: GCC 12 compiles __builtin_convertvector of such short vectors item
 * by item, which makes the whole kernel up to 2.5 times slower. */
#undef VECTOR_BYTES
#undef PRODUCTS
#undef WIDEN_8
#undef WIDEN_16
#undef ZERO
#if ISA_LEVEL == 4
#define VECTOR_BYTES 64
#define PRODUCTS(a, b) ((FN(pairs))_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#define WIDEN_8(v) ((FN(items))_mm512_cvtepu8_epi32((__m128i)(v)))
#define WIDEN_16(v) ((FN(items))_mm512_cvtepu16_epi32((__m256i)(v)))
#elif ISA_LEVEL == 3
#define VECTOR_BYTES 32
#define PRODUCTS(a, b) ((FN(pairs))_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#define WIDEN_8(v) ((FN(items))_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)(v))))
#define WIDEN_16(v) ((FN(items))_mm256_cvtepu16_epi32((__m128i)(v)))
#elif MPIM_X86
#define VECTOR_BYTES 16
#define PRODUCTS(a, b) ((FN(pairs))_mm_mul_epu32((__m128i)(a), (__m128i)(b)))
#define ZERO _mm_setzero_si128()
#define WIDEN_8(v)                                                                                \
    ((FN(items))_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128((int)(v)), ZERO), ZERO))
#define WIDEN_16(v) ((FN(items))_mm_unpacklo_epi16(_mm_cvtsi64_si128((long long)(v)), ZERO))
#else
#define VECTOR_BYTES 16
#define PRODUCTS(a, b) (((a) & UINT32_MAX) * ((b) & UINT32_MAX))
#define WIDEN_8(v) __builtin_convertvector(v, FN(items))
#define WIDEN_16(v) __builtin_convertvector(v, FN(items))
#endif

/* A pair of items as the lower and the upper half of 64 bits. */
typedef uint64_t FN(pairs) __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t FN(items) __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t FN(shorts) __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef uint8_t FN(bytes) __attribute__((vector_size(VECTOR_BYTES / 4)));

enum { FN(STEP) = VECTOR_BYTES / sizeof(uint32_t) };

/* The accumulators of a vector of pixels: sums of values and of boxes in 32 bits; of products in 64,
 * those of the lower and of the upper items of pairs. */
struct FN(sums) {
    FN(pairs) x, b, low[3], high[3];
};

static ALWAYS_INLINE void FN(prefetch)(const void *from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += LINE)
        __builtin_prefetch((const char *)from + at, 0, 3);
}

static ALWAYS_INLINE FN(items) FN(load)(const uint32_t *from)
{
    FN(items) items;
    memcpy(&items, from, sizeof items);
    return items;
}

/* Sums over windows of 2 * reach + 1 items that are `lag` apart: out[i] = from[i] + from[i + lag] +
 * ..., n of them. `windows`: two rows of scratch, `pitch` apart, of 2 * reach * lag + n items. */
static void FN(sum_windows)(const uint32_t *restrict from, size_t lag, size_t reach, size_t n,
                            uint32_t *restrict windows, size_t pitch, uint32_t *restrict out)
{
    /* 2 * reach + 1 as a sum of powers of two: the lowest is 1, windows of `size` items follow. */
    memcpy(out, from, n * sizeof *out);
    size_t left = (2 * reach + 1) / 2, length = 2 * reach * lag + n, at = lag;
    const uint32_t *half = from;
    for (size_t size = 2; left; left /= 2, size *= 2) {
        uint32_t *restrict window = windows + (half == windows ? pitch : 0);
        length -= size / 2 * lag;
        for (size_t i = 0; i < length; i++)
            window[i] = half[i] + half[i + size / 2 * lag];
        half = window;
        if (left & 1) {
            for (size_t i = 0; i < n; i++)
                out[i] += window[i + at];
            at += size * lag;
        }
    }
}

/* Sums along the pages of each column, in place. */
static void FN(sum_pages)(const struct tile *tile, uint32_t *restrict boxes)
{
    const size_t n = tile->box->dims[2], reach = tile->box->reach[2];
    uint32_t *restrict pages = tile->pages;
    for (size_t c = 0; c < tile->columns; c++, boxes += n) {
        for (size_t i = 0; i < n + 2 * reach; i++)
            pages[i] = boxes[reflected((ptrdiff_t)i - (ptrdiff_t)reach, n)];
        uint32_t sum = 0;
        for (size_t i = 0; i < 2 * reach; i++)
            sum += pages[i];
        for (size_t i = 0; i < n; i++) {
            sum += pages[i + 2 * reach];
            boxes[i] = sum;
            sum -= pages[i];
        }
    }
}

/* Fill the margins of sums over rows, where the image ends, by reflection. `sums` is the place of the
 * tile's first column. */
static void FN(fill_margins)(const struct tile *tile, uint32_t *sums)
{
    const size_t n = tile->box->dims[1], inner = tile->box->dims[2];
    const ptrdiff_t reach = (ptrdiff_t)tile->box->reach[1], first = (ptrdiff_t)tile->first_column;
    const ptrdiff_t low = (ptrdiff_t)tile->low - first, high = (ptrdiff_t)tile->high - first;
    const ptrdiff_t stop = (ptrdiff_t)tile->columns + reach;
    const ptrdiff_t ends[2][2] = {{-reach, low}, {high, stop}};
    for (int end = 0; end < 2; end++)
        for (ptrdiff_t c = ends[end][0]; c < ends[end][1]; c++) {
            const ptrdiff_t from = (ptrdiff_t)reflected(first + c, n) - first;
            for (size_t i = 0; i < inner; i++)
                (sums + c * (ptrdiff_t)inner)[i] = (sums + from * (ptrdiff_t)inner)[i];
        }
}

static inline void FN(add_limb)(uint64_t *restrict to, uint64_t *restrict upper, size_t n,
                                const uint64_t *restrict part)
{
    for (size_t i = 0; i < n; i++)
        to[i] += part[i];
    if (upper)
        for (size_t i = 0; i < n; i++)
            upper[i] += to[i] < part[i];
}

/* Items of pairs in their order, from vectors of the lower and of the upper ones. */
static ALWAYS_INLINE void FN(interleave)(FN(pairs) low, FN(pairs) high,
                                         uint64_t items[FN(STEP)])
{
    const int big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    for (size_t i = 0; i < FN(STEP) / 2; i++) {
        items[2 * i + (size_t)big] = low[i];
        items[2 * i + !big] = high[i];
    }
}

/* Add the accumulators of a tile to the results. */
static void FN(flush)(const struct tile *tile, const struct results *to)
{
    const struct FN(sums) *sums = tile->sums;
    const size_t *dims = tile->box->dims;
    for (size_t row = 0; row < tile->rows; row++)
        for (size_t at = 0; at < tile->width; at += FN(STEP), sums++) {
            const size_t n = min_size(FN(STEP), tile->width - at);
            const size_t place = tile->first_row - to->first_row + row;
            uint64_t *result =
                to->data + (place * dims[1] + tile->first_column) * dims[2] + at;
            uint64_t part[SUMS][FN(STEP)];
            FN(interleave)(sums->x & UINT32_MAX, sums->x >> 32, part[SUM_X]);
            FN(interleave)(sums->b & UINT32_MAX, sums->b >> 32, part[SUM_B]);
            FN(interleave)(sums->low[XX], sums->high[XX], part[SUM_XX]);
            FN(interleave)(sums->low[XB], sums->high[XB], part[SUM_XB]);
            FN(interleave)(sums->low[BB], sums->high[BB], part[SUM_BB]);
            for (int s = 0; s < SUMS; s++, result += to->stride)
                FN(add_limb)(result, to->wide && s >= SUM_XB ? result + UPPER * to->stride : NULL,
                             n, part[s]);
        }
}

#define TEMPLATE "boxes/rows.h"
#define ONLY (!IS_FLOAT && BITS <= 16)
#include "common/for_each_dtype.h"
