/* tree.c, one clone. */
#include "tree_nodes.h"

#define TEMPLATE "tree_float.h"
#include "each_float.h"
#undef TEMPLATE

/* out may be a or b, so the tile goes through a buffer. */
static void FN(merge_nodes)(struct mpim_nodes a, struct mpim_nodes b, int parts, size_t m,
                            unsigned level, unsigned exact, struct mpim_nodes out)
{
    double memory[3 * TREE_TILE];
    const struct mpim_nodes buffer = {memory, 0, TREE_TILE};
    for (size_t i = 0; i < m; i += TREE_TILE) {
        const size_t width = smaller(m - i, TREE_TILE);
        const ptrdiff_t offset = (ptrdiff_t)i;
        for (int part = 0; part < parts; part++)
            memcpy(memory + part * TREE_TILE, b.data + part * b.part + offset,
                   width * sizeof *memory);
        FN(merge)(FN(slot)(a, parts, offset), level, exact, width, FN(slot)(buffer, parts, 0));
        FN(store)(FN(slot)(buffer, parts, 0), width, FN(slot)(out, parts, offset));
    }
}
