/* Counts what a process asks of the file system below METADATA_ROOT, as `counted.py` reads it.
 *
 * Loaded before the other libraries (LD_PRELOAD): the calls of Python, of the kernels and of HDF5
 * come here first. Of a file that is open already nothing is counted but that it is flushed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN, STAT, LIST, MAKE, REMOVE, SYNC, KINDS };
long metadata_counts[KINDS];

static int below(const char *path)
{
    static const char *root;
    if (!root) {
        const char *given = getenv("METADATA_ROOT");
        root = given ? given : "/none";
    }
    return path && !strncmp(path, root, strlen(root));
}

static int is_below(int directory, const char *path)
{
    char link[64], name[PATH_MAX + 1];
    if (path && path[0] == '/')
        return below(path);
    if (directory == AT_FDCWD)
        return 0; /* the program names its files from the root on */
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, name, PATH_MAX);
    if (length < 0)
        return 0;
    name[length] = 0;
    return below(name);
}

static void count(int kind, int counts)
{
    if (counts)
        __atomic_add_fetch(&metadata_counts[kind], 1, __ATOMIC_RELAXED);
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) \
        next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPENS(name) \
    int name(const char *path, int flags, ...) \
    { \
        MODE(flags) \
        NEXT(name); \
        count(OPEN, below(path)); \
        return next(path, flags, mode); \
    }
#define OPENS_AT(name) \
    int name(int directory, const char *path, int flags, ...) \
    { \
        MODE(flags) \
        NEXT(name); \
        count(OPEN, is_below(directory, path)); \
        return next(directory, path, flags, mode); \
    }
#define STATS(name, type) \
    int name(const char *path, struct type *status) \
    { \
        NEXT(name); \
        count(STAT, below(path)); \
        return next(path, status); \
    }
#define STATS_AT(name, type) \
    int name(int directory, const char *path, struct type *status, int flags) \
    { \
        NEXT(name); \
        count(STAT, path[0] && is_below(directory, path)); \
        return next(directory, path, status, flags); \
    }
#define OF_PATH(kind, name, more, given) \
    int name(const char *path more) \
    { \
        NEXT(name); \
        count(kind, below(path)); \
        return next(path given); \
    }
#define SYNCS(name) \
    int name(int descriptor) \
    { \
        NEXT(name); \
        count(SYNC, is_below(descriptor, NULL)); \
        return next(descriptor); \
    }
#define COMMA ,

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
STATS(stat, stat)
STATS(stat64, stat64)
STATS(lstat, stat)
STATS(lstat64, stat64)
STATS_AT(fstatat, stat)
STATS_AT(fstatat64, stat64)
OF_PATH(STAT, access, COMMA int mode, COMMA mode)
OF_PATH(MAKE, mkdir, COMMA mode_t mode, COMMA mode)
OF_PATH(MAKE, rename, COMMA const char *name, COMMA name)
OF_PATH(REMOVE, unlink, , )
OF_PATH(REMOVE, rmdir, , )
SYNCS(fsync)
SYNCS(fdatasync)

int unlinkat(int directory, const char *path, int flags)
{
    NEXT(unlinkat);
    count(REMOVE, is_below(directory, path));
    return next(directory, path, flags);
}

DIR *opendir(const char *path)
{
    NEXT(opendir);
    count(LIST, below(path));
    return next(path);
}

DIR *fdopendir(int descriptor)
{
    NEXT(fdopendir);
    count(LIST, is_below(descriptor, NULL));
    return next(descriptor);
}
