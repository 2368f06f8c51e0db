/* Reductions along one axis of one array: the projections, and the statistics of time series.
 *
 * The array is seen as (outer, n, inner). A tile of output pixels has a state (extremes, exact
 * integer sums, or nodes of the reduction tree), which rows of values are fed to. Ways that lead
 * there, by the length of `inner`:
 *   - long rows are fed as they lie;
 *   - short rows, where the order does not matter: r of them are taken as one row of r * inner, and
 *     the r parts of the state are folded at the end;
 *   - integer extremes of single items (inner == 1) are taken lane by lane of a vector first;
 *   - else the rows of several outer items are gathered side by side in scratch first.
 * Integer mean and standard deviation come from exact sums; floats go through the tree of tree.c, its
 * last nodes merged from the smallest (rightmost) to the largest.
 */
#include "internal.h"

#include "finish.h"
#include "transpose_shape.h"

/* Pixels of a state; bytes of the shortest row that is fed as it lies; rows gathered at a time. */
enum { PIXELS = 512, LONG_ROW = 64, GATHERED = 64 };

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
