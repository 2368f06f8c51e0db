/* limits.c, one clone. */

static uint64_t FN(read_all)(const char *data, size_t bytes)
{
    typedef uint64_t UNALIGNED word;
    uint64_t sum[16] = {0};
    size_t at = 0;
    for (; bytes - at >= sizeof sum; at += sizeof sum)
        for (size_t i = 0; i < 16; i++)
            sum[i] += ((const word *)(data + at))[i];
    for (; at < bytes; at++)
        sum[0] += (unsigned char)data[at];
    for (size_t i = 1; i < 16; i++)
        sum[0] += sum[i];
    return sum[0];
}

static void FN(copy_all)(const char *src, char *dst, size_t bytes) { memcpy(dst, src, bytes); }
