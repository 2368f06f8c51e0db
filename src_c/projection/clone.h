/* projection.c, one clone. */
#include "common/vectors.h"

#define TEMPLATE "common/block.h"
#define ONLY (!IS_FLOAT && !IS_SIGNED)
#include "common/for_each_dtype.h"

/* Rows side by side: to[r][b * inner + c] = from[b][r][c] for k rows of each plane b. */
static void FN(gather)(const struct job *job, const char *from, size_t k, size_t planes, char *to)
{
    const size_t row = job->inner * job->itemsize, plane = job->n * row;
    if (job->inner > 1) {
        for (size_t b = 0; b < planes; b++)
            for (size_t r = 0; r < k; r++)
                memcpy(to + r * PITCH * job->itemsize + b * row, from + b * plane + r * row, row);
        return;
    }
    switch (job->itemsize) { /* a pitch that the compiler knows is faster */
    case 1:
        FN_OF(transpose_rows, u8)(from, plane, planes, k, to, PITCH);
        break;
    case 2:
        FN_OF(transpose_rows, u16)(from, plane, planes, k, to, 2 * PITCH);
        break;
    case 4:
        FN_OF(transpose_rows, u32)(from, plane, planes, k, to, 4 * PITCH);
        break;
    default:
        FN_OF(transpose_rows, u64)(from, plane, planes, k, to, 8 * PITCH);
    }
}

/* Add the parts 1 ... parts - 1 of the pixels, `inner` each, to part 0. */
static void FN(add_limbs)(struct mpim_limbs limbs, int count, size_t parts, size_t inner)
{
    uint64_t *const data = limbs.data;
    for (size_t from = inner; from < parts * inner; from += inner) {
        if (count == 1) {
            for (size_t i = 0; i < inner; i++)
                data[i] += data[from + i];
            continue;
        }
        for (size_t i = 0; i < inner; i++) {
            u128 carry = 0;
            uint64_t *to = data + i;
            for (int l = 0; l < count; l++, to += limbs.stride) {
                carry += (u128)*to + to[from];
                *to = (uint64_t)carry;
                carry >>= 64;
            }
        }
    }
}

static void FN(square_roots)(double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = sqrt(values[i]);
}

#define TEMPLATE "projection/extrema.h"
#define ONLY 1
#include "common/for_each_dtype.h"
