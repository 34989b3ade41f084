/*
 * damage - a log whose disk was not kind to it, for tests of those who read it.
 *
 * Threads: one at a time.   Blocks: on the disk.
 */
#ifndef SQUEAL_LIB_BROKER_TEST_DAMAGE_H
#define SQUEAL_LIB_BROKER_TEST_DAMAGE_H

#include <sqlite3.h>
#include <stdio.h>

#include "lib/core/test/test.h"

/* Makes the checksum of the record at `offset` wrong. */
static inline void
damage_record(const char *path, unsigned offset)
{
	sqlite3 *db;
	char sql[100];

	snprintf(sql, sizeof(sql), "UPDATE records SET sum = sum + 1 WHERE offset = %u", offset);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_changes(db), 1);
	sqlite3_close(db);
}

#endif
