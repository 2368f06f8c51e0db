/* projection.c, one clone. */
#include "transpose_vectors.h"

#define TEMPLATE "transpose_block.h"
#include "each_size.h"
#undef TEMPLATE

#include "finish_rows.h"
#include "tree_nodes.h"

#define TEMPLATE "projection_integer.h"
#include "each_integer.h"
#undef TEMPLATE

#define TEMPLATE "projection_float.h"
#include "each_float.h"
#undef TEMPLATE
