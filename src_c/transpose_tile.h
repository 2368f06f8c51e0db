/* Template: transpose items of one size. */
typedef T UNALIGNED TFN(item);

static void TFN(transpose)(const char *src, size_t n, size_t m, ptrdiff_t src_stride, char *dst,
                           ptrdiff_t dst_stride)
{
    for (size_t i0 = 0; i0 < n; i0 += 64)
        for (size_t j0 = 0; j0 < m; j0 += 64)
            for (size_t i = i0; i < smaller(n, i0 + 64); i++)
                for (size_t j = j0; j < smaller(m, j0 + 64); j++)
                    ((TFN(item) *)(dst + (ptrdiff_t)j * dst_stride))[i] =
                        ((const TFN(item) *)(src + (ptrdiff_t)i * src_stride))[j];
}
