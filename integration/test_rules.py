"""Keys of row changes by rule: a real MariaDB in row format, no comment in any statement."""

import json
import os
import subprocess

import pytest

from harness import Pipeline, run_dir, show_logs, wait_until
from harness.pipeline import program

RULES = """
rules:
  - table: shop.users
    keys: ["k:user:{id}", "k:mail:{email|lower}"]
  - table: "shop.order*"
    keys: ["k:orders:{user_id}"]
    when_changed: [state]
"""

FULL = ["--binlog-row-metadata=FULL"]


def rules_file(dir, text=RULES):
    path = os.path.join(dir, "rules.yaml")
    with open(path, "w") as f:
        f.write(text)
    return path


@pytest.fixture(scope="module")
def live():
    dir = run_dir("test_rules")
    p = Pipeline(dir, trace_prefix="k", db_options={"binlog_format": "ROW", "options": FULL},
                 config={"markers": {"rules": rules_file(dir)}})
    try:
        p.start()
        p.db.sql("CREATE DATABASE shop;"
                 "CREATE TABLE shop.users (id BIGINT UNSIGNED PRIMARY KEY, email VARCHAR(100), name TEXT);"
                 "CREATE TABLE shop.orders_2026 (id INT PRIMARY KEY, user_id INT, state VARCHAR(10), note TEXT);"
                 "CREATE TABLE shop.other (id INT PRIMARY KEY)")
        yield p
    except BaseException:
        show_logs(p.dir)
        raise
    finally:
        p.stop()


def test_inserts_updates_and_deletes_make_the_keys_of_their_rows(live):
    keys = ["k:user:18446744073709551615", "k:mail:ann@example.org", "k:mail:ann@example.com"]
    live.fill(keys)
    live.db.sql("INSERT INTO shop.users VALUES (18446744073709551615, 'Ann@Example.org', 'Ann')")
    live.wait_deleted(keys[:2])
    live.fill(keys)
    # A changed key column deletes the key of the old row and that of the new one.
    live.db.sql("UPDATE shop.users SET email = 'ann@example.com' WHERE email LIKE 'ann%'")
    live.wait_deleted(keys)
    live.fill(keys)
    live.db.sql("DELETE FROM shop.users WHERE email = 'ann@example.com'")
    live.wait_deleted([keys[0], keys[2]])


def test_when_changed_leaves_other_updates_alone(live):
    live.db.sql("INSERT INTO shop.orders_2026 VALUES (1, 7, 'new', '')")
    live.barrier()
    live.fill(["k:orders:7"])
    before = live.squeal.metrics().total("squeal_rule_key_total")
    live.db.sql("UPDATE shop.orders_2026 SET note = 'fragile' WHERE id = 1")
    live.barrier()
    assert live.squeal.metrics().total("squeal_rule_key_total") == before
    for cluster in live.cluster_names:
        assert live.held(cluster, "k:orders:7") > 0
    live.db.sql("UPDATE shop.orders_2026 SET state = 'sent' WHERE id = 1")
    live.wait_deleted(["k:orders:7"])


def test_a_rollback_and_a_savepoint_make_no_keys(live):
    live.fill(["k:user:100", "k:user:101"])
    live.db.sql("BEGIN; INSERT INTO shop.users VALUES (100, 'a', 'a'); ROLLBACK;"
                "BEGIN; INSERT INTO shop.users VALUES (102, 'c', 'c'); SAVEPOINT s;"
                "INSERT INTO shop.users VALUES (101, 'b', 'b'); ROLLBACK TO s; COMMIT")
    live.wait_deleted(["k:user:102"])
    live.barrier()
    for cluster in live.cluster_names:
        assert not {"k:user:100", "k:user:101"} & live.deleted(cluster)


def test_comments_and_rules_work_side_by_side(live):
    live.db.sql("INSERT INTO shop.users VALUES (200, 'd', 'd') /*inv='k:by-hand'*/")
    live.wait_deleted(["k:user:200", "k:by-hand"])


def test_a_statement_of_many_rows_makes_all_their_keys(live):
    live.db.sql("INSERT INTO shop.users SELECT 1000 + seq, CONCAT('m', seq), 'x' FROM seq_1_to_5000", "shop")
    live.wait_deleted(["k:user:%d" % n for n in range(1001, 6001)])


def test_ddl_between_changes_is_followed(live):
    live.db.sql("ALTER TABLE shop.users ADD COLUMN first INT FIRST")
    live.db.sql("INSERT INTO shop.users VALUES (9, 300, 'Eve', 'e')")
    live.wait_deleted(["k:user:300", "k:mail:eve"])


def test_sighup_takes_new_rules_and_keeps_the_old_ones_when_the_file_is_wrong(live):
    rules_file(live.dir, RULES.replace("k:user:", "k:member:"))
    live.squeal.reload()
    wait_until(lambda: "configuration reloaded" in live.squeal.process.log_text(), 10, "the reload")
    live.db.sql("INSERT INTO shop.users VALUES (9, 400, 'f', 'f')")
    live.wait_deleted(["k:member:400"])
    rules_file(live.dir, RULES.replace("{id}", "{id"))
    live.squeal.reload()
    wait_until(lambda: "kept the old rules" in live.squeal.process.log_text(), 10, "the complaint")
    live.db.sql("INSERT INTO shop.users VALUES (9, 401, 'g', 'g')")
    live.wait_deleted(["k:member:401"])
    rules_file(live.dir)
    live.squeal.reload()
    live.db.sql("INSERT INTO shop.other VALUES (1)")


def test_squeal_keys_makes_the_same_keys_offline(live):
    live.db.sql("INSERT INTO shop.users VALUES (9, 500, 'Henry', 'h')")
    live.wait_deleted(["k:user:500"])
    name = live.db.sql("SHOW MASTER STATUS").split("\t")[0]
    done = subprocess.run([program("squeal"), "keys", "--rules", rules_file(live.dir),
                           os.path.join(live.db.data, name)], stdout=subprocess.PIPE, text=True, check=True)
    assert any({"k:user:500", "k:mail:henry"} <= set(json.loads(line)["keys"]) for line in done.stdout.splitlines())


def test_a_session_in_statement_format_is_counted_and_said(live):
    before = live.squeal.metrics().total("squeal_rule_blind_total")
    live.db.sql("SET SESSION binlog_format = STATEMENT; UPDATE shop.users SET name = 'z' WHERE id = 500")
    wait_until(lambda: live.squeal.metrics().total("squeal_rule_blind_total") > before, 10, "the counter")
    wait_until(lambda: "binlog_format=ROW" in live.squeal.process.log_text(), 10, "the line that says so")


@pytest.mark.parametrize("options", [[], ["--rows"]])
def test_squeal_keys_says_what_rules_cannot_see(tmp_path, options):
    recorded = os.path.join(os.path.dirname(__file__), "..", "squeal", "binlog", "test", "data", "statement.binlog")
    done = subprocess.run([program("squeal"), "keys", "--rules", rules_file(str(tmp_path))] + options + [recorded],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
    assert "which no rule can see" in done.stderr


def test_a_source_that_hides_rows_is_refused_with_what_mends_it(pipeline, rundir):
    p = pipeline(start=False, clusters=["a"], config={"markers": {"rules": rules_file(rundir)}})
    p.squeal.start(wait=False)
    wait_until(lambda: "SET GLOBAL binlog_format=ROW" in p.squeal.process.log_text(), 15, "the complaint")
    wait_until(lambda: p.squeal.metrics().total("squeal_source_error_setup_total") > 0, 10, "the counter")
    p.db.sql("SET GLOBAL binlog_format = ROW")
    p.squeal.wait_ready()


def test_a_rule_for_a_column_that_is_not_there_is_a_gap(pipeline, rundir):
    rules = rules_file(rundir, "rules:\n  - table: demo.gone\n    keys: [\"k:{no_such}\"]\n")
    p = pipeline(clusters=["a"], db_options={"binlog_format": "ROW", "options": FULL},
                 config={"markers": {"rules": rules}})
    p.db.sql("CREATE TABLE demo.gone (id INT PRIMARY KEY); INSERT INTO demo.gone VALUES (1)")
    wait_until(lambda: "GAP" in p.squeal.get("/readyz")[1], 10, "/readyz to say so")
    assert "key of table demo.gone cannot be known" in p.squeal.get("/readyz")[1]
    assert p.squeal.metrics().total("squeal_source_gap") == 1


@pytest.mark.parametrize("flavour", ["mariadb", "mysql"])
def test_with_rules_only_the_source_need_not_write_texts(pipeline, flavour):
    p = pipeline(start=False, clusters=["a"], db=flavour,
                 db_options={"binlog_format": "ROW", "rows_query": False, "row_metadata": "FULL"})
    p.extra = {"markers": {"rules": rules_file(p.dir), "rules_only": "true"}}
    p.write_configs()
    p.squeal.start()
    p.routers["a"].start()
    p.fill(["k:comment"])
    p.db.sql("CREATE DATABASE shop;"
             "CREATE TABLE shop.users (id BIGINT UNSIGNED PRIMARY KEY, email VARCHAR(100), name TEXT);"
             "INSERT INTO shop.users VALUES (7, 'a', 'b') /*inv='k:comment'*/")
    p.wait_deleted(["k:user:7", "k:mail:a"])
    assert p.held("a", "k:comment") == 2
    assert "without the statement's text" not in p.squeal.process.log_text()
