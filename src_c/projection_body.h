/* projection.c, one clone. */
#include "tree_nodes.h"

#define TEMPLATE "projection_integer.h"
#include "each_integer.h"
#undef TEMPLATE

#define TEMPLATE "projection_float.h"
#include "each_float.h"
#undef TEMPLATE
