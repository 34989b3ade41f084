/*
 * demo-app - an application that uses a database and caches, to be run under a pipeline and then checked.
 *
 *     demo-app load  ...   write and read until the time is over or standard input ends; a progress line per
 *                          200 ms on standard output
 *     demo-app check ...   when the writing is over: wait for the pipeline, then say what is lost or stale
 */
#include "integration/demo/app.h"

#include <getopt.h>
#include <mysqld_error.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
create_table(struct app *app)
{
	struct app_thread t = {.app = app};
	char sql[256];
	bool ok = false;

	for (int i = 0; i < 200 && !app_connect(&t); i++)
		;
	if (!t.db) {
		fprintf(stderr, "demo-app: no connection to the database at %s\n", app->socket);
		return false;
	}
	snprintf(sql, sizeof(sql),
		 "CREATE TABLE items (id INT UNSIGNED PRIMARY KEY, v BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB "
		 "SELECT seq AS id, 0 AS v FROM seq_0_to_%u",
		 app->items - 1);
	/* A table that is there stays as it is: caches hold what is in it, and what is not. */
	ok = mysql_query(t.db, sql) == 0 || mysql_errno(t.db) == ER_TABLE_EXISTS_ERROR;
	if (!ok)
		fprintf(stderr, "demo-app: cannot create the table: %s\n", mysql_error(t.db));
	app_disconnect(&t);
	return ok;
}

static void
print_progress(struct app *a)
{
	printf("commits=%llu keys=%llu rollbacks=%llu indeterminate=%llu unchanged=%llu sql_errors=%llu "
	       "reads=%llu "
	       "hits=%llu fills=%llu refused=%llu cache_down=%llu next=%llu\n",
	       (unsigned long long)a->commits, (unsigned long long)a->keys, (unsigned long long)a->rollbacks,
	       (unsigned long long)a->indeterminate, (unsigned long long)a->unchanged,
	       (unsigned long long)a->sql_errors, (unsigned long long)a->reads, (unsigned long long)a->hits,
	       (unsigned long long)a->fills, (unsigned long long)a->refused,
	       (unsigned long long)a->cache_down, (unsigned long long)a->next);
	fflush(stdout);
}

/* Lets `seconds` pass, or less when `until_eof` and standard input ends.  Prints the progress. */
static void
pass(struct app *a, double seconds, bool until_eof)
{
	uint64_t end = app_now_us() + (uint64_t)(seconds * 1e6), now;
	struct pollfd p = {.fd = until_eof ? STDIN_FILENO : -1, .events = POLLIN};
	char byte;

	while ((now = app_now_us()) < end) {
		uint64_t left_ms = (end - now) / 1000 + 1;

		if (poll(&p, 1, left_ms < 200 ? (int)left_ms : 200) == 1 && read(STDIN_FILENO, &byte, 1) <= 0)
			break;
		fflush(a->journal);
		print_progress(a);
	}
}

static void
start(struct app_thread *t, pthread_t *id, struct app *a, unsigned index, double per_s, void *(*body)(void *))
{
	*t = (struct app_thread){.app = a, .random = (a->seed + index + 1) * 0x9E3779B97F4A7C15ull};
	t->step_ns = 1e9 / per_s;
	clock_gettime(CLOCK_MONOTONIC, &t->due);
	if (pthread_create(id, NULL, body, t) != 0) {
		perror("demo-app: pthread_create");
		exit(1);
	}
}

static int
load_main(struct app *a)
{
	struct app_thread threads[2 * APP_MAX_THREADS];
	pthread_t ids[2 * APP_MAX_THREADS];

	if (!create_table(a))
		return 1;
	a->journal = fopen(a->journal_path, "a");
	if (!a->journal) {
		perror(a->journal_path);
		return 1;
	}
	a->next = a->first;
	for (unsigned i = 0; i < a->writers; i++)
		start(&threads[i], &ids[i], a, i, a->rate / a->writers, writer_main);
	for (unsigned i = a->writers; i < a->writers + a->readers; i++)
		start(&threads[i], &ids[i], a, i, a->reads_per_s / a->readers, reader_main);
	pass(a, a->seconds, true);
	a->stop_writing = true;
	for (unsigned i = 0; i < a->writers; i++)
		pthread_join(ids[i], NULL);
	/* Reading goes on, so that the caches are full when they are compared. */
	pass(a, a->after, false);
	a->stop_reading = true;
	for (unsigned i = a->writers; i < a->writers + a->readers; i++)
		pthread_join(ids[i], NULL);
	if (fclose(a->journal) != 0) {
		perror(a->journal_path);
		return 1;
	}
	print_progress(a);
	return 0;
}

static int
usage(void)
{
	fputs(
	    "usage: demo-app load|check --socket S --cluster NAME=HOST:PORT,... [--cluster ...] --journal "
	    "FILE\n"
	    "   load:  --rate TXN_PER_S --reads PER_S --seconds S --after S --writers N --readers N "
	    "--items N --seed N --first N\n"
	    "   check: --trace FILE,... (its routers' traces; once per cluster, in order) --items N --wait S "
	    "--fault FROM_US-TO_US ...\n",
	    stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"socket", 1, NULL, 's'},  {"user", 1, NULL, 'u'},	  {"database", 1, NULL, 'd'},
	    {"cluster", 1, NULL, 'c'}, {"journal", 1, NULL, 'j'}, {"rate", 1, NULL, 'r'},
	    {"seconds", 1, NULL, 't'}, {"after", 1, NULL, 'a'},	  {"writers", 1, NULL, 'w'},
	    {"readers", 1, NULL, 'R'}, {"items", 1, NULL, 'i'},	  {"seed", 1, NULL, 'S'},
	    {"first", 1, NULL, 'f'},   {"trace", 1, NULL, 'T'},	  {"wait", 1, NULL, 'W'},
	    {"fault", 1, NULL, 'F'},   {"reads", 1, NULL, 'P'},	  {NULL, 0, NULL, 0},
	};
	static struct app a = {.user = "root", .database = "demo", .writers = 8, .readers = 4, .items = 2000};
	size_t ntraces = 0;
	int c;

	a.rate = 2000;
	a.reads_per_s = 4000;
	a.seconds = 10;
	a.after = 1;
	a.wait = 30;
	a.first = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			a.socket = optarg;
			break;
		case 'u':
			a.user = optarg;
			break;
		case 'd':
			a.database = optarg;
			break;
		case 'c':
			if (a.nclusters == CACHE_MAX_CLUSTERS ||
			    !cache_cluster_parse(&a.clusters[a.nclusters++], optarg))
				return usage();
			break;
		case 'j':
			a.journal_path = optarg;
			break;
		case 'r':
			a.rate = atof(optarg);
			break;
		case 'P':
			a.reads_per_s = atof(optarg);
			break;
		case 't':
			a.seconds = atof(optarg);
			break;
		case 'a':
			a.after = atof(optarg);
			break;
		case 'w':
			a.writers = (unsigned)atoi(optarg);
			break;
		case 'R':
			a.readers = (unsigned)atoi(optarg);
			break;
		case 'i':
			a.items = (unsigned)atoi(optarg);
			break;
		case 'S':
			a.seed = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			a.first = strtoull(optarg, NULL, 10);
			break;
		case 'T':
			if (ntraces == CACHE_MAX_CLUSTERS)
				return usage();
			a.traces[ntraces++] = optarg;
			break;
		case 'W':
			a.wait = atof(optarg);
			break;
		case 'F':
			if (a.nfaults < APP_MAX_FAULTS) {
				char *dash;

				a.faults[a.nfaults].from_us = strtoull(optarg, &dash, 10);
				a.faults[a.nfaults++].to_us = *dash ? strtoull(dash + 1, NULL, 10) : 0;
			}
			break;
		default:
			return usage();
		}
	}
	if (optind != argc - 1 || !a.socket || !a.journal_path || a.nclusters == 0 || a.rate <= 0 ||
	    a.reads_per_s <= 0 || a.writers < 1 || a.writers > APP_MAX_THREADS ||
	    a.readers > APP_MAX_THREADS || a.items < APP_SHELF)
		return usage();
	mysql_library_init(0, NULL, NULL);
	if (strcmp(argv[optind], "load") == 0)
		return load_main(&a);
	if (strcmp(argv[optind], "check") == 0 && ntraces == a.nclusters)
		return check_main(&a);
	return usage();
}
