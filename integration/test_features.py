"""docs/features.md, the table of squeal-cache in README.md and docs/cache.md claim nothing that no test shows."""

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
        begin = text.index("\n%s\n" % heading)
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
    have = [row for row in rows("docs/features.md") if row[1].startswith("**Y**")]
    assert len(have) >= 25
    for feature, _, proof, *_ in have:
        assert links(proof, "docs"), feature


def test_every_row_of_squeal_cache_links_to_its_test_or_benchmark():
    table = rows("README.md", "### squeal-cache and its peers")
    assert len(table) >= 25
    for row in table:
        assert len(row) == 7 and all(row), "a cell is missing: %s" % row
        assert any("`" in names or "/bench/" in path or "/test" in path for path, names in links(row[2], "")), row[0]
        assert not any("@@" in cell for cell in row), "a figure is missing: " + row[0]


@pytest.mark.parametrize("page", ["README.md", "docs/cache.md", "docs/operations.md", "docs/architecture.md"])
def test_what_a_page_links_to_is_there(page):
    assert links(read(page), os.path.dirname(page))
