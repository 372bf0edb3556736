/* Calls of the system that fail, or at which a signal comes, by their number: for LD_PRELOAD.
 *
 * Counted are calls on paths below a folder, of the kinds asked for. `fault_arm` arms the layer in
 * this process; CALISR_FAULT="FOLDER|KINDS|NUMBER|ACTION|VALUE|TOKEN" arms it in the first process
 * that starts and can remove the file TOKEN.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { OPEN = 1, MKDIR = 2, WRITE = 4, SYNC = 8, RENAME = 16, CLOSE = 32, REMOVE = 64 };
enum { COUNT = 0, FAIL_ONCE = 1, FAIL_ON = 2, SIGNAL = 3 };

static char folder[4096], where[4200];
static int kinds, action, value;
static long number, count;
static const char *names[] = {"open", "mkdir", "write", "fsync", "rename", "close", "remove"};

EXPORT void fault_arm(const char *in, int what, long at, int act, int val) {
  strncpy(folder, in, sizeof folder - 1);
  kinds = what; number = at; action = act; value = val; count = 0; where[0] = 0;
}
EXPORT long fault_count(void) { return count; }
EXPORT const char *fault_where(void) { return where; }

static void tell(void) {
  const char *file = getenv("CALISR_FAULT_TOLD");
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
  ssize_t (*put)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
  int d = file ? real(file, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
  if (d >= 0) { put(d, where, strlen(where)); put(d, "\n", 1); }
}

__attribute__((constructor)) static void from_environment(void) {
  char *text = getenv("CALISR_FAULT"), in[4096], token[4096];
  int what, act, val; long at;
  if (text && sscanf(text, "%4095[^|]|%d|%ld|%d|%d|%4095s", in, &what, &at, &act, &val, token) == 6
      && unlink(token) == 0)
    fault_arm(in, what, at, act, val);
}

/* Whether this call fails; a signal comes before the call is made. */
static int strikes(int kind, const char *path) {
  if (!(kinds & kind) || !folder[0] || !path || strncmp(path, folder, strlen(folder))) return 0;
  long mine = __sync_fetch_and_add(&count, 1);
  if (action == COUNT || mine < number || (mine > number && action != FAIL_ON)) return 0;
  if (mine == number) {
    snprintf(where, sizeof where, "%s %s", names[__builtin_ctz(kind)], path);
    tell();
  }
  if (action == SIGNAL) { kill(getpid(), value); return 0; }
  errno = value;
  return 1;
}
static int strikes_fd(int kind, int fd) {
  char link[64], path[4096];
  if (!(kinds & kind) || !folder[0]) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int keep = errno;
  ssize_t n = readlink(link, path, sizeof path - 1);
  errno = keep;
  if (n <= 0) return 0;
  path[n] = 0;
  return strikes(kind, path);
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)
#define OPENS(name) \
  EXPORT int name(const char *p, int flags, ...) { \
    REAL(int, #name, const char *, int, ...); \
    va_list a; va_start(a, flags); int mode = va_arg(a, int); va_end(a); \
    if ((flags & O_CREAT || (flags & O_ACCMODE) != O_RDONLY) && strikes(OPEN, p)) return -1; \
    return real(p, flags, mode); }
OPENS(open)
OPENS(open64)
EXPORT int mkdir(const char *p, mode_t m) {
  REAL(int, "mkdir", const char *, mode_t);
  return strikes(MKDIR, p) ? -1 : real(p, m); }
EXPORT ssize_t write(int d, const void *b, size_t n) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return strikes_fd(WRITE, d) ? -1 : real(d, b, n); }
EXPORT ssize_t writev(int d, const struct iovec *v, int n) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  return strikes_fd(WRITE, d) ? -1 : real(d, v, n); }
EXPORT ssize_t copy_file_range(int a, off64_t *x, int b, off64_t *y, size_t n, unsigned f) {
  REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
  return strikes_fd(WRITE, b) ? -1 : real(a, x, b, y, n, f); }
EXPORT ssize_t sendfile64(int o, int i, off64_t *x, size_t n) {
  REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
  return strikes_fd(WRITE, o) ? -1 : real(o, i, x, n); }
EXPORT int ftruncate64(int d, off64_t n) {
  REAL(int, "ftruncate64", int, off64_t);
  return strikes_fd(WRITE, d) ? -1 : real(d, n); }
EXPORT int fsync(int d) { REAL(int, "fsync", int); return strikes_fd(SYNC, d) ? -1 : real(d); }
EXPORT int fdatasync(int d) { REAL(int, "fdatasync", int); return strikes_fd(SYNC, d) ? -1 : real(d); }
EXPORT int rename(const char *a, const char *b) {
  REAL(int, "rename", const char *, const char *);
  return strikes(RENAME, a) ? -1 : real(a, b); }
EXPORT int close(int d) {
  REAL(int, "close", int);
  int keep = errno, flags = kinds & CLOSE ? fcntl(d, F_GETFL) : 0;  /* reading cannot fail late */
  errno = keep;
  if (flags > 0 && (flags & O_ACCMODE) != O_RDONLY && strikes_fd(CLOSE, d)) { int e = errno; real(d); errno = e; return -1; }
  return real(d); }
EXPORT int unlink(const char *p) {
  REAL(int, "unlink", const char *);
  return strikes(REMOVE, p) ? -1 : real(p); }
EXPORT int rmdir(const char *p) {
  REAL(int, "rmdir", const char *);
  return strikes(REMOVE, p) ? -1 : real(p); }
EXPORT int unlinkat(int d, const char *p, int f) {
  REAL(int, "unlinkat", int, const char *, int);
  return (p[0] == '/' ? strikes(REMOVE, p) : strikes_fd(REMOVE, d)) ? -1 : real(d, p, f); }
