/* transpose.c, one clone. */
#include "common/vectors.h"

/* -- Writing: a finished panel goes to dst in parts, while the next one is made. -- */

/* Copy, whole lines with stores that bypass the cache where `stream`; what shares a line with a
 * neighbouring run is stored as usual. */
static inline void FN(copy_lines)(char *to, const char *from, size_t bytes, int stream)
{
    if (!stream) {
        memcpy(to, from, bytes);
        return;
    }
    size_t at = min_size((size_t)(-(uintptr_t)to & (LINE - 1)), bytes);
    if (at)
        memcpy(to, from, at);
    for (; bytes - at >= LINE; at += LINE)
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
            const size_t over = ((uintptr_t)to + piece) % LINE;
            if (over >= piece)
                return;
            piece -= over;
        }
        FN(copy_lines)(to, w->from + w->done, piece, w->stream);
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

/* -- Reading: runs of src's rows, in the order in which the tiles take them. -- */

struct FN(reader) {
    const char *src;
    ptrdiff_t stride;
    size_t n, bytes;  /* rows of src, and how long they are */
    size_t run, lead; /* bytes of a row in a panel; the first panel has `lead` less */
    size_t at, i;     /* where the next tile lies: byte of the row, row */
};

/* The first panel ends where a line does, so that all others begin with one. */
static inline size_t FN(lead)(const char *src, size_t itemsize, size_t run)
{
    const size_t lead = (uintptr_t)src % LINE;
    return lead % itemsize == 0 && lead < run ? lead : 0;
}

static inline size_t FN(width)(const struct FN(reader) *r)
{
    return min_size(r->bytes - r->at, r->at ? r->run : r->run - r->lead);
}

/* Rows of the next tile; 0 at the end. */
static inline size_t FN(tile_rows)(const struct FN(reader) *r)
{
    return r->at < r->bytes ? min_size(r->n - r->i, TILE_ROWS) : 0;
}

/* On to the next tile: a panel's tiles are taken from its last rows to its first. */
static inline void FN(advance)(struct FN(reader) *r)
{
    if (r->i) {
        r->i -= TILE_ROWS;
        return;
    }
    r->at += FN(width)(r);
    r->i = last_tile(r->n);
}

/* Copy rows [from, to) of the next tile, a group in step, and have the group after it come: where
 * the rows' distance is a power of two, more would drop each other from the cache. */
static inline void FN(read)(const struct FN(reader) *r, size_t from, size_t to, char *tile)
{
    const char *src = r->src + (ptrdiff_t)r->i * r->stride + r->at;
    const size_t width = FN(width)(r), rows = r->n - r->i;
    for (; from + GROUP_ROWS <= to; from += GROUP_ROWS) {
        const char *now = src + (ptrdiff_t)from * r->stride;
        /* Past the tile's end too: the first rows of the tile after it, or of the next panel. */
        const char *soon = now;
        if (from + 2 * GROUP_ROWS <= min_size(rows, TILE_ROWS))
            soon += GROUP_ROWS * r->stride;
        else if (r->i)
            soon = src - TILE_ROWS * r->stride;
        else if (r->bytes - r->at > width)
            soon = src + (ptrdiff_t)last_tile(r->n) * r->stride + width;
        char *to_row = tile + from * TILE_PITCH;
        size_t k = 0;
        for (; k + LINE <= width; k += LINE)
            for (size_t g = 0; g < GROUP_ROWS; g++) {
                __builtin_prefetch(soon + (ptrdiff_t)g * r->stride + k, 0, 3);
                memcpy(to_row + g * TILE_PITCH + k, now + (ptrdiff_t)g * r->stride + k, LINE);
            }
        if (k < width)
            for (size_t g = 0; g < GROUP_ROWS; g++)
                memcpy(to_row + g * TILE_PITCH + k, now + (ptrdiff_t)g * r->stride + k, width - k);
    }
    for (; from < to; from++)
        memcpy(tile + from * TILE_PITCH, src + (ptrdiff_t)from * r->stride, width);
}

#define TEMPLATE "transpose/tile.h"
#define ONLY (!IS_FLOAT && !IS_SIGNED)
#include "common/for_each_dtype.h"
