/* A bad disk, for one process: preloaded by the rig `disk`, which writes into a file what the disk is like.
 *
 * The first byte of the file named by IMCAST_RIG_DISK says:
 *   s   a flush takes 100 ms
 *   f   full: files do not grow (ENOSPC)
 *   r   read only: nothing is written and nothing is opened for writing (EROFS)
 * anything else: it is well. Standard error and what is no plain file are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const volatile char *condition;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("IMCAST_RIG_DISK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) condition = page;
}

static int is(char wanted) { return condition && *condition == wanted; }

static int is_plain(int file, off_t *size) {
    struct stat about;
    if (file <= 2 || fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) return 0;
    *size = about.st_size;
    return 1;
}

/* The error that a write up to `end` meets; 0 = none. */
static int fault(int file, off_t end) {
    off_t size = 0;
    if (!condition || !is_plain(file, &size)) return 0;
    if (is('r')) return EROFS;
    return is('f') && end > size ? ENOSPC : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(error) do { int code = (error); if (code) { errno = code; return -1; } } while (0)

ssize_t write(int file, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = REAL(write);
    REFUSE(condition ? fault(file, lseek(file, 0, SEEK_CUR) + (off_t)count) : 0);
    return real(file, bytes, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = REAL(pwrite64);
    REFUSE(fault(file, at + (off_t)count));
    return real(file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { return pwrite64(file, bytes, count, at); }

int ftruncate64(int file, off64_t size) {
    static int (*real)(int, off64_t);
    if (!real) real = REAL(ftruncate64);
    REFUSE(fault(file, size));
    return real(file, size);
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

static void flush_slowly(int file) {
    off_t size;
    struct timespec pause = {0, 100 * 1000 * 1000};
    if (is('s') && is_plain(file, &size)) nanosleep(&pause, NULL);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = REAL(fsync);
    flush_slowly(file);
    return real(file);
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real) real = REAL(fdatasync);
    flush_slowly(file);
    return real(file);
}

int open64(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    if (!real) real = REAL(open64);
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    REFUSE(is('r') && (flags & O_ACCMODE) != O_RDONLY ? EROFS : 0);
    return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open64(path, flags, mode);
}
