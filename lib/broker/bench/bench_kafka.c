/*
 * bench_kafka - what an append to a topic costs, and how long a record takes to a reader that waits for it.
 *
 *     make build/bin/bench_kafka && build/bin/bench_kafka 127.0.0.1:9092 TOPIC build/bench-state.db
 *
 * Appends records of 200 bytes one by one, each as soon as the reader has the one before, then in batches;
 * then reads them all from the first on.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/broker/broker.h"
#include "lib/core/histogram.h"

enum {
	RECORD_BYTES = 200,
	SINGLES = 500,
	BATCHES = 500,
	BATCH = 100,
	READ_AT_ONCE = 1000,
	PATIENCE_MS = 10000
};

static struct broker_metrics metrics;
static struct err_detail why;

static void
must(err_t err)
{
	if (err == ERR_OK)
		return;
	fprintf(stderr, "bench_kafka: %s\n", err_why(&why));
	exit(1);
}

static bool
count(void *arg, const struct broker_record *rec)
{
	++*(uint64_t *)arg;
	return true;
}

int
main(int argc, char **argv)
{
	const struct clock *clock = clock_system();
	struct log_options opt = {.type = (char *)"kafka",
				  .brokers = argv[1],
				  .topic = argc > 2 ? argv[2] : NULL,
				  .state = argc > 3 ? argv[3] : NULL,
				  .properties = (char *)"",
				  .sync = (char *)"full",
				  .timeout = 30000};
	struct broker_context ctx = {.clock = clock, .metrics = &metrics};
	struct histogram to_reader = {0};
	struct span records[BATCH];
	struct broker_writer *w;
	struct broker_reader *r, *late;
	char bytes[RECORD_BYTES];
	uint64_t first, end, next, from, n = 0, t0, write_ns, read_ns;

	if (argc != 4) {
		fprintf(stderr, "usage: bench_kafka BROKERS TOPIC STATEFILE\n");
		return 2;
	}
	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < BATCH; i++)
		records[i] = span_make(bytes, sizeof(bytes));
	must(broker_writer_open(&w, &opt, "bench", &ctx, &why));
	must(broker_reader_open_source(&r, &opt, "bench", &ctx, &why));
	must(broker_bounds(r, &from, &end, &why));
	next = end;
	for (unsigned i = 0; i < SINGLES; i++) {
		t0 = clock_mono_ns(clock);
		must(broker_append(w, records, 1, SPAN_LIT("0-1-123456789"), &first, &why));
		while (next <= first) {
			struct pollfd p = {.fd = broker_reader_fd(r), .events = POLLIN};

			broker_reader_woken(r);
			must(broker_read(r, next, READ_AT_ONCE, 1 << 20, count, &n, &next, &why));
			if (next <= first)
				poll(&p, 1, 1000);
		}
		histogram_record(&to_reader, (clock_mono_ns(clock) - t0) / 1000);
	}
	printf("append_p50_us=%llu p99_us=%llu append_to_read_p50_us=%llu p99_us=%llu\n",
	       (unsigned long long)histogram_percentile(&metrics.log_append_time, 0.5),
	       (unsigned long long)histogram_percentile(&metrics.log_append_time, 0.99),
	       (unsigned long long)histogram_percentile(&to_reader, 0.5),
	       (unsigned long long)histogram_percentile(&to_reader, 0.99));
	t0 = clock_mono_ns(clock);
	for (unsigned i = 0; i < BATCHES; i++)
		must(broker_append(w, records, BATCH, SPAN_LIT("0-1-123456789"), &first, &why));
	write_ns = clock_mono_ns(clock) - t0;
	end = first + BATCH;
	must(broker_reader_open_source(&late, &opt, "bench", &ctx, &why));
	n = 0;
	t0 = clock_mono_ns(clock);
	for (next = end - (uint64_t)BATCHES * BATCH; next < end;)
		must(
		    broker_read_wait(late, next, READ_AT_ONCE, 1 << 20, count, &n, &next, PATIENCE_MS, &why));
	read_ns = clock_mono_ns(clock) - t0;
	printf("batch=%d records_per_s=%.0f caught_up=%llu read_records_per_s=%.0f\n", BATCH,
	       (double)BATCHES * BATCH / ((double)write_ns / 1e9), (unsigned long long)n,
	       (double)n / ((double)read_ns / 1e9));
	broker_reader_close(&late);
	broker_reader_close(&r);
	broker_writer_close(&w);
	return 0;
}
