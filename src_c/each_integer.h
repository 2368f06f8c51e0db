/* Expand the file TEMPLATE over the integer dtypes. Each expansion sees
 *   TAG    the dtype's short name          T     the type
 *   UT     the unsigned type of its size   WT    the type of maxima + minima
 *   BITS   its size                        SIGNED, LOWEST, HIGHEST
 */

#define TAG u8
#define T uint8_t
#define UT uint8_t
#define WT uint16_t
#define BITS 8
#define SIGNED 0
#define LOWEST 0
#define HIGHEST UINT8_MAX
#include TEMPLATE
#include "undefine.h"

#define TAG i8
#define T int8_t
#define UT uint8_t
#define WT int16_t
#define BITS 8
#define SIGNED 1
#define LOWEST INT8_MIN
#define HIGHEST INT8_MAX
#include TEMPLATE
#include "undefine.h"

#define TAG u16
#define T uint16_t
#define UT uint16_t
#define WT uint32_t
#define BITS 16
#define SIGNED 0
#define LOWEST 0
#define HIGHEST UINT16_MAX
#include TEMPLATE
#include "undefine.h"

#define TAG i16
#define T int16_t
#define UT uint16_t
#define WT int32_t
#define BITS 16
#define SIGNED 1
#define LOWEST INT16_MIN
#define HIGHEST INT16_MAX
#include TEMPLATE
#include "undefine.h"

#define TAG u32
#define T uint32_t
#define UT uint32_t
#define WT uint64_t
#define BITS 32
#define SIGNED 0
#define LOWEST 0
#define HIGHEST UINT32_MAX
#include TEMPLATE
#include "undefine.h"

#define TAG i32
#define T int32_t
#define UT uint32_t
#define WT int64_t
#define BITS 32
#define SIGNED 1
#define LOWEST INT32_MIN
#define HIGHEST INT32_MAX
#include TEMPLATE
#include "undefine.h"

#define TAG u64
#define T uint64_t
#define UT uint64_t
#define WT uint64_t
#define BITS 64
#define SIGNED 0
#define LOWEST 0
#define HIGHEST UINT64_MAX
#include TEMPLATE
#include "undefine.h"

#define TAG i64
#define T int64_t
#define UT uint64_t
#define WT int64_t
#define BITS 64
#define SIGNED 1
#define LOWEST INT64_MIN
#define HIGHEST INT64_MAX
#include TEMPLATE
#include "undefine.h"
