/* series.c, one clone: selection and ranks of keys of each size, then the kernels of each dtype. */
#include "series/convolve.h"

#define TEMPLATE "series/select.h"
#define ONLY (IS_SIGNED && !IS_FLOAT && BITS >= 16)
#include "common/for_each_dtype.h"

#define TEMPLATE "series/sort.h"
#define ONLY (IS_SIGNED && !IS_FLOAT && BITS >= 16)
#include "common/for_each_dtype.h"

#define TEMPLATE "series/rows.h"
#define ONLY 1
#include "common/for_each_dtype.h"
