// Makes reads and writes as short, and as often interrupted, as the system may make them.
//
// Preloaded into test programs (see `run` beside this file). Of eight calls on a pipe or stream, one fails with
// EINTR, five move one to seven bytes, two are let through. Sockets get the smallest buffers that there are.
// POSIX allows all of it, at any time; a program that loses data under it has always been wrong.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local unsigned long state;

static unsigned next(void)
{
    if (state == 0) {
        const char *seed = getenv("OFFSPRING_SHORT_IO");
        state = (seed ? strtoul(seed, NULL, 10) : 0) * 2654435761UL + (unsigned long)getpid() + 1;
    }
    state = state * 6364136223846793005UL + 1442695040888963407UL;
    return (unsigned)(state >> 33);
}

// Pipes and stream sockets only: of a file, a read is short at its end and nowhere else.
static int is_stream(int fd)
{
    int saved = errno;
    struct stat about;
    int stream = 0;
    if (fstat(fd, &about) == 0) {
        if (S_ISFIFO(about.st_mode)) {
            stream = 1;
        } else if (S_ISSOCK(about.st_mode)) {
            int type = 0;
            socklen_t size = sizeof type;
            stream = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
        }
    }
    errno = saved;
    return stream;
}

// How many of so many bytes are moved; 0 for an interruption.
static size_t some(int fd, size_t wanted)
{
    if (wanted == 0 || !is_stream(fd)) return wanted;
    unsigned dice = next() % 8;
    if (dice == 0) return 0;
    if (dice > 5) return wanted;
    size_t most = wanted < 7 ? wanted : 7;
    return 1 + next() % most;
}

#define REAL(result, name, ...)                                   \
    static result (*real)(__VA_ARGS__);                           \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define SHORTEN(fd, count)                                        \
    if (count) {                                                  \
        count = some(fd, count);                                  \
        if (count == 0) {                                         \
            errno = EINTR;                                        \
            return -1;                                            \
        }                                                         \
    }

ssize_t read(int fd, void *to, size_t count)
{
    REAL(ssize_t, "read", int, void *, size_t);
    SHORTEN(fd, count);
    return real(fd, to, count);
}

ssize_t write(int fd, const void *from, size_t count)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    SHORTEN(fd, count);
    return real(fd, from, count);
}

ssize_t recv(int fd, void *to, size_t count, int flags)
{
    REAL(ssize_t, "recv", int, void *, size_t, int);
    SHORTEN(fd, count);
    return real(fd, to, count, flags);
}

ssize_t send(int fd, const void *from, size_t count, int flags)
{
    REAL(ssize_t, "send", int, const void *, size_t, int);
    SHORTEN(fd, count);
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
    SHORTEN(fd, bytes);
    return real(fd, parts, (int)cut(parts, all, (size_t)count, bytes));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(ssize_t, "sendmsg", int, const struct msghdr *, int);
    struct iovec parts[IOV_MAX];
    struct msghdr cut_message = *message;
    size_t bytes = length_of(message->msg_iov, message->msg_iovlen);
    SHORTEN(fd, bytes);
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
    SHORTEN(fd, bytes);
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
    if (result == 0) {
        int least = 4096;
        for (int i = 0; i < 2; i++) {
            setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
        }
    }
    return result;
}
