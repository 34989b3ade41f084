"""The compose specification, as far as docker-compose.yml uses it: which keys there are, and what their values look like.

A rule is a function of a value that returns what is wrong with it, or None.  A key that is in the specification and not
here is an error too, until somebody uses it and adds it.  Source: https://github.com/compose-spec/compose-spec, spec.md.
"""

import re

import yaml

DURATION = re.compile(r"(\d+(\.\d+)?(us|ms|s|m|h))+")


class UniqueKeys(yaml.SafeLoader):
    """A key that stands twice is a mistake that YAML readers hide."""

    def construct_mapping(self, node, deep=False):
        keys = [k.value for k, _ in node.value if k.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, "the key %r stands twice" % key, node.start_mark)
        return super().construct_mapping(node, deep)


def is_text(v):
    return None if isinstance(v, str) else "must be a text, not %r" % (v,)


def is_bool(v):
    return None if isinstance(v, bool) else "must be true or false, not %r" % (v,)


def is_duration(v):
    return None if isinstance(v, str) and DURATION.fullmatch(v) else "must be a duration as in 1m30s, not %r" % (v,)


def is_number(v):
    return None if isinstance(v, int) and not isinstance(v, bool) else "must be a number, not %r" % (v,)


def is_any(v):
    return None


def texts(v):
    if not isinstance(v, list) or not all(isinstance(x, str) for x in v):
        return "must be a list of texts, not %r" % (v,)
    return None


def text_or_texts(v):
    return None if isinstance(v, str) else texts(v)


def one_of(*words):
    return lambda v: None if v in words else "must be one of %s, not %r" % (", ".join(words), v)


def scalars(v):
    """A mapping of names to texts and numbers: environment, labels, args."""
    if isinstance(v, list):
        return None if all(isinstance(x, str) and "=" in x for x in v) else "must be a list of NAME=VALUE"
    if not isinstance(v, dict):
        return "must be a mapping"
    for name, x in v.items():
        if isinstance(x, bool) or not isinstance(x, (str, int, float, type(None))):
            return "%s must be a text or a number, not %r" % (name, x)
    return None


def mapping(rules, required=()):
    def rule(v):
        if not isinstance(v, dict):
            return "must be a mapping, not %r" % (v,)
        for key, x in v.items():
            if isinstance(key, str) and key.startswith("x-"):
                continue
            if key not in rules:
                return "has the unknown key %r" % (key,)
            wrong = rules[key](x)
            if wrong:
                return "%s: %s" % (key, wrong)
        missing = [key for key in required if key not in v]
        return "lacks %s" % missing[0] if missing else None
    return rule


def either(*rules):
    def rule(v):
        wrong = [r(v) for r in rules]
        return None if None in wrong else wrong[-1]
    return rule


def list_of(rule):
    def every(v):
        if not isinstance(v, list):
            return "must be a list, not %r" % (v,)
        return next(filter(None, map(rule, v)), None)
    return every


def named(rule):
    def every(v):
        if not isinstance(v, dict):
            return "must be a mapping of names"
        for name, x in v.items():
            wrong = None if re.fullmatch(r"[a-zA-Z0-9._-]+", str(name)) else "is no name"
            wrong = wrong or rule(x)
            if wrong:
                return "%s: %s" % (name, wrong)
        return None
    return every


def restart_policy(v):
    ok = isinstance(v, str) and re.fullmatch(r"no|always|unless-stopped|on-failure(:\d+)?", v)
    return None if ok else "must be \"no\", always, on-failure or unless-stopped, not %r" % (v,)


GRANT = either(is_text, mapping({"source": is_text, "target": is_text, "uid": is_text, "gid": is_text, "mode": is_any}, ["source"]))
DEPENDS = mapping({"condition": one_of("service_started", "service_healthy", "service_completed_successfully"),
                   "restart": is_bool, "required": is_bool}, ["condition"])
SERVICE = {
    "build": either(is_text, mapping({"context": is_text, "dockerfile": is_text, "args": scalars, "target": is_text})),
    "cap_add": texts, "cap_drop": texts,
    "command": text_or_texts, "entrypoint": text_or_texts,
    "configs": list_of(GRANT), "secrets": list_of(GRANT),
    "depends_on": either(texts, named(DEPENDS)),
    "environment": scalars, "labels": scalars,
    "healthcheck": mapping({"test": text_or_texts, "interval": is_duration, "timeout": is_duration, "retries": is_number,
                            "start_period": is_duration, "start_interval": is_duration, "disable": is_bool}),
    "hostname": is_text, "image": is_text, "init": is_bool,
    "network_mode": is_text, "networks": texts,
    "ports": texts, "expose": texts,
    "read_only": is_bool, "restart": restart_policy, "security_opt": texts,
    "stop_grace_period": is_duration, "stop_signal": is_text, "tmpfs": text_or_texts,
    "ulimits": named(either(is_number, mapping({"soft": is_number, "hard": is_number}, ["soft", "hard"]))),
    "user": is_text, "volumes": texts, "working_dir": is_text,
}
NOTHING_OR = lambda rule: lambda v: None if v is None else rule(v)  # noqa: E731
FILE = mapping({"file": is_text}, ["file"])
COMPOSE = mapping({"name": is_text, "services": named(mapping(SERVICE)), "configs": named(FILE), "secrets": named(FILE),
                   "volumes": named(NOTHING_OR(mapping({"driver": is_text, "driver_opts": scalars, "labels": scalars}))),
                   "networks": named(NOTHING_OR(mapping({"driver": is_text, "internal": is_bool})))}, ["services"])
