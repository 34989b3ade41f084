#include "cache-server/store/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache-server/store/segment.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum { PAGE = 4096, HUGE = 2 << 20, VERSION = 1, MIN_SEGMENTS = 8 };

#define MAGIC "SQCACHE\n"

struct fixed {
	char magic[8];
	uint32_t version, order; /* order: 1, to tell machines apart */
	uint32_t head_size, item_size, shift, unused;
	uint64_t seed;
	uint64_t epoch_us; /* wall time of store second 0 */
	uint64_t guard_bytes, segments_at;
	uint64_t sum;
};

struct slot {
	uint64_t number; /* the larger one counts */
	uint32_t clean, starts;
	uint64_t count, heads_at, heads_sum;
	uint32_t latest, unused;
	char boot_id[48];
	uint64_t sum;
};

struct changing {
	struct {
		struct slot slot;
		char pad[512 - sizeof(struct slot)];
	} slots[2];
	/* The latest second, and its complement below it, in one word. */
	_Atomic uint64_t latest;
};

struct mapping {
	int fd;
	char *base;
	size_t size;
	struct fixed *fixed;
	struct changing *changing;
	struct slot now; /* as last written */
	enum mapping_state state;
	char reason[160];
	char *path;
	uint32_t wanted;
	const struct clock *clock;
	struct log *log;
	uint64_t first_ms;  /* store time at open */
	uint64_t opened_ns; /* monotonic */
};

static uint64_t
sum_of(const void *p, size_t n)
{
	return hash_span((struct span){p, n}, VERSION);
}

static uint64_t
round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* --- the changing part -----------------------------------------------------------------------------------
 */

/* Writes the slot that does not count; once its last byte is there it does. */
static err_t
slot_write(struct mapping *m, struct err_detail *why)
{
	struct slot *to;

	m->now.number++;
	m->now.sum = sum_of(&m->now, offsetof(struct slot, sum));
	to = &m->changing->slots[m->now.number % 2].slot;
	*to = m->now;
	if (msync(m->base, 2 * PAGE, MS_SYNC) != 0)
		return err_set(why, ERR_IO, "cannot write %s: %s; look at the disk", m->path,
			       strerror(errno));
	return ERR_OK;
}

static const struct slot *
slot_read(const struct changing *c)
{
	const struct slot *best = NULL;

	for (unsigned i = 0; i < 2; i++) {
		const struct slot *s = &c->slots[i].slot;

		if (s->number % 2 == i && s->number && s->sum == sum_of(s, offsetof(struct slot, sum)) &&
		    (!best || s->number > best->number))
			best = s;
	}
	return best;
}

static void
latest_write(const struct mapping *m, uint32_t second)
{
	atomic_store_explicit(&m->changing->latest, (uint64_t)second << 32 | (uint32_t)~second,
			      memory_order_relaxed);
}

static uint32_t
latest_read(const struct mapping *m)
{
	uint64_t v = atomic_load_explicit(&m->changing->latest, memory_order_relaxed);

	return (uint32_t)(v >> 32) == (uint32_t)~v ? (uint32_t)(v >> 32) : 0;
}

static void
read_boot_id(const char *path, char *out, size_t cap)
{
	int fd = open(path ? path : "/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, cap - 1) : 0;

	memset(out + (n > 0 ? n : 0), 0, cap - (size_t)(n > 0 ? n : 0));
	if (fd >= 0)
		close(fd);
}

/* --- the file --------------------------------------------------------------------------------------------
 */

static err_t
file_lock(struct mapping *m, struct err_detail *why)
{
	m->fd = open(m->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->fd < 0)
		return err_set(why, ERR_SYS,
			       "cannot open the memory file %s: %s; check the path and its rights", m->path,
			       strerror(errno));
	if (flock(m->fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? err_set(why, ERR_IN_USE,
						      "the memory file %s is used by another process; stop "
						      "it or choose another file",
						      m->path)
					    : err_set(why, ERR_SYS, "cannot lock the memory file %s: %s",
						      m->path, strerror(errno));
	return ERR_OK;
}

static err_t
file_reserve(const struct mapping *m, uint64_t size, struct err_detail *why)
{
	int e = posix_fallocate(m->fd, 0, (off_t)size);

	if (e != 0)
		return err_set(
		    why, ERR_SYS,
		    "no room for %llu MiB in the memory file %s: %s; make room or ask for less memory",
		    (unsigned long long)(size >> 20), m->path, strerror(e));
	return ERR_OK;
}

static err_t
file_map(struct mapping *m, size_t size, struct err_detail *why)
{
	if (m->base)
		munmap(m->base, m->size);
	m->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->base == MAP_FAILED) {
		m->base = NULL;
		return err_set(why, ERR_SYS, "cannot map the memory file %s: %s; ask for less memory",
			       m->path, strerror(errno));
	}
	m->size = size;
	m->fixed = (struct fixed *)m->base;
	m->changing = (struct changing *)(m->base + PAGE);
	(void)madvise(m->base, size, MADV_HUGEPAGE);
	return ERR_OK;
}

static uint64_t
heads_bytes(uint64_t count)
{
	return round_up((count + 1) * sizeof(struct segment), PAGE);
}

/* --- what can be believed --------------------------------------------------------------------------------
 */

#define DISTRUST(m, ...) (snprintf((m)->reason, sizeof(m)->reason, __VA_ARGS__), false)

/* True: the layout is ours and whole.  Maps the file when it is. */
static bool
believe(struct mapping *m, uint64_t size, const char *boot_id, bool *foreign)
{
	struct fixed f;
	const struct slot *slot;
	uint64_t end;

	*foreign = false;
	if (size < 3 * PAGE || pread(m->fd, &f, sizeof f, 0) != (ssize_t)sizeof f) {
		*foreign = size >= sizeof f.magic && pread(m->fd, &f, 8, 0) == 8 && memcmp(f.magic, MAGIC, 8);
		return DISTRUST(m, "it is too short");
	}
	if (memcmp(f.magic, MAGIC, sizeof f.magic) != 0) {
		static const char zero[sizeof f.magic];

		*foreign = memcmp(f.magic, zero, sizeof zero) != 0;
		return DISTRUST(m,
				*foreign ? "it is no memory file of this program" : "it was never finished");
	}
	if (f.version != VERSION || f.order != 1 || f.head_size != sizeof(struct segment) ||
	    f.item_size != sizeof(struct item))
		return DISTRUST(m, "its layout is that of another version");
	if (f.sum != sum_of(&f, offsetof(struct fixed, sum)) || f.shift < SEGMENT_MIN_SHIFT ||
	    f.shift > SEGMENT_MAX_SHIFT)
		return DISTRUST(m, "its header is damaged");
	if (file_map(m, size, NULL) != ERR_OK)
		return DISTRUST(m, "it cannot be mapped");
	slot = slot_read(m->changing);
	if (!slot)
		return DISTRUST(m, "its record of starts is damaged");
	m->now = *slot;
	end = slot->heads_at + heads_bytes(slot->count);
	if (slot->count < MIN_SEGMENTS || slot->count > SEGMENT_MAX_ID || end > size ||
	    f.segments_at + (slot->count << f.shift) > slot->heads_at)
		return DISTRUST(m, "it was cut off");
	if (slot->clean) {
		if (slot->heads_sum != sum_of(m->base + slot->heads_at, heads_bytes(slot->count)))
			return DISTRUST(m, "its table of segments is damaged");
		m->state = MAPPING_CLEAN;
		return true;
	}
	if (!boot_id[0] || strncmp(slot->boot_id, boot_id, sizeof slot->boot_id) != 0)
		return DISTRUST(m, "the machine went down while it was in use");
	m->state = MAPPING_CRASHED;
	return true;
}

/* --- making and extending --------------------------------------------------------------------------------
 */

static err_t
make(struct mapping *m, const struct mapping_options *opt, uint32_t shift, uint64_t count,
     struct err_detail *why)
{
	uint64_t at = 3 * PAGE + round_up(opt->guard_bytes, PAGE), heads_at;
	err_t err;

	at = round_up(at, count << shift >= 64 * HUGE ? HUGE : PAGE);
	heads_at = round_up(at + (count << shift), PAGE);
	if (m->base)
		munmap(m->base, m->size);
	m->base = NULL;
	if (ftruncate(m->fd, 0) != 0)
		return err_set(why, ERR_SYS, "cannot empty the memory file %s: %s", m->path, strerror(errno));
	err = file_reserve(m, heads_at + heads_bytes(count), why);
	if (err == ERR_OK)
		err = file_map(m, heads_at + heads_bytes(count), why);
	if (err != ERR_OK)
		return err;

	*m->fixed = (struct fixed){
	    .version = VERSION,
	    .order = 1,
	    .head_size = sizeof(struct segment),
	    .item_size = sizeof(struct item),
	    .shift = shift,
	    .seed = opt->seed ? opt->seed : hash_seed(),
	    .epoch_us = clock_real_us(m->clock) - 2000000,
	    .guard_bytes = opt->guard_bytes,
	    .segments_at = at,
	};
	m->now = (struct slot){.count = count, .heads_at = heads_at, .latest = 2};
	err = slot_write(m, why);
	if (err != ERR_OK)
		return err;
	/* The magic comes last: without it the file is one that was never finished. */
	memcpy(m->fixed->magic, MAGIC, sizeof m->fixed->magic);
	m->fixed->sum = sum_of(m->fixed, offsetof(struct fixed, sum));
	return ERR_OK;
}

/*
 * The table of headers moves behind the new segments, and never over its old place: until the slot says so
 * the old one counts.
 */
static err_t
extend(struct mapping *m, uint64_t count, struct err_detail *why)
{
	uint64_t old_at = m->now.heads_at, old_bytes = heads_bytes(m->now.count), at;
	err_t err;

	at = round_up(m->fixed->segments_at + (count << m->fixed->shift), PAGE);
	if (at < old_at + old_bytes)
		at = old_at + old_bytes;
	err = file_reserve(m, at + heads_bytes(count), why);
	if (err != ERR_OK)
		return err;
	err = file_map(m, at + heads_bytes(count), why);
	if (err != ERR_OK)
		return err;
	memset(m->base + at, 0, heads_bytes(count));
	memcpy(m->base + at, m->base + old_at, (m->now.count + 1) * sizeof(struct segment));
	if (msync(m->base + at, heads_bytes(count), MS_SYNC) != 0)
		return err_set(why, ERR_IO, "cannot write %s: %s; look at the disk", m->path,
			       strerror(errno));
	m->now.count = count;
	m->now.heads_at = at;
	return ERR_OK; /* mapping_open() writes the slot */
}

static uint32_t
shift_for(uint64_t segment_size, uint64_t memory)
{
	uint32_t shift = SEGMENT_MAX_SHIFT;

	if (segment_size)
		return 63 - (uint32_t)__builtin_clzll(segment_size);
	while (shift > SEGMENT_MIN_SHIFT && memory >> shift < 256)
		shift--;
	return shift;
}

static err_t
open_file(struct mapping *m, const struct mapping_options *opt, struct err_detail *why)
{
	uint32_t shift = shift_for(opt->segment_size, opt->memory);
	char boot_id[sizeof m->now.boot_id];
	struct err_detail room = {0};
	struct stat st;
	bool foreign;
	uint64_t ms;
	err_t err;

	if ((opt->segment_size & (opt->segment_size - 1)) || shift < SEGMENT_MIN_SHIFT ||
	    shift > SEGMENT_MAX_SHIFT || opt->memory >> shift < MIN_SEGMENTS)
		return err_set(
		    why, ERR_CONFIG,
		    "%llu bytes of memory are fewer than %d segments; give the container more memory",
		    (unsigned long long)opt->memory, MIN_SEGMENTS);
	read_boot_id(opt->boot_id, boot_id, sizeof boot_id);
	err = file_lock(m, why);
	if (err != ERR_OK)
		return err;
	if (fstat(m->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return err_set(why, ERR_SYS, "the memory file %s is not a regular file; choose another path",
			       m->path);

	m->state = MAPPING_NEW;
	if (st.st_size > 0 && !believe(m, (uint64_t)st.st_size, boot_id, &foreign)) {
		m->state = MAPPING_DISTRUSTED;
		log_warn(m->log, "memory file is not believed: starting cold", F_STR("file", m->path),
			 F_STR("reason", m->reason));
		if (foreign) {
			char *aside = mem_alloc(strlen(m->path) + 8);

			sprintf(aside, "%s.aside", m->path);
			err =
			    rename(m->path, aside) == 0
				? ERR_OK
				: err_set(why, ERR_SYS, "cannot put the foreign file %s aside: %s; remove it",
					  m->path, strerror(errno));
			free(aside);
			close(m->fd);
			m->fd = -1;
			if (err == ERR_OK)
				err = file_lock(m, why);
			if (err != ERR_OK)
				return err;
		}
	}

	if (m->state == MAPPING_NEW || m->state == MAPPING_DISTRUSTED) {
		uint64_t count = opt->memory >> shift;

		err = make(m, opt, shift, count > SEGMENT_MAX_ID ? SEGMENT_MAX_ID : count, why);
		if (err != ERR_OK) {
			(void)!ftruncate(m->fd, 0);
			return err;
		}
	} else {
		uint64_t count = opt->memory >> m->fixed->shift;

		err = file_reserve(m, m->size, why); /* it may be sparse: copied, or withheld segments */
		if (err != ERR_OK)
			return err;
		if (count > SEGMENT_MAX_ID)
			count = SEGMENT_MAX_ID;
		if (count > m->now.count && extend(m, count, &room) != ERR_OK) {
			log_warn(m->log, "memory file stays as large as it was", F_STR("file", m->path),
				 F_STR("reason", err_why(&room)));
			if (!m->base)
				return err_set(why, ERR_SYS, "%s", err_why(&room));
		}
	}
	m->wanted = (uint32_t)(opt->memory >> m->fixed->shift);
	if (m->wanted > m->now.count)
		m->wanted = (uint32_t)m->now.count;

	/* Time goes on from the wall clock's, unless that is behind what was seen. */
	m->opened_ns = clock_mono_ns(m->clock);
	ms = (clock_real_us(m->clock) - m->fixed->epoch_us) / 1000;
	if (clock_real_us(m->clock) < m->fixed->epoch_us || ms < 2000 || ms / 1000 > UINT32_MAX / 2)
		ms = 2000;
	if (ms / 1000 < m->now.latest)
		ms = (uint64_t)m->now.latest * 1000;
	if (m->state == MAPPING_CRASHED && ms / 1000 < latest_read(m))
		ms = (uint64_t)latest_read(m) * 1000;
	m->first_ms = ms;
	latest_write(m, (uint32_t)(ms / 1000));

	/* From here on the file is in use, on the disk, too: before anything else in it changes. */
	m->now.clean = 0;
	m->now.starts++;
	m->now.latest = (uint32_t)(ms / 1000);
	memcpy(m->now.boot_id, boot_id, sizeof boot_id);
	return slot_write(m, why);
}

err_t
mapping_open(struct mapping **out, const struct mapping_options *opt, struct err_detail *why)
{
	struct mapping *m = MEM_NEW(struct mapping);
	err_t err;

	*out = NULL;
	m->fd = -1;
	m->path = mem_strdup(opt->path);
	m->clock = opt->clock;
	m->log = opt->log;
	err = open_file(m, opt, why);
	if (err == ERR_OK) {
		*out = m;
		m = NULL;
	}
	(void)mapping_close(&m, false, NULL);
	return err;
}

err_t
mapping_close(struct mapping **mp, bool clean, struct err_detail *why)
{
	struct mapping *m = *mp;
	err_t err = ERR_OK;

	if (!m)
		return ERR_OK;
	if (clean && m->base) {
		(void)mapping_now(m);
		if (msync(m->base, m->size, MS_SYNC) != 0)
			err = err_set(why, ERR_IO,
				      "cannot write the memory file %s: %s; the next start is cold", m->path,
				      strerror(errno));
		if (err == ERR_OK) {
			m->now.clean = 1;
			m->now.latest = latest_read(m);
			m->now.heads_sum = sum_of(m->base + m->now.heads_at, heads_bytes(m->now.count));
			err = slot_write(m, why);
		}
	}
	if (m->base)
		munmap(m->base, m->size);
	if (m->fd >= 0)
		close(m->fd);
	free(m->path);
	free(m);
	*mp = NULL;
	return err;
}

enum mapping_state
mapping_state(const struct mapping *m)
{
	return m->state;
}

const char *
mapping_reason(const struct mapping *m)
{
	return m->reason;
}

void
mapping_layout(const struct mapping *m, struct mapping_layout *out)
{
	*out = (struct mapping_layout){
	    .words = m->base + 2 * PAGE,
	    .heads = m->base + m->now.heads_at,
	    .segments = m->base + m->fixed->segments_at,
	    .count = (uint32_t)m->now.count,
	    .shift = m->fixed->shift,
	    .wanted = m->wanted,
	    .starts = m->now.starts,
	    .seed = m->fixed->seed,
	};
}

uint64_t
mapping_now_ms(const struct mapping *m)
{
	return m->first_ms + (clock_mono_ns(m->clock) - m->opened_ns) / 1000000;
}

uint32_t
mapping_now(const struct mapping *m)
{
	uint32_t now = (uint32_t)(mapping_now_ms(m) / 1000);

	if (now > latest_read(m))
		latest_write(m, now);
	return now;
}

uint64_t
mapping_epoch(const struct mapping *m)
{
	return clock_real_us(m->clock) / 1000000 - mapping_now(m);
}

void *
mapping_guard(struct mapping *m, uint64_t *bytes)
{
	*bytes = m->fixed->guard_bytes;
	return m->base + 3 * PAGE;
}

static off_t
at_of(const struct mapping *m, uint32_t id)
{
	return (off_t)(m->fixed->segments_at + ((uint64_t)(id - 1) << m->fixed->shift));
}

void
mapping_withhold(struct mapping *m, uint32_t id)
{
	(void)!fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at_of(m, id),
			 1 << m->fixed->shift);
}

bool
mapping_provide(struct mapping *m, uint32_t id)
{
	return posix_fallocate(m->fd, at_of(m, id), 1 << m->fixed->shift) == 0;
}
