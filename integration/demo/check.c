/*
 * check - was every committed key deleted everywhere, and does every cache agree with the database?
 *
 * First a barrier: one more transaction with keys for every server of every cluster.  A server gets its
 * deletes in the log's order, so when the barrier's keys are acknowledged, all that is to come has come. Then
 *
 *     lost       committed transactions without an acknowledged delete, per cluster
 *     invented   rolled-back work whose key was deleted
 *     stale      cached values that differ from the database
 *     latency    from the commit's return to the first acknowledgement; one that came earlier counts as zero
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "integration/demo/app.h"
#include "markers/squeal.h"

enum { SHOWN = 10, MAX_BARRIER = 1000, MAX_ROUTERS = 16 };

struct txn {
	char state; /* 'C', 'R', 'I', 0: none */
	uint64_t commit_us;
	uint64_t ack_us[CACHE_MAX_CLUSTERS]; /* 0: none */
};

/* What the routers of one cluster acknowledged. */
struct trace {
	const char *names[MAX_ROUTERS];
	FILE *files[MAX_ROUTERS];
	size_t nfiles;
	uint64_t acks;			 /* lines read */
	bool barrier[CACHE_MAX_SERVERS]; /* acknowledged by this server */
	bool routed[CACHE_MAX_SERVERS];	 /* some key of the barrier goes there */
	unsigned char barrier_owner[MAX_BARRIER];
};

struct check {
	struct app *app;
	struct app_thread thread;
	struct txn *txns;
	uint64_t ntxns;
	uint64_t commits, keys, indeterminate, rolled_back;
	uint64_t lost, stale, invented, compared, missed, acks, unreachable;
	uint64_t barrier;
	struct trace traces[CACHE_MAX_CLUSTERS];
};

static struct txn *
txn_at(struct check *c, uint64_t n)
{
	if (n >= c->ntxns) {
		uint64_t size = n + n / 2 + 1024;

		c->txns = realloc(c->txns, size * sizeof(*c->txns));
		if (!c->txns)
			abort();
		memset(c->txns + c->ntxns, 0, (size - c->ntxns) * sizeof(*c->txns));
		c->ntxns = size;
	}
	return &c->txns[n];
}

static bool
read_journal(struct check *c)
{
	FILE *f = fopen(c->app->journal_path, "r");
	char line[128];

	if (!f) {
		perror(c->app->journal_path);
		return false;
	}
	while (fgets(line, sizeof(line), f)) {
		uint64_t n, us = 0;
		unsigned keys = 0;
		struct txn *t;

		if (sscanf(line + 1, "%" SCNu64 " %" SCNu64 " %u", &n, &us, &keys) < 1)
			continue;
		t = txn_at(c, n);
		t->state = line[0];
		t->commit_us = us;
		c->commits += line[0] == 'C';
		c->indeterminate += line[0] == 'I';
		c->rolled_back += line[0] == 'R';
		c->keys += keys;
	}
	fclose(f);
	return true;
}

static void
take_line(struct check *c, size_t cluster, char *line)
{
	struct trace *trace = &c->traces[cluster];
	const char *prefix = APP_PREFIX;
	char *save = NULL, *at = strtok_r(line, " ", &save), *server = strtok_r(NULL, " ", &save);
	char *offset = strtok_r(NULL, " ", &save), *key = strtok_r(NULL, "\n", &save);
	uint64_t us, n;
	unsigned i;

	if (!at || !server || !offset || !key)
		return;
	trace->acks++;
	if (strncmp(key, prefix, strlen(prefix)) != 0)
		return;
	key += strlen(prefix);
	us = strtoull(at, NULL, 10);
	if (sscanf(key, "tx:%" SCNu64, &n) == 1) {
		struct txn *t = txn_at(c, n);

		if (t->ack_us[cluster] == 0 || us < t->ack_us[cluster])
			t->ack_us[cluster] = us;
		if (t->state == 'R' && c->invented++ < SHOWN)
			fprintf(stderr, "demo-app: invented: %s was rolled back, and deleted in %s\n", key,
				c->app->clusters[cluster].name);
	} else if (sscanf(key, "rb:%" SCNu64, &n) == 1) {
		if (c->invented++ < SHOWN)
			fprintf(stderr,
				"demo-app: invented: %s was rolled back to a savepoint, and deleted in %s\n",
				key, c->app->clusters[cluster].name);
	} else if (sscanf(key, "barrier:%" SCNu64 ":%u", &n, &i) == 2 && n == c->barrier && i < MAX_BARRIER) {
		trace->barrier[trace->barrier_owner[i]] = true;
	}
}

static void
read_trace(struct check *c, size_t cluster, size_t router)
{
	struct trace *trace = &c->traces[cluster];
	FILE *file = trace->files[router];
	char line[1024];

	if (!file)
		file = trace->files[router] = fopen(trace->names[router], "r");
	if (!file)
		return;
	for (;;) {
		long before = ftell(file);

		if (!fgets(line, sizeof(line), file) || !strchr(line, '\n')) {
			/* The end, or a line that is being written. */
			fseek(file, before, SEEK_SET);
			break;
		}
		take_line(c, cluster, line);
	}
}

/* Takes in what was written to the traces since. */
static void
read_traces(struct check *c)
{
	for (size_t i = 0; i < c->app->nclusters; i++) {
		for (size_t k = 0; k < c->traces[i].nfiles; k++)
			read_trace(c, i, k);
	}
}

static bool
name_traces(struct check *c)
{
	for (size_t i = 0; i < c->app->nclusters; i++) {
		struct trace *trace = &c->traces[i];
		char *save = NULL, *name = strtok_r(c->app->traces[i], ",", &save);

		for (; name && trace->nfiles < MAX_ROUTERS; name = strtok_r(NULL, ",", &save))
			trace->names[trace->nfiles++] = name;
		if (name)
			return false;
	}
	return true;
}

/* Commits the barrier: as many keys as it takes until each server owns one. */
static bool
send_barrier(struct check *c)
{
	struct app *a = c->app;
	static const char insert[] = "INSERT INTO barrier VALUES (NULL)";
	static char text[MAX_BARRIER][64];
	static struct squeal_bytes keys[MAX_BARRIER];
	struct squeal_keys what = {.keys = keys};
	struct cache *caches[CACHE_MAX_CLUSTERS];
	size_t todo = 0, size;
	char *sql;
	bool ok = false;

	c->barrier = app_now_us();
	for (size_t i = 0; i < a->nclusters; i++) {
		caches[i] = cache_create(&a->clusters[i]);
		todo += a->clusters[i].nservers;
	}
	while (todo > 0 && what.nkeys < MAX_BARRIER) {
		size_t k = what.nkeys++;

		snprintf(text[k], sizeof(text[0]), APP_PREFIX "barrier:%" PRIu64 ":%zu", c->barrier, k);
		keys[k] = (struct squeal_bytes){text[k], strlen(text[k])};
		for (size_t i = 0; i < a->nclusters; i++) {
			size_t server = cache_server_of(caches[i], text[k]);

			c->traces[i].barrier_owner[k] = (unsigned char)server;
			todo -= !c->traces[i].routed[server];
			c->traces[i].routed[server] = true;
		}
	}
	for (size_t i = 0; i < a->nclusters; i++)
		cache_destroy(&caches[i]);
	if (squeal_embed(insert, strlen(insert), &what, NULL, &sql, &size) != SQUEAL_OK)
		abort();
	for (int i = 0; i < 500 && !ok; i++) {
		if (!app_connect(&c->thread))
			continue;
		ok = mysql_query(c->thread.db,
				 "CREATE TABLE IF NOT EXISTS barrier (id INT PRIMARY KEY AUTO_INCREMENT)") ==
			 0 &&
		     mysql_real_query(c->thread.db, sql, size) == 0;
		if (!ok) {
			fprintf(stderr, "demo-app: barrier: %s\n", mysql_error(c->thread.db));
			app_disconnect(&c->thread);
		}
	}
	squeal_free(sql);
	if (ok)
		return true;
	fprintf(stderr, "demo-app: the database does not answer, nothing can be checked\n");
	return false;
}

static uint64_t
count_missing(struct check *c, bool show)
{
	uint64_t missing = 0;

	for (uint64_t n = 0; n < c->ntxns; n++) {
		for (size_t i = 0; i < c->app->nclusters; i++) {
			if (c->txns[n].state != 'C' || c->txns[n].ack_us[i] != 0)
				continue;
			if (missing++ < SHOWN && show)
				fprintf(stderr,
					"demo-app: lost: tx:%" PRIu64 ", committed at %" PRIu64
					", was not deleted in %s\n",
					n, c->txns[n].commit_us, c->app->clusters[i].name);
		}
	}
	return missing;
}

/* Servers that have not acknowledged the barrier. */
static size_t
count_behind(struct check *c, bool show)
{
	size_t behind = 0;

	for (size_t i = 0; i < c->app->nclusters; i++) {
		const struct cache_cluster *cluster = &c->app->clusters[i];

		for (size_t s = 0; s < cluster->nservers; s++) {
			if (c->traces[i].barrier[s])
				continue;
			behind++;
			if (show)
				fprintf(stderr,
					"demo-app: %s:%u of %s has not acknowledged the last transaction\n",
					cluster->servers[s].host, cluster->servers[s].port, cluster->name);
		}
	}
	return behind;
}

/* Until everything is there or the patience ends. */
static bool
wait_quiet(struct check *c)
{
	uint64_t end = app_now_us() + (uint64_t)(c->app->wait * 1e6);

	for (;;) {
		read_traces(c);
		if (count_behind(c, false) == 0 && count_missing(c, false) == 0)
			return true;
		if (app_now_us() > end)
			break;
		usleep(20000);
	}
	c->lost = count_missing(c, true);
	return count_behind(c, true) == 0;
}

static void
compare(struct check *c, struct cache *cache, const struct cache_cluster *cluster, const char *key,
	const char *want)
{
	char value[CACHE_MAX_VALUE];

	switch (cache_peek(cache, key, value)) {
	case CACHE_HIT:
		c->compared++;
		if (strcmp(value, want) != 0 && c->stale++ < SHOWN)
			fprintf(stderr, "demo-app: stale: %s in %s is %s, the database says %s\n", key,
				cluster->name, value, want);
		break;
	case CACHE_DOWN:
		if (c->unreachable++ < SHOWN)
			fprintf(stderr, "demo-app: no answer about %s in %s\n", key, cluster->name);
		break;
	default:
		c->missed++;
	}
}

static bool
compare_caches(struct check *c)
{
	struct app *a = c->app;
	char key[64], value[CACHE_MAX_VALUE];
	struct cache *caches[CACHE_MAX_CLUSTERS];
	bool ok = true;

	for (size_t i = 0; i < a->nclusters; i++)
		caches[i] = cache_create(&a->clusters[i]);
	for (unsigned id = 0; ok && id < a->items; id++) {
		if (!(ok = app_connect(&c->thread) && app_read_item(&c->thread, id, value)))
			break;
		snprintf(key, sizeof(key), APP_PREFIX "item:%u", id);
		for (size_t i = 0; i < a->nclusters; i++)
			compare(c, caches[i], &a->clusters[i], key, value);
		if (id % APP_SHELF != 0)
			continue;
		if (!(ok = app_read_shelf(&c->thread, id / APP_SHELF, value)))
			break;
		snprintf(key, sizeof(key), APP_PREFIX "shelf:%u", id / APP_SHELF);
		for (size_t i = 0; i < a->nclusters; i++)
			compare(c, caches[i], &a->clusters[i], key, value);
	}
	for (size_t i = 0; i < a->nclusters; i++)
		cache_destroy(&caches[i]);
	if (!ok)
		fprintf(stderr, "demo-app: the database does not answer, the caches cannot be compared\n");
	return ok;
}

static bool
during_fault(const struct app *a, uint64_t us)
{
	for (size_t i = 0; i < a->nfaults; i++) {
		if (us >= a->faults[i].from_us && us <= a->faults[i].to_us)
			return true;
	}
	return false;
}

static int
by_size(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

/* Prints " <name>p50_ms=.. <name>p99_ms=.." of all pairs of transaction and cluster. */
static void
print_latency(struct check *c, const char *name, bool calm)
{
	uint64_t *us = malloc((c->commits * c->app->nclusters + 1) * sizeof(*us)), n = 0;

	if (!us)
		abort();
	for (uint64_t i = 0; i < c->ntxns; i++) {
		const struct txn *t = &c->txns[i];

		for (size_t k = 0; k < c->app->nclusters; k++) {
			if (t->state == 'C' && t->ack_us[k] != 0 &&
			    !(calm && during_fault(c->app, t->commit_us)))
				us[n++] = t->ack_us[k] > t->commit_us ? t->ack_us[k] - t->commit_us : 0;
		}
	}
	qsort(us, n, sizeof(*us), by_size);
	printf(" %spairs=%" PRIu64 " %sp50_ms=%.2f %sp99_ms=%.2f", name, n, name,
	       n ? (double)us[n / 2] / 1000 : 0.0, name, n ? (double)us[n * 99 / 100] / 1000 : 0.0);
	free(us);
}

int
check_main(struct app *app)
{
	static struct check c;
	bool measured;

	c.app = app;
	c.thread = (struct app_thread){.app = app, .random = 1};
	if (!name_traces(&c)) {
		fprintf(stderr, "demo-app: more than %d traces of a cluster\n", MAX_ROUTERS);
		return 2;
	}
	measured = read_journal(&c) && send_barrier(&c);
	if (measured) {
		/* What is still under way shows as stale: compare in any case. */
		measured = wait_quiet(&c);
		measured = compare_caches(&c) && measured;
	}
	measured = measured && c.commits > 0 && c.compared > 0 && c.unreachable == 0;
	for (size_t i = 0; i < app->nclusters; i++) {
		c.acks += c.traces[i].acks;
		for (size_t k = 0; k < c.traces[i].nfiles; k++) {
			if (c.traces[i].files[k])
				fclose(c.traces[i].files[k]);
		}
	}
	printf("commits=%" PRIu64 " keys=%" PRIu64 " rolled_back=%" PRIu64 " indeterminate=%" PRIu64
	       " deletes_acked=%" PRIu64 " compared=%" PRIu64 " not_cached=%" PRIu64 " invented=%" PRIu64
	       " lost=%" PRIu64 " stale=%" PRIu64 " measured=%d",
	       c.commits, c.keys, c.rolled_back, c.indeterminate, c.acks, c.compared, c.missed, c.invented,
	       c.lost, c.stale, measured);
	print_latency(&c, "", false);
	print_latency(&c, "calm_", true);
	printf("\n");
	app_disconnect(&c.thread);
	free(c.txns);
	return measured && c.lost == 0 && c.stale == 0 && c.invented == 0 ? 0 : 1;
}
