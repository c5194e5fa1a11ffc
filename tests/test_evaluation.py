"""What an evaluation says that one should type, and where it goes; what it measures is tested with the protocols."""

from pathlib import Path

import pytest

from facegan import evaluation
from facegan.runs import Run


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "eggan_demo" / "2026-01-01_00-00-00")


def test_the_command_repeats_what_was_asked_for(run):
    name = "eggan_demo/2026-01-01_00-00-00"
    assert evaluation._command(run) == f"facegan evaluate {name}"
    asked = evaluation._command(run, "best", ["data.test_roots=[a b]"], 120)
    assert asked == f"facegan evaluate {name} 'data.test_roots=[a b]' --checkpoint best --targets 120"


def test_another_question_leaves_the_first_answer_where_it_is(run):
    first = evaluation._folder(run, evaluation._command(run))
    other = evaluation._folder(run, evaluation._command(run, overrides=["data.test_roots=[a]"]))
    again = evaluation._folder(run, evaluation._command(run, overrides=["data.test_roots=[a]"]))
    assert first == run.evaluation and other == again != first
    assert other.parent == first.parent and Path(other).name.startswith("evaluation-")
