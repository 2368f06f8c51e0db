/* The C kernels of mpimages: everything another program may call.
 *
 * The library keeps no state and allocates only scratch that it frees before it returns; any
 * number of threads may call it on arrays of their own. It knows neither Python nor MPI.
 *
 * Conventions
 *   - A batch is k rows of m items; `stride` is the distance of its rows in bytes (of any sign).
 *     Inputs need no alignment; outputs are aligned to their items.
 *   - Outputs do not overlap inputs, except where a function says so.
 *   - Every function that computes returns a status; the arguments are the caller's to check.
 *   - `isa` selects one of the clones of each function, which differ in speed alone: the same bits
 *     come out of all. It must not exceed mpim_isa_best().
 */
#ifndef MPIMAGES_H
#define MPIMAGES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define restrict __restrict__
#endif

enum mpim_status {
    MPIM_OK = 0,
    MPIM_NO_MEMORY = 1, /* the scratch could not be allocated */
    MPIM_OVERFLOW = 2,  /* a result does not fit its type; the output is incomplete */
    MPIM_BAD_TYPE = 3,  /* no such dtype, kind or item size here */
    MPIM_TRUNCATED = 4, /* a file is shorter than it was */
    MPIM_CHANGED = 5,   /* a file is not the one that was looked at before */
    MPIM_SYSTEM = 6     /* the operating system refused; it says why by an errno */
};

enum mpim_dtype {
    MPIM_U8, MPIM_I8, MPIM_U16, MPIM_I16, MPIM_U32, MPIM_I32, MPIM_U64, MPIM_I64,
    MPIM_F32, MPIM_F64
};

/* -- isa/isa.c --------------------------------------------------------------------------------- */

enum mpim_isa { MPIM_ISA_BASE, MPIM_ISA_V3, MPIM_ISA_V4, MPIM_ISA_COUNT };

/* The name of a level as the x86-64 psABI spells it; NULL where there is no such level. */
const char *mpim_isa_name(int isa);

/* The highest level that both this build and this processor have. */
int mpim_isa_best(void);

/* -- moments/moments.c ------------------------------------------------------------------------- */

/* Exact sums as limbs: row l of `data` holds bits 64 l ... 64 l + 63 of every pixel's sum, in two's
 * complement. The rows are `stride` items apart. data is NULL where the sum is not wanted.
 *
 *   dtype     limbs of the sum, of the squares    holds at least
 *   8 bit     1, 1                                2^47 records (sums of squares below 2^63)
 *   16 bit    1, 1                                2^32 records: 2^32 * (2^16 - 1)^2 < 2^64
 *   32 bit    1, 2                                2^31 records: a signed sum is at least
 *                                                 -2^31 * 2^31, an unsigned one below 2^32 * 2^31
 *   64 bit    2, 3                                2^62 records: |sum| < 2^126, squares < 2^190
 */
struct mpim_limbs {
    uint64_t *data;
    ptrdiff_t stride;
};

/* How many limbs an integer dtype's sum and sum of squares take. */
int mpim_integer_limbs(int dtype, int *sums, int *squares);

/* Add k rows of integers to exact sums and sums of squares, and update maxima and minima (m items
 * of the dtype); each of the four may be NULL. The batch is read once. */
int mpim_accumulate(int isa, int dtype, const void *batch, size_t k, size_t m, ptrdiff_t stride,
                    struct mpim_limbs sums, struct mpim_limbs squares, void *maxima, void *minima);

/* Maxima and minima alone, of any dtype. Floats: a NaN wins and becomes the positive quiet NaN
 * without payload; +0 is greater than -0. So the result does not depend on the order. */
int mpim_extrema(int isa, int dtype, const void *batch, size_t k, size_t m, ptrdiff_t stride,
                 void *maxima, void *minima);

/* Mean and population variance from exact sums of `count` records, 1 <= count <= 2^62. The mean is
 * the correctly rounded quotient. The variance, (count Q - S S) / count^2, has an exact numerator
 * and denominator, each rounded once, and one division: it is within 2 ulp. mean and
 * variance may be NULL, squares.data where variance is. `nsum`, `nsquare`: the limbs. */
int mpim_finish_integers(int isa, struct mpim_limbs sums, int nsum, struct mpim_limbs squares,
                         int nsquare, int is_signed, size_t m, uint64_t count, double *mean,
                         double *variance);

/* -- tree/tree.c ------------------------------------------------------------------------------- */

/* Nodes of the reduction tree, one slot a level: the item at data + l * level + p * part is pixel 0
 * of slot l, part p. Part 0 is S, the sum; part 1 is C, what rounding has taken from S; part 2 is
 * M2, the sum of squared deviations from the node's own mean. With parts == 2 there is no M2. */
struct mpim_nodes {
    double *data;
    ptrdiff_t level, part;
};

/* Push records start ... start + k - 1 of a range that begins at record `first` onto the tree. See
 * tree.c for what left and right hold. maxima, minima (or NULL) are updated as by mpim_extrema. */
int mpim_push_floats(int isa, int dtype, const void *batch, size_t k, size_t m, ptrdiff_t stride,
                     uint64_t start, uint64_t first, int parts, struct mpim_nodes left,
                     struct mpim_nodes right, void *maxima, void *minima);

/* Merge the siblings a (even) and b (odd) of level `level`; below level `exact` sums are taken as
 * exact (5 for float32 records, 0 for float64). The level strides are not used; out may be a or b. */
int mpim_merge_nodes(int isa, struct mpim_nodes a, struct mpim_nodes b, int parts, size_t m,
                     unsigned level, unsigned exact, struct mpim_nodes out);

/* Merge neighbours of na and nb records. out may be a or b. */
int mpim_fold_nodes(int isa, struct mpim_nodes a, double na, struct mpim_nodes b, double nb,
                    int parts, size_t m, struct mpim_nodes out);

/* Sum, mean and population variance of the m pixels of a node of `count` records; any may be NULL,
 * variance must be where parts == 2. */
int mpim_finish_floats(int isa, struct mpim_nodes node, int parts, size_t m, uint64_t count,
                       double *sum, double *mean, double *variance);

/* -- projection/projection.c ------------------------------------------------------------------- */

enum mpim_kind { MPIM_MAX, MPIM_MIN, MPIM_SUM, MPIM_MEAN, MPIM_STDEV, MPIM_MAXMIN };

/* Reduce a C-contiguous (outer, n, inner) array along n >= 1 into (outer, inner).
 * Results: max, min the dtype; sum int64, uint64 or double; mean, stdev double; maxmin (max + min)
 * the next wider integer, or the dtype itself for 64 bits and floats.
 * MPIM_OVERFLOW where a 64-bit sum or maxmin does not fit. */
int mpim_project(int isa, int kind, int dtype, const void *array, size_t outer, size_t n,
                 size_t inner, void *out);

/* -- correlate/correlate.c --------------------------------------------------------------------- */

/* Correlate a C-contiguous (outer, n, inner) array along n with taps >= 1 weights, that of an item
 * itself being weights[taps / 2]; beyond its ends the axis goes on as its mirror image, the
 * outermost items repeated. Each sum is divided by `divisor`. `out` has the array's shape and is float or double (out_dtype MPIM_F32
 * or MPIM_F64); it may be the array, if that has the same dtype. */
int mpim_correlate(int isa, int dtype, const void *array, size_t outer, size_t n, size_t inner,
                   const double *weights, size_t taps, double divisor, int out_dtype, void *out);

/* -- transpose/transpose.c --------------------------------------------------------------------- */

/* dst[j][i] = src[i][j] for an n x m src of items of 1, 2, 4 or 8 bytes. Row strides in bytes. */
int mpim_transpose(int isa, size_t itemsize, const void *src, size_t n, size_t m,
                   ptrdiff_t src_stride, void *dst, ptrdiff_t dst_stride);

/* -- registration/registration.c --------------------------------------------------------------- */

/* The part of an image that is compared, and the bins into which it is put. An image has rows of
 * `width` pixels, each of `inner` contiguous items (the planes of a volume, else 1). The part
 * begins at first_row, first_column and has rows x columns bins of bin_rows x bin_columns pixels;
 * all of it lies within the image. */
struct mpim_region {
    size_t width, inner, first_row, first_column, rows, columns, bin_rows, bin_columns;
};

/* Sums over bins of k frames that are `stride` bytes apart, each with mean 0 and standard deviation 1:
 * out[k][rows][columns][inner]. Values far from the mean are cut off; a bin that is not finite becomes
 * the mean, and all of an even frame 0. */
int mpim_reduce_frames(int isa, int dtype, const void *frames, size_t k, ptrdiff_t stride,
                       const struct mpim_region *region, float *out);

/* The peak of each of k correlations, within reach[a] grid points of no shift on axis a. A surface
 * has n[0] x n[1] x n[2] values, a spectrum n[0] x n[1] x (n[2] / 2 + 1) complex ones (pairs of
 * float) and none but 0 at frequency n[a] / 2: the surface is its inverse transform with the factor
 * 1 / (n[0] n[1] n[2]). 2 reach[a] < n[a]; an axis of one point has no shift. found[k][6]: the shift along each axis in grid points (NaN
 * where no maximum lies beside the greatest value), the height there, and mean and standard
 * deviation of the surface elsewhere. */
int mpim_find_peaks(int isa, const float *surfaces, const float *spectra, size_t k,
                    const size_t n[3], const size_t reach[3], double *found);

/* -- series/series.c --------------------------------------------------------------------------- */

/* Percentiles of each of k rows of t >= 1 items, q[0 .. nq-1] in 0 ... 100, by linear interpolation:
 * out[k][nq]. A row with a NaN gives NaN. */
int mpim_percentile_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                         ptrdiff_t stride, const double *q, size_t nq, double *out,
                         ptrdiff_t out_stride);

/* For each row and time the percentile q of the samples from time - window / 2 to time + window / 2,
 * both included, cut at the row's ends: out[k][t]. window >= 1. A window with a NaN gives NaN. */
int mpim_running_percentile_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                                 ptrdiff_t stride, size_t window, double q, double *out,
                                 ptrdiff_t out_stride);

/* out = (y - b) / (b + offset) in double, stored as out_dtype (MPIM_F32 or MPIM_F64).
 * baseline: b of row i and time j is at byte i * baseline_row + j * baseline_item, where
 * baseline_item is 0 (one value a row) or sizeof(double). */
int mpim_normalize_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                        ptrdiff_t stride, const double *baseline, ptrdiff_t baseline_row,
                        ptrdiff_t baseline_item, double offset, int out_dtype, void *out,
                        ptrdiff_t out_stride);

/* out[j] = taps[0] x[j + n - 1] + taps[1] x[j + n - 2] + ... + taps[n - 1] x[j], added in this order,
 * for 0 <= j < m and each x of k rows of m + n - 1 doubles (aligned); m, n >= 1. */
int mpim_convolve_rows(int isa, const double *block, size_t k, size_t m, ptrdiff_t stride,
                       const double *taps, size_t n, double *out, ptrdiff_t out_stride);

/* -- warp/warp.c ------------------------------------------------------------------------------- */

/* k frames of rows, columns and pages (1 of images), each contiguous in this order, the pages
 * innermost. `stride` is the distance of frames in bytes. */
struct mpim_frames {
    int dtype;
    const void *data;
    ptrdiff_t stride;
    size_t k, dims[3];
};

/* Where k frames of the same dims go, and how they are moved: order 1 is linear, 3 cubic. `fill` is
 * one item of the dtype for what lies outside a frame; NULL repeats the pixel at the edge.
 * The dtype is that of the frames, or MPIM_F32 for those that are computed in float (integers of at
 * most 16 bits, MPIM_F32), or MPIM_F64; others are computed in double. */
struct mpim_moved {
    int order;
    const void *fill;
    int dtype;
    void *data;
    ptrdiff_t stride;
};

/* The item at p of frame i becomes what the frame is at p + shifts[3 * i ... 3 * i + 2], in pixels
 * along rows, columns and pages (0 of images), which are finite. A shift less than 2^-24 away from
 * a whole number is taken as that. Pixels moved by whole numbers stay bit by bit what they were. */
int mpim_shift(int isa, struct mpim_frames frames, const double *shifts, struct mpim_moved moved);

/* Shifts of blocks: of frame i, block row r and block column c the two doubles (along rows, along
 * columns) from shifts[2 * ((i * row_count + r) * column_count + c)] on, finite; they stand for the
 * pixel position rows[r], columns[c], both finite and ascending, at least one. */
struct mpim_blocks {
    const double *shifts, *rows, *columns;
    size_t row_count, column_count;
};

/* The same for images (dims[2] is 1) of fewer than 2^30 rows and columns, each pixel by a shift of
 * its own: interpolated linearly between the blocks' positions, constant beyond the outermost.
 * Shifts of more than 2^30 are taken as that. */
int mpim_warp(int isa, struct mpim_frames frames, struct mpim_blocks blocks,
              struct mpim_moved moved);

/* -- boxes/boxes.c ----------------------------------------------------------------------------- */

/* Images of rows, columns and pages (1 of images), each contiguous in this order, the pages innermost;
 * and a box around each pixel, of 2 * reach + 1 pixels along each axis. Beyond its borders an image is
 * reflected. No axis is empty. */
struct mpim_box {
    size_t dims[3], reach[3];
};

/* How many limbs the exact sums of products of box sums take: 1 or 2; 0 where there are none: for
 * other dtypes than those of 8 and 16 bits, where a box sum of values (of signed ones with half of the
 * range added) exceeds 32 bits, and for more than 2^32 images. */
int mpim_box_limbs(int dtype, const struct mpim_box *box, uint64_t count);

/* Add k images, `stride` bytes apart, to the exact sums of the pixels in some rows. With x a pixel's
 * value (of signed ones with half of the range added) and b the sum over its box, row 0 of `sums` is
 * the sum of x, row 1 of x x, row 2 of b, row 3 of x b, row 4 of b b; where `wide`, rows 5 and 6 are
 * the upper limbs of rows 3 and 4. The rows are sums_stride items apart. MPIM_BAD_TYPE where
 * mpim_box_limbs gives 0. */
int mpim_add_boxes(int isa, int dtype, const void *batch, size_t k, ptrdiff_t stride,
                   const struct mpim_box *box, size_t first_row, size_t rows, uint64_t *sums,
                   ptrdiff_t sums_stride, int wide);

/* The correlation of x and b over count <= 2^32 images, from such sums of m pixels: (n Sxb - Sx Sb) /
 * sqrt((n Sxx - Sx Sx) (n Sbb - Sb Sb)), of which each difference is exact and rounded once. NaN where
 * x or b never changes. */
int mpim_box_correlation(const uint64_t *sums, ptrdiff_t sums_stride, int wide, size_t m,
                         uint64_t count, double *correlation);

/* -- runs/runs.c ------------------------------------------------------------------------------- */

/* Many paths: path i is the `common_bytes` that all begin with and then the bytes ends[i - 1] ...
 * ends[i] of `tails` (from 0 where i is 0). `longest` is the length of the longest tail. */
struct mpim_paths {
    const char *common;
    size_t common_bytes;
    const char *tails;
    const int64_t *ends;
    size_t longest;
};

/* Where n records lie: record i in file path[i], in runs that begin at the bytes first[i] + r *
 * stride[i]. The file must have size[i] bytes and, where `modified` is not NULL, this time of
 * modification in nanoseconds. Where `kept` is not NULL, kept[i] >= 0 is the descriptor of record i's
 * file, MPIM_KEEP asks that the file, once it is opened for this record, be left open and its
 * descriptor put there, and MPIM_OPEN that it be closed again. */
enum { MPIM_KEEP = -1, MPIM_OPEN = -2 };
struct mpim_places {
    const int64_t *path, *first, *stride, *size, *modified;
    int32_t *kept;
};

/* Where reading failed. */
struct mpim_failure {
    size_t record;
    int error; /* errno, with MPIM_SYSTEM */
};

/* Read the bytes skip ... skip + length - 1 of each of the `runs` runs of n records, one after the
 * other, into out. Records that follow each other in one file open it once. swap: 2, 4 or 8 to swap
 * the bytes of items of that size (then out is aligned to them, and length a multiple), else
 * 0. Needs a POSIX system. */
int mpim_read_runs(const struct mpim_paths *paths, const struct mpim_places *places, size_t n,
                   size_t runs, size_t skip, size_t length, size_t swap, void *out,
                   struct mpim_failure *failure);

/* Ask the system to begin to write the whole pages in the bytes offset ... offset + size - 1 of a
 * file to the disk, and do not wait for it: a later fsync then finds little left to do. A hint:
 * where the system knows none, nothing happens, and errors are left to fsync. */
void mpim_begin_writeback(int fd, int64_t offset, int64_t size);

/* Swap the bytes of each of n items of 2, 4 or 8 bytes, in place. */
void mpim_swap(size_t itemsize, void *items, size_t n);

#ifdef __cplusplus
}
#undef restrict
#endif
#endif
