/* Where images lie against each other: small pictures of frames, and the peak of a correlation.
 *
 * A correlation is given twice, as a surface on a grid and as the half spectrum that the surface is
 * the inverse transform of. The surface tells the grid point of the peak. The spectrum is a
 * trigonometric polynomial, of which Newton's method finds the maximum beside that point.
 */
#include "common/dtypes.h"

#define TWO_PI 6.283185307179586

/* Values count up to so many mean distances from the mean: five standard deviations of noise. */
static const double CLIP = 6;

/* Grid points around a peak that belong to it. */
enum { PEAK = 3 };
/* Steps at most; from a grid point four are usual. */
enum { STEPS = 12 };
/* In grid points: a step below the first is the last; none is longer than the second; a maximum that
 * lies farther than the third from the grid point is another one. */
static const double CLOSE = 1e-5, STRIDE = 0.5, NEAR = 1.5;

static inline size_t wrapped(ptrdiff_t at, size_t n)
{
    const ptrdiff_t length = (ptrdiff_t)n;
    return (size_t)(at < 0 ? at + length : at >= length ? at - length : at);
}

static inline double frequency(size_t i, size_t n)
{
    return 2 * i < n ? (double)i : (double)i - (double)n;
}

/* exp(i angle) for |angle| <= 3.2 by the series of a sixteenth of the angle, squared four times: that
 * of the mathematical library has other last bits on other processors. */
static void turn(double angle, double out[2])
{
    const double x = angle / 16, s = x * x;
    double re = 1 - s / 2 * (1 - s / 12 * (1 - s / 30 * (1 - s / 56 * (1 - s / 90))));
    double im = x * (1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72))));
    for (int i = 0; i < 4; i++) {
        const double square = re * re - im * im;
        im = 2 * re * im;
        re = square;
    }
    out[0] = re;
    out[1] = im;
}

/* exp(2 pi i f u / n) of the first `count` frequencies f of an axis of n, as pairs. */
static void fill_turns(double *turns, size_t n, size_t count, double u)
{
    double one[2], re = 1, im = 0;
    turn(TWO_PI * u / (double)n, one);
    for (size_t i = 0; i < count && i <= n / 2; i++) {
        turns[2 * i] = re;
        turns[2 * i + 1] = im;
        if (i > 0 && n - i > i && n - i < count) {
            turns[2 * (n - i)] = re;
            turns[2 * (n - i) + 1] = -im;
        }
        const double next = re * one[0] - im * one[1];
        im = re * one[1] + im * one[0];
        re = next;
    }
}

/* Solve a x = b for a symmetric a; returns 0 where it is not positive definite. */
static int solve(double a[3][3], double b[3], double x[3])
{
    for (int i = 0; i < 3; i++) {
        if (!(a[i][i] > 0))
            return 0;
        for (int j = i + 1; j < 3; j++) {
            const double factor = a[j][i] / a[i][i];
            for (int l = i; l < 3; l++)
                a[j][l] -= factor * a[i][l];
            b[j] -= factor * b[i];
        }
    }
    for (int i = 2; i >= 0; i--) {
        double sum = b[i];
        for (int j = i + 1; j < 3; j++)
            sum -= a[i][j] * x[j];
        x[i] = sum / a[i][i];
    }
    return 1;
}

/* The step to the maximum of the parabola of these values (value, gradient, Hessian); where it has
 * none, or one that is farther, STRIDE uphill. An axis of one point takes no part. Returns the
 * step's length. */
static double uphill(const double values[10], const size_t n[3], double step[3])
{
    const double *h = values + 4;
    double a[3][3] = {{-h[0], -h[3], -h[4]}, {-h[3], -h[1], -h[5]}, {-h[4], -h[5], -h[2]}};
    double g[3], b[3];
    for (int i = 0; i < 3; i++) {
        g[i] = b[i] = n[i] == 1 ? 0 : values[1 + i];
        if (n[i] == 1) {
            for (int j = 0; j < 3; j++)
                a[i][j] = a[j][i] = 0;
            a[i][i] = 1;
        }
    }
    const int is_bent = solve(a, b, step);
    double length = sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]);
    if (is_bent && length <= STRIDE)
        return length;
    length = sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
    for (int i = 0; i < 3; i++)
        step[i] = length > 0 ? g[i] * (STRIDE / length) : 0;
    return length > 0 ? STRIDE : 0;
}

#define BODY "registration/clone.h"
#include "common/clones.h"

typedef int (*reduce_fn)(const char *, size_t, ptrdiff_t, const struct mpim_region *, float *);
typedef int (*find_fn)(const float *, const float *, size_t, const size_t[3], const size_t[3],
                       double *);

static const reduce_fn reducers[][MPIM_ISA_COUNT] = {FOR_EACH_DTYPE(CLONES_OF, reduce)};
static const find_fn finders[MPIM_ISA_COUNT] = CLONES(find);

int mpim_reduce_frames(int isa, int dtype, const void *frames, size_t k, ptrdiff_t stride,
                       const struct mpim_region *region, float *out)
{
    if (dtype < MPIM_U8 || dtype > MPIM_F64)
        return MPIM_BAD_TYPE;
    return reducers[dtype][isa](frames, k, stride, region, out);
}

int mpim_find_peaks(int isa, const float *surfaces, const float *spectra, size_t k,
                    const size_t n[3], const size_t reach[3], double *found)
{
    return finders[isa](surfaces, spectra, k, n, reach, found);
}
