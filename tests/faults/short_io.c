// Makes reads and writes as short, and as often interrupted, as the system may make them.
//
// Preloaded into test programs (see `run` beside this file). Of eight calls on a pipe or stream, one fails with
// EINTR, five move one to seven bytes, two are let through. With OFFSPRING_SMALL_BUFFERS, sockets get the smallest
// buffers that there are. Each without the other is what must pass: Linux counts 768 bytes and more for a write of one,
// so both together make sockets that hold a dozen bytes, and a program that sends a short word that nobody reads yet
// waits for ever. POSIX allows all of it, at any time; a program that loses data under it has always been wrong.
//
// What POSIX does not allow is not done: see `harm_to`.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// Of a thread without the loader's help: it is used in forked children, too, which may not allocate.
static _Thread_local unsigned long state __attribute__((tls_model("initial-exec")));
// Set once, before `main`: a process may change its environment later.
static unsigned long seed;
static int whole = 1;
static int small_buffers;

// A forked child has a sequence of its own.
static void forked(void)
{
    state = 0;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_atfork(NULL, NULL, forked);
    const char *wanted = getenv("OFFSPRING_SHORT_IO");
    whole = wanted == NULL;
    small_buffers = getenv("OFFSPRING_SMALL_BUFFERS") != NULL;
    seed = wanted ? strtoul(wanted, NULL, 10) : 0;
}

static unsigned next(void)
{
    if (state == 0) state = seed * 2654435761UL + (unsigned long)getpid() + 1;
    state = state * 6364136223846793005UL + 1442695040888963407UL;
    return (unsigned)(state >> 33);
}

enum direction { IN, OUT };
// What may happen to a call: nothing, an interruption, or that and fewer bytes.
enum harm { NONE, INTERRUPTED, CUT };

// A file is read and written whole, but for its end. What is no stream has messages that stay whole: datagrams, the
// counters of eventfd, the records of signalfd. A pipe takes up to PIPE_BUF bytes whole or not at all; and what is in a
// pipe that never blocks, one read of as many bytes takes out: it waits for nothing, so no signal comes in between.
// (The note that says who may write to a part of a table lies in such a pipe, and two who want it must not
// get half of it each.)
// Asked without the functions that other preloaded libraries count or let fail.
static enum harm harm_to(int fd, size_t count, enum direction direction)
{
    struct stat about;
    if (fstat(fd, &about) != 0) return NONE;
    int type = 0;
    socklen_t size = sizeof type;
    switch (about.st_mode & S_IFMT) {
    case S_IFIFO:
        if (count > PIPE_BUF) return CUT;
        return direction == IN && !(syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK) ? CUT : INTERRUPTED;
    case S_IFSOCK:
        if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return NONE;
        return type == SOCK_STREAM ? CUT : INTERRUPTED;
    case 0: // Linux has no type for them.
        return INTERRUPTED;
    default:
        return NONE;
    }
}

// How many of so many bytes are moved; 0 for an interruption.
static size_t some(int fd, size_t wanted, enum direction direction)
{
    if (wanted == 0 || whole) return wanted;
    unsigned dice = next() % 8;
    if (dice > 5) return wanted;
    int saved = errno;
    enum harm harm = harm_to(fd, wanted, direction);
    errno = saved;
    if (dice == 0) return harm == NONE ? wanted : 0;
    if (harm != CUT) return wanted;
    return 1 + next() % (wanted < 7 ? wanted : 7);
}

#define REAL(result, name, ...)                                   \
    static result (*real)(__VA_ARGS__);                           \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define SHORTEN(fd, count, direction)                             \
    if (count) {                                                  \
        count = some(fd, count, direction);                       \
        if (count == 0) {                                         \
            errno = EINTR;                                        \
            return -1;                                            \
        }                                                         \
    }

ssize_t read(int fd, void *to, size_t count)
{
    REAL(ssize_t, "read", int, void *, size_t);
    SHORTEN(fd, count, IN);
    return real(fd, to, count);
}

ssize_t write(int fd, const void *from, size_t count)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    SHORTEN(fd, count, OUT);
    return real(fd, from, count);
}

ssize_t recv(int fd, void *to, size_t count, int flags)
{
    REAL(ssize_t, "recv", int, void *, size_t, int);
    SHORTEN(fd, count, IN);
    return real(fd, to, count, flags);
}

ssize_t send(int fd, const void *from, size_t count, int flags)
{
    REAL(ssize_t, "send", int, const void *, size_t, int);
    SHORTEN(fd, count, OUT);
    return real(fd, from, count, flags);
}

// A message of several parts: those parts, or that part of one, that hold so many bytes.
static size_t cut(struct iovec *parts, const struct iovec *all, size_t count, size_t bytes)
{
    size_t used = 0;
    while (used < count && bytes > 0) {
        parts[used] = all[used];
        if (parts[used].iov_len > bytes) parts[used].iov_len = bytes;
        bytes -= parts[used].iov_len;
        used++;
    }
    return used;
}

static size_t length_of(const struct iovec *parts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += parts[i].iov_len;
    return bytes;
}

ssize_t writev(int fd, const struct iovec *all, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    struct iovec parts[IOV_MAX];
    if (count <= 0 || count > IOV_MAX) return real(fd, all, count);
    size_t bytes = length_of(all, (size_t)count);
    SHORTEN(fd, bytes, OUT);
    return real(fd, parts, (int)cut(parts, all, (size_t)count, bytes));
}

ssize_t readv(int fd, const struct iovec *all, int count)
{
    REAL(ssize_t, "readv", int, const struct iovec *, int);
    struct iovec parts[IOV_MAX];
    if (count <= 0 || count > IOV_MAX) return real(fd, all, count);
    size_t bytes = length_of(all, (size_t)count);
    SHORTEN(fd, bytes, IN);
    return real(fd, parts, (int)cut(parts, all, (size_t)count, bytes));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(ssize_t, "sendmsg", int, const struct msghdr *, int);
    struct iovec parts[IOV_MAX];
    struct msghdr cut_message = *message;
    size_t bytes = length_of(message->msg_iov, message->msg_iovlen);
    SHORTEN(fd, bytes, OUT);
    cut_message.msg_iov = parts;
    cut_message.msg_iovlen = cut(parts, message->msg_iov, message->msg_iovlen, bytes);
    return real(fd, &cut_message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(ssize_t, "recvmsg", int, struct msghdr *, int);
    struct iovec parts[IOV_MAX];
    struct iovec *all = message->msg_iov;
    size_t count = message->msg_iovlen;
    size_t bytes = length_of(all, count);
    SHORTEN(fd, bytes, IN);
    message->msg_iov = parts;
    message->msg_iovlen = cut(parts, all, count, bytes);
    ssize_t got = real(fd, message, flags);
    message->msg_iov = all;
    message->msg_iovlen = count;
    return got;
}

int socketpair(int domain, int type, int protocol, int pair[2])
{
    REAL(int, "socketpair", int, int, int, int[2]);
    int result = real(domain, type, protocol, pair);
    if (result == 0 && small_buffers) {
        int least = 4096;
        for (int i = 0; i < 2; i++) {
            setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
        }
    }
    return result;
}
