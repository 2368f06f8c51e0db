/* Include the file TEMPLATE once for each dtype for which ONLY, an expression of the columns in
 * dtypes.h, is not 0. TAG names the dtype meanwhile. */
#define TAG u8
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG i8
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG u16
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG i16
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG u32
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG i32
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG u64
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG i64
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG f32
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#define TAG f64
#if ONLY
#include TEMPLATE
#endif
#undef TAG

#undef TEMPLATE
#undef ONLY
