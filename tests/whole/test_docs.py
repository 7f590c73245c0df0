"""Every sample in the documentation runs, and every name in it is that of the code.

A page is followed from top to bottom in a folder of its own. Straight before a fenced block an HTML comment may
say what is done with it; `docs/README.md` explains the few words that there are.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
TOOLS = runpy.run_path(str(ROOT / "tests" / "editable.py"))
APART = runpy.run_path(str(ROOT / "tests" / "apart.py"))
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md"])
EXAMPLES = [p for p in PAGES if "examples" in p.relative_to(ROOT).parts]
PAGES = [p for p in PAGES if p not in EXAMPLES]
RUN = {"sh", "python", "yaml", "toml", "json", "csv", "diff"}
WORDS = {"file", "edit", "in", "exit", "shown", "needs"}


class Block(NamedTuple):
    line: int
    language: str
    text: str
    said: dict[str, str]


def read_blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page with what the comment before each says."""
    lines = text.splitlines()
    said: dict[str, str] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        if comment := re.fullmatch(r"<!-- (.*) -->", line.strip()):
            pairs = [part.partition(": ") for part in re.split(r"; (?=\w+: )", comment[1])]
            said = {word: value for word, _, value in pairs}
        elif fence := re.match(r"```(\w*)$", line):
            end = lines.index("```", number + 1)
            yield Block(number + 1, fence[1], "\n".join(lines[number + 1 : end]) + "\n", said)
            said, number = {}, end
        elif line.strip():
            said = {}
        number += 1


def apply_edit(text: str, diff: str) -> str:
    """A file after a hand edit: what the block takes away stands in it once, and what it adds takes its place."""
    rows = diff.splitlines()
    old = "".join(f"{r[1:]}\n" for r in rows if not r.startswith("+"))
    new = "".join(f"{r[1:]}\n" for r in rows if not r.startswith("-"))
    assert text.count(old) == 1, f"these lines are not in the file once:\n{old}"
    return text.replace(old, new)


def follow(text: str, name: str, folder: Path) -> int:
    """Do what the text of a page says. Returns how many blocks were run or written."""
    site = folder.parent / f"{folder.name}-site"
    site.mkdir()
    TOOLS["write_pip"](site)
    env = TOOLS["environment"](site, site / "cache") | wheels_of_what_is_here(folder.parent)
    groups: list[int] = []
    try:
        return _follow(text, name, folder, env, groups)
    finally:  # what was started in the background and not ended
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def _follow(text: str, name: str, folder: Path, env: dict[str, str], groups: list[int]) -> int:
    done, last = 0, ""
    for block in read_blocks(text):
        place = f"{name}:{block.line}"
        assert set(block.said) <= WORDS, f"{place}: unknown word in the comment: {block.said}"
        if "shown" in block.said:
            assert len(block.said["shown"].split()) > 2, f"{place}: say why it is shown only"
        elif block.language == "text":
            check_output(block.text, last, place)
        elif "file" in block.said:
            file = folder / block.said["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
            done += 1
        elif "edit" in block.said:
            file = folder / block.said["edit"]
            file.write_text(apply_edit(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
            done += 1
        else:
            assert block.language in ("sh", "python"), f"{place}: say what is done with this block"
            program = ["bash", "-e"] if block.language == "sh" else [sys.executable, "-"]
            ran = subprocess.Popen(
                program,
                cwd=folder / block.said.get("in", "."),
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            groups.append(ran.pid)
            last = ran.communicate(block.text)[0]
            assert ran.returncode == int(block.said.get("exit", 0)), f"{place}\n{last}"
            done += 1
    return done


def wheels_of_what_is_here(folder: Path) -> dict[str, str]:
    """Variables by which uv finds what the core needs, as it is installed here, and nothing else."""
    links = folder / "links"
    APART["put_stand_ins"](links)
    return dict(APART["only_links"](links))


def check_output(shown: str, output: str, place: str) -> None:
    """Every line that a page shows stands in the output, in this order; `...` is any text."""
    rest = output
    for line in filter(None, (row.strip() for row in shown.splitlines())):
        if line == "...":
            continue
        pattern = ".*".join(re.sub(r"(\\\s)+", r"\\s+", re.escape(part)) for part in line.split("..."))
        found = re.search(pattern, rest)
        assert found is not None, f"{place}: not in the output: {line}\n--- the output:\n{output}"
        rest = rest[found.end() :]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_samples_run_as_they_are_written(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = list(read_blocks(text))
    assert len(re.findall(r"^\s*```", text, re.M)) == 2 * len(blocks), (
        "a fence is not at the start of its line"
    )
    for program in {b.said["needs"] for b in blocks if "needs" in b.said}:
        if shutil.which(program) is None:
            assert not os.environ.get("CI"), f"needs {program}"
            pytest.skip(f"needs {program}")
    (tmp_path / "page").mkdir()
    ran = follow(text, str(page.relative_to(ROOT)), tmp_path / "page")
    assert ran == len([b for b in blocks if b.language != "text" and "shown" not in b.said])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("```sh\nfalse\n```\n", id="a command that fails"),
        pytest.param("<!-- exit: 3 -->\n```sh\nexit 4\n```\n", id="another exit code"),
        pytest.param("```sh\necho one\n```\n```text\ntwo\n```\n", id="output that never came"),
        pytest.param("```sh\necho one; echo two\n```\n```text\ntwo\none\n```\n", id="another order"),
        pytest.param("```yaml\na: 1\n```\n", id="a block of unknown use"),
        pytest.param("<!-- runs: here -->\n```sh\ntrue\n```\n", id="an unknown word"),
        pytest.param("<!-- shown: because -->\n```sh\ntrue\n```\n", id="no reason"),
        pytest.param(
            "<!-- file: a -->\n```csv\nx\n```\n<!-- edit: a -->\n```diff\n-y\n+z\n```\n",
            id="an edit that does not fit",
        ),
        pytest.param("```python\nraise ValueError\n```\n", id="code that raises"),
        pytest.param("```sh\npip install ldt-none-such\n```\n", id="a package that is not there"),
    ],
)
def test_a_page_that_lies_is_noticed(text: str, tmp_path: Path) -> None:
    """The checks of the pages prove something only if they can fail."""
    (tmp_path / "page").mkdir()
    with pytest.raises(AssertionError):
        follow(text, "a page", tmp_path / "page")
