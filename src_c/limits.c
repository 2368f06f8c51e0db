/* What the memory can do: reading and copying, and nothing else. For the benchmarks. */
#include "internal.h"

#define BODY "limits_body.h"
#include "clones.h"

typedef uint64_t (*read_fn)(const char *, size_t);
typedef void (*copy_fn)(const char *, char *, size_t);
static const read_fn readers[MPIM_ISA_COUNT] = CLONES(read_all);
static const copy_fn copiers[MPIM_ISA_COUNT] = CLONES(copy_all);

uint64_t mpim_read_all(int isa, const void *data, size_t bytes)
{
    return readers[isa](data, bytes);
}

void mpim_copy_all(int isa, const void *src, void *dst, size_t bytes)
{
    copiers[isa](src, dst, bytes);
}
