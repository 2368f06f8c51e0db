/* What the memory can do, and nothing else: read every byte once, and copy. */
#include <stdint.h>
#include <string.h>

/* Returns a value that depends on all bytes. */
uint64_t read_all(const char *data, size_t bytes)
{
    uint64_t sum[16] = {0}, word;
    size_t at = 0;
    for (; bytes - at >= sizeof sum; at += sizeof sum)
        for (size_t i = 0; i < 16; i++) {
            memcpy(&word, data + at + i * sizeof word, sizeof word);
            sum[i] += word;
        }
    for (; at < bytes; at++)
        sum[0] += (unsigned char)data[at];
    for (size_t i = 1; i < 16; i++)
        sum[0] += sum[i];
    return sum[0];
}

void copy_all(const char *src, char *dst, size_t bytes) { memcpy(dst, src, bytes); }
