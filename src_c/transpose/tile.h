/* Template: transpose items of one size, panel by panel.
 *
 * Blocks are transposed whole, whatever the matrix's edges cut off. What a block writes past the
 * end of a panel's row falls on the next row's beginning, and is overwritten: a panel is made from
 * its last tile to its first, a tile from its last block to its first, a block from its first row
 * to its last. Past the panel's end there is slack for it. */
#include "common/block.h"

/* Transpose `rows` rows of one lane each to SIDE rows of that many items, `pitch` apart. */
static inline void TFN(transpose_lanes)(const char *tile, size_t rows, char *out, size_t pitch)
{
    for (size_t i = (rows + TFN(BLOCK) - 1) / TFN(BLOCK) * TFN(BLOCK); i;) {
        i -= TFN(BLOCK);
        TFN(block)(tile + i * TILE_PITCH, TILE_PITCH, out + i * sizeof(T), pitch);
    }
}

/* Transpose a tile into a part of the panel `out`, and meanwhile fill the next tile and write a
 * share of the panel before: computing, reading and writing go on side by side. */
static void TFN(tile)(const char *tile, size_t rows, size_t blocks, char *out, size_t pitch,
                      const struct FN(reader) *reader, char *next, struct FN(writer) *writer,
                      size_t share)
{
    const size_t next_rows = FN(tile_rows)(reader);
    for (size_t q = 0, filled = 0; q < blocks; q++) {
        size_t fill = next_rows * (q + 1) / blocks;
        if (q + 1 < blocks)
            fill -= fill % GROUP_ROWS;
        if (filled < fill)
            FN(read)(reader, filled, fill, next);
        filled = fill;
        TFN(transpose_lanes)(tile + q * LANE_BYTES, rows, out + q * TFN(SIDE) * pitch, pitch);
        FN(write)(writer, min_size(writer->done + share, writer->total));
    }
}

/* For n <= CHUNK_ROWS; n and m not 0. */
static int TFN(transpose)(const char *src, size_t n, size_t m, ptrdiff_t src_stride, char *dst,
                          ptrdiff_t dst_stride, int stream)
{
    const size_t pitch = n * sizeof(T), run = run_for(sizeof(T), n, m), bytes = m * sizeof(T);
    /* Where the rows of dst are contiguous, a panel is written as one run, across them. */
    const int whole = dst_stride == (ptrdiff_t)pitch;
    struct buffers b;
    const int status = get_buffers(&b, n * run);
    if (status != MPIM_OK)
        return status;
    struct FN(reader) reader = {src, src_stride, n, bytes, run, 0, 0, last_tile(n)};
    reader.lead = FN(lead)(src, sizeof(T), run);
    struct FN(writer) writer = {0};
    size_t width = FN(width)(&reader), turn = 0;
    FN(read)(&reader, 0, FN(tile_rows)(&reader), b.tile[0]);
    FN(advance)(&reader);
    for (size_t at = 0, k = 0; at < bytes; k = !k) {
        const size_t blocks = (width + LANE_BYTES - 1) / LANE_BYTES, columns = width / sizeof(T);
        const size_t share = writer.total / (blocks * (last_tile(n) / TILE_ROWS + 1)) + 1;
        char *to = dst + (ptrdiff_t)(at / sizeof(T)) * dst_stride;
        /* As far from a line's beginning as in dst, so that whole lines are copied from lines. */
        char *panel = b.panel[k] + (uintptr_t)to % LINE;
        size_t next_width = 0;
        for (size_t i = last_tile(n) + TILE_ROWS; i;) {
            i -= TILE_ROWS;
            next_width = FN(tile_rows)(&reader) ? FN(width)(&reader) : 0;
            TFN(tile)(b.tile[turn], min_size(n - i, TILE_ROWS), blocks, panel + i * sizeof(T),
                      pitch, &reader, b.tile[!turn], &writer, share);
            if (next_width)
                FN(advance)(&reader);
            turn = !turn;
        }
        FN(write)(&writer, writer.total);
        writer = (struct FN(writer)){
            panel, to, dst_stride, whole ? columns * pitch : pitch, columns * pitch, 0, 0, stream};
        at += width;
        width = next_width;
    }
    FN(write)(&writer, writer.total);
    FN(fence)(stream);
    free(b.memory);
    return MPIM_OK;
}
