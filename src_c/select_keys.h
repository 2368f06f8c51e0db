/* Template: order statistics of n signed keys. */

static void TFN(sift)(T *keys, size_t root, size_t n)
{
    const T key = keys[root];
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && keys[child + 1] > keys[child])
            child++;
        if (keys[child] <= key)
            break;
        keys[root] = keys[child];
    }
    keys[root] = key;
}

static void TFN(heap_sort)(T *keys, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        TFN(sift)(keys, i, n);
    for (size_t i = n; i-- > 1;) {
        const T key = keys[0];
        keys[0] = keys[i];
        keys[i] = key;
        TFN(sift)(keys, 0, i);
    }
}

static void TFN(insertion_sort)(T *keys, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const T key = keys[i];
        size_t j = i;
        for (; j && keys[j - 1] > key; j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

static T TFN(median3)(T a, T b, T c)
{
    if (a > b) {
        const T t = a;
        a = b;
        b = t;
    }
    return c < a ? a : c > b ? b : c;
}

/* Bring the key of rank `rank` to its place, no greater keys before it and no smaller ones after
 * it (Hoare's FIND with median of three). Quadratic inputs end in a heap sort. */
static void TFN(select)(T *keys, size_t n, size_t rank)
{
    size_t low = 0, high = n; /* the rank is in [low, high) */
    for (int patience = 64; high - low > 24; patience--) {
        if (!patience) {
            TFN(heap_sort)(keys + low, high - low);
            return;
        }
        const T pivot = TFN(median3)(keys[low], keys[low + (high - low) / 2], keys[high - 1]);
        size_t i = low, j = high - 1;
        for (;;) {
            while (keys[i] < pivot)
                i++;
            while (pivot < keys[j])
                j--;
            if (i >= j)
                break;
            const T key = keys[i];
            keys[i++] = keys[j];
            keys[j--] = key;
        }
        /* Keys before i are <= pivot, keys from i on >= pivot; where the scans met on one key, it is
         * the pivot in its place. */
        const int met = i == j;
        if (met && rank == i)
            return;
        if (rank < i)
            high = i;
        else
            low = met ? i + 1 : i;
    }
    TFN(insertion_sort)(keys + low, high - low);
}

/* The keys of rank `rank` and rank + 1 (or of the last rank twice). */
static void TFN(pair)(T *keys, size_t n, size_t rank, T *lower, T *upper)
{
    TFN(select)(keys, n, rank);
    *lower = *upper = keys[rank];
    if (rank + 1 == n)
        return;
    T least = keys[rank + 1];
    for (size_t i = rank + 2; i < n; i++)
        least = keys[i] < least ? keys[i] : least;
    *upper = least;
}
