#include "squeal/halve.h"

#include <stdio.h>
#include <string.h>

#include "lib/core/test/test.h"
#include "lib/wire/record.h"

/* A record of transactions with so many keys and markers each, "k0", "k1" … and "m0" … */
static void
make(struct buf *out, const size_t *nkeys, const size_t *nmarkers, size_t ntxns)
{
	static char names[2][64][24];
	static struct span keys[64], markers[64];
	struct record_txn txns[8];
	struct record rec = {.version = RECORD_VERSION,
			     .source = SPAN_LIT("main"),
			     .position = SPAN_LIT("gtid:0-1-9"),
			     .txns = txns,
			     .ntxns = ntxns};
	size_t k = 0, m = 0;

	memset(txns, 0, sizeof(txns));
	for (size_t i = 0; i < ntxns; i++) {
		txns[i].gtid = SPAN_LIT("0-1-9");
		txns[i].pool = txns[i].origin = SPAN_LIT("");
		txns[i].keys = keys + k;
		txns[i].nkeys = nkeys[i];
		txns[i].markers = markers + m;
		txns[i].nmarkers = nmarkers[i];
		for (size_t j = 0; j < nkeys[i]; j++, k++) {
			snprintf(names[0][k], sizeof(names[0][k]), "k%zu", k);
			keys[k] = span_of(names[0][k]);
		}
		for (size_t j = 0; j < nmarkers[i]; j++, m++) {
			snprintf(names[1][m], sizeof(names[1][m]), "m%zu", m);
			markers[m] = span_of(names[1][m]);
		}
	}
	record_encode(&rec, out);
}

/* "k0 k1+|m0 @" - `+` behind a transaction that goes on, `,` behind one that ends, `|` behind a record, `@`
 * before it when it has a position. */
static void
show(const struct halve *h, struct buf *out)
{
	for (size_t i = 0; i < h->n; i++) {
		struct arena arena = ARENA_INIT;
		struct err_detail why = {0};
		struct record rec;

		assert_int_equal(record_decode(h->records[i], &arena, &rec, &why), ERR_OK);
		for (size_t t = 0; t < rec.ntxns; t++) {
			for (size_t k = 0; k < rec.txns[t].nkeys; k++)
				buf_printf(out, "%.*s ", SPAN_FMT(rec.txns[t].keys[k]));
			for (size_t k = 0; k < rec.txns[t].nmarkers; k++)
				buf_printf(out, "%.*s ", SPAN_FMT(rec.txns[t].markers[k]));
			buf_putc(out, rec.txns[t].continues ? '+' : ',');
		}
		buf_put_str(out, rec.position.len > 0 ? "@|" : "|");
		arena_fini(&arena);
	}
}

#define assert_shows(h, want)                                                                                \
	do {                                                                                                 \
		struct buf text_ = BUF_INIT;                                                                 \
		show((h), &text_);                                                                           \
		assert_string_equal(buf_str(&text_), (want));                                                \
		buf_fini(&text_);                                                                            \
	} while (0)

static void
a_record_is_cut_until_each_has_one_key_and_only_the_last_has_the_position(void **state)
{
	static const size_t nkeys[] = {3, 0}, nmarkers[] = {0, 1};
	struct halve h = HALVE_INIT;
	struct buf bytes = BUF_INIT;
	struct err_detail why = {0};
	struct span record;
	size_t cut;

	make(&bytes, nkeys, nmarkers, 2);
	record = buf_span(&bytes);
	halve_begin(&h, &record, 1);
	assert_shows(&h, "k0 k1 k2 ,m0 ,@|");
	assert_int_equal(halve_step(&h, &cut, &why), ERR_OK);
	assert_int_equal(cut, 1);
	assert_shows(&h, "k0 k1 +|k2 ,m0 ,@|");
	assert_int_equal(halve_step(&h, &cut, &why), ERR_OK);
	assert_int_equal(cut, 2);
	assert_shows(&h, "k0 +|k1 +|k2 ,|m0 ,@|");
	assert_int_equal(halve_step(&h, &cut, &why), ERR_OK);
	assert_int_equal(cut, 0);
	assert_shows(&h, "k0 +|k1 +|k2 ,|m0 ,@|");
	halve_fini(&h);
	buf_fini(&bytes);
}

static void
a_short_record_beside_a_long_one_stays_whole(void **state)
{
	static const size_t many[] = {40}, few[] = {2}, none[] = {0};
	struct buf bytes[2] = {BUF_INIT, BUF_INIT};
	struct halve h = HALVE_INIT;
	struct err_detail why = {0};
	struct span records[2];
	size_t cut;

	make(&bytes[0], few, none, 1);
	make(&bytes[1], many, none, 1);
	records[0] = buf_span(&bytes[0]);
	records[1] = buf_span(&bytes[1]);
	halve_begin(&h, records, 2);
	assert_int_equal(halve_step(&h, &cut, &why), ERR_OK);
	assert_int_equal(cut, 1);
	assert_int_equal(h.n, 3);
	halve_fini(&h);
	buf_fini(&bytes[0]);
	buf_fini(&bytes[1]);
}

static void
bytes_that_are_no_record_are_an_error(void **state)
{
	struct halve h = HALVE_INIT;
	struct err_detail why = {0};
	struct span bad = SPAN_LIT("\xff\xff\xff");
	size_t cut;

	halve_begin(&h, &bad, 1);
	assert_int_equal(halve_step(&h, &cut, &why), ERR_BAD_RECORD);
	halve_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_record_is_cut_until_each_has_one_key_and_only_the_last_has_the_position),
	    cmocka_unit_test(a_short_record_beside_a_long_one_stays_whole),
	    cmocka_unit_test(bytes_that_are_no_record_are_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
