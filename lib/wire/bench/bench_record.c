/*
 * bench_record - what encoding and decoding a key costs.
 *
 *     make build/bin/bench_record && build/bin/bench_record
 *
 * Keys of 24 bytes; one record of 500 keys in 100 transactions (the usual batch), one of 100,000 keys in one
 * transaction.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/clock.h"
#include "lib/core/mem.h"
#include "lib/wire/record.h"

enum { KEY_BYTES = 24 };

static void
run(size_t ntxns, size_t keys_per_txn, unsigned rounds)
{
	const struct clock *clock = clock_system();
	size_t nkeys = ntxns * keys_per_txn;
	struct record_txn *txns = mem_zalloc(ntxns, sizeof(*txns));
	struct span *keys = mem_zalloc(nkeys, sizeof(*keys));
	char *text = mem_alloc(nkeys * (KEY_BYTES + 1));
	struct record rec = {RECORD_VERSION, SPAN_LIT("main"), SPAN_LIT("0-1-100"), txns, ntxns}, back;
	struct arena arena = ARENA_INIT;
	struct buf out = BUF_INIT;
	struct err_detail why = {0};
	uint64_t t0, encode_ns, decode_ns;

	for (size_t i = 0; i < nkeys; i++) {
		char *at = text + i * (KEY_BYTES + 1);

		snprintf(at, KEY_BYTES + 1, "user:profile:%011zu", i);
		keys[i] = span_make(at, KEY_BYTES);
	}
	for (size_t i = 0; i < ntxns; i++) {
		txns[i] = (struct record_txn){
		    .gtid = SPAN_LIT("0-1-1234567"),
		    .commit_us = UINT64_C(1700000000000000),
		    .seen_us = UINT64_C(1700000000123456),
		    .keys = keys + i * keys_per_txn,
		    .nkeys = keys_per_txn,
		};
	}
	t0 = clock_mono_ns(clock);
	for (unsigned i = 0; i < rounds; i++) {
		buf_clear(&out);
		record_encode(&rec, &out);
	}
	encode_ns = clock_mono_ns(clock) - t0;
	t0 = clock_mono_ns(clock);
	for (unsigned i = 0; i < rounds; i++) {
		arena_reset(&arena);
		if (record_decode(buf_span(&out), &arena, &back, &why) != ERR_OK) {
			fprintf(stderr, "bench_record: %s\n", err_why(&why));
			exit(1);
		}
	}
	decode_ns = clock_mono_ns(clock) - t0;
	printf("keys=%zu txns=%zu bytes=%zu encode_ns_per_key=%.1f decode_ns_per_key=%.1f "
	       "decode_arena_bytes=%zu\n",
	       nkeys, ntxns, out.len, (double)encode_ns / rounds / (double)nkeys,
	       (double)decode_ns / rounds / (double)nkeys, arena.used);
	buf_fini(&out);
	arena_fini(&arena);
	free(txns);
	free(keys);
	free(text);
}

int
main(void)
{
	run(100, 5, 4000);
	run(1, 1, 200000);
	run(1, 100000, 20);
	return 0;
}
