/* The same byte range of many files, read into one block of memory.
 *
 * A conversion reads a band of pixels from every file in every round, and a band of a small image
 * is read in less time than an interpreter needs to open a file. So the whole loop is here. To open
 * and close a file takes longer than to read a few KB of it: the caller may have files kept open,
 * but not all of them, as there may be more than a process may have open.
 *
 * In every call a file's size and time of modification are compared with what they were when the
 * places in it were found: the rounds of a conversion may lie hours apart.
 */
#if defined __linux__ && !defined _GNU_SOURCE
#define _GNU_SOURCE /* sync_file_range */
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/internal.h"

/* Linux reads at most 2^31 - 4096 bytes by one call. What is swapped is read in pieces that are
 * still in the cache when their turn comes. */
enum { PIECE = 1 << 30, SWAPPED_PIECE = 1 << 18 };

/* An attribute among a declaration's first words belongs to what is declared, here it would be the
 * pointer: only a type of its own carries it. */
typedef uint16_t UNALIGNED two_bytes;
typedef uint32_t UNALIGNED four_bytes;
typedef uint64_t UNALIGNED eight_bytes;

/* The run that is read next: pieces that follow each other in the file are joined first. */
struct job {
    int fd;
    int kept; /* not to be closed */
    char *path;
    char *to;
    int64_t offset;
    size_t bytes;
    size_t swap;
};

static void write_path(const struct mpim_paths *restrict paths, int64_t number, char *restrict path)
{
    const int64_t begin = number ? paths->ends[number - 1] : 0;
    const size_t tail = (size_t)(paths->ends[number] - begin);
    memcpy(path, paths->common, paths->common_bytes);
    memcpy(path + paths->common_bytes, paths->tails + begin, tail);
    path[paths->common_bytes + tail] = '\0';
}

static int compare(int fd, int64_t size, const int64_t *modified, int *error)
{
    struct stat status;
    if (fstat(fd, &status)) {
        *error = errno;
        return MPIM_SYSTEM;
    }
    if (!S_ISREG(status.st_mode))
        return MPIM_CHANGED;
    if (status.st_size < size)
        return MPIM_TRUNCATED;
    const int64_t time = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    return status.st_size == size && (!modified || time == *modified) ? MPIM_OK : MPIM_CHANGED;
}

static int open_same(struct job *job, int64_t size, const int64_t *modified, int *error)
{
    do /* without O_NONBLOCK a named pipe would wait for its writer */
        job->fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (job->fd < 0 && errno == EINTR);
    if (job->fd < 0) {
        *error = errno;
        return MPIM_SYSTEM;
    }
    return compare(job->fd, size, modified, error);
}

void mpim_begin_writeback(int fd, int64_t offset, int64_t size)
{
#ifdef SYNC_FILE_RANGE_WRITE
    /* A page that is half full is written to once more, and would go to the disk twice. */
    const int64_t page = sysconf(_SC_PAGESIZE);
    if (page < 1 || offset < 0 || size < 0 || offset > INT64_MAX - size - page)
        return;
    const int64_t first = (offset + page - 1) / page * page, last = (offset + size) / page * page;
    if (last > first)
        (void)sync_file_range(fd, first, last - first, SYNC_FILE_RANGE_WRITE);
#else
    (void)fd, (void)offset, (void)size;
#endif
}

void mpim_swap(size_t itemsize, void *items, size_t n)
{
    two_bytes *const two = items;
    four_bytes *const four = items;
    eight_bytes *const eight = items;
    uint64_t pair;
    switch (itemsize) {
    case 2:
        for (size_t i = 0; i < n; i++)
            two[i] = (uint16_t)(two[i] << 8 | two[i] >> 8);
        break;
    case 4:
        for (size_t i = 0; i < n / 2; i++) { /* two at once: twice as fast */
            pair = __builtin_bswap64(eight[i]);
            eight[i] = pair << 32 | pair >> 32;
        }
        if (n % 2)
            four[n - 1] = __builtin_bswap32(four[n - 1]);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            eight[i] = __builtin_bswap64(eight[i]);
    }
}

static int read_exactly(int fd, char *to, size_t bytes, int64_t offset, int *error)
{
    while (bytes) {
        const ssize_t got = pread(fd, to, bytes, (off_t)offset);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            *error = errno;
            return MPIM_SYSTEM;
        }
        if (got == 0)
            return MPIM_TRUNCATED;
        to += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return MPIM_OK;
}

/* Read what the job says, and leave it empty. */
static int finish(struct job *job, int *error)
{
    const size_t most = job->swap ? SWAPPED_PIECE : PIECE;
    int status = MPIM_OK;
    while (job->bytes && !status) {
        const size_t piece = min_size(job->bytes, most);
        status = read_exactly(job->fd, job->to, piece, job->offset, error);
        if (!status && job->swap)
            mpim_swap(job->swap, job->to, piece / job->swap);
        job->to += piece;
        job->offset += (int64_t)piece;
        job->bytes -= piece;
    }
    return status;
}

/* The next run in the file, whose place in memory follows the last one's. */
static int add(struct job *job, int64_t offset, size_t bytes, int *error)
{
    if (job->bytes && offset == job->offset + (int64_t)job->bytes) {
        job->bytes += bytes;
        return MPIM_OK;
    }
    const int status = finish(job, error);
    job->offset = offset;
    job->bytes = bytes;
    return status;
}

static void let_go(struct job *job)
{
    if (job->fd >= 0 && !job->kept)
        close(job->fd);
    job->fd = -1;
}

static int leave(struct job *job, int *error)
{
    if (job->fd < 0)
        return MPIM_OK;
    const int status = finish(job, error);
    let_go(job);
    return status;
}

/* The file of record i, with what it was compared. */
static int enter(struct job *job, const struct mpim_paths *paths, const struct mpim_places *places,
                 size_t i, int *error)
{
    const int64_t size = places->size[i];
    const int64_t *const modified = places->modified ? places->modified + i : NULL;
    int32_t *const kept = places->kept ? places->kept + i : NULL;
    job->kept = kept && *kept >= 0;
    if (job->kept) {
        job->fd = *kept;
        return compare(job->fd, size, modified, error);
    }
    write_path(paths, places->path[i], job->path);
    const int status = open_same(job, size, modified, error);
    if (!status && kept && *kept == MPIM_KEEP) {
        *kept = job->fd;
        job->kept = 1;
    }
    return status;
}

static int read_all(const struct mpim_paths *paths, const struct mpim_places *places, size_t n,
                    size_t runs, size_t skip, size_t length, struct job *job,
                    struct mpim_failure *failure)
{
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || places->path[i] != places->path[i - 1]) {
            int status = leave(job, &failure->error);
            if (status)
                return status; /* failure->record is still one of the file that was left */
            failure->record = i;
            status = enter(job, paths, places, i, &failure->error);
            if (status)
                return status;
        }
        failure->record = i;
        int64_t offset = places->first[i] + (int64_t)skip;
        for (size_t run = 0; run < runs; run++, offset += places->stride[i]) {
            const int status = add(job, offset, length, &failure->error);
            if (status)
                return status;
        }
    }
    return leave(job, &failure->error);
}

int mpim_read_runs(const struct mpim_paths *paths, const struct mpim_places *places, size_t n,
                   size_t runs, size_t skip, size_t length, size_t swap, void *out,
                   struct mpim_failure *failure)
{
    struct job job = {.fd = -1, .kept = 0, .to = out, .swap = swap};
    failure->record = 0;
    failure->error = 0;
    job.path = malloc(paths->common_bytes + paths->longest + 1);
    if (!job.path)
        return MPIM_NO_MEMORY;
    const int status = read_all(paths, places, n, runs, skip, length, &job, failure);
    let_go(&job);
    free(job.path);
    return status;
}
