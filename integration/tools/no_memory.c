/*
 * no_memory - a library to be loaded before a program: its allocations fail when the test says so.
 *
 * NO_MEMORY names a file of 32 bytes that the test and the program share: four numbers of 64 bits,
 *
 *     0   how often: 0 never, 1 each, n one in n
 *     1   only allocations of at least so many bytes
 *     2   so many have failed (written here)
 *     3   so many have been asked for (written here)
 *
 * Only what asks for memory of its own fails: malloc and its relatives, and anonymous mmap.  glibc's
 * allocator does not come back here for its own maps.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

static _Atomic uint64_t *control;

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("NO_MEMORY");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	long at;

	if (fd < 0)
		return;
	at = syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != -1)
		control = (_Atomic uint64_t *)at;
}

static bool
fails(size_t n)
{
	uint64_t every, asked;

	if (control == NULL)
		return false;
	every = atomic_load_explicit(&control[0], memory_order_relaxed);
	if (every == 0 || n < atomic_load_explicit(&control[1], memory_order_relaxed))
		return false;
	asked = atomic_fetch_add_explicit(&control[3], 1, memory_order_relaxed);
	if (asked % every != every - 1)
		return false;
	atomic_fetch_add_explicit(&control[2], 1, memory_order_relaxed);
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t n)
{
	return fails(n) ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return fails(n * size) ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	return n > 0 && fails(n) ? NULL : __libc_realloc(p, n);
}

void *
memalign(size_t align, size_t n)
{
	return fails(n) ? NULL : __libc_memalign(align, n);
}

void *
aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int
posix_memalign(void **out, size_t align, size_t n)
{
	void *p = memalign(align, n);

	if (p == NULL)
		return ENOMEM;
	*out = p;
	return 0;
}

void *
mmap(void *addr, size_t n, int prot, int flags, int fd, off_t at)
{
	if ((flags & MAP_ANONYMOUS) && fails(n))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, addr, n, prot, flags, fd, at);
}
