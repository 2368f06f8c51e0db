/* Template: the ways by which rows reach the state; see projection.c. */

static int TFN(project_long)(const struct job *job, struct TFN(state) *st)
{
    const ptrdiff_t stride = (ptrdiff_t)(job->inner * sizeof(T));
    for (size_t o = 0; o < job->outer; o++) {
        const char *plane = job->array + o * job->n * job->inner * sizeof(T);
        for (size_t i = 0; i < job->inner; i += PIXELS) {
            const size_t width = smaller(job->inner - i, PIXELS);
            TFN(begin)(st, job->kind);
            TFN(feed)(st, plane + i * sizeof(T), stride, job->n, width);
            const int status =
                TFN(finish)(st, job->kind, job->n, width, job->out, o * job->inner + i);
            if (status)
                return status;
        }
    }
    return MPIM_OK;
}

static int TFN(project_folded)(const struct job *job, struct TFN(state) *st)
{
    const size_t r = PIXELS / job->inner, wide = r * job->inner, full = job->n / r;
    const size_t row = job->inner * sizeof(T);
    for (size_t o = 0; o < job->outer; o++) {
        const char *plane = job->array + o * job->n * row;
        TFN(begin)(st, job->kind);
        TFN(feed)(st, plane, (ptrdiff_t)(wide * sizeof(T)), full, wide);
        TFN(fold_state)(st, r, job->inner);
        TFN(feed)(st, plane + full * r * row, (ptrdiff_t)row, job->n - full * r, job->inner);
        const int status =
            TFN(finish)(st, job->kind, job->n, job->inner, job->out, o * job->inner);
        if (status)
            return status;
    }
    return MPIM_OK;
}

#if BITS == 8
#define BLOCK_FN(name) PASTE(PASTE(name, b1), ISA)
#elif BITS == 16
#define BLOCK_FN(name) PASTE(PASTE(name, b2), ISA)
#elif BITS == 32
#define BLOCK_FN(name) PASTE(PASTE(name, b4), ISA)
#else
#define BLOCK_FN(name) PASTE(PASTE(name, b8), ISA)
#endif

/* to[r][b] = from[b][r]: whole blocks in registers, the edges one by one. */
static void TFN(turn_rows)(const char *from, size_t n, size_t k, size_t planes, T *to)
{
    const size_t side = BLOCK_FN(SIDE), block = BLOCK_FN(BLOCK), pitch = n * sizeof(T);
    const size_t turned = planes / block * block;
    for (size_t r = 0; r < k; r += side) {
        const size_t whole = k - r >= side ? turned : 0;
        for (size_t b = 0; b < whole; b += block)
            BLOCK_FN(block)(from + b * pitch + r * sizeof(T), pitch,
                            (char *)(to + r * PITCH + b), PITCH * sizeof(T));
        for (size_t b = whole; b < planes; b++)
            for (size_t c = r; c < smaller(k, r + side); c++)
                memcpy(to + c * PITCH + b, from + b * pitch + c * sizeof(T), sizeof(T));
    }
}

/* to[r][b * inner + c] = from[b][r][c] for the rows r in [0, k). */
static void TFN(gather)(const struct job *job, const char *from, size_t k, size_t planes, T *to)
{
    const size_t inner = job->inner, row = inner * sizeof(T), plane = job->n * row;
    if (inner == 1) {
        TFN(turn_rows)(from, job->n, k, planes, to);
        return;
    }
    for (size_t b = 0; b < planes; b++)
        for (size_t r = 0; r < k; r++)
            memcpy(to + r * PITCH + b * inner, from + b * plane + r * row, row);
}

static int TFN(project_gathered)(const struct job *job, struct TFN(state) *st)
{
    const size_t batch = PIXELS / job->inner, row = job->inner * sizeof(T);
    T *scratch = malloc(GATHERED * PITCH * sizeof(T));
    if (!scratch)
        return MPIM_NO_MEMORY;
    int status = MPIM_OK;
    for (size_t o = 0; o < job->outer && !status; o += batch) {
        const size_t planes = smaller(job->outer - o, batch);
        const char *from = job->array + o * job->n * row;
        TFN(begin)(st, job->kind);
        for (size_t r = 0; r < job->n; r += GATHERED) {
            const size_t k = smaller(job->n - r, GATHERED);
            TFN(gather)(job, from + r * row, k, planes, scratch);
            TFN(feed)(st, (const char *)scratch, PITCH * sizeof(T), k, planes * job->inner);
        }
        status = TFN(finish)(st, job->kind, job->n, planes * job->inner, job->out, o * job->inner);
    }
    free(scratch);
    return status;
}

#ifndef IS_FLOAT
/* The extremes of a row, lane by lane: what is left to turn is one vector a row. */
#define DEFINE(name, OP)                                                                        \
    static void TFN(name##_lanes)(const char *from, size_t n, size_t planes, T *to)             \
    {                                                                                           \
        enum { SIDE = BLOCK_FN(SIDE) };                                                         \
        for (size_t b = 0; b < planes; b++, from += n * sizeof(T), to += SIDE) {                \
            T best[SIDE], x[SIDE];                                                              \
            memcpy(best, from, sizeof best);                                                    \
            for (size_t r = SIDE; r + SIDE <= n; r += SIDE) {                                   \
                memcpy(x, from + r * sizeof(T), sizeof x);                                      \
                for (int c = 0; c < SIDE; c++)                                                  \
                    best[c] = x[c] OP best[c] ? x[c] : best[c];                                 \
            }                                                                                   \
            memcpy(to, best, sizeof best);                                                      \
        }                                                                                       \
    }
DEFINE(max, >)
DEFINE(min, <)
#undef DEFINE

/* Extremes along the last axis. */
static int TFN(project_lanes)(const struct job *job, struct TFN(state) *st)
{
    const size_t side = BLOCK_FN(SIDE), tail = job->n % side, row = job->n * sizeof(T);
    T lanes[LANE_BYTES / sizeof(T) * PIXELS], scratch[LANE_BYTES / sizeof(T) * PITCH];
    for (size_t o = 0; o < job->outer; o += PIXELS) {
        const size_t planes = smaller(job->outer - o, PIXELS);
        const char *from = job->array + o * row, *turned = (const char *)scratch;
        TFN(begin)(st, job->kind);
        if (st->wants_max) {
            TFN(max_lanes)(from, job->n, planes, lanes);
            TFN(turn_rows)((const char *)lanes, side, side, planes, scratch);
            TFN(max_rows)(turned, PITCH * sizeof(T), side, planes, st->highest);
        }
        if (st->wants_min) {
            TFN(min_lanes)(from, job->n, planes, lanes);
            TFN(turn_rows)((const char *)lanes, side, side, planes, scratch);
            TFN(min_rows)(turned, PITCH * sizeof(T), side, planes, st->lowest);
        }
        TFN(turn_rows)(from + row - tail * sizeof(T), job->n, tail, planes, scratch);
        TFN(feed)(st, turned, PITCH * sizeof(T), tail, planes);
        const int status = TFN(finish)(st, job->kind, job->n, planes, job->out, o);
        if (status)
            return status;
    }
    return MPIM_OK;
}
#endif

static int TFN(project)(const struct job *job)
{
    struct TFN(state) *st = malloc(TFN(state_bytes)(job->n));
    if (!st)
        return MPIM_NO_MEMORY;
    int status;
#ifndef IS_FLOAT
    const int extremes =
        job->kind == MPIM_MAX || job->kind == MPIM_MIN || job->kind == MPIM_MAXMIN;
    if (extremes && job->inner == 1 && job->n >= 2 * BLOCK_FN(SIDE))
        status = TFN(project_lanes)(job, st);
    else
#endif
    if (TFN(folds)(job->kind) && job->inner < PIXELS && job->n * job->inner >= GROUP * PIXELS)
        status = TFN(project_folded)(job, st);
    else if (job->inner * sizeof(T) >= LONG_ROW)
        status = TFN(project_long)(job, st);
    else
        status = TFN(project_gathered)(job, st);
    free(st);
    return status;
}
#undef BLOCK_FN
