/* The writing side: a finished panel goes to dst piece by piece, while the next one is made. */

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

/* A panel on its way to dst: `total` bytes in runs of `run`, of which `done` have been written,
 * `at` of them in the run that begins at `to`. */
struct FN(writer) {
    const char *from;
    char *to;
    ptrdiff_t stride;
    size_t run, total, at, done;
    int stream;
};

/* Write up to `goal` bytes of the panel. A run is only cut between lines. */
static inline void FN(write)(struct FN(writer) *w, size_t goal)
{
    while (w->done < goal) {
        char *to = w->to + w->at;
        size_t piece = w->run - w->at;
        if (piece > goal - w->done) {
            piece = goal - w->done;
            const size_t over = ((uintptr_t)to + piece) % LINE_BYTES;
            if (over >= piece)
                return;
            piece -= over;
        }
        FN(put)(to, w->from + w->done, piece, w->stream);
        w->done += piece;
        w->at += piece;
        if (w->at == w->run && w->done < w->total) {
            w->at = 0;
            w->to += w->stride;
        }
    }
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
