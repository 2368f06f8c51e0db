/* Mean and variance from exact sums: the last, and only, roundings. */
#ifndef MPIM_FINISH_H
#define MPIM_FINISH_H

#include "common/internal.h"

/* The double nearest to numerator / denominator, 0 < denominator < 2^63. */
static inline double correctly_rounded_ratio(u128 numerator, uint64_t denominator)
{
    const u128 exact = (u128)1 << DBL_MANT_DIG;
    if (numerator <= exact && denominator <= exact)
        return (double)(uint64_t)numerator / (double)denominator;
    /* Shifted up to the top bit of 128, the numerator has a quotient of 65 bits or more, far above
     * the 53 of the result; the remainder only has to show as a last bit. */
    const uint64_t high = (uint64_t)(numerator >> 64), low = (uint64_t)numerator;
    if (!(high | low))
        return 0.0;
    const int shift = high ? __builtin_clzll(high) : 64 + __builtin_clzll(low);
    const u128 scaled = numerator << shift;
    const u128 quotient = scaled / denominator;
    const u128 sticky = scaled != quotient * denominator;
    return ldexp((double)(quotient | sticky), -shift);
}

/* 256-bit unsigned integers, little-endian. */
struct wide {
    uint64_t limb[4];
};

/* a * b for a of na limbs and b of nb, na + nb <= 5; the product is known to have 4 at most. */
static inline struct wide wide_product(const uint64_t *a, int na, const uint64_t *b, int nb)
{
    struct wide product = {{0, 0, 0, 0}};
    for (int i = 0; i < na; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < nb && i + j < 4; j++) {
            /* (2^64-1)^2 + 2 (2^64-1) = 2^128 - 1: no overflow. */
            const u128 t = (u128)a[i] * b[j] + product.limb[i + j] + carry;
            product.limb[i + j] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
        if (i + nb < 4)
            product.limb[i + nb] = carry;
    }
    return product;
}

static inline struct wide wide_difference(struct wide a, struct wide b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        const u128 t = (u128)a.limb[i] - b.limb[i] - borrow;
        a.limb[i] = (uint64_t)t;
        borrow = (uint64_t)(t >> 64) & 1;
    }
    return a;
}

/* The nearest double: the top 128 bits hold at least 65 significant ones, the rest is a last bit.
 */
static inline double wide_to_double(struct wide a)
{
    int top = 3;
    while (top > 1 && !a.limb[top])
        top--;
    u128 head = (u128)a.limb[top] << 64 | a.limb[top - 1];
    for (int i = 0; i < top - 1; i++)
        head |= a.limb[i] != 0;
    return ldexp((double)head, 64 * (top - 1));
}

/* Pixel i's sum as sign and magnitude. */
static inline u128 magnitude_of(struct mpim_limbs sums, int nsum, int is_signed, size_t i,
                                int *negative)
{
    const uint64_t low = sums.data[i];
    const uint64_t top = nsum > 1 ? sums.data[(ptrdiff_t)i + sums.stride] : low;
    *negative = is_signed && top >> 63;
    if (nsum > 1) {
        const u128 value = (u128)top << 64 | low;
        return *negative ? (u128)0 - value : value;
    }
    return *negative ? (uint64_t)0 - low : low;
}

static inline double mean_of(struct mpim_limbs sums, int nsum, int is_signed, size_t i,
                             uint64_t count)
{
    int negative;
    const u128 magnitude = magnitude_of(sums, nsum, is_signed, i, &negative);
    const double mean = correctly_rounded_ratio(magnitude, count);
    return negative ? -mean : mean;
}

/* (count Q - S S) / count^2. The numerator is exact: count Q < 2^(62 + 190), |S| < 2^126. */
static inline double variance_of(struct mpim_limbs sums, int nsum, struct mpim_limbs squares,
                                 int nsquare, int is_signed, size_t i, uint64_t count)
{
    int negative;
    const u128 sum = magnitude_of(sums, nsum, is_signed, i, &negative);
    const double denominator = (double)((u128)count * count);
    if (nsquare == 1) {
        const u128 numerator = (u128)count * squares.data[i] - sum * sum;
        return (double)numerator / denominator;
    }
    uint64_t q[3] = {0, 0, 0};
    for (int l = 0; l < nsquare; l++)
        q[l] = squares.data[(ptrdiff_t)i + l * squares.stride];
    const uint64_t s[2] = {(uint64_t)sum, (uint64_t)(sum >> 64)};
    const struct wide numerator =
        wide_difference(wide_product(q, 3, &count, 1), wide_product(s, 2, s, 2));
    return wide_to_double(numerator) / denominator;
}

#endif
