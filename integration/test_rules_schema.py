"""schemas/rules.schema.json agrees with squeal on the rule files of the unit tests.

The validator below knows the keywords that the schema uses and fails on any other, so that nothing is passed over.
"""

import glob
import json
import os
import re
import subprocess

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
FOLDERS = ["lib/conf/test/rules", "markers/test/rules"]

# Mistakes that a schema of this kind cannot see: relations between values, and what texts mean.
BEYOND_A_SCHEMA = {
    "bad.holdoff_range", "bad.key_newline", "bad.name_twice", "bad.table_control", "bad.table_empty",
    "bad.table_key_twice", "bad.when_changed_without_update",
}

with open(os.path.join(ROOT, "schemas/rules.schema.json")) as f:
    SCHEMA = json.load(f)


class Loader(yaml.BaseLoader):
    """Scalars stay text, as squeal reads them (`on` is no boolean), but nothing is nothing."""


Loader.yaml_implicit_resolvers = {}
Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(~|null|)$"), ["~", "n", ""])
Loader.add_constructor("tag:yaml.org,2002:null", lambda loader, node: None)

TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, str) and re.fullmatch("-?[0-9]+", v),
    "boolean": lambda v: v in ("true", "false", "yes", "no", "on", "off"),
    "null": lambda v: v is None,
}
NOTES = {"$schema", "title", "description", "default"}


def valid(schema, v):
    """Whether `v` is what `schema` asks for."""
    for keyword, want in schema.items():
        if keyword in NOTES:
            ok = True
        elif keyword == "type":
            ok = any(TYPES[t](v) for t in ([want] if isinstance(want, str) else want))
        elif keyword == "enum":
            ok = v in want
        elif keyword == "properties":
            ok = not isinstance(v, dict) or all(valid(want[k], v[k]) for k in v if k in want)
        elif keyword == "additionalProperties":
            assert want is False
            ok = not isinstance(v, dict) or set(v) <= set(schema["properties"])
        elif keyword == "required":
            ok = not isinstance(v, dict) or set(want) <= set(v)
        elif keyword == "items":
            ok = not isinstance(v, list) or all(valid(want, item) for item in v)
        elif keyword == "minItems":
            ok = not isinstance(v, list) or len(v) >= want
        elif keyword == "maxItems":
            ok = not isinstance(v, list) or len(v) <= want
        elif keyword == "uniqueItems":
            ok = not isinstance(v, list) or all(v.index(item) == i for i, item in enumerate(v))
        elif keyword == "minLength":
            ok = not isinstance(v, str) or len(v) >= want
        elif keyword == "pattern":
            ok = not isinstance(v, str) or re.search(want, v) is not None
        elif keyword == "minimum":
            ok = not TYPES["integer"](v) or int(v) >= want
        elif keyword == "oneOf":
            ok = sum(valid(one, v) for one in want) == 1
        else:
            pytest.fail("the schema uses %s, which this test does not know" % keyword)
        if not ok:
            return False
    return True


def accepted_by_schema(path):
    try:
        with open(path, "rb") as file:
            return valid(SCHEMA, yaml.load(file.read(), Loader))
    except yaml.YAMLError:
        return False


def accepted_by_squeal(path):
    done = subprocess.run([os.path.join(BUILD, "bin/squeal"), "check-config", "--rules", path], capture_output=True)
    assert done.returncode in (0, 78), done.stderr
    return done.returncode == 0


def files():
    return [path for folder in FOLDERS for path in sorted(glob.glob(os.path.join(ROOT, folder, "*.yaml")))]


@pytest.mark.parametrize("path", files(), ids=os.path.basename)
def test_schema_and_squeal_agree(path):
    name = os.path.basename(path)[: -len(".yaml")]
    squeal = accepted_by_squeal(path)
    assert squeal == name.startswith("good.")
    beyond = name in BEYOND_A_SCHEMA or (not squeal and "markers/test" in path)
    assert accepted_by_schema(path) == (squeal or beyond)


def test_there_are_files():
    assert len(files()) > 70
