/*
 * stmt-tool - one prepared statement over the binary protocol, as drivers send them.
 *
 *     stmt-tool SOCKET DATABASE SQL [TYPE:VALUE]...      i:42  s:text  n: (NULL)
 *
 * Prints the number of rows that changed.
 */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMS = 32 };

static int
fail(const char *what, const char *error)
{
	fprintf(stderr, "stmt-tool: %s: %s\n", what, error);
	return 1;
}

int
main(int argc, char **argv)
{
	MYSQL_BIND params[MAX_PARAMS] = {{0}};
	long long numbers[MAX_PARAMS];
	unsigned long sizes[MAX_PARAMS];
	MYSQL *db = mysql_init(NULL);
	MYSQL_STMT *stmt;
	int nparams = argc - 4;

	if (argc < 4 || nparams > MAX_PARAMS || !db) {
		fputs("usage: stmt-tool SOCKET DATABASE SQL [i:NUMBER|s:TEXT|n:]...\n", stderr);
		return 2;
	}
	if (!mysql_real_connect(db, NULL, "root", NULL, argv[2], 0, argv[1], 0))
		return fail("connect", mysql_error(db));
	stmt = mysql_stmt_init(db);
	if (!stmt || mysql_stmt_prepare(stmt, argv[3], strlen(argv[3])) != 0)
		return fail("prepare", stmt ? mysql_stmt_error(stmt) : mysql_error(db));
	if ((int)mysql_stmt_param_count(stmt) != nparams)
		return fail("prepare", "the number of values differs from the number of question marks");
	for (int i = 0; i < nparams; i++) {
		char *value = argv[4 + i] + 2;

		switch (argv[4 + i][0]) {
		case 'i':
			numbers[i] = atoll(value);
			params[i].buffer_type = MYSQL_TYPE_LONGLONG;
			params[i].buffer = &numbers[i];
			break;
		case 's':
			sizes[i] = strlen(value);
			params[i].buffer_type = MYSQL_TYPE_STRING;
			params[i].buffer = value;
			params[i].buffer_length = sizes[i];
			params[i].length = &sizes[i];
			break;
		default:
			params[i].buffer_type = MYSQL_TYPE_NULL;
		}
	}
	if (nparams > 0 && mysql_stmt_bind_param(stmt, params) != 0)
		return fail("bind", mysql_stmt_error(stmt));
	if (mysql_stmt_execute(stmt) != 0)
		return fail("execute", mysql_stmt_error(stmt));
	printf("%llu\n", (unsigned long long)mysql_stmt_affected_rows(stmt));
	mysql_stmt_close(stmt);
	mysql_close(db);
	return 0;
}
