"""``ldt view``."""

from __future__ import annotations

import importlib

import pytest
from ldt_web import COMMANDS, access, cli, render_page

import ldt_core as ldt


@pytest.fixture
def stored(made, monkeypatch):
    """A run that the core would hand over."""
    asked = []

    def load(run):
        asked.append(run)
        return [made.bundle()], made.record()

    monkeypatch.setattr(cli, "load_run", load)
    return asked


def test_the_command_is_found_by_its_target():
    (command,) = COMMANDS
    module, _, name = command["target"].partition(":")
    assert getattr(importlib.import_module(module), name) is cli.view


def test_view_writes_the_page_of_the_run(made, stored, tmp_path, capsys):
    out = tmp_path / "pages" / "run.html"
    assert cli.view(["runs/x", "--out", str(out)]) == 0
    assert stored == ["runs/x"]
    assert out.read_text(encoding="utf-8") == render_page([made.bundle()], made.record())
    assert capsys.readouterr().out.strip() == str(out)
    assert [p.name for p in out.parent.iterdir()] == ["run.html"]


def test_view_shows_the_last_run_under_its_own_name(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.view([]) == 0
    assert stored == ["last"]
    assert (tmp_path / "20260302T0500-abcdef12.html").stat().st_size > 10_000


def test_view_opens_the_browser_on_request(stored, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(cli.webbrowser, "open", lambda url: opened.append(url) or True)
    out = tmp_path / "a page.html"
    cli.view(["--out", str(out), "--open"])
    assert opened == [out.as_uri()]


def test_a_failed_write_leaves_the_old_page(stored, tmp_path, monkeypatch):
    out = tmp_path / "page.html"
    out.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        cli.write_page("\ud800", out)
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert out.read_text() == "old"


def test_unknown_options_are_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.view(["--nonsense"])
    assert caught.value.code == 2


def test_a_place_without_a_run_is_said(tmp_path):
    with pytest.raises(ldt.NotFound, match="no finished run"):
        access.load_run(str(tmp_path))


def test_the_record_of_a_run_is_put_into_words():
    flag = {"name": "teleports", "values": [1, 2], "unit": "1", "text": "Vehicles were moved on"}
    record = {
        "run": "r1", "seed": 7, "replicates": 2, "seconds": 3.5, "created": "2026-03-03T10:00:00Z",
        "not_reproducible": ["weather"],
        "twin": {"title": "Town", "goal": "Calm?", "owner": "Council", "zone": "Europe/Rome",
                 "start": "2026-03-02T06:00:00Z", "end": "2026-03-02T08:00:00Z"},
        "scenarios": {"base": {"title": "Today", "description": "As it is.", "flags": [flag]}},
        "components": {"traffic": {"use": "sumo", "distribution": "ldt-simulator-sumo", "version": "0.1.0", "title": "SUMO"}},
    }  # fmt: skip
    summary = access.summarise(record, ["A credit"])
    page = render_page([], summary)
    for words in ("Calm?", "Council", "Today", "As it is.", "Vehicles were moved on", "A credit", "weather", "SUMO",
                  "ldt-simulator-sumo 0.1.0", "3.5 seconds", "07:00 to 09:00 (Europe/Rome)"):  # fmt: skip
        assert words in page
    assert summary.flags["base"][0].value == 2
