/* The reading side: runs of src's rows, in the order in which the tiles take them. */

struct FN(reader) {
    const char *src;
    ptrdiff_t stride;
    size_t n, bytes;  /* rows of src, and how long they are */
    size_t run, lead; /* bytes of a row in a panel; the first panel has `lead` less */
    size_t at, i;     /* where the next tile lies: byte of the row, row */
};

/* The first panel ends where a line does, so that all others begin with one. */
static inline size_t FN(lead)(const char *src, size_t itemsize, size_t run)
{
    const size_t lead = (uintptr_t)src % LINE_BYTES;
    return lead % itemsize == 0 && lead < run ? lead : 0;
}

static inline size_t FN(width)(const struct FN(reader) *r)
{
    return smaller(r->bytes - r->at, r->at ? r->run : r->run - r->lead);
}

/* Rows of the next tile; 0 at the end. */
static inline size_t FN(tile_rows)(const struct FN(reader) *r)
{
    return r->at < r->bytes ? smaller(r->n - r->i, TILE_ROWS) : 0;
}

/* On to the next tile: a panel's tiles are taken from its last rows to its first. */
static inline void FN(advance)(struct FN(reader) *r)
{
    if (r->i) {
        r->i -= TILE_ROWS;
        return;
    }
    r->at += FN(width)(r);
    r->i = last_tile(r->n);
}

/* Copy rows [from, to) of the next tile, a group in step, and have the group after it come: where
 * the rows' distance is a power of two, more would drop each other from the cache. */
static inline void FN(read)(const struct FN(reader) *r, size_t from, size_t to, char *tile)
{
    const char *src = r->src + (ptrdiff_t)r->i * r->stride + r->at;
    const size_t width = FN(width)(r), rows = r->n - r->i;
    for (; from + GROUP_ROWS <= to; from += GROUP_ROWS) {
        const char *now = src + (ptrdiff_t)from * r->stride;
        /* Past the tile's end too: the first rows of the tile after it, or of the next panel. */
        const char *soon = now;
        if (from + 2 * GROUP_ROWS <= smaller(rows, TILE_ROWS))
            soon += GROUP_ROWS * r->stride;
        else if (r->i)
            soon = src - TILE_ROWS * r->stride;
        else if (r->bytes - r->at > width)
            soon = src + (ptrdiff_t)last_tile(r->n) * r->stride + width;
        char *to_row = tile + from * TILE_PITCH;
        size_t k = 0;
        for (; k + LINE_BYTES <= width; k += LINE_BYTES)
            for (size_t g = 0; g < GROUP_ROWS; g++) {
                __builtin_prefetch(soon + (ptrdiff_t)g * r->stride + k, 0, 3);
                memcpy(to_row + g * TILE_PITCH + k, now + (ptrdiff_t)g * r->stride + k, LINE_BYTES);
            }
        if (k < width)
            for (size_t g = 0; g < GROUP_ROWS; g++)
                memcpy(to_row + g * TILE_PITCH + k, now + (ptrdiff_t)g * r->stride + k, width - k);
    }
    for (; from < to; from++)
        memcpy(tile + from * TILE_PITCH, src + (ptrdiff_t)from * r->stride, width);
}
