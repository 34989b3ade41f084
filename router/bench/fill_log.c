/*
 * fill_log - writes records into a log, for measuring a router without a database.
 *
 *     fill_log LOG RECORDS TRANSACTIONS-PER-RECORD KEYS-PER-TRANSACTION [PREFIX] [RECORDS-PER-SECOND]
 *
 * Keys are PREFIX and a number; with a rate a colon and the microseconds since 1970 before the append follow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/broker/broker.h"
#include "lib/core/clock.h"
#include "lib/core/mem.h"
#include "lib/wire/record.h"

int
main(int argc, char **argv)
{
	struct log_options opt = {
	    .type = (char *)"sqlite", .retention = 86400, .max_size = 1ull << 40, .sync = (char *)"normal"};
	static struct broker_metrics metrics;
	struct broker_context ctx = {clock_system(), NULL, &metrics};
	struct err_detail why = {0};
	struct broker_writer *w;
	struct buf bytes = BUF_INIT;
	struct buf keys = BUF_INIT;
	uint64_t n, ntxns, nkeys, per_second, made = 0;
	const char *prefix;
	struct record_txn *txns;
	struct span *spans;

	if (argc < 5) {
		fprintf(stderr,
			"usage: fill_log LOG RECORDS TRANSACTIONS KEYS [PREFIX] [RECORDS-PER-SECOND]\n");
		return 2;
	}
	opt.path = argv[1];
	n = strtoull(argv[2], NULL, 10);
	ntxns = strtoull(argv[3], NULL, 10);
	nkeys = strtoull(argv[4], NULL, 10);
	prefix = argc > 5 ? argv[5] : "bench:";
	per_second = argc > 6 ? strtoull(argv[6], NULL, 10) : 0;
	txns = mem_zalloc(ntxns, sizeof(txns[0]));
	spans = mem_zalloc(ntxns * nkeys + 1, sizeof(spans[0]));
	if (broker_writer_open(&w, &opt, "bench", &ctx, &why) != ERR_OK) {
		fprintf(stderr, "fill_log: %s\n", err_why(&why));
		return 1;
	}
	for (uint64_t r = 0; r < n; r++) {
		uint64_t now = clock_real_us(clock_system()), first;
		struct record rec = {.version = RECORD_VERSION,
				     .source = SPAN_LIT("bench"),
				     .position = SPAN_LIT("none"),
				     .txns = txns,
				     .ntxns = ntxns};
		struct span span;

		buf_clear(&keys);
		buf_room(&keys, ntxns * nkeys * 64);
		for (uint64_t t = 0; t < ntxns; t++) {
			txns[t] = (struct record_txn){.gtid = SPAN_LIT("0-1-1"),
						      .commit_us = now,
						      .seen_us = now,
						      .keys = &spans[t * nkeys],
						      .nkeys = nkeys};
			for (uint64_t k = 0; k < nkeys; k++) {
				size_t at = keys.len;

				buf_printf(&keys, "%s%llu", prefix, (unsigned long long)made++);
				if (per_second > 0)
					buf_printf(&keys, ":%llu", (unsigned long long)now);
				spans[t * nkeys + k] = span_make(keys.p + at, keys.len - at);
			}
		}
		buf_clear(&bytes);
		record_encode(&rec, &bytes);
		span = buf_span(&bytes);
		if (broker_append(w, &span, 1, SPAN_LIT(""), &first, &why) != ERR_OK) {
			fprintf(stderr, "fill_log: %s\n", err_why(&why));
			return 1;
		}
		if (per_second > 0) {
			struct timespec pause = {0, (long)(1000000000 / per_second)};

			nanosleep(&pause, NULL);
		}
	}
	broker_writer_close(&w);
	buf_fini(&bytes);
	buf_fini(&keys);
	free(txns);
	free(spans);
	return 0;
}
