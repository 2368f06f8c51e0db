/* Write a run of dst: plainly, or past the cache. */

/* Whole lines go past the cache; what shares a line with a neighbouring run does not. */
static inline void FN(put)(char *to, const char *from, size_t bytes, int stream)
{
    if (!stream) {
        memcpy(to, from, bytes);
        return;
    }
    size_t at = smaller((size_t)(-(uintptr_t)to & (LINE_BYTES - 1)), bytes);
    if (at)
        memcpy(to, from, at);
    for (; bytes - at >= LINE_BYTES; at += LINE_BYTES)
        STREAM_LINE(to + at, from + at);
    if (at < bytes)
        memcpy(to + at, from + at, bytes - at);
}

static inline void FN(fence)(int stream)
{
#if STREAM
    if (stream)
        _mm_sfence();
#else
    (void)stream;
#endif
}
