/* What the kernels share: names of clones, widths of tiles, wide integers. Not installed. */
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

/* FN(x) is the clone's own name for x, TFN(x) that of the clone and the type. */
#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define FN(name) PASTE(name, ISA)
#define TFN(name) PASTE(PASTE(name, TAG), ISA)

/* Rows come from files and pieces of files: they need not be aligned to their items. */
#define UNALIGNED __attribute__((aligned(1), may_alias))

/* Records that one pass over a tile takes: so many rows are read in step, and the accumulators
 * are loaded and stored once for all of them. */
enum { GROUP = 8 };

/* Pixels of a tile: a group of rows and the accumulators stay in the first two caches, and each
 * row's run is long enough for the prefetcher. */
enum { TILE = 4096, TREE_TILE = 1024 };

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

#include "walk.h"

#endif
