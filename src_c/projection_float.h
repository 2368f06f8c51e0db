/* Template: the projections of one float dtype, and the state of a tile of its sums. */
#include "projection_extrema.h"
#include "tree_rows.h"

struct TFN(state) {
    int parts;
    uint64_t pushed;
    double nodes[]; /* [level][part][pixel], for the levels that n records need */
};

static size_t TFN(state_bytes)(size_t n)
{
    size_t levels = 1;
    while (n >>= 1)
        levels++;
    return sizeof(struct TFN(state)) + levels * 3 * PIXELS * sizeof(double);
}

static void TFN(begin)(struct TFN(state) *st, int kind, size_t width)
{
    (void)width;
    st->parts = kind == MPIM_STDEV ? 3 : 2;
    st->pushed = 0;
}

static struct mpim_nodes TFN(slots)(struct TFN(state) *st)
{
    return (struct mpim_nodes){st->nodes, 3 * PIXELS, PIXELS};
}

static void TFN(feed)(struct TFN(state) *st, const char *base, ptrdiff_t stride, size_t k,
                      size_t width)
{
    const struct mpim_nodes slots = TFN(slots)(st);
    TFN(push_rows)(base, stride, k, width, st->pushed, 0, st->parts, slots, slots, NULL, NULL);
    st->pushed += k;
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
    double *real = (double *)(void *)out + at;
    const struct mpim_nodes root = TFN(root)(st, n, width);
    FN(finish)(root, st->parts, (double)n, width, kind == MPIM_SUM ? real : NULL,
               kind == MPIM_MEAN ? real : NULL, kind == MPIM_STDEV ? real : NULL);
    if (kind == MPIM_STDEV)
        for (size_t i = 0; i < width; i++)
            real[i] = sqrt(real[i]);
    return MPIM_OK;
}

#define STATE_PIXELS PIXELS
#include "projection_ways.h"

static int TFN(project)(const struct job *job)
{
    return job->kind == MPIM_MAX || job->kind == MPIM_MIN || job->kind == MPIM_MAXMIN
               ? TFN(project_extrema)(job)
               : TFN(project_sums)(job);
}
