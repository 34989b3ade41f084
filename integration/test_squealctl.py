"""squealctl against a running pipeline: what it shows is what happened, and what it orders is done."""

import json
import os
import re
import socket

import pytest

from harness import wait_until
from harness.pipeline import run_program, write_config


def ctl(p, *args):
    return run_program("squealctl", "-c", p.config_path, *args)


def ctl_json(p, *args):
    done = ctl(p, "--json", *args)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def insert(p, keys, value=1):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.feed (id INT) /*inv='k:ddl'*/;"
             "INSERT INTO demo.feed VALUES (%d) /*inv='%s'*/" % (value, ",".join(keys)))


def router_status(p, cluster="a"):
    return p.routers[cluster].status()


def add(cache, key):
    with cache.client() as client:
        return client.command(b"add %s 0 0 1\r\nx" % key.encode()) == b"STORED"


def test_status_shows_every_program_and_server(pipeline):
    p = pipeline(clusters=["a", "b"], servers=2)
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    done = ctl(p, "status")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "squeal at 127.0.0.1:%d: ready" % p.squeal_port in done.stdout
    for name in ("a", "b"):
        assert "squeal-router of cluster %s at 127.0.0.1:%d: ready" % (name, p.admin_ports[name]) in done.stdout
        for cache in p.caches[name]:
            assert cache.address in done.stdout
    assert "source main: " in done.stdout and "mode warm" in done.stdout
    assert "hops (p50/p99)" in done.stdout
    code, said = ctl_json(p, "status")
    assert code == 0
    places = said["status"]["places"]
    assert [x["program"] for x in places] == ["squeal", "squeal-router", "squeal-router"]
    assert all(x["error"] is None and x["answer"]["pid"] > 0 for x in places)
    assert all(x["answer"]["ready"] for x in said["ready"]["places"])


def test_status_fails_when_a_router_is_gone_and_says_which(pipeline):
    p = pipeline(clusters=["a", "b"], servers=1)
    p.routers["b"].kill()
    done = ctl(p, "status")
    assert done.returncode == 1
    line = [x for x in done.stdout.splitlines() if "of cluster b" in x]
    assert len(line) == 1 and "is it running?" in line[0]
    assert "squeal-router of cluster a at 127.0.0.1:%d: ready" % p.admin_ports["a"] in done.stdout
    assert ctl(p, "--cluster", "a", "status").returncode == 0


def test_a_server_that_is_away_is_shown_with_the_reason(pipeline):
    p = pipeline(clusters=["a"], servers=2)
    p.caches["a"][0].kill()

    def shown():
        line = [x for x in ctl(p, "status").stdout.splitlines() if x.split()[:1] == [p.caches["a"][0].address]]
        return len(line) == 1 and " away " in line[0] and "refused" in line[0].lower()
    wait_until(shown, 15, "the server to be shown as away, and why")


def test_a_binlog_of_whole_seconds_gives_no_time_of_the_first_hop(pipeline):
    p = pipeline(clusters=["a"], servers=1)
    p.db.sql("CREATE TABLE demo.t (id INT); INSERT INTO demo.t VALUES (1) /*inv='k:1'*/")
    p.wait_deleted(["k:1"])
    said = wait_until(lambda: (lambda t: "server " in t and t)(ctl(p, "trace", "k:1").stdout), 10, "the delete to be told")
    assert "commit to squeal unknown (the binlog has whole seconds), squeal to log " in said, said
    assert re.search(r"committed [-0-9]+ \d\d:\d\d:\d\d UTC on main", said), said


def test_trace_tells_the_story_of_a_key(pipeline):
    p = pipeline(clusters=["a"], servers=2)
    p.db.sql("CREATE TABLE demo.users (id INT PRIMARY KEY, name TEXT)")
    p.db.sql("INSERT INTO demo.users VALUES (1, 'a') /*inv='k:user:1'*/")
    p.wait_deleted(["k:user:1"])

    def told():
        done = ctl(p, "trace", "k:user:1")
        assert done.returncode == 0, done.stderr
        return done.stdout if "acknowledged" in done.stdout else None
    text = wait_until(told, 10, "the delete to be told")
    assert "insert demo.users" in text
    assert "log offset" in text and "pool default" in text
    assert any(cache.address in text for cache in p.caches["a"])
    assert "squeal to log" in text and " us" in text
    code, said = ctl_json(p, "trace", "k:user:1")
    deletes = said["places"][0]["answer"]["deletes"]
    assert code == 0 and len(deletes) == 1
    one = deletes[0]
    assert one["state"] == "acknowledged" and one["source"] == "main"
    # squeal may learn of its own record later than the router.
    wait_until(lambda: p.squeal.status()["log"]["checkpoint"] == "gtid:" + one["gtid"], 10, "squeal's checkpoint to be it")
    at = one["at_us"]
    assert at["seen"] <= at["logged"] + 1000 and at["logged"] <= at["sent"] <= at["acknowledged"]
    assert one["hops_us"]["sent_to_acknowledged"] == at["acknowledged"] - at["sent"]
    assert "no delete of it since" in ctl(p, "trace", "k:user:2").stdout


def test_top_shows_the_hottest_key_and_the_share_of_wasted_deletes(pipeline):
    p = pipeline(clusters=["a"], servers=1, config={"router": {"sample_hits": 1}})
    p.db.sql("CREATE TABLE demo.t (id INT)")
    for i in range(60):
        p.db.sql("INSERT INTO demo.t VALUES (%d) /*inv='k:hot,k:%d'*/" % (i, i))
    p.wait_deleted(["k:hot"] + ["k:%d" % i for i in range(60)])
    cache = p.caches["a"][0]
    cache.set("k:there", "x")
    p.db.sql("INSERT INTO demo.t VALUES (1) /*inv='k:there'*/")
    p.wait_deleted(["k:there"])

    def answer():
        code, said = ctl_json(p, "top")
        assert code == 0
        top = said["places"][0]["answer"]
        # k:hot is sent once where several of it wait.
        coalesced = p.routers["a"].metrics().total("squeal_router_deletes_coalesced_total")
        return top if top["sampled"] + coalesced >= 121 else None
    top = wait_until(answer, 10, "121 deletes to be counted")
    assert top["deletes"] == top["sampled"] >= 62
    assert 0.9 < top["wasted_share"] < 1
    assert top["wasted"][0]["key"] == "k:hot"
    text = ctl(p, "top").stdout
    assert "deletes acknowledged" in text and "k:hot" in text


def test_a_paused_server_gets_nothing_and_everything_after_resume(pipeline):
    p = pipeline(clusters=["a", "b"], servers=1)
    server = p.caches["a"][0]
    done = ctl(p, "--cluster", "a", "pause", server.address)
    assert done.returncode == 0 and "paused" in done.stdout, done.stdout + done.stderr
    keys = ["k:%d" % i for i in range(50)]
    insert(p, keys)
    p.wait_deleted(keys, clusters=["b"])
    assert not p.deleted("a") & set(keys)
    assert "paused" in ctl(p, "--cluster", "a", "status").stdout
    assert ctl(p, "--cluster", "a", "resume", server.address).returncode == 0
    p.wait_deleted(keys, clusters=["a"])
    done = ctl(p, "--cluster", "a", "pause", "nobody:1")
    assert done.returncode == 1 and "there is no server" in done.stderr


def test_drain_returns_when_nothing_is_in_flight(pipeline):
    p = pipeline(clusters=["a"], servers=2)
    insert(p, ["k:%d" % i for i in range(500)])
    done = ctl(p, "drain")
    assert done.returncode == 0 and "nothing is in flight" in done.stdout, done.stdout + done.stderr
    assert all(s["paused"] and s["in_flight"] == 0 for s in router_status(p)["servers"])
    assert ctl(p, "resume").returncode == 0
    p.wait_deleted(["k:%d" % i for i in range(500)])


def test_mode_is_switched_at_run_time_and_shown(pipeline):
    from harness.memcached import SquealCache
    p = pipeline(clusters=["a"], servers=1, cache=SquealCache, config={"clusters": {"cold_holdoff": "1m"}})
    assert router_status(p)["mode"] == "warm"
    assert ctl(p, "mode", "cold").returncode == 0
    assert router_status(p)["mode"] == "cold"
    insert(p, ["k:held"])
    p.wait_deleted(["k:held"])
    # For cold_holdoff nobody may fill it again: the paper's cold cluster warm-up.
    assert not add(p.caches["a"][0], "k:held")
    assert ctl(p, "mode", "warm").returncode == 0
    insert(p, ["k:free"])
    p.wait_deleted(["k:free"])
    assert add(p.caches["a"][0], "k:free")
    done = ctl(p, "mode", "hot")
    assert done.returncode == 2 and "warm or cold" in done.stderr


def restart(p, kill=True):
    """The router of cluster a, killed unless told to stop in order."""
    router = p.routers["a"]
    router.kill() if kill else router.stop()
    router.start()
    wait_until(lambda: all(s["state"] == "up" for s in router_status(p)["servers"]), 20, "the router to be back")
    return router


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_a_pause_outlives_the_router(pipeline, kill):
    p = pipeline(clusters=["a"], servers=2)
    server, other = (c.address for c in p.caches["a"])
    assert ctl(p, "pause", server).returncode == 0
    restart(p, kill)
    keys = ["k:%d" % i for i in range(200)]
    insert(p, keys)

    def states():
        return {s["server"]: s for s in router_status(p)["servers"]}
    wait_until(lambda: states()[other]["deletes_acked"] > 0 and states()[other]["behind_records"] == 0, 20,
               "the server that is not paused")
    assert states()[server]["paused"] and states()[server]["deletes_acked"] == 0
    assert not states()[other]["paused"]
    assert router_status(p)["memory"]["paused"] == [server]
    assert ctl(p, "resume", server).returncode == 0
    p.wait_deleted(keys)
    restart(p)
    assert not states()[server]["paused"]
    # All of them, but for one.
    assert ctl(p, "pause").returncode == 0
    assert ctl(p, "resume", other).returncode == 0
    restart(p)
    assert states()[server]["paused"] and not states()[other]["paused"]


def test_a_mode_outlives_the_router_until_squeal_yaml_says_another(pipeline):
    p = pipeline(clusters=["a"], servers=1)
    assert ctl(p, "mode", "cold").returncode == 0
    router = restart(p)
    assert router_status(p)["mode"] == "cold"
    for mode in ("cold", "warm"):
        p.routers["a"].kill()
        config = p.config("a")
        config["clusters"][0]["mode"] = mode
        write_config(p.cluster_config_path("a"), config)
        router.start()
        wait_until(lambda: router_status(p)["mode"] == mode, 10, "the mode of squeal.yaml")


def test_a_pause_that_is_lost_is_said_loudly(pipeline):
    p = pipeline(clusters=["a"], servers=1)
    assert ctl(p, "pause").returncode == 0
    path = router_status(p)["memory"]["file"]
    p.routers["a"].kill()
    with open(path, "r+b") as f:
        f.seek(20)
        f.write(b"?")
    restart(p)
    assert not router_status(p)["servers"][0]["paused"]
    done = ctl(p, "status")
    assert "is damaged" in done.stdout and "pause again" in done.stdout, done.stdout
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    # Whoever says something has seen it.
    assert ctl(p, "resume").returncode == 0
    assert "is damaged" not in ctl(p, "status").stdout
    restart(p)
    assert "is damaged" not in ctl(p, "status").stdout


def test_a_pause_that_cannot_be_written_holds_and_says_that_it_will_not_stay(pipeline):
    p = pipeline(clusters=["a"], servers=1)
    path = router_status(p)["memory"]["file"]
    os.mkdir(path + ".new")  # where it is written first
    done = ctl(p, "pause")
    assert done.returncode == 1 and "a restart of the router forgets it" in done.stderr, done.stdout + done.stderr
    assert router_status(p)["servers"][0]["paused"]
    assert "cannot be written" in ctl(p, "status").stdout
    os.rmdir(path + ".new")
    wait_until(lambda: router_status(p)["memory"]["trouble"] == "", 10, "the next try")
    restart(p)
    assert router_status(p)["servers"][0]["paused"]


def test_explain_is_the_routers_own_word(pipeline):
    p = pipeline(clusters=["a"], servers=3)
    told = ctl(p, "explain", "k:1").stdout
    said = run_program("squeal-router", "-c", p.config_path, "--cluster", "a", "--explain", "k:1").stdout
    assert told == said and any(c.address in told for c in p.caches["a"])


def test_actions_are_taken_from_this_machine_with_the_header_only(pipeline):
    p = pipeline(clusters=["a"], servers=1)
    with socket.create_connection(("127.0.0.1", p.admin_ports["a"])) as s:
        s.sendall(b"POST /pause HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 403 ")
    assert not any(x["paused"] for x in router_status(p)["servers"])


@pytest.mark.parametrize("args, says", [
    ([], "a command is needed"),
    (["stauts"], "did you mean status?"),
    (["trace"], "squealctl trace KEY"),
    (["status", "now"], "squealctl status"),
    (["--nonsense"], "there is no option --nonsense"),
    (["--jsn", "status"], "did you mean --json?"),
    (["-c"], "-c needs a value"),
    (["-n", "0", "top"], "-n takes"),
])
def test_wrong_usage_says_what_is_right(args, says):
    done = run_program("squealctl", *args)
    assert done.returncode == 2 and says in done.stderr


def test_without_a_configuration_it_says_which_file_it_wanted(tmp_path):
    done = run_program("squealctl", "-c", str(tmp_path / "none.yaml"), "status")
    assert done.returncode == 78 and "none.yaml" in done.stderr
    done = run_program("squealctl", "--admin", "127.0.0.1:1", "status")
    assert done.returncode == 1 and "refused" in done.stdout
