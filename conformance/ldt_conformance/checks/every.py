"""Checks of the catalogue's part ``every``: what a component of any kind owes.

Each is written once: ``exercise`` makes a component of its kind do its main job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema

from ldt_core.tables import port_as_dict

from ..badparams import accepts, bad_values, whole
from ..drivers.base import Subject
from ..job import exercise, rows
from ..trial import Trial
from . import check, every_errors

__all__ = ["every_errors"]


@check("LDT-COR-DESC-01")
def says_what_its_manifest_says(trial: Trial) -> None:
    """Asked twice, as JSON, and by the ports of an instance."""
    try:
        first, second = (json.loads(json.dumps(trial.driver.describe(), sort_keys=True)) for _ in range(2))
    except (TypeError, ValueError) as exc:
        trial.fail("what it says of itself is not JSON", got=str(exc))
    kept = json.loads(json.dumps(trial.manifest, sort_keys=True))
    for said, what in (
        (first, "it says something else than its manifest"),
        (second, "asked again it says something else"),
    ):
        other = sorted(n for n in {*said, *kept} if n in said and said[n] != kept.get(n))
        trial.expect(
            not other,
            f"{what}: {', '.join(other)}",
            expected={n: kept.get(n) for n in other},
            got={n: said[n] for n in other},
        )
    subject = trial.open()
    if not trial.manifest["dynamic"]:
        for side, ports in zip(("inputs", "outputs"), subject.ports()):
            found = json.loads(json.dumps({n: port_as_dict(p) for n, p in ports.items()}))
            trial.expect(
                found == kept[side],
                f"an instance has other {side} than the manifest, which does not say 'dynamic'",
                expected=kept[side],
                got=found,
            )
    more = subject.capabilities() - set(kept["capabilities"])
    trial.expect(not more, "an instance can do more than the manifest says", got=sorted(more))


@check("LDT-COR-CONF-01")
def the_example_runs(trial: Trial) -> None:
    """The schema is one, the example's parameters fit it, and with them the component does its work."""
    schema = trial.manifest["params"]
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        trial.expect(True, "the schema of the parameters is valid")
    except jsonschema.SchemaError as exc:
        trial.fail("the schema of the parameters is no JSON Schema (2020-12)", got=exc.message)
    known, units = schema.get("properties", {}), trial.manifest["units"]
    for name, value in trial.example.params.items():
        trial.expect(
            name in known,
            "the example names a parameter that the schema lacks",
            given=name,
            expected=list(known),
        )
        written = name in units and isinstance(value, str)  # '300 K' is read by the core
        trial.expect(
            written or accepts(whole(schema, name), value),
            f"the schema does not allow the example's '{name}'",
            given={name: value},
            expected=known[name],
        )
    missing = sorted(set(schema.get("required", ())) - set(trial.example.params))
    trial.expect(not missing, "the example lacks parameters that are required", got=missing)
    answer = exercise(trial, trial.open())
    kind = trial.manifest["kind"]
    if kind == "model":  # sources and simulators owe it by a requirement of their own
        trial.expect(rows(answer) > 0, "the example gives no rows: nothing can be judged by it", got=answer)
    if kind == "viewer":
        scene = answer["scene"]
        shown = isinstance(scene, Mapping) and bool(scene.get("blocks"))
        trial.expect(shown, "the example's view shows nothing: nothing can be judged by it", got=answer)


@check("LDT-COR-CONF-02")
def bad_parameters_are_refused_at_once(trial: Trial) -> None:
    """An unknown name, and for every property what its schema does not allow, while its files are not there."""
    good = dict(trial.example.params)
    exercise(trial, trial.open())  # the good ones are accepted
    schema, units = trial.manifest["params"], trial.manifest["units"]
    files = {n: "no-such-folder/no-such-file" for n in trial.manifest["files"] if n in good}

    def refused(name: str, what: str, value: Any) -> None:
        params = {**good, **files, name: value}

        def made() -> Subject:
            subject = trial.open(params)
            subject.ports()
            return subject

        raised = trial.expect_raises(
            ("config",),
            f"'{name}' with {what} is not refused when the component is made",
            made,
            given={name: value},
        )
        trial.expect(
            name in raised.path or name in str(raised.error),
            f"the error does not name the parameter '{name}'",
            given={name: value},
            expected=name,
            got=str(raised),
        )

    refused("x_no_such_parameter", "a name that does not exist", 1)
    for name in schema.get("properties", {}):
        for what, value in bad_values(schema, name):
            refused(name, what, value)
        if name in units:
            refused(name, "a unit that does not exist", "5 furlongz")
