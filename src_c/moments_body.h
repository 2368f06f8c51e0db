/* moments.c, one clone: the templates of a tile, and the loop over tiles. */

#define TEMPLATE "moments_integer.h"
#include "each_integer.h"
#undef TEMPLATE

#define TEMPLATE "moments_float.h"
#include "each_float.h"
#undef TEMPLATE
