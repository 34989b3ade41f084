#include "router/status.h"

#include "router/test/fixture.h"

static void
write_status(struct fixture *f, struct delivery **deliveries, size_t n, uint32_t partitions,
	     const char *trouble, struct buf *out)
{
	struct status s = {.cluster = f->cluster,
			   .log = &f->log_opt,
			   .instance = "me",
			   .trouble = trouble,
			   .partitions = partitions,
			   .deliveries = deliveries,
			   .n = n};
	struct json j;

	buf_clear(out);
	json_init(&j, out);
	json_object(&j);
	status_write(&s, &j);
	json_object_end(&j);
}

static size_t
count(const struct buf *text, const char *word)
{
	size_t n = 0;

	for (const char *p = buf_str((struct buf *)text); (p = strstr(p, word)) != NULL; p++)
		n++;
	return n;
}

static void
one_partition_says_everything_twice_and_several_say_sums_and_each(void **state)
{
	struct fixture *f = *state;
	struct delivery *both[2];
	struct buf out = BUF_INIT;

	f->partitions = 1;
	append_numbered(f, 0, 20);
	start(f);
	WAIT_FOR(f->loop, all_acked(f, 21));
	write_status(f, &f->d, 1, 1, "", &out);
	assert_int_equal(count(&out, "\"acked_offset\":21"), 4);
	assert_int_equal(count(&out, "\"end_offset\":21"), 2);
	assert_int_equal(count(&out, "\"partition\":0"), 1);
	assert_int_equal(count(&out, "\"state\":\"up\""), 4);
	assert_int_equal(count(&out, "\"instance\":\"me\""), 1);
	/* The same delivery twice is as good as two. */
	both[0] = both[1] = f->d;
	write_status(f, both, 2, 2, "", &out);
	assert_int_equal(count(&out, "\"acked_offset\":21"), 4);
	assert_int_equal(count(&out, "\"end_offset\":21"), 2);
	assert_int_equal(count(&out, "\"server\":\"cache-a:11211\""), 3);
	/* None: another instance has them all. */
	write_status(f, both, 0, 2, "", &out);
	assert_non_null(strstr(buf_str(&out), "\"servers\":[]"));
	assert_non_null(strstr(buf_str(&out), "\"partitions\":[]"));
	buf_fini(&out);
}

static void
sums_are_over_all_partitions_and_the_worst_state_is_told(void **state)
{
	struct fixture *f = *state;
	struct delivery *both[2];
	struct buf out = BUF_INIT;
	char *sums, *second;

	start(f);
	append_numbered(f, 0, 20);
	WAIT_FOR(f->loop, all_acked(f, 21));
	peer_stop(&f->peers[0]);
	for (int i = 0; i < 10; i++)
		append(f, key_on(f, 0, "missed"));
	WAIT_FOR(f->loop, !server_is_up(delivery_server(f->d, 0)) && delivery_acked(f->d, 1) == 31);
	both[0] = both[1] = f->d;
	write_status(f, both, 2, 2, "", &out);
	sums = strstr(buf_str(&out), "\"servers\":[");
	assert_non_null(sums);
	*strstr(sums, "\"partitions\":[") = '\0';
	second = strstr(sums, "{\"server\":\"cache-b");
	assert_non_null(second);
	assert_non_null(strstr(second, "\"state\":\"up\""));
	assert_non_null(strstr(second, "\"behind_records\":0"));
	*second = '\0';
	assert_null(strstr(sums, "\"state\":\"up\""));
	assert_non_null(strstr(sums, "\"behind_records\":20"));
	buf_fini(&out);
	peer_start(&f->peers[0], f->loop);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(one_partition_says_everything_twice_and_several_say_sums_and_each),
	    TEST(sums_are_over_all_partitions_and_the_worst_state_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
