"""The private Debian unstable roots that integration/server-root makes: MySQL 9.7, and a MariaDB newer than Debian 12's.

Their programs run by the root's own loader and libraries: no chroot, no root.
"""

import functools
import glob
import os
import subprocess

from .process import ROOT, Failure


class NoServer(Failure):
    """The server's root is not here and only the machine's administrator could make it."""


@functools.lru_cache(maxsize=None)
def server_root(which):
    """The root of "mysql" or "mariadb"; made where it is missing, which takes half a minute once per machine."""
    done = subprocess.run([os.path.join(ROOT, "integration", "server-root"), which], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    if done.returncode == 3:
        raise NoServer(done.stdout.strip())
    if done.returncode != 0:
        raise Failure("integration/server-root %s failed:\n%s" % (which, done.stdout.strip()))
    return os.path.realpath(os.environ.get("SQUEAL_%s_ROOT" % which.upper()) or
                            os.path.join(ROOT, "build", which + "-root"))


def root_argv(which, program):
    """The start of a command line for one of the root's programs."""
    root = server_root(which)
    for folder in ("usr/sbin", "usr/bin"):
        path = os.path.join(root, folder, program)
        if os.path.exists(path):
            loader, = glob.glob(os.path.join(root, "usr/lib/*/ld-linux*.so.*"))
            return [loader, "--library-path", os.path.dirname(loader), path]
    raise Failure("%s has no program %s" % (root, program))
