/* Template: transpose a block of items of one size in registers. */

/* Items of a lane; rows that one block takes. */
enum { TFN(SIDE) = LANE_BYTES / sizeof(T), TFN(BLOCK) = TFN(SIDE) * LANES };

/* A block of LANES squares of SIDE x SIDE items, one above the other, in registers. Each stage
 * interleaves the two halves of the rows, which rotates the bits of an item's number by one place;
 * after log2(SIDE) stages its row and its column have changed places. */
static inline __attribute__((always_inline)) void
TFN(block)(const char *from, size_t from_pitch, char *to, size_t to_pitch)
{
    VEC a[TFN(SIDE)], b[TFN(SIDE)];
#pragma GCC unroll 16
    for (size_t i = 0; i < TFN(SIDE); i++)
        a[i] = LOAD(from + i * from_pitch, TFN(SIDE) * from_pitch);
#pragma GCC unroll 4
    for (int stage = 1; stage < TFN(SIDE); stage *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < TFN(SIDE) / 2; i++) {
            b[2 * i] = LOW(a[i], a[i + TFN(SIDE) / 2]);
            b[2 * i + 1] = HIGH(a[i], a[i + TFN(SIDE) / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < TFN(SIDE); i++)
            a[i] = b[i];
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < TFN(SIDE); i++)
        STORE(to + i * to_pitch, a[i]);
}
