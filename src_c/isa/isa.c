/* Which clones this processor can run. */
#include "common/internal.h"

static const char *const names[MPIM_ISA_COUNT] = {
#if MPIM_X86
    "x86-64", "x86-64-v3", "x86-64-v4"
#else
    "plain", NULL, NULL
#endif
};

const char *mpim_isa_name(int isa) { return isa >= 0 && isa < MPIM_ISA_COUNT ? names[isa] : NULL; }

#if MPIM_X86
/* All features of a level: the compiler may use any of them in its clones. (GCC 11 knows the levels
 * by no name yet.) These ask the operating system too, whether it saves the wide registers. */
#define HAS(feature) __builtin_cpu_supports(feature)

static int has_v3(void)
{
#if !defined(__clang__) || __clang_major__ >= 19 /* older ones do not compile these names */
    if (!(HAS("cmpxchg16b") && HAS("f16c") && HAS("lzcnt") && HAS("movbe")))
        return 0;
#endif
    return HAS("sse3") && HAS("ssse3") && HAS("sse4.1") && HAS("sse4.2") && HAS("popcnt") &&
           HAS("avx") && HAS("avx2") && HAS("bmi") && HAS("bmi2") && HAS("fma");
}

static int has_v4(void)
{
    return has_v3() && HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq") &&
           HAS("avx512vl");
}
#endif

int mpim_isa_best(void)
{
#if MPIM_X86
    if (has_v4())
        return MPIM_ISA_V4;
    if (has_v3())
        return MPIM_ISA_V3;
#endif
    return MPIM_ISA_BASE;
}
