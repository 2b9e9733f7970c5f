// Lets the k-th system call of a chosen process fail, once, with a chosen error.
//
// Preloaded into a test program (tests/failing_calls.rs). What to do is in a page that all processes of the
// program share, so the test can change it at any time. Counted are the calls of offspring and of Rust's library
// that can fail: not those inside the C library, and none of memory that is private. A call is given only errors
// that its manual allows, or that a filter (seccomp) or a quota may give: one that nothing can give shows nothing.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "preload.h"

// Words, the same as those in tests/failing_calls/page.rs.
struct page {
    _Atomic uint64_t armed;
    _Atomic uint64_t owner;
    _Atomic uint64_t distance; // 0: the owner itself, 1: its children, 2: theirs
    _Atomic uint64_t error;
    _Atomic uint64_t wanted;
    _Atomic uint64_t counted;
    _Atomic uint64_t lasting; // that function goes on failing
    _Atomic uint64_t failed;  // how often
    char name[48];
};

static struct page *page;

__attribute__((constructor)) static void open_page(void)
{
    page = map_page("OFFSPRING_FAILING_CALLS", sizeof *page);
}

// How far from the owner this process is.
static uint64_t distance(void)
{
    static _Atomic uint64_t known, far;
    uint64_t own = (uint64_t)getpid();
    if (known != own) {
        uint64_t owner = page->owner;
        far = own == owner ? 0 : (uint64_t)getppid() == owner ? 1 : 2;
        known = own;
    }
    return far;
}

// Which errors a call may have: a bit for each of these.
enum { M = 1, N = 2, A = 4, I = 8, S = 16, P = 32 };

static int bit(int error)
{
    switch (error) {
    case EMFILE: return M;
    case ENOMEM: return N;
    case EAGAIN: return A;
    case EINTR: return I;
    case ENOSYS: return S;
    case EPERM: return P;
    default: return 0;
    }
}

// The error that this call shall have, or 0.
static int fails(const char *name, int possible)
{
    if (!page || !page->armed || distance() != page->distance) return 0;
    int error = (int)page->error;
    if (!(bit(error) & possible)) return 0;
    int again = page->lasting && page->failed && strcmp(page->name, name) == 0;
    if (!again) {
        if (atomic_fetch_add(&page->counted, 1) + 1 != page->wanted) return 0;
        strncpy(page->name, name, sizeof page->name - 1);
    }
    atomic_fetch_add(&page->failed, 1);
    return error;
}

// -1 and `errno`.
#define FAIL(name, possible)                                      \
    do {                                                          \
        int error_ = fails(name, possible);                       \
        if (error_) { errno = error_; return -1; }                \
    } while (0)

// The number itself.
#define FAIL_BY_NUMBER(name, possible)                            \
    do {                                                          \
        int error_ = fails(name, possible);                       \
        if (error_) return error_;                                \
    } while (0)

pid_t fork(void)
{
    REAL(pid_t, fork, void);
    FAIL("fork", N | A | S | P);
    return real();
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
    const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    REAL(int, posix_spawn, pid_t *, const char *, const posix_spawn_file_actions_t *,
        const posix_spawnattr_t *, char *const[], char *const[]);
    FAIL_BY_NUMBER("posix_spawn", M | N | A | S | P);
    return real(pid, path, actions, attributes, arguments, environment);
}

int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int from, int to)
{
    REAL(int, posix_spawn_file_actions_adddup2, posix_spawn_file_actions_t *, int, int);
    FAIL_BY_NUMBER("posix_spawn_file_actions_adddup2", N);
    return real(actions, from, to);
}

int posix_spawn_file_actions_addopen(
    posix_spawn_file_actions_t *actions, int fd, const char *path, int flags, mode_t mode)
{
    REAL(int, posix_spawn_file_actions_addopen, posix_spawn_file_actions_t *, int, const char *, int, mode_t);
    FAIL_BY_NUMBER("posix_spawn_file_actions_addopen", N);
    return real(actions, fd, path, flags, mode);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    REAL(int, socketpair, int, int, int, int[2]);
    FAIL("socketpair", M | N | S | P);
    return real(domain, type, protocol, fds);
}

int pipe2(int fds[2], int flags)
{
    REAL(int, pipe2, int[2], int);
    FAIL("pipe2", M | N | S | P);
    return real(fds, flags);
}

int pipe(int fds[2])
{
    REAL(int, pipe, int[2]);
    FAIL("pipe", M | N | S | P);
    return real(fds);
}

static int of_fcntl(int command, const char **name)
{
    switch (command) {
    case F_DUPFD_CLOEXEC: *name = "fcntl(F_DUPFD_CLOEXEC)"; return M | N | S | P;
    case F_ADD_SEALS: *name = "fcntl(F_ADD_SEALS)"; return N | S | P;
    case F_GET_SEALS: *name = "fcntl(F_GET_SEALS)"; return S | P;
    case F_SETOWN: *name = "fcntl(F_SETOWN)"; return S | P;
    case F_SETSIG: *name = "fcntl(F_SETSIG)"; return S | P;
    case F_SETFL: *name = "fcntl(F_SETFL)"; return N | S | P;
    case F_GETFL: *name = "fcntl(F_GETFL)"; return S | P;
    case F_SETPIPE_SZ: *name = "fcntl(F_SETPIPE_SZ)"; return N | S | P;
    default: *name = "fcntl"; return 0;
    }
}

#define FCNTL(symbol)                                             \
    int symbol(int fd, int command, ...)                          \
    {                                                             \
        REAL(int, symbol, int, int, ...);                         \
        va_list list;                                             \
        va_start(list, command);                                  \
        void *argument = va_arg(list, void *);                    \
        va_end(list);                                             \
        const char *name;                                         \
        int possible = of_fcntl(command, &name);                  \
        FAIL(name, possible);                                     \
        return real(fd, command, argument);                       \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

int memfd_create(const char *name, unsigned flags)
{
    REAL(int, memfd_create, const char *, unsigned);
    FAIL("memfd_create", M | N | S | P);
    return real(name, flags);
}

#define MMAP(symbol)                                                                        \
    void *symbol(void *at, size_t length, int protection, int flags, int fd, off_t offset)  \
    {                                                                                       \
        REAL(void *, symbol, void *, size_t, int, int, int, off_t);                         \
        int error = flags & MAP_SHARED ? fails("mmap", N | A | P) : 0;                      \
        if (error) {                                                                        \
            errno = error;                                                                  \
            return MAP_FAILED;                                                              \
        }                                                                                   \
        return real(at, length, protection, flags, fd, offset);                             \
    }
MMAP(mmap)
MMAP(mmap64)

int madvise(void *at, size_t length, int advice)
{
    REAL(int, madvise, void *, size_t, int);
    FAIL("madvise", N | A | S | P);
    return real(at, length, advice);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    REAL(int, posix_fallocate, int, off_t, off_t);
    FAIL_BY_NUMBER("posix_fallocate", N | I | S | P);
    return real(fd, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    REAL(int, fallocate, int, int, off_t, off_t);
    FAIL("fallocate", N | I | S | P);
    return real(fd, mode, offset, length);
}

#define FTRUNCATE(symbol)                                         \
    int symbol(int fd, off_t length)                              \
    {                                                             \
        REAL(int, symbol, int, off_t);                            \
        FAIL("ftruncate", N | I | S | P);                         \
        return real(fd, length);                                  \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

int eventfd(unsigned count, int flags)
{
    REAL(int, eventfd, unsigned, int);
    FAIL("eventfd", M | N | S | P);
    return real(count, flags);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
    REAL(int, signalfd, int, const sigset_t *, int);
    FAIL("signalfd", M | N | S | P);
    return real(fd, mask, flags);
}

int poll(struct pollfd *list, nfds_t count, int timeout)
{
    REAL(int, poll, struct pollfd *, nfds_t, int);
    FAIL("poll", N | A | I);
    return real(list, count, timeout);
}

int ppoll(struct pollfd *list, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    REAL(int, ppoll, struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
    FAIL("ppoll", N | A | I);
    return real(list, count, timeout, mask);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
    FAIL("sendmsg", N | A | I | P | (message->msg_controllen ? M : 0));
    return real(fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(ssize_t, recvmsg, int, struct msghdr *, int);
    FAIL("recvmsg", N | A | I);
    return real(fd, message, flags);
}

ssize_t read(int fd, void *buffer, size_t size)
{
    REAL(ssize_t, read, int, void *, size_t);
    FAIL("read", fd > 2 ? N | I : 0);
    return real(fd, buffer, size);
}

// What is printed is nobody's but the user's.
ssize_t write(int fd, const void *buffer, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t);
    FAIL("write", fd > 2 ? N | I : 0);
    return real(fd, buffer, size);
}

#define OPEN(symbol)                                              \
    int symbol(const char *path, int flags, ...)                  \
    {                                                             \
        REAL(int, symbol, const char *, int, ...);                \
        va_list list;                                             \
        va_start(list, flags);                                    \
        mode_t mode = va_arg(list, mode_t);                       \
        va_end(list);                                             \
        FAIL("open", M | N | I | P);                              \
        return real(path, flags, mode);                           \
    }
OPEN(open)
OPEN(open64)

int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    REAL(int, getsockopt, int, int, int, void *, socklen_t *);
    FAIL("getsockopt", N | S | P);
    return real(fd, level, option, value, size);
}

int shutdown(int fd, int how)
{
    REAL(int, shutdown, int, int);
    FAIL("shutdown", S | P);
    return real(fd, how);
}

int prctl(int option, ...)
{
    REAL(int, prctl, int, ...);
    va_list list;
    va_start(list, option);
    unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long);
    unsigned long c = va_arg(list, unsigned long), d = va_arg(list, unsigned long);
    va_end(list);
    FAIL("prctl", N | S | P);
    return real(option, a, b, c, d);
}

int unshare(int flags)
{
    REAL(int, unshare, int);
    FAIL("unshare", N | S | P);
    return real(flags);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    REAL(pid_t, waitpid, pid_t, int *, int);
    FAIL("waitpid", I);
    return real(pid, status, options);
}

int kill(pid_t pid, int signal)
{
    REAL(int, kill, pid_t, int);
    FAIL("kill", P);
    return real(pid, signal);
}

int getentropy(void *buffer, size_t size)
{
    REAL(int, getentropy, void *, size_t);
    FAIL("getentropy", S | P);
    return real(buffer, size);
}

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    REAL(int, sched_getaffinity, pid_t, size_t, cpu_set_t *);
    FAIL("sched_getaffinity", S | P);
    return real(pid, size, set);
}

int dup2(int from, int to)
{
    REAL(int, dup2, int, int);
    FAIL("dup2", M | I | P);
    return real(from, to);
}

long syscall(long number, ...)
{
    REAL(long, syscall, long, ...);
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    // Those of std's own locks are private; and to wake somebody cannot fail.
    if (number == SYS_futex && b == FUTEX_WAIT) FAIL("futex", N | A | I);
    if (number == SYS_pidfd_open) FAIL("pidfd_open", M | N | S | P);
    if (number == SYS_pidfd_send_signal) FAIL("pidfd_send_signal", S | P);
    return real(number, a, b, c, d, e, f);
}
