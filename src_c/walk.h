/* How a batch is walked: tile by tile, within a tile by groups of rows, within a group by stretches.
 *
 * A group of rows is as many streams of short runs, which no hardware prefetcher follows from one
 * group to the next. So, while a stretch of one group is worked on, the same stretch of the next
 * group is fetched into the second cache. (Not into the first: rows of images are often a large
 * power of two apart, and so are all in one set of it.)
 */
#ifndef MPIM_WALK_H
#define MPIM_WALK_H

/* Bytes of a cache line; bytes of a row that are worked on between two fetches: more at once would
 * wait for the processor's list of outstanding lines (24 of them, say). */
enum { LINE = 64, STRETCH = 128 };

/* The group that comes next: its rows' beginning, and how many bytes of each are wanted. */
struct ahead {
    const char *rows;
    size_t bytes;
};

/* Pixels of the tile that begins at pixel `at`. The first one is cut so that the others begin on a
 * cache line, if the rows allow it: a load that straddles two lines counts twice. */
static inline size_t tile_width(const char *batch, size_t at, size_t m, size_t itemsize,
                                size_t tile)
{
    return smaller(m - at, at ? tile : tile - (uintptr_t)batch % LINE / itemsize);
}

/* What follows a group of which `left` rows of the tile are left over: the group below it, else the
 * first one of the next tile. `tile` is that one's first row; bytes are 0 where there is none. */
static inline struct ahead ahead_of(const char *base, ptrdiff_t stride, size_t left, size_t bytes,
                                    struct ahead tile)
{
    if (left < GROUP)
        return tile;
    return (struct ahead){base + GROUP * stride, bytes};
}

/* Fetch the bytes from ... to of each of the next group's rows. */
static inline void fetch(struct ahead next, ptrdiff_t stride, size_t from, size_t to)
{
    for (size_t at = from; at < smaller(to, next.bytes); at += LINE)
        for (int r = 0; r < GROUP; r++)
            __builtin_prefetch(next.rows + (ptrdiff_t)at + r * stride, 0, 2);
}

#endif
