"""squeal-cache as a process: how it starts, what it refuses, how it ends, and what of it outlives it."""

import json
import os
import signal
import socket
import ssl
import stat
import struct
import subprocess
import time
import urllib.request

import pytest
from harness import Cache, cache_argv, cache_is_ours, free_port, wait_until

pytestmark = pytest.mark.skipif(not cache_is_ours(), reason="these are about squeal-cache's own process")

ROOT = ["-u", "root"] if os.geteuid() == 0 else []


@pytest.fixture
def make(rundir):
    made = []

    def start(*options, wait=True, **kwargs):
        made.append(Cache(rundir, "cache-%d" % len(made), options=list(options), **kwargs).start(wait))
        return made[-1]
    yield start
    for c in made:
        if c.process.running:
            c.stop()


def run(*args, timeout=20, root=True):
    return subprocess.run(cache_argv() + (ROOT if root else []) + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)


def unix_client(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(path))
    return s


def ask(s, request, end=b"\r\n"):
    s.sendall(request)
    answer = b""
    while not answer.endswith(end):
        more = s.recv(1 << 16)
        if not more:
            break
        answer += more
    return answer


# --- the command line --------------------------------------------------------------------------------------


def test_help_and_version_leave_with_0():
    assert run("-h").returncode == 0 and "-p" in run("-h").stdout
    shown = run("-V")
    assert shown.returncode == 0 and "squeal-cache" in shown.stdout


def test_a_wrong_flag_is_named_and_leaves_with_64():
    for args, word in ((["--no-such-flag"], "no-such-flag"), (["-p", "70000"], "70000"), (["-o", "nonsense"], "nonsense")):
        done = run(*args)
        assert done.returncode == 64 and word in done.stderr, (args, done)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
def test_root_must_say_who_it_wants_to_be():
    done = run("-p", str(free_port()), root=False)
    assert done.returncode == 64 and done.stderr.startswith("must add '-u root' to start as root")
    done = run("-p", str(free_port()), "-u", "no-such-user-here", root=False)
    assert done.returncode == 67 and "can't find the user no-such-user-here to switch to" in done.stderr


def test_an_address_that_others_can_reach_is_refused_unless_allowed(make):
    done = run("-l", "0.0.0.0", "-p", str(free_port()))
    assert done.returncode == 64 and "allow-wildcard" in done.stderr
    make("-l", "*", "--allow-wildcard")


def test_a_port_that_is_taken_leaves_with_71(make):
    cache = make()
    done = run("-l", "127.0.0.1", "-p", str(cache.port))
    assert done.returncode == 71 and "Address already in use" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_it_becomes_the_user_that_it_is_told(make):
    cache = make("-u", "nobody")
    with open("/proc/%d/status" % cache.pid) as f:
        uids = [line.split()[1:] for line in f if line.startswith("Uid:")][0]
    assert "0" not in uids


def test_ports_are_written_to_the_file_of_memcacheds_tests(rundir, monkeypatch):
    path = os.path.join(str(rundir), "ports")
    monkeypatch.setenv("MEMCACHED_PORT_FILENAME", path)
    p = subprocess.Popen(cache_argv() + ROOT + ["-l", "127.0.0.1", "-p", "-1"])
    try:
        wait_until(lambda: os.path.exists(path), 20, "the file of ports")
        with open(path) as f:
            (kind, port), = [line.split(": ") for line in f.read().splitlines()]
        assert kind == "TCP INET"
        with socket.create_connection(("127.0.0.1", int(port)), 10) as s:
            assert ask(s, b"mn\r\n") == b"MN\r\n"
    finally:
        p.terminate()
        assert p.wait(20) == 0


def test_a_daemon_answers_when_its_starter_returns_and_removes_its_pid_file(rundir):
    pid_file, port = os.path.join(str(rundir), "cache.pid"), free_port()
    done = run("-d", "-P", pid_file, "-l", "127.0.0.1", "-p", str(port))
    assert done.returncode == 0, done
    with open(pid_file) as f:
        pid = int(f.read())
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            assert ask(s, b"version\r\n").startswith(b"VERSION")
        assert os.readlink("/proc/%d/cwd" % pid) == "/"
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(pid_file), 20, "the pid file to go")
    finally:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def test_a_daemon_that_cannot_start_says_so_to_its_starter(rundir):
    broken = os.path.join(str(rundir), "auth")
    with open(broken, "w") as f:
        f.write("no colon here\n")
    done = run("-d", "-l", "127.0.0.1", "-p", str(free_port()), "-Y", broken)
    assert done.returncode != 0 and broken in done.stderr and "colon" not in done.stderr.replace(broken, "")


# --- how it ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_end_it_with_0_while_clients_are_connected(make, how):
    cache = make()
    with cache.client() as c:
        c.set("k", b"v")
        cache.process.signal(how)
        assert cache.process.wait(20) == 0
        assert c.rest() == b""


@pytest.mark.parametrize("command", [b"shutdown", b"shutdown graceful"])
def test_the_command_shutdown_ends_it_where_it_is_allowed(make, command):
    cache = make("-A")
    with cache.client() as c:
        c.send(command + b"\r\n")
        assert cache.process.wait(20) == 0
    cache = make()
    with cache.client() as c:
        assert c.command(command) == b"SERVER_ERROR: shutdown not enabled"


# --- sockets -----------------------------------------------------------------------------------------------


def test_a_unix_socket_has_its_mask_and_goes_with_the_server(tmp_path):
    path = str(tmp_path / "c")
    p = subprocess.Popen(cache_argv() + ROOT + ["-s", path, "-a", "770"])
    try:
        wait_until(lambda: os.path.exists(path), 20, "the socket")
        s = unix_client(path)
        assert ask(s, b"set a 0 0 1\r\nx\r\nget a\r\n", b"END\r\n") == b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o770
        assert b":addr unix:" + path.encode() in ask(s, b"stats conns\r\n", b"END\r\n")
    finally:
        p.terminate()
        assert p.wait(20) == 0
    assert not os.path.exists(path)


def test_udp_answers_and_cuts_long_replies(make):
    port = free_port()
    cache = make("-U", str(port))
    with cache.client() as c:
        c.set("small", b"v")
        c.set("large", b"x" * 5000)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(10)
    u.connect(("127.0.0.1", port))

    def udp(data, request=7):
        u.send(struct.pack(">HHHH", request, 0, 1, 0) + data)
        parts, total = {}, 1
        while len(parts) < total:
            got = u.recv(2000)
            number, sequence, total, _ = struct.unpack(">HHHH", got[:8])
            assert number == request and len(got) <= 1400
            parts[sequence] = got[8:]
        return b"".join(parts[i] for i in range(total))
    assert udp(b"get small\r\n") == b"VALUE small 0 1\r\nv\r\nEND\r\n"
    assert udp(b"get large\r\n", 8) == b"VALUE large 0 5000\r\n" + b"x" * 5000 + b"\r\nEND\r\n"
    u.send(b"short")
    u.send(struct.pack(">HHHH", 1, 0, 2, 0) + b"get small\r\n")
    assert udp(b"set small 0 0 1\r\nw\r\n", 9) == b"STORED\r\n"
    assert udp(b"get small\r\n", 10) == b"VALUE small 0 1\r\nw\r\nEND\r\n"


def test_containers_are_apart_and_share_the_threads(make):
    port = free_port()
    cache = make("--container", "name=other,port=%d,memory=8MiB" % port)
    with cache.client() as a, socket.create_connection(("127.0.0.1", port), 10) as b:
        a.set("k", b"first")
        assert ask(b, b"get k\r\n", b"END\r\n") == b"END\r\n"
        assert ask(b, b"set k 0 0 6\r\nsecond\r\n") == b"STORED\r\n"
        assert a.get("k") == b"first"
        assert ask(b, b"flush_all\r\n") == b"OK\r\n"
        assert a.get("k") == b"first"
        assert a.stats()["threads"] == "2"


def test_without_maxconns_fast_a_connection_waits_for_its_turn(make):
    cache = make("-o", "no_maxconns_fast", conns=12)
    inside = [cache.client() for _ in range(12)]
    assert all(c.command(b"mn") == b"MN" for c in inside)
    with socket.create_connection(("127.0.0.1", cache.port), 10) as s:
        s.settimeout(0.5)
        s.sendall(b"mn\r\n")
        with pytest.raises(TimeoutError):
            s.recv(10)
        stats = inside[0].stats()
        assert int(stats["listen_disabled_num"]) >= 1 and stats["accepting_conns"] == "0"
        inside.pop().close()
        s.settimeout(10)
        assert s.recv(10) == b"MN\r\n"
    for c in inside:
        c.close()


def test_an_address_has_only_so_many_connections(make):
    cache = make("-o", "max_connections_per_ip=4")
    held = []

    def another():
        c = cache.client()
        try:
            if c.command(b"mn") == b"MN":
                held.append(c)
                return True
        except OSError:
            pass
        c.close()
        return False
    for _ in range(4):  # who looked whether the server is up may still count
        wait_until(another, 10, "a place")
    with socket.create_connection(("127.0.0.1", cache.port), 10) as s:
        assert s.recv(100) == b"ERROR Too many open connections\r\n"
    held.pop().close()
    wait_until(another, 10, "a place for another connection")
    for c in held:
        c.close()


def test_idle_connections_are_closed_and_counted(make):
    cache = make("-o", "idle_timeout=2")
    idle, busy = cache.client(), cache.client()
    wait_until(lambda: busy.command(b"mn") == b"MN" and busy.stats()["idle_kicks"] == "1", 15, "the idle one to be closed")
    assert idle.rest() == b""
    assert busy.stats()["idle_kicks"] == "1"


def test_turns_end_when_others_wait_and_every_reply_comes(make):
    cache = make("-R", "1", threads=1)
    with cache.client() as c:
        c.send(b"".join(b"set k%d 0 0 1\r\nx\r\n" % i for i in range(200)))
        assert all(c.line() == b"STORED" for _ in range(200))
        assert int(c.stats()["conn_yields"]) >= 199


def test_a_get_that_is_larger_than_all_buffers_arrives_slowly_and_whole(make):
    cache = make(memory=256, threads=1)
    with cache.client(timeout=60) as c:
        for i in range(50):
            c.set("k%d" % i, bytes([65 + i % 26]) * 500000)
        c.send(b"get " + b" ".join(b"k%d" % i for i in range(50)) + b"\r\n" + b"mn\r\n")
        time.sleep(0.3)  # the server's buffers are full by now; if not, the test is only easier
        with cache.client() as other:
            assert other.command(b"mn") == b"MN"
        for i in range(50):
            assert c.line() == b"VALUE k%d 0 500000" % i
            assert c.data(500000) == bytes([65 + i % 26]) * 500000
        assert c.line() == b"END" and c.line() == b"MN"


# --- passwords and TLS -------------------------------------------------------------------------------------


def test_passwords_are_asked_for_and_reloaded(make, rundir):
    path = os.path.join(str(rundir), "auth")
    with open(path, "w") as f:
        f.write("me:secret\n")
    cache = make("-Y", path, wait=False)

    def login(password):
        with cache.client() as c:
            return c.command(b"set auth 0 0 %d\r\nme %s" % (3 + len(password), password))
    wait_until(lambda: _listens(cache.port), 20, "the server")
    assert login(b"secret") == b"STORED"
    assert login(b"wrong").startswith(b"CLIENT_ERROR")
    with cache.client() as c:
        assert c.command(b"get a").startswith(b"CLIENT_ERROR")
    with open(path, "w") as f:
        f.write("me:fresh\n")
    cache.process.signal(signal.SIGHUP)
    wait_until(lambda: login(b"fresh") == b"STORED", 10, "the new password")
    assert login(b"secret").startswith(b"CLIENT_ERROR")
    with open(path, "w") as f:
        f.write("broken\n")
    cache.process.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert login(b"fresh") == b"STORED"


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def certificate(folder, name):
    key, crt = os.path.join(str(folder), name + ".key"), os.path.join(str(folder), name + ".crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=" + name, "-keyout", key, "-out", crt], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return key, crt


def tls_client(port, session=None, cert=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(cert[1], cert[0])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))


def test_tls_carries_everything_and_certificates_are_renewed(make, rundir):
    first, second = certificate(rundir, "first"), certificate(rundir, "second")
    key, crt = os.path.join(str(rundir), "key"), os.path.join(str(rundir), "crt")

    def install(pair):
        for source, to in zip(pair, (key, crt)):
            with open(source, "rb") as f, open(to, "wb") as t:
                t.write(f.read())
    install(first)
    plain = free_port()
    cache = make("-Z", "-o", "ssl_chain_cert=%s,ssl_key=%s" % (crt, key), "-l", "notls:127.0.0.1:%d" % plain, wait=False)
    wait_until(lambda: _listens(cache.port), 20, "the server")
    s = tls_client(cache.port)
    value = os.urandom(700000).replace(b"\n", b".")
    assert ask(s, b"set big 0 0 %d\r\n" % len(value) + value + b"\r\n") == b"STORED\r\n"
    assert ask(s, b"get big\r\n", b"END\r\n") == b"VALUE big 0 %d\r\n" % len(value) + value + b"\r\nEND\r\n"
    many = b"".join(b"mg big t\r\n" for _ in range(5000))
    assert ask(s, many + b"mn\r\n", b"MN\r\n") == b"HD t-1\r\n" * 5000 + b"MN\r\n"
    assert ask(s, b"set some 0 0 4000\r\n" + value[:4000] + b"\r\n") == b"STORED\r\n"
    # More than is sent in one go: the session pauses, and no request comes that would wake it.
    some = b"VALUE some 0 4000\r\n" + value[:4000] + b"\r\nEND\r\n"
    assert ask(s, b"get some\r\n" * 1000 + b"mn\r\n", b"MN\r\n") == some * 1000 + b"MN\r\n"
    old = s.getpeercert(True)
    install(second)
    assert ask(s, b"refresh_certs\r\n") == b"OK\r\n"
    with tls_client(cache.port) as fresh:
        assert fresh.getpeercert(True) != old
        assert ask(fresh, b"mn\r\n") == b"MN\r\n"
    os.truncate(crt, 10)
    assert b"Error" in ask(s, b"refresh_certs\r\n")
    install(first)
    cache.process.signal(signal.SIGHUP)

    def renewed():
        with tls_client(cache.port) as c:
            return c.getpeercert(True) == old
    wait_until(renewed, 10, "the first certificate")
    with socket.create_connection(("127.0.0.1", plain), 10) as p:
        assert ask(p, b"mn\r\n") == b"MN\r\n"
    with socket.create_connection(("127.0.0.1", cache.port), 10) as p:
        p.sendall(b"get a\r\nget b\r\nget c\r\n")
        try:
            assert b"END" not in p.recv(1000)
        except ConnectionResetError:
            pass


def test_tls_asks_for_certificates_where_it_is_told(make, rundir):
    server, client = certificate(rundir, "server"), certificate(rundir, "client")
    cache = make("-Z", "-o", "ssl_chain_cert=%s,ssl_key=%s,ssl_verify_mode=2,ssl_ca_cert=%s" % (server[1], server[0], client[1]),
                 wait=False)
    wait_until(lambda: _listens(cache.port), 20, "the server")
    with tls_client(cache.port, cert=client) as s:
        assert ask(s, b"mn\r\n") == b"MN\r\n"
    with pytest.raises(OSError):
        s = tls_client(cache.port)
        assert ask(s, b"mn\r\n") != b"MN\r\n"
        s.recv(1)
        raise OSError("closed")


def test_a_certificate_that_cannot_be_read_is_named(rundir):
    done = run("-Z", "-o", "ssl_chain_cert=/no/such/file", "-l", "127.0.0.1", "-p", str(free_port()))
    assert done.returncode != 0 and "/no/such/file" in done.stderr


# --- what outlives it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["graceful", "killed"])
def test_a_memory_file_makes_the_next_start_warm(make, rundir, end):
    path = os.path.join(str(rundir), "memory")
    cache = make("-e", path)
    with cache.client() as c:
        for i in range(1000):
            c.set("k%d" % i, b"v%d" % i)
    if end == "graceful":
        assert cache.stop_gracefully() == 0
    else:
        cache.kill()
    cache = make("-e", path, "--serve-immediately")
    with cache.client() as c:
        assert sum(c.get("k%d" % i) == b"v%d" % i for i in range(1000)) == 1000


def test_what_was_there_before_is_not_served_until_the_router_has_caught_up(make, rundir):
    path = os.path.join(str(rundir), "memory")
    cache = make("-e", path)
    with cache.client() as c:
        c.set("k", b"v")
    assert cache.stop_gracefully() == 0
    cache = make("-e", path)
    with cache.client() as c:
        assert c.get("k") is None
        c.set("fresh", b"v")
        assert c.get("fresh") == b"v"
        c.command(b"caughtup")
        assert c.get("k") == b"v"


def test_two_servers_do_not_share_a_memory_file(make, rundir):
    path = os.path.join(str(rundir), "memory")
    make("-e", path)
    done = run("-e", path, "-l", "127.0.0.1", "-p", str(free_port()))
    assert done.returncode != 0 and path in done.stderr


# --- what it says ------------------------------------------------------------------------------------------


def test_the_admin_port_has_metrics_status_and_readiness(make):
    admin = free_port()
    cache = make("--admin", "127.0.0.1:%d" % admin)

    def page(path):
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (admin, path), timeout=10) as f:
            return f.read().decode()
    with cache.client() as c:
        c.set("k", b"v")
        assert c.get("k") == b"v"
        assert "squeal_" in page("/metrics") and "cmd_get" in page("/metrics")
        assert json.loads(page("/status"))["program"] == "squeal-cache"
        assert json.loads(page("/readyz"))["ready"] is True


def test_watchers_see_what_clients_do(make):
    cache = make()
    with cache.client() as w, cache.client() as c:
        assert w.command(b"watch fetchers mutations deletions") == b"OK"
        c.set("foo", b"v")
        c.get("foo")
        c.command(b"delete foo")
        seen = b""
        while b"type=deleted" not in seen and len(seen) < 100000:
            seen += w.file.readline()
        assert b"type=item_get key=foo" in seen and b"type=item_store key=foo" in seen


def test_watchers_see_evictions(make):
    cache = make(memory=8, threads=1)
    with cache.client() as w, cache.client() as c:
        assert w.command(b"watch evictions") == b"OK"
        for i in range(2000):
            c.set("k%d" % i, b"x" * 10000)
        assert b"type=eviction key=k" in w.file.readline()


def test_requests_and_replies_are_shown_where_asked_for(make):
    cache = make("-vv")
    with cache.client() as c:
        c.set("shown", b"v")
        wait_until(lambda: all(word in cache.process.log_text() for word in ("set shown 0 0 1", "STORED", "client connection")), 10,
                   "the request and its reply")


def test_hot_keys_are_found(make):
    cache = make("-o", "hot_sample=2,latency_sample=2")
    with cache.client() as c:
        for i in range(2000):
            c.get("cold%d" % i)
            c.get("hot")
        assert "hot" in " ".join(c.stats("hotkeys")) + " ".join(c.stats("hotkeys").values())
        assert int(c.stats("latency")["get_count"]) > 0


def test_details_of_prefixes_are_counted(make):
    cache = make()
    with cache.client() as c:
        assert c.command(b"stats detail on") == b"OK"
        c.set("user:1", b"v")
        c.get("user:1")
        c.get("user:2")
        c.send(b"stats detail dump\r\n")
        assert c.line() == b"PREFIX user get 2 hit 1 set 1 del 0"
