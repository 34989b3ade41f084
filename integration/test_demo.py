"""make demo, where it is started by hand and things are not as it expects.  That it ends well is looked at by make check."""

import os
import subprocess
import sys

from harness import ROOT


def demo(build, **env):
    return [sys.executable, os.path.join(ROOT, "integration", "demo", "demo.py")], dict(os.environ, BUILD=build, **env)


def test_a_second_demo_leaves_the_first_one_alone(rundir):
    argv, env = demo(rundir)
    run = os.path.join(rundir, "run", "demo")
    os.makedirs(run)
    open(os.path.join(run, "its file"), "w").close()
    with open(run + ".lock", "w") as lock:
        lock.write("4711\n")
        lock.flush()
        first = subprocess.Popen(["flock", run + ".lock", "cat"], stdin=subprocess.PIPE)
        subprocess.run(["sh", "-c", "while flock -n %s.lock true; do sleep 0.01; done" % run], check=True, timeout=10)
        second = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
        first.communicate()
    assert second.returncode == 1 and os.listdir(run) == ["its file"]
    assert second.stderr.startswith("demo: another demo runs in ") and "(process 4711); wait" in second.stderr
    assert len(second.stderr.splitlines()) == 1
