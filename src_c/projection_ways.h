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

#ifndef IS_FLOAT
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
#endif

/* to[r][b * inner + c] = from[b][r][c] for the rows r in [0, k). */
static void TFN(gather)(const struct job *job, const char *from, size_t k, size_t planes, T *to)
{
    const size_t inner = job->inner, row = inner * sizeof(T), plane = job->n * row;
    for (size_t b = 0; b < planes; b++)
        for (size_t r = 0; r < k; r++)
            if (inner == 1)
                memcpy(to + r * PIXELS + b, from + b * plane + r * row, sizeof(T));
            else
                memcpy(to + r * PIXELS + b * inner, from + b * plane + r * row, row);
}

static int TFN(project_gathered)(const struct job *job, struct TFN(state) *st)
{
    const size_t batch = PIXELS / job->inner, row = job->inner * sizeof(T);
    T *scratch = malloc(GATHERED * PIXELS * sizeof(T));
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
            TFN(feed)(st, (const char *)scratch, PIXELS * sizeof(T), k, planes * job->inner);
        }
        status = TFN(finish)(st, job->kind, job->n, planes * job->inner, job->out, o * job->inner);
    }
    free(scratch);
    return status;
}

static int TFN(project)(const struct job *job)
{
    struct TFN(state) *st = malloc(TFN(state_bytes)(job->n));
    if (!st)
        return MPIM_NO_MEMORY;
    int status;
    if (job->inner >= LONG_ROW)
        status = TFN(project_long)(job, st);
#ifndef IS_FLOAT
    else if (job->n * job->inner >= GROUP * PIXELS)
        status = TFN(project_folded)(job, st);
#endif
    else
        status = TFN(project_gathered)(job, st);
    free(st);
    return status;
}
