"""The Dockerfile's instructions, one after the other, in folders that debootstrap filled: the image without an engine.

Only with `-m soak`: it fetches a Debian and builds everything.  Needs root.
"""

import glob
import os
import re
import shutil
import subprocess

import pytest

from harness import ROOT, Failure
from test_compose import check_compose

pytestmark = pytest.mark.soak

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Image:
    """Executes instructions in copies of `base`.  A stage is a folder; ENV, CMD and the like are kept in `said`."""

    def __init__(self, folder, base):
        self.folder = folder
        self.base = base
        self.log = os.path.join(folder, "docker.log")
        self.stages = {}
        self.stage = None
        self.args = {}
        self.said = {}
        self.workdir = "/"

    def instruction(self, word, rest):
        if word == "FROM":
            name = re.search(r"\s[Aa][Ss]\s+(\S+)$", rest).group(1)
            self.stage = self.stages[name] = os.path.join(self.folder, name)
            self.workdir, self.said = "/", {}
            subprocess.run(["cp", "-a", "--reflink=auto", self.base, self.stage], check=True)
        elif word == "ARG":
            name, _, value = rest.partition("=")
            self.args[name] = value
        elif word == "WORKDIR":
            self.workdir = rest
            os.makedirs(self.stage + rest, exist_ok=True)
        elif word == "COPY":
            self.copy(rest.split())
        elif word == "RUN":
            self.run(["/bin/sh", "-c", rest])
        else:
            self.said[word] = rest

    def copy(self, words):
        sources, to = words[:-1], os.path.join(self.stage, os.path.join(self.workdir, words[-1]).lstrip("/"))
        if sources[0].startswith("--from="):
            sources = glob.glob(self.stages[sources[0].split("=")[1]] + sources[1])
        else:
            sources = [os.path.join(ROOT, source) for source in sources]
        if not sources:
            raise Failure("COPY %s: there is nothing to copy" % " ".join(words))
        if words[-1].endswith("/"):
            os.makedirs(to, exist_ok=True)
        for source in sources:
            if os.path.isdir(source):
                self.copy_tree(to)
            else:
                shutil.copy2(source, to)

    def copy_tree(self, to):
        """COPY . .: all but what .dockerignore names."""
        with open(os.path.join(ROOT, ".dockerignore")) as f:
            rules = [line.strip() for line in f if line.strip() and not line.startswith("#")]
        exclude = ["--exclude=" + (rule[3:] if rule.startswith("**/") else "./" + rule) for rule in rules]
        tar = subprocess.Popen(["tar", "-c", "-C", ROOT] + exclude + ["."], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", to], stdin=tar.stdout, check=True)
        if tar.wait() != 0:
            raise Failure("tar ended with %d" % tar.returncode)

    def run(self, argv, user="0:0"):
        """In the stage, with /proc and /dev of a mount namespace of its own."""
        shutil.copy("/etc/resolv.conf", os.path.join(self.stage, "etc"))
        env = [PATH, "HOME=/root"] + ["%s=%s" % item for item in self.args.items()]
        env += ["%s=%s" % (name, os.environ[name]) for name in ("http_proxy", "https_proxy") if name in os.environ]
        prepare = 'mount --bind /dev "$0/dev" && mount -t proc proc "$0/proc" && cd "$0" && exec "$@"'
        done = subprocess.run(["unshare", "-m", "sh", "-c", prepare, self.stage, "chroot", "--userspec=" + user, self.stage,
                               "/usr/bin/env", "-i", "-C", self.workdir] + env + argv, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        with open(self.log, "a") as f:
            f.write("== %s\n%s" % (" ".join(argv), done.stdout))
        if done.returncode != 0:
            raise Failure("%s: status %d\n%s" % (" ".join(argv)[:200], done.returncode, done.stdout[-2000:]))
        return done.stdout


@pytest.fixture
def image(rundir):
    if os.geteuid() != 0:
        pytest.skip("debootstrap and chroot need root")
    base = os.path.join(rundir, "base")
    with open(os.path.join(rundir, "debootstrap.log"), "w") as log:
        # DEBIAN_MIRROR: instead of debootstrap's own.
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", base] + os.environ.get("DEBIAN_MIRROR", "").split(), stdout=log,
                       stderr=log, stdin=subprocess.DEVNULL, check=True)
    made = Image(rundir, base)
    yield made
    for stage in [base] + list(made.stages.values()):
        shutil.rmtree(stage, ignore_errors=True)


def test_the_image_has_every_program_and_runs_as_nobody_in_particular(image):
    check = check_compose.Check(ROOT).run()
    for _, word, rest in check.instructions():
        if word != "ARG" or image.stage:
            image.instruction(word, rest)
    programs = sorted(check.our_programs() - check_compose.PROGRAMS_OF_DEBIAN - {"readyz"})
    assert "squeal" in programs and "squeal-router" in programs and "squeal-cache" in programs
    with open(os.path.join(ROOT, "VERSION")) as f:
        version = f.read().strip()
    for program in programs:
        assert version in image.run([program, "--version"], user="10001:10001"), program
    # The compose file's configuration, where it will be, and the checks that the compose file asks for.
    os.makedirs(os.path.join(image.stage, "etc/squeal"), exist_ok=True)
    shutil.copy(os.path.join(ROOT, "packaging/compose/squeal.yaml"), os.path.join(image.stage, "etc/squeal"))
    assert "ok" in image.run(["squeal", "check-config", "-c", "/etc/squeal/squeal.yaml"], user="10001:10001")
    with pytest.raises(Failure, match="nothing listens"):
        image.run(["readyz", "127.0.0.1:9"], user="10001:10001")
    assert image.said["USER"] == "squeal"
    assert image.run(["id", "-u", "squeal"]).strip() == "10001"
    assert image.run(["id", "-u", "squeal-cache"]).strip() == "10002"
    for user, folder in (("10001", "squeal"), ("10002", "squeal-cache")):
        image.run(["touch", "/var/lib/%s/x" % folder], user="%s:%s" % (user, user))
    # What built it is not in it.
    assert not glob.glob(image.stage + "/usr/bin/gcc*") and not os.path.exists(image.stage + "/usr/include/event2")
    assert not os.listdir(image.stage + "/install")
