/* transpose.c, one clone; also what projection.c turns short rows with. */
#include "transpose_put.h"

#define INTERLEAVE_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define INTERLEAVE_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define TAG b1
#define T uint8_t
#include "transpose_tile.h"
#include "undefine.h"
#undef INTERLEAVE_LOW
#undef INTERLEAVE_HIGH

#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define TAG b2
#define T uint16_t
#include "transpose_tile.h"
#include "undefine.h"
#undef INTERLEAVE_LOW
#undef INTERLEAVE_HIGH

#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define TAG b4
#define T uint32_t
#include "transpose_tile.h"
#include "undefine.h"
#undef INTERLEAVE_LOW
#undef INTERLEAVE_HIGH

#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 2)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#define TAG b8
#define T uint64_t
#include "transpose_tile.h"
#include "undefine.h"
#undef INTERLEAVE_LOW
#undef INTERLEAVE_HIGH
