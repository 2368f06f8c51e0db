/* Template: order statistics of n signed keys, by bisection of their range of values.
 *
 * Each step counts the keys up to the middle of the range: it reads all of them, but without a
 * branch and a whole vector at a time, and there are at most as many steps as a key has bits. That
 * beats a selection by partitioning several times for the lengths of time series, and has no bad
 * inputs.
 */

/* How many keys are <= limit. The counter has the keys' width, so that a vector of keys adds to a
 * vector of counters; a chunk is short enough for it. */
static size_t TFN(count)(const T *keys, size_t n, T limit)
{
    enum { CHUNK = 1 << 14 };
    size_t total = 0;
    for (size_t from = 0; from < n; from += CHUNK) {
        const size_t end = min_size(n, from + CHUNK);
        T count = 0;
        for (size_t i = from; i < end; i++)
            count = (T)(count + (keys[i] <= limit));
        total += (size_t)count;
    }
    return total;
}

static void TFN(range)(const T *keys, size_t n, T *lowest, T *highest)
{
    T low = keys[0], high = keys[0];
    for (size_t i = 1; i < n; i++) {
        low = keys[i] < low ? keys[i] : low;
        high = keys[i] > high ? keys[i] : high;
    }
    *lowest = low;
    *highest = high;
}

/* The least key > limit, or `highest`, which is one of the keys. */
static T TFN(least_above)(const T *keys, size_t n, T limit, T highest)
{
    T least = highest;
    for (size_t i = 0; i < n; i++)
        least = keys[i] > limit && keys[i] < least ? keys[i] : least;
    return least;
}

/* The keys of rank `rank` and rank + 1 (or of the last rank twice), all keys being in
 * [lowest, highest]. */
static void TFN(select_pair)(const T *keys, size_t n, size_t rank, T lowest, T highest, T *lower,
                             T *upper)
{
    T low = lowest, high = highest;
    size_t up_to_high = n; /* of keys <= high */
    while (low < high) {
        const UT distance = (UT)((UT)high - (UT)low);
        const T middle = (T)((UT)low + distance / 2);
        const size_t count = TFN(count)(keys, n, middle);
        if (count > rank) {
            high = middle;
            up_to_high = count;
        } else {
            low = (T)(middle + 1);
        }
    }
    *lower = low;
    *upper = up_to_high > rank + 1 ? low : TFN(least_above)(keys, n, low, highest);
}
