"""The page that a person sees of a viewer: its scene of a view, checked and written by the renderer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldt_web import RunSummary, SceneBundle, render_page

from ldt_core import errors
from ldt_core.scene import Scene
from ldt_core.testing import MemoryView
from ldt_core.views import check_scene

from .drivers.base import Subject
from .trial import Trial
from .views import Kind, example_view

SUFFIXES = {"image/svg+xml": ".svg", "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


@dataclass(frozen=True)
class Rendered:
    """What became of a view: the scene, the page in ``file``, and the pictures beside the scene as files."""

    view: MemoryView
    scene: Scene
    file: Path
    pictures: dict[str, Path]

    @property
    def html(self) -> str:
        return self.file.read_text(encoding="utf-8")


def render(trial: Trial, kind: Kind = "usual", *, subject: Subject | None = None) -> Rendered:
    """The viewer's page of a view of this kind. A scene that does not hold together fails the requirement."""
    return render_view(trial, example_view(trial, kind), subject=subject, given=f"the view '{kind}'")


def render_view(
    trial: Trial, view: MemoryView, *, subject: Subject | None = None, given: Any = None
) -> Rendered:
    answer = (subject or trial.open()).render(view)
    try:
        scene = check_scene(trial.manifest["id"], answer, view)
        html = render_page([SceneBundle(scene, view.published, view.images)], _frame(scene))
    except errors.LdtError as exc:
        trial.fail(f"the scene cannot be shown: {exc.what}", given=given, got=str(exc))
    folder = trial.scratch()
    file = folder / "page.html"
    file.write_text(html, encoding="utf-8")
    pictures = {}
    for number, ref in enumerate(d for d in scene.data if d.id in view.images):
        pictures[ref.id] = folder / f"picture{number}{SUFFIXES.get(ref.media, '')}"
        pictures[ref.id].write_bytes(view.images[ref.id])
    return Rendered(view, scene, file, pictures)


def _frame(scene: Scene) -> RunSummary:
    """The record round the scene: it says nothing that the viewer must say. Its time is the scene's own."""
    at = scene.time
    return RunSummary(
        title="Page of one viewer",
        run_id="judged",
        start=at.start if at else "1970-01-01T00:00:00Z",
        end=at.end if at else "1970-01-01T00:00:00Z",
        zone=at.zone if at else "UTC",
    )
