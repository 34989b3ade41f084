/*
 * bare-loop - the least that reading a binlog can cost: connect, ask for it, take every packet, look at none.
 *
 *     bare-loop SOCKET USER PASSWORD FILE POSITION      reads to the end and prints events, bytes and seconds
 *
 * The yardstick for squeal's tail + extract + batch.
 */
#include <mysql.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { DUMP_NON_BLOCK = 1, DUMP_SEND_ANNOTATE = 2, SERVER_ID = 424242 };

static double
seconds(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
fail(const char *what, MYSQL *db)
{
	fprintf(stderr, "bare-loop: %s: %s\n", what, mysql_error(db));
	return 1;
}

int
main(int argc, char **argv)
{
	static const char *setup[] = {
	    "SET @master_binlog_checksum = @@global.binlog_checksum",
	    "SET @mariadb_slave_capability = 4",
	    "SET @master_heartbeat_period = 1000000000",
	};
	MYSQL *db = mysql_init(NULL);
	unsigned char command[512];
	unsigned long packet, events = 0, bytes = 0;
	uint32_t position;
	size_t n;
	double wall, cpu;

	if (argc != 6 || !db || strlen(argv[4]) > 400) {
		fputs("usage: bare-loop SOCKET USER PASSWORD FILE POSITION\n", stderr);
		return 2;
	}
	if (!mysql_real_connect(db, NULL, argv[2], argv[3], NULL, 0, argv[1], 0))
		return fail("connect", db);
	wall = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < sizeof(setup) / sizeof(setup[0]); i++) {
		if (mysql_query(db, setup[i]) != 0)
			return fail(setup[i], db);
	}
	position = (uint32_t)strtoul(argv[5], NULL, 10);
	for (int i = 0; i < 4; i++)
		command[i] = (unsigned char)(position >> 8 * i);
	command[4] = DUMP_NON_BLOCK | DUMP_SEND_ANNOTATE;
	command[5] = 0;
	for (int i = 0; i < 4; i++)
		command[6 + i] = (unsigned char)((uint32_t)SERVER_ID >> 8 * i);
	n = strlen(argv[4]);
	memcpy(command + 10, argv[4], n);
	if (db->methods->db_command(db, COM_BINLOG_DUMP, (char *)command, 10 + n, 1, NULL) != 0)
		return fail("COM_BINLOG_DUMP", db);
	for (;;) {
		packet = mysql_net_read_packet(db);
		if (packet == packet_error)
			return fail("read", db);
		if (packet < 9 && db->net.read_pos[0] == 0xFE)
			break;
		events++;
		bytes += packet - 1;
	}
	wall = seconds(CLOCK_MONOTONIC) - wall;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("events=%lu bytes=%lu wall_s=%.6f cpu_s=%.6f\n", events, bytes, wall, cpu);
	mysql_close(db);
	return 0;
}
