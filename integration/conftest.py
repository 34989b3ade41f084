"""Fixtures: a folder per test, databases and pipelines that share nothing, and logs on failure.

A test with the argument `flavour` runs with MariaDB and with MySQL.  Where a private root (MySQL, newer MariaDB) is
not there and cannot be made without an administrator, or Kafka cannot be fetched, what needs it is skipped and says so;
any other failure is one.
"""

import glob
import os
import re
import shutil
import sys
import zlib

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import (Certificates, NoServer, Pipeline, kafka_dist, make_database, oracle_build, run_dir,  # noqa: E402
                     server_root, show_logs, stop_everything)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        item.failed_call = True


def _name(node):
    """A folder of its own for every test, also for those of two files that have one name, and for long parameters."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", node.path.stem + "." + node.name)
    return name if len(name) <= 80 else name[:71] + "-%08x" % zlib.crc32(name.encode())


@pytest.fixture
def rundir(request):
    """build/run/<test>; the ends of its logs are shown when the test fails."""
    path = run_dir(_name(request.node))
    yield path
    if getattr(request.node, "failed_call", False):
        show_logs(path)
    else:
        # Logs and traces stay; a database per test would fill the disk.
        for data in glob.glob(os.path.join(path, "*", "data")):
            shutil.rmtree(data, ignore_errors=True)


def need(flavour, kafka=None):
    """Skips where the flavour's private root, or Kafka where it is asked for, cannot be had."""
    if kafka is not None:
        try:
            kafka_dist()
        except NoServer as e:
            pytest.skip(str(e))
    which = {"mysql": "mysql", "mariadb-new": "mariadb"}.get(flavour)
    if which:
        try:
            server_root(which)
        except NoServer as e:
            pytest.skip(str(e))


@pytest.fixture(params=["mariadb", "mysql"])
def flavour(request):
    """The test runs once with each."""
    need(request.param)
    return request.param


@pytest.fixture(params=["libmariadb", "libmysqlclient"])
def library(request):
    """The test runs once with each client library of squeal."""
    if request.param == "libmysqlclient":
        need("mysql")
        oracle_build()
    return request.param


@pytest.fixture
def database(rundir):
    """Makes started servers: database("mysql", binlog_format="ROW").  They and their replicas end with the test."""
    made = []

    def make(flavour, start=True, **options):
        need(flavour)
        db = make_database(flavour, rundir, **options)
        made.append(db)
        return db.start() if start else db
    yield make
    for db in made:
        db.discard()


@pytest.fixture
def certificates(rundir):
    return Certificates(rundir)


@pytest.fixture
def pipeline(rundir):
    """Makes pipelines: pipeline(db="mysql", clusters=["a"], config={...}).  They are stopped at the end."""
    made = []

    def make(start=True, **kwargs):
        need(kwargs.get("db", "mariadb"), kwargs.get("kafka"))
        p = Pipeline(rundir, **kwargs)
        made.append(p)
        if start:
            p.start()
        else:
            p.start_servers()
        return p
    yield make
    for p in made:
        p.stop()


@pytest.fixture(autouse=True, scope="session")
def nothing_left_behind():
    yield
    stop_everything()
