/* Correlation of an array with weights along one axis: Gaussian and uniform filters.
 *
 * The array is seen as (outer, n, inner), as by projections. Columns of a plane are taken in tiles:
 * a tile is converted to double with its borders, (before + n + after, width), and stays in the
 * cache. There the neighbours of an item lie `width` items apart, so that one loop over vectors of
 * successive items serves all axes, the last one among them (width 1).
 *
 * Each sum is taken in the order of SciPy's correlate1d: the item itself, then pairs of neighbours
 * from the furthest on; sums are then divided, so that a mean of integers is one quotient of their
 * exact sum. All items of a tile are read before one is written: out may be the array.
 */
#include "common/dtypes.h"

/* Bytes of a tile, which stays in the second cache; columns of the narrowest one. */
enum { TILE_BYTES = 384 << 10, NARROW = 32 };

struct job {
    int isa;
    const char *array;
    size_t itemsize, outer, n, inner;
    const double *weights;
    double divisor;
    size_t taps, before, after;
    int symmetry; /* 1: weights equal their mirror image, -1: it with the other sign, 0: neither */
    int single;   /* results are float, not double */
    char *out;
};

#define BODY "correlate/clone.h"
#include "common/clones.h"

typedef void (*load_fn)(const char *, size_t, size_t, size_t, double *);
typedef void (*sum_fn)(const struct job *, const double *, size_t, size_t, char *);
static const load_fn loaders[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, load_rows)};
static const sum_fn summers[MPIM_ISA_COUNT] = CLONES(sum);

static const unsigned char itemsizes[] = {
#define SIZE_OF(unused, tag, number) [number] = sizeof(COLUMN(1, DTYPE_##tag)),
    FOR_EACH_DTYPE(SIZE_OF, )};

static int symmetry_of(const double *weights, size_t taps)
{
    int equal = taps & 1, opposite = taps & 1;
    for (size_t j = 0; j < taps / 2; j++) {
        equal &= weights[j] == weights[taps - 1 - j];
        opposite &= weights[j] == -weights[taps - 1 - j];
    }
    return equal ? 1 : opposite ? -1 : 0;
}

/* The item that stands for the one at place p, counted from 0, of an axis of n items that goes on
 * as its mirror image, the outermost items repeated. The sum 2 * n cannot wrap: n items exist. */
static size_t mirrored(ptrdiff_t p, size_t n)
{
    const ptrdiff_t period = (ptrdiff_t)(2 * n);
    ptrdiff_t at = p < 0 ? -1 - p : p; /* the mirror image of places before the first item */
    if (at >= period)
        at %= period;
    return (size_t)(at < (ptrdiff_t)n ? at : period - 1 - at);
}

/* Fill the rows of a tile before and after its n middle ones. */
static void add_borders(const struct job *job, size_t width, double *tile)
{
    double *const middle = tile + job->before * width;
    if (width == 1) { /* no call for each item */
        for (size_t i = 1; i <= job->before; i++)
            *(middle - i) = middle[mirrored(-(ptrdiff_t)i, job->n)];
        for (size_t i = 0; i < job->after; i++)
            middle[job->n + i] = middle[mirrored((ptrdiff_t)(job->n + i), job->n)];
        return;
    }
    const size_t bytes = width * sizeof *tile;
    for (size_t i = 1; i <= job->before; i++)
        memcpy(middle - i * width, middle + mirrored(-(ptrdiff_t)i, job->n) * width, bytes);
    for (size_t i = 0; i < job->after; i++)
        memcpy(middle + (job->n + i) * width,
               middle + mirrored((ptrdiff_t)(job->n + i), job->n) * width, bytes);
}

/* The columns of a tile whose rows, borders included, are `rows`. */
static size_t tile_columns(const struct job *job, size_t rows)
{
    size_t columns = TILE_BYTES / sizeof(double) / rows;
    columns = columns < NARROW ? NARROW : columns - columns % NARROW;
    return min_size(columns, job->inner);
}

static void correlate_tile(const struct job *job, int dtype, size_t o, size_t from, size_t width,
                           double *tile)
{
    const size_t size = job->single ? sizeof(float) : sizeof(double);
    const size_t first = o * job->n * job->inner + from;
    double *const middle = tile + job->before * width;
    const int whole = width == job->inner; /* rows lie one after the other */
    loaders[dtype][job->isa](job->array + first * job->itemsize, whole ? 1 : job->n,
                             job->inner * job->itemsize, whole ? job->n * width : width, middle);
    add_borders(job, width, tile);
    if (whole) {
        summers[job->isa](job, middle, width, job->n * width, job->out + first * size);
        return;
    }
    for (size_t i = 0; i < job->n; i++)
        summers[job->isa](job, middle + i * width, width, width,
                          job->out + (first + i * job->inner) * size);
}

int mpim_correlate(int isa, int dtype, const void *array, size_t outer, size_t n, size_t inner,
                   const double *weights, size_t taps, double divisor, int out_dtype, void *out)
{
    if (dtype < MPIM_U8 || dtype > MPIM_F64 || (out_dtype != MPIM_F32 && out_dtype != MPIM_F64))
        return MPIM_BAD_TYPE;
    if (!outer || !n || !inner || !taps)
        return MPIM_OK;
    struct job job = {.isa = isa, .array = array, .itemsize = itemsizes[dtype], .outer = outer,
                      .n = n, .inner = inner, .weights = weights, .divisor = divisor, .taps = taps,
                      .symmetry = symmetry_of(weights, taps), .single = out_dtype == MPIM_F32,
                      .out = out};
    job.before = taps / 2;
    job.after = taps - 1 - job.before;
    size_t rows, bytes;
    if (__builtin_add_overflow(n, taps - 1, &rows))
        return MPIM_NO_MEMORY;
    const size_t columns = tile_columns(&job, rows);
    if (__builtin_mul_overflow(rows, columns * sizeof(double), &bytes))
        return MPIM_NO_MEMORY;
    double *const tile = malloc(bytes);
    if (!tile)
        return MPIM_NO_MEMORY;
    for (size_t o = 0; o < outer; o++)
        for (size_t at = 0; at < inner; at += columns)
            correlate_tile(&job, dtype, o, at, min_size(columns, inner - at), tile);
    free(tile);
    return MPIM_OK;
}
