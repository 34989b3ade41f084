/*
 * fixture - a delivery with a log in a file and two servers of the test's own, all in one loop.
 */
#ifndef SQUEAL_ROUTER_TEST_FIXTURE_H
#define SQUEAL_ROUTER_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/deliver/test/peer.h"
#include "lib/route/test/lists.h"
#include "lib/wire/record.h"
#include "router/delivery.h"

enum { NPEERS = 2, MANY = 3000 };

struct fixture {
	char dir[64];
	char log_path[96];
	char cursor_path[96];
	struct log_options log_opt;
	struct router_options opt;
	struct topology *topology;
	const struct cluster *cluster;
	struct server_options servers[NPEERS];
	char connect[NPEERS][32];
	struct loop *loop;
	struct peer peers[NPEERS];
	struct route *route;
	struct broker_metrics writer_metrics;
	struct broker_writer *writer;
	struct cursor_store *cursors;
	struct turns turns;
	struct delivery *d;
	struct metric_registry *registry; /* may be NULL */
	uint32_t partition, partitions;
	bool idle; /* nobody connects before there is something to deliver */
	bool drained;
	size_t settled;
};

static inline void
on_settled(void *arg)
{
	struct fixture *f = arg;

	f->settled++;
}

/* --- the log ----------------------------------------------------------------------------------------------
 */

static inline void
open_writer(struct fixture *f)
{
	struct broker_context ctx = {clock_system(), NULL, &f->writer_metrics};
	struct err_detail why = {0};

	if (broker_writer_open(&f->writer, &f->log_opt, "main", &ctx, &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
}

static inline uint64_t
append_bytes(struct fixture *f, struct span bytes)
{
	struct err_detail why = {0};
	uint64_t first = 0;

	if (broker_append(f->writer, &bytes, 1, SPAN_LIT(""), &first, &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	return first;
}

static inline uint64_t
append_keys(struct fixture *f, const struct span *keys, size_t n, uint32_t holdoff_ms)
{
	struct record_txn txn = {.gtid = SPAN_LIT("0-1-1"),
				 .commit_us = clock_real_us(clock_system()),
				 .seen_us = clock_real_us(clock_system()),
				 .keys = keys,
				 .nkeys = n,
				 .holdoff_ms = holdoff_ms};
	struct record rec = {.version = RECORD_VERSION,
			     .source = SPAN_LIT("main"),
			     .position = SPAN_LIT("p"),
			     .txns = &txn,
			     .ntxns = 1};
	struct buf bytes = BUF_INIT;
	uint64_t offset;

	record_encode(&rec, &bytes);
	offset = append_bytes(f, buf_span(&bytes));
	buf_fini(&bytes);
	return offset;
}

static inline uint64_t
append(struct fixture *f, const char *key)
{
	struct span s = span_of(key);

	return append_keys(f, &s, 1, 0);
}

static inline void
append_numbered(struct fixture *f, int from, int to)
{
	char key[32];

	for (int i = from; i < to; i++) {
		snprintf(key, sizeof(key), "key:%d", i);
		append(f, key);
	}
}

static inline size_t
server_of(struct fixture *f, struct span key)
{
	struct route_answer a = {0};
	size_t s;

	route_key(f->route, key, SPAN_LIT(""), &a);
	assert_int_equal(a.n, 1);
	s = a.hops[0].server;
	route_answer_fini(&a);
	return s;
}

/* A key that server `s` has. */
static inline const char *
key_on(struct fixture *f, size_t s, const char *prefix)
{
	static char key[64];

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%s%d", prefix, i);
		if (server_of(f, span_of(key)) == s)
			return key;
	}
	fail_msg("no key for server %zu", s);
	return NULL;
}

/* --- the router -------------------------------------------------------------------------------------------
 */

static inline void
start(struct fixture *f)
{
	struct delivery_context ctx = {.loop = f->loop,
				       .log_opt = &f->log_opt,
				       .opt = &f->opt,
				       .partition = f->partition,
				       .partitions = f->partitions,
				       .route = f->route,
				       .turns = &f->turns,
				       .registry = f->registry,
				       .seed = 3,
				       .on_settled = on_settled,
				       .arg = f};
	struct err_detail why = {0};

	if (cursor_open(&f->cursors, f->cursor_path, "test", &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	ctx.cursors = f->cursors;
	if (delivery_create(&f->d, &ctx, &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	delivery_start(f->d);
	if (!f->idle)
		delivery_connect(f->d, NULL);
}

/* As kill -9 does: nothing is saved. */
static inline void
stop(struct fixture *f)
{
	delivery_destroy(&f->d);
	cursor_close(&f->cursors);
}

static inline uint64_t
saved_cursor(struct fixture *f, size_t s)
{
	struct cursor c = {.server = server_name(delivery_server(f->d, s))};
	struct err_detail why = {0};
	bool found;

	assert_int_equal(cursor_load(f->cursors, &c, &found, &why), ERR_OK);
	return found ? c.offset : 0;
}

static inline bool
all_acked(struct fixture *f, uint64_t next)
{
	for (size_t i = 0; i < NPEERS; i++) {
		if (delivery_acked(f->d, i) != next)
			return false;
	}
	return true;
}

static inline int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err_detail why = {0};

	strcpy(f->dir, "/tmp/squeal-delivery-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->log_path, sizeof(f->log_path), "%s/log", f->dir);
	snprintf(f->cursor_path, sizeof(f->cursor_path), "%s/cursors", f->dir);
	f->log_opt.type = (char *)"sqlite";
	f->log_opt.path = f->log_path;
	f->log_opt.retention = 86400;
	f->log_opt.max_size = 1ull << 40;
	f->log_opt.sync = (char *)"normal";
	f->opt.window_keys = 50;
	f->opt.windows = 2;
	f->opt.queue_bytes = 4096;
	f->opt.connect_timeout = 1000;
	f->opt.ack_timeout = 200;
	f->opt.backoff_max = 50;
	f->opt.cursor_interval = 10;
	assert_int_equal(loop_create(&f->loop, clock_system(), &why), ERR_OK);
	for (size_t i = 0; i < NPEERS; i++) {
		peer_start(&f->peers[i], f->loop);
		snprintf(f->connect[i], sizeof(f->connect[i]), "127.0.0.1:%u", f->peers[i].port);
		f->servers[i].host = (char *)(i == 0 ? "cache-a" : "cache-b");
		f->servers[i].port = 11211;
		f->servers[i].weight = 1;
		f->servers[i].connect = f->connect[i];
	}
	f->topology = test_topology(f->servers, NPEERS, "ketama", "default");
	f->cluster = &f->topology->clusters[0];
	assert_int_equal(route_create(&f->route, f->cluster, NULL, 0, &why), ERR_OK);
	open_writer(f);
	*state = f;
	return 0;
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[160];

	stop(f);
	broker_writer_close(&f->writer);
	route_destroy(&f->route);
	topology_destroy(&f->topology);
	for (size_t i = 0; i < NPEERS; i++)
		peer_fini(&f->peers[i]);
	loop_destroy(&f->loop);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* Every key:from .. key:to-1 was deleted on the server that has it, and on no other. */
static inline void
assert_all_deleted(struct fixture *f, int from, int to)
{
	for (int i = from; i < to; i++) {
		char key[32];
		size_t s;

		snprintf(key, sizeof(key), "key:%d", i);
		s = server_of(f, span_of(key));
		if (!peer_saw(&f->peers[s], key))
			fail_msg("%s was never deleted on server %zu", key, s);
		if (peer_saw(&f->peers[1 - s], key))
			fail_msg("%s was deleted on server %zu", key, 1 - s);
	}
}

static inline void
note_drained(void *arg)
{
	struct fixture *f = arg;

	f->drained = true;
}

#endif
