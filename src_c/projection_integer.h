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

/* Whether the order of the records does not matter. */
static int TFN(folds)(int kind)
{
    (void)kind;
    return 1;
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

/* limbs[0 .. inner-1] += limbs[from .. from + inner - 1], of `count` limbs each. */
static void TFN(add_limbs)(uint64_t *limbs, int count, size_t from, size_t inner)
{
    if (count == 1) {
        for (size_t i = 0; i < inner; i++)
            limbs[i] += limbs[from + i];
        return;
    }
    for (size_t i = 0; i < inner; i++) {
        u128 carry = 0;
        for (uint64_t *to = limbs + i; to < limbs + (size_t)count * PIXELS; to += PIXELS) {
            carry += (u128)*to + to[from];
            *to = (uint64_t)carry;
            carry >>= 64;
        }
    }
}

/* Fold r parts of `inner` pixels onto the first. */
static void TFN(fold_state)(struct TFN(state) *st, size_t r, size_t inner)
{
    const ptrdiff_t stride = (ptrdiff_t)(inner * sizeof(T));
    if (st->wants_max)
        TFN(max_rows)((const char *)(st->highest + inner), stride, r - 1, inner, st->highest);
    if (st->wants_min)
        TFN(min_rows)((const char *)(st->lowest + inner), stride, r - 1, inner, st->lowest);
    for (size_t part = 1; part < r; part++) {
        if (st->wants_sums)
            TFN(add_limbs)(st->sums, TFN(NSUM), part * inner, inner);
        if (st->wants_squares)
            TFN(add_limbs)(st->squares, TFN(NSQUARE), part * inner, inner);
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
        FN(means)(sums, TFN(NSUM), SIGNED, width, n, real);
        return MPIM_OK;
    default:
        FN(variances)(sums, TFN(NSUM), squares, TFN(NSQUARE), SIGNED, width, n, real);
        for (size_t i = 0; i < width; i++)
            real[i] = sqrt(real[i]);
        return MPIM_OK;
    }
}

#include "projection_ways.h"
