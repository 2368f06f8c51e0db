/* Template: running percentiles of rows of one dtype.
 *
 * A part of a row is sorted once, and each of its samples gets its rank. Then a window slides over
 * the ranks, as a `struct ranked`: a step costs the same whatever the window and the dtype. A part
 * is short enough for the cache, and long enough that the windows' overlaps cost little.
 */

/* What one part of a row needs. */
struct TFN(part) {
    struct KEY_FN(keyed) *items, *other;
    RANK_KEY *keys, *sorted;
    uint32_t *at, *ranks; /* NO_RANK for a NaN */
    uint64_t *bits;
};

static int TFN(allocate_part)(struct TFN(part) *part, size_t n)
{
    part->items = malloc(n * sizeof *part->items);
    part->other = malloc(n * sizeof *part->other);
    part->keys = malloc(n * sizeof *part->keys);
    part->sorted = malloc(n * sizeof *part->sorted);
    part->at = malloc(n * sizeof *part->at);
    part->ranks = malloc(n * sizeof *part->ranks);
    part->bits = malloc(ranked_words(n) * sizeof *part->bits);
    return part->items && part->other && part->keys && part->sorted && part->at && part->ranks &&
           part->bits;
}

static void TFN(free_part)(struct TFN(part) *part)
{
    free(part->items);
    free(part->other);
    free(part->keys);
    free(part->sorted);
    free(part->at);
    free(part->ranks);
    free(part->bits);
}

/* Keep the keys of samples that are no NaN, and where these are; the others get NO_RANK. */
static size_t TFN(leave_out_nan)(const TFN(item) *row, size_t n, struct TFN(part) *part)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (IS_NAN(row[i])) {
            part->ranks[i] = NO_RANK;
        } else {
            part->keys[count] = part->keys[i];
            part->at[count++] = (uint32_t)i;
        }
    }
    return count;
}

static void TFN(rank_part)(const TFN(item) *row, size_t n, struct TFN(part) *part)
{
    const int nan = TFN(load_keys)(row, n, part->keys);
    const size_t count = nan ? TFN(leave_out_nan)(row, n, part) : n;
    RANK_KEY lowest, highest;
    if (count == 0)
        return;
    KEY_FN(range)(part->keys, count, &lowest, &highest);
    KEY_FN(rank_keys)(part->keys, nan ? part->at : NULL, count, lowest, highest, part->items,
                      part->other, part->ranks, part->sorted);
}

/* The members of the window, and how many NaNs are beside them. */
struct TFN(window) {
    struct ranked set;
    size_t count, nans;
};

static ALWAYS_INLINE void TFN(enter)(struct TFN(window) *w, uint32_t rank)
{
    w->count++;
    if (IS_FLOAT && rank == NO_RANK)
        w->nans++;
    else
        ranked_enter(&w->set, rank);
}

static ALWAYS_INLINE void TFN(leave)(struct TFN(window) *w, uint32_t rank)
{
    w->count--;
    if (IS_FLOAT && rank == NO_RANK)
        w->nans--;
    else
        ranked_leave(&w->set, rank);
}

static ALWAYS_INLINE double TFN(window_percentile)(struct TFN(window) *w, const RANK_KEY *sorted,
                                                   struct position at)
{
    if (IS_FLOAT && w->nans)
        return (double)NAN;
    const uint32_t lower = ranked_find(&w->set, (uint32_t)at.below);
    const double a = TFN(value)(sorted[lower]);
    if (at.fraction == 0)
        return a;
    return interpolate(a, TFN(value)(sorted[ranked_from(&w->set, lower + 1)]), at.fraction);
}

/* Percentiles of the windows around the samples first ... last - 1 of a row of t. */
static void TFN(running_part)(const TFN(item) *row, size_t t, size_t first, size_t last,
                              size_t half, double q, struct TFN(part) *part, double *out)
{
    const size_t from = first > half ? first - half : 0, to = min_size(t, last + half);
    TFN(rank_part)(row + from, to - from, part);
    struct TFN(window) w = {ranked_empty(to - from, part->bits), 0, 0};
    const uint32_t *ranks = part->ranks;
    size_t entered = from, gone = from;
    struct position at = {0, 0};
    for (size_t j = first; j < last; j++) {
        const size_t before = w.count;
        if (j > half && gone < j - half)
            TFN(leave)(&w, ranks[gone++ - from]);
        for (; entered < to && entered <= j + half; entered++)
            TFN(enter)(&w, ranks[entered - from]);
        if (w.count != before)
            at = locate(q, w.count);
        out[j] = TFN(window_percentile)(&w, part->sorted, at);
    }
}

static int TFN(running_percentile)(const char *block, size_t k, size_t t, ptrdiff_t stride,
                                   size_t window, double q, double *out, ptrdiff_t out_stride)
{
    const size_t half = min_size(window / 2, t); /* of a row in memory: no sum here overflows */
    const size_t most = half > PART / 8 ? 8 * half : PART - 2 * half;
    const size_t parts = (t - 1) / most + 1, step = (t - 1) / parts + 1;
    const size_t longest = min_size(t, step + 2 * half);
    struct TFN(part) part;
    int status = MPIM_NO_MEMORY;
    if (TFN(allocate_part)(&part, longest) && longest < NO_RANK) {
        for (size_t i = 0; i < k; i++) {
            const TFN(item) *row = (const TFN(item) *)(block + (ptrdiff_t)i * stride);
            double *result = (double *)(void *)((char *)out + (ptrdiff_t)i * out_stride);
            for (size_t first = 0; first < t; first += step)
                TFN(running_part)(row, t, first, min_size(t, first + step), half, q, &part, result);
        }
        status = MPIM_OK;
    }
    TFN(free_part)(&part);
    return status;
}
