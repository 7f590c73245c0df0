"""``twin.lock``: which distributions a twin runs with, so that another machine, or another year, has the same.

For each distribution that the twin's components need: its version, the sha256 of its files on an index
(``hashes``, by which an installer refuses others), and the sha256 of what is installed (``content``). What
comes from no index, such as an editable folder, is marked ``local`` and known by its content alone. The file
names no addresses and no folders: where to fetch from is the business of the machine that installs.
"""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .catalog import Catalog
from .environments import uv_program
from .errors import LdtError, PluginError, raise_all
from .identity import lock, metadata_of, package_digest
from .twin import Twin
from .wiring import Plan

LOCK = 1
"""Version of ``twin.lock``."""
NAME = "twin.lock"
HERE = "here"
"""The environment in which ``ldt`` itself runs."""
_MADE = re.compile(
    r"(^|/)(__pycache__/|\.\.(/|$))|\.pyc$|\.dist-info/(INSTALLER|REQUESTED|RECORD|direct_url\.json|uv_)"
)
_HASH = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)|--hash=(sha256:[0-9a-f]{64})", re.M)


def environments_of(twin: Twin, catalog: Catalog, plans: Iterable[Plan]) -> dict[str, Any]:
    """Every environment that the twin's components and views live in, described, by name.

    One of its own is named after the distributions for which it was made.
    """
    offers = {node.offer for plan in plans for node in plan.nodes.values()}
    offers |= {catalog.find(v.use) for v in twin.views.values()}
    sites: dict[str, set[str]] = {"": {"ldt-core"}}
    for offer in offers:
        if offer.distribution:
            sites.setdefault(offer.site, set()).add(offer.distribution)
    return {
        HERE if not site else "own: " + " + ".join(sorted(found)): describe_environment(found, site)
        for site, found in sorted(sites.items())
    }


def describe_environment(distributions: Iterable[str], site: str = "") -> dict[str, Any]:
    """Python, platform, and what is installed of these distributions and all that they need.

    ``site``: the folder of packages of another environment; by default this one's.
    """
    ours = set(distributions)
    names = sorted({n for d in ours for n, _ in lock(d, site)})
    found = {n: _describe(n, site, n in ours) for n in names}
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": sysconfig.get_platform(),
        "distributions": {n: d for n, d in found.items() if d is not None},
    }


def _describe(name: str, site: str, ours: bool = False) -> dict[str, Any] | None:
    meta = metadata_of(name, site)
    if meta is None:
        return None
    known: dict[str, Any] = {"version": meta.version}
    origin, rows = json.loads(meta.read_text("direct_url.json") or "{}"), meta.read_text("RECORD")
    if origin or not rows:
        known["local"] = True
    # A package of ours is its code, the same from a folder and from a wheel.
    package, folder = _package(name), Path(site, _package(name))
    by_code = ours or not rows or origin.get("dir_info", {}).get("editable")
    if by_code and (not site or folder.is_dir()):
        known["content"] = package_digest(package, str(folder) if site else "")
    else:
        known["content"] = _content(rows or "")
    return known


def _package(name: str) -> str:
    """The package of a distribution of ours: its name, as house rules have it."""
    return name.lower().replace("-", "_").replace(".", "_")


def _content(record: str) -> str:
    """sha256 over what the installer wrote down of the files that the wheel had: the same on every machine."""
    rows = csv.reader(record.splitlines())
    lines = sorted(f"{row[0]} {row[1]}" for row in rows if len(row) > 1 and not _MADE.search(row[0]))
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


# -- the file ---------------------------------------------------------------------------------


def make_lock(
    twin: Twin, environments: Mapping[str, Any], known: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    """The lock of a twin as it would run now, and why some hashes are missing ("" where none is).

    Hashes come from uv and the index that it is set to; where that cannot be reached, from ``known``, an
    earlier lock, as far as versions are the same.
    """
    lacking, said = [], ""
    for label, environment in environments.items():
        found = environment["distributions"]
        hashes, why = fetch_hashes({n: d["version"] for n, d in found.items() if not d.get("local")})
        said = said or why
        before = (known or {}).get("environments", {}).get(label, {}).get("distributions", {})
        for name, note in found.items():
            if note.get("local"):
                continue
            if hashes.get(name):
                note["hashes"] = hashes[name]
            elif before.get(name, {}).get("version") == note["version"] and "hashes" in before[name]:
                note["hashes"] = before[name]["hashes"]
            else:
                lacking.append(name)
    why = (said or f"no index states any for {', '.join(lacking)}") if lacking else ""
    return {"lock": LOCK, "twin": twin.id, "environments": dict(environments)}, why


def fetch_hashes(pins: Mapping[str, str]) -> tuple[dict[str, list[str]], str]:
    """The sha256 of every file that an index offers for a version, by name; and what went wrong, or ""."""
    program = uv_program()
    if program is None:
        return {}, "uv is not installed: pip install uv"
    words = [
        *program,
        "pip",
        "compile",
        "-",
        "--generate-hashes",
        "--no-deps",
        "--no-header",
        "--no-annotate",
        "-q",
    ]
    asked, why = dict(pins), ""
    while asked:
        given = "".join(f"{n}=={v}\n" for n, v in sorted(asked.items()))
        done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
        if not done.returncode:
            break
        said = " ".join(re.sub(r"[×╰─▶│├]", " ", done.stderr).split())
        why = why or f"uv finds no files of some: {said[:300]}"
        # What no index has is named; the others are asked for without it.
        lacking = {n for n in asked if re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", said)}
        if not lacking:
            return {}, why
        asked = {n: v for n, v in asked.items() if n not in lacking}
    else:
        return {}, why
    found: dict[str, list[str]] = {}
    name = ""
    for match in _HASH.finditer(done.stdout):
        if match[1]:
            name = _canonical(match[1])
        else:
            found.setdefault(name, []).append(match[3])
    return {n: sorted(h) for n, h in found.items()}, why


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def write_lock(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_lock(path: Path) -> dict[str, Any]:
    """Raises ``PluginError``: lock missing, lock damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["lock"]
        environments = content["environments"]
        assert isinstance(environments[HERE]["distributions"], dict)
    except FileNotFoundError:
        raise PluginError(
            f"there is no {path.name}", code="lock missing", where=str(path), fix="make one: ldt lock"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as exc:
        raise PluginError(
            f"{path.name} cannot be read: {exc or 'it names no environment'}",
            code="lock damaged",
            where=str(path),
            fix="take it from where you have it, or make a new one: ldt lock",
        ) from exc
    if version != LOCK:
        raise PluginError(
            f"{path.name} is of another version (lock {version}, not {LOCK})",
            code="lock damaged",
            where=str(path),
            fix="make a new one: ldt lock",
        )
    return dict(content)


# -- drift ------------------------------------------------------------------------------------


def drift(locked: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(what, wanted, found) for each difference of two sets of environments; "absent" where there is none."""
    for label in sorted({*locked, *found}):
        more = "" if label == HERE else f" ({label})"
        if label not in locked or label not in found:
            there = ["absent" if label not in e else "there" for e in (locked, found)]
            yield f"environment{more}", there[0], there[1]
            continue
        for what, wanted, have in _differences(locked[label], found[label]):
            yield what + more, wanted, have


def _differences(locked: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for what in ("python", "implementation", "platform"):
        if locked.get(what) != found[what]:
            yield what, str(locked.get(what)), str(found[what])
    wanted, have = locked["distributions"], found["distributions"]
    for name in sorted({*wanted, *have}):
        one, other = wanted.get(name), have.get(name)
        if one is None or other is None:
            yield name, *("absent" if d is None else str(d["version"]) for d in (one, other))
        elif one["version"] != other["version"]:
            yield name, str(one["version"]), str(other["version"])
        elif one.get("content") != other["content"]:
            contents = [str(d.get("content"))[:12] for d in (one, other)]
            yield name, *(f"{one['version']} with content {c}" for c in contents)


def refuse_drift(environments: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The lock that stands in ``path``, which these environments fulfil.

    Raises ``PluginError``: lock missing, lock damaged, lock drift (one error per difference).
    """
    content = read_lock(path)
    found = drift(content["environments"], environments)
    raise_all([_drifted(path, what, wanted, have) for what, wanted, have in found])
    return content


def _drifted(path: Path, what: str, wanted: str, have: str) -> LdtError:
    return PluginError(
        f"{what}: {path.name} wants {wanted}, found {have}",
        code="lock drift",
        where=str(path),
        fix="ldt reproduce --rebuild makes the locked environment; ldt lock takes over what is installed now",
    )


# -- the environment made again ---------------------------------------------------------------


def rebuild(environment: Mapping[str, Any], folder: Path, find_links: Path | None) -> Path:
    """The Python of a fresh environment with exactly these distributions, made by uv in ``folder``.

    Hashes are checked where the lock has them. A local distribution comes from ``find_links``, else from
    where this environment has it. Raises ``PluginError``.
    """
    program = uv_program()
    if program is None:
        raise PluginError(
            "an environment is made by uv, which is not installed",
            code="environments cannot resolve",
            fix="pip install uv",
        )
    lines = [_requirement(n, d, find_links) for n, d in sorted(environment["distributions"].items())]
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    python = folder / "venv" / "bin" / "python"
    links = [] if find_links is None else ["--find-links", str(find_links.resolve())]
    for words in (
        ["venv", "-q", "--python", environment["python"], str(folder / "venv")],
        [
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--python",
            str(python),
            *links,
            "-r",
            str(folder / "requirements.txt"),
        ],
    ):
        done = subprocess.run([*program, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            said = " ".join(re.sub(r"[×╰─▶│├]", " ", done.stderr).split())
            raise PluginError(
                f"uv cannot make the locked environment: {said[:1000]}",
                code="environments cannot resolve",
                fix="name a folder with the wheels that no index has: --find-links FOLDER",
            )
    return python


def _requirement(name: str, known: Mapping[str, Any], find_links: Path | None) -> str:
    pin = f"{name}=={known['version']}"
    if known.get("local"):
        wheels = (
            []
            if find_links is None
            else [_canonical(p.name.partition("-")[0]) for p in find_links.glob("*.whl")]
        )
        meta = metadata_of(name)
        origin = json.loads((meta.read_text("direct_url.json") if meta else None) or "{}")
        if name in wheels or "url" not in origin:
            return pin
        editable = origin.get("dir_info", {}).get("editable")
        return f"-e {url2pathname(urlsplit(origin['url']).path)}" if editable else f"{name} @ {origin['url']}"
    return " ".join([pin, *(f"--hash={h}" for h in known.get("hashes", ()))])
