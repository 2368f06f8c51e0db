/* registration.c, one clone. */
static inline double FN(total)(const double *columns, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += columns[j];
    return sum;
}

/* Pictures with mean 0 and standard deviation 1; 0 where a value is not finite, and all over a
 * picture that is even. What is farther from the mean than CLIP mean distances is cut off there: a
 * bright pixel of the detector, which does not move, or a cell that fires. Sums are taken column by
 * column, so that every level adds in one order. */
static void FN(standardise)(double *restrict values, size_t rows, size_t row,
                            double *restrict columns, float *restrict out)
{
    double *restrict sums = columns, *restrict counts = columns + row,
                     *restrict distances = columns + 2 * row;
    memset(columns, 0, 3 * row * sizeof *columns);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < row; j++) {
            const double x = values[r * row + j];
            const int finite = x - x == 0;
            sums[j] += finite ? x : 0;
            counts[j] += finite ? 1 : 0;
        }
    const double count = FN(total)(counts, row);
    const double mean = count > 0 ? FN(total)(sums, row) / count : 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < row; j++) {
            const double x = values[r * row + j], d = x - x == 0 ? x - mean : 0;
            values[r * row + j] = d;
            distances[j] += fabs(d);
        }
    const double distance = count > 0 ? FN(total)(distances, row) / count : 0;
    /* What is left of an even picture of large values are rounding errors; the sum of values near
     * the largest double is infinite. */
    if (!(distance > 1e-12 * fabs(mean)) || distance - distance != 0) {
        memset(out, 0, rows * row * sizeof *out);
        return;
    }
    const double farthest = CLIP * distance, part = 1 / distance;
    memset(sums, 0, row * sizeof *sums);
    memset(distances, 0, row * sizeof *distances);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < row; j++) {
            const double d = values[r * row + j];
            const double z = (d > farthest ? farthest : d < -farthest ? -farthest : d) * part;
            sums[j] += z;
            distances[j] += z * z;
        }
    const double middle = count > 0 ? FN(total)(sums, row) / count : 0;
    const double square = count > 0 ? FN(total)(distances, row) / count : 0;
    const double variance = square - middle * middle;
    const double scale = variance > 0 ? 1 / sqrt(variance) : 0;
    for (size_t j = 0; j < rows * row; j++) {
        const double d = values[j];
        const double z = (d > farthest ? farthest : d < -farthest ? -farthest : d) * part;
        out[j] = (float)((z - middle) * scale);
    }
}

/* The greatest value within reach of no shift, the first of equal ones; `at` may be negative. */
static float FN(highest)(const float *surface, const size_t n[3], const size_t reach[3],
                         ptrdiff_t at[3])
{
    const ptrdiff_t far[3] = {(ptrdiff_t)reach[0], (ptrdiff_t)reach[1], (ptrdiff_t)reach[2]};
    float most = -INFINITY;
    at[0] = at[1] = at[2] = 0;
    for (ptrdiff_t a = -far[0]; a <= far[0]; a++)
        for (ptrdiff_t b = -far[1]; b <= far[1]; b++) {
            const float *line = surface + (wrapped(a, n[0]) * n[1] + wrapped(b, n[1])) * n[2];
            for (ptrdiff_t c = -far[2]; c <= far[2]; c++) {
                const float value = line[wrapped(c, n[2])];
                if (value > most) {
                    most = value;
                    at[0] = a, at[1] = b, at[2] = c;
                }
            }
        }
    return most;
}

/* Mean and standard deviation of a surface but for a box around its peak. */
static void FN(spread)(const float *restrict surface, const size_t n[3], const ptrdiff_t at[3],
                       double *restrict columns, double *mean, double *deviation)
{
    const size_t last = n[2];
    double *restrict sums = columns, *restrict squares = columns + last;
    memset(columns, 0, 2 * last * sizeof *columns);
    for (size_t i = 0; i < n[0] * n[1]; i++)
        for (size_t j = 0; j < last; j++) {
            const double x = (double)surface[i * last + j];
            sums[j] += x;
            squares[j] += x * x;
        }
    double sum = FN(total)(sums, last), square = FN(total)(squares, last);
    double count = (double)(n[0] * n[1]) * (double)last;
    ptrdiff_t around[3];
    for (int axis = 0; axis < 3; axis++)
        around[axis] = n[axis] > 2 * PEAK + 1 ? PEAK : (ptrdiff_t)(n[axis] - 1) / 2;
    for (ptrdiff_t a = -around[0]; a <= around[0]; a++)
        for (ptrdiff_t b = -around[1]; b <= around[1]; b++)
            for (ptrdiff_t c = -around[2]; c <= around[2]; c++) {
                const size_t p = (wrapped(at[0] + a, n[0]) * n[1] + wrapped(at[1] + b, n[1])) * last
                                 + wrapped(at[2] + c, last);
                const double x = (double)surface[p];
                sum -= x;
                square -= x * x;
                count -= 1;
            }
    *mean = count > 0 ? sum / count : 0;
    const double variance = count > 0 ? square / count - *mean * *mean : 0;
    *deviation = variance > 0 ? sqrt(variance) : 0;
}

/* Value, gradient and Hessian (00, 11, 22, 01, 02, 12) at u of the real polynomial whose
 * coefficients a half spectrum holds. scratch: 6 half + the turns of each axis. */
static void FN(evaluate)(const float *restrict spectrum, const size_t n[3], const double u[3],
                         double *restrict scratch, double out[10])
{
    const size_t half = n[2] / 2 + 1;
    double *restrict acc = scratch, *turns[3];
    turns[0] = scratch + 6 * half;
    turns[1] = turns[0] + 2 * n[0];
    turns[2] = turns[1] + 2 * n[1];
    for (int axis = 0; axis < 3; axis++)
        fill_turns(turns[axis], n[axis], axis < 2 ? n[axis] : half, u[axis]);
    for (int i = 0; i < 10; i++)
        out[i] = 0;
    for (size_t a = 0; a < n[0]; a++) {
        memset(acc, 0, 6 * half * sizeof *acc);
        for (size_t b = 0; b < n[1]; b++) {
            const double re = turns[1][2 * b], im = turns[1][2 * b + 1], f = frequency(b, n[1]);
            const float *restrict line = spectrum + 2 * (a * n[1] + b) * half;
            for (size_t c = 0; c < half; c++) {
                const double x = (double)line[2 * c], y = (double)line[2 * c + 1];
                const double p = x * re - y * im, q = x * im + y * re;
                acc[c] += p, acc[half + c] += q;
                acc[2 * half + c] += f * p, acc[3 * half + c] += f * q;
                acc[4 * half + c] += f * f * p, acc[5 * half + c] += f * f * q;
            }
        }
        /* s[i][j]: the sum of b^i c^j times the terms of this a. */
        double s[3][3][2] = {{{0}}};
        for (size_t c = 0; c < half; c++) {
            const double f = (double)c, weight = c == 0 || 2 * c == n[2] ? 1 : 2;
            const double re = turns[2][2 * c] * weight, im = turns[2][2 * c + 1] * weight;
            for (int i = 0; i < 3; i++) {
                const double x = acc[2 * (size_t)i * half + c];
                const double y = acc[(2 * (size_t)i + 1) * half + c];
                const double p = x * re - y * im, q = x * im + y * re;
                s[i][0][0] += p, s[i][0][1] += q;
                s[i][1][0] += f * p, s[i][1][1] += f * q;
                s[i][2][0] += f * f * p, s[i][2][1] += f * f * q;
            }
        }
        const double re = turns[0][2 * a], im = turns[0][2 * a + 1], f = frequency(a, n[0]);
#define REAL(i, j) (s[i][j][0] * re - s[i][j][1] * im)
#define IMAG(i, j) (s[i][j][0] * im + s[i][j][1] * re)
        /* A derivative is a factor i times the frequency: of the first, minus the imaginary part. */
        out[0] += REAL(0, 0);
        out[1] -= f * IMAG(0, 0), out[2] -= IMAG(1, 0), out[3] -= IMAG(0, 1);
        out[4] -= f * f * REAL(0, 0), out[5] -= REAL(2, 0), out[6] -= REAL(0, 2);
        out[7] -= f * REAL(1, 0), out[8] -= f * REAL(0, 1), out[9] -= REAL(1, 1);
#undef REAL
#undef IMAG
    }
    /* From frequencies to turns in a pixel of the grid. */
    const double w[3] = {TWO_PI / (double)n[0], TWO_PI / (double)n[1], TWO_PI / (double)n[2]};
    for (int i = 0; i < 3; i++)
        out[1 + i] *= w[i], out[4 + i] *= w[i] * w[i];
    out[7] *= w[0] * w[1], out[8] *= w[0] * w[2], out[9] *= w[1] * w[2];
}

/* Newton's steps from a grid point to the maximum beside it. Returns whether there is one. */
static int FN(climb)(const float *spectrum, const size_t n[3], const ptrdiff_t at[3],
                     double *scratch, double u[3], double *height)
{
    double values[10], step[3];
    for (int axis = 0; axis < 3; axis++)
        u[axis] = (double)at[axis];
    for (int i = 0; i < STEPS; i++) {
        FN(evaluate)(spectrum, n, u, scratch, values);
        *height = values[0];
        const double length = uphill(values, n, step);
        for (int axis = 0; axis < 3; axis++) {
            u[axis] += step[axis];
            if (!(fabs(u[axis] - (double)at[axis]) <= NEAR))
                return 0;
        }
        if (length < CLOSE)
            return 1;
    }
    return 0;
}

static int FN(find)(const float *surfaces, const float *spectra, size_t k, const size_t n[3],
                    const size_t reach[3], double *found)
{
    const size_t half = n[2] / 2 + 1, size = n[0] * n[1];
    /* Much less than a surface, which is in memory. */
    double *scratch = malloc((8 * half + 2 * (n[0] + n[1] + n[2])) * sizeof *scratch);
    if (!scratch)
        return MPIM_NO_MEMORY;
    for (size_t i = 0; i < k; i++) {
        const float *surface = surfaces + i * size * n[2], *spectrum = spectra + 2 * i * size * half;
        double *out = found + 6 * i, u[3], mean, deviation, height;
        ptrdiff_t at[3];
        const float most = FN(highest)(surface, n, reach, at);
        FN(spread)(surface, n, at, scratch, &mean, &deviation);
        const int is_peak = most > mean && FN(climb)(spectrum, n, at, scratch, u, &height);
        for (int axis = 0; axis < 3; axis++)
            out[axis] = is_peak ? u[axis] : (double)NAN;
        out[3] = is_peak ? height / ((double)size * (double)n[2]) : (double)most;
        out[4] = mean;
        out[5] = deviation;
    }
    free(scratch);
    return MPIM_OK;
}

#define TEMPLATE "registration/reduce.h"
#define ONLY 1
#include "common/for_each_dtype.h"
