"""Wrong command lines of every program: exit code 2 (64 in squeal-cache, as memcached's), one line, what to do."""

import pytest

from harness.pipeline import run_program

PROGRAMS = ["squeal", "squeal-router", "squeal-cache", "squeal-replay", "squeal-audit", "squealctl"]
COMMANDS = ["run", "keys", "check-config", "doctor", "grant"]

WRONG = [
    (["squeal-router", "--confg", "x"], "did you mean --config?"),
    (["squeal-router", "-z"], "no option -z"),
    (["squeal-router", "--json=1", "--explain", "k"], "--json takes no value"),
    (["squeal-router", "-c"], "-c needs a value"),
    (["squeal-cache", "--confg", "x"], "did you mean --config?"),
    (["squeal-cache", "-c"], "-c needs a value"),
    (["squeal-replay", "--confg", "x"], "did you mean --config?"),
    (["squeal-replay", "-c"], "-c needs a value"),
    (["squeal-audit", "--sampel", "1"], "did you mean --sample?"),
    (["squeal-audit", "-c"], "-c needs a value"),
    (["squealctl", "--jsn"], "did you mean --json?"),
    (["squealctl", "stauts"], "did you mean status?"),
    (["squeal", "chek-config"], 'did you mean "check-config"?'),
    (["squeal", "run", "--standbye"], "did you mean --standby?"),
    (["squeal", "run", "-c"], "-c needs a value"),
    (["squeal", "check-config", "--sampel"], "did you mean --sample?"),
    (["squeal", "doctor", "--jsn"], "did you mean --json?"),
    (["squeal", "grant", "--flavour", "x"], "did you mean --flavor?"),
    (["squeal", "keys", "--row", "--tga", "x"], "did you mean --tag?"),
    (["squeal", "keys", "--start-position=4"], "write --start FILE:POS"),
]


@pytest.mark.parametrize("argv,says", WRONG, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_a_wrong_flag_is_one_line_that_says_what_is_right(argv, says):
    done = run_program(*argv)
    assert done.returncode == (64 if argv[0] == "squeal-cache" else 2) and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and says in done.stderr, done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_version_are_on_standard_output(program):
    done = run_program(program, "--help")
    assert (done.returncode, done.stderr) == (0, "") and program in done.stdout
    done = run_program(program, "--version")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(program + " ")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help_behind_a_command_is_help(command):
    done = run_program("squeal", command, "--help")
    assert (done.returncode, done.stderr) == (0, "") and "squeal %s " % command in done.stdout
