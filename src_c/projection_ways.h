/* Template: the ways by which rows reach the state of sums; see projection.c. */

static int TFN(project_long)(const struct job *job, struct TFN(state) *st)
{
    const ptrdiff_t stride = (ptrdiff_t)(job->inner * sizeof(T));
    for (size_t o = 0; o < job->outer; o++) {
        const char *plane = job->array + o * job->n * job->inner * sizeof(T);
        for (size_t i = 0; i < job->inner; i += STATE_PIXELS) {
            const size_t width = smaller(job->inner - i, STATE_PIXELS);
            TFN(begin)(st, job->kind, width);
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
        TFN(begin)(st, job->kind, wide);
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
        TFN(begin)(st, job->kind, planes * job->inner);
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

static int TFN(project_sums)(const struct job *job)
{
    struct TFN(state) *st = malloc(TFN(state_bytes)(job->n));
    if (!st)
        return MPIM_NO_MEMORY;
    int status;
#ifndef IS_FLOAT
    if (job->inner < PIXELS && job->n * job->inner >= GROUP * PIXELS)
        status = TFN(project_folded)(job, st);
    else
#endif
    if (job->inner * sizeof(T) >= LONG_ROW)
        status = TFN(project_long)(job, st);
    else
        status = TFN(project_gathered)(job, st);
    free(st);
    return status;
}
#undef BLOCK_FN
#undef ITEM
#undef STATE_PIXELS
