"""What the site takes from the code, so that nothing is written twice: data sheets, results, an example's text."""

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what a page asks for by ``{{ sheet: rafd }}``, ``{{ code: FILE }}`` or ``{{ text: FILE }}``."""
    markdown = re.sub(r"\{\{ sheet: (\w+) \}\}", lambda m: sheet(m[1]), markdown)
    markdown = re.sub(r"\{\{ code: (\S+) \}\}", lambda m: code(m[1]), markdown)
    markdown = re.sub(r"\{\{ text: (\S+) \}\}", lambda m: (ROOT / m[1]).read_text(), markdown)
    # links that are written for a reader of the repository
    for written, meant in (
        ("](../../RESULTS.md)", "](../results.md)"), ("](../RESULTS.md)", "](results.md)"), ("](docs/", "]("),
    ):  # fmt: skip
        markdown = markdown.replace(written, meant)
    return markdown


def sheet(name: str) -> str:
    """The data sheet at the top of ``datamodules/<name>.py`` as a table."""
    text = ast.get_docstring(ast.parse((ROOT / "datamodules" / f"{name}.py").read_text())) or ""
    head, _, body = text.partition("Data sheet\n")
    rows: list[list[str]] = []
    for line in body.splitlines():
        entry = re.match(r" {4}(\w+) +(.*)", line)
        if entry:
            rows.append([entry[1], entry[2]])
        elif line.strip():
            rows[-1][1] += " " + line.strip()
    if not rows:
        return _inline(text)
    lines = [f"| **{key}** | {_inline(value)} |" for key, value in rows]
    return "\n".join([_inline(head.strip()), "", lines[0], "| --- | --- |", *lines[1:]])


def code(name: str) -> str:
    """A file of the repository as a block of code."""
    return f"```python\n{(ROOT / name).read_text().rstrip()}\n```"


def _inline(text: str) -> str:
    """Docstrings' ``code`` as Markdown's; a bare address as a link."""
    text = text.replace("``", "`").replace("|", "\\|")
    return re.sub(r"(?<![<(`])(https?://[^\s;,]+)", r"<\1>", text)
