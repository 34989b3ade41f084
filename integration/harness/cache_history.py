"""What concurrent clients asked of a cache and were told, and whether the promises allow it.

Each operation is an interval: it took effect somewhere between `invoked` and `returned`.  One whose connection broke
has returned = infinity and no result: it may have taken effect or not.  A check speaks of a violation only where no
choice of moments inside of the intervals makes the history right; so what it reports is one.

The checks return lists of sentences.  Source: design section 2 (I4, I5, I6) and schemas/cache-protocol.md.
"""

import bisect
import math
import threading
import time
from collections import defaultdict, namedtuple

# kind: what was done; arg, result: see each check.
Op = namedtuple("Op", "kind key invoked returned arg result")


class History:
    """Any thread may record."""

    def __init__(self):
        self.ops = []
        self.kills = []  # (just before the kill, when the process was gone)

    def record(self, kind, key, arg, call):
        """Runs call(); returns its result.  When the connection breaks, that is recorded and raised."""
        begin = time.monotonic()
        try:
            result = call()
        except OSError:
            self.ops.append(Op(kind, key, begin, math.inf, arg, None))
            raise
        self.ops.append(Op(kind, key, begin, time.monotonic(), arg, result))
        return result

    def by_key(self, *kinds):
        found = defaultdict(list)
        for op in self.ops:
            if op.kind in kinds:
                found[op.key].append(op)
        return found

    def count(self, kind, result=None):
        return sum(1 for op in self.ops if op.kind == kind and (result is None or op.result == result))


class _Latest:
    """max(version) of what was acknowledged before a moment."""

    def __init__(self, acknowledged):
        self.at, self.best = [], []
        for when, version in sorted(acknowledged):
            self.at.append(when)
            self.best.append(max(version, self.best[-1]) if self.best else version)

    def before(self, when):
        i = bisect.bisect_left(self.at, when)
        return self.best[i - 1] if i else -1


def check_fresh(history, lost=()):
    """No read returns, unflagged, a version older than one whose invalidation was acknowledged before the read began.

    delete: arg = the version that caused it; hit: result = the version that was read.
    `lost`: versions of transactions that a failover lost; they never were.
    """
    bad = []
    deletes = history.by_key("delete")
    for key, hits in history.by_key("hit").items():
        latest = _Latest([(d.returned, d.arg) for d in deletes[key] if d.result is not None and d.arg is not None and
                          d.arg not in lost])
        for hit in hits:
            if hit.result is None:
                continue
            needed = latest.before(hit.invoked)
            if hit.result < needed:
                bad.append("%s: version %d was served at %.6f, after the delete for version %d had been acknowledged"
                           % (key, hit.result, hit.invoked, needed))
    return bad


def check_leases(history, lease_seconds):
    """I4.  lease_get: result = token; lease_set: arg = token, result = what the server said.

    A token is given once; it fills once; not after a delete of the key or a restart; and while nothing happens to the key, one is
    given per lease_seconds.
    """
    bad = []
    gets, sets = history.by_key("lease_get"), history.by_key("lease_set")
    deletes, plain = history.by_key("delete"), history.by_key("set")
    for key in set(gets) | set(sets):
        given = {}
        for op in gets[key]:
            if op.result is None or op.result <= 1:
                continue
            if op.result in given:
                bad.append("%s: token %d was given twice" % (key, op.result))
            given[op.result] = op
        filled = set()
        for op in sets[key]:
            if op.result != b"STORED":
                continue
            if op.arg in filled:
                bad.append("%s: token %d filled twice" % (key, op.arg))
            filled.add(op.arg)
            got = given.get(op.arg)
            if not got:
                bad.append("%s: token %d, which was never given, filled" % (key, op.arg))
                continue
            for d in deletes[key]:
                if d.result is not None and d.invoked > got.returned and d.returned < op.invoked:
                    bad.append("%s: token %d filled at %.6f after a delete at %.6f" % (key, op.arg, op.invoked, d.returned))
                    break
            for begin, end in history.kills:
                if got.returned < begin and end < op.invoked:
                    bad.append("%s: token %d filled after a restart" % (key, op.arg))
        tokens = sorted(given.values(), key=lambda op: op.invoked)
        reasons = [(op.invoked, op.returned) for op in sets[key] + deletes[key] + plain[key]] + history.kills
        for one, two in zip(tokens, tokens[1:]):
            begin, end = min(one.invoked, two.invoked), max(one.returned, two.returned)
            if end - begin < lease_seconds and not any(a < end and b > begin for a, b in reasons):
                bad.append("%s: two tokens within %.3f s, and nothing had happened to the key" % (key, end - begin))
    return bad


def check_stale(history, stale_seconds, slack=2.0):
    """A stale value is a version that there was, and a delete of the key is not longer ago than it may be kept.

    stale: result = version.  After a restart values are stale until the router has caught up, so that is a reason too.
    """
    bad = []
    written = defaultdict(set)
    for op in history.ops:
        if op.kind == "delete" and op.arg is not None:
            written[op.key].add(op.arg)
    deletes = history.by_key("delete")
    for key, reads in history.by_key("stale").items():
        for op in reads:
            if op.result is None:
                continue
            if op.result != 0 and op.result not in written[key]:
                bad.append("%s: version %d, which never was, was handed out as stale" % (key, op.result))
            begin = op.invoked - stale_seconds - slack
            if not any(d.returned >= begin and d.invoked <= op.returned for d in deletes[key]) and \
               not any(a <= op.returned for a, _ in history.kills):
                bad.append("%s: a stale value at %.6f, and no delete for %.1f s" % (key, op.invoked, stale_seconds + slack))
    return bad


FILLS = ("add", "lease_set", "cas")


def check_holdoff(history, slack=0.05):
    """I5.  holdoff: arg = seconds, any result but None; set: a plain one, which ends it."""
    bad = []
    fills = history.by_key(*FILLS)
    sets = history.by_key("set")
    for key, holds in history.by_key("holdoff").items():
        stored = sorted((op for op in fills[key] if op.result == b"STORED"), key=lambda op: op.invoked)
        begins = [op.invoked for op in stored]
        for hold in holds:
            if hold.result is None:
                continue
            until = hold.invoked + hold.arg - slack
            for op in stored[bisect.bisect_right(begins, hold.returned):]:
                if op.invoked > until:
                    break
                if op.returned < until and not any(s.invoked < op.returned and s.returned > hold.invoked for s in sets[key]):
                    bad.append("%s: %s stored %.3f s after a hold-off of %g s" % (key, op.kind, op.invoked - hold.returned,
                                                                                  hold.arg))
    return bad


def check_markers(history, ttl_slack=3.5):
    """I6.  marker_set: arg = (token, ttl or None), result b"HD" when added; marker_clear: arg = token;
    marker_read: result = set of tokens.  Tokens are used once.

    A token lasts at least as long as its TTL says, over restarts too, and up to 3 s longer."""
    bad = []
    sets, clears = history.by_key("marker_set"), history.by_key("marker_clear")
    for key, reads in history.by_key("marker_read").items():
        cleared = {op.arg: op for op in clears[key]}
        for read in reads:
            if read.result is None:
                continue
            known = set()
            for op in sets[key]:
                token, ttl = op.arg
                if op.invoked < read.returned:
                    known.add(token)
                clear = cleared.get(token)
                there = token in read.result
                if not there and op.result == b"HD" and op.returned < read.invoked and \
                   (clear is None or clear.invoked > read.returned) and \
                   (ttl is None or read.returned < op.invoked + ttl):
                    bad.append("%s: token %s is gone, and nobody removed it" % (key, token))
                if there and clear is not None and clear.result is not None and clear.returned < read.invoked and \
                   clear.invoked > op.returned:
                    bad.append("%s: token %s is there after it was removed" % (key, token))
                if there and ttl is not None and read.invoked > op.returned + ttl + ttl_slack:
                    bad.append("%s: token %s is there long after its TTL" % (key, token))
                if there and op.result not in (None, b"HD"):
                    bad.append("%s: token %s is there, and had been refused" % (key, token))
            for token in read.result - known:
                bad.append("%s: token %s was never set" % (key, token))
    return bad


class PulsedDatabase:
    """A primary and its lagging replicas, as far as the pulse is concerned: one log of transactions and pulses.

    Versions are numbered over all keys and never used again.  Thread-safe.
    """

    def __init__(self, replicas=2):
        self.lock = threading.Lock()
        self.log = []  # ("t", key, version) or ("p", (term, count))
        self.written = defaultdict(list)  # key -> [(position, version)]
        self.pulses = []  # [(position, epoch)]
        self.position = {}  # epoch -> where it is in the log
        self.applied = [0] * replicas
        self.term, self.count, self.version = 1, 0, 0
        self.lost = set()

    def write(self, key):
        with self.lock:
            self.version += 1
            self.written[key].append((len(self.log), self.version))
            self.log.append(("t", key, self.version))
            return self.version

    def pulse(self):
        with self.lock:
            self.count += 1
            epoch = self.term, self.count
            self.position[epoch] = len(self.log)
            self.pulses.append((len(self.log), epoch))
            self.log.append(("p", epoch))

    def replicate(self, replica, entries):
        with self.lock:
            self.applied[replica] = min(len(self.log), self.applied[replica] + entries)

    @staticmethod
    def _last(rows, position, default):
        """The second of the last row whose position is before `position`."""
        i = bisect.bisect_left(rows, (position,))
        return rows[i - 1][1] if i else default

    def _visible(self, where):
        return len(self.log) if where < 0 else self.applied[where]

    def read_epoch(self, where):
        """where: a replica, or -1 for the primary.  None before the first pulse."""
        with self.lock:
            return self._last(self.pulses, self._visible(where), None)

    def read_value(self, where, key):
        with self.lock:
            return self._last(self.written[key], self._visible(where), 0)

    def entry(self, position):
        """(kind, ..., last epoch before it), or None at the end: what a router delivers."""
        with self.lock:
            if position >= len(self.log):
                return None
            return self.log[position] + (self._last(self.pulses, position, (self.term, 0)),)

    def fail_over(self, drop):
        """The last `drop` entries are lost, and what is before them up to a pulse; a new term begins.
        (last epoch that survived, new term, length of the log), or None when no pulse would be left."""
        with self.lock:
            keep = max(0, len(self.log) - drop)
            while keep > 0 and self.log[keep - 1][0] != "p":
                keep -= 1
            if keep == 0:
                return None
            self.lost.update(e[2] for e in self.log[keep:] if e[0] == "t")
            del self.log[keep:]
            self.pulses = [row for row in self.pulses if row[0] < keep]
            self.position = {epoch: position for position, epoch in self.pulses}
            for key, rows in self.written.items():
                self.written[key] = [row for row in rows if row[0] < keep]
            self.applied = [min(a, keep) for a in self.applied]
            survived = self.log[-1][1]
            self.term, self.count = self.term + 1, 0
            return survived, self.term, keep

    def as_of(self, epoch, key):
        """The version of a key when `epoch` became visible; None when that pulse was lost or never was."""
        with self.lock:
            position = self.position.get(epoch)
            return None if position is None else self._last(self.written[key], position, 0)


def check_bounds(history, database):
    """A value that is said to be current as of an epoch is.  bounded: arg = the epoch that was asked for or returned,
    result = version."""
    bad = []
    for op in history.ops:
        if op.kind != "bounded" or op.result is None:
            continue
        needed = database.as_of(op.arg, op.key)
        if needed is not None and op.result < needed:
            bad.append("%s: version %d is said to be current as of %d:%d, which had %d" % ((op.key, op.result) + op.arg + (needed,)))
    return bad
