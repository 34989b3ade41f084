"""Fixtures: a folder per test, pipelines that share nothing, and logs on failure."""

import os
import re
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import Pipeline, run_dir, show_logs, stop_everything  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        item.failed_call = True


def _name(node):
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", node.name)[:80]


@pytest.fixture
def rundir(request):
    """build/run/<test>; the ends of its logs are shown when the test fails."""
    path = run_dir(_name(request.node))
    yield path
    if getattr(request.node, "failed_call", False):
        show_logs(path)
    else:
        # Logs and traces stay; a database per test would fill the disk.
        shutil.rmtree(os.path.join(path, "mariadb", "data"), ignore_errors=True)


@pytest.fixture
def pipeline(rundir):
    """Makes pipelines: pipeline(clusters=["a"], config={...}).  They are stopped at the end."""
    made = []

    def make(start=True, **kwargs):
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
