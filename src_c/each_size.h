/* Expand the file TEMPLATE over the sizes of items: each expansion sees TAG and T as in
 * each_integer.h, and LOW and HIGH, the interleavings of transpose_vectors.h for that size. */

#define TAG b1
#define T uint8_t
#define LOW LOW_b1
#define HIGH HIGH_b1
#include TEMPLATE
#include "undefine.h"

#define TAG b2
#define T uint16_t
#define LOW LOW_b2
#define HIGH HIGH_b2
#include TEMPLATE
#include "undefine.h"

#define TAG b4
#define T uint32_t
#define LOW LOW_b4
#define HIGH HIGH_b4
#include TEMPLATE
#include "undefine.h"

#define TAG b8
#define T uint64_t
#define LOW LOW_b8
#define HIGH HIGH_b8
#include TEMPLATE
#include "undefine.h"
