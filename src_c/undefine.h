/* Forget the type that each_integer.h, each_float.h or each_size.h had set up. */
#undef TAG
#undef T
#undef UT
#undef IT
#undef WT
#undef BITS
#undef SIGNED
#undef LOWEST
#undef HIGHEST
#undef INF_BITS
#undef NAN_BITS
#undef IS_FLOAT
#undef LOW
#undef HIGH
