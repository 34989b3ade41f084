/* The reading side over a recorded binlog file, with a source that fails as it is told. */
#include "squeal/tail.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/test/test.h"
#include "squeal/binlog/source_file.h"

/* 3 transactions without keys and 2 with, of domain 0 up to 0-1-1812515, then more. */
#define RECORDED "squeal/binlog/test/data/mixed.binlog"

enum { OPENS = 8 };

/* What one opening of the stream does. */
struct script {
	err_t open;	 /* refuse to open */
	unsigned events; /* hand out so many events, then … */
	err_t then;	 /* … fail so, or (ERR_OK) end */
	bool flip;	 /* damage the last of them */
};

struct fixture {
	struct source source; /* first: the ops get it */
	struct script scripts[OPENS];
	unsigned opened;
	unsigned handed;
	char from[OPENS][64];
	struct source *file;
	char start[64];
	struct buf damaged;
	_Atomic bool interrupted;

	struct binlog_metrics binlog;
	struct gather_metrics gather_metrics;
	struct state_metrics state_metrics;
	struct markers_options markers;
	struct gather *gather;
	struct state *state;
	struct tail *tail;
	unsigned items, positions;
	_Atomic unsigned ended;
	err_t gap;
};

static err_t
fake_open(struct source *s, struct span from, struct err_detail *why)
{
	struct fixture *f = (struct fixture *)s;
	unsigned n = f->opened < OPENS ? f->opened++ : OPENS - 1;

	snprintf(f->from[n], sizeof(f->from[n]), "%.*s", SPAN_FMT(from));
	if (f->interrupted)
		return ERR_CLOSED;
	if (f->scripts[n].open != ERR_OK)
		return err_set(why, f->scripts[n].open, "refused on purpose");
	assert_int_equal(source_open(f->file, (struct span){"", 0}, why), ERR_OK);
	s->info = f->file->info;
	s->info.file = SPAN_LIT("mixed.binlog");
	snprintf(f->start, sizeof(f->start), "%s",
		 span_starts(from, SPAN_LIT("gtid:")) ? f->from[n] + 5 : "");
	s->info.start = span_of(f->start);
	f->handed = 0;
	return ERR_OK;
}

static err_t
fake_next(struct source *s, struct span *event, struct err_detail *why)
{
	struct fixture *f = (struct fixture *)s;
	const struct script *script = &f->scripts[f->opened - 1];
	err_t err;

	*event = (struct span){"", 0};
	if (f->handed == script->events)
		return script->then == ERR_OK ? ERR_OK : err_set(why, script->then, "failed on purpose");
	err = source_next(f->file, event, why);
	if (++f->handed == script->events && script->flip) {
		buf_clear(&f->damaged);
		buf_put_span(&f->damaged, *event);
		f->damaged.p[event->len / 2] ^= 1;
		*event = buf_span(&f->damaged);
	}
	return err;
}

static void
fake_interrupt(struct source *s)
{
	((struct fixture *)s)->interrupted = true;
}

static void
fake_close(struct source *s)
{
	source_close(((struct fixture *)s)->file);
}

static void
fake_destroy(struct source *s)
{
}

static bool
emit(void *arg, struct queue_item *it)
{
	struct fixture *f = arg;

	if (it->whole != NULL)
		f->positions++;
	else
		f->items++;
	queue_item_destroy(&it);
	return true;
}

static void
on_ended(void *arg, const struct err_detail *gap)
{
	struct fixture *f = arg;

	f->ended++;
	f->gap = gap != NULL ? gap->code : ERR_OK;
}

static int
make(void **state)
{
	static const struct source_ops ops = {fake_open, fake_next, fake_interrupt, fake_close, fake_destroy};
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return 1;
	f->source.ops = &ops;
	f->file = source_file_create(RECORDED, 1 << 20);
	f->markers.tag = (char *)"inv";
	f->gather = gather_create(&(struct gather_parts){
	    .clock = clock_system(),
	    .emit = emit,
	    .arg = f,
	    .metrics = &f->gather_metrics,
	    .markers = &f->markers,
	    .spill_dir = "/tmp",
	    .txn_memory = 1 << 16,
	});
	f->state = state_create("main", clock_system(), &f->state_metrics);
	f->tail = tail_create(
	    &(struct tail_parts){
		.clock = clock_system(),
		.source = &f->source,
		.gather = f->gather,
		.ops = &gather_ops,
		.state = f->state,
		.metrics = &f->binlog,
		.max_event = 1 << 20,
		.backoff_max_ms = 10,
		.ended = on_ended,
		.arg = f,
	    },
	    "now");
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	tail_destroy(&f->tail);
	gather_destroy(&f->gather);
	state_destroy(&f->state);
	source_destroy(&f->file);
	buf_fini(&f->damaged);
	free(f);
	return 0;
}

static void
reason(void *arg, const char *sentence)
{
	buf_printf(arg, "%s;", sentence);
}

static void
assert_reason(struct fixture *f, const char *part)
{
	struct buf b = BUF_INIT;

	state_reasons(f->state, 10000, reason, &b);
	if (strstr(buf_str(&b), part) == NULL)
		fail_msg("no \"%s\" in \"%s\"", part, buf_str(&b));
	buf_fini(&b);
}

static void
the_end_of_the_input_ends_the_reading(void **state)
{
	struct fixture *f = *state;

	f->scripts[0] = (struct script){.events = 20};
	tail_run(f->tail);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->opened, 1);
	assert_string_equal(f->from[0], "now");
	assert_true(f->items > 0);
	assert_reason(f, "stopped reading");
}

/* I1, I8: a transaction that the lost link cut in two is read again, whole. */
static void
a_lost_link_is_opened_again_behind_the_last_whole_transaction(void **state)
{
	struct fixture *f = *state;
	char expected[64];

	for (unsigned cut = 5; cut < 20; cut++) {
		struct gtid last;

		f->opened = 0;
		f->scripts[0] = (struct script){.events = cut, .then = ERR_CONN};
		f->scripts[1] = (struct script){.events = 0};
		tail_run(f->tail);
		assert_int_equal(f->opened, 2);
		if (gather_position(f->gather)->mariadb.n == 0)
			continue;
		last = gather_position(f->gather)->mariadb.ids[0];
		snprintf(expected, sizeof(expected), "gtid:0-1-%llu", (unsigned long long)last.seq);
		assert_string_equal(f->from[1], expected);
	}
	assert_int_equal(f->state_metrics.source_error_conn, 15);
}

static void
a_refused_connection_is_tried_again_and_its_reason_shown(void **state)
{
	struct fixture *f = *state;

	f->scripts[0] = (struct script){.open = ERR_AUTH};
	f->scripts[1] = (struct script){.open = ERR_SOURCE_SETUP};
	f->scripts[2] = (struct script){.open = ERR_IN_USE};
	f->scripts[3] = (struct script){.open = ERR_GAP};
	tail_run(f->tail);
	assert_int_equal(f->opened, 4);
	assert_int_equal(f->state_metrics.source_error_auth, 1);
	assert_int_equal(f->state_metrics.source_error_setup, 1);
	assert_reason(f, "GAP: refused on purpose");
	assert_string_equal(f->from[3], "now");
}

/* I9: what cannot be proven to be whole is not passed over. */
static void
a_gap_ends_the_reading_and_stays(void **state)
{
	static const err_t gaps[] = {ERR_GAP, ERR_UNKNOWN_EVENT, ERR_TOO_LONG};

	for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		struct fixture *f;

		drop(state);
		make(state);
		f = *state;
		f->scripts[0] = (struct script){.events = 8, .then = gaps[i]};
		tail_run(f->tail);
		assert_int_equal(f->opened, 1);
		assert_int_equal(f->ended, 1);
		assert_int_equal(f->gap, gaps[i]);
		assert_int_equal(f->state_metrics.source_gap, 1);
		assert_reason(f, "GAP: failed on purpose");
	}
}

static void
a_damaged_event_is_asked_for_again_and_is_a_gap_when_it_stays_damaged(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < OPENS; i++)
		f->scripts[i] = (struct script){.events = 9, .flip = true};
	tail_run(f->tail);
	assert_int_equal(f->opened, 3);
	assert_int_equal(f->binlog.binlog_checksum_failure, 3);
	assert_int_equal(f->state_metrics.source_gap, 1);
}

static void
an_event_that_was_damaged_once_costs_nothing(void **state)
{
	struct fixture *f = *state;

	f->scripts[0] = (struct script){.events = 9, .flip = true};
	f->scripts[1] = (struct script){.events = 20};
	tail_run(f->tail);
	assert_int_equal(f->opened, 2);
	assert_int_equal(f->state_metrics.source_gap, 0);
	assert_true(f->items > 0);
}

static void *
run(void *arg)
{
	tail_run(((struct fixture *)arg)->tail);
	return NULL;
}

static void
stopping_ends_a_pause(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	for (unsigned i = 0; i < OPENS; i++)
		f->scripts[i].open = ERR_CONN;
	pthread_create(&thread, NULL, run, f);
	while (f->state_metrics.source_error_conn < 3)
		usleep(1000);
	tail_stop(f->tail);
	pthread_join(thread, NULL);
	assert_int_equal(f->ended, 0);
	assert_true(f->interrupted);
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, make, drop)
	const struct CMUnitTest tests[] = {
	    EACH(the_end_of_the_input_ends_the_reading),
	    EACH(a_lost_link_is_opened_again_behind_the_last_whole_transaction),
	    EACH(a_refused_connection_is_tried_again_and_its_reason_shown),
	    EACH(a_gap_ends_the_reading_and_stays),
	    EACH(a_damaged_event_is_asked_for_again_and_is_a_gap_when_it_stays_damaged),
	    EACH(an_event_that_was_damaged_once_costs_nothing),
	    EACH(stopping_ends_a_pause),
	};

	return cmocka_run_group_tests_name("tail", tests, NULL, NULL);
}
