/* The vectors of one clone: LANES lanes of 16 bytes. LOW_u8(a, b), HIGH_u8(a, b), ... interleave
 * the lower and the upper items of the lanes of two of them, lane by lane. */
#ifndef MPIM_VECTORS_H
#define MPIM_VECTORS_H

#include "common/dtypes.h"

#if MPIM_X86
#include <immintrin.h>
#define STREAM 1
#else
#define STREAM 0
#endif

enum { LANE_BYTES = 16 };

#endif

#ifdef ISA /* within a clone */

/* Those of the clone before. */
#undef VEC
#undef LOAD
#undef STORE
#undef STREAM_LINE
#undef LANES
#undef MIX
#undef LOW_u8
#undef HIGH_u8
#undef LOW_u16
#undef HIGH_u16
#undef LOW_u32
#undef HIGH_u32
#undef LOW_u64
#undef HIGH_u64

#if ISA_LEVEL == 4
#define VEC __m512i
#define LOAD(p, pitch)                                                                           \
    _mm512_inserti64x4(_mm512_castsi256_si512(FN(load2)(p, pitch)),                               \
                       FN(load2)((p) + 2 * (pitch), pitch), 1)
#define STORE(p, v) _mm512_storeu_si512((p), (v))
#define STREAM_LINE(to, from) \
    _mm512_stream_si512((__m512i *)(void *)(to), _mm512_loadu_si512((from)))
#define LOW_u8 _mm512_unpacklo_epi8
#define HIGH_u8 _mm512_unpackhi_epi8
#define LOW_u16 _mm512_unpacklo_epi16
#define HIGH_u16 _mm512_unpackhi_epi16
#define LOW_u32 _mm512_unpacklo_epi32
#define HIGH_u32 _mm512_unpackhi_epi32
#define LOW_u64 _mm512_unpacklo_epi64
#define HIGH_u64 _mm512_unpackhi_epi64
#define LANES 4

#elif ISA_LEVEL == 3
#define VEC __m256i
#define LOAD(p, pitch) FN(load2)(p, pitch)
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), (v))
#define STREAM_LINE(to, from)                                                                     \
    do {                                                                                          \
        const __m256i *from_ = (const __m256i *)(const void *)(from);                             \
        __m256i *to_ = (__m256i *)(void *)(to);                                                   \
        _mm256_stream_si256(to_, _mm256_loadu_si256(from_));                                      \
        _mm256_stream_si256(to_ + 1, _mm256_loadu_si256(from_ + 1));                              \
    } while (0)
#define LOW_u8 _mm256_unpacklo_epi8
#define HIGH_u8 _mm256_unpackhi_epi8
#define LOW_u16 _mm256_unpacklo_epi16
#define HIGH_u16 _mm256_unpackhi_epi16
#define LOW_u32 _mm256_unpacklo_epi32
#define HIGH_u32 _mm256_unpackhi_epi32
#define LOW_u64 _mm256_unpacklo_epi64
#define HIGH_u64 _mm256_unpackhi_epi64
#define LANES 2

#else
/* The compiler's own vectors: SSE2, NEON, or whatever there is. */
typedef uint8_t FN(bytes) __attribute__((vector_size(16)));
typedef uint16_t FN(shorts) __attribute__((vector_size(16)));
typedef uint32_t FN(words) __attribute__((vector_size(16)));
typedef uint64_t FN(longs) __attribute__((vector_size(16)));
#define VEC FN(bytes)
#define MIX(type, a, b, ...) ((VEC)__builtin_shufflevector((type)(a), (type)(b), __VA_ARGS__))
#define LOW_u8(a, b) MIX(FN(bytes), a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_u8(a, b) \
    MIX(FN(bytes), a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define LOW_u16(a, b) MIX(FN(shorts), a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_u16(a, b) MIX(FN(shorts), a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define LOW_u32(a, b) MIX(FN(words), a, b, 0, 4, 1, 5)
#define HIGH_u32(a, b) MIX(FN(words), a, b, 2, 6, 3, 7)
#define LOW_u64(a, b) MIX(FN(longs), a, b, 0, 2)
#define HIGH_u64(a, b) MIX(FN(longs), a, b, 1, 3)
#define LOAD(p, pitch) FN(load1)(p)
#define STORE(p, v) FN(store1)(p, v)
#define LANES 1
#if STREAM
#define STREAM_LINE(to, from)                                                                     \
    do {                                                                                          \
        const __m128i *from_ = (const __m128i *)(const void *)(from);                             \
        __m128i *to_ = (__m128i *)(void *)(to);                                                   \
        for (int v_ = 0; v_ < 4; v_++)                                                            \
            _mm_stream_si128(to_ + v_, _mm_loadu_si128(from_ + v_));                              \
    } while (0)
#else
#define STREAM_LINE(to, from) memcpy((to), (from), LINE)
#endif
static inline VEC FN(load1)(const char *p)
{
    VEC v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void FN(store1)(char *p, VEC v) { memcpy(p, &v, sizeof v); }
#endif

#if ISA_LEVEL >= 3
/* Vectors from two rows, `pitch` apart, as the lanes of one. */
static inline __m256i FN(load2)(const char *p, size_t pitch)
{
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + pitch));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}
#endif

#endif
