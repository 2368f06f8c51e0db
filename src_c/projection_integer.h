/* Template: the projections of one integer dtype, and the state of a tile of its sums. */
#include "projection_extrema.h"
#include "integer_rows.h"

/* Pixels of a state, so many that the runs of long rows are long, too. */
#define STATE_PIXELS TILE
enum {
    TFN(NSUM) = BITS == 64 ? 2 : 1,
    TFN(NSQUARE) = BITS == 64 ? 3 : BITS == 32 ? 2 : 1
};

struct TFN(state) {
    int wants_squares;
    uint64_t sums[TFN(NSUM) * STATE_PIXELS], squares[TFN(NSQUARE) * STATE_PIXELS];
};

static size_t TFN(state_bytes)(size_t n)
{
    (void)n;
    return sizeof(struct TFN(state));
}

static void TFN(begin)(struct TFN(state) *st, int kind, size_t width)
{
    st->wants_squares = kind == MPIM_STDEV;
    for (size_t limb = 0; limb < TFN(NSUM); limb++)
        memset(st->sums + limb * STATE_PIXELS, 0, width * sizeof *st->sums);
    if (st->wants_squares)
        for (size_t limb = 0; limb < TFN(NSQUARE); limb++)
            memset(st->squares + limb * STATE_PIXELS, 0, width * sizeof *st->squares);
}

static void TFN(feed)(struct TFN(state) *st, const char *base, ptrdiff_t stride, size_t k,
                      size_t width)
{
    const struct mpim_limbs sums = {st->sums, STATE_PIXELS};
    const struct mpim_limbs squares = {st->wants_squares ? st->squares : NULL, STATE_PIXELS};
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
        for (uint64_t *to = limbs + i; to < limbs + (size_t)count * STATE_PIXELS; to += STATE_PIXELS) {
            carry += (u128)*to + to[from];
            *to = (uint64_t)carry;
            carry >>= 64;
        }
    }
}

/* Fold r parts of `inner` pixels onto the first. */
static void TFN(fold_state)(struct TFN(state) *st, size_t r, size_t inner)
{
    for (size_t part = 1; part < r; part++) {
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
        if (st->sums[STATE_PIXELS + i] != extension)
            return MPIM_OVERFLOW;
    }
#endif
    return MPIM_OK;
}

/* Write `width` results of n records at pixel `at` of out. */
static int TFN(finish)(struct TFN(state) *st, int kind, size_t n, size_t width, char *out, size_t at)
{
    const struct mpim_limbs sums = {st->sums, STATE_PIXELS}, squares = {st->squares, STATE_PIXELS};
    double *real = (double *)(void *)out + at;
    switch (kind) {
    case MPIM_SUM:
        return TFN(finish_sum)(st, width, (uint64_t *)(void *)out + at);
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

static int TFN(project)(const struct job *job)
{
    return job->kind == MPIM_MAX || job->kind == MPIM_MIN || job->kind == MPIM_MAXMIN
               ? TFN(project_extrema)(job)
               : TFN(project_sums)(job);
}
