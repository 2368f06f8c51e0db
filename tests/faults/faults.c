/* Faults of the machine, for a program that is started with this in LD_PRELOAD.
 *
 * Counts the system calls of each kind on files below FAULTS_ROOT, and lets one of them fail. Knows
 * what was written and not yet flushed, over all processes (the file FAULTS_SHARED): that can be
 * lost, and then the system tells of it as Linux does, once to each descriptor that was open. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MKDIR, READ, CLOSE, KINDS };
enum { FAIL, SHORT, LOST, FREEZE };
#define MOST 4096
#define RANGES 65536

struct range { ino_t inode; off_t start, end; };
struct shared {
    volatile int lock, frozen, ranges, losses;
    struct range range[RANGES];
    struct { ino_t inode; int number; } loss[MOST];
};

static struct shared *shared;
static const char *root;
static size_t root_length;
static int counts[KINDS], armed_kind = -1, armed_at, armed_mode, armed_error, fired;
static unsigned char tracked[MOST];
static int told[MOST];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS_SHARED");
    root = getenv("FAULTS_ROOT");
    if (!root || !path)
        return;
    int fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        abort();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REAL(close)(fd);
    root_length = strlen(root);
}

static void lock(void)
{
    while (__sync_lock_test_and_set(&shared->lock, 1))
        usleep(20);
}

static void unlock(void) { __sync_lock_release(&shared->lock); }

static int below(const char *path)
{
    return shared && path && !strncmp(path, root, root_length);
}

static int known(int fd) { return shared && fd >= 0 && fd < MOST && tracked[fd]; }

/* What becomes of a call: 0 it is made, -1 with a part of its bytes, else it fails so. */
static int fate(int kind)
{
    int number = __sync_add_and_fetch(&counts[kind], 1);
    if (shared->frozen)
        return EIO;
    if (kind != armed_kind || number < armed_at || (number > armed_at && armed_mode != SHORT))
        return 0;
    fired = 1;
    if (armed_mode == SHORT)
        return -1;
    if (armed_mode == FREEZE)
        shared->frozen = 1;
    return armed_error;
}

/* -- what is not flushed ---------------------------------------------------------------------- */

static ino_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

static int losses_of(ino_t inode, int add)
{
    for (int i = 0; i < shared->losses; i++)
        if (shared->loss[i].inode == inode)
            return shared->loss[i].number += add;
    if (add && shared->losses < MOST) {
        shared->loss[shared->losses].inode = inode;
        return shared->loss[shared->losses++].number = add;
    }
    return 0;
}

static void wrote(int fd, off_t start, ssize_t size)
{
    if (size <= 0)
        return;
    lock();
    if (shared->ranges == RANGES)
        abort();
    shared->range[shared->ranges++] = (struct range){inode_of(fd), start, start + size};
    unlock();
}

static void forget(ino_t inode)
{
    int kept = 0;
    for (int i = 0; i < shared->ranges; i++)
        if (shared->range[i].inode != inode)
            shared->range[kept++] = shared->range[i];
    shared->ranges = kept;
}

/* Zeros take the place of what was not flushed. */
static void lose(ino_t inode, const char *path)
{
    struct stat status;
    int fd = REAL(open)(path, O_WRONLY);
    if (fd < 0 || fstat(fd, &status))
        return;
    for (int i = 0; i < shared->ranges; i++) {
        struct range *one = &shared->range[i];
        if (one->inode != inode)
            continue;
        for (off_t at = one->start; at < one->end && at < status.st_size; at++)
            if (REAL(pwrite)(fd, "", 1, at) != 1)
                abort();
    }
    REAL(close)(fd);
    forget(inode);
}

static int synced(int fd, int (*call)(int))
{
    if (!known(fd))
        return call(fd);
    int error = fate(SYNC);
    ino_t inode = inode_of(fd);
    if (shared->frozen) {
        errno = EIO;
        return -1;
    }
    lock();
    if (error && armed_mode == LOST) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        lose(inode, path);
        losses_of(inode, 1);
    }
    int number = losses_of(inode, 0);
    if (!error && number != told[fd])
        error = EIO;
    told[fd] = number;
    if (!error)
        forget(inode);
    unlock();
    if (error) {
        errno = error;
        return -1;
    }
    return 0;  /* for real it would take its time, and change nothing here */
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

/* -- names ------------------------------------------------------------------------------------ */

/* Whether a name is below the root: as it is written, or in a directory that was opened there. */
static int in(int at, const char *path) { return below(path) || (path && *path != '/' && known(at)); }

#define OPENED(at, call)                                                        \
    int needs = flags & (O_CREAT | O_TMPFILE), mode = 0, error;                 \
    if (needs) {                                                                \
        va_list list;                                                           \
        va_start(list, flags);                                                  \
        mode = va_arg(list, int);                                               \
        va_end(list);                                                           \
    }                                                                           \
    if (in(at, path) && (error = fate(OPEN)) > 0) {                             \
        errno = error;                                                          \
        return -1;                                                              \
    }                                                                           \
    int fd = call;                                                              \
    if (fd >= 0 && fd < MOST && shared) {                                       \
        tracked[fd] = in(at, path);                                             \
        if (tracked[fd]) {                                                      \
            lock();                                                             \
            told[fd] = losses_of(inode_of(fd), 0);                              \
            unlock();                                                           \
        }                                                                       \
    }                                                                           \
    return fd;

int open(const char *path, int flags, ...) { OPENED(AT_FDCWD, REAL(open)(path, flags, mode)) }
int open64(const char *path, int flags, ...) { OPENED(AT_FDCWD, REAL(open64)(path, flags, mode)) }
int openat(int at, const char *path, int flags, ...)
{
    OPENED(at, REAL(openat)(at, path, flags, mode))
}
int openat64(int at, const char *path, int flags, ...)
{
    OPENED(at, REAL(openat64)(at, path, flags, mode))
}

int close(int fd)
{
    if (!known(fd))
        return REAL(close)(fd);
    int error = fate(CLOSE);
    tracked[fd] = 0;
    int result = REAL(close)(fd);  /* the number is free, whatever is said */
    if (error > 0 && !shared->frozen) {
        errno = error;
        return -1;
    }
    return result;
}

static void gone(int at, const char *path)
{
    struct stat status;
    if (!fstatat(at, path, &status, AT_SYMLINK_NOFOLLOW) && status.st_nlink == 1) {
        lock();
        forget(status.st_ino);
        unlock();
    }
}

#define NAMED(kind, at, path)                                                   \
    int error;                                                                  \
    if (in(at, path) && (error = fate(kind)) > 0) {                             \
        errno = error;                                                          \
        return -1;                                                              \
    }

int unlinkat(int at, const char *path, int flags)
{
    NAMED(UNLINK, at, path)
    if (in(at, path))
        gone(at, path);
    return REAL(unlinkat)(at, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdir(const char *path, mode_t mode)
{
    NAMED(MKDIR, AT_FDCWD, path)
    return REAL(mkdir)(path, mode);
}
int rename(const char *path, const char *to)
{
    NAMED(RENAME, AT_FDCWD, path)
    if (below(path))
        gone(AT_FDCWD, to);
    return REAL(rename)(path, to);
}

#define TRUNCATED(name)                                                         \
    int name(int fd, __typeof__((off_t)0) size)                                 \
    {                                                                           \
        int error = known(fd) ? fate(TRUNCATE) : 0;                             \
        if (error > 0) {                                                        \
            errno = error;                                                      \
            return -1;                                                          \
        }                                                                       \
        return REAL(name)(fd, size);                                            \
    }
TRUNCATED(ftruncate)
TRUNCATED(ftruncate64)

/* -- bytes ------------------------------------------------------------------------------------ */

#define MOVED(kind, at, note, call)                                             \
    if (!known(fd))                                                             \
        return call;                                                            \
    int error = fate(kind);                                                     \
    off_t place = at;                                                           \
    if (error < 0 && size > 1)                                                  \
        size /= 2;                                                              \
    if (error > 0 && shared->frozen && fired && size > 1 && kind == WRITE) {    \
        size /= 2;  /* torn */                                                  \
        ssize_t part = call;                                                    \
        wrote(fd, place, part);                                                 \
    }                                                                           \
    if (error > 0) {                                                            \
        errno = error;                                                          \
        return -1;                                                              \
    }                                                                           \
    ssize_t done = call;                                                        \
    if (note)                                                                   \
        wrote(fd, place, done);                                                 \
    return done;

static off_t position(int fd)
{
    struct stat status;
    if (fcntl(fd, F_GETFL) & O_APPEND)
        return fstat(fd, &status) ? 0 : status.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t size)
{
    MOVED(WRITE, position(fd), 1, REAL(write)(fd, data, size))
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    MOVED(WRITE, offset, 1, REAL(pwrite)(fd, data, size, offset))
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    MOVED(WRITE, offset, 1, REAL(pwrite64)(fd, data, size, offset))
}
ssize_t read(int fd, void *data, size_t size)
{
    MOVED(READ, 0, 0, REAL(read)(fd, data, size))
}
ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    MOVED(READ, 0, 0, REAL(pread)(fd, data, size, offset))
}
ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
    MOVED(READ, 0, 0, REAL(pread64)(fd, data, size, offset))
}
/* A short one has a part of its first piece. */
#define VECTOR(name)                                                            \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t offset)    \
    {                                                                           \
        size_t size = count ? parts[0].iov_len : 0;                             \
        int whole = !known(fd) || armed_mode != SHORT || armed_kind != READ;    \
        MOVED(READ, 0, 0,                                                       \
              whole ? REAL(name)(fd, parts, count, offset)                      \
                    : REAL(pread)(fd, parts[0].iov_base, size, offset))         \
    }
VECTOR(preadv)
VECTOR(preadv64)

/* -- for the program that tries the faults ------------------------------------------------------ */

void faults_arm(int kind, int at, int mode, int error)
{
    memset(counts, 0, sizeof counts);
    fired = 0;
    armed_at = at;
    armed_mode = mode;
    armed_error = error;
    armed_kind = kind;
}

int faults_disarm(void)
{
    armed_kind = -1;
    armed_mode = FAIL;
    return fired;
}

int faults_count(int kind) { return counts[kind]; }

void faults_thaw(void) { shared->frozen = 0; }

/* The machine goes down, and up again: what a file had that was not flushed is not there. */
void faults_lose(const char *path)
{
    struct stat status;
    if (!stat(path, &status)) {
        lock();
        lose(status.st_ino, path);
        unlock();
    }
}

void faults_forget(void)
{
    lock();
    shared->ranges = shared->losses = 0;
    unlock();
}
