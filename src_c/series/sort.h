/* Template: the rank of each of n signed keys, by a radix sort of their distances from the lowest.
 *
 * Digits are as wide as makes the passes over the keys and over the counters cheapest together: keys
 * of a narrow range, as those of a camera, need one or two passes.
 */
enum { TFN(WIDEST_DIGIT) = 11 };

/* A key's distance, and where it stands among all. */
struct TFN(keyed) {
    UT distance;
    uint32_t at;
};

static unsigned TFN(digit_bits)(size_t n, unsigned bits)
{
    unsigned best = 1;
    size_t least = (size_t)-1;
    for (unsigned digit = 1; digit <= TFN(WIDEST_DIGIT); digit++) {
        const size_t cost = (bits + digit - 1) / digit * (3 * n + ((size_t)1 << digit));
        if (cost < least) {
            least = cost;
            best = digit;
        }
    }
    return best;
}

/* Turn counts into the places where the keys of each digit begin. */
static void TFN(first_places)(uint32_t *counts, size_t digits)
{
    uint32_t sum = 0;
    for (size_t d = 0; d < digits; d++) {
        const uint32_t count = counts[d];
        counts[d] = sum;
        sum += count;
    }
}

/* ranks[items[i].at] and the keys in ascending order, from n items whose distances are at most
 * `farthest` from the key `lowest`. `other` is room for n more. */
static void TFN(rank_keys)(struct TFN(keyed) *items, struct TFN(keyed) *other, size_t n, T lowest,
                           UT farthest, uint32_t *ranks, T *sorted)
{
    uint32_t places[1 << TFN(WIDEST_DIGIT)];
    const unsigned bits = farthest ? 64 - (unsigned)__builtin_clzll((uint64_t)farthest) : 1;
    const unsigned digit = TFN(digit_bits)(n, bits);
    const UT mask = (UT)(((UT)1 << digit) - 1);
    for (unsigned shift = 0; shift < bits; shift += digit) {
        memset(places, 0, ((size_t)mask + 1) * sizeof *places);
        for (size_t i = 0; i < n; i++)
            places[(size_t)((UT)(items[i].distance >> shift) & mask)]++;
        TFN(first_places)(places, (size_t)mask + 1);
        if (shift + digit >= bits) {
            for (size_t i = 0; i < n; i++) {
                const UT distance = items[i].distance;
                const uint32_t place = places[(size_t)((UT)(distance >> shift) & mask)]++;
                ranks[items[i].at] = place;
                sorted[place] = (T)((UT)lowest + distance);
            }
        } else {
            for (size_t i = 0; i < n; i++)
                other[places[(size_t)((UT)(items[i].distance >> shift) & mask)]++] = items[i];
            struct TFN(keyed) *swap = items;
            items = other;
            other = swap;
        }
    }
}
