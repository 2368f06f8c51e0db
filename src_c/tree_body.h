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
        FN(merge)(FN(slot)(a, parts, offset), FN(slot)(b, parts, offset), level, exact, width,
                  FN(slot)(buffer, parts, 0));
        if (level < exact)
            memset(memory + TREE_TILE, 0, width * sizeof *memory);
        for (int part = 0; part < parts; part++) {
            double *to = out.data + part * out.part + offset;
            memcpy(to, memory + part * TREE_TILE, width * sizeof *memory);
            FN(tidy_part)(width, to);
        }
    }
}
