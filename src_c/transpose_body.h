/* transpose.c, one clone. */
#include "transpose_vectors.h"

#include "transpose_put.h"
#include "transpose_read.h"

#define TEMPLATE "transpose_tile.h"
#include "each_size.h"
#undef TEMPLATE
