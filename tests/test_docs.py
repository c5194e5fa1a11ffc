"""Documents say what is so: every command can be typed, every experiment exists, every page is in the site."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from facegan.arguments import parse
from facegan.methods import METHODS
from facegan.runs import experiments

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> list[str]:
    """What a page says to type: lines of its blocks of shell, and inline code."""
    text = page.read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [
        span.replace("\n", " ")
        for span in re.findall(r"`(facegan [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    ]
    found = []
    for line in lines:
        words = re.sub(r"\s+# .*| > .*", "", line).strip()
        words = words.removeprefix("srun ")
        if words.startswith("facegan "):
            found.append(words)
    return found


TYPED = [
    pytest.param(command, id=f"{page.name}: {command}")
    for page in PAGES
    for command in dict.fromkeys(commands(page))
    if "…" not in command.split()[-1] and not re.search(r"\b(VERB|NAME|RUN|EXPERIMENT)$", command)
]


def test_there_are_commands_to_check():
    assert len(TYPED) > 60


@pytest.mark.parametrize("command", TYPED)
def test_a_command_of_the_documents_can_be_typed(command):
    words = shlex.split(re.sub(r"\$\(\(.*?\)\)|\$\(.*?\)|\$\w+", "1", command))
    if len(words) == 2 and words[1] not in ("list", "runs", "report"):
        return  # the verb alone, as a name in a sentence
    args = parse(words[1:])
    name = getattr(args, "experiment", None)
    if args.verb in ("train", "crossval", "ablate") and name not in (None, "EXPERIMENT", "ganimation_demo"):
        assert name in experiments(), f"no experiment {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_experiments_that_a_page_names_exist(page):
    methods = "|".join(name for name in METHODS)
    named = re.findall(rf"`((?:{methods})_[a-z0-9_]+)`", page.read_text())
    unknown = {
        name for name in named if name not in experiments() and not (ROOT / "facegan").rglob(f"{name}.py")
    }
    assert not unknown


def test_the_site_has_every_page_and_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix("")
        html = tmp_path / "site" / (place.parent if place.name == "index" else place) / "index.html"
        assert html.is_file() and "{{" not in html.read_text().split("<article")[1].split("</article>")[0]
    sheet = (tmp_path / "site" / "datasets" / "rafd" / "index.html").read_text()
    assert "Langner" in sheet and "<strong>Licence</strong>" in sheet
