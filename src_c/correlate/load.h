/* Rows of `width` items, `stride` bytes apart, as double, one after the other. */
static void TFN(load_rows)(const char *restrict from, size_t rows, size_t stride, size_t width,
                           double *restrict to)
{
    typedef T UNALIGNED item;
    for (size_t i = 0; i < rows; i++) {
        const item *row = (const item *)(const void *)(from + i * stride);
        for (size_t k = 0; k < width; k++)
            to[i * width + k] = (double)row[k];
    }
}
