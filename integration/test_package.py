"""The Debian package: what is in it works out of it, and what it says about itself is so."""

import glob
import gzip
import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import urllib.request

import pytest
import yaml

from harness.process import ROOT, Process, free_port, run_dir, wait_until

BINARIES = ["squeal", "squeal-audit", "squeal-cache", "squeal-replay", "squeal-router", "squealctl"]
UNITS = ["squeal.service", "squeal-router@.service", "squeal-cache.service"]
PAGES = ["man1/squeal-cache.1", "man1/squealctl.1", "man3/squeal_embed.3", "man5/squeal.yaml.5", "man8/squeal-audit.8",
         "man8/squeal-replay.8", "man8/squeal-router.8", "man8/squeal.8"]


def run(*argv, env=None, **kwargs):
    """Its output, both streams; a failure when it leaves with anything but 0."""
    # A make that runs us has a job server that a make below does not reach, and warns of.
    ours = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          env={**ours, "LC_ALL": "C", **(env or {})}, **kwargs)
    assert done.returncode == 0, "%s left with %d:\n%s" % (" ".join(argv), done.returncode, done.stdout)
    return done.stdout


def version():
    with open(os.path.join(ROOT, "VERSION")) as f:
        return f.read().strip()


class Package:
    def __init__(self, path, dir):
        self.path = path
        self.dir = dir
        self.root = os.path.join(dir, "root")
        self.control = os.path.join(dir, "control")
        run("dpkg-deb", "-x", path, self.root)
        run("dpkg-deb", "-e", path, self.control)

    def file(self, *names):
        return os.path.join(self.root, *names)

    def field(self, name):
        return run("dpkg-deb", "-f", self.path, name).strip()

    def member(self, name):
        with open(os.path.join(self.control, name)) as f:
            return f.read()

    def list(self):
        """Path from the root: mode, owner, date and time."""
        out = {}
        for line in run("dpkg-deb", "-c", self.path, env={"TZ": "UTC"}).splitlines():
            mode, owner, _, day, time, path = line.split(None, 5)
            out[path.split(" -> ")[0][1:]] = (mode, owner, day + " " + time)
        return out

    @property
    def libdir(self):
        found = glob.glob(self.file("usr/lib/*/libsqueal.so.0"))
        assert len(found) == 1, found
        return os.path.dirname(found[0])


@pytest.fixture(scope="module")
def package():
    said = run("make", "-s", "deb", cwd=ROOT)
    name = "squeal_%s_%s.deb" % (version(), run("dpkg", "--print-architecture").strip())
    assert said.splitlines()[-1] == "build/" + name
    assert "warning" not in said, said
    return Package(os.path.join(ROOT, "build", name), run_dir("test_package"))


@pytest.fixture
def unit(package):
    """The settings of a unit of the package as lists: unit("squeal.service")["Service"]["ExecStart"]."""
    def read(name):
        sections, section = {}, None
        with open(package.file("usr/lib/systemd/system", name)) as f:
            for line in f.read().splitlines():
                if re.fullmatch(r"\[\w+\]", line):
                    section = sections.setdefault(line[1:-1], {})
                elif line and not line.startswith("#"):
                    key, equals, value = line.partition("=")
                    assert equals and re.fullmatch(r"[A-Z]\w+", key), "%s: %s" % (name, line)
                    section.setdefault(key, []).append(value)
        return sections
    return read


# --- what it says about itself ------------------------------------------------------------------------------

def test_the_control_file_is_complete(package):
    info = run("dpkg-deb", "--info", package.path)
    assert "@" not in re.sub(r"<[^>]*>", "", info), "a place of the template was not filled in:\n" + info
    assert package.field("Package") == "squeal"
    assert package.field("Version") == version()
    assert package.field("Architecture") == run("dpkg", "--print-architecture").strip()
    size = sum(os.lstat(os.path.join(top, name)).st_size for top, _, names in os.walk(package.root) for name in names)
    assert size <= int(package.field("Installed-Size")) * 1024 <= size + 1024 * len(package.list())


def test_the_description_names_every_program(package):
    described = package.field("Description")
    for name in BINARIES:
        assert re.search(r"(?<![\w-])%s(?![\w-])" % name, described), name


def test_the_contents_are_the_programs_the_library_and_nothing_of_the_tests(package):
    files = package.list()
    assert {os.path.basename(path) for path in files if path.startswith("/usr/bin/")} - {""} == set(BINARIES)
    assert {os.path.basename(path) for path in files if "/libsqueal." in path} == {"libsqueal.a", "libsqueal.so",
                                                                                "libsqueal.so.0"}
    for path in ["/usr/include/squeal.h", "/usr/share/doc/squeal/copyright", "/usr/share/doc/squeal/operations.md",
                 "/usr/share/doc/squeal/production.md", "/usr/share/doc/squeal/cache.md", "/etc/squeal/squeal.yaml", "/etc/squeal/cache.yaml"]:
        assert path in files
    for path, (mode, owner, _) in files.items():
        assert owner == "root/root", path
        program = path.startswith("/usr/bin/") or ".so." in path
        assert mode == ("drwxr-xr-x" if path.endswith("/") else "lrwxrwxrwx" if path.endswith(".so") else
                        "-rwxr-xr-x" if program else "-rw-r--r--"), path


def test_depends_has_the_package_of_every_library_that_is_linked(package):
    depends = {re.split(r"[ (]", one.strip())[0] for one in package.field("Depends").split(",")}
    paths = set()
    for path in [package.file("usr/bin", name) for name in BINARIES]:
        needed = re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", path))
        said = run("ldd", path)
        where = dict(re.findall(r"^\s*(\S+) => (\S+)", said, re.M))
        where.update((os.path.basename(loader), loader) for loader in re.findall(r"^\s*(/\S+) \(", said, re.M))
        assert needed
        paths |= {os.path.realpath(where[name]) for name in needed}
    # dpkg knows a file under /lib or under /usr/lib, whichever its package says.
    found = subprocess.run(["dpkg-query", "-S", *paths, *[re.sub("^/usr", "", path) for path in paths]],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    assert len(found) == len(paths), found
    linked = {line.split(":")[0] for line in found}
    assert "libsqlite3-0" in linked and "libc6" in linked
    assert linked - depends == set()
    assert depends - linked == {"systemd"}, "needed by no program"


def test_the_sums_are_those_of_all_files(package):
    sums = {name: sum for sum, name in (line.split("  ", 1) for line in package.member("md5sums").splitlines())}
    files = {path[1:] for path, (mode, _, _) in package.list().items() if mode[0] == "-"}
    assert set(sums) == {path for path in files if not path.startswith("etc/")}
    for name, sum in sums.items():
        with open(package.file(name), "rb") as f:
            assert hashlib.md5(f.read()).hexdigest() == sum, name


def test_every_conffile_exists_and_everything_in_etc_is_one(package):
    conffiles = package.member("conffiles").split()
    assert conffiles == [path for path in package.list() if path.startswith("/etc/") and not path.endswith("/")]
    for path in conffiles:
        assert os.path.isfile(package.root + path)


def test_the_changelog_and_the_copyright_are_those_of_the_project(package):
    with gzip.open(package.file("usr/share/doc/squeal/changelog.gz"), "rt") as packed:
        with open(os.path.join(ROOT, "CHANGELOG.md")) as f:
            assert packed.read() == f.read()
    with open(package.file("usr/share/doc/squeal/copyright")) as f:
        name = re.search(r"/usr/share/common-licenses/(Apache-2\.0)", f.read()).group(1)
    with open(os.path.join(ROOT, "LICENSE")) as f:
        assert re.search(r"Apache License\s+Version %s" % re.escape(name.split("-")[1]), f.read())


def test_the_same_programs_make_the_same_package_whoever_makes_it(package, rundir):
    again = run("bash", "-c", 'umask 077 && packaging/deb "$0"', rundir, cwd=ROOT, env={"TZ": "Asia/Tokyo"})
    with open(again.splitlines()[-1], "rb") as other, open(package.path, "rb") as first:
        assert other.read() == first.read()
    assert len({when for _, _, when in package.list().values()}) == 1
    assert os.listdir(rundir) == [os.path.basename(package.path)], "something was left behind"


# --- what is in it ------------------------------------------------------------------------------------------

def test_the_programs_run_from_the_package(package):
    for name in BINARIES:
        path = package.file("usr/bin", name)
        assert run(path, "--version").split() == [name, version()]
        assert ".debug_info" not in run("objdump", "-h", path)


def test_the_example_configuration_is_one_that_the_programs_take(package):
    path = package.file("etc/squeal/squeal.yaml")
    assert ": ok:" in run(package.file("usr/bin/squeal"), "check-config", "-c", path)


def test_the_unit_of_squeal_cache_serves_what_the_example_says(package, unit, rundir):
    """Its command line and its file as they are, but with ports that are free."""
    with open(package.file("etc/squeal/cache.yaml")) as f:
        text = f.read()
    ports = [free_port() for _ in yaml.safe_load(text)["containers"]]
    unused = iter(ports)
    config = os.path.join(rundir, "cache.yaml")
    with open(config, "w") as f:
        f.write(re.sub(r"^(    port: )\d+$", lambda m: m.group(1) + str(next(unused)), text, flags=re.M))
    admin = free_port()
    program, *words = unit("squeal-cache.service")["Service"]["ExecStart"][0].split()
    words = [{"/etc/squeal/cache.yaml": config, "127.0.0.1:9403": "127.0.0.1:%d" % admin}.get(w, w) for w in words if w[0] != "$"]
    user = ["-u", "root"] if os.geteuid() == 0 else []
    process = Process("squeal-cache", [package.root + program] + words + user, rundir).start()
    for port in ports:
        def answers():
            process.check_running()
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as s:
                    s.sendall(b"version\r\n")
                    return s.recv(100).startswith(b"VERSION 1.6.45 squeal-cache/")
            except OSError:
                return False
        wait_until(answers, 20, "port %d to answer" % port)
    with urllib.request.urlopen("http://127.0.0.1:%d/readyz" % admin, timeout=5) as reply:
        assert reply.status == 200
    assert process.stop() == 0


@pytest.mark.parametrize("how", ["shared", "static"])
def test_an_application_links_the_library_of_the_package(package, rundir, how):
    source, program = os.path.join(rundir, "app.c"), os.path.join(rundir, "app")
    with open(source, "w") as f:
        f.write('#include <squeal.h>\n#include <stdio.h>\n'
                'int main(void) {\n'
                '\tstruct squeal_bytes keys[] = {SQUEAL_BYTES("user:42")};\n'
                '\tstruct squeal_keys what = {.keys = keys, .nkeys = 1};\n'
                '\tchar *sql;\n\tsize_t len;\n'
                '\tif (squeal_embed("DELETE FROM t", 13, &what, NULL, &sql, &len) != SQUEAL_OK)\n\t\treturn 1;\n'
                '\tputs(sql);\n\tsqueal_free(sql);\n\treturn 0;\n}\n')
    library = ["-L" + package.libdir, "-lsqueal"] if how == "shared" else [os.path.join(package.libdir, "libsqueal.a")]
    run("gcc", "-Wall", "-Werror", "-I" + package.file("usr/include"), "-o", program, source, *library)
    assert ("libsqueal.so.0" in run("objdump", "-p", program)) == (how == "shared")
    said = run(program, env={"LD_LIBRARY_PATH": package.libdir})
    assert said.startswith("DELETE FROM t") and "user%3A42" in said


def test_the_shlibs_file_names_the_library(package):
    soname = re.search(r"SONAME\s+(\S+)", run("objdump", "-p", os.path.join(package.libdir, "libsqueal.so.0"))).group(1)
    library, number = soname.split(".so.")
    assert package.member("shlibs").split()[:3] == [library, number, "squeal"]
    assert package.member("triggers").split() == ["activate-noawait", "ldconfig"]


@pytest.mark.parametrize("page", PAGES)
def test_the_man_pages_are_packed_and_render_without_warnings(package, page):
    with gzip.open(package.file("usr/share/man", page + ".gz"), "rt") as f:
        text = f.read()
    assert re.search(r"^\.(TH|Dt) ", text, re.M)
    assert re.search(r"^\.(SH|Sh) \"?NAME", text, re.M)
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-mandoc", "-Tutf8", "-ww", "-K", "utf8"], input=text, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert "squeal" in done.stdout


def test_every_man_page_is_in_the_package(package):
    packed = sorted(path[len("/usr/share/man/"):-3] for path in package.list()
                    if path.startswith("/usr/share/man/") and not path.endswith("/"))
    assert packed == sorted(PAGES)
    assert sorted(os.path.basename(page) for page in PAGES) == sorted(os.listdir(os.path.join(ROOT, "docs/man")))


# --- the units ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_a_program_of_the_package_with_words_that_it_knows(package, unit, name):
    service = unit(name)["Service"]
    assert service["Type"] == ["notify"]
    program, *words = service["ExecStart"][0].split()
    assert os.access(package.root + program, os.X_OK)
    help = run(package.root + program, "--help")
    for word in words:
        if word.startswith("--") or word == "run":
            assert re.search(r"(?<![\w-])%s(?![\w-])" % word, help), word
        elif word.startswith("/"):
            assert os.path.exists(package.root + word), word


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_one_that_systemd_takes(package, rundir, name):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here; the other tests of the units read them")
    with open(package.file("usr/lib/systemd/system", name)) as f:
        text = f.read()
    with open(os.path.join(rundir, name), "w") as f:
        f.write(text.replace("/usr/bin/squeal", package.file("usr/bin/squeal")))
    said = run("systemd-analyze", "verify", "--man=no", os.path.join(rundir, name))
    # Of other units it may say what it likes.
    assert [line for line in said.splitlines() if name.split("@")[0].split(".")[0] in line] == []


def test_the_codes_that_prevent_a_restart_are_those_of_the_runbook(unit):
    with open(os.path.join(ROOT, "docs/operations.md")) as f:
        gaps = set(re.findall(r"^\| (2\d) \| `", f.read(), re.M))
    assert len(gaps) == 9
    squeal, router, cache = [unit(name)["Service"] for name in UNITS]
    assert set(squeal["RestartPreventExitStatus"][0].split()) == gaps | {"2", "78"}
    assert set(router["RestartPreventExitStatus"][0].split()) == {"2", "65", "78"}
    assert set(cache["RestartPreventExitStatus"][0].split()) == {"64", "67"}
    with open(os.path.join(ROOT, "docs/cache.md")) as f:
        codes = set(re.findall(r"· (\d+) ", re.search(r"^Exit codes:.*$", f.read(), re.M).group(0)))
    assert codes >= {"64", "67"}
    assert squeal["Restart"] == router["Restart"] == cache["Restart"] == ["always"]


def test_the_units_may_write_where_the_example_puts_the_log(package, unit):
    with open(package.file("etc/squeal/squeal.yaml")) as f:
        folder = os.path.dirname(yaml.safe_load(f)["log"]["path"])
    for name in UNITS:
        service = unit(name)["Service"]
        theirs = "/var/lib/squeal-cache" if name == "squeal-cache.service" else folder
        assert ["/var/lib/" + each for each in service["StateDirectory"]] == [theirs]
        assert service["ProtectSystem"] == ["strict"]


def test_a_stop_of_the_units_leaves_memory_files_in_dev_shm(unit):
    """RemoveIPC=yes removes whatever the account owns there when the last of its units stops."""
    cache = unit("squeal-cache.service")["Service"]
    assert "RemoveIPC" not in cache
    assert cache["User"] not in [unit(name)["Service"]["User"] for name in UNITS if name != "squeal-cache.service"]


def test_the_accounts_of_the_units_are_made_when_the_package_is_installed(package, unit, rundir):
    path = package.file("usr/lib/sysusers.d/squeal.conf")
    with open(path) as f:
        users = {line.split()[1] for line in f if line.startswith("u ")}
    assert os.path.basename(path) in package.member("postinst")
    for name in UNITS:
        assert unit(name)["Service"]["User"] == unit(name)["Service"]["Group"]
    assert {unit(name)["Service"]["User"][0] for name in UNITS} == users
    if shutil.which("systemd-sysusers"):
        root = os.path.join(rundir, "root")
        os.makedirs(os.path.join(root, "etc"))
        run("systemd-sysusers", "--root=" + root, path)
        with open(os.path.join(root, "etc/passwd")) as f:
            text = f.read()
        for user in users:
            assert re.search(r"^%s:.*:/var/lib/%s:/usr/sbin/nologin$" % (user, user), text, re.M)


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_a_script_of_the_package_runs_and_leaves_other_roots_alone(package, rundir, script):
    path = os.path.join(package.control, script)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o755
    states = [os.path.join(rundir, "var/lib", name) for name in ("squeal", "squeal-cache")]
    for args, stays in [(["abort-upgrade", "0"], True), (["remove"], True), (["purge"], script != "postrm")]:
        for state in states:
            os.makedirs(state, exist_ok=True)
        run("sh", "-eu", path, *args, env={"DPKG_ROOT": rundir})
        assert [os.path.isdir(state) for state in states] == [stays, stays], args


def test_the_scripts_of_the_package_know_every_unit(package):
    for script in ("postinst", "prerm"):
        for name in UNITS:
            assert name.replace("@", "@*") in package.member(script), "%s: %s" % (script, name)
