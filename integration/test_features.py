"""docs/features.md, docs/production.md, the table of squeal-cache in README.md and docs/cache.md claim nothing that no test
shows, and name no setting, metric or alert that is not there."""

import os
import re

import pytest
from harness.process import ROOT


def read(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


def rows(path, heading=None):
    """The cells of the table under a heading (of the only one), without its two first lines."""
    text = read(path)
    if heading:
        begin = ("\n" + text).index("\n%s\n" % heading)
        text = text[begin:]
    table = re.search(r"(?:^\|.*\n)+", text, re.M).group(0)
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table.splitlines()[2:]]


def links(text, where):
    """[(path, names)] of the links to files; a name that stands behind one is a function of that file.  Each is looked up."""
    found = re.findall(r"\[[^\]]+\]\(((?!https?:)[^)#]+)[^)]*\)((?:[\s,(]+`\w+`)*)", text)
    for path, names in found:
        source = read(os.path.join(where, path))
        for name in re.findall(r"`(\w+)`", names) if path.endswith((".c", ".py")) else []:
            assert re.search(r"^(def )?%s\(" % name, source, re.M), "%s has no %s" % (path, name)
    return found


def test_every_feature_that_squeal_has_links_to_the_tests_that_prove_it():
    for heading, least in (("# Reading the binlog: who can do what", 25), ("# Delivering deletes: who can do what", 10)):
        have = [row for row in rows("docs/features.md", heading) if row[1].startswith("**Y**")]
        assert len(have) >= least
        for feature, _, proof, *_ in have:
            assert links(proof, "docs"), feature


def test_every_row_of_squeal_cache_links_to_its_test_or_benchmark():
    table = rows("README.md", "### squeal-cache and its peers")
    assert len(table) >= 25
    for row in table:
        assert len(row) == 7 and all(row), "a cell is missing: %s" % row
        assert any("`" in names or "/bench/" in path or "/test" in path for path, names in links(row[2], "")), row[0]
        assert not any("@@" in cell for cell in row), "a figure is missing: " + row[0]


def test_every_failure_has_a_test_that_shows_what_happens():
    table = rows("docs/production.md", "## Failure by failure")
    failures = [row for row in table if not re.fullmatch(r"\*\*.+\*\*", row[0])]
    assert len(failures) >= 40
    for row in failures:
        assert len(row) == 4 and all(row), "a cell is missing: %s" % row
        assert any("`" in names for _, names in links(row[3], "docs")), row[0]


def settings():
    """Every setting of docs/options.md, as pages name it: `log.path`, `clusters[].limits[]`."""
    out = set()
    for section, body in re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", read("docs/options.md"), re.M | re.S):
        names = re.findall(r"^\| `(\w+)` \|", body, re.M)
        out |= {section} | {name if section == "top level" else section + "." + name for name in names}
    return out


@pytest.mark.parametrize("page", ["docs/production.md", "docs/operations.md"])
def test_settings_and_metrics_that_a_page_names_exist(page):
    text, known, metrics = read(page), settings(), read("docs/metrics.md")
    sections = {name.split(".")[0].split("[")[0] for name in known if "." in name or "[" in name}
    named = [word for word in re.findall(r"`([a-z]+(?:\[\])?(?:\.[a-z_]+(?:\[\])?)+)`", text)
             if re.split(r"[.\[]", word)[0] in sections and not word.endswith((".yaml", ".service"))]
    assert len(named) >= 10
    members_of_status = {"source.gap", "source.reason"}
    assert set(named) - known - members_of_status == set()
    named = re.findall(r"`(squeal_\w+_(?:total|seconds|bytes|up|gap|behind|kept|active_total|start))`", text)
    assert named
    assert [name for name in named if "`%s`" % name not in metrics] == []


def test_every_alert_has_its_line_with_what_to_do():
    rules = re.findall(r"- alert: (\w+)\n.*\n(?:.*for:.*\n)?.*severity: (\w+)", read("packaging/monitoring/alerts.yml"))
    assert len(rules) >= 15
    said = {row[0].strip("`"): row[1] for row in rows("docs/production.md", "## Alerts")}
    assert said == dict(rules)


@pytest.mark.parametrize("page", ["README.md", "docs/cache.md", "docs/operations.md", "docs/architecture.md",
                                  "docs/production.md", "docs/features.md"])
def test_what_a_page_links_to_is_there(page):
    assert links(read(page), os.path.dirname(page))
