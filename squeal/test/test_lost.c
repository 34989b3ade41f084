/* Keys of lost transactions, out of a real SQLite log. */
#include "squeal/lost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/broker/test/damage.h"
#include "lib/core/test/test.h"
#include "lib/wire/record.h"

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define B "4e11fa47-71ca-11e1-9e33-c80aa9429562"

struct fixture {
	char folder[64];
	char path[96];
	struct clock_fake clock;
	struct log_options opt;
	struct broker_metrics broker_metrics;
	struct broker_context context;
	struct broker_writer *broker;
	struct lost_metrics metrics;
	struct lost_parts parts;
	struct buf keys; /* of emitted items: "k:1 k:2 |" … */
	unsigned items, room;
	uint32_t holdoff_ms;
	struct err_detail why;
};

static bool
emit(void *arg, struct queue_item *it)
{
	struct fixture *f = arg;
	struct keyset_cursor c = KEYSET_CURSOR_INIT;
	enum key_kind kind;
	struct span key;
	bool more = true;

	assert_null(it->whole);
	assert_null(it->file);
	assert_int_equal(it->gtid.kind, GTID_NONE);
	while (keyset_next(&it->keys, &c, &kind, &key, &more, NULL) == ERR_OK && more)
		buf_printf(&f->keys, "%s%.*s ", kind == KEY_MARKER ? "m!" : "", SPAN_FMT(key));
	buf_printf(&f->keys, "%s|", it->pool != NULL ? it->pool : "");
	f->holdoff_ms = it->holdoff_ms;
	keyset_cursor_fini(&c);
	queue_item_destroy(&it);
	f->items++;
	return f->room == 0 || f->items < f->room;
}

static struct queue_item *
blank(void *arg)
{
	return queue_item_create();
}

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return 1;
	snprintf(f->folder, sizeof(f->folder), "/tmp/squeal-test-lost-XXXXXX");
	if (mkdtemp(f->folder) == NULL)
		return 1;
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	clock_fake_init(&f->clock);
	f->opt = (struct log_options){.type = (char *)"sqlite",
				      .path = f->path,
				      .retention = 3600,
				      .max_size = 1 << 30,
				      .sync = (char *)"normal"};
	f->context = (struct broker_context){&f->clock.clock, NULL, &f->broker_metrics};
	if (broker_writer_open(&f->broker, &f->opt, "main", &f->context, &f->why) != ERR_OK) {
		print_error("%s\n", f->why.text);
		return 1;
	}
	f->parts = (struct lost_parts){
	    .clock = &f->clock.clock,
	    .log_opt = &f->opt,
	    .context = &f->context,
	    .source = "main",
	    .metrics = &f->metrics,
	    .emit = emit,
	    .blank = blank,
	    .arg = f,
	};
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;
	char command[128];

	broker_writer_close(&f->broker);
	buf_fini(&f->keys);
	snprintf(command, sizeof(command), "rm -rf %s", f->folder);
	free(f);
	return system(command);
}

/* One record with one transaction. */
static void
append(struct fixture *f, const char *position, const char *gtid, const char *key, bool continues)
{
	const struct span keys[] = {span_of(key)};
	const struct record_txn txn = {.gtid = span_of(gtid),
				       .continues = continues,
				       .holdoff_ms = 7,
				       .keys = keys,
				       .nkeys = 1,
				       .markers = keys,
				       .nmarkers = strcmp(key, "k:marked") == 0,
				       .pool = span_of(strcmp(key, "k:marked") == 0 ? "hot" : "")};
	const struct record rec = {.version = RECORD_VERSION,
				   .source = SPAN_LIT("main"),
				   .position = span_of(position),
				   .txns = &txn,
				   .ntxns = 1};
	struct buf bytes = BUF_INIT;
	struct span one;
	uint64_t first;

	record_encode(&rec, &bytes);
	one = buf_span(&bytes);
	assert_int_equal(broker_append(f->broker, &one, 1, rec.position, &first, &f->why), ERR_OK);
	buf_fini(&bytes);
}

static err_t
check(struct fixture *f, const char *lost, const char *since)
{
	struct gtid_set set = {0};
	struct position pos = {0};
	err_t err;

	err_clear(&f->why);
	assert_int_equal(gtid_set_parse(span_of(lost), &set, NULL), ERR_OK);
	if (since != NULL)
		assert_int_equal(position_parse(span_of(since), &pos, NULL), ERR_OK);
	err = lost_check(&f->parts, &set, since != NULL ? &pos : NULL, &f->why);
	gtid_set_fini(&set);
	position_fini(&pos);
	return err;
}

static err_t
again(struct fixture *f, const char *lost, uint64_t *nkeys)
{
	struct gtid_set set = {0};
	err_t err;

	err_clear(&f->why);
	assert_int_equal(gtid_set_parse(span_of(lost), &set, NULL), ERR_OK);
	err = lost_emit(&f->parts, &set, nkeys, &f->why);
	gtid_set_fini(&set);
	return err;
}

static void
only_keys_of_lost_transactions_come_again(void **state)
{
	struct fixture *f = *state;
	uint64_t nkeys;

	append(f, "gtid:" A ":1-4", A ":4", "k:4", false);
	append(f, "", A ":5", "k:5a", true);
	append(f, "", A ":5", "k:5b", true);
	append(f, "gtid:" A ":1-5", A ":5", "k:5c", false);
	append(f, "gtid:" A ":1-5," B ":1", B ":1", "k:b", false);
	append(f, "gtid:" A ":1-7," B ":1", A ":7", "k:marked", false);
	assert_int_equal(check(f, A ":5-7", "gtid:" A ":1-2"), ERR_OK);
	assert_int_equal(again(f, A ":5-7", &nkeys), ERR_OK);
	assert_string_equal(buf_str(&f->keys), "k:5a |k:5b |k:5c |k:marked m!k:marked hot|");
	assert_int_equal(nkeys, 5);
	assert_int_equal(f->holdoff_ms, 7);
	assert_int_equal(metric_get(&f->metrics.source_rewound), 1);
	assert_int_equal(metric_get(&f->metrics.rewound_keys), 5);
}

static void
transactions_without_keys_are_no_obstacle(void **state)
{
	struct fixture *f = *state;
	uint64_t nkeys;

	assert_int_equal(check(f, A ":8-9", "gtid:" A ":1-2"), ERR_OK);
	append(f, "gtid:" A ":1-7", A ":7", "k:7", false);
	assert_int_equal(check(f, A ":8-9", "gtid:" A ":1-2"), ERR_OK);
	assert_int_equal(again(f, A ":8-9", &nkeys), ERR_OK);
	assert_int_equal(nkeys, 0);
	assert_int_equal(f->items, 0);
}

static void
what_was_never_read_is_refused(void **state)
{
	struct fixture *f = *state;

	append(f, "gtid:" A ":1-7", A ":7", "k:7", false);
	assert_int_equal(check(f, A ":5-7", "gtid:" A ":1-5"), ERR_BEHIND);
	assert_non_null(strstr(f->why.text, "before the log kept them"));
	assert_non_null(strstr(f->why.text, A ":5-7"));
	assert_int_equal(check(f, A ":5-7", NULL), ERR_BEHIND);
	assert_int_equal(check(f, A ":5-7", "file:b.1:4"), ERR_BEHIND);
	assert_int_equal(check(f, A ":5-7", "gtid:"), ERR_OK);
}

static void
a_log_that_was_trimmed_must_reach_back_to_before_them(void **state)
{
	struct fixture *f = *state;
	size_t removed;
	uint64_t nkeys;

	append(f, "gtid:" A ":1-4", A ":4", "k:4", false);
	append(f, "gtid:" A ":1-5", A ":5", "k:5", false);
	clock_fake_advance_ms(&f->clock, 3601 * 1000);
	append(f, "gtid:" A ":1-6", A ":6", "k:6", false);
	append(f, "gtid:" A ":1-7", A ":7", "k:7", false);
	assert_int_equal(broker_trim(f->broker, 100, &removed, &f->why), ERR_OK);
	assert_int_equal(removed, 2);
	assert_int_equal(check(f, A ":6-7", "gtid:" A ":1-2"), ERR_BEHIND);
	assert_non_null(strstr(f->why.text, "does not reach back"));
	assert_int_equal(again(f, A ":6-7", &nkeys), ERR_BEHIND);
	assert_int_equal(f->items, 0);
	/* Behind the first record that is left, all is there. */
	assert_int_equal(check(f, A ":7", "gtid:" A ":1-2"), ERR_OK);
	assert_int_equal(again(f, A ":7", &nkeys), ERR_OK);
	assert_string_equal(buf_str(&f->keys), "k:7 |");
}

static void
a_damaged_record_counts_only_where_it_may_hold_them(void **state)
{
	struct fixture *f = *state;

	append(f, "gtid:" A ":1-4", A ":4", "k:4", false);
	append(f, "gtid:" A ":1-5", A ":5", "k:5", false);
	append(f, "gtid:" A ":1-6", A ":6", "k:6", false);
	damage_record(f->path, 2);
	assert_int_equal(check(f, A ":5-6", "gtid:" A ":1-2"), ERR_BEHIND);
	assert_non_null(strstr(f->why.text, "damaged"));
	assert_int_equal(check(f, A ":7", "gtid:" A ":1-2"), ERR_OK);
}

static void
a_long_log_is_read_from_as_far_back_as_it_takes(void **state)
{
	enum { N = 6000 };
	struct fixture *f = *state;
	char position[80], id[80], key[16], lost[80];
	uint64_t nkeys;

	for (int i = 1; i <= N; i++) {
		snprintf(position, sizeof(position), "gtid:" A ":1-%d", i);
		snprintf(id, sizeof(id), A ":%d", i);
		snprintf(key, sizeof(key), "k:%d", i);
		append(f, position, id, key, false);
	}
	/* The first one is farther back than what is looked through first. */
	snprintf(lost, sizeof(lost), A ":10:%d", N);
	assert_int_equal(check(f, lost, "gtid:" A ":1-2"), ERR_OK);
	assert_int_equal(again(f, lost, &nkeys), ERR_OK);
	assert_string_equal(buf_str(&f->keys), "k:10 |k:6000 |");
}

static void
who_takes_no_more_ends_it(void **state)
{
	struct fixture *f = *state;
	uint64_t nkeys;

	append(f, "gtid:" A ":1-4", A ":4", "k:4", false);
	append(f, "gtid:" A ":1-5", A ":5", "k:5", false);
	f->room = 1;
	assert_int_equal(again(f, A ":4-5", &nkeys), ERR_CLOSED);
	assert_int_equal(f->items, 1);
	assert_int_equal(metric_get(&f->metrics.source_rewound), 0);
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, make, drop)
	const struct CMUnitTest tests[] = {
	    EACH(only_keys_of_lost_transactions_come_again),
	    EACH(transactions_without_keys_are_no_obstacle),
	    EACH(what_was_never_read_is_refused),
	    EACH(a_log_that_was_trimmed_must_reach_back_to_before_them),
	    EACH(a_damaged_record_counts_only_where_it_may_hold_them),
	    EACH(a_long_log_is_read_from_as_far_back_as_it_takes),
	    EACH(who_takes_no_more_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
