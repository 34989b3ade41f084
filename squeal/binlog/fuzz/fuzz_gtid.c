/*
 * fuzz_gtid - ids, sets of ids and positions, as text and as bytes.
 *
 * Input: read as a set in binary form and as each of the texts.  What is taken must come out again the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "squeal/binlog/position.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool held)
{
	if (!held)
		abort();
}

static void
bytes_again(const struct gtid_set *s)
{
	struct err_detail why = {0};
	struct gtid_set again = {0}, rest = {0};
	struct buf b = BUF_INIT;

	gtid_set_encode(s, &b);
	must(gtid_set_decode(buf_span(&b), &again, &why) == ERR_OK);
	must(gtid_set_same(s, &again));
	buf_clear(&b);
	gtid_set_format(s, &b);
	must(gtid_set_parse(buf_span(&b), &again, &why) == ERR_OK);
	must(gtid_set_same(s, &again));
	gtid_set_minus(s, &again, &rest);
	must(gtid_set_count(&rest) == 0);
	gtid_set_fini(&again);
	gtid_set_fini(&rest);
	buf_fini(&b);
}

static void
text_again(struct span text)
{
	struct err_detail why = {0};
	struct position p = {0}, again = {0};
	struct buf b = BUF_INIT;
	struct gtid g;

	if (position_parse(text, &p, &why) == ERR_OK) {
		position_format(&p, &b);
		must(position_parse(buf_span(&b), &again, &why) == ERR_OK);
		must(position_same(&p, &again));
	} else {
		must(why.text[0] != '\0');
	}
	if (gtid_parse(text, &g, &why) == ERR_OK) {
		buf_clear(&b);
		gtid_format(&g, &b);
		must(b.len <= GTID_TEXT_MAX);
		position_advance(&p, &g, text, 4);
	}
	position_fini(&p);
	position_fini(&again);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_detail why = {0};
	struct gtid_set s = {0};

	if (gtid_set_decode(span_make(data, size), &s, &why) == ERR_OK)
		bytes_again(&s);
	gtid_set_clear(&s);
	if (gtid_set_parse(span_make(data, size), &s, &why) == ERR_OK)
		bytes_again(&s);
	gtid_set_fini(&s);
	text_again(span_make(data, size));
	return 0;
}
