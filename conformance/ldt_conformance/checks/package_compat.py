"""The check of a package's version against the wheel that was certified last: their manifests are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from packaging.version import Version

from ..artefact import open_wheel
from ..package_trial import PackageTrial
from ..trial import CannotTell, NotApplicable, Trial
from . import check

Manifest = Mapping[str, Any]


@check("LDT-PKG-COMPAT-01")
def a_breaking_change_has_a_new_number(trial: Trial) -> None:
    artefact = cast(PackageTrial, trial).artefact
    if artefact.previous is None:
        raise NotApplicable("no earlier version was handed in (conformance.toml: [package] previous)")
    previous = open_wheel(artefact.previous)
    if previous.problems or previous.name != artefact.name:
        raise CannotTell(
            f"{artefact.previous.name} is no earlier version: {previous.problems or previous.name}"
        )
    old, new = Version(previous.version), Version(artefact.version)
    trial.expect(new > old, "the version is no later one", expected=f"> {old}", got=str(new))
    found = list(_breaks(previous.manifest, artefact.manifest))
    free = new.major > old.major or (old.major == new.major == 0 and new.minor > old.minor)
    trial.expect(
        free or not found,
        f"{found[0] if found else ''}, and the major version is the same",
        given=f"{old} and {new}",
        expected=f"{old.major + 1}.0.0" if old.major else f"0.{old.minor + 1}.0",
        got=found[:20],
    )


def _breaks(old: Manifest, new: Manifest) -> Iterator[str]:
    """What a twin that was written for the old version may stumble over, in words."""
    now = {c["id"]: c for c in new["components"]}
    for was in old["components"]:
        is_ = now.get(was["id"])
        if is_ is None or is_["kind"] != was["kind"]:
            yield f"the {was['kind']} '{was['id']}' is gone"
            continue
        for side in ("inputs", "outputs"):
            for what in _ports(was[side], is_[side], taken=side == "inputs"):
                yield f"'{was['id']}': {side}: {what}"
        for what in _params(was["params"], is_["params"]):
            yield f"'{was['id']}': {what}"
        for lost in sorted(set(was["capabilities"]) - set(is_["capabilities"])):
            yield f"'{was['id']}': it can no longer do '{lost}'"


def _ports(old: Manifest, new: Manifest, *, taken: bool) -> Iterator[str]:
    for name, port in old.items():
        if name not in new:
            yield f"the port '{name}' is gone"
            continue
        was, now = port["columns"], new[name]["columns"]
        for column, facts in was.items():
            if column not in now:
                yield from () if taken else (f"the column '{name}.{column}' is gone",)
                continue
            for fact in ("kind", "unit", "quantity", "cell", "crs"):
                if facts.get(fact) != now[column].get(fact):
                    change = f"from {facts.get(fact)} to {now[column].get(fact)}"
                    yield f"the {fact} of '{name}.{column}' went {change}"
        if taken:
            yield from (f"the column '{name}.{c}' is demanded" for c in now if c not in was)
        for fact in ("shape", "entity", "id", "at"):
            if port.get(fact) != new[name].get(fact):
                yield f"the {fact} of the port '{name}' went from {port.get(fact)} to {new[name].get(fact)}"
    if taken:
        yield from (
            f"the port '{n}' is demanded" for n, p in new.items() if n not in old and not p.get("optional")
        )


def _params(old: Manifest, new: Manifest) -> Iterator[str]:
    was, now = old.get("properties", {}), new.get("properties", {})
    for name, schema in was.items():
        if name not in now:
            yield f"the parameter '{name}' is gone"
        elif schema.get("type") != now[name].get("type"):
            yield f"the type of the parameter '{name}' went from {schema.get('type')} to {now[name].get('type')}"
    required = set(new.get("required", ())) - set(old.get("required", ()))
    yield from (f"the parameter '{name}' is demanded" for name in sorted(required))
