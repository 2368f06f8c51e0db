/* Include the file BODY once for each level of the x86-64 psABI, with ISA naming the clone (base,
 * v3, v4) and ISA_LEVEL its number (1, 3, 4): each time the compiler may use that level's instructions.
 *
 * The processor-independent code stays plain C; the compiler vectorises each clone for its level.
 * -ffp-contract=off keeps the levels that have fused multiply-add from using it, so that all
 * clones give the same bits. (Pragmas, not the target_clones attribute: that one cannot be forced
 * to a level, and a clone could not be tested.)
 */
#define ISA base
#define ISA_LEVEL 1
#include BODY
#undef ISA
#undef ISA_LEVEL

#if MPIM_X86

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#endif
#define ISA v3
#define ISA_LEVEL 3
#include BODY
#undef ISA
#undef ISA_LEVEL
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#endif
#define ISA v4
#define ISA_LEVEL 4
#include BODY
#undef ISA
#undef ISA_LEVEL
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* A function's clones, indexed by enum mpim_isa. */
#define CLONES(name) {name##_base, name##_v3, name##_v4}
#else
#define CLONES(name) {name##_base, name##_base, name##_base}
#endif

/* A row of a dispatch table, indexed by enum mpim_dtype: FOR_EACH_DTYPE(CLONES_OF, name). */
#define CLONES_OF(name, tag, number) [number] = CLONES(name##_##tag),

#undef BODY
