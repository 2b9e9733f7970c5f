// What the libraries share that let calls fail: the page by which a test tells them what to do, and the calls behind
// those that they stand before. For a file that defines _GNU_SOURCE.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// So many bytes of the file that the environment names, shared by all processes of the program; NULL without it.
static void *map_page(const char *variable, size_t size)
{
    const char *path = getenv(variable);
    if (!path) return NULL;
    // By their numbers: the library may stand before these very functions.
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return NULL;
    void *map = (void *)syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
    syscall(SYS_close, fd);
    return map == MAP_FAILED ? NULL : map;
}

// `real`: the function of this name that comes next.
#define REAL(result, name, ...)                                   \
    static result (*real)(__VA_ARGS__);                           \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)
