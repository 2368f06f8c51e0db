/* The table of dtypes, and what a template reads from it. */
#ifndef MPIM_DTYPES_H
#define MPIM_DTYPES_H

#include "common/internal.h"

/* Columns: the item's type; the unsigned dtype of its size; the integer dtype of its size in whose
 * order the values are (of floats: the bits, once mapped as the template says); the type of maxima
 * + minima; the item's size in bits; whether it is a float; whether it is signed. */
#define DTYPE_u8  uint8_t,  u8,  u8,  uint16_t, 8,  0, 0
#define DTYPE_i8  int8_t,   u8,  i8,  int16_t,  8,  0, 1
#define DTYPE_u16 uint16_t, u16, u16, uint32_t, 16, 0, 0
#define DTYPE_i16 int16_t,  u16, i16, int32_t,  16, 0, 1
#define DTYPE_u32 uint32_t, u32, u32, uint64_t, 32, 0, 0
#define DTYPE_i32 int32_t,  u32, i32, int64_t,  32, 0, 1
#define DTYPE_u64 uint64_t, u64, u64, uint64_t, 64, 0, 0
#define DTYPE_i64 int64_t,  u64, i64, int64_t,  64, 0, 1
#define DTYPE_f32 float,    u32, i32, float,    32, 1, 1
#define DTYPE_f64 double,   u64, i64, double,   64, 1, 1

/* X(..., tag, number in enum mpim_dtype) for each of them. */
#define FOR_EACH_INTEGER(X, ...)                                \
    X(__VA_ARGS__, u8, MPIM_U8) X(__VA_ARGS__, i8, MPIM_I8)     \
    X(__VA_ARGS__, u16, MPIM_U16) X(__VA_ARGS__, i16, MPIM_I16) \
    X(__VA_ARGS__, u32, MPIM_U32) X(__VA_ARGS__, i32, MPIM_I32) \
    X(__VA_ARGS__, u64, MPIM_U64) X(__VA_ARGS__, i64, MPIM_I64)
#define FOR_EACH_FLOAT(X, ...) X(__VA_ARGS__, f32, MPIM_F32) X(__VA_ARGS__, f64, MPIM_F64)
#define FOR_EACH_DTYPE(X, ...) FOR_EACH_INTEGER(X, __VA_ARGS__) FOR_EACH_FLOAT(X, __VA_ARGS__)

#define COLUMN(n, ...) COLUMN_##n(__VA_ARGS__)
#define COLUMN_1(a, ...) a
#define COLUMN_2(a, b, ...) b
#define COLUMN_3(a, b, c, ...) c
#define COLUMN_4(a, b, c, d, ...) d
#define COLUMN_5(a, b, c, d, e, ...) e
#define COLUMN_6(a, b, c, d, e, f, ...) f
#define COLUMN_7(a, b, c, d, e, f, g) g

/* What a template sees of the dtype TAG (set by for_each_dtype.h). */
#define ROW_OF_TAG PASTE(DTYPE, TAG)
#define T COLUMN(1, ROW_OF_TAG)
#define UTAG COLUMN(2, ROW_OF_TAG)
#define UT COLUMN(1, PASTE(DTYPE, UTAG))
#define KEY_TAG COLUMN(3, ROW_OF_TAG)
#define KEY COLUMN(1, PASTE(DTYPE, KEY_TAG))
#define WIDE_T COLUMN(4, ROW_OF_TAG)
#define BITS COLUMN(5, ROW_OF_TAG)
#define IS_FLOAT COLUMN(6, ROW_OF_TAG)
#define IS_SIGNED COLUMN(7, ROW_OF_TAG)

/* The bits of a float, as UT: sign, infinity, the quiet NaN without payload. */
#define MANTISSA_BITS (BITS == 32 ? 23 : 52)
#define SIGN_BIT ((UT)1 << (BITS - 1))
#define INF_BITS (SIGN_BIT - ((UT)1 << MANTISSA_BITS))
#define NAN_BITS (INF_BITS | (UT)1 << (MANTISSA_BITS - 1))

#endif
