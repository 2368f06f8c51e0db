/* Write a run of a dst row: plainly, or past the cache. */

static inline void FN(put)(char *to, const char *from, size_t bytes)
{
    if (bytes == TILE_ROW)
        memcpy(to, from, TILE_ROW);
    else
        memcpy(to, from, bytes);
}

#if STREAM
/* Whole lines go past the cache; what shares a line with a neighbouring tile does not. */
static inline void FN(put_streaming)(char *to, const char *from, size_t bytes)
{
    const size_t head = smaller((size_t)(-(uintptr_t)to & 63), bytes);
    memcpy(to, from, head);
    size_t at = head;
    for (; bytes - at >= 64; at += 64)
#pragma GCC unroll 4
        for (size_t v = 0; v < 64; v += 16)
            _mm_stream_si128((__m128i *)(void *)(to + at + v),
                             _mm_loadu_si128((const __m128i *)(const void *)(from + at + v)));
    memcpy(to + at, from + at, bytes - at);
}
static inline void FN(fence)(void) { _mm_sfence(); }
#else
static inline void FN(put_streaming)(char *to, const char *from, size_t bytes)
{
    FN(put)(to, from, bytes);
}
static inline void FN(fence)(void) {}
#endif
