"""memcached's own tests, t/*.t of its source, one by one; integration/memcached-suite.list says which, and why not the others."""

import os
import re
import shlex
import subprocess

import pytest
from harness import ROOT, NoServer, cache_argv, server_root

LIST = os.path.join(ROOT, "integration", "memcached-suite.list")


def rows():
    with open(LIST) as f:
        return [line.split(None, 2) for line in f if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def results(request):
    """Runs those that were selected, several at a time: {name: (how it ended, the line that says so)}."""
    try:
        server_root("memcached")
    except NoServer as e:
        pytest.skip(str(e))
    wanted = sorted({item.callspec.params["name"] for item in request.session.items
                     if item.path == request.path and "results" in item.fixturenames})
    done = subprocess.run([os.path.join(ROOT, "integration", "memcached-suite"), shlex.join(cache_argv())] + wanted,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = {m[2]: (m[1].lower(), m[0]) for m in re.finditer(r"^(passed|FAILED|skipped) +([\w-]+).*$", done.stdout, re.M)}
    assert set(found) >= set(wanted), done.stdout
    return found


@pytest.mark.parametrize("name", [row[1] for row in rows() if row[0] in ("pass", "part", "edit", "tls")])
def test_of_memcached_passes(name, results):
    how, line = results[name]
    if how == "skipped":
        pytest.skip(line)
    if how != "passed":
        with open(line[line.rindex("(") + 1:-1], errors="replace") as f:
            text = f.read()
        bad = [part for part in text.splitlines() if re.match(r"not ok|#|Failed|Can't|Dubious", part)]
        pytest.fail(line + "\n" + "\n".join(bad[:40]))


@pytest.mark.parametrize("name,reason", [row[1:] for row in rows() if row[0] == "skip"])
def test_of_memcached_does_not_apply(name, reason):
    pytest.skip("t/%s.t: %s" % (name, reason.strip()))


def test_the_list_names_every_test_of_memcached_once():
    """One that a newer memcached brings is not passed over in silence."""
    try:
        root = server_root("memcached")
    except NoServer as e:
        pytest.skip(str(e))
    source, = [os.path.join(root, "usr/src", f) for f in os.listdir(os.path.join(root, "usr/src")) if ".orig.tar." in f]
    listed = subprocess.run(["tar", "-tf", source], stdout=subprocess.PIPE, text=True, check=True).stdout
    names = re.findall(r"/t/([\w-]+)\.t$", listed, re.M)
    assert len(names) > 100
    assert sorted(names) == sorted(row[1] for row in rows())
