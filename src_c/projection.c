/* Reductions along one axis of one array: the projections, and the statistics of time series.
 *
 * The array is seen as (outer, n, inner). Ways to the extremes, by the length of `inner`:
 *   - long rows are compared as they lie, in groups;
 *   - short rows one after the other, several taken as one row and folded at the end;
 *   - rows of single items (inner == 1) by vectors across them.
 * Sums need a state for each tile of output pixels (exact integers, or nodes of the reduction tree),
 * which rows of values are fed to:
 *   - long rows as they lie;
 *   - short rows of integers, whose order does not matter: r of them as one row of r * inner, and the
 *     r parts of the state are folded at the end;
 *   - else the rows of several outer items are gathered side by side in scratch first.
 * Integer mean and standard deviation come from exact sums; floats go through the tree of tree.c, its
 * last nodes merged from the smallest (rightmost) to the largest.
 */
#include "internal.h"

#include "finish.h"
#include "transpose_shape.h"

/* Pixels of a state (at least); bytes of the shortest row that is fed as it lies; rows gathered at a time. */
enum { PIXELS = 512, LONG_ROW = 64, GATHERED = 64 };

/* For extremes: the run of long rows that is taken in step (memory gives up to twice as much to runs
 * of 16 KB as to runs of 2 KB); the longest row that is taken alone; what short rows are joined to;
 * rows of a last axis that are reduced to lanes before these are folded. */
enum { LONG_BYTES = 32 << 10, FOLDED_BYTES = 4 << 10, RUN_BYTES = 1 << 10, LANE_ROWS = 256 };

/* The gathered rows' distance, in pixels: no power of two, or they would compete in the cache. */
enum { PITCH = PIXELS + 64 };

/* What a projection needs of a dtype's state. */
struct job {
    int kind;
    const char *array;
    size_t outer, n, inner;
    char *out;
};

#define BODY "projection_body.h"
#include "clones.h"

typedef int (*project_fn)(const struct job *);
static const project_fn projectors[][MPIM_ISA_COUNT] = {
    CLONES(project_u8),  CLONES(project_i8),  CLONES(project_u16), CLONES(project_i16),
    CLONES(project_u32), CLONES(project_i32), CLONES(project_u64), CLONES(project_i64),
    CLONES(project_f32), CLONES(project_f64),
};

int mpim_project(int isa, int kind, int dtype, const void *array, size_t outer, size_t n,
                 size_t inner, void *out)
{
    if (dtype < MPIM_U8 || dtype > MPIM_F64 || kind < MPIM_MAX || kind > MPIM_MAXMIN)
        return MPIM_BAD_TYPE;
    if (!outer || !inner)
        return MPIM_OK;
    const struct job job = {kind, array, outer, n, inner, out};
    return projectors[dtype][isa](&job);
}
