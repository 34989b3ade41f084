"""The router's connections to servers: TLS and passwords, as squeal.yaml sets them."""

import os

import pytest

from harness import Certificates, Failure, Memcached, Router, free_port, run_dir, wait_until
from harness.pipeline import run_program

CONFIG = """
region: test
log: {type: sqlite, path: %(dir)s/test.log, sync: normal}
source: {name: test}
clusters:
  - name: a
    admin: 127.0.0.1:%(admin)d
%(security)s
    servers: [{host: %(host)s, port: %(port)d, connect: "127.0.0.1:%(port)d"}]
"""


class Secured(Memcached):
    """A memcached that the plain client of the harness cannot ask whether it is ready."""

    def wait_ready(self, timeout=20):
        wait_until(lambda: "server listening" in self.process.log_text() or not self.process.running, timeout, "memcached")
        self.process.check_running()


@pytest.fixture
def start():
    """start(security, options, host) -> router: `security` are lines of the cluster, `options` of memcached."""
    running = []

    def start(dir, security, options, host="localhost"):
        dir = os.path.join(dir, "pair-%d" % len(running))
        os.makedirs(dir)
        cache = Secured(dir, options=["-v", "-v"] + options).start()
        running.append(cache)
        admin = free_port()
        config = os.path.join(dir, "squeal.yaml")
        with open(config, "w") as f:
            f.write(CONFIG % {"dir": dir, "admin": admin, "port": cache.port, "host": host,
                              "security": "\n".join("    " + line for line in security)})
        router = Router(dir, config, "a", admin).start(wait=False)
        running.append(router)
        return router
    yield start
    for one in running:
        one.kill()


def status(router):
    try:
        return router.status()["servers"][0]
    except (OSError, Failure):
        return {"state": "away", "last_error": ""}


def wait_up(router):
    wait_until(lambda: status(router)["state"] == "up", 20, "the server to be up; it is %s" % status(router))
    return status(router)


def wait_error(router, text):
    wait_until(lambda: text in status(router)["last_error"], 20, "the error %r" % text)
    assert status(router)["state"] != "up"


def tls_options(certs):
    return ["-Z", "-o", "ssl_chain_cert=%s,ssl_key=%s" % (certs.server_cert, certs.server_key)]


def test_a_server_is_verified(start):
    dir = run_dir("test_router_security")
    certs = Certificates(dir)
    s = wait_up(start(dir, ["tls: verify", "tls_ca: " + certs.ca], tls_options(certs)))
    assert s["tls"] == "verify"


def test_our_certificate_is_shown(start):
    dir = run_dir("test_router_security")
    certs = Certificates(dir)
    options = tls_options(certs)
    options[-1] += ",ssl_verify_mode=2,ssl_ca_cert=" + certs.ca
    wait_up(start(dir, ["tls: verify", "tls_ca: " + certs.ca, "tls_cert: " + certs.client_cert,
                        "tls_key: " + certs.client_key], options))


def test_a_foreign_authority_and_a_foreign_name_are_refused(start):
    dir = run_dir("test_router_security")
    certs = Certificates(dir)
    wait_error(start(dir, ["tls: verify", "tls_ca: " + certs.other_ca], tls_options(certs)), "its certificate is not good")
    wait_error(start(dir, ["tls: verify", "tls_ca: " + certs.ca], tls_options(certs), host="other.example"),
               "hostname mismatch")


def test_the_password_of_auth_file(start):
    dir = run_dir("test_router_security")
    auth, wrong = os.path.join(dir, "auth"), os.path.join(dir, "wrong")
    for path, text in ((auth, "router:sesame\n"), (wrong, "router:tahini\n")):
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o600)
    s = wait_up(start(dir, ["auth_file: " + auth], ["-Y", auth]))
    assert s["auth"] is True
    router = start(dir, ["auth_file: " + wrong], ["-Y", auth])
    wait_error(router, "refuses the user or the password of auth_file")
    assert "tahini" not in router.process.log_text() and "tahini" not in router.get("/status")[1]


def test_a_password_that_others_can_read_is_refused_at_the_start(start):
    dir = run_dir("test_router_security")
    auth, config = os.path.join(dir, "auth"), os.path.join(dir, "squeal.yaml")
    with open(auth, "w") as f:
        f.write("router:sesame\n")
    os.chmod(auth, 0o644)
    with open(config, "w") as f:
        f.write(CONFIG % {"dir": dir, "admin": free_port(), "port": 1, "host": "h", "security": "    auth_file: " + auth})
    done = run_program("squeal-router", "-c", config, "--cluster", "a")
    assert done.returncode != 0 and auth in done.stderr and "sesame" not in done.stderr
