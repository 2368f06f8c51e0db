/* Template: maxima and minima along an axis, for one dtype; see projection.c. */
#include "extrema_rows.h"
#include "projection_gather.h"

#define EP_(type) ep##type
#define EP(type) EP_(type)
#ifdef IS_FLOAT
#define KEY IT
#define SIGN_BIT ((UT)1 << (BITS - 1))
/* The bits below the sign turned where it is set: there and back. */
#define TURNED(x) ((x) ^ (((x) >> (BITS - 1)) & (IT)(SIGN_BIT - 1)))
#define LAST_NUMBER ((IT)(2 * INF_BITS + 1 + SIGN_BIT))
#define LOWEST ((T)-INFINITY)
#define HIGHEST ((T)INFINITY)
#else
#define KEY T
#endif
#if !defined(IS_FLOAT)
#define KEY_SUFFIX EP(TAG)
#elif BITS == 32
#define KEY_SUFFIX epi32
#else
#define KEY_SUFFIX epi64
#endif

typedef KEY UNALIGNED TFN(stored);
typedef KEY TFN(lane) __attribute__((vector_size(LANE_BYTES)));
typedef UT TFN(bare_lane) __attribute__((vector_size(LANE_BYTES)));
typedef KEY TFN(lanes) __attribute__((vector_size(LANE_BYTES * LANES)));

#define BEST max
#define GREATEST 1
#include "projection_best.h"
#undef BEST
#undef GREATEST
#define BEST min
#define GREATEST 0
#include "projection_best.h"
#undef BEST
#undef GREATEST

/* The extremes of `width` output pixels from `at` on: into high and low where they are not NULL. */
typedef void (*TFN(best_fn))(const struct job *job, size_t at, size_t width, T *high, T *low);

/* Long rows: a group of them in step, so that high and low are loaded and stored once for all. */
static void TFN(best_long)(const struct job *job, size_t at, size_t width, T *high, T *low)
{
    const size_t row = job->inner * sizeof(T), plane = at / job->inner;
    const char *from = job->array + plane * job->n * row + at % job->inner * sizeof(T);
    for (size_t i = 0; high && i < width; i++)
        high[i] = LOWEST;
    for (size_t i = 0; low && i < width; i++)
        low[i] = HIGHEST;
    for (size_t r = 0; r < job->n; r += GROUP) {
        const size_t k = smaller(job->n - r, GROUP);
        if (high)
            TFN(max_rows)(from + r * row, (ptrdiff_t)row, k, width, high);
        if (low)
            TFN(min_rows)(from + r * row, (ptrdiff_t)row, k, width, low);
    }
}

/* Short rows, whole planes. */
static void TFN(best_short)(const struct job *job, size_t at, size_t width, T *high, T *low)
{
    const size_t inner = job->inner, row = inner * sizeof(T);
    size_t r = 1;
    while (4 * r <= job->n && 2 * r * row <= RUN_BYTES)
        r *= 2;
    for (size_t i = 0; i < width; i += inner) {
        const char *from = job->array + (at + i) * job->n * sizeof(T);
        if (high)
            TFN(max_best_folded)(from, job->n, inner, r, high + i);
        if (low)
            TFN(min_best_folded)(from, job->n, inner, r, low + i);
    }
}

/* Along the last axis. */
static void TFN(best_last)(const struct job *job, size_t at, size_t width, T *high, T *low)
{
    const char *from = job->array + at * job->n * sizeof(T);
    if (high)
        TFN(max_best_lanes)(from, job->n, width, high);
    if (low)
        TFN(min_best_lanes)(from, job->n, width, low);
}

/* Along a last axis of less than a lane. */
static void TFN(best_turned)(const struct job *job, size_t at, size_t width, T *high, T *low)
{
    T turned[BLOCK_FN(SIDE) * PITCH];
    TFN(turn_rows)(job->array + at * job->n * sizeof(T), job->n, job->n, width, turned);
    const struct job rows = {job->kind, (const char *)turned, 1, job->n, PITCH, NULL};
    TFN(best_long)(&rows, 0, width, high, low);
}

/* Which of them, and how many pixels at a time (but not beyond a plane's end, of long rows). */
static TFN(best_fn) TFN(best_way)(const struct job *job, size_t *tile)
{
    *tile = PIXELS;
    if (job->inner == 1)
        return job->n < BLOCK_FN(SIDE) ? TFN(best_turned) : TFN(best_last);
    if (job->inner * sizeof(T) <= FOLDED_BYTES) {
        *tile = job->inner < PIXELS ? PIXELS / job->inner * job->inner : job->inner;
        return TFN(best_short);
    }
    *tile = LONG_BYTES / sizeof(T);
    return TFN(best_long);
}

static int TFN(add_extremes)(const T *high, const T *low, size_t width, WT *out)
{
    for (size_t i = 0; i < width; i++) {
#ifdef IS_FLOAT
        const T sum = high[i] + low[i];
        out[i] = sum == sum ? sum : (T)NAN;
#elif BITS == 64
        if (__builtin_add_overflow(high[i], low[i], &out[i]))
            return MPIM_OVERFLOW;
#else
        out[i] = (WT)((WT)high[i] + (WT)low[i]);
#endif
    }
    return MPIM_OK;
}

static int TFN(project_extrema)(const struct job *job)
{
    size_t tile;
    const TFN(best_fn) best = TFN(best_way)(job, &tile);
    const int both = job->kind == MPIM_MAXMIN;
    T *extremes = both ? malloc(2 * tile * sizeof(T)) : NULL;
    if (both && !extremes)
        return MPIM_NO_MEMORY;
    int status = MPIM_OK;
    const size_t pixels = job->outer * job->inner;
    for (size_t at = 0, width; at < pixels && !status; at += width) {
        width = smaller(tile, pixels - at);
        if (best == TFN(best_long))
            width = smaller(width, job->inner - at % job->inner);
        T *own = (T *)(void *)job->out + at;
        if (both) {
            best(job, at, width, extremes, extremes + tile);
            status = TFN(add_extremes)(extremes, extremes + tile, width,
                                       (WT *)(void *)job->out + at);
        } else {
            best(job, at, width, job->kind == MPIM_MAX ? own : NULL,
                 job->kind == MPIM_MIN ? own : NULL);
        }
    }
    free(extremes);
    return status;
}

#undef KEY
#undef KEY_SUFFIX
#undef EP
#undef EP_
#undef SIGN_BIT
#undef TURNED
#undef LAST_NUMBER
