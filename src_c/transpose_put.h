/* Write a run of dst: plainly, or past the cache. */

#if STREAM
/* Whole lines go past the cache; what shares a line with a neighbouring run does not. */
static inline void FN(put)(char *to, const char *from, size_t bytes, int stream)
{
    if (!stream) {
        memcpy(to, from, bytes);
        return;
    }
    size_t at = smaller((size_t)(-(uintptr_t)to & (LINE_BYTES - 1)), bytes);
    memcpy(to, from, at);
    for (; bytes - at >= LINE_BYTES; at += LINE_BYTES)
#pragma GCC unroll 4
        for (size_t v = 0; v < LINE_BYTES; v += VECTOR_BYTES)
            _mm_stream_si128((__m128i *)(void *)(to + at + v),
                             _mm_loadu_si128((const __m128i *)(const void *)(from + at + v)));
    memcpy(to + at, from + at, bytes - at);
}

static inline void FN(fence)(int stream)
{
    if (stream)
        _mm_sfence();
}
#else
static inline void FN(put)(char *to, const char *from, size_t bytes, int stream)
{
    (void)stream;
    memcpy(to, from, bytes);
}
static inline void FN(fence)(int stream) { (void)stream; }
#endif
