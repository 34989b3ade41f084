"""Turns schemas/markers-vectors.json into what the tests need.

    vectors.py table FILE          a C table on standard output
    vectors.py corpus FILE FOLDER  one file per short statement, for the fuzz targets
"""

import json
import pathlib
import sys

FIELDS = {"name", "mode", "tag", "sql_mode", "sql", "sql_hex", "sql_parts", "keys", "keys_hex", "keys_times",
          "markers", "markers_hex", "pool", "holdoff_ms", "errors", "notes"}
MODES = {"anchored": ["false"], "anywhere": ["true"], "both": ["false", "true"]}
SQL_MODES = {"NO_BACKSLASH_ESCAPES": "SQLLEX_NO_BACKSLASH_ESCAPES", "ANSI_QUOTES": "SQLLEX_ANSI_QUOTES"}


def parts(vector):
    if "sql" in vector:
        return [(vector["sql"].encode(), 1)]
    if "sql_hex" in vector:
        return [(bytes.fromhex(vector["sql_hex"]), 1)]
    return [(text.encode(), times) for text, times in vector["sql_parts"]]


def names(vector, field):
    if field + "_hex" in vector:
        return [bytes.fromhex(h) for h in vector[field + "_hex"]]
    return [k.encode() for k in vector.get(field, [])]


def c_span(data):
    """A constant struct span; octal escapes, so that no byte has a second meaning."""
    return '{"' + "".join("\\%03o" % b for b in data) + '", %d}' % len(data)


def c_spans(items):
    return "(struct span[]){%s}, %d" % (", ".join(c_span(i) for i in items) or '{"", 0}', len(items))


def table(vectors):
    print("/* Made from schemas/markers-vectors.json. */")
    print("static const struct vector vectors[] = {")
    for v in vectors:
        unknown = set(v) - FIELDS
        if unknown:
            sys.exit("%s: unknown fields %s: see schemas/markers.md" % (v["name"], sorted(unknown)))
        for anywhere in MODES[v["mode"]]:
            print("{.name = %s, .anywhere = %s," % (json.dumps(v["name"]), anywhere))
            print(" .sql_mode = %s," % (" | ".join(SQL_MODES[m] for m in v.get("sql_mode", [])) or "0"))
            print(" .tag = %s," % c_span(v.get("tag", "inv").encode()))
            print(" .parts = (struct part[]){%s}, .nparts = %d," % (
                ", ".join("{%s, %d}" % (c_span(p), n) for p, n in parts(v)), len(parts(v))))
            print(" .keys = {%s, %d}," % (c_spans(names(v, "keys")), v.get("keys_times", 1)))
            print(" .markers = {%s, 1}," % c_spans(names(v, "markers")))
            print(" .pool = %s, .holdoff_ms = %dU," % (c_span(v.get("pool", "").encode()),
                                                                v.get("holdoff_ms", 0)))
            labels = [l.encode() for l in sorted(v["errors"] + v.get("notes", []))]
            print(" .issues = {%s, 1}, .nlost = %d}," % (c_spans(labels), len(v["errors"])))
    print("};")


def corpus(vectors, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for i, v in enumerate(vectors):
        sql = b"".join(text * times for text, times in parts(v))
        if len(sql) <= 4096:
            (folder / ("vector-%03d" % i)).write_bytes(sql)


def main():
    vectors = json.loads(pathlib.Path(sys.argv[2]).read_text())
    if sys.argv[1] == "table":
        table(vectors)
    else:
        corpus(vectors, pathlib.Path(sys.argv[3]))


if __name__ == "__main__":
    main()
