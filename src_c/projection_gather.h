/* Template: rows gathered side by side, for one dtype; see projection.c. */

/* What transpose_block.h and transpose_vectors.h have for items of this size. */
#if BITS == 8
#define ITEM b1
#elif BITS == 16
#define ITEM b2
#elif BITS == 32
#define ITEM b4
#else
#define ITEM b8
#endif
#define BLOCK_FN(name) PASTE(PASTE(name, ITEM), ISA)

/* to[r][b] = from[b][r]: whole blocks in registers, the edges one by one. */
static void TFN(turn_rows)(const char *from, size_t n, size_t k, size_t planes, T *to)
{
    const size_t side = BLOCK_FN(SIDE), block = BLOCK_FN(BLOCK), pitch = n * sizeof(T);
    const size_t turned = planes / block * block;
    for (size_t r = 0; r < k; r += side) {
        const size_t whole = k - r >= side ? turned : 0;
        for (size_t b = 0; b < whole; b += block)
            BLOCK_FN(block)(from + b * pitch + r * sizeof(T), pitch,
                            (char *)(to + r * PITCH + b), PITCH * sizeof(T));
        for (size_t b = whole; b < planes; b++)
            for (size_t c = r; c < smaller(k, r + side); c++)
                memcpy(to + c * PITCH + b, from + b * pitch + c * sizeof(T), sizeof(T));
    }
}

/* to[r][b * inner + c] = from[b][r][c] for the rows r in [0, k). */
static void TFN(gather)(const struct job *job, const char *from, size_t k, size_t planes, T *to)
{
    const size_t inner = job->inner, row = inner * sizeof(T), plane = job->n * row;
    if (inner == 1) {
        TFN(turn_rows)(from, job->n, k, planes, to);
        return;
    }
    for (size_t b = 0; b < planes; b++)
        for (size_t r = 0; r < k; r++)
            memcpy(to + r * PITCH + b * inner, from + b * plane + r * row, row);
}
