// Lets the next call of one function fail with ENOMEM, in the owner or in its children.
//
// Preloaded into the program of tests/soak. Which function and whose call is in a page that all its processes share
// (tests/soak/faults.rs has the same words and numbers). Nothing here is on the way of a task.
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#include "preload.h"

struct page {
    _Atomic uint64_t owner;
    _Atomic uint64_t distance; // 0: the owner itself, 1: its children
    _Atomic uint64_t wanted;   // the number of a function, or 0
    _Atomic uint64_t failed;   // how often
};

enum { FORK = 1, POSIX_SPAWN, MMAP, SOCKETPAIR, PIPE, MEMFD_CREATE, DUPLICATE };

static struct page *page;

__attribute__((constructor)) static void open_page(void)
{
    page = map_page("OFFSPRING_SOAK_PAGE", sizeof *page);
}

static int fails(uint64_t function)
{
    if (!page || page->wanted != function) return 0;
    uint64_t distance = (uint64_t)getpid() == page->owner ? 0 : (uint64_t)getppid() == page->owner ? 1 : 2;
    if (distance != page->distance) return 0;
    if (!atomic_compare_exchange_strong(&page->wanted, &function, 0)) return 0;
    atomic_fetch_add(&page->failed, 1);
    errno = ENOMEM;
    return 1;
}

pid_t fork(void)
{
    REAL(pid_t, fork, void);
    return fails(FORK) ? -1 : real();
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
    const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    REAL(int, posix_spawn, pid_t *, const char *, const posix_spawn_file_actions_t *,
        const posix_spawnattr_t *, char *const[], char *const[]);
    return fails(POSIX_SPAWN) ? ENOMEM : real(pid, path, actions, attributes, arguments, environment);
}

// Memory that is private is the allocator's, whose users end their process without it.
#define MAP(symbol)                                                                         \
    void *symbol(void *at, size_t length, int protection, int flags, int fd, off_t offset)  \
    {                                                                                       \
        REAL(void *, symbol, void *, size_t, int, int, int, off_t);                         \
        if ((flags & MAP_SHARED) && fails(MMAP)) return MAP_FAILED;                         \
        return real(at, length, protection, flags, fd, offset);                             \
    }
MAP(mmap)
MAP(mmap64)

int socketpair(int domain, int type, int protocol, int fds[2])
{
    REAL(int, socketpair, int, int, int, int[2]);
    return fails(SOCKETPAIR) ? -1 : real(domain, type, protocol, fds);
}

int pipe2(int fds[2], int flags)
{
    REAL(int, pipe2, int[2], int);
    return fails(PIPE) ? -1 : real(fds, flags);
}

int memfd_create(const char *name, unsigned flags)
{
    REAL(int, memfd_create, const char *, unsigned);
    return fails(MEMFD_CREATE) ? -1 : real(name, flags);
}

#define CONTROL(symbol)                                           \
    int symbol(int fd, int command, ...)                          \
    {                                                             \
        REAL(int, symbol, int, int, ...);                         \
        va_list list;                                             \
        va_start(list, command);                                  \
        void *argument = va_arg(list, void *);                    \
        va_end(list);                                             \
        if (command == F_DUPFD_CLOEXEC && fails(DUPLICATE)) return -1; \
        return real(fd, command, argument);                       \
    }
CONTROL(fcntl)
CONTROL(fcntl64)
