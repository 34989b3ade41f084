#include "integration/demo/app.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t
app_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void
app_pace(struct app_thread *t)
{
	struct timespec now;
	double behind_ns;

	t->due.tv_nsec += (long)t->step_ns % 1000000000;
	t->due.tv_sec += (long)(t->step_ns / 1e9) + t->due.tv_nsec / 1000000000;
	t->due.tv_nsec %= 1000000000;
	clock_gettime(CLOCK_MONOTONIC, &now);
	behind_ns = (double)(now.tv_sec - t->due.tv_sec) * 1e9 + (double)(now.tv_nsec - t->due.tv_nsec);
	if (behind_ns > 2e8)
		t->due = now; /* do not make up for what an outage or a slow machine cost */
	else if (behind_ns < 0)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t->due, NULL);
}

/* xorshift64*: good enough to pick items. */
uint64_t
app_random(struct app_thread *t, uint64_t below)
{
	t->random ^= t->random >> 12;
	t->random ^= t->random << 25;
	t->random ^= t->random >> 27;
	return (t->random * 0x2545F4914F6CDD1Dull >> 16) % below;
}

bool
app_connect(struct app_thread *t)
{
	unsigned timeout = 5;

	if (t->db)
		return true;
	t->db = mysql_init(NULL);
	if (!t->db)
		abort();
	mysql_options(t->db, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
	mysql_options(t->db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (mysql_real_connect(t->db, NULL, t->app->user, NULL, t->app->database, 0, t->app->socket, 0))
		return true;
	app_disconnect(t);
	usleep(20000);
	return false;
}

void
app_disconnect(struct app_thread *t)
{
	if (t->db)
		mysql_close(t->db);
	t->db = NULL;
}

/* The first row's columns joined by ":", or "-" when there is none. */
static bool
read_value(struct app_thread *t, const char *sql, char *value)
{
	MYSQL_RES *rows;
	MYSQL_ROW row;
	size_t used = 0;

	if (mysql_query(t->db, sql) != 0 || !(rows = mysql_store_result(t->db))) {
		t->app->sql_errors++;
		app_disconnect(t);
		return false;
	}
	strcpy(value, "-");
	row = mysql_fetch_row(rows);
	for (unsigned i = 0; row && i < mysql_num_fields(rows); i++)
		used += (size_t)snprintf(value + used, CACHE_MAX_VALUE - used, "%s%s", i ? ":" : "", row[i]);
	mysql_free_result(rows);
	return true;
}

bool
app_read_item(struct app_thread *t, unsigned id, char *value)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT v FROM items WHERE id = %u", id);
	return read_value(t, sql, value);
}

bool
app_read_shelf(struct app_thread *t, unsigned shelf, char *value)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		 "SELECT COUNT(*), COALESCE(SUM(v), 0) FROM items WHERE id >= %u AND id < %u",
		 shelf * APP_SHELF, (shelf + 1) * APP_SHELF);
	return read_value(t, sql, value);
}
