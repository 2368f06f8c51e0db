/* Template: the state of a tile of output pixels, for one float dtype. */
#include "extrema_rows.h"
#include "tree_rows.h"

struct TFN(state) {
    int kind, parts;
    uint64_t pushed;
    T highest[PIXELS], lowest[PIXELS];
    double nodes[]; /* [level][part][pixel], for the levels that n records need */
};

static size_t TFN(state_bytes)(size_t n)
{
    size_t levels = 1;
    while (n >>= 1)
        levels++;
    return sizeof(struct TFN(state)) + levels * 3 * PIXELS * sizeof(double);
}

/* Whether the order of the records does not matter. */
static int TFN(folds)(int kind)
{
    return kind == MPIM_MAX || kind == MPIM_MIN || kind == MPIM_MAXMIN;
}

static void TFN(fold_state)(struct TFN(state) *st, size_t r, size_t inner)
{
    const ptrdiff_t stride = (ptrdiff_t)(inner * sizeof(T));
    TFN(max_rows)((const char *)(st->highest + inner), stride, r - 1, inner, st->highest);
    TFN(min_rows)((const char *)(st->lowest + inner), stride, r - 1, inner, st->lowest);
}

static void TFN(begin)(struct TFN(state) *st, int kind)
{
    st->kind = kind;
    st->parts = kind == MPIM_STDEV ? 3 : 2;
    st->pushed = 0;
    for (size_t i = 0; i < PIXELS; i++) {
        st->highest[i] = (T)-INFINITY;
        st->lowest[i] = (T)INFINITY;
    }
}

static struct mpim_nodes TFN(slots)(struct TFN(state) *st)
{
    return (struct mpim_nodes){st->nodes, 3 * PIXELS, PIXELS};
}

static void TFN(feed)(struct TFN(state) *st, const char *base, ptrdiff_t stride, size_t k,
                      size_t width)
{
    const struct mpim_nodes slots = TFN(slots)(st);
    if (st->kind == MPIM_SUM || st->kind == MPIM_MEAN || st->kind == MPIM_STDEV) {
        TFN(push_rows)(base, stride, k, width, st->pushed, 0, st->parts, slots, slots, NULL, NULL);
        st->pushed += k;
        return;
    }
    if (st->kind != MPIM_MIN)
        TFN(max_rows)(base, stride, k, width, st->highest);
    if (st->kind != MPIM_MAX)
        TFN(min_rows)(base, stride, k, width, st->lowest);
}

/* Merge what is left of n records into the largest node; returns it. */
static struct mpim_nodes TFN(root)(struct TFN(state) *st, uint64_t n, size_t width)
{
    const struct mpim_nodes slots = TFN(slots)(st);
    struct mpim_nodes tail = {NULL, slots.level, slots.part};
    double records = 0;
    for (int level = 0; n >> level; level++) {
        if (!(n >> level & 1))
            continue;
        struct mpim_nodes node = slots;
        node.data += level * slots.level;
        if (tail.data)
            FN(fold)(node, ldexp(1, level), tail, records, st->parts, width, node);
        tail = node;
        records += ldexp(1, level);
    }
    return tail;
}

/* Write `width` results of n records at pixel `at` of out. */
static int TFN(finish)(struct TFN(state) *st, int kind, size_t n, size_t width, char *out, size_t at)
{
    T *own = (T *)(void *)out + at;
    double *real = (double *)(void *)out + at;
    if (kind == MPIM_MAX || kind == MPIM_MIN) {
        memcpy(own, kind == MPIM_MAX ? st->highest : st->lowest, width * sizeof(T));
        return MPIM_OK;
    }
    if (kind == MPIM_MAXMIN) {
        for (size_t i = 0; i < width; i++) {
            const T sum = st->highest[i] + st->lowest[i];
            own[i] = sum == sum ? sum : (T)NAN;
        }
        return MPIM_OK;
    }
    const struct mpim_nodes root = TFN(root)(st, n, width);
    FN(finish)(root, st->parts, (double)n, width, kind == MPIM_SUM ? real : NULL,
               kind == MPIM_MEAN ? real : NULL, kind == MPIM_STDEV ? real : NULL);
    if (kind == MPIM_STDEV)
        for (size_t i = 0; i < width; i++)
            real[i] = sqrt(real[i]);
    return MPIM_OK;
}

#include "projection_ways.h"
