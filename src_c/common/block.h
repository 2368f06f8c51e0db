/* Template: transpose items of one size (dtype u8, u16, u32 or u64), block by block in registers.
 */

/* Items of a lane; rows of a block. */
enum { TFN(SIDE) = LANE_BYTES / sizeof(T), TFN(BLOCK) = TFN(SIDE) * LANES };

/* A block of LANES squares of SIDE x SIDE items, one above the other, in registers. Each stage
 * interleaves the two halves of the rows, which rotates the bits of an item's number by one place;
 * after log2(SIDE) stages its row and its column have changed places. */
static ALWAYS_INLINE void TFN(block)(const char *from, size_t from_pitch, char *to, size_t to_pitch)
{
    VEC a[TFN(SIDE)], b[TFN(SIDE)];
#pragma GCC unroll 16
    for (size_t i = 0; i < TFN(SIDE); i++)
        a[i] = LOAD(from + i * from_pitch, TFN(SIDE) * from_pitch);
#pragma GCC unroll 4
    for (int stage = 1; stage < TFN(SIDE); stage *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < TFN(SIDE) / 2; i++) {
            b[2 * i] = PASTE(LOW, UTAG)(a[i], a[i + TFN(SIDE) / 2]);
            b[2 * i + 1] = PASTE(HIGH, UTAG)(a[i], a[i + TFN(SIDE) / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < TFN(SIDE); i++)
            a[i] = b[i];
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < TFN(SIDE); i++)
        STORE(to + i * to_pitch, a[i]);
}

/* to[c][r] = from[r][c] for `rows` rows of `columns` items; the rows lie from_pitch and to_pitch
 * bytes apart. Whole blocks in registers, the edges item by item. */
static inline void TFN(transpose_rows)(const char *from, size_t from_pitch, size_t rows,
                                       size_t columns, char *to, size_t to_pitch)
{
    const size_t side = TFN(SIDE), block = TFN(BLOCK), blocks = rows / block * block;
    for (size_t c = 0; c < columns; c += side) {
        const size_t whole = columns - c >= side ? blocks : 0;
        for (size_t r = 0; r < whole; r += block)
            TFN(block)(from + r * from_pitch + c * sizeof(T), from_pitch,
                       to + c * to_pitch + r * sizeof(T), to_pitch);
        for (size_t r = whole; r < rows; r++)
            for (size_t e = c; e < min_size(columns, c + side); e++)
                memcpy(to + e * to_pitch + r * sizeof(T), from + r * from_pitch + e * sizeof(T),
                       sizeof(T));
    }
}
