/* Groups over a file, and over librdkafka's mock cluster. */
#include "lib/broker/group.h"

#include <poll.h>

#include "lib/broker/broker_ops.h"
#include "lib/broker/kafka.h"
#include "lib/broker/test/mock.h"

enum { PARTS = MOCK_PARTITIONS };

/* What a router would keep. */
struct member {
	struct mock *m;
	struct group *group;
	struct cursor_store *cursors[PARTS];
	unsigned nours, ndropped, ntroubles;
	struct cursor last; /* saved when a partition is dropped; server NULL: nothing is */
	char trouble[400];
};

static void
on_assigned(void *arg, uint32_t partition, struct cursor_store *cursors)
{
	struct member *me = arg;

	assert_null(me->cursors[partition]);
	me->cursors[partition] = cursors;
	me->nours++;
}

static void
on_dropped(void *arg, uint32_t partition)
{
	struct member *me = arg;
	struct err_detail why = {0};

	assert_non_null(me->cursors[partition]);
	if (me->last.server != NULL)
		assert_int_equal(cursor_save(me->cursors[partition], &me->last, 1, &why), ERR_OK);
	me->cursors[partition] = NULL;
	me->nours--;
	me->ndropped++;
}

static void
on_trouble(void *arg, const char *why)
{
	struct member *me = arg;

	me->ntroubles++;
	snprintf(me->trouble, sizeof(me->trouble), "%s", why);
}

static const struct group_ops ops = {
    .on_assigned = on_assigned, .on_dropped = on_dropped, .on_trouble = on_trouble};

static void
join(struct member *me, struct mock *m, const char *instance)
{
	struct group_context ctx = {.log = &m->f->opt,
				    .cluster = "east",
				    .instance = instance,
				    .cursor_path = m->f->path,
				    .broker = &m->f->ctx,
				    .ops = &ops,
				    .arg = me};

	*me = (struct member){.m = m};
	assert_ok(m->f, group_open(&me->group, &ctx, &m->f->why));
	assert_int_equal(me->nours, 0);
}

static void
turn_both(struct member *a, struct member *b)
{
	struct pollfd p[] = {{.fd = group_fd(a->group), .events = POLLIN},
			     {.fd = b != NULL ? group_fd(b->group) : -1, .events = POLLIN}};

	poll(p, 2, 50);
	group_turn(a->group);
	if (b != NULL)
		group_turn(b->group);
}

#define wait_for(a, b, cond)                                                                                 \
	do {                                                                                                 \
		uint64_t end_ = clock_mono_ms(clock_system()) + 40000;                                       \
		while (!(cond)) {                                                                            \
			if (clock_mono_ms(clock_system()) > end_)                                            \
				fail_msg("never: %s", #cond);                                                \
			turn_both((a), (b));                                                                 \
		}                                                                                            \
	} while (0)

static void
a_file_has_one_partition_and_its_holder_gets_it(void **state)
{
	struct mock m = {.f = *state};
	struct member a;

	join(&a, &m, "r1");
	assert_int_equal(group_partitions(a.group), 1);
	wait_for(&a, NULL, a.nours == 1);
	assert_non_null(a.cursors[0]);
	group_close(&a.group);
	assert_int_equal(a.ndropped, 1);
}

static void
a_second_router_on_the_same_file_is_refused(void **state)
{
	struct mock m = {.f = *state};
	struct group *second;
	struct member a;
	const struct group_context ctx = {.log = &m.f->opt,
					  .cluster = "east",
					  .instance = "r2",
					  .cursor_path = m.f->path,
					  .broker = &m.f->ctx,
					  .ops = &ops};

	join(&a, &m, "r1");
	assert_err(m.f, group_open(&second, &ctx, &m.f->why), ERR_IN_USE, "in use");
	group_close(&a.group);
}

static void
one_member_gets_every_partition(void **state)
{
	struct mock *m = *state;
	struct member a;

	join(&a, m, "r1");
	wait_for(&a, NULL, a.nours == PARTS && group_partitions(a.group) == PARTS);
	group_close(&a.group);
	assert_int_equal(a.ndropped, PARTS);
}

static void
save_one(struct member *me, uint32_t partition, const char *server, uint64_t offset)
{
	struct cursor c = {.server = server, .offset = offset};
	struct broker_reader *r;

	assert_ok(me->m->f, broker_reader_open_partition(&r, &me->m->f->opt, partition, &me->m->f->ctx,
							 &me->m->f->why));
	snprintf(c.log_id, sizeof(c.log_id), "%s", broker_reader_log_id(r));
	broker_reader_close(&r);
	assert_ok(me->m->f, cursor_save(me->cursors[partition], &c, 1, &me->m->f->why));
}

/* The group's committed offset as any Kafka tool sees it; -1: none. */
static int64_t
committed(struct mock *m, uint32_t partition, struct buf *metadata)
{
	const struct kafka_setting more[] = {{"group.id", "squeal.east"}, {NULL, NULL}};
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	struct kafka *k;
	int64_t offset;

	assert_ok(m->f, kafka_open(&k, KAFKA_LOOKER, &m->f->opt, more, NULL, NULL, NULL, &m->f->why));
	rd_kafka_topic_partition_list_add(list, "squeal", (int32_t)partition);
	assert_int_equal(rd_kafka_committed(kafka_rk(k), list, MOCK_PATIENCE_MS), 0);
	offset = list->elems[0].offset;
	if (metadata != NULL)
		buf_put(metadata, list->elems[0].metadata, list->elems[0].metadata_size);
	rd_kafka_topic_partition_list_destroy(list);
	kafka_close(&k);
	return offset;
}

static void
cursors_are_the_groups_committed_offsets_and_come_back(void **state)
{
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct cursor c = {.server = "a:1"};
	struct buf metadata = BUF_INIT;
	struct member a;
	bool found;

	for (unsigned i = 0; i < 10; i++)
		fixture_append(m->f, w, "x", "p");
	broker_writer_close(&w);
	join(&a, m, "r1");
	wait_for(&a, NULL, a.nours == PARTS);
	assert_ok(m->f, cursor_load(a.cursors[0], &c, &found, &m->f->why));
	assert_false(found);
	save_one(&a, 0, "a:1", 9);
	save_one(&a, 0, "b:1", 4);
	group_close(&a.group);
	/* the least of all */
	assert_int_equal(committed(m, 0, &metadata), 4);
	buf_fini(&metadata);

	join(&a, m, "r1");
	wait_for(&a, NULL, a.nours == PARTS);
	assert_ok(m->f, cursor_load(a.cursors[0], &c, &found, &m->f->why));
	assert_true(found);
	assert_int_equal(c.offset, 9);
	c.server = "b:1";
	assert_ok(m->f, cursor_load(a.cursors[0], &c, &found, &m->f->why));
	assert_true(found);
	assert_int_equal(c.offset, 4);
	c.server = "new:1";
	assert_ok(m->f, cursor_load(a.cursors[0], &c, &found, &m->f->why));
	assert_false(found);
	group_close(&a.group);
}

static void
what_is_saved_while_a_partition_is_dropped_is_committed(void **state)
{
	struct mock *m = *state;
	struct member a;

	join(&a, m, "r1");
	wait_for(&a, NULL, a.nours == PARTS);
	a.last = (struct cursor){.server = "a:1", .offset = 7};
	kafka_log_id("x", "y", 0, a.last.log_id);
	group_close(&a.group);
	assert_int_equal(committed(m, 1, NULL), 7);
}

static void
two_members_share_the_partitions_and_one_that_stays_is_not_interrupted(void **state)
{
	struct mock *m = *state;
	struct member a, b;

	join(&a, m, "r1");
	wait_for(&a, NULL, a.nours == PARTS);
	join(&b, m, "r2");
	wait_for(&a, &b, a.nours + b.nours == PARTS && b.nours > 0);
	assert_int_equal(a.ndropped, b.nours); /* nothing but what went to the other one */
	group_close(&b.group);
	group_close(&a.group);
}

static void
offsets_that_an_operator_has_set_count_for_every_server(void **state)
{
	const struct kafka_setting more[] = {{"group.id", "squeal.east"}, {NULL, NULL}};
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	struct cursor c = {.server = "a:1"};
	struct mock *m = *state;
	struct member a;
	struct kafka *k;
	bool found;

	assert_ok(m->f, kafka_open(&k, KAFKA_LOOKER, &m->f->opt, more, NULL, NULL, NULL, &m->f->why));
	rd_kafka_topic_partition_list_add(list, "squeal", 0)->offset = 3;
	assert_int_equal(rd_kafka_commit(kafka_rk(k), list, 0), 0);
	rd_kafka_topic_partition_list_destroy(list);
	kafka_close(&k);
	join(&a, m, "r1");
	wait_for(&a, NULL, a.nours == PARTS);
	assert_ok(m->f, cursor_load(a.cursors[0], &c, &found, &m->f->why));
	assert_true(found);
	assert_int_equal(c.offset, 3);
	assert_int_equal(strlen(c.log_id), CURSOR_LOG_ID_MAX);
	group_close(&a.group);
}

static struct broker_witness
read_elsewhere(const struct broker_reader *r)
{
	(void)r;
	return (struct broker_witness){true, 2, 0x1234};
}

/* What this router has read at offset 2 is not what is there. */
static void
a_topic_that_is_not_the_one_that_was_read_makes_every_cursor_void(void **state)
{
	static const struct broker_reader_ops reads = {.witness = read_elsewhere};
	const struct broker_reader reader = {&reads};
	struct mock *m = *state;
	struct broker_writer *w = fixture_writer(m->f);
	struct cursor c = {.server = "a:1"}, other = {.server = "b:1"};
	struct broker_reader *r;
	uint32_t partition = 0;
	struct member a;
	bool found;

	for (unsigned i = 0; i < 10; i++)
		fixture_append(m->f, w, "x", "p");
	broker_writer_close(&w);
	join(&a, m, "r1");
	wait_for(&a, NULL, a.nours == PARTS);
	/* The partition with the records. */
	for (uint32_t p = 0; p < PARTS; p++) {
		uint64_t first, end;

		assert_ok(m->f, broker_reader_open_partition(&r, &m->f->opt, p, &m->f->ctx, &m->f->why));
		assert_ok(m->f, broker_bounds(r, &first, &end, &m->f->why));
		partition = end > 0 ? p : partition;
		broker_reader_close(&r);
	}
	save_one(&a, partition, "a:1", 9);
	cursor_vouch(a.cursors[partition], &reader);
	wait_for(&a, NULL, a.ndropped == 1 && a.nours == PARTS);
	/* Every server's, also of one that has saved nothing. */
	assert_ok(m->f, cursor_load(a.cursors[partition], &c, &found, &m->f->why));
	assert_true(found);
	assert_string_equal(c.log_id, "00000000000000000000000000000000");
	assert_ok(m->f, cursor_load(a.cursors[partition], &other, &found, &m->f->why));
	assert_true(found);
	assert_string_equal(other.log_id, "00000000000000000000000000000000");
	group_close(&a.group);
}

static void
brokers_that_are_away_are_trouble_that_passes(void **state)
{
	struct mock *m = *state;
	struct member a;

	for (int i = 1; i <= MOCK_BROKERS; i++)
		rd_kafka_mock_broker_set_down(m->cluster, i);
	join(&a, m, "r1");
	wait_for(&a, NULL, a.trouble[0] != '\0');
	for (int i = 1; i <= MOCK_BROKERS; i++)
		rd_kafka_mock_broker_set_up(m->cluster, i);
	wait_for(&a, NULL, a.trouble[0] == '\0' && a.nours == PARTS);
	group_close(&a.group);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(a_file_has_one_partition_and_its_holder_gets_it),
	    fixture_test(a_second_router_on_the_same_file_is_refused),
	    mock_test(one_member_gets_every_partition),
	    mock_test(cursors_are_the_groups_committed_offsets_and_come_back),
	    mock_test(what_is_saved_while_a_partition_is_dropped_is_committed),
	    mock_test(two_members_share_the_partitions_and_one_that_stays_is_not_interrupted),
	    mock_test(offsets_that_an_operator_has_set_count_for_every_server),
	    mock_test(a_topic_that_is_not_the_one_that_was_read_makes_every_cursor_void),
	    mock_test(brokers_that_are_away_are_trouble_that_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
