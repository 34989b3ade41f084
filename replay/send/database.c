#include "replay/send/database.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/core/thread.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/pause.h"

enum { EVERY_MS = 1000 };

struct database {
	struct log *log;
	struct conn *conn;
	pthread_t thread;
	bool started;
	_Atomic bool stop;
	/* Alone in what it says: no ordering with anything else is needed. */
	_Atomic uint64_t threads;
};

static void
take(void *arg, const struct span *values, unsigned n)
{
	uint64_t *out = arg;

	if (n >= 2)
		span_u64(values[1], out);
}

static err_t
ask(struct database *d, struct err_detail *why)
{
	uint64_t threads = 0;
	err_t err = conn_is_open(d->conn) ? ERR_OK : conn_open(d->conn, why);

	if (err == ERR_OK)
		err = conn_ask(d->conn, "SHOW GLOBAL STATUS LIKE 'Threads_running'", take, &threads, why);
	atomic_store_explicit(&d->threads, err == ERR_OK ? threads : 0, memory_order_relaxed);
	if (err != ERR_OK)
		conn_close(d->conn);
	return err;
}

static void *
run(void *arg)
{
	struct database *d = arg;

	while (!atomic_load(&d->stop)) {
		struct err_detail why = {0};

		if (ask(d, &why) != ERR_OK && !atomic_load(&d->stop))
			log_warn(d->log, "the database cannot be asked how busy it is",
				 F_STR("reason", err_why(&why)));
		pause_ms(&d->stop, EVERY_MS);
	}
	return NULL;
}

err_t
database_create(struct database **out, const struct source_options *opt, struct log *log,
		struct err_detail *why)
{
	struct database *d = MEM_NEW(struct database);
	err_t err;

	d->log = log;
	d->conn = conn_create(opt);
	err = ask(d, why);
	if (err != ERR_OK) {
		err_wrap(why, "--max-threads-running asks the database");
		goto done;
	}
	err = thread_start(&d->thread, "replay-database", run, d, why);
	d->started = err == ERR_OK;
done:
	if (err != ERR_OK)
		database_destroy(&d);
	*out = d;
	return err;
}

void
database_destroy(struct database **d)
{
	if (*d == NULL)
		return;
	atomic_store(&(*d)->stop, true);
	if ((*d)->started) {
		conn_interrupt((*d)->conn);
		pthread_join((*d)->thread, NULL);
	}
	conn_destroy(&(*d)->conn);
	free(*d);
	*d = NULL;
}

uint64_t
database_threads(const struct database *d)
{
	return atomic_load_explicit(&d->threads, memory_order_relaxed);
}
