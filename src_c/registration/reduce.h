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

static void TFN(sum_bins)(const char *frame, const struct mpim_region *region, double *values)
{
    const TFN(pixel) *pixels = (const TFN(pixel) *)frame;
    const size_t row = region->columns * region->inner;
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
