#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "router/hops.h"

static void
each_leg_is_measured_by_itself(void **state)
{
	struct hops_metrics *h = calloc(1, sizeof(*h));
	const struct outbox_ack ack = {.commit_us = 1000001,
				       .seen_us = 1000501,
				       .queued_us = 1001501,
				       .sent_us = 1001601,
				       .acked_us = 1001801};

	hops_note(h, &ack);
	assert_int_equal(histogram_max(&h->router_hop_commit_to_seen), 500);
	assert_int_equal(histogram_max(&h->router_hop_seen_to_queued), 1000);
	assert_int_equal(histogram_max(&h->router_hop_queued_to_sent), 100);
	assert_int_equal(histogram_max(&h->router_hop_sent_to_acked), 200);
	free(h);
}

static void
what_is_not_known_or_turned_around_is_left_out(void **state)
{
	struct hops_metrics *h = calloc(1, sizeof(*h));
	const struct outbox_ack whole_seconds = {.commit_us = 1000000, .seen_us = 1900000};
	const struct outbox_ack turned = {
	    .commit_us = 2000001, .seen_us = 1900000, .queued_us = 5, .sent_us = 0};
	struct buf text = BUF_INIT;
	struct json j;

	hops_note(h, &whole_seconds);
	hops_note(h, &turned);
	assert_int_equal(histogram_count(&h->router_hop_commit_to_seen), 0);
	assert_int_equal(histogram_count(&h->router_hop_seen_to_queued), 0);
	json_init(&j, &text);
	json_object(&j);
	hops_json(h, &j);
	json_object_end(&j);
	assert_string_equal(buf_str(&text), "{\"hops_us\":{\"commit_to_seen\":null,\"seen_to_queued\":null,"
					    "\"queued_to_sent\":null,\"sent_to_acked\":null}}");
	buf_fini(&text);
	free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_leg_is_measured_by_itself),
	    cmocka_unit_test(what_is_not_known_or_turned_around_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
