"""The scenes of a run: rendered once, then served from the store."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import ValidationError

from . import scene
from .catalog import load
from .ensemble import Ensemble
from .errors import RunError, StoreError
from .identity import lock_digest, package_digest
from .interfaces import Context, Viewer
from .results import Recordings
from .run_view import RunView
from .runner import guarded
from .store import Entry
from .tables import Recording, Table
from .tasks import canonical_params
from .twin import ViewDefinition
from .wiring import read_params


class Published(Protocol):
    """A view that keeps what a viewer puts beside its scene, by id."""

    @property
    def published(self) -> Mapping[str, Any]: ...
    @property
    def images(self) -> Mapping[str, bytes]: ...


@dataclass(frozen=True)
class RenderedScene:
    """A scene with the tables and pictures that it refers to, by the id of their ``DataRef``."""

    scene: scene.Scene
    tables: Mapping[str, Table]
    images: Mapping[str, bytes] = field(default_factory=dict)


def render_views(ensemble: Ensemble, record: Mapping[str, Any]) -> list[RenderedScene]:
    """Every view of the twin file, in its order."""
    recordings = Recordings(ensemble)
    return [_render(ensemble, recordings, record, id, view) for id, view in ensemble.twin.views.items()]


def _render(
    ensemble: Ensemble, recordings: Recordings, record: Mapping[str, Any], id: str, view: ViewDefinition
) -> RenderedScene:
    twin, store = ensemble.twin, ensemble.store
    offer = ensemble.catalog.find(view.use)
    viewer = cast(type[Viewer], load(offer))
    params = read_params(viewer, view.params, twin, ("views", id, "params"))
    # A run of fewer scenarios than the view names shows those that it has.
    names = [n for n in view.runs or () if n in ensemble.scenarios] or ensemble.scenarios
    show = [str(r) for r in view.show]
    key = store.key(
        {
            "viewer": offer.id,
            "code": package_digest(offer.package),
            "core": package_digest("ldt_core"),
            "lock": lock_digest(offer.distribution),
            "params": canonical_params(params),
            "show": show,
            "title": view.title,
            "runs": [[n, record["scenarios"][n]] for n in names],
            "twin": record["twin"],
            "kpis": record["kpis"],
        }
    )
    entry = store.find(key)
    if entry is not None:
        with suppress(StoreError):  # damaged: rendered anew
            return _stored(entry)
        store.quarantine(key)
    given = RunView(ensemble, recordings, names, show, record, title=view.title)
    with tempfile.TemporaryDirectory(prefix="ldt-") as scratch:
        context = Context(start=twin.period.start, crs=twin.crs, bbox=twin.bbox, scratch=Path(scratch))
        rendered = guarded(id, "render", lambda: viewer(params, context).render(given))
    found = check_scene(id, rendered, given)
    wanted = {d.id for d in found.data}
    published = {i: p for i, p in given.published.items() if i in wanted}
    images = {i: b for i, b in given.images.items() if i in wanted}
    tables = {i: Recording.of(port, [(0, 0, table)]) for i, (port, table) in published.items()}
    files = {"scene.json": found.model_dump_json(indent=1).encode()}
    files |= {f"image.{i}": content for i, content in images.items()}
    with suppress(StoreError):  # a store that cannot be written: shown all the same
        store.put(key, tables, {"view": id}, owner=f"view {id}", files=files)
    return RenderedScene(found, {i: table for i, (_, table) in published.items()}, images)


def _stored(entry: Entry) -> RenderedScene:
    found = scene.Scene.model_validate_json(entry.file("scene.json"))
    images = {d.id: entry.file(f"image.{d.id}") for d in found.data if f"image.{d.id}" in entry.files}
    tables = {d.id: entry.recording(d.id).table for d in found.data if d.id not in images}
    return RenderedScene(found, tables, images)


def check_scene(id: str, rendered: Any, given: Published) -> scene.Scene:
    """The scene as it will be read again. Raises ``RunError`` where it does not hold together."""
    if not isinstance(rendered, scene.Scene):
        raise _broken(id, f"render returned {type(rendered).__name__}, not a Scene")
    try:
        found = scene.Scene.model_validate_json(rendered.model_dump_json())
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        place = ".".join(str(p) for p in first["loc"])
        raise _broken(
            id, f"the scene cannot be written as JSON and read again: {place}: {first['msg']}"
        ) from exc
    except ValueError as exc:
        raise _broken(id, f"the scene cannot be written as JSON: {exc}") from exc
    ids = [d.id for d in found.data]
    for name in ids:
        if name not in given.published and name not in given.images:
            raise _broken(id, f"the scene refers to the data '{name}', which was never published")
        if ids.count(name) > 1:
            raise _broken(id, f"the data '{name}' stands twice in the scene")
    for block in found.blocks:
        layers = [layer.data for layer in block.layers] if isinstance(block, scene.MapBlock) else []
        layers += [block.data] if isinstance(block, scene.ImageBlock) else []
        missing = [name for name in layers if name not in ids]
        if missing:
            raise _broken(id, f"the block '{block.id}' draws the data '{missing[0]}', which the scene lacks")
    return found


def _broken(id: str, what: str) -> RunError:
    return RunError(what, code="contract broken", where=id, fix="report this to the viewer's author")
