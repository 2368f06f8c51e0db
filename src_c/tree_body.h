/* tree.c, one clone. */
#include "tree_nodes.h"

#define TEMPLATE "tree_float.h"
#include "each_float.h"
#undef TEMPLATE

/* out may be a or b, so the tile goes through a buffer. */
static void FN(merge_nodes)(struct mpim_nodes a, struct mpim_nodes b, int parts, size_t m,
                            unsigned level, struct mpim_nodes out)
{
    double s[TREE_TILE], deviations[TREE_TILE], *d = parts > 1 ? deviations : NULL;
    for (size_t i = 0; i < m; i += TREE_TILE) {
        const size_t width = smaller(m - i, TREE_TILE);
        memcpy(s, b.data + i, width * sizeof *s);
        if (d)
            memcpy(d, b.data + b.part + i, width * sizeof *d);
        FN(merge)(a.data + i, d ? a.data + a.part + i : NULL, level, width, s, d);
        FN(store)(s, d, width, out.data + i, d ? out.data + out.part + i : NULL);
    }
}
