"""Two squeals on one log: one writes, the other waits for it to end."""

import json
import os
import shutil

import yaml

from harness import free_port, wait_until
from harness.pipeline import Squeal


def second(p):
    """Another squeal with the same log, and an admin port of its own."""
    with open(p.config_path) as f:
        config = yaml.safe_load(f)
    port = free_port()
    config["squeal"]["admin"] = "127.0.0.1:%d" % port
    dir = os.path.join(p.dir, "standby")
    shutil.rmtree(dir, ignore_errors=True)
    os.makedirs(dir)
    path = os.path.join(dir, "squeal.yaml")
    with open(path, "w") as f:
        yaml.safe_dump(config, f)
    return Squeal(dir, path, port, args=["--standby"])


def wait_standby(squeal):
    def cond():
        squeal.process.check_running()
        try:
            return json.loads(squeal.get("/status")[1])["standby"] is True
        except OSError:
            return False
    wait_until(cond, 10, "the standby to wait")


def insert(p, keys):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT);"
             + ";".join("INSERT INTO demo.t VALUES (1) /*inv='%s'*/" % key for key in keys))


def test_the_standby_takes_over_when_the_first_is_killed_and_nothing_is_lost(pipeline):
    p = pipeline(clusters=["a"])
    standby = second(p)
    standby.start(wait=False)
    try:
        wait_standby(standby)
        status, text = standby.get("/readyz")
        assert status == 503 and "standby" in text
        keys = ["k:%d" % i for i in range(200)]
        insert(p, keys[:100])
        p.squeal.process.kill()
        insert(p, keys[100:])
        p.wait_deleted(keys)
        standby.wait_ready()
        # And back: the first one is the standby now.
        p.squeal.process.argv.append("--standby")
        p.squeal.start(wait=False)
        wait_standby(p.squeal)
        assert standby.stop() == 0
        insert(p, ["k:back"])
        p.wait_deleted(["k:back"])
    finally:
        standby.stop()


def test_without_being_told_to_wait_a_second_squeal_leaves_and_says_who_is_there(pipeline):
    p = pipeline(clusters=["a"])
    other = second(p)
    other.process.argv.remove("--standby")
    other.start(wait=False)
    assert other.process.wait(10) == 1
    assert "in use by process %d" % p.squeal.process.pid in other.process.log_text()


def test_a_standby_ends_when_it_is_told_to(pipeline):
    p = pipeline(clusters=["a"])
    standby = second(p)
    standby.start(wait=False)
    wait_standby(standby)
    assert standby.stop() == 0
