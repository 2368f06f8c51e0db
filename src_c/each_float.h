/* Expand the file TEMPLATE over the float dtypes. Each expansion sees
 *   TAG  the dtype's short name   T     the type
 *   IT, UT  the signed and the unsigned integer of its size
 *   BITS its size                 WT    the type of maxima + minima
 *   INF_BITS, NAN_BITS  infinity and the quiet NaN without payload, as UT
 */

#define TAG f32
#define T float
#define WT float
#define IT int32_t
#define UT uint32_t
#define BITS 32
#define INF_BITS 0x7f800000u
#define NAN_BITS 0x7fc00000u
#define IS_FLOAT 1
#include TEMPLATE
#include "undefine.h"

#define TAG f64
#define T double
#define WT double
#define IT int64_t
#define UT uint64_t
#define BITS 64
#define INF_BITS UINT64_C(0x7ff0000000000000)
#define NAN_BITS UINT64_C(0x7ff8000000000000)
#define IS_FLOAT 1
#include TEMPLATE
#include "undefine.h"
