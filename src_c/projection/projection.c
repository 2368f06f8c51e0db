/* Reductions along one axis of one array: the projections, and the statistics of time series.
 *
 * The array is seen as (outer, n, inner): outer planes of n rows of `inner` items, reduced along n.
 *
 * Sums need accumulators for a tile of output pixels, to which rows are added by mpim_accumulate or
 * mpim_push_floats:
 *   - long rows as they lie in the array;
 *   - short rows of integers, whose order does not matter: r of them as one row of r * inner items,
 *     and the r parts of the accumulators are added up at the end;
 *   - else the rows of several planes are gathered side by side in scratch first.
 * Integer mean and standard deviation come from exact sums; floats go through the tree of tree.c,
 * whose last nodes are merged from the smallest (rightmost) to the largest.
 *
 * Extrema, by the length of `inner`:
 *   - long rows are compared as they lie in the array, a group at a time;
 *   - short rows one after the other, several taken as one row;
 *   - rows of single items (inner == 1) by vectors across them, or, where they are fewer than a
 * lane holds, transposed and then as long rows.
 */
#include "common/dtypes.h"
#include "common/vectors.h"

/* Pixels of a tile of nodes or of gathered rows, and of one of exact sums (any alignment leaves it
 * one tile of mpim_accumulate); bytes of the shortest row that is added as it lies; rows gathered
 * at a time. */
enum { PIXELS = 512, SUM_PIXELS = TILE - LINE, LONG_ROW = 64, GATHERED = 64 };

/* The distance of gathered rows, in pixels: no power of two, or they would compete in the cache. */
enum { PITCH = PIXELS + 64 };

/* For extrema, in bytes: the run of long rows that is compared at a time (memory gives up to twice
 * as much to runs of 16 KB as to runs of 2 KB); the longest row that counts as short; the row that
 * short ones are joined to. */
enum { RUN_BYTES = 32 << 10, SHORT_BYTES = 4 << 10, JOINED_BYTES = 1 << 10 };

struct job {
    int isa, kind, dtype;
    size_t itemsize;
    const char *array;
    size_t outer, n, inner;
    char *out;
};

#define BODY "projection/clone.h"
#include "common/clones.h"

static const struct {
    unsigned char itemsize, is_signed;
} dtypes[] = {
#define PROPERTIES(unused, tag, number)                                                            \
    [number] = {sizeof(COLUMN(1, DTYPE_##tag)), COLUMN(7, DTYPE_##tag)},
    FOR_EACH_DTYPE(PROPERTIES, )};

/* -- Sums ------------------------------------------------------------------------------------- */

typedef void (*gather_fn)(const struct job *, const char *, size_t, size_t, char *);
typedef void (*add_fn)(struct mpim_limbs, int, size_t, size_t);
typedef void (*roots_fn)(double *, size_t);
static const gather_fn gatherers[MPIM_ISA_COUNT] = CLONES(gather);
static const add_fn adders[MPIM_ISA_COUNT] = CLONES(add_limbs);
static const roots_fn root_extractors[MPIM_ISA_COUNT] = CLONES(square_roots);

/* The accumulators of a tile of output pixels: limbs of integers, nodes of floats. */
struct accumulators {
    size_t pixels;
    int nsum, nsquare;
    struct mpim_limbs sums, squares; /* squares.data is NULL where they are not wanted */
    int parts;
    struct mpim_nodes nodes; /* one a level that n records need */
    uint64_t pushed;
    uint64_t *memory;
};

static int is_float(const struct job *job) { return job->dtype >= MPIM_F32; }

static int allocate(const struct job *job, struct accumulators *acc)
{
    size_t items;
    if (is_float(job)) {
        size_t levels = 1;
        while (job->n >> levels)
            levels++;
        acc->pixels = PIXELS;
        acc->parts = job->kind == MPIM_STDEV ? 3 : 2;
        items = levels * (size_t)acc->parts * PIXELS;
    } else {
        mpim_integer_limbs(job->dtype, &acc->nsum, &acc->nsquare);
        if (job->kind != MPIM_STDEV)
            acc->nsquare = 0;
        acc->pixels = SUM_PIXELS;
        items = (size_t)(acc->nsum + acc->nsquare) * SUM_PIXELS;
    }
    acc->memory = malloc(items * sizeof *acc->memory);
    if (!acc->memory)
        return MPIM_NO_MEMORY;
    acc->sums = (struct mpim_limbs){acc->memory, SUM_PIXELS};
    acc->squares = (struct mpim_limbs){NULL, SUM_PIXELS};
    if (acc->nsquare)
        acc->squares.data = acc->memory + (size_t)acc->nsum * SUM_PIXELS;
    acc->nodes = (struct mpim_nodes){(double *)acc->memory, acc->parts * PIXELS, PIXELS};
    return MPIM_OK;
}

static void reset(const struct job *job, struct accumulators *acc, size_t width)
{
    acc->pushed = 0;
    if (is_float(job))
        return;
    for (int limb = 0; limb < acc->nsum + acc->nsquare; limb++)
        memset(acc->memory + limb * SUM_PIXELS, 0, width * sizeof *acc->memory);
}

/* Add k rows of `width` pixels. */
static void accumulate(const struct job *job, struct accumulators *acc, const char *rows,
                       size_t stride, size_t k, size_t width)
{
    if (is_float(job))
        mpim_push_floats(job->isa, job->dtype, rows, k, width, (ptrdiff_t)stride, acc->pushed, 0,
                         acc->parts, acc->nodes, acc->nodes, NULL, NULL);
    else
        mpim_accumulate(job->isa, job->dtype, rows, k, width, (ptrdiff_t)stride, acc->sums,
                        acc->squares, NULL, NULL);
    acc->pushed += k;
}

/* Merge the nodes that remain after n records, smallest first, and return the result. */
static struct mpim_nodes root_of(const struct job *job, const struct accumulators *acc,
                                 size_t width)
{
    struct mpim_nodes tail = {NULL, 0, 0};
    double records = 0;
    for (int level = 0; job->n >> level; level++) {
        if (!(job->n >> level & 1))
            continue;
        struct mpim_nodes node = acc->nodes;
        node.data += level * node.level;
        if (tail.data)
            mpim_fold_nodes(job->isa, node, ldexp(1, level), tail, records, acc->parts, width,
                            node);
        tail = node;
        records += ldexp(1, level);
    }
    return tail;
}

static int finish_sum(const struct job *job, const struct accumulators *acc, size_t width,
                      uint64_t *out)
{
    const uint64_t *sum = acc->sums.data;
    memcpy(out, sum, width * sizeof *out);
    for (size_t i = 0; acc->nsum == 2 && i < width; i++) {
        const uint64_t extension = dtypes[job->dtype].is_signed && sum[i] >> 63 ? UINT64_MAX : 0;
        if (sum[SUM_PIXELS + i] != extension)
            return MPIM_OVERFLOW;
    }
    return MPIM_OK;
}

/* Write `width` results from pixel `at` of the output on. */
static int finish(const struct job *job, struct accumulators *acc, size_t at, size_t width)
{
    double *real = (double *)(void *)job->out + at;
    double *const mean = job->kind == MPIM_MEAN ? real : NULL;
    double *const variance = job->kind == MPIM_STDEV ? real : NULL;
    if (is_float(job))
        mpim_finish_floats(job->isa, root_of(job, acc, width), acc->parts, width, job->n,
                           job->kind == MPIM_SUM ? real : NULL, mean, variance);
    else if (job->kind == MPIM_SUM)
        return finish_sum(job, acc, width, (uint64_t *)(void *)job->out + at);
    else
        mpim_finish_integers(job->isa, acc->sums, acc->nsum, acc->squares, acc->nsquare,
                             dtypes[job->dtype].is_signed, width, job->n, mean, variance);
    if (variance)
        root_extractors[job->isa](variance, width);
    return MPIM_OK;
}

static int sum_long_rows(const struct job *job, struct accumulators *acc)
{
    const size_t row = job->inner * job->itemsize;
    int status = MPIM_OK;
    for (size_t o = 0; o < job->outer && !status; o++) {
        const char *plane = job->array + o * job->n * row;
        for (size_t i = 0; i < job->inner && !status; i += acc->pixels) {
            const size_t width = min_size(job->inner - i, acc->pixels);
            reset(job, acc, width);
            accumulate(job, acc, plane + i * job->itemsize, row, job->n, width);
            status = finish(job, acc, o * job->inner + i, width);
        }
    }
    return status;
}

static int sum_joined_rows(const struct job *job, struct accumulators *acc)
{
    const size_t inner = job->inner, row = inner * job->itemsize;
    const size_t joined = PIXELS / inner, whole = job->n / joined;
    int status = MPIM_OK;
    for (size_t o = 0; o < job->outer && !status; o++) {
        const char *plane = job->array + o * job->n * row;
        reset(job, acc, joined * inner);
        accumulate(job, acc, plane, joined * row, whole, joined * inner);
        adders[job->isa](acc->sums, acc->nsum, joined, inner);
        if (acc->squares.data)
            adders[job->isa](acc->squares, acc->nsquare, joined, inner);
        accumulate(job, acc, plane + whole * joined * row, row, job->n - whole * joined, inner);
        status = finish(job, acc, o * inner, inner);
    }
    return status;
}

static int sum_gathered_rows(const struct job *job, struct accumulators *acc)
{
    const size_t batch = PIXELS / job->inner, row = job->inner * job->itemsize;
    char *scratch = malloc(GATHERED * PITCH * job->itemsize);
    if (!scratch)
        return MPIM_NO_MEMORY;
    int status = MPIM_OK;
    for (size_t o = 0; o < job->outer && !status; o += batch) {
        const size_t planes = min_size(job->outer - o, batch), width = planes * job->inner;
        const char *from = job->array + o * job->n * row;
        reset(job, acc, width);
        for (size_t r = 0; r < job->n; r += GATHERED) {
            const size_t k = min_size(job->n - r, GATHERED);
            gatherers[job->isa](job, from + r * row, k, planes, scratch);
            accumulate(job, acc, scratch, PITCH * job->itemsize, k, width);
        }
        status = finish(job, acc, o * job->inner, width);
    }
    free(scratch);
    return status;
}

static int project_sums(const struct job *job)
{
    struct accumulators acc = {0};
    int status = allocate(job, &acc);
    if (status)
        return status;
    if (!is_float(job) && job->inner < PIXELS && job->n * job->inner >= GROUP * PIXELS)
        status = sum_joined_rows(job, &acc);
    else if (job->inner * job->itemsize >= LONG_ROW)
        status = sum_long_rows(job, &acc);
    else
        status = sum_gathered_rows(job, &acc);
    free(acc.memory);
    return status;
}

/* -- Extrema ---------------------------------------------------------------------------------- */

typedef void (*reduce_fn)(const char *, size_t, size_t, size_t, void *);
typedef int (*add_extrema_fn)(const void *, const void *, size_t, void *, size_t);
static const reduce_fn max_long[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, max_long_rows)};
static const reduce_fn min_long[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, min_long_rows)};
static const reduce_fn max_short[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, max_short_rows)};
static const reduce_fn min_short[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, min_short_rows)};
static const reduce_fn max_last[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, max_last_axis)};
static const reduce_fn min_last[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, min_last_axis)};
static const add_extrema_fn extrema_adders[][MPIM_ISA_COUNT] = {
    FOR_EACH_DTYPE(CLONES_OF, add_extrema)};

static int has_long_rows(const struct job *job)
{
    return job->inner > 1 && job->inner * job->itemsize > SHORT_BYTES;
}

static void reduce_long_rows(const struct job *job, const char *rows, size_t stride, size_t width,
                             char *high, char *low)
{
    if (high)
        max_long[job->dtype][job->isa](rows, job->n, stride, width, high);
    if (low)
        min_long[job->dtype][job->isa](rows, job->n, stride, width, low);
}

/* The extrema of `width` output pixels from `at` on: into high and low where they are not NULL. */
static void reduce(const struct job *job, size_t at, size_t width, char *high, char *low)
{
    const size_t inner = job->inner, row = inner * job->itemsize;
    const char *from = job->array + at / inner * job->n * row;
    if (has_long_rows(job)) {
        reduce_long_rows(job, from + at % inner * job->itemsize, row, width, high, low);
        return;
    }
    if (inner == 1 && job->n * job->itemsize < LANE_BYTES) {
        char transposed[LANE_BYTES * PITCH] __attribute__((aligned(LINE)));
        gatherers[job->isa](job, from, job->n, width, transposed);
        reduce_long_rows(job, transposed, PITCH * job->itemsize, width, high, low);
        return;
    }
    const reduce_fn max = (inner == 1 ? max_last : max_short)[job->dtype][job->isa];
    const reduce_fn min = (inner == 1 ? min_last : min_short)[job->dtype][job->isa];
    if (high)
        max(from, job->n, inner, width / inner, high);
    if (low)
        min(from, job->n, inner, width / inner, low);
}

/* Output pixels of the tile that begins at `at`: whole planes of short rows, a run of long ones. */
static size_t extrema_width(const struct job *job, size_t at)
{
    const size_t left = job->outer * job->inner - at;
    if (has_long_rows(job))
        return min_size(RUN_BYTES / job->itemsize, job->inner - at % job->inner);
    const size_t planes = job->inner < PIXELS ? PIXELS / job->inner : 1;
    return min_size(left, planes * job->inner);
}

static int project_extrema(const struct job *job)
{
    char *extrema = NULL;
    if (job->kind == MPIM_MAXMIN) {
        extrema = malloc(2 * RUN_BYTES);
        if (!extrema)
            return MPIM_NO_MEMORY;
    }
    int status = MPIM_OK;
    const size_t pixels = job->outer * job->inner;
    for (size_t at = 0, width; at < pixels && !status; at += width) {
        width = extrema_width(job, at);
        char *out = job->out + at * job->itemsize;
        if (extrema) {
            reduce(job, at, width, extrema, extrema + RUN_BYTES);
            status = extrema_adders[job->dtype][job->isa](extrema, extrema + RUN_BYTES, width,
                                                          job->out, at);
        } else {
            reduce(job, at, width, job->kind == MPIM_MAX ? out : NULL,
                   job->kind == MPIM_MIN ? out : NULL);
        }
    }
    free(extrema);
    return status;
}

int mpim_project(int isa, int kind, int dtype, const void *array, size_t outer, size_t n,
                 size_t inner, void *out)
{
    if (dtype < MPIM_U8 || dtype > MPIM_F64 || kind < MPIM_MAX || kind > MPIM_MAXMIN)
        return MPIM_BAD_TYPE;
    if (!outer || !inner)
        return MPIM_OK;
    const struct job job = {isa, kind, dtype, dtypes[dtype].itemsize, array, outer, n, inner, out};
    return kind == MPIM_MAX || kind == MPIM_MIN || kind == MPIM_MAXMIN ? project_extrema(&job)
                                                                       : project_sums(&job);
}
