"""``ldt certify`` and ``ldt certificate``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ldt_core.errors import LdtError, nearest

from .outcome import Outcome, Result, Verdict
from .report import Report, read_report, write_report
from .requirements import Requirement, catalogue, export
from .vendor import VendorError

USAGE = 3


class _Parser(argparse.ArgumentParser):
    """Usage errors of this command exit 3: 2 means incomplete."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(USAGE)


def certify(arguments: list[str]) -> int:
    """Run the suite, or ``explain ID``, ``replay EVIDENCE``, ``catalogue``. 0 certified, 1 failed, 2 incomplete, 3 usage."""
    doors = {"explain": _explain, "replay": _replay, "catalogue": _catalogue}
    try:
        if arguments and arguments[0] in doors:
            return doors[arguments[0]](arguments[1:])
        return _certify(arguments)
    except LdtError as exc:
        print(exc, file=sys.stderr)
        return USAGE


def _certify(arguments: Sequence[str]) -> int:
    parser = _Parser(
        prog="ldt certify",
        description="Run the conformance suite. Also: ldt certify explain ID, replay EVIDENCE, catalogue.",
        epilog="exit codes: 0 certified, 1 failed, 2 incomplete, 3 usage",
    )
    parser.add_argument(
        "what", metavar="ID|WHEEL|DIR|URL", help="an installed component, a wheel, a folder, a service"
    )
    parser.add_argument(
        "--level", type=int, choices=[1, 2], default=1, help="1 interoperable, 2 sound (default: 1)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write the report here: HTML, JSON, JUnit, EARL, TAR, CTRF"
    )
    parser.add_argument("--component", action="append", metavar="ID", help="this component only (repeatable)")
    parser.add_argument(
        "--only",
        action="append",
        metavar="ID",
        default=[],
        help="this requirement and what it needs; no verdict",
    )
    parser.add_argument("--quick", action="store_true", help="fewer examples; no verdict")
    parser.add_argument(
        "--as-registry",
        action="store_true",
        help="as the registry runs it: the bytes of a wheel, in a sandbox",
    )
    parser.add_argument(
        "--sign",
        type=Path,
        action="append",
        default=[],
        metavar="KEY",
        help="sign the certificate (private key, repeatable)",
    )
    parser.add_argument(
        "--conformance",
        type=Path,
        metavar="FILE",
        help="the vendor's file (default: conformance.toml beside the component)",
    )
    parser.add_argument("--json", action="store_true", help="the report, for machines, on standard output")
    asked = parser.parse_args(list(arguments))
    for id in asked.only:
        _find(id)
    if asked.sign and not (asked.as_registry and asked.report):
        parser.error("--sign goes with --as-registry and --report DIR")
    from .certification import run
    from .progress import Progress

    report = run(
        asked.what,
        level=asked.level,
        only=asked.only,
        quick=asked.quick,
        components=asked.component,
        as_registry=asked.as_registry,
        vendor=asked.conformance,
        progress=Progress(sys.stderr),
    )
    if asked.report is not None:
        write_report(report, asked.report)
    if asked.sign:
        _sign(report, asked.sign, asked.report / "certificate.json")
    if asked.json:
        print(json.dumps(report.as_dict(), indent=1, ensure_ascii=False))
    else:
        _tell(report, asked.report)
    return exit_code(report, at_home=not asked.as_registry)


def _sign(report: Report, keys: Sequence[Path], path: Path) -> None:
    """Writes the certificate, or takes an older one away: what lies there speaks of this report."""
    path.unlink(missing_ok=True)
    if report.verdict is not Verdict.CERTIFIED:
        print(f"not signed: the verdict is '{report.verdict}'", file=sys.stderr)
        return
    from .signing import read_signer, sign

    bundle = sign(report, [read_signer(key) for key in keys])
    path.write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")
    print(f"signed by {len(keys)}: {path}", file=sys.stderr)


def exit_code(report: Report, *, at_home: bool) -> int:
    """That of the verdict. At home a waived failure is quiet, and a waiver of what passes is an error."""
    if not at_home or not report.waivers:
        return report.verdict.exit_code
    waived = {(w.requirement, w.component) for w in report.waivers}

    def quiet(result: Result) -> bool:
        return bool(waived & {(result.requirement, result.component), (result.requirement, None)})

    if any(r.outcome is Outcome.PASSED and quiet(r) for r in report.results):
        return 1
    failed = report.of(Outcome.FAILED)
    roots = {r.requirement for r in failed}
    rest = [*report.of(Outcome.CANT_TELL), *report.of(Outcome.UNTESTED)]
    if failed and all(map(quiet, failed)) and all(r.blocked_by in roots for r in rest):
        return 0
    return report.verdict.exit_code


def _tell(report: Report, folder: Path | None) -> None:
    from .report.document import level_name, title_of
    from .report.page import replay

    print(
        f"{title_of(report.subject)}, level {report.level} ({level_name(report.level)}): {report.verdict.upper()}"
    )
    counts = [f"{report.count(o)} {o}" for o in Outcome if report.count(o)]
    print(f"  {len(report.owed)} owed: {', '.join(counts)}")
    if report.environment.sandbox == "none" and report.environment.door != "http":
        print("  without a sandbox: a rehearsal, which is never signed")
    if report.selection != "whole":
        print("  only a part was run: no verdict on the whole")
    for note in report.notes:
        print(f"  {note}")
    waived = {(w.requirement, w.component): w for w in report.waivers}
    for result in [*report.of(Outcome.FAILED), *report.of(Outcome.CANT_TELL)]:
        requirement = catalogue()[result.requirement]
        print(
            f"\n{result.outcome.upper()} {result.requirement} ({result.component or 'the package'}): {requirement.title}"
        )
        print(f"  {result.reason}")
        if result.evidence is not None:
            for name in ("given", "expected", "got"):
                value = getattr(result.evidence, name)
                if value is not None:
                    print(f"  {name}: {_short(value)}")
        if mend := (result.evidence.mend if result.evidence else "") or requirement.mend:
            print(f"  -> {mend}")
        print(f"  again: {replay(report, result)}")
        if blocked := report.blocked(result):
            print(f"  {len(blocked)} more could not be tried because of this")
        waiver = waived.get((result.requirement, result.component)) or waived.get((result.requirement, None))
        if waiver is not None:
            print(f"  waived at home until {waiver.expires}: {waiver.reason}")
    for waiver in report.waivers:
        passed = [r for r in report.of(Outcome.PASSED) if r.requirement == waiver.requirement]
        if passed and waiver.component in (None, *(r.component for r in passed)):
            print(f"\n{waiver.requirement} is waived and passes: take the waiver out of conformance.toml")
    if folder is not None:
        print(f"\n{folder / 'report.html'}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _find(id: str) -> Requirement:
    if id not in catalogue():
        raise VendorError(
            f"there is no requirement '{id}'", code="unknown requirement", fix=nearest(id, catalogue())
        )
    return catalogue()[id]


def _explain(arguments: Sequence[str]) -> int:
    parser = _Parser(prog="ldt certify explain", description="What a requirement means, and how to keep it.")
    parser.add_argument("id", metavar="ID", help="such as LDT-MOD-DET-01")
    parser.add_argument("--json", action="store_true", help="for machines, on standard output")
    asked = parser.parse_args(list(arguments))
    requirement = _find(asked.id)
    if asked.json:
        print(requirement.model_dump_json(indent=1))
        return 0
    level = "advisory" if requirement.level == "A" else f"level {requirement.level}"
    print(f"{requirement.id} ({level}, {requirement.status}): {requirement.title}\n\n{requirement.must}\n")
    print(f"Why: {requirement.why}\nFrom: {requirement.source}")
    for name, words in (("See also", requirement.maps_to), ("Needs", requirement.needs)):
        if words:
            print(f"{name}: {', '.join(words)}")
    if requirement.mend:
        print(f"How to mend it: {requirement.mend}")
    for name, code in (("Fails", requirement.failing), ("Holds", requirement.mended)):
        if code:
            print(f"\n{name}:\n" + "\n".join(f"    {line}" for line in code.splitlines()))
    return 0


def _catalogue(arguments: Sequence[str]) -> int:
    parser = _Parser(
        prog="ldt certify catalogue",
        description="Every requirement of this release, as JSON with its digest.",
    )
    parser.parse_args(list(arguments))
    print(json.dumps(export(), indent=1, ensure_ascii=False))
    return 0


def _replay(arguments: Sequence[str]) -> int:
    parser = _Parser(prog="ldt certify replay", description="Run again what a report says has failed.")
    parser.add_argument(
        "evidence", type=Path, metavar="REPORT.JSON", help="a report; add #ID for one requirement"
    )
    asked = parser.parse_args(list(arguments))
    path, _, id = str(asked.evidence).partition("#")
    try:
        report = read_report(Path(path))
    except (OSError, ValueError) as exc:
        raise VendorError(str(exc), code="unreadable", where=path) from exc
    wanted = [_find(id).id] if id else sorted({r.requirement for r in report.of(Outcome.FAILED)})
    if not wanted:
        print("nothing has failed in this report")
        return 0
    from .report.page import again

    components = [word for c in report.components for word in ("--component", c.id)]
    return _certify([*again(report, *wanted), *components])


def certificate(arguments: list[str]) -> int:
    """``keys`` makes a pair of keys, ``verify`` a certificate, offline. 0 good, 1 not, 3 usage."""
    parser = _Parser(prog="ldt certificate", description="Keys and certificates; works without a network.")
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keys", help="make a pair of Ed25519 keys")
    keys.add_argument("name")
    keys.add_argument("--into", type=Path, default=Path(), metavar="DIR")
    verify = commands.add_parser("verify", help="check signatures, agreement, expiry and bytes")
    verify.add_argument("bundle", type=Path, metavar="CERTIFICATE.JSON")
    verify.add_argument(
        "--key", type=Path, action="append", required=True, help="a public key you trust (repeatable)"
    )
    verify.add_argument("--threshold", type=int, default=2, help="signatures that must be good (default: 2)")
    verify.add_argument("--artefact", type=Path, metavar="FILE", help="the file that it should speak of")
    verify.add_argument("--json", action="store_true", help="for machines, on standard output")
    asked = parser.parse_args(arguments)
    try:
        if asked.command == "keys":
            from .signing import make_keys

            for path in make_keys(asked.into, asked.name):
                print(path)
            return 0
        return _verify(asked)
    except LdtError as exc:
        print(exc, file=sys.stderr)
        return 1


def _verify(asked: argparse.Namespace) -> int:
    import hashlib

    from ldt_core.certificate import read_public_key, verify_bundle

    try:
        bundle = json.loads(asked.bundle.read_text(encoding="utf-8"))
        artefact = None if asked.artefact is None else hashlib.sha256(asked.artefact.read_bytes()).digest()
    except (OSError, ValueError) as exc:
        raise VendorError(f"it cannot be read: {exc}", code="unreadable", where=str(asked.bundle)) from exc
    if asked.threshold < 1:
        raise VendorError("at least one signature must be good", code="bad value", where="--threshold")
    keys = [read_public_key(path) for path in asked.key]
    found = verify_bundle(bundle, keys, threshold=asked.threshold, artefact=artefact)
    if asked.json:
        print(found.model_dump_json(indent=1))
        return 0
    print(
        f"{found.name} {found.version}: certified at level {found.level}, good until {found.not_after:%Y-%m-%d}"
    )
    for component in found.components:
        print(
            f"  {component.kind} {component.id}{', claims ' + ', '.join(component.claims) if component.claims else ''}"
        )
    print(f"  sha256 {found.sha256}" + (" (of its OpenAPI document: observed)" if found.observed else ""))
    if asked.artefact is None:
        print("  no file was compared with it: --artefact FILE")
    return 0
