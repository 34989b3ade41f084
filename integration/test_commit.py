"""From a commit in a real database to acknowledged deletes: what reaches the caches, and what must not."""

import itertools
import subprocess

import pytest

from harness import Pipeline, run_dir, show_logs
from harness.pipeline import program

FORMATS = ["STATEMENT", "MIXED", "ROW"]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def live():
    p = Pipeline(run_dir("test_commit"), trace_prefix="k")
    try:
        p.start()
        p.db.sql("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=InnoDB;"
                 "CREATE TABLE m (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=MyISAM;"
                 "INSERT INTO t SELECT seq, 'x' FROM seq_1_to_100;"
                 "INSERT INTO m SELECT seq, 'x' FROM seq_1_to_100", "demo")
        yield p
    except BaseException:
        show_logs(p.dir)
        raise
    finally:
        p.stop()


@pytest.fixture(params=FORMATS)
def session(live, request):
    """A session that writes the binlog in each of the formats."""
    db = live.db.connect(database="demo", autocommit=True)
    with db.cursor() as c:
        c.execute("SET SESSION binlog_format = " + request.param)
    db.binlog_format = request.param
    yield db
    db.close()


def new_keys(n=1):
    return ["k:%d" % next(_numbers) for _ in range(n)]


def change(id, keys, table="t", value=None):
    """An UPDATE that changes a row, with its keys."""
    return "UPDATE %s SET v = '%s' WHERE id = %d /*inv='%s'*/" % (table, value or "v%d" % next(_numbers), id,
                                                               ",".join(keys))


def run(db, *statements):
    with db.cursor() as c:
        for statement in statements:
            c.execute(statement)


def nothing_deleted(live, keys):
    """Everything committed so far is delivered, and these are not among it."""
    live.barrier()
    for cluster in live.cluster_names:
        assert not set(keys) & live.deleted(cluster)


def test_a_commit_deletes_its_keys_on_the_owning_server_of_every_cluster(live, session):
    keys = new_keys(5)
    live.fill(keys)
    run(session, change(1, keys))
    live.wait_deleted(keys)
    for cluster in live.cluster_names:
        for key in keys:
            assert live.held(cluster, key) == len(live.caches[cluster]) - 1


def test_a_rollback_deletes_nothing(live, session):
    keys = new_keys(3)
    live.fill(keys)
    run(session, "BEGIN", change(1, keys[:2]), change(2, keys[2:]), "ROLLBACK")
    nothing_deleted(live, keys)
    for cluster in live.cluster_names:
        assert all(live.held(cluster, key) == 2 for key in keys)


def test_a_lost_connection_in_the_middle_of_a_transaction_deletes_nothing(live, session):
    keys = new_keys(1)
    other = live.db.connect(database="demo")
    run(other, "SET SESSION binlog_format = " + session.binlog_format, "BEGIN", change(3, keys))
    other._force_close()
    nothing_deleted(live, keys)


def test_all_statements_of_a_transaction_count_at_its_commit(live, session):
    keys = new_keys(6)
    run(session, "BEGIN", change(1, keys[:2]), "INSERT INTO t VALUES (%d, 'n') /*inv='%s'*/"
        % (1000 + next(_numbers), keys[2]), change(2, keys[3:5]), "DELETE FROM t WHERE id > 1000 /*inv='%s'*/" % keys[5])
    assert not set(keys) & live.deleted(live.cluster_names[0])
    run(session, "COMMIT")
    live.wait_deleted(keys)


def test_rollback_to_a_savepoint_drops_what_came_after_it(live, session):
    kept, dropped = new_keys(4), new_keys(3)
    run(session, "BEGIN", change(1, kept[:1]), "SAVEPOINT a", change(2, dropped[:1]), "SAVEPOINT b",
        change(3, dropped[1:2]), "ROLLBACK TO SAVEPOINT b", change(4, dropped[2:]), "ROLLBACK TO SAVEPOINT a",
        change(5, kept[1:2]), "SAVEPOINT c", change(6, kept[2:3]), "RELEASE SAVEPOINT c", change(7, kept[3:]), "COMMIT")
    live.wait_deleted(kept)
    nothing_deleted(live, dropped)


def test_savepoint_names_can_be_used_again(live, session):
    kept, dropped = new_keys(2), new_keys(1)
    run(session, "BEGIN", "SAVEPOINT s", change(1, kept[:1]), "SAVEPOINT s", change(2, dropped),
        "ROLLBACK TO SAVEPOINT s", change(3, kept[1:]), "COMMIT")
    live.wait_deleted(kept)
    nothing_deleted(live, dropped)


def test_what_myisam_cannot_undo_is_deleted_and_committed_work_too(live, session):
    kept, unsure = new_keys(3), new_keys(1)
    run(session, "BEGIN", change(1, kept[:1]), "SAVEPOINT s", change(1, kept[1:2], table="m"), change(2, unsure),
        "ROLLBACK TO SAVEPOINT s", change(3, kept[2:]), "COMMIT")
    live.wait_deleted(kept)
    # `unsure` may be deleted or not: where the binlog keeps the statement there is no telling.


def test_a_rolled_back_transaction_with_myisam_deletes_what_stays_changed(live, session):
    stays = new_keys(1)
    run(session, "BEGIN", change(1, new_keys(1)), change(2, stays, table="m"), "ROLLBACK")
    live.wait_deleted(stays)


def test_myisam_alone_has_no_transaction_to_wait_for(live, session):
    keys = new_keys(2)
    run(session, change(3, keys, table="m"))
    live.wait_deleted(keys)


def test_prepared_statements_of_the_text_protocol(live, session):
    keys = new_keys(2)
    run(session, "PREPARE s FROM \"UPDATE t SET v = ? WHERE id = ? /*inv='%s'*/\"" % ",".join(keys),
        "SET @v = 'p%d', @id = 4" % next(_numbers), "EXECUTE s USING @v, @id", "DEALLOCATE PREPARE s")
    live.wait_deleted(keys)


@pytest.mark.parametrize("format", FORMATS)
def test_prepared_statements_of_the_binary_protocol(live, format):
    keys = new_keys(2)
    live.db.sql("SET GLOBAL binlog_format = " + format)
    try:
        done = subprocess.run([program("stmt-tool"), live.db.socket, "demo",
                               "UPDATE t SET v = ? WHERE id = ? /*inv='%s'*/" % ",".join(keys),
                               "s:it''s %d \\ ?" % next(_numbers), "i:5"], stdout=subprocess.PIPE, text=True)
    finally:
        live.db.sql("SET GLOBAL binlog_format = MIXED")
    assert (done.returncode, done.stdout) == (0, "1\n")
    live.wait_deleted(keys)


@pytest.mark.parametrize("where", ["leading", "trailing"])
def test_pymysql_executemany(live, session, where):
    keys = new_keys(2)
    comment = "/*inv='%s'*/" % ",".join(keys)
    sql = "REPLACE INTO t (id, v) VALUES (%s, %s)"
    sql = comment + " " + sql if where == "leading" else sql + " " + comment
    with session.cursor() as c:
        c.executemany(sql, [(200 + i, "it's %% %d" % next(_numbers)) for i in range(5)])
    live.wait_deleted(keys)


def test_pymysql_parameters_and_an_encoded_key(live, session):
    # The driver takes %% for %; the comment then holds k%2C1, and the key is "k,1".
    n = next(_numbers)
    with session.cursor() as c:
        c.execute("UPDATE t SET v = %s WHERE id = %s /*inv='k%%252C" + str(n) + "'*/", ("e%d" % n, 6))
    live.wait_deleted(["k,%d" % n])


def test_statements_that_change_no_row(live, session):
    """A statement that finds no row is in the binlog as a statement, and in row format not at all: then nothing
    has changed and no cache is wrong."""
    keys = new_keys(1)
    file, position = live.db.binlog_position()
    run(session, "UPDATE t SET v = 'y' WHERE id = 987654 /*inv='%s'*/" % keys[0])
    logged = keys[0] in live.db.sql("SHOW BINLOG EVENTS IN '%s' FROM %d" % (file, position))
    assert logged == (session.binlog_format != "ROW")
    if logged:
        live.wait_deleted(keys)
    else:
        nothing_deleted(live, keys)


def test_an_update_to_the_same_value(live, session):
    keys = new_keys(1)
    run(session, "UPDATE t SET v = 'same' WHERE id = 7")
    file, position = live.db.binlog_position()
    run(session, "UPDATE t SET v = 'same' WHERE id = 7 /*inv='%s'*/" % keys[0])
    logged = keys[0] in live.db.sql("SHOW BINLOG EVENTS IN '%s' FROM %d" % (file, position))
    assert logged == (session.binlog_format != "ROW")
    if logged:
        live.wait_deleted(keys)
    else:
        nothing_deleted(live, keys)


def test_statements_that_mixed_format_logs_as_rows(live, session):
    keys = new_keys(1)
    if session.binlog_format == "STATEMENT":
        return  # the database refuses or warns; nothing to learn
    run(session, "UPDATE t SET v = UUID() WHERE id = 8 /*inv='%s'*/" % keys[0])
    live.wait_deleted(keys)


def test_ddl_counts_when_it_is_done(live, session):
    keys = new_keys(4)
    name = "ddl%d" % next(_numbers)
    run(session, "CREATE TABLE %s (a INT) /*inv='%s'*/" % (name, keys[0]),
        "ALTER TABLE %s ADD b INT /*inv='%s'*/" % (name, keys[1]),
        "TRUNCATE TABLE %s /*inv='%s'*/" % (name, keys[2]), "DROP TABLE %s /*inv='%s'*/" % (name, keys[3]))
    # The server writes its own text for DROP TABLE, without the comment.
    live.wait_deleted(keys[:3])


def test_ddl_in_a_transaction_commits_it(live, session):
    keys = new_keys(1)
    run(session, "BEGIN", change(9, keys), "CREATE TABLE ddl%d (a INT)" % next(_numbers), "ROLLBACK")
    live.wait_deleted(keys)


def test_xa_transactions(live, session):
    kept = new_keys(1)
    n = next(_numbers)
    run(session, "XA START 'x%d'" % n, change(10, kept), "XA END 'x%d'" % n, "XA PREPARE 'x%d'" % n, "XA COMMIT 'x%d'" % n)
    live.wait_deleted(kept)


def test_what_a_string_literal_holds_is_no_key(live, session):
    evil = new_keys(1)
    run(session, "UPDATE t SET v = '/*inv=\\'%s\\'*/' WHERE id = 11" % evil[0],
        "UPDATE t SET v = \"x /*inv=''%s''*/\" WHERE id = 12" % evil[0],
        "UPDATE t SET v = 'x' /*inv='%s'*/ WHERE id = 13" % evil[0])
    nothing_deleted(live, evil)


def test_changes_by_triggers_and_routines_ride_with_the_statement_that_caused_them(live, session):
    keys = new_keys(1)
    n = next(_numbers)
    run(session, "CREATE TRIGGER tr%d AFTER UPDATE ON t FOR EACH ROW INSERT INTO m VALUES (NEW.id + 10000 + %d, 'tr')"
        % (n, n * 100), change(14, keys), "DROP TRIGGER tr%d" % n)
    live.wait_deleted(keys)


def test_many_sessions_at_once(live):
    sessions = [live.db.connect(database="demo", autocommit=True) for _ in range(20)]
    keys = []
    for _ in range(10):
        for i, db in enumerate(sessions):
            mine = new_keys(2)
            keys += mine
            run(db, change(i + 1, mine))
    for db in sessions:
        db.close()
    live.wait_deleted(keys)
