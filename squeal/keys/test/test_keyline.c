#include "squeal/keys/keyline.h"

#include <stdlib.h>

#include "lib/core/json.h"
#include "lib/core/test/test.h"

struct fixture {
	struct keyline line;
	struct queue_item *item;
	struct keyset *keys;
	struct buf out;
};

static int
make(void **state)
{
	static struct fixture f;

	f = (struct fixture){.item = queue_item_create(), .keys = keyset_create(1 << 16, "/tmp")};
	*state = &f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	keyline_fini(&f->line);
	queue_item_destroy(&f->item);
	keyset_destroy(&f->keys);
	buf_fini(&f->out);
	return 0;
}

static void
add(struct fixture *f, enum key_kind kind, struct span key)
{
	struct err_detail why = {0};
	bool added;

	assert_int_equal(keyset_add(f->keys, kind, key, &added, &why), ERR_OK);
}

static void
put(struct fixture *f, const struct keyline_extra *extra)
{
	struct err_detail why = {0};

	buf_clear(&f->out);
	keyset_take(f->keys, &f->item->keys);
	assert_int_equal(keyline_put(&f->line, f->item, extra, &f->out, &why), ERR_OK);
}

static void
a_line_has_place_id_time_and_keys(void **state)
{
	struct fixture *f = *state;

	keyline_enter_file(&f->line, "bin.000001");
	f->item->pos = 1234;
	f->item->gtid = (struct gtid){.kind = GTID_MARIADB, .domain = 7, .server = 1, .seq = 100};
	f->item->commit_us = UINT64_C(1795210680000000);
	put(f, &(struct keyline_extra){.keys = f->item});
	assert_string_equal(buf_str(&f->out), "{\"file\":\"bin.000001\",\"pos\":1234,\"gtid\":\"7-1-100\","
					      "\"time_us\":1795210680000000,\"keys\":[],\"markers\":[]}\n");
	f->item->gtid.seq = 1;
	add(f, KEY_DELETE, SPAN_LIT("user:42"));
	add(f, KEY_MARKER, SPAN_LIT("m1"));
	add(f, KEY_DELETE, SPAN_LIT("a"));
	add(f, KEY_MARKER, SPAN_LIT("m2"));
	put(f, &(struct keyline_extra){.keys = f->item});
	assert_string_equal(buf_str(&f->out), "{\"file\":\"bin.000001\",\"pos\":1234,\"gtid\":\"7-1-1\","
					      "\"time_us\":1795210680000000,\"keys\":[\"user:42\",\"a\"],"
					      "\"markers\":[\"m1\",\"m2\"]}\n");
}

static void
the_rest_stands_where_there_is_something_to_say(void **state)
{
	struct fixture *f = *state;
	uint64_t rows = 0;
	struct span sources = SPAN_LIT("{\"key\":\"a\"}");

	keyline_enter_file(&f->line, "odd\"name");
	f->item->holdoff_ms = 2000;
	f->item->pool = span_dup(SPAN_LIT("p"));
	put(f, &(struct keyline_extra){.rows = &rows, .sources = &sources, .keys = f->item});
	assert_string_equal(buf_str(&f->out),
			    "{\"file\":\"odd\\\"name\",\"pos\":0,\"gtid\":null,\"time_us\":0,\"keys\":[],"
			    "\"holdoff_ms\":2000,\"pool\":\"p\",\"rows\":0,\"markers\":[],"
			    "\"sources\":[{\"key\":\"a\"}]}\n");
}

static void
a_transaction_that_ends_a_prepared_one_has_its_keys(void **state)
{
	struct fixture *f = *state;
	struct queue_item *end = queue_item_create();
	struct err_detail why = {0};
	struct buf out = BUF_INIT;
	struct keyline_extra extra = {.keys = f->item};

	keyline_enter_file(&f->line, "f");
	add(f, KEY_DELETE, SPAN_LIT("a"));
	keyset_take(f->keys, &f->item->keys);
	end->kind = QUEUE_XA_COMMIT;
	end->xid = calloc(1, sizeof(*end->xid));
	assert_true(xid_make(end->xid, 1, SPAN_LIT("g"), SPAN_LIT("")));
	assert_int_equal(keyline_put(&f->line, end, &extra, &out, &why), ERR_OK);
	assert_non_null(strstr(buf_str(&out), "\"keys\":[\"a\"],\"markers\":[],\"xa\":\"commit\",\"xid\":"));
	assert_null(strstr(buf_str(&out), "unknown"));
	buf_clear(&out);
	extra = (struct keyline_extra){.xa_unknown = true};
	assert_int_equal(keyline_put(&f->line, end, &extra, &out, &why), ERR_OK);
	assert_non_null(strstr(buf_str(&out), "\"keys\":[],"));
	assert_non_null(strstr(buf_str(&out), "\"xa_unknown\":true}\n"));
	queue_item_destroy(&end);
	buf_fini(&out);
}

static void
ids_of_other_domains_servers_and_kinds_are_not_mixed_up(void **state)
{
	static const char *const ids[] = {"0-1-9",
					  "0-2-10",
					  "1-2-11",
					  "00000000-0000-0000-0000-000000000009:5",
					  "00000000-0000-0000-0000-000000000009:tag:5",
					  "00000000-0000-0000-0000-000000000009:6",
					  NULL,
					  "0-1-18446744073709551615"};
	struct fixture *f = *state;
	struct err_detail why = {0};
	struct buf want = BUF_INIT;

	keyline_enter_file(&f->line, "f");
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		f->item->gtid = (struct gtid){0};
		if (ids[i] != NULL)
			assert_int_equal(gtid_parse(span_of(ids[i]), &f->item->gtid, &why), ERR_OK);
		buf_clear(&want);
		buf_printf(&want, ids[i] != NULL ? ",\"gtid\":\"%s\"," : ",\"gtid\":null,", ids[i]);
		put(f, &(struct keyline_extra){.keys = f->item});
		assert_non_null(strstr(buf_str(&f->out), buf_str(&want)));
	}
	buf_fini(&want);
}

/* Every byte at every place of a key, against json.h. */
static void
keys_are_escaped_as_json_wants_it(void **state)
{
	struct fixture *f = *state;
	struct buf want = BUF_INIT;
	struct json j;
	char key[20];

	keyline_enter_file(&f->line, "f");
	for (size_t len = 1; len <= sizeof(key); len++) {
		for (unsigned c = 1; c < 256; c++) {
			memset(key, 'k', sizeof(key));
			key[len * 7 % sizeof(key) % len] = (char)c;
			add(f, KEY_DELETE, SPAN_LIT("first"));
			add(f, KEY_DELETE, span_make(key, len));
			put(f, &(struct keyline_extra){.keys = f->item});
			buf_clear(&want);
			buf_put_str(&want, "\"keys\":[\"first\",");
			json_init(&j, &want);
			json_span(&j, span_make(key, len));
			buf_put_str(&want, "],");
			assert_non_null(strstr(buf_str(&f->out), buf_str(&want)));
		}
	}
	buf_fini(&want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_line_has_place_id_time_and_keys, make, drop),
	    cmocka_unit_test_setup_teardown(the_rest_stands_where_there_is_something_to_say, make, drop),
	    cmocka_unit_test_setup_teardown(a_transaction_that_ends_a_prepared_one_has_its_keys, make, drop),
	    cmocka_unit_test_setup_teardown(ids_of_other_domains_servers_and_kinds_are_not_mixed_up, make,
					    drop),
	    cmocka_unit_test_setup_teardown(keys_are_escaped_as_json_wants_it, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
