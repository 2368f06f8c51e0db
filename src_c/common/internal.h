/* What all kernels share: names of clones, sizes of tiles, the order in which a batch is read. */
#ifndef MPIM_INTERNAL_H
#define MPIM_INTERNAL_H

/* Here and not in setup.py: the C that Cython writes is not held to it. */
#pragma GCC diagnostic warning "-Wconversion"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mpimages.h"

#if defined(__x86_64__) && !defined(MPIM_NO_CLONES)
#define MPIM_X86 1
#else
#define MPIM_X86 0
#endif

/* All generated names are formed here (docs/kernels.md has an example):
 *   FN(name)          name_<level>          one for each level, e.g. finish_v3
 *   TFN(name)         name_<dtype>_<level>  one for each dtype and level, e.g. accumulate_u16_v3
 *   FN_OF(name, u8)   name_u8_<level>       that of another dtype than the one at hand
 * To find the definition of accumulate_u16_v3, search for "TFN(accumulate)". */
#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define FN(name) PASTE(name, ISA)
#define FN_OF(name, tag) PASTE(PASTE(name, tag), ISA)
#define TFN(name) FN_OF(name, TAG)

/* Rows come from files and parts of files: they need not be aligned to their items. */
#define UNALIGNED __attribute__((aligned(1), may_alias))
#define ALWAYS_INLINE inline __attribute__((always_inline))

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

/* The order in which a batch is read: tile by tile, within a tile by groups of rows, within a group
 * by segments.
 *
 * A group of rows is as many streams of short runs, which no hardware prefetcher follows from one
 * group to the next. So, while a segment of one group is reduced, the same segment of the next
 * group is prefetched into the second cache. (Not into the first: rows of images are often a large
 * power of two apart, and so are all in one set of it.) */

/* Rows of a group: they are reduced together, so that the accumulators are loaded and stored once
 * for all of them. */
enum { GROUP = 8 };

/* Pixels of a tile: a group of rows and the accumulators stay in the first two caches, and each
 * row's run is long enough for the hardware prefetcher. */
enum { TILE = 4096, TREE_TILE = 1024 };

/* Bytes of a cache line, and of a segment: a longer one would exceed the number of cache misses
 * that a processor can have outstanding (24, say). */
enum { LINE = 64, SEGMENT = 128 };

/* What to prefetch: the first row of the next group, and how many bytes of each row. */
struct prefetch {
    const char *rows;
    size_t bytes;
};

/* Pixels of the tile that begins at pixel `at`. The first one is cut so that the others begin on a
 * cache line, if the rows allow it: a load that straddles two lines counts twice. */
static inline size_t tile_width(const char *batch, size_t at, size_t m, size_t itemsize,
                                size_t tile)
{
    return min_size(m - at, at ? tile : tile - (uintptr_t)batch % LINE / itemsize);
}

/* The group after the one at `base`, below which `left` rows of the tile remain: the next one of
 * this tile, else the first one of the next tile (whose bytes are 0 where there is none). */
static inline struct prefetch next_group(const char *base, ptrdiff_t stride, size_t left,
                                         size_t bytes, struct prefetch next_tile)
{
    if (left < GROUP)
        return next_tile;
    return (struct prefetch){base + GROUP * stride, bytes};
}

/* Prefetch the bytes from ... to of each row of a group. */
static inline void prefetch_group(struct prefetch group, ptrdiff_t stride, size_t from, size_t to)
{
    for (size_t at = from; at < min_size(to, group.bytes); at += LINE)
        for (int r = 0; r < GROUP; r++)
            __builtin_prefetch(group.rows + (ptrdiff_t)at + r * stride, 0, 2);
}

#endif
