#include "cache-server/store/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache-server/store/inside.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

struct restore {
	struct store_thread *t;
	struct store *s;
	uint64_t epoch; /* unix time of store second 0 */
	struct backup_reader *reader;
	struct backup_info info; /* of the present backup */
	bool has_info;
	uint64_t expected; /* id that the next backup must have; 0: any */
	bool older;	   /* the present one is a base of an earlier one */

	/* What older backups may contribute: hash to order << 8 | bits.  `next` is being gathered. */
	struct backup_map wanted, next;
	uint64_t nwanted, nnext;

	/* Items of the present backup: hash to order << 1 | came in.  A key may be there twice. */
	struct backup_map taken;

	struct store_draft draft; /* of the item whose value is being read */
	struct backup_item item;
	char key[256];
	enum { SKIP, TAKE } what;
	unsigned bits;
	bool again; /* an older version of it came in from the same backup */
	struct store_belief before;
	struct lane *lane; /* of the thread otherwise */
	struct restore_figures figures;
};

struct store *
store_of(struct store_thread *t)
{
	return t->s;
}

uint64_t
store_lineage(const struct store *s)
{
	return hash_span(SPAN_LIT("lineage"), s->seed);
}

/* --- one item ---------------------------------------------------------------------------------------------
 */

/* Whether an item of this backup may come in at all, and with which bits. */
static bool
may_take(struct restore *r, const struct backup_item *it)
{
	uint64_t *order = backup_map_find(&r->taken, it->hash), *want;

	r->bits = it->bits;
	r->again = order && (*order & 1);
	if (order && *order >> 1 >= it->order)
		return false;
	if (!r->older)
		return true;
	want = backup_map_find(&r->wanted, it->hash);
	if (!want || *want >> 8 != it->order)
		return false;
	r->bits = (it->bits & ~(unsigned)(BACKUP_STALE | BACKUP_FETCHED)) | (unsigned)(*want & 0xFF);
	*want = 0; /* no order is 0 */
	r->nwanted--;
	return true;
}

static err_t
on_item(void *arg, const struct backup_item *it, struct err_detail *why)
{
	struct restore *r = arg;
	uint64_t expiry = 0, *older;
	err_t err;

	(void)why;
	r->what = SKIP;
	if (!may_take(r, it))
		return ERR_OK;
	/* Whatever becomes of it: older versions are out. */
	backup_map_put(&r->taken, it->hash, it->order << 1 | r->again);
	older = backup_map_find(&r->next, it->hash);
	if (older && *older) {
		*older = 0;
		r->nnext--;
	}
	if (it->expiry) {
		if (it->expiry <= r->epoch + store_now(r->s)) {
			r->figures.expired++;
			return ERR_OK;
		}
		expiry = it->expiry - r->epoch;
		if (expiry > UINT32_MAX)
			expiry = UINT32_MAX;
	}
	memcpy(r->key, it->key.p, it->key.len);
	r->item = *it;
	r->draft = (struct store_draft){
	    .key = span_make(r->key, it->key.len),
	    .value_len = it->value_len,
	    .expiry = (uint32_t)expiry,
	    .client_flags = it->client_flags,
	    .cas = (it->bits & BACKUP_CAS) ? it->cas : 0,
	};
	/* The number of an epoch's source means something in its own lineage only. */
	if ((it->bits & BACKUP_EPOCH) && r->info.lineage == store_lineage(r->s))
		r->draft.epoch = it->epoch;
	r->draft.hash = store_hash(r->s, r->draft.key);
	err = store_begin(r->t, &r->draft);
	if (err == ERR_OK)
		r->what = TAKE;
	else
		r->figures.refused++;
	return ERR_OK;
}

/* The draft is full.  What is in the store stays, unless it is an older version from this very backup. */
static void
commit(struct restore *r)
{
	struct store_view v;
	bool there;

	store_lock(r->t, r->draft.hash);
	there = store_find_locked(r->t, r->draft.key, r->draft.hash, &v);
	if (there && !(r->again && v.unproven)) {
		store_unlock(r->t, r->draft.hash);
		store_abort(r->t, &r->draft);
		r->figures.kept++;
		return;
	}
	(void)store_commit(r->t, &r->draft,
			   ((r->bits & BACKUP_STALE) ? ITEM_STALE : 0) |
			       ((r->bits & BACKUP_FETCHED) ? ITEM_FETCHED : 0));
	store_unlock(r->t, r->draft.hash);
	backup_map_put(&r->taken, r->item.hash, r->item.order << 1 | 1);
	r->figures.restored += !r->again;
	r->figures.bytes += r->item.value_len;
}

static err_t
on_part(void *arg, const struct backup_item *it, uint64_t at, struct span bytes, struct err_detail *why)
{
	struct restore *r = arg;
	size_t n;
	char *where;

	(void)why;
	if (r->what == SKIP)
		return ERR_OK;
	while (bytes.len > 0 && (n = store_draft_room(r->t, &r->draft, at, &where)) != 0) {
		n = n < bytes.len ? n : bytes.len;
		memcpy(where, bytes.p, n);
		bytes = span_make(bytes.p + n, bytes.len - n);
		at += n;
	}
	if (at == it->value_len) {
		commit(r);
		r->what = SKIP;
	}
	return ERR_OK;
}

static err_t
on_same(void *arg, uint64_t hash, uint64_t order, unsigned bits, struct err_detail *why)
{
	struct restore *r = arg;
	uint64_t *want;

	(void)why;
	if (r->older) {
		/* Only what the newer backup names, too, is looked for further on. */
		want = backup_map_find(&r->wanted, hash);
		if (!want || *want >> 8 != order)
			return ERR_OK;
		bits = (unsigned)(*want & 0xFF);
		*want = 0;
		r->nwanted--;
	}
	if (order == 0 || order > ITEM_CAS_MASK || backup_map_find(&r->taken, hash))
		return ERR_OK;
	want = backup_map_find(&r->next, hash);
	r->nnext += !want || *want == 0;
	backup_map_put(&r->next, hash, order << 8 | (bits & 0xFF));
	return ERR_OK;
}

static err_t
on_header(void *arg, const struct backup_info *info, struct err_detail *why)
{
	struct restore *r = arg;

	if (r->expected && info->id != r->expected)
		return err_set(
		    why, ERR_OTHER_SERVER,
		    "this backup is %016llx, but the newer one was made on %016llx; give that one next",
		    (unsigned long long)info->id, (unsigned long long)r->expected);
	r->info = *info;
	r->has_info = true;
	if (!r->older) {
		r->figures.began = info->began;
		store_owe(r->s, info->began); /* before the first item comes in */
	}
	return ERR_OK;
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static void
new_reader(struct restore *r)
{
	struct backup_visitor v = {
	    .header = on_header, .item = on_item, .part = on_part, .same = on_same, .arg = r};

	backup_reader_destroy(&r->reader);
	r->reader = backup_reader_create(&v);
}

err_t
restore_create(struct restore **out, struct store_thread *t, uint64_t unix_now, struct err_detail *why)
{
	struct restore *r;
	struct store_belief before;

	*out = NULL;
	if (!store_restore_begins(t->s, &before))
		return err_set(why, ERR_BUSY, "a restore of this store is going on; wait for its end");
	r = MEM_NEW(struct restore);
	r->before = before;
	r->t = t;
	/* The lane whose segments have no boot number that counts. */
	r->lane = t->lane;
	t->lane = &t->s->lanes[t->s->nlanes];
	r->s = t->s;
	r->epoch = unix_now - store_now(r->s);
	new_reader(r);
	*out = r;
	return ERR_OK;
}

err_t
restore_feed(struct restore *r, struct span bytes, struct err_detail *why)
{
	return backup_read(r->reader, bytes, why);
}

bool
restore_one_done(const struct restore *r)
{
	return backup_read_done(r->reader);
}

err_t
restore_end_of_one(struct restore *r, uint64_t *base, struct err_detail *why)
{
	err_t err = backup_read_end(r->reader, why);

	*base = 0;
	if (err != ERR_OK)
		return err;
	r->figures.missing += r->nwanted;
	backup_map_fini(&r->wanted);
	backup_map_fini(&r->taken);
	r->wanted = r->next;
	r->nwanted = r->nnext;
	r->next = (struct backup_map){0};
	r->nnext = 0;
	if (r->info.incremental) {
		*base = r->expected = r->info.base;
		r->older = true;
	}
	new_reader(r);
	return ERR_OK;
}

void
restore_figures(const struct restore *r, struct restore_figures *out)
{
	*out = r->figures;
	out->missing += r->nwanted + r->nnext;
}

void
restore_destroy(struct restore **rp)
{
	struct restore *r = *rp;

	if (!r)
		return;
	if (r->what == TAKE)
		store_abort(r->t, &r->draft);
	r->t->lane = r->lane;
	/* If nothing came in, what was served may be served again. */
	store_restore_ends(r->s, r->figures.restored == 0 ? &r->before : NULL);
	lane_close_idle(r->s, true);
	backup_reader_destroy(&r->reader);
	backup_map_fini(&r->wanted);
	backup_map_fini(&r->next);
	backup_map_fini(&r->taken);
	free(r);
	*rp = NULL;
}

/* --- files -------------------------------------------------------------------------------------------------
 */

enum { CHUNK = 1 << 20, SEGMENTS_AT_ONCE = 4 };

static err_t
check_stop(const struct backup_job *job, struct err_detail *why)
{
	quiesce_tick(job->quiesce, job->qt);
	if (job->stop && job->stop(job->arg))
		return err_set(why, ERR_CLOSED, "stopped before the end");
	return ERR_OK;
}

static void
tell(const struct backup_job *job, uint64_t items, uint64_t bytes)
{
	if (job->progress)
		job->progress(job->arg, items, bytes);
}

/* Offline while it waits for the disk, so that it delays nobody. */
static err_t
read_file(const struct backup_job *job, const char *path,
	  err_t (*feed)(void *arg, struct span bytes, struct err_detail *why), void *arg, uint64_t *bytes,
	  struct err_detail *why)
{
	char *chunk = mem_alloc(CHUNK);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	err_t err = ERR_OK;

	if (fd < 0)
		err = err_set(why, ERR_SYS, "cannot open the backup %s: %s; check the path", path,
			      strerror(errno));
	while (err == ERR_OK) {
		quiesce_offline(job->qt);
		n = read(fd, chunk, CHUNK);
		quiesce_online(job->quiesce, job->qt);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = err_set(why, ERR_IO, "cannot read the backup %s: %s", path, strerror(errno));
		if (n <= 0)
			break;
		err = feed(arg, span_make(chunk, (size_t)n), why);
		*bytes += (uint64_t)n;
		if (err == ERR_OK)
			err = check_stop(job, why);
	}
	if (fd >= 0)
		close(fd);
	free(chunk);
	return err;
}

static err_t
feed_reader(void *arg, struct span bytes, struct err_detail *why)
{
	return backup_read(arg, bytes, why);
}

struct coming_in {
	const struct backup_job *job;
	struct restore *r;
	uint64_t bytes; /* read so far */
};

static err_t
feed_restore(void *arg, struct span bytes, struct err_detail *why)
{
	struct coming_in *in = arg;
	err_t err = restore_feed(in->r, bytes, why);

	tell(in->job, in->r->figures.restored, in->bytes);
	return err;
}

/*
 * What a step of a backup makes waits in memory, and goes to the disk while the thread is offline: a slow
 * disk must not keep others from reusing memory.  A value that is larger than all that goes out at once.
 */
struct out_file {
	int fd;
	const char *path;
	struct buf waiting;
};

enum { OUT_WAITING = 8 << 20 };

static err_t
write_out(struct out_file *f, struct err_detail *why)
{
	while (f->waiting.len > 0) {
		ssize_t n = write(f->fd, f->waiting.p, f->waiting.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(why, ERR_IO, "cannot write the backup %s: %s; make room", f->path,
				       strerror(errno));
		buf_take(&f->waiting, (size_t)n);
	}
	return ERR_OK;
}

static err_t
write_file(void *arg, struct span bytes, struct err_detail *why)
{
	struct out_file *f = arg;

	buf_put_span(&f->waiting, bytes);
	return f->waiting.len > OUT_WAITING ? write_out(f, why) : ERR_OK;
}

static err_t
write_offline(const struct backup_job *job, struct out_file *f, struct err_detail *why)
{
	err_t err;

	quiesce_offline(job->qt);
	err = write_out(f, why);
	quiesce_online(job->quiesce, job->qt);
	return err;
}

static err_t
read_manifest(const struct backup_job *job, const char *path, struct backup_manifest *m,
	      struct err_detail *why)
{
	struct backup_reader *r = backup_reader_create(&m->visitor);
	uint64_t bytes = 0;
	err_t err = read_file(job, path, feed_reader, r, &bytes, why);

	if (err == ERR_OK)
		err = backup_read_end(r, why);
	if (err != ERR_OK)
		err_wrap(why, "base %s", path);
	backup_reader_destroy(&r);
	return err;
}

err_t
backup_file(const struct backup_job *job, const char *path, const char *base, struct backup_figures *out,
	    struct err_detail *why)
{
	char *part = mem_alloc(strlen(path) + 6);
	struct out_file f = {.fd = -1, .path = path};
	struct backup_manifest m;
	struct backup_options opt = {.id = hash_seed() | 1,
				     .hash_seed = hash_seed(),
				     .unix_now = job->unix_now,
				     .base = base ? &m : NULL,
				     .sink = write_file,
				     .arg = &f};
	struct backup *b = NULL;
	bool more = true, made = false;
	err_t err = ERR_OK;

	*out = (struct backup_figures){0};
	sprintf(part, "%s.part", path);
	backup_manifest_init(&m);
	if (base)
		err = read_manifest(job, base, &m, why);
	if (err != ERR_OK)
		goto done;
	f.fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (f.fd < 0) {
		err = err_set(why, ERR_SYS, "cannot make %s: %s; check the folder", part, strerror(errno));
		goto done;
	}
	made = true;
	err = backup_create(&b, job->t, &opt, why);
	while (err == ERR_OK && more) {
		err = backup_step(b, SEGMENTS_AT_ONCE, &more, why);
		if (err == ERR_OK)
			err = write_offline(job, &f, why);
		if (err == ERR_OK)
			err = check_stop(job, why);
		backup_figures(b, out);
		tell(job, out->items + out->same, out->bytes);
	}
	if (err != ERR_OK)
		goto done;
	backup_figures(b, out);
	quiesce_offline(job->qt);
	if (fsync(f.fd) != 0 || rename(part, path) != 0)
		err = err_set(why, ERR_IO, "cannot finish the backup %s: %s", path, strerror(errno));
	else
		made = false;
	quiesce_online(job->quiesce, job->qt);
done:
	if (f.fd >= 0)
		close(f.fd);
	if (made)
		unlink(part);
	buf_fini(&f.waiting);
	backup_destroy(&b);
	backup_manifest_fini(&m);
	free(part);
	return err;
}

/* --- a restore's files are looked at first --- */

struct checking {
	struct backup_reader *reader;
	const struct backup_job *job;
	uint64_t expected, base, began, items, bytes;
};

static err_t
check_header(void *arg, const struct backup_info *info, struct err_detail *why)
{
	struct checking *c = arg;

	if (c->expected && info->id != c->expected)
		return err_set(
		    why, ERR_OTHER_SERVER,
		    "this backup is %016llx, but the newer one was made on %016llx; give that one next",
		    (unsigned long long)info->id, (unsigned long long)c->expected);
	if (c->began == 0)
		c->began = info->began;
	c->base = info->incremental ? info->base : 0;
	return ERR_OK;
}

static err_t
check_item(void *arg, const struct backup_item *it, struct err_detail *why)
{
	struct checking *c = arg;

	(void)it;
	(void)why;
	c->items++;
	return ERR_OK;
}

static err_t
feed_check(void *arg, struct span bytes, struct err_detail *why)
{
	struct checking *c = arg;

	tell(c->job, c->items, c->bytes);
	return backup_read(c->reader, bytes, why);
}

err_t
restore_check(const struct backup_job *job, const char *const *paths, size_t n, uint64_t *began,
	      struct err_detail *why)
{
	struct checking c = {.job = job};
	struct backup_visitor v = {.header = check_header, .item = check_item, .arg = &c};
	err_t err = ERR_OK;

	for (size_t i = 0; i < n && err == ERR_OK; i++) {
		if (i > 0 && c.base == 0) {
			err = err_set(why, ERR_USAGE,
				      "%s follows a full backup; give the newest backup first", paths[i]);
			break;
		}
		c.expected = c.base;
		c.reader = backup_reader_create(&v);
		err = read_file(job, paths[i], feed_check, &c, &c.bytes, why);
		if (err == ERR_OK)
			err = backup_read_end(c.reader, why);
		if (err != ERR_OK)
			err_wrap(why, "%s", paths[i]);
		backup_reader_destroy(&c.reader);
	}
	if (err == ERR_OK && c.base != 0)
		err = err_set(why, ERR_GAP, "the backup was made on another one, %016llx; give that one, too",
			      (unsigned long long)c.base);
	*began = c.began;
	return err;
}

err_t
restore_files(const struct backup_job *job, const char *const *paths, size_t n, struct restore_figures *out,
	      struct err_detail *why)
{
	struct restore *r = NULL;
	struct coming_in in = {.job = job};
	uint64_t base = 0;
	err_t err = restore_create(&r, job->t, job->unix_now, why);

	*out = (struct restore_figures){0};
	for (size_t i = 0; i < n && err == ERR_OK; i++) {
		if (i > 0 && base == 0) {
			err = err_set(why, ERR_USAGE,
				      "%s follows a full backup; give the newest backup first", paths[i]);
			break;
		}
		in.r = r;
		err = read_file(job, paths[i], feed_restore, &in, &in.bytes, why);
		if (err == ERR_OK)
			err = restore_end_of_one(r, &base, why);
		if (err != ERR_OK)
			err_wrap(why, "%s", paths[i]);
	}
	if (err == ERR_OK && base != 0)
		err = err_set(why, ERR_GAP, "the backup was made on another one, %016llx; give that one, too",
			      (unsigned long long)base);
	if (r)
		restore_figures(r, out);
	restore_destroy(&r);
	return err;
}
