"""Checks of the catalogue's part ``package`` that install the wheel and watch what it does inside walls."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ldt_core.catalog import Offer
from ldt_core.errors import PluginError
from ldt_core.twin_values import parse_size

from ..example import Example
from ..exercise import Observed
from ..package_trial import PackageTrial
from ..pythons import others
from ..sandbox import unavailable
from ..seen import Seen
from ..trial import CannotTell, NotApplicable, Trial
from . import check

_SUSPICIOUS = re.compile(r"(^|_)(password|passwd|passphrase|secret|token|api_?key|access_?key|credentials?)$")


@check("LDT-PKG-INST-01")
def it_installs_without_a_network(trial: Trial) -> None:
    bench = cast(PackageTrial, trial).bench
    wheel = bench.artefact.wheel.name
    if not bench.can_install():
        raise CannotTell("not even what ldt-core needs can be installed here without a network")
    try:
        bench.environment()
    except PluginError as exc:
        trial.fail(
            f"it does not install without a network: {exc.what}", given=wheel, expected="an environment"
        )
    trial.observations += 1
    said = bench.imported(trial.requirement)
    trial.expect(
        said["loaded"],
        "in an environment that holds only what it declares, its package does not load",
        given=f"import {bench.artefact.package}",
        expected="no error",
        got=_raised(said),
    )
    tried = others(bench, quick=trial.quick)
    for python, problem in tried.items():
        trial.expect(
            problem.startswith("not tried") or not problem,
            f"it claims Python {python} and does not install and load there",
            given=str(bench.artefact.metadata.get("Requires-Python")),
            got=problem,
        )
    trial.notes += [f"Python {p}: {problem or 'tried'}" for p, problem in tried.items()]


def _raised(said: Mapping[str, Any]) -> str:
    return " ".join(t for t in (said.get("raised"), said.get("where"), said.get("printed")) if t)


@check("LDT-PKG-ENTRY-01")
def what_is_declared_loads(trial: Trial) -> None:
    bench = cast(PackageTrial, trial).bench
    said = bench.imported(trial.requirement)
    trial.expect(
        "refused" not in said, f"its hooks cannot be used: {said.get('refused')}", got=said.get("code")
    )
    declared = {c["id"]: c["kind"] for c in bench.artefact.manifest["components"]}
    trial.expect(
        len(declared) == len(bench.artefact.manifest["components"]),
        "its manifest lists an id twice",
        got=[c["id"] for c in bench.artefact.manifest["components"]],
    )
    trial.expect(
        said.get("offers") == declared,
        "what its hooks return is not what its manifest lists",
        expected=declared,
        got=said.get("offers"),
    )
    for id in declared:
        owners = said["owners"].get(id, [])
        trial.expect(len(owners) == 1, f"the id '{id}' has another owner in its environment", got=owners)


@check("LDT-PKG-IMPORT-01")
def importing_does_nothing_else(trial: Trial) -> None:
    bench = cast(PackageTrial, trial).bench
    if problem := unavailable():
        raise CannotTell(f"nothing can be seen from outside without walls: {problem}")
    said = bench.imported(trial.requirement)
    if any(_done_by(said)):  # once more without what its dependencies do when they are imported
        own = {f.partition("/")[0].partition(".")[0] for f in bench.artefact.files}
        said = bench.probe(first=[m for m in said["modules"] if m.partition(".")[0] not in own])
    trial.observations += 1
    for what, got in _done_by(said):
        trial.fail(what, given=f"import {bench.artefact.package}", got=got)


def _done_by(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What an import did besides, in words."""
    seen: Seen = said["seen"]
    if seen.hosts:
        where = _lines(seen, "socket.")
        yield "importing it uses the network", {"hosts": seen.hosts, "lines": where}
    files = [*seen.written, *_refused_writes(seen)]
    if files:
        yield "importing it writes files", {"files": files, "lines": _lines(seen, "", _WRITES)}
    if said["threads"]:
        yield "importing it starts threads", {"threads": said["threads"], "lines": _lines(seen, "_thread.")}
    if seen.left or any(e["event"] in _STARTS for e in seen.events):
        yield "importing it starts processes", {"commands": seen.left, "lines": _lines(seen, "", _STARTS)}
    if said["printed"].strip():
        yield "importing it prints", said["printed"][:500]
    for name, values in said["changed"].items():
        yield f"importing it changes the {name}", {"before": values[0], "after": values[1]}


_STARTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec")
_WRITES = ("open", "os.mkdir", "os.rename", "os.link", "os.symlink")


def _refused_writes(seen: Seen) -> list[str]:
    """Files that were to be written where the walls let nobody."""
    found = [e["what"][0] for e in seen.events if e["event"] in _WRITES]
    return [
        f for f in dict.fromkeys(found) if not f.startswith(("/proc/", "/dev/")) and f not in seen.written
    ]


def _lines(seen: Seen, prefix: str, events: tuple[str, ...] = ()) -> list[str]:
    """Where it was done, as far as Python's audit hook heard of it."""
    found = [
        f"{e['where']}: {e['event']}({', '.join(e['what'][:2])})"
        for e in seen.events
        if e["event"].startswith(prefix) and (not events or e["event"] in events)
    ]
    return list(dict.fromkeys(found))[:10]


# -- the example under watch -----------------------------------------------------------------------------------


def _offers(trial: Trial) -> Sequence[Offer]:
    bench = cast(PackageTrial, trial).bench
    if not bench.artefact.manifest["components"]:
        raise NotApplicable("it offers no component: commands, engines or twins alone")
    return bench.offers()


def _each(trial: Trial) -> Iterator[tuple[Offer, Mapping[str, Any], Observed]]:
    """Every component with its manifest and what it did in its example; which must have run to its end."""
    bench = cast(PackageTrial, trial).bench
    offers = _offers(trial)
    if not offers:
        raise CannotTell("nothing of what its manifest lists could be found to be run")
    for offer in offers:
        manifest, found = offer.describe(), bench.observed(offer, trial.requirement)
        if found.seen.ended_by:
            trial.fail(f"'{offer.id}' broke out of its run: {found.seen.ended_by}")
        if found.seen.limit:
            trial.fail(
                f"'{offer.id}' met the limit of its walls: {found.seen.limit}",
                given="its example",
                got=found.unfinished,
            )
        yield offer, manifest, found
        waits = found.word == "unavailable" and manifest["hosts"]  # nobody answers inside the walls
        if found.unfinished and not waits:
            raise CannotTell(f"the example of '{offer.id}' does not run to its end: {found.unfinished}")


@check("LDT-PKG-NET-01")
def no_network_that_was_not_declared(trial: Trial) -> None:
    for offer, manifest, found in _each(trial):
        if found.seen.network != "watched":
            raise CannotTell(f"the network cannot be watched here: {found.seen.network}")
        declared = [h.partition(":")[0].lower() for h in manifest["hosts"]]
        for host, how in found.seen.hosts.items():
            trial.expect(
                host in declared,
                f"'{offer.id}' asks for {host}, which its manifest does not list",
                given="its example",
                expected=declared or "no host",
                got={"asked": how, "lines": _lines(found.seen, "socket.") or "in no line of Python"},
            )
        trial.observations += 1


@check("LDT-PKG-FS-01")
def it_writes_only_where_it_may(trial: Trial) -> None:
    for offer, _, found in _each(trial):
        tried = [*found.seen.written, *_refused_writes(found.seen)]
        trial.expect(
            not tried,
            f"'{offer.id}' writes outside its scratch folder",
            given="its example",
            expected="files below context.scratch, context.cache or TMPDIR",
            got={"files": tried, "lines": _lines(found.seen, "", _WRITES) or "in no line of Python"},
        )


@check("LDT-PKG-PROC-01")
def no_process_that_was_not_declared(trial: Trial) -> None:
    bench = cast(PackageTrial, trial).bench
    for offer, manifest, found in _each(trial):
        params = bench.examples.get(offer.id, Example()).params
        declared = {str(params.get(name, name)) for name in manifest["processes"]}
        names = {Path(word).name for text in declared for word in text.split()[:2]}
        python = bench.environment().python
        own = {python, str(Path(python).resolve())}  # a child of its own code is no other program
        for command in _commands(found.seen):
            if command.split()[0] in own:
                continue
            trial.expect(
                bool({Path(word).name for word in command.split()[:2]} & names),
                f"'{offer.id}' starts a program that its manifest does not list",
                expected=sorted(declared) or "no program",
                got={"command": command, "lines": _lines(found.seen, "", _STARTS)},
            )
        trial.expect(not found.left, f"'{offer.id}' leaves processes running", got=found.left)


def _commands(seen: Seen) -> list[str]:
    """All that was started, also what was too short to be seen running."""
    said = [e["what"][1] or e["what"][0] for e in seen.events if e["event"] in _STARTS]
    shown = [c for c in seen.started if "ldt_core.child" not in c and "/confine/" not in c]
    return list(dict.fromkeys([*shown, *said]))


@check("LDT-PKG-RES-01")
def it_takes_no_more_than_it_declares(trial: Trial) -> None:
    for offer, manifest, found in _each(trial):
        declared = manifest["resources"]
        trial.expect(
            "memory" in declared,
            f"'{offer.id}' does not say what memory it needs",
            expected='resources = {"memory": "2GiB"}',
            got=declared,
        )
        for name, peak in (("memory", found.seen.memory), ("scratch", found.seen.scratch)):
            if name in declared:
                allowed = parse_size(declared[name])
                trial.expect(
                    peak <= allowed,
                    f"'{offer.id}' takes more {name} than it declares",
                    given="its example",
                    expected=declared[name],
                    got=f"{peak / 2**20:.0f} MiB at its peak",
                )
        if "cpus" in declared:
            trial.expect(
                found.seen.processors <= float(declared["cpus"]) + 0.5,
                f"'{offer.id}' keeps more processors busy than it declares",
                expected=declared["cpus"],
                got=round(found.seen.processors, 2),
            )


@check("LDT-PKG-SECR-01")
def secrets_stay_secret(trial: Trial) -> None:
    bench = cast(PackageTrial, trial).bench
    for offer in _offers(trial):
        manifest = offer.describe()
        for name, schema in manifest["params"].get("properties", {}).items():
            texts = "string" in str(schema.get("type", schema.get("anyOf", "")))
            marked = name in manifest["secrets"] or not texts or not _SUSPICIOUS.search(name)
            trial.expect(
                marked, f"the parameter '{name}' of '{offer.id}' is not marked as a secret", got=schema
            )
        trial.observations += 1
        if not manifest["secrets"]:
            continue
        if problem := unavailable():
            raise CannotTell(f"a component with secrets is tried behind walls alone: {problem}")
        canaries = {name: f"canary{uuid.uuid4().hex}" for name in manifest["secrets"]}
        example = bench.examples.get(offer.id, Example())
        texts_of = bench.watch(offer, trial.requirement, {**example.params, **canaries}, spoil=True).texts
        wrong = {**example.params, **canaries, "no_such_parameter": 1}
        refused = bench.watch(offer, trial.requirement, wrong).texts
        texts_of |= {f"{n}, of a parameter that is not": t for n, t in refused.items()}
        for name, canary in canaries.items():
            for where, text in texts_of.items():
                trial.expect(
                    not any(form in text for form in _forms(canary)),
                    f"the secret '{name}' of '{offer.id}' can be read in {where}",
                    given="a secret made up for this",
                    expected="no trace of it",
                    got=_around(text.replace(canary, "<the secret>")),
                )


def _forms(secret: str) -> tuple[str, ...]:
    return secret, base64.b64encode(secret.encode()).decode().rstrip("=")[:-1], secret.encode().hex()


def _around(text: str) -> str:
    at = max(0, text.find("<the secret>"))
    return text[max(0, at - 200) : at + 200]
