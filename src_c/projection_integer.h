/* Template: the state of a tile of output pixels, for one integer dtype. */
#include "extrema_rows.h"
#include "integer_rows.h"

enum {
    TFN(NSUM) = BITS == 64 ? 2 : 1,
    TFN(NSQUARE) = BITS == 64 ? 3 : BITS == 32 ? 2 : 1
};

struct TFN(state) {
    int wants_max, wants_min, wants_sums, wants_squares;
    T highest[PIXELS], lowest[PIXELS];
    uint64_t sums[TFN(NSUM) * PIXELS], squares[TFN(NSQUARE) * PIXELS];
};

static size_t TFN(state_bytes)(size_t n)
{
    (void)n;
    return sizeof(struct TFN(state));
}

static void TFN(begin)(struct TFN(state) *st, int kind)
{
    st->wants_max = kind == MPIM_MAX || kind == MPIM_MAXMIN;
    st->wants_min = kind == MPIM_MIN || kind == MPIM_MAXMIN;
    st->wants_squares = kind == MPIM_STDEV;
    st->wants_sums = kind == MPIM_SUM || kind == MPIM_MEAN || kind == MPIM_STDEV;
    if (st->wants_max)
        for (size_t i = 0; i < PIXELS; i++)
            st->highest[i] = LOWEST;
    if (st->wants_min)
        for (size_t i = 0; i < PIXELS; i++)
            st->lowest[i] = HIGHEST;
    if (st->wants_sums)
        memset(st->sums, 0, sizeof st->sums);
    if (st->wants_squares)
        memset(st->squares, 0, sizeof st->squares);
}

static void TFN(feed)(struct TFN(state) *st, const char *base, ptrdiff_t stride, size_t k,
                      size_t width)
{
    if (!st->wants_sums) {
        if (st->wants_max)
            TFN(max_rows)(base, stride, k, width, st->highest);
        if (st->wants_min)
            TFN(min_rows)(base, stride, k, width, st->lowest);
        return;
    }
    const struct mpim_limbs sums = {st->sums, PIXELS};
    const struct mpim_limbs squares = {st->wants_squares ? st->squares : NULL, PIXELS};
    TFN(add_rows)(base, stride, k, width, sums, squares, NULL, NULL);
}

static void TFN(add_limbs)(uint64_t *limbs, int count, size_t to, size_t from)
{
    unsigned carry = 0;
    for (int l = 0; l < count; l++) {
        const u128 t = (u128)limbs[(size_t)l * PIXELS + to] + limbs[(size_t)l * PIXELS + from] + carry;
        limbs[(size_t)l * PIXELS + to] = (uint64_t)t;
        carry = (unsigned)(t >> 64);
    }
}

/* Fold r parts of `inner` pixels onto the first. */
static void TFN(fold_state)(struct TFN(state) *st, size_t r, size_t inner)
{
    for (size_t i = inner; i < r * inner; i++) {
        const size_t to = i % inner;
        if (st->wants_max && st->highest[i] > st->highest[to])
            st->highest[to] = st->highest[i];
        if (st->wants_min && st->lowest[i] < st->lowest[to])
            st->lowest[to] = st->lowest[i];
        if (st->wants_sums)
            TFN(add_limbs)(st->sums, TFN(NSUM), to, i);
        if (st->wants_squares)
            TFN(add_limbs)(st->squares, TFN(NSQUARE), to, i);
    }
}

static int TFN(finish_sum)(const struct TFN(state) *st, size_t width, uint64_t *out)
{
    memcpy(out, st->sums, width * sizeof *out);
#if BITS == 64
    for (size_t i = 0; i < width; i++) {
        const uint64_t extension = SIGNED && st->sums[i] >> 63 ? UINT64_MAX : 0;
        if (st->sums[PIXELS + i] != extension)
            return MPIM_OVERFLOW;
    }
#endif
    return MPIM_OK;
}

static int TFN(finish_maxmin)(const struct TFN(state) *st, size_t width, WT *out)
{
    for (size_t i = 0; i < width; i++) {
#if BITS == 64
        if (__builtin_add_overflow(st->highest[i], st->lowest[i], &out[i]))
            return MPIM_OVERFLOW;
#else
        out[i] = (WT)((WT)st->highest[i] + (WT)st->lowest[i]);
#endif
    }
    return MPIM_OK;
}

/* Write `width` results of n records at pixel `at` of out. */
static int TFN(finish)(struct TFN(state) *st, int kind, size_t n, size_t width, char *out, size_t at)
{
    const struct mpim_limbs sums = {st->sums, PIXELS}, squares = {st->squares, PIXELS};
    double *real = (double *)(void *)out + at;
    switch (kind) {
    case MPIM_MAX:
        memcpy(out + at * sizeof(T), st->highest, width * sizeof(T));
        return MPIM_OK;
    case MPIM_MIN:
        memcpy(out + at * sizeof(T), st->lowest, width * sizeof(T));
        return MPIM_OK;
    case MPIM_SUM:
        return TFN(finish_sum)(st, width, (uint64_t *)(void *)out + at);
    case MPIM_MAXMIN:
        return TFN(finish_maxmin)(st, width, (WT *)(void *)out + at);
    case MPIM_MEAN:
        for (size_t i = 0; i < width; i++)
            real[i] = mean_of(sums, TFN(NSUM), SIGNED, i, n);
        return MPIM_OK;
    default:
        for (size_t i = 0; i < width; i++)
            real[i] = sqrt(variance_of(sums, TFN(NSUM), squares, TFN(NSQUARE), SIGNED, i, n));
        return MPIM_OK;
    }
}

#include "projection_ways.h"
