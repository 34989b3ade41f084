#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "cache-server/store/restore.h"
#include "cache-server/store/segment.h"

enum { UNIX = 1700000000 };

struct side {
	struct quiesce *q;
	struct quiesce_thread *qt;
	struct store *s;
	struct store_thread *t;
};

struct fixture {
	struct side a, b;
	struct buf bytes[3]; /* backups of a */
};

static void
side_make(struct side *x, uint64_t seed)
{
	struct store_options so = {.memory = 16 << 20,
				   .max_value = 1 << 20,
				   .segment_size = 1 << 18,
				   .threads = 2,
				   .seed = seed,
				   .now = 1000};

	assert_int_equal(quiesce_create(&x->q, NULL), ERR_OK);
	x->qt = quiesce_join(x->q);
	quiesce_online(x->q, x->qt);
	so.quiesce = x->q;
	assert_int_equal(store_create(&x->s, &so, NULL), ERR_OK);
	x->t = store_join(x->s, x->qt);
}

static void
side_unmake(struct side *x)
{
	store_leave(&x->t);
	store_destroy(&x->s);
	quiesce_leave(x->q, &x->qt);
	quiesce_destroy(&x->q);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	side_make(&f->a, 11);
	side_make(&f->b, 22);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	side_unmake(&f->a);
	side_unmake(&f->b);
	for (unsigned i = 0; i < 3; i++)
		buf_fini(&f->bytes[i]);
	free(f);
	return 0;
}

static struct span
key_text(char *text, unsigned key)
{
	return span_make(text, (size_t)sprintf(text, "key-%u", key));
}

/* The value's bytes follow from `version`, its length as well. */
static void
set_with(struct side *x, unsigned key, unsigned version, struct store_draft d, uint64_t bits)
{
	char text[32], *where;
	uint64_t at = 0;
	size_t n;

	d.key = key_text(text, key);
	d.hash = store_hash(x->s, d.key);
	d.value_len = version % 10 == 9 ? 300000 + version : version % 200;
	assert_int_equal(store_begin(x->t, &d), ERR_OK);
	while ((n = store_draft_room(x->t, &d, at, &where)) != 0)
		for (size_t i = 0; i < n; i++, at++)
			where[i] = (char)(version + at * 7);
	store_lock(x->t, d.hash);
	store_commit(x->t, &d, bits);
	store_unlock(x->t, d.hash);
}

static void
set(struct side *x, unsigned key, unsigned version)
{
	set_with(x, key, version, (struct store_draft){0}, 0);
}

static bool
find(struct side *x, unsigned key, struct store_view *v)
{
	char text[32];
	struct span k = key_text(text, key);

	return store_find(x->t, k, store_hash(x->s, k), v);
}

static void
drop(struct side *x, unsigned key)
{
	char text[32];
	struct span k = key_text(text, key);
	uint64_t hash = store_hash(x->s, k);
	struct store_view v;

	store_lock(x->t, hash);
	if (store_find_locked(x->t, k, hash, &v))
		store_remove(x->t, &v);
	store_unlock(x->t, hash);
}

static bool
is(struct side *x, unsigned key, unsigned version)
{
	struct store_view v;
	struct span part;
	uint64_t at = 0;

	if (!find(x, key, &v) || v.len != (version % 10 == 9 ? 300000 + version : version % 200))
		return false;
	while ((part = store_view_part(x->t, &v, at)).len != 0)
		for (size_t i = 0; i < part.len; i++, at++)
			if (part.p[i] != (char)(version + at * 7))
				return false;
	return at == v.len;
}

static bool
absent(struct side *x, unsigned key)
{
	struct store_view v;

	return !find(x, key, &v);
}

static err_t
to_buf(void *arg, struct span bytes, struct err_detail *why)
{
	(void)why;
	buf_put_span(arg, bytes);
	return ERR_OK;
}

static void
manifest_of(struct backup_manifest *m, const struct buf *bytes)
{
	struct backup_reader *r;

	backup_manifest_init(m);
	r = backup_reader_create(&m->visitor);
	assert_int_equal(backup_read(r, buf_span(bytes), NULL), ERR_OK);
	assert_int_equal(backup_read_end(r, NULL), ERR_OK);
	backup_reader_destroy(&r);
}

static struct backup_figures
back_up(struct side *x, struct buf *to, const struct buf *base, uint64_t id)
{
	struct backup_manifest m = {0};
	struct backup_options opt = {.id = id, .hash_seed = 5, .unix_now = UNIX, .sink = to_buf, .arg = to};
	struct backup_figures fig;
	struct backup *b;
	bool more = true;

	buf_clear(to);
	if (base) {
		manifest_of(&m, base);
		opt.base = &m;
	}
	assert_int_equal(backup_create(&b, x->t, &opt, NULL), ERR_OK);
	while (more) {
		assert_int_equal(backup_step(b, 3, &more, NULL), ERR_OK);
		quiesce_tick(x->q, x->qt);
	}
	backup_figures(b, &fig);
	assert_int_equal(fig.bytes, to->len);
	backup_destroy(&b);
	backup_manifest_fini(&m);
	return fig;
}

/* Newest first; `piece`: how many bytes at a time. */
static struct restore_figures
bring_back(struct side *x, struct buf *const *backups, unsigned n, size_t piece)
{
	struct restore_figures fig;
	struct restore *r;
	uint64_t base = 0;

	assert_int_equal(restore_create(&r, x->t, UNIX, NULL), ERR_OK);
	for (unsigned i = 0; i < n; i++) {
		struct span s = buf_span(backups[i]);

		for (size_t at = 0; at < s.len; at += piece) {
			assert_int_equal(
			    restore_feed(r, span_make(s.p + at, s.len - at < piece ? s.len - at : piece),
					 NULL),
			    ERR_OK);
			quiesce_tick(x->q, x->qt);
		}
		assert_int_equal(restore_end_of_one(r, &base, NULL), ERR_OK);
		assert_int_equal(base != 0, i + 1 < n);
	}
	restore_figures(r, &fig);
	restore_destroy(&r);
	return fig;
}

static void
what_was_backed_up_comes_back_unproven_in_another_store(void **state)
{
	struct fixture *f = *state;
	struct buf *list[] = {&f->bytes[0]};
	struct restore_figures fig;
	struct store_view v;

	for (unsigned k = 0; k < 1000; k++)
		set(&f->a, k, k % 100 == 99 ? 9 : k - k % 10);
	assert_int_equal(back_up(&f->a, &f->bytes[0], NULL, 1).items, 1000);
	set(&f->b, 5, 77);
	fig = bring_back(&f->b, list, 1, 1000);
	assert_int_equal(fig.restored, 999);
	assert_int_equal(fig.kept, 1);
	assert_int_equal(fig.began, UNIX);
	for (unsigned k = 0; k < 1000; k++)
		assert_true(is(&f->b, k, k == 5 ? 77 : k % 100 == 99 ? 9 : k - k % 10));
	assert_true(find(&f->b, 6, &v) && v.unproven);
	assert_true(find(&f->b, 5, &v) && !v.unproven);
	set(&f->b, 6, 1);
	assert_true(find(&f->b, 6, &v) && !v.unproven);
	/* Who delivers from his cursor does not know what a backup lacks. */
	store_caught_up(f->b.s);
	assert_false(store_is_caught_up(f->b.s));
	assert_int_equal(store_owed(f->b.s), UNIX);
	assert_int_equal(store_caught_up_since(f->b.s, UNIX + 1, NULL), ERR_GAP);
	assert_true(find(&f->b, 7, &v) && v.unproven);
	assert_int_equal(store_caught_up_since(f->b.s, UNIX, NULL), ERR_OK);
	assert_true(find(&f->b, 7, &v) && !v.unproven);
	assert_int_equal(store_owed(f->b.s), 0);
}

static void
a_restore_that_brings_nothing_in_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct restore *r;

	set(&f->b, 5, 77);
	assert_true(store_is_caught_up(f->b.s));
	assert_int_equal(restore_create(&r, f->b.t, UNIX, NULL), ERR_OK);
	assert_false(store_is_caught_up(f->b.s));
	assert_int_equal(store_caught_up_since(f->b.s, 0, NULL), ERR_BUSY);
	store_caught_up(f->b.s);
	assert_false(store_is_caught_up(f->b.s));
	restore_destroy(&r);
	assert_true(store_is_caught_up(f->b.s));
	assert_int_equal(store_owed(f->b.s), 0);
}

static void
the_earliest_of_several_backups_is_owed(void **state)
{
	struct fixture *f = *state;

	store_owe(f->b.s, 500);
	store_owe(f->b.s, 700);
	assert_int_equal(store_owed(f->b.s), 500);
	store_owe(f->b.s, 300);
	assert_int_equal(store_caught_up_since(f->b.s, 500, NULL), ERR_GAP);
	assert_int_equal(store_caught_up_since(f->b.s, 300, NULL), ERR_OK);
}

static void
nothing_is_proven_before_a_restore_has_ended(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	struct store_view v;
	struct restore *r, *other;
	uint64_t base;

	set(&f->a, 1, 1);
	back_up(&f->a, &f->bytes[0], NULL, 1);
	assert_int_equal(restore_create(&r, f->b.t, UNIX, NULL), ERR_OK);
	assert_int_equal(restore_create(&other, f->b.t, UNIX, &why), ERR_BUSY);
	assert_int_equal(restore_feed(r, buf_span(&f->bytes[0]), NULL), ERR_OK);
	assert_true(restore_one_done(r));
	store_caught_up(f->b.s);
	assert_true(find(&f->b, 1, &v) && v.unproven);
	assert_int_equal(restore_end_of_one(r, &base, NULL), ERR_OK);
	restore_destroy(&r);
	assert_true(find(&f->b, 1, &v) && v.unproven);
	assert_int_equal(restore_create(&r, f->b.t, UNIX, NULL), ERR_OK);
	restore_destroy(&r);
}

static void
flags_expiry_stale_and_a_chosen_cas_come_back_an_epoch_only_at_home(void **state)
{
	struct fixture *f = *state;
	struct buf *list[] = {&f->bytes[0]};
	struct store_view v;
	struct store_draft d = {.client_flags = 9,
				.expiry = 1500,
				.cas = 1ull << 61,
				.epoch = {.count = 3, .term = 4, .source = 5}};

	set_with(&f->a, 1, 1, d, ITEM_STALE);
	set_with(&f->a, 2, 2, (struct store_draft){.expiry = 1001}, 0);
	back_up(&f->a, &f->bytes[0], NULL, 1);
	store_set_now(f->b.s, 1600); /* another store's seconds: they mean another time */
	assert_int_equal(bring_back(&f->b, list, 1, 1 << 20).restored, 2);
	assert_true(find(&f->b, 1, &v));
	assert_int_equal(v.expiry, 1600 + 500);
	assert_int_equal(item_client_flags(v.item, v.state), 9);
	assert_int_equal(item_cas(v.item, v.state), 1ull << 61);
	assert_true(v.state & ITEM_STALE);
	assert_false(v.state & ITEM_EPOCH);
	drop(&f->a, 1);
	assert_int_equal(bring_back(&f->a, list, 1, 1 << 20).kept, 1);
	assert_true(find(&f->a, 1, &v));
	assert_int_equal(item_epoch(v.item, v.state).source, 5);
}

static void
an_expired_item_does_not_come_back_nor_an_older_version_of_it(void **state)
{
	struct fixture *f = *state;
	struct buf *list[] = {&f->bytes[1], &f->bytes[0]};
	struct restore_figures fig;
	struct restore *r;
	uint64_t base;

	set(&f->a, 1, 1);
	set(&f->a, 2, 2);
	back_up(&f->a, &f->bytes[0], NULL, 1);
	set_with(&f->a, 1, 3, (struct store_draft){.expiry = 1010}, 0);
	back_up(&f->a, &f->bytes[1], &f->bytes[0], 2);
	assert_int_equal(restore_create(&r, f->b.t, UNIX + 20, NULL), ERR_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(restore_feed(r, buf_span(list[i]), NULL), ERR_OK);
		assert_int_equal(restore_end_of_one(r, &base, NULL), ERR_OK);
	}
	restore_figures(r, &fig);
	restore_destroy(&r);
	assert_int_equal(fig.expired, 1);
	assert_true(absent(&f->b, 1));
	assert_true(is(&f->b, 2, 2));
}

static void
incremental_backups_hold_what_changed_and_bring_no_deleted_key_back(void **state)
{
	struct fixture *f = *state;
	struct buf *list[] = {&f->bytes[2], &f->bytes[1], &f->bytes[0]};
	struct restore_figures fig;
	struct backup_figures made;

	for (unsigned k = 0; k < 1000; k++)
		set(&f->a, k, 1);
	back_up(&f->a, &f->bytes[0], NULL, 1);
	for (unsigned k = 0; k < 1000; k += 10)
		set(&f->a, k, 2);
	for (unsigned k = 1; k < 1000; k += 10)
		drop(&f->a, k);
	made = back_up(&f->a, &f->bytes[1], &f->bytes[0], 2);
	assert_int_equal(made.items, 100);
	assert_int_equal(made.same, 800);
	assert_true(f->bytes[1].len < f->bytes[0].len);
	for (unsigned k = 0; k < 1000; k += 20)
		drop(&f->a, k); /* was in the second one */
	for (unsigned k = 2; k < 1000; k += 10)
		set(&f->a, k, k == 2 ? 9 : 8);
	for (unsigned k = 11; k < 1000; k += 100)
		set(&f->a, k, 4); /* deleted before */
	made = back_up(&f->a, &f->bytes[2], &f->bytes[1], 3);
	assert_int_equal(made.items, 110);
	assert_int_equal(made.same, 750);

	fig = bring_back(&f->b, list, 3, 100000);
	assert_int_equal(fig.restored, 860);
	assert_int_equal(fig.missing, 0);
	for (unsigned k = 0; k < 1000; k++) {
		struct store_view v, w;
		bool here = find(&f->a, k, &v);

		assert_int_equal(find(&f->b, k, &w), here);
		if (k % 10 == 2)
			assert_true(is(&f->b, k, k == 2 ? 9 : 8));
		else if (k % 100 == 11)
			assert_true(is(&f->b, k, 4));
		else if (k % 10 == 1 || k % 20 == 0)
			assert_true(absent(&f->b, k));
		else
			assert_true(is(&f->b, k, k % 10 == 0 ? 2 : 1));
	}
}

static void
a_value_marked_stale_since_the_base_is_stale_after_the_restore(void **state)
{
	struct fixture *f = *state;
	struct buf *list[] = {&f->bytes[1], &f->bytes[0]};
	struct store_view v;
	char text[32];
	struct span k = key_text(text, 1);
	uint64_t hash = store_hash(f->a.s, k);

	set(&f->a, 1, 1);
	back_up(&f->a, &f->bytes[0], NULL, 1);
	store_lock(f->a.t, hash);
	assert_true(store_find_locked(f->a.t, k, hash, &v));
	store_mark(f->a.t, &v, ITEM_STALE, 0);
	store_unlock(f->a.t, hash);
	assert_int_equal(back_up(&f->a, &f->bytes[1], &f->bytes[0], 2).same, 1);
	assert_int_equal(bring_back(&f->b, list, 2, 100).restored, 1);
	assert_true(find(&f->b, 1, &v));
	assert_true(v.state & ITEM_STALE);
}

static void
a_base_of_another_store_and_a_wrong_next_backup_are_refused(void **state)
{
	struct fixture *f = *state;
	struct backup_manifest m;
	struct backup_options opt = {.id = 7, .hash_seed = 5, .unix_now = UNIX, .base = &m, .sink = to_buf};
	struct err_detail why = {0};
	struct backup *b;
	struct restore *r;
	uint64_t base;

	set(&f->a, 1, 1);
	back_up(&f->a, &f->bytes[0], NULL, 1);
	back_up(&f->a, &f->bytes[1], &f->bytes[0], 2);
	manifest_of(&m, &f->bytes[0]);
	assert_int_equal(backup_create(&b, f->b.t, &opt, &why), ERR_BEHIND);
	assert_non_null(strstr(why.text, "make a full backup"));
	backup_manifest_fini(&m);

	err_clear(&why);
	assert_int_equal(restore_create(&r, f->b.t, UNIX, NULL), ERR_OK);
	assert_int_equal(restore_feed(r, buf_span(&f->bytes[1]), NULL), ERR_OK);
	assert_int_equal(restore_end_of_one(r, &base, NULL), ERR_OK);
	assert_int_equal(base, 1);
	assert_int_equal(restore_feed(r, buf_span(&f->bytes[1]), &why), ERR_OTHER_SERVER);
	assert_non_null(strstr(why.text, "give that one next"));
	restore_destroy(&r);
}

/* Reads the whole of it; the sentence is in *why. */
static err_t
read_all(struct span s, struct err_detail *why)
{
	struct backup_visitor nothing = {0};
	struct backup_reader *r = backup_reader_create(&nothing);
	err_t err;

	err_clear(why);
	err = backup_read(r, s, why);
	if (err == ERR_OK)
		err = backup_read_end(r, why);
	backup_reader_destroy(&r);
	return err;
}

static void
truncation_at_any_byte_and_any_flipped_bit_are_noticed(void **state)
{
	struct fixture *f = *state;
	struct err_detail why;
	struct span s;

	for (unsigned k = 0; k < 20; k++)
		set(&f->a, k, k * 10);
	back_up(&f->a, &f->bytes[0], NULL, 1);
	s = buf_span(&f->bytes[0]);
	assert_int_equal(read_all(s, &why), ERR_OK);
	for (size_t n = 0; n < s.len; n++) {
		char *exact = malloc(n + 1);

		memcpy(exact, s.p, n);
		assert_int_equal(read_all(span_make(exact, n), &why), ERR_CORRUPT);
		assert_non_null(strstr(why.text, "it was interrupted"));
		free(exact);
	}
	for (size_t n = 0; n < s.len; n++) {
		f->bytes[0].p[n] ^= (char)(1 << n % 8);
		assert_int_equal(read_all(s, &why), ERR_CORRUPT);
		f->bytes[0].p[n] ^= (char)(1 << n % 8);
	}
	buf_putc(&f->bytes[0], 'x');
	assert_int_equal(read_all(buf_span(&f->bytes[0]), &why), ERR_CORRUPT);
	assert_non_null(strstr(why.text, "behind the end"));
}

/* A client that goes on changing things while a file is written and read. */
struct busy {
	struct side *x;
	atomic_bool stop;
	_Atomic unsigned changes;
};

static void *
change_for_a_while(void *arg)
{
	struct busy *w = arg;
	struct side me = {.q = w->x->q, .s = w->x->s};

	me.qt = quiesce_join(me.q);
	me.t = store_join(me.s, me.qt);
	for (unsigned i = 0; !atomic_load(&w->stop); i++) {
		quiesce_online(me.q, me.qt);
		if (i % 3 == 0)
			drop(&me, 1000 + i % 500);
		else
			set(&me, 1000 + i % 500, i % 9);
		quiesce_offline(me.qt);
		atomic_fetch_add(&w->changes, 1);
	}
	store_leave(&me.t);
	quiesce_leave(me.q, &me.qt);
	return NULL;
}

static bool
stop_at_once(void *arg)
{
	(void)arg;
	return true;
}

static void
files_are_written_while_serving_and_whole_or_not_there(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/squeal-backup-XXXXXX", full[64], inc[64], part[80];
	struct backup_job job = {.t = f->a.t, .quiesce = f->a.q, .qt = f->a.qt, .unix_now = UNIX};
	struct backup_job back = {.t = f->b.t, .quiesce = f->b.q, .qt = f->b.qt, .unix_now = UNIX};
	struct backup_figures made;
	struct restore_figures got;
	struct err_detail why = {0};
	struct busy busy = {.x = &f->a};
	pthread_t thread;

	assert_non_null(mkdtemp(dir));
	sprintf(full, "%s/full", dir);
	sprintf(inc, "%s/inc", dir);
	sprintf(part, "%s.part", full);
	for (unsigned k = 0; k < 1000; k++)
		set(&f->a, k, k - k % 10);
	assert_int_equal(pthread_create(&thread, NULL, change_for_a_while, &busy), 0);
	while (atomic_load(&busy.changes) < 100)
		sched_yield();
	assert_int_equal(backup_file(&job, full, NULL, &made, &why), ERR_OK);
	assert_true(made.items >= 1000);
	set(&f->a, 3, 7);
	drop(&f->a, 4);
	assert_int_equal(backup_file(&job, inc, full, &made, &why), ERR_OK);
	assert_true(made.same >= 998);
	atomic_store(&busy.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(access(part, F_OK), -1);

	assert_int_equal(restore_files(&back, (const char *const[]){inc}, 1, &got, &why), ERR_GAP);
	err_clear(&why);
	assert_int_equal(restore_files(&back, (const char *const[]){inc, full}, 2, &got, &why), ERR_OK);
	assert_int_equal(got.missing, 0);
	for (unsigned k = 0; k < 1000; k++)
		assert_true(k == 4 ? absent(&f->b, k) : is(&f->b, k, k == 3 ? 7 : k - k % 10));
	assert_int_equal(restore_files(&back, (const char *const[]){full, inc}, 2, &got, &why), ERR_USAGE);

	err_clear(&why);
	job.stop = stop_at_once;
	assert_int_equal(backup_file(&job, full, NULL, &made, &why), ERR_CLOSED);
	assert_int_equal(access(part, F_OK), -1);
	assert_int_equal(access(full, F_OK), 0); /* the one before is still there */
	assert_int_equal(truncate(full, 5000), 0);
	err_clear(&why);
	assert_int_equal(restore_files(&back, (const char *const[]){full}, 1, &got, &why), ERR_CORRUPT);
	assert_non_null(strstr(why.text, "interrupted"));
	unlink(full);
	unlink(inc);
	rmdir(dir);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(what_was_backed_up_comes_back_unproven_in_another_store),
	    T(a_restore_that_brings_nothing_in_changes_nothing),
	    T(the_earliest_of_several_backups_is_owed),
	    T(nothing_is_proven_before_a_restore_has_ended),
	    T(flags_expiry_stale_and_a_chosen_cas_come_back_an_epoch_only_at_home),
	    T(an_expired_item_does_not_come_back_nor_an_older_version_of_it),
	    T(incremental_backups_hold_what_changed_and_bring_no_deleted_key_back),
	    T(a_value_marked_stale_since_the_base_is_stale_after_the_restore),
	    T(a_base_of_another_store_and_a_wrong_next_backup_are_refused),
	    T(truncation_at_any_byte_and_any_flipped_bit_are_noticed),
	    T(files_are_written_while_serving_and_whole_or_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
