"""Certificates for servers and clients on loopback, made by openssl."""

import os
import subprocess

from .database import find_program
from .process import Failure


def _openssl(dir, *args):
    done = subprocess.run([find_program("openssl")] + list(args), cwd=dir, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    if done.returncode != 0:
        raise Failure("openssl failed:\n" + done.stdout[-2000:])


class Certificates:
    """An authority, a server's certificate for 127.0.0.1 and localhost, and a client's.  Paths:

    ca, server_cert, server_key, client_cert, client_key
    other_ca    an authority that signed none of these
    """

    def __init__(self, dir, days=2, names="DNS:localhost,IP:127.0.0.1"):
        self.dir = os.path.join(dir, "tls")
        os.makedirs(self.dir, exist_ok=True)
        for name in ("ca", "other-ca"):
            self._make(name, "/CN=squeal test %s" % name, days,
                       ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign,cRLSign"])
        signed = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", "basicConstraints=CA:FALSE"]
        self._make("server", "/CN=localhost", days, signed + ["-addext", "subjectAltName=" + names])
        self._make("client", "/CN=squeal", days, signed)
        self.ca = self.path("ca.pem")
        self.other_ca = self.path("other-ca.pem")
        self.server_cert, self.server_key = self.path("server.pem"), self.path("server-key.pem")
        self.client_cert, self.client_key = self.path("client.pem"), self.path("client-key.pem")

    def path(self, name):
        return os.path.join(self.dir, name)

    def _make(self, name, subject, days, more):
        # No configuration of the machine's: its extensions would come on top of these.
        _openssl(self.dir, "req", "-config", os.devnull, "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-days", str(days), "-keyout",
                 name + "-key.pem", "-out", name + ".pem", *more)
