"""The examples of docs/cache.md and schemas/cache-protocol.md are played to a squeal-cache as they stand: `>` is sent, `<` has to be answered.

Tokens and the numbers of CAS are the server's: what the page has is taken for a name, and what the server said in its place is sent where the
page sends it.  `… later` lets what follows be asked again until the answer is the page's.
"""

import os
import re
import subprocess
import time

import pytest
from harness import Cache, cache_is_ours, free_port
from harness.pipeline import program
from harness.process import ROOT

pytestmark = pytest.mark.skipif(not cache_is_ours(), reason="memcached does not speak this")
PAGES = ["docs/cache.md", "schemas/cache-protocol.md"]


def examples(page):
    """{heading: [line]} of all lines of conversations."""
    with open(os.path.join(ROOT, page)) as f:
        text = f.read()
    found = {}
    for part in re.split(r"^(?=##)", text, flags=re.M):
        for block in re.findall(r"^```\n(.*?)^```", part, re.M | re.S):
            if re.search(r"^> ", block, re.M):
                found.setdefault(part.splitlines()[0].strip("# "), []).extend(block.splitlines())
    return found


def steps(lines):
    """[(later, [sent], [answered])]"""
    out, later = [], False
    for line in lines:
        mark, text = line[:1], re.split(r"\s{2,}", line[2:])[0]
        if mark == ">":
            if not out or out[-1][2] or later:
                out.append((later, [], []))
                later = False
            out[-1][1].append(text)
        elif mark == "<":
            out[-1][2].append(text)
        else:
            assert "later" in line, "neither sent nor answered: %s" % line
            later = True
    return out


class Names:
    """What the page's tokens and CAS are here."""

    def __init__(self):
        self.here = {}

    def sent(self, text):
        return re.sub(r"(?<=C)\d+$|\b\d{15,}\b", lambda m: self.here.get(m.group(0), m.group(0)), text)

    def fits(self, expected, got):
        words, ours = expected.split(" "), got.split(" ")
        for word, our in zip(words, ours):
            name = re.fullmatch(r"(c?)(\d+)", word)
            if name and (name.group(1) or len(word) >= 15):
                value = re.fullmatch(r"%s(\d+)" % name.group(1), our)
                if not value or self.here.setdefault(name.group(2), value.group(1)) != value.group(1):
                    return False
            elif sorted(word.split(",")) != sorted(our.split(",")):  # tokens of a marker come in no order
                return False
        return len(words) == len(ours)


def play(client, lines):
    names = Names()
    for later, sent, answered in steps(lines):
        end = time.monotonic() + (10 if later else 0)
        while True:
            client.send("".join(names.sent(text) + "\r\n" for text in sent).encode())
            got = [client.line().decode() for _ in answered]
            if all(names.fits(*pair) for pair in zip(answered, got)):
                break
            assert time.monotonic() < end, "%s was answered by %s and not by %s" % (sent, got, answered)
            time.sleep(0.05)
    # Nothing was left over.
    assert client.command(b"mn") == b"MN"


def test_the_pages_have_examples_of_everything():
    for page in PAGES:
        said = "\n".join(line for lines in examples(page).values() for line in lines)
        for word in ["> lease-get", "> lease-set", " W\n", " Z X", "> delete user:42 2", "> md user:42 Amain:", "|#|"]:
            assert word in said, "%s has no %s" % (page, word)


@pytest.mark.parametrize("page,heading", [(page, heading) for page in PAGES for heading in examples(page)])
def test_an_example_is_as_the_server_answers(page, heading, rundir):
    lines = examples(page)[heading]
    markers = free_port()
    options = ["--lease-seconds", "2", "--container", "name=markers,policy=marker,port=%d" % markers]
    if "tale" in heading:
        options += ["--stale-ttl", "60"]
    cache = Cache(rundir, options=options).start()
    try:
        if any(" r:user" in line for line in lines):
            cache.port = markers
        with cache.client() as client:
            play(client, lines)
    finally:
        cache.stop()


def settings(*words):
    done = subprocess.run([program("squeal-cache-settings"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_file_of_containers_is_one_that_is_taken(rundir):
    with open(os.path.join(ROOT, "docs/cache.md")) as f:
        text = re.search(r"^```yaml\n(.*?)^```", f.read(), re.M | re.S).group(1)
    path = os.path.join(rundir, "cache.yaml")
    with open(path, "w") as f:
        f.write(text)
    code, said = settings("--config", path)
    assert code == 0, said
    assert [line.split(",")[0] for line in said.splitlines()] == ["default: evict", "sessions: store", "markers: marker"]


@pytest.mark.parametrize("words,code", [("-p abc", 64), ("-l 0.0.0.0", 64), ("-l 0.0.0.0 -Y file", 0), ("-l 10.0.0.1 -U 11211 --allow-wildcard", 0),
                                        ("-l 10.0.0.1 -U 11211 -Z -o ssl_chain_cert=x", 64), ("-S", 64), ("-o proxy_config=x", 64), ("-m 1g", 0),
                                        ("-f 2 -o hashpower=20,ext_path=x", 0), ("some words", 0), ("-I 40m", 64),
                                        ("-Z -o ssl_chain_cert=x -l notls:127.0.0.1:11211,10.0.0.1:11213", 0)])
def test_flags_are_taken_or_refused_as_the_guide_says(words, code):
    got, said = settings(*words.split())
    assert got == code, said
    if "hashpower" in words or "words" in words:
        assert "notice" in said
    if words == "-m 1g":
        assert "memory %d " % (1 << 30) in said
