"""docs/features.md claims nothing that no test shows."""

import os
import re

from harness.process import ROOT

DOCS = os.path.join(ROOT, "docs")


def rows():
    with open(os.path.join(DOCS, "features.md")) as f:
        lines = [line for line in f if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


def test_every_feature_that_squeal_has_links_to_the_tests_that_prove_it():
    have = [row for row in rows() if row[1].startswith("**Y**")]
    assert len(have) >= 25
    for feature, _, proof, *_ in have:
        links = re.findall(r"\[[^\]]+\]\(([^)]+)\)((?: `\w+`)*)", proof)
        assert links, feature
        for path, names in links:
            with open(os.path.join(DOCS, path)) as f:
                text = f.read()
            for name in re.findall(r"`(\w+)`", names):
                assert re.search(r"^(def )?%s\(" % name, text, re.M), "%s: %s has no %s" % (feature, path, name)
