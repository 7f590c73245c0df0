"""An OpenStreetMap extract as a SUMO network: osmium and netconvert, once per extract and options."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ldt_core as ldt

from .params import Osm
from .process import run, sumo_version

LICENCE, ATTRIBUTION = "ODbL-1.0", "© OpenStreetMap contributors"
_SUFFIXES = (".osm.pbf", ".pbf", ".osm", ".osm.xml", ".osm.gz", ".osm.bz2", ".osm.xml.gz")


def is_osm(path: Path) -> bool:
    return path.name.lower().endswith(_SUFFIXES)


def utm(path: Path) -> tuple[str, str]:
    """(authority code, PROJ text) of the UTM zone where the extract lies, from its head."""
    import osmium

    _exists(path)
    try:
        with osmium.io.Reader(str(path), osmium.osm.osm_entity_bits.NODE) as reader:
            box = reader.header().box()
            if box.valid():
                lon, lat = (box.bottom_left.lon + box.top_right.lon) / 2, box.bottom_left.lat
            else:
                lon, lat = _first_node(path)
    except (RuntimeError, ValueError) as error:
        raise _broken(path, error) from error
    zone = min(int((lon + 180) // 6) + 1, 60)
    south = " +south" if lat < 0 else ""
    return f"EPSG:{32700 if south else 32600}"[
        :-2
    ] + f"{zone:02d}", f"+proj=utm +zone={zone}{south} +datum=WGS84 +units=m +no_defs"


def convert(path: Path, options: Osm, cache: Path, cancelled: Callable[[], None]) -> Path:
    """The network of an extract, from the cache or made now. Raises ``NotFound``, ``InputError``.

    Safe for several processes at once: each works in a folder of its own, the finished file moves in
    one go, and what two of them make is the same.
    """
    _exists(path)
    _, projection = utm(path)
    arguments = _arguments(options, projection)
    versions = [sumo_version(), importlib.metadata.version("osmium")]
    key = hashlib.sha256(
        json.dumps([ldt.File(str(path)).digest(), arguments, versions]).encode()
    ).hexdigest()[:32]
    target = cache / f"{key}.net.xml"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="convert-", dir=cache))
    try:
        source = _as_xml(path, work)
        run("netconvert", ["--osm-files", str(source), "-o", "made.net.xml", *arguments], work, cancelled)
        (work / "made.net.xml").replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _arguments(options: Osm, projection: str) -> list[str]:
    words = ["--proj", projection, "--keep-edges.by-vclass", ",".join(options.keep)]
    words += ["--geometry.remove", "--roundabouts.guess", "--ramps.guess", "--junctions.join"]
    words += ["--remove-edges.isolated", "--output.street-names", "--tls.discard-simple", "--tls.join"]
    words += ["--tls.default-type", options.signal_type]
    words += ["--tls.guess-signals"] if options.guess_signals else []
    words += ["--lefthand"] if options.left_hand else []
    return words


def _as_xml(path: Path, work: Path) -> Path:
    """The streets and rails of an extract as OSM XML, the only form of OSM that netconvert reads."""
    import osmium

    target = work / "streets.osm.xml"
    wanted = osmium.IdTracker()
    item: Any
    try:
        for item in osmium.FileProcessor(str(path), osmium.osm.WAY | osmium.osm.RELATION):
            if item.is_way() and ("highway" in item.tags or "railway" in item.tags):
                wanted.add_way(item.id)
                wanted.add_references(item)
            elif item.is_relation() and item.tags.get("type") == "restriction":
                wanted.add_relation(item.id)
        with osmium.SimpleWriter(str(target)) as writer:
            for item in osmium.FileProcessor(str(path)).with_filter(wanted.id_filter()):
                writer.add(item)
    except RuntimeError as error:
        raise _broken(path, error) from error
    return target


def _first_node(path: Path) -> tuple[float, float]:
    import osmium

    node: Any
    for node in osmium.FileProcessor(str(path), osmium.osm.NODE):
        return node.lon, node.lat
    raise ValueError("it holds no node")


def _exists(path: Path) -> None:
    if not path.is_file():
        raise ldt.NotFound(
            f"there is no file {path.name}", code="file missing", fix="correct the path in the twin file"
        )


def _broken(path: Path, error: Exception) -> ldt.InputError:
    return ldt.InputError(
        f"{path.name} cannot be read as OpenStreetMap data: {error}",
        code="extract broken",
        fix="download the extract again",
    )
