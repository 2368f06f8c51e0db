/* Template: rows of one dtype of integers of at most 16 bits. */
typedef T UNALIGNED TFN(item);

#undef BIAS
#define BIAS (IS_SIGNED ? UINT32_C(1) << (BITS - 1) : UINT32_C(0))

/* Row `at` of image `image` of a batch, from the first column on that the tile's boxes reach. */
static inline const TFN(item) *TFN(row)(const char *batch, size_t image, ptrdiff_t stride,
                                        const struct tile *tile, ptrdiff_t at)
{
    const size_t *dims = tile->box->dims;
    const size_t row = reflected(at, dims[0]);
    return (const TFN(item) *)(batch + (ptrdiff_t)image * stride) +
           (row * dims[1] + tile->low) * dims[2];
}

/* A vector of values, widened. */
static ALWAYS_INLINE FN(items) TFN(widened)(const void *from)
{
#if BITS == 8
    FN(bytes) narrow;
    memcpy(&narrow, from, sizeof narrow);
    const FN(items) wide = WIDEN_8(narrow);
#else
    FN(shorts) narrow;
    memcpy(&narrow, from, sizeof narrow);
    const FN(items) wide = WIDEN_16(narrow);
#endif
    return IS_SIGNED ? wide ^ BIAS : wide;
}

/* Sums over rows of an image: the place of the first column that is there, which is aligned, and of the
 * tile's first column. */
static inline uint32_t *TFN(columns)(const struct tile *tile, size_t image)
{
    return tile->over_rows + image * tile->pitch + tile->margin;
}

static inline uint32_t *TFN(over_rows)(const struct tile *tile, size_t image)
{
    return TFN(columns)(tile, image) + (tile->first_column - tile->low) * tile->box->dims[2];
}

/* Sums over the rows around the tile's first. */
static void TFN(begin_rows)(const char *batch, size_t images, ptrdiff_t stride,
                            const struct tile *tile)
{
    const size_t n = (tile->high - tile->low) * tile->box->dims[2];
    const ptrdiff_t reach = (ptrdiff_t)tile->box->reach[0];
    for (size_t image = 0; image < images; image++) {
        uint32_t *restrict sums = TFN(columns)(tile, image);
        for (size_t i = 0; i < n; i++)
            sums[i] = (2 * (uint32_t)reach + 1) * BIAS;
        for (ptrdiff_t d = 1; d <= AHEAD && d < (ptrdiff_t)tile->rows; d++)
            FN(prefetch)(TFN(row)(batch, image, stride, tile,
                                  (ptrdiff_t)tile->first_row + reach + d), n * sizeof(T));
        for (ptrdiff_t d = -reach; d <= reach; d++) {
            const TFN(item) *restrict row =
                TFN(row)(batch, image, stride, tile, (ptrdiff_t)tile->first_row + d);
            for (size_t i = 0; i < n; i++) {
                const uint32_t value = (uint32_t)row[i];
                sums[i] += value;
            }
        }
    }
}

/* Sums over the rows around row `row` of the tile, from those around the row above. What the next rows
 * need is prefetched, and at the end of a tile what the next `following` images begin with. */
static void TFN(move_rows)(const char *batch, size_t images, ptrdiff_t stride,
                           const struct tile *tile, size_t row, size_t following)
{
    const size_t n = (tile->high - tile->low) * tile->box->dims[2];
    const ptrdiff_t reach = (ptrdiff_t)tile->box->reach[0], step = (ptrdiff_t)row;
    const ptrdiff_t at = (ptrdiff_t)tile->first_row + step, rows = (ptrdiff_t)tile->rows;
    const ptrdiff_t early = step - (rows - 2 * reach - 1);
    for (size_t image = 0; image < images; image++) {
        uint32_t *restrict sums = TFN(columns)(tile, image);
        const TFN(item) *restrict in =
            TFN(row)(batch, image, stride, tile, at + reach);
        const TFN(item) *restrict out =
            TFN(row)(batch, image, stride, tile, at - reach - 1);
        if (step + AHEAD < rows)
            FN(prefetch)(TFN(row)(batch, image, stride, tile, at + reach + AHEAD), n * sizeof(T));
        if (image < following && early >= 0)
            FN(prefetch)(TFN(row)(batch, images + image, stride, tile,
                                  (ptrdiff_t)tile->first_row - reach + early), n * sizeof(T));
        size_t i = 0;
        for (; i + FN(STEP) <= n; i += FN(STEP)) {
            const FN(items) sum =
                FN(load)(sums + i) + (TFN(widened)(in + i) - TFN(widened)(out + i));
            memcpy(sums + i, &sum, sizeof sum);
        }
        for (; i < n; i++)
            sums[i] += (uint32_t)in[i] - (uint32_t)out[i];
    }
}

/* Add one vector of pixels of some images. `boxes` has the sums over boxes, or where reach is 1 or 2
 * those over rows, `lag` items a column. */
static ALWAYS_INLINE void TFN(add_vector)(const char *from, ptrdiff_t stride, size_t images,
                                          const uint32_t *boxes, size_t pitch, size_t lag,
                                          size_t reach, struct FN(sums) *restrict sums)
{
    struct FN(sums) sum = *sums;
    boxes -= reach * lag;
#pragma GCC unroll 1
    for (size_t image = 0; image < images; image++, boxes += pitch, from += stride) {
        const FN(pairs) x = (FN(pairs))TFN(widened)(from);
        FN(items) box = FN(load)(boxes);
#pragma GCC unroll 4
        for (size_t w = 1; w <= 2 * reach; w++)
            box += FN(load)(boxes + w * lag);
        const FN(pairs) b = (FN(pairs))box, upper = x >> 32, upper_b = b >> 32;
        /* No sum of lower items carries into the upper ones. */
        sum.x += x;
        sum.b += b;
        sum.low[XX] += PRODUCTS(x, x);
        sum.high[XX] += PRODUCTS(upper, upper);
        sum.low[XB] += PRODUCTS(x, b);
        sum.high[XB] += PRODUCTS(upper, upper_b);
        sum.low[BB] += PRODUCTS(b, b);
        sum.high[BB] += PRODUCTS(upper_b, upper_b);
    }
    *sums = sum;
}

/* Add a row of a group of images. */
static ALWAYS_INLINE void TFN(add_row)(const char *from, ptrdiff_t stride, size_t images,
                                       const struct tile *tile, const uint32_t *boxes, size_t pitch,
                                       size_t reach, struct FN(sums) *restrict sums)
{
    const size_t lag = tile->box->dims[2];
    size_t at = 0;
    for (; at + FN(STEP) <= tile->width; at += FN(STEP), sums++)
        TFN(add_vector)(from + at * sizeof(T), stride, images, boxes + at, pitch, lag, reach, sums);
    if (at == tile->width)
        return;
    /* What lies behind the last pixel is not read; its sums are not used. */
    T end[IMAGES][FN(STEP)] = {{0}};
    for (size_t image = 0; image < images; image++)
        memcpy(end[image], from + (ptrdiff_t)image * stride + at * sizeof(T),
               (tile->width - at) * sizeof(T));
    TFN(add_vector)((const char *)end, sizeof end[0], images, boxes + at, pitch, lag, reach, sums);
}

/* The same where all but the reach may differ; the usual numbers are known to the compiler. */
static void TFN(add_rows)(const char *from, ptrdiff_t stride, size_t images,
                          const struct tile *tile, struct FN(sums) *restrict sums)
{
    const size_t *reach = tile->box->reach, pitch = tile->pitch;
    const uint32_t *over_rows = TFN(over_rows)(tile, 0);
    if (reach[2] || reach[1] > 2 || !reach[1])
        TFN(add_row)(from, stride, images, tile, tile->boxes, tile->filled, 0, sums);
    else if (images < IMAGES)
        TFN(add_row)(from, stride, images, tile, over_rows, pitch, reach[1], sums);
    else if (reach[1] == 1)
        TFN(add_row)(from, stride, IMAGES, tile, over_rows, pitch, 1, sums);
    else
        TFN(add_row)(from, stride, IMAGES, tile, over_rows, pitch, 2, sums);
}

/* From sums over rows to those over boxes, where add_row does not. */
static void TFN(sum_boxes)(const struct tile *tile, size_t image)
{
    const size_t *reach = tile->box->reach, inner = tile->box->dims[2];
    const uint32_t *from = TFN(over_rows)(tile, image);
    uint32_t *boxes = tile->boxes + image * tile->filled;
    if (reach[1])
        FN(sum_windows)(from - reach[1] * inner, inner, reach[1], tile->width, tile->windows,
                        tile->pitch, boxes);
    else
        memcpy(boxes, from, tile->width * sizeof *boxes);
    if (reach[2])
        FN(sum_pages)(tile, boxes);
}

/* Add a tile of k images to the results. */
static void TFN(add_tile)(const char *batch, size_t k, ptrdiff_t stride, const struct tile *tile,
                          const struct results *to)
{
    const size_t *dims = tile->box->dims, *reach = tile->box->reach;
    const size_t vectors = (tile->width + FN(STEP) - 1) / FN(STEP);
    const int by_windows = reach[2] || reach[1] > 2 || !reach[1];
    struct FN(sums) *all = tile->sums;
    memset(all, 0, tile->rows * vectors * sizeof *all);
    for (size_t first = 0; first < k; first += IMAGES) {
        const size_t images = min_size(IMAGES, k - first);
        const char *group = batch + (ptrdiff_t)first * stride;
        TFN(begin_rows)(group, images, stride, tile);
        for (size_t row = 0; row < tile->rows; row++) {
            const size_t pixel =
                ((tile->first_row + row) * dims[1] + tile->first_column) * dims[2];
            if (row)
                TFN(move_rows)(group, images, stride, tile, row, k - first - images);
            for (size_t image = 0; image < images; image++) {
                FN(fill_margins)(tile, TFN(over_rows)(tile, image));
                if (by_windows)
                    TFN(sum_boxes)(tile, image);
            }
            TFN(add_rows)(group + pixel * sizeof(T), stride, images, tile, all + row * vectors);
        }
    }
    FN(flush)(tile, to);
}
