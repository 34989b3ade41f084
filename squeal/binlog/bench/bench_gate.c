/*
 * bench_gate - tries the visibility gate on a live server: is everything visible that it lets through?
 *
 *     build/bin/bench_gate SOCKET MODE SECONDS CLIENTS FLUSHES_PER_SECOND
 *
 * CLIENTS connections write `update squeal_gate.g set v=N where id=C`, each in a transaction of its own, N
 * counting up.  The stream is read; after each commit, and after what MODE does, another connection reads the
 * row.  A value below N is a read too early: a cache filled then would be stale for good.  MODE is
 *
 *     none       nothing: how wide the window is
 *     position   MariaDB: waits until Binlog_snapshot_file and _position have reached the commit
 *     subset     MySQL: asks for GTID_SUBSET() until it is true
 *     gate       gate_wait()
 *     reset      gate_wait(), and gate_reset() 50 times a second
 *
 * FLUSHES_PER_SECOND rotates the binlog that often.  The server loses the database squeal_gate.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/core/clock.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/binlog/gate.h"
#include "squeal/binlog/source_mysql.h"
#include "squeal/binlog/txn.h"

enum { MAX_CLIENTS = 64, MAX_EVENT = 1 << 24 };

struct bench {
	struct source_options opt;
	const char *mode;
	struct gate *gate;
	struct gate_metrics *gm;
	struct conn *asker, *reader;
	uint64_t deadline_ns;
	_Atomic bool stop;
	bool has_gate;
	_Atomic uint64_t written;
	unsigned flushes;
	uint64_t query_ns, queries;

	/* of the open transaction */
	uint64_t id, value;
	bool is_ours;
	uint64_t checked, early, waited;
	struct {
		uint64_t file, pos;
	} seen;
};

struct client {
	struct bench *b;
	unsigned id;
	pthread_t thread;
};

static void
die(const struct err_detail *why)
{
	fprintf(stderr, "%s\n", err_why(why));
	exit(1);
}

static void *
write_rows(void *arg)
{
	struct client *c = arg;
	struct conn *conn = conn_create(&c->b->opt);
	struct err_detail why = {0};
	char sql[120];

	if (conn_open(conn, &why) != ERR_OK)
		die(&why);
	for (unsigned n = 1; !atomic_load(&c->b->stop); n++) {
		snprintf(sql, sizeof(sql), "update squeal_gate.g set v=%u where id=%u", n, c->id);
		if (conn_do(conn, sql, &why) != ERR_OK)
			die(&why);
		atomic_fetch_add(&c->b->written, 1);
	}
	conn_destroy(&conn);
	return NULL;
}

static void *
rotate_logs(void *arg)
{
	struct client *c = arg;
	struct conn *conn = conn_create(&c->b->opt);
	struct err_detail why = {0};
	struct timespec ts = {.tv_nsec = 1000000000 / c->b->flushes - 1};

	if (conn_open(conn, &why) != ERR_OK)
		die(&why);
	while (!atomic_load(&c->b->stop)) {
		nanosleep(&ts, NULL);
		if (conn_do(conn, "flush binary logs", &why) != ERR_OK)
			die(&why);
	}
	conn_destroy(&conn);
	return NULL;
}

static void *
reset_gate(void *arg)
{
	struct bench *b = arg;
	struct timespec ts = {.tv_nsec = 20000000};

	while (!atomic_load(&b->stop)) {
		nanosleep(&ts, NULL);
		gate_reset(b->gate, NULL);
	}
	return NULL;
}

static uint64_t
number_at_end(struct span s)
{
	uint64_t n = 0;
	size_t at = s.len;

	while (at > 0 && s.p[at - 1] >= '0' && s.p[at - 1] <= '9')
		at--;
	span_u64(span_from(s, at), &n);
	return n;
}

static void
take_seen(void *arg, const struct span *v, unsigned n)
{
	struct bench *b = arg;

	if (span_ieq(v[0], SPAN_LIT("Binlog_snapshot_file")))
		b->seen.file = number_at_end(v[1]);
	else
		b->seen.pos = number_at_end(v[1]);
}

static err_t
wait_position(struct bench *b, const struct txn_place *at, struct err_detail *why)
{
	uint64_t file = number_at_end(at->file);
	bool first = true;

	while (b->seen.file < file || (b->seen.file == file && b->seen.pos < at->pos)) {
		err_t err = conn_ask(b->asker, "SHOW STATUS LIKE 'binlog\\_snapshot%'", take_seen, b, why);

		if (err != ERR_OK)
			return err;
		b->waited += !first;
		first = false;
	}
	return ERR_OK;
}

static err_t
wait_subset(struct bench *b, const struct gtid *gtid, struct err_detail *why)
{
	struct buf id = BUF_INIT, sql = BUF_INIT, answer = BUF_INIT;
	err_t err = ERR_OK;
	bool first = true;

	gtid_format(gtid, &id);
	buf_printf(&sql, "select gtid_subset('%s', @@global.gtid_executed)", buf_str(&id));
	while (err == ERR_OK && !span_is(buf_span(&answer), "1")) {
		uint64_t began = clock_mono_ns(clock_system());

		buf_clear(&answer);
		err = conn_value(b->asker, buf_str(&sql), &answer, why);
		b->query_ns += clock_mono_ns(clock_system()) - began;
		b->queries++;
		b->waited += !first;
		first = false;
	}
	buf_fini(&id);
	buf_fini(&sql);
	buf_fini(&answer);
	return err;
}

static void
take_value(void *arg, const struct span *v, unsigned n)
{
	span_u64(v[0], arg);
}

static err_t
on_begin(void *arg, const struct txn_begin *x)
{
	((struct bench *)arg)->is_ours = false;
	return ERR_OK;
}

static err_t
on_statement(void *arg, struct span sql)
{
	struct bench *b = arg;
	char text[200];
	unsigned long long v, id;

	snprintf(text, sizeof(text), "%.*s", SPAN_FMT(span_first(sql, 199)));
	b->is_ours = sscanf(text, "update squeal_gate.g set v=%llu where id=%llu", &v, &id) == 2;
	if (b->is_ours) {
		b->value = v;
		b->id = id;
	}
	return ERR_OK;
}

static err_t
on_savepoint(void *arg, struct span name)
{
	return ERR_OK;
}

static err_t
on_commit(void *arg, const struct txn_end *e)
{
	struct bench *b = arg;
	struct gate_mark mark = {
	    .file = e->place.file, .pos = e->place.pos, .ticket = e->ticket, .gtid = e->gtid};
	struct err_detail why = {0};
	uint64_t value = 0;
	char sql[100];
	err_t err = ERR_OK;

	if (b->has_gate)
		gate_note(b->gate, &mark);
	if (!b->is_ours)
		return ERR_OK;
	if (b->has_gate)
		err = gate_wait(b->gate, &mark, 10000, &why);
	else if (strcmp(b->mode, "position") == 0)
		err = wait_position(b, &e->place, &why);
	else if (strcmp(b->mode, "subset") == 0)
		err = wait_subset(b, &e->gtid, &why);
	snprintf(sql, sizeof(sql), "select v from squeal_gate.g where id=%llu", (unsigned long long)b->id);
	if (err != ERR_OK || conn_ask(b->reader, sql, take_value, &value, &why) != ERR_OK)
		die(&why);
	b->checked++;
	b->early += value < b->value;
	return ERR_OK;
}

static err_t
on_rollback(void *arg, const struct txn_end *e)
{
	return ERR_OK;
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	return ERR_OK;
}

static void
setup(struct bench *b, unsigned clients)
{
	struct conn *c = conn_create(&b->opt);
	struct err_detail why = {0};
	char sql[100];

	if (conn_open(c, &why) != ERR_OK)
		die(&why);
	if (conn_flavour(c) == CONN_MYSQL &&
	    conn_do(c, "set global binlog_rows_query_log_events=on", &why) != ERR_OK)
		die(&why);
	if (conn_do(c, "drop database if exists squeal_gate", &why) != ERR_OK ||
	    conn_do(c, "create database squeal_gate", &why) != ERR_OK ||
	    conn_do(c, "create table squeal_gate.g (id int primary key, v int) engine=innodb", &why) !=
		ERR_OK)
		die(&why);
	for (unsigned i = 0; i < clients; i++) {
		snprintf(sql, sizeof(sql), "insert into squeal_gate.g values (%u, 0)", i);
		if (conn_do(c, sql, &why) != ERR_OK)
			die(&why);
	}
	conn_destroy(&c);
}

int
main(int argc, char **argv)
{
	static const struct txn_ops ops = {
	    .begin = on_begin,
	    .statement = on_statement,
	    .savepoint = on_savepoint,
	    .rollback_to = on_savepoint,
	    .commit = on_commit,
	    .rollback = on_rollback,
	    .moved = on_moved,
	};
	static struct gate_metrics gm;
	const struct clock *clock = clock_system();
	struct bench b = {.mode = argc > 2 ? argv[2] : "", .gm = &gm};
	struct binlog_metrics metrics = {0};
	struct client clients[MAX_CLIENTS + 1];
	pthread_t resetter;
	struct err_detail why = {0};
	struct binlog_decoder d;
	struct binlog_event ev;
	struct span bytes;
	struct source *s;
	struct txn *t;
	unsigned n;
	err_t err;

	if (argc != 6) {
		fprintf(stderr, "usage: bench_gate SOCKET none|position|subset|gate|reset SECONDS CLIENTS "
				"FLUSHES_PER_SECOND\n");
		return 2;
	}
	b.opt = (struct source_options){
	    .name = "bench_gate",
	    .host = "",
	    .socket = argv[1],
	    .endpoints = "",
	    .user = "root",
	    .password_file = "",
	    .tls = "off",
	    .tls_ca = "",
	    .tls_cert = "",
	    .tls_key = "",
	    .connect_timeout = 5000,
	    .heartbeat = 200,
	    .dead_after = 5000,
	    .first_event = 5000,
	    .max_event = MAX_EVENT,
	};
	n = (unsigned)atoi(argv[4]) < MAX_CLIENTS ? (unsigned)atoi(argv[4]) : MAX_CLIENTS;
	b.flushes = (unsigned)atoi(argv[5]);
	b.has_gate = strcmp(b.mode, "gate") == 0 || strcmp(b.mode, "reset") == 0;
	setup(&b, n);
	b.gate = gate_create(&b.opt, clock, &gm);
	b.asker = conn_create(&b.opt);
	b.reader = conn_create(&b.opt);
	s = source_mysql_create(&b.opt, "bench");
	t = txn_create(&ops, &b, &metrics);
	binlog_decoder_init(&d, MAX_EVENT, &metrics);
	if (conn_open(b.asker, &why) != ERR_OK || conn_open(b.reader, &why) != ERR_OK ||
	    source_open(s, span_of("now"), &why) != ERR_OK)
		die(&why);
	binlog_decoder_start(&d, s->info.file, s->info.pos, s->info.checksum);
	for (unsigned i = 0; i <= n; i++) {
		clients[i] = (struct client){.b = &b, .id = i};
		if (i < n)
			pthread_create(&clients[i].thread, NULL, write_rows, &clients[i]);
		else if (b.flushes > 0)
			pthread_create(&clients[i].thread, NULL, rotate_logs, &clients[i]);
	}
	if (strcmp(b.mode, "reset") == 0)
		pthread_create(&resetter, NULL, reset_gate, &b);
	b.deadline_ns = clock_mono_ns(clock) + strtoull(argv[3], NULL, 10) * 1000000000u;
	while (clock_mono_ns(clock) < b.deadline_ns) {
		err = source_next(s, &bytes, &why);
		if (err == ERR_OK)
			err = binlog_decode(&d, bytes, &ev, &why);
		if (err == ERR_OK)
			err = txn_feed(t, &ev, &why);
		if (err != ERR_OK)
			die(&why);
	}
	atomic_store(&b.stop, true);
	for (unsigned i = 0; i < n + (b.flushes > 0); i++)
		pthread_join(clients[i].thread, NULL);
	if (strcmp(b.mode, "reset") == 0)
		pthread_join(resetter, NULL);
	printf("%s: written=%llu checked=%llu too_early=%llu rotations=%llu polls=%llu\n", b.mode,
	       (unsigned long long)b.written, (unsigned long long)b.checked, (unsigned long long)b.early,
	       (unsigned long long)metric_get(&metrics.binlog_rotate) / 2, (unsigned long long)b.waited);
	if (b.queries > 0)
		printf("subset: query=%llu query_mean_us=%.0f\n", (unsigned long long)b.queries,
		       (double)b.query_ns / 1000 / (double)b.queries);
	if (b.has_gate)
		printf("gate: pass=%llu wait=%llu query=%llu calibrated=%llu held=%llu query_p50_us=%llu "
		       "query_p99_us=%llu wait_p50_us=%llu wait_p99_us=%llu wait_max_us=%llu\n",
		       (unsigned long long)metric_get(&gm.gate_pass),
		       (unsigned long long)metric_get(&gm.gate_wait),
		       (unsigned long long)metric_get(&gm.gate_query),
		       (unsigned long long)metric_get(&gm.gate_calibrated),
		       (unsigned long long)metric_get(&gm.gate_held),
		       (unsigned long long)histogram_percentile(&gm.gate_query_time, 0.5),
		       (unsigned long long)histogram_percentile(&gm.gate_query_time, 0.99),
		       (unsigned long long)histogram_percentile(&gm.gate_time, 0.5),
		       (unsigned long long)histogram_percentile(&gm.gate_time, 0.99),
		       (unsigned long long)histogram_max(&gm.gate_time));
	txn_destroy(&t);
	binlog_decoder_fini(&d);
	source_destroy(&s);
	gate_destroy(&b.gate);
	conn_destroy(&b.asker);
	conn_destroy(&b.reader);
	return b.early > 0 && b.has_gate;
}
