/*
 * bench_broker - what an append costs, and how fast records are read.
 *
 *     make build/bin/bench_broker && build/bin/bench_broker build/bench.db
 *
 * Appends records of 200 bytes one by one and in batches, with both kinds of sync, waiting for each
 * acknowledgement; then reads them all.  The file is removed before and after.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/broker/broker.h"
#include "lib/core/mem.h"

enum { RECORD_BYTES = 200, READ_AT_ONCE = 1000, MAX_BATCH = 100 };

static struct broker_metrics metrics;
static struct err_detail why;

static void
must(err_t err)
{
	if (err == ERR_OK)
		return;
	fprintf(stderr, "bench_broker: %s\n", err_why(&why));
	exit(1);
}

static void
remove_files(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", ".wake", ".bench.lock"};
	char name[512];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		(void)unlink(name);
	}
}

static bool
count(void *arg, const struct broker_record *rec)
{
	*(uint64_t *)arg += rec->bytes.len;
	return true;
}

static void
run(char *path, char *sync, unsigned appends, size_t batch)
{
	const struct clock *clock = clock_system();
	struct log_options opt = {
	    .type = "sqlite", .path = path, .retention = 86400, .max_size = 1 << 30, .sync = sync};
	struct broker_context ctx = {.clock = clock, .metrics = &metrics};
	struct histogram *h = &metrics.log_append_time;
	struct span records[MAX_BATCH];
	struct broker_writer *w;
	struct broker_reader *r;
	char bytes[RECORD_BYTES];
	uint64_t t0, first, end, from, bytes_read = 0, write_ns, read_ns;

	remove_files(path);
	metrics = (struct broker_metrics){0};
	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < batch; i++)
		records[i] = span_make(bytes, sizeof(bytes));
	must(broker_writer_open(&w, &opt, "bench", &ctx, &why));
	t0 = clock_mono_ns(clock);
	for (unsigned i = 0; i < appends; i++)
		must(broker_append(w, records, batch, SPAN_LIT("0-1-123456789"), &first, &why));
	write_ns = clock_mono_ns(clock) - t0;
	must(broker_reader_open(&r, &opt, &ctx, &why));
	must(broker_bounds(r, &from, &end, &why));
	t0 = clock_mono_ns(clock);
	while (from < end)
		must(broker_read(r, from, READ_AT_ONCE, 1 << 20, count, &bytes_read, &from, &why));
	read_ns = clock_mono_ns(clock) - t0;
	printf("sync=%s batch=%zu append_p50_us=%llu p99_us=%llu max_us=%llu records_per_s=%.0f "
	       "read_ns_per_record=%.0f\n",
	       sync, batch, (unsigned long long)histogram_percentile(h, 0.5),
	       (unsigned long long)histogram_percentile(h, 0.99), (unsigned long long)histogram_max(h),
	       (double)appends * (double)batch / ((double)write_ns / 1e9),
	       (double)read_ns / ((double)appends * (double)batch));
	broker_reader_close(&r);
	broker_writer_close(&w);
	remove_files(path);
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: bench_broker FILE (which is made and removed)\n");
		return 2;
	}
	run(argv[1], "full", 5000, 1);
	run(argv[1], "full", 2000, 100);
	run(argv[1], "normal", 20000, 1);
	run(argv[1], "normal", 2000, 100);
	return 0;
}
