"""The command line's own manners; what the verbs do is tested where it is done."""

import errno
import os
import subprocess
import sys

import pytest

from facegan import cli
from facegan.config import UserError


def raising(error: BaseException):
    def verb(args):
        raise error

    return verb


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full (No space left on device). What is finished is kept: make room"),
        (errno.EROFS, "Read-only file system, so nothing can be written there."),
        (errno.EACCES, "Permission denied, so nothing can be written there."),
    ],
)
def test_a_disk_that_takes_no_more_is_one_sentence(monkeypatch, capsys, number, words):
    failure = raising(OSError(number, os.strerror(number), "runs/a/last.ckpt"))
    monkeypatch.setitem(cli._VERBS, "list", failure)
    assert cli.main(["list"]) == 2
    said = capsys.readouterr().err
    assert f"cannot use runs/a/last.ckpt: {words}" in said and "--resume" not in said
    assert ("make room" in said) == (number == errno.ENOSPC)
    monkeypatch.setitem(cli._VERBS, "train", failure)
    assert cli.main(["train", "eggan_demo"]) == 2 and "again with --resume" in capsys.readouterr().err


def test_a_small_copy_is_shown_even_where_its_split_cannot_be_made(tmp_path, capsys):
    assert (
        cli.main(["generate", "bu4dfe", "--root", str(tmp_path / "b"), "--people", "3", "--workers", "1"])
        == 0
    )
    argv = [
        "data",
        "bu4dfe",
        "--root",
        str(tmp_path / "b"),
        "--samples",
        "0",
        "--splits",
        str(tmp_path / "x.csv"),
    ]
    assert cli.main(argv) == 2
    said = capsys.readouterr()
    assert "pictures of 3 people" in said.out and not (tmp_path / "x.csv").exists()
    assert "men cannot be cut into" in said.err and "not written" in said.err


def test_a_reader_that_has_enough_is_no_fault():
    listing = subprocess.Popen(
        [sys.executable, "-m", "facegan", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    listing.stdout.close()
    assert listing.stderr.read() == b"" and listing.wait() == 1


def test_other_faults_are_not_hidden(monkeypatch):
    monkeypatch.setitem(cli._VERBS, "list", raising(OSError(errno.EIO, "broken disk")))
    with pytest.raises(OSError, match="broken disk"):
        cli.main(["list"])


def test_a_users_mistake_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(cli._VERBS, "list", raising(UserError("no such thing")))
    assert cli.main(["list"]) == 2 and capsys.readouterr().err == "facegan: no such thing\n"


def test_overrides_may_stand_after_options(monkeypatch):
    seen = []
    monkeypatch.setitem(cli._VERBS, "evaluate", lambda args: seen.append((args.targets, args.overrides)))
    assert cli.main(["evaluate", "eggan-generated", "data.a=1", "--targets", "9", "data.b=2"]) == 0
    assert seen == [(9, ["data.a=1", "data.b=2"])]
    for stray in (
        ["evaluate", "RUN", "--tragets=9"],
        ["evaluate", "RUN", "--targets", "9", "b"],
        ["list", "a=1"],
    ):
        with pytest.raises(SystemExit):
            cli.main(stray)


def test_a_data_set_by_a_wrong_name(capsys):
    assert cli.main(["data", "rafdd"]) == 2
    assert "data rafdd: choose one of rafd, oulu_casia" in capsys.readouterr().err


def test_every_verb_that_can_be_typed_does_something():
    from facegan.arguments import parser
    from facegan.cli import _VERBS

    (verbs,) = (action.choices for action in parser()._actions if isinstance(action.choices, dict))
    assert set(verbs) == set(_VERBS)


def test_a_sheet_and_a_folder_to_write_to_are_two_things(tmp_path, capsys):
    assert cli.main(["generate", "folder", "--root", str(tmp_path), "--sheet", str(tmp_path / "x.png")]) == 2
    assert "give one of the two" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", ["train nosuch", "crossval nosuch", "evaluate nosuch", "demo nosuch", "train --resume nosuch"]
)
def test_a_name_that_is_not_there_is_told_before_the_slow_imports(words):
    code = "import sys; from facegan.cli import main; assert main(sys.argv[1:]) == 2 and 'torch' not in sys.modules"
    told = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "nosuch" in told.stderr
