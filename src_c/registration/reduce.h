/* Template: small pictures of frames of one dtype, as they are compared. */
typedef T UNALIGNED TFN(pixel);

/* to[j] += the bins of a row of `count` bins of `width` pixels, each of `inner` items. */
static inline void TFN(add_bins)(const TFN(pixel) *restrict from, size_t count, size_t width,
                                 size_t inner, double *restrict to)
{
    if (width == 1) {
        for (size_t j = 0; j < count * inner; j++)
            to[j] += (double)from[j];
    } else if (width == 2 && inner == 1) {
        for (size_t j = 0; j < count; j++)
            to[j] += (double)from[2 * j] + (double)from[2 * j + 1];
    } else {
        for (size_t j = 0; j < count; j++)
            for (size_t b = 0; b < width; b++)
                for (size_t p = 0; p < inner; p++)
                    to[j * inner + p] += (double)from[(j * width + b) * inner + p];
    }
}

#if BITS <= 16
/* The usual bins of the usual images: 2 x 2 pixels of few bits, whose sums are exact in 32. */
static void TFN(add_squares)(const TFN(pixel) *restrict from, size_t width, size_t count,
                             double *restrict to)
{
    enum { RUN = 256 };
    int32_t sums[2 * RUN];
    for (size_t at = 0; at < count; at += RUN) {
        const size_t n = min_size(RUN, count - at);
        const TFN(pixel) *restrict upper = from + 2 * at, *restrict lower = upper + width;
        for (size_t j = 0; j < 2 * n; j++)
            sums[j] = (int32_t)upper[j] + (int32_t)lower[j];
        for (size_t j = 0; j < n; j++)
            to[at + j] = (double)(sums[2 * j] + sums[2 * j + 1]);
    }
}
#endif

static void TFN(sum_bins)(const char *frame, const struct mpim_region *region, double *values)
{
    const TFN(pixel) *pixels = (const TFN(pixel) *)frame;
    const size_t row = region->columns * region->inner;
#if BITS <= 16
    if (region->bin_rows == 2 && region->bin_columns == 2 && region->inner == 1) {
        for (size_t r = 0; r < region->rows; r++) {
            const size_t from = (region->first_row + 2 * r) * region->width;
            TFN(add_squares)(pixels + from + region->first_column, region->width, row,
                             values + r * row);
        }
        return;
    }
#endif
    for (size_t r = 0; r < region->rows; r++) {
        double *to = values + r * row;
        memset(to, 0, row * sizeof *to);
        for (size_t i = 0; i < region->bin_rows; i++) {
            const size_t from = region->first_row + r * region->bin_rows + i;
            TFN(add_bins)(pixels + (from * region->width + region->first_column) * region->inner,
                          region->columns, region->bin_columns, region->inner, to);
        }
    }
}

static int TFN(reduce)(const char *frames, size_t k, ptrdiff_t stride,
                       const struct mpim_region *region, float *out)
{
    const size_t row = region->columns * region->inner, n = region->rows * row;
    /* n items of at least a byte are in memory: 8 (n + 3 row) <= 32 n is below 2^64. */
    double *values = malloc((n + 3 * row) * sizeof *values);
    if (!values)
        return MPIM_NO_MEMORY;
    for (size_t i = 0; i < k; i++) {
        TFN(sum_bins)(frames + (ptrdiff_t)i * stride, region, values);
        FN(standardise)(values, region->rows, row, values + n, out + i * n);
    }
    free(values);
    return MPIM_OK;
}
