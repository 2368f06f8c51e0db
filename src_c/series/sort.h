/* Template: the rank of each of n signed keys, by a radix sort of their distances from the lowest.
 *
 * Digits are as wide as makes the passes over the keys and over the counters cheapest together: keys
 * of a narrow range, as those of a camera, need one pass or two.
 */
enum { TFN(WIDEST_DIGIT) = 11 };

/* A key's distance from the lowest, and the sample that has it. */
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

/* One pass that is all: keys whose distances are single digits. */
static void TFN(rank_digits)(const T *keys, const uint32_t *at, size_t n, T lowest,
                             uint32_t *places, size_t digits, uint32_t *ranks, T *sorted)
{
    for (size_t i = 0; i < n; i++)
        places[(size_t)(UT)((UT)keys[i] - (UT)lowest)]++;
    TFN(first_places)(places, digits);
    for (size_t i = 0; i < n; i++) {
        const uint32_t place = places[(size_t)(UT)((UT)keys[i] - (UT)lowest)]++;
        ranks[at ? at[i] : i] = place;
        sorted[place] = keys[i];
    }
}

/* ranks[at[i]] for each of n keys in [lowest, highest], and the keys in ascending order; at[i] is i
 * where `at` is NULL. `items` and `other` are room for n each. */
static void TFN(rank_keys)(const T *keys, const uint32_t *at, size_t n, T lowest, T highest,
                           struct TFN(keyed) *items, struct TFN(keyed) *other, uint32_t *ranks,
                           T *sorted)
{
    uint32_t places[1 << TFN(WIDEST_DIGIT)];
    const UT farthest = (UT)((UT)highest - (UT)lowest);
    const unsigned bits = farthest ? 64 - (unsigned)__builtin_clzll((uint64_t)farthest) : 1;
    const unsigned digit = TFN(digit_bits)(n, bits);
    const size_t digits = (size_t)1 << digit;
    const UT mask = (UT)(digits - 1);
    memset(places, 0, digits * sizeof *places);
    if (digit >= bits) {
        TFN(rank_digits)(keys, at, n, lowest, places, digits, ranks, sorted);
        return;
    }
    for (size_t i = 0; i < n; i++)
        places[(size_t)((UT)((UT)keys[i] - (UT)lowest) & mask)]++;
    TFN(first_places)(places, digits);
    for (size_t i = 0; i < n; i++) {
        const UT distance = (UT)((UT)keys[i] - (UT)lowest);
        items[places[(size_t)(distance & mask)]++] =
            (struct TFN(keyed)){distance, at ? at[i] : (uint32_t)i};
    }
    for (unsigned shift = digit; shift < bits; shift += digit) {
        memset(places, 0, digits * sizeof *places);
        for (size_t i = 0; i < n; i++)
            places[(size_t)((UT)(items[i].distance >> shift) & mask)]++;
        TFN(first_places)(places, digits);
        if (shift + digit >= bits)
            break;
        for (size_t i = 0; i < n; i++)
            other[places[(size_t)((UT)(items[i].distance >> shift) & mask)]++] = items[i];
        struct TFN(keyed) *swap = items;
        items = other;
        other = swap;
    }
    const unsigned last = (bits - 1) / digit * digit;
    for (size_t i = 0; i < n; i++) {
        const UT distance = items[i].distance;
        const uint32_t place = places[(size_t)((UT)(distance >> last) & mask)]++;
        ranks[items[i].at] = place;
        sorted[place] = (T)((UT)lowest + distance);
    }
}
