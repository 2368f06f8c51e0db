/* series.c, one clone: selection for each size of key, then each dtype. */
#define TAG k16
#define T int16_t
#define UT uint16_t
#include "select_keys.h"
#include "undefine.h"
#define TAG k32
#define T int32_t
#define UT uint32_t
#include "select_keys.h"
#include "undefine.h"
#define TAG k64
#define T int64_t
#define UT uint64_t
#include "select_keys.h"
#include "undefine.h"

#define TEMPLATE "series_rows.h"
#include "each_integer.h"
#include "each_float.h"
#undef TEMPLATE
