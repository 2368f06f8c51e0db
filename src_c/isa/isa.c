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

int mpim_isa_best(void)
{
#if MPIM_X86
    /* These ask the operating system too, whether it saves the wide registers. */
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return MPIM_ISA_V4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma"))
        return MPIM_ISA_V3;
#endif
    return MPIM_ISA_BASE;
}
