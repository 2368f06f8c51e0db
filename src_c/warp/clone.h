/* warp.c, one clone: what is computed in each REAL, then the rows of each dtype. */
#define TEMPLATE "warp/sums.h"
#define ONLY IS_FLOAT
#include "common/for_each_dtype.h"

#define TEMPLATE "warp/field.h"
#define ONLY IS_FLOAT
#include "common/for_each_dtype.h"

#define TEMPLATE "warp/rows.h"
#define ONLY 1
#include "common/for_each_dtype.h"
