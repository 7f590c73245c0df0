"""A run as an RO-Crate (Process Run Crate 0.5) with its provenance in PROV-O as well.

Both are derived from ``run.json`` and what the export knows: a ``CreateAction`` for each stage, with the
components as its instruments, the files that it read and made, and its times.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import PluginError
from .export import Activity, Export, Exported, export_run, refuse_full
from .runs import OpenRun

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
PROV = "prov.jsonld"


def write_crate(run: OpenRun, out: Path, page: Path | None = None) -> Export:
    """Write a crate: a folder, or a zip where the name ends so.

    Raises ``PluginError`` where the extra ``crate`` is not installed, and what ``export_run`` raises.
    """
    try:
        from rocrate.model import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError as exc:
        raise PluginError(
            "an RO-Crate is written by rocrate, which is not installed",
            code="not installed",
            fix="pip install 'ldt-core[crate]'",
        ) from exc
    refuse_full(out)
    with tempfile.TemporaryDirectory(prefix="ldt-crate-") as name:
        folder = Path(name)
        found = export_run(run, folder, page)
        text = json.dumps(describe_provenance(run.record, found), indent=1, ensure_ascii=False)
        (folder / PROV).write_text(text + "\n", encoding="utf-8")
        crate = ROCrate(version="1.2")

        def add(id: str, **properties: Any) -> Any:
            return crate.add(ContextEntity(crate, id, properties=properties))

        record, twin = run.record, run.record["twin"]
        crate.name = f"{twin['title']}: {record['run']}"
        crate.description = twin["goal"] or f"A run of the local digital twin {twin['title']}."
        crate.datePublished = record["created"]
        licences = dict.fromkeys(c for f in found.files for c in f.credits)
        crate.license = "; ".join(licences) or "See the licences of the components and of each file"
        crate.root_dataset["conformsTo"] = [
            add(PROFILE, **{"@type": "CreativeWork", "name": "Process Run Crate"})
        ]
        owner = add("#owner", **{"@type": "Organization", "name": twin["owner"]}) if twin["owner"] else None
        software = {n: add(f"#{n}", **_software(n, c)) for n, c in record["components"].items()}
        files = {f.path: crate.add_file(folder / f.path, f.path, properties=_file(f)) for f in found.files}
        about = {"name": "Provenance in PROV-O", "encodingFormat": "application/ld+json"}
        crate.add_file(folder / PROV, PROV, properties=about)
        read = _files_read(record)
        outside = {n: add(_input_id(n), **_input(n, d)) for n, d in read.items()}
        for activity in found.activities:
            properties: dict[str, Any] = {
                "name": activity.title,
                "endTime": activity.ended,
                "actionStatus": "http://schema.org/CompletedActionStatus",
            }
            if activity.started:
                properties["startTime"] = activity.started
            if owner is not None:
                properties["agent"] = owner
            crate.add_action(
                [software[c] for c in activity.components],
                identifier=f"#{activity.key[:16]}",
                object=[{**files, **outside}[u] for u in activity.used],
                result=[files[m] for m in activity.made],
                properties=properties,
            )
        crate.root_dataset["mentions"] = [crate.get(f"#{a.key[:16]}") for a in found.activities]
        if out.suffix == ".zip":
            crate.write_zip(out)
        else:
            crate.write(out)
    return found


def _software(name: str, component: Mapping[str, Any]) -> dict[str, Any]:
    said = {
        "@type": "SoftwareApplication",
        "name": f"{component['use']} ({name})",
        "softwareVersion": component["version"],
        "isPartOf": component["distribution"],
        "identifier": f"sha256:{component['code']}",
    }
    licence = component["licence"]
    single = licence and " " not in licence
    return (
        {**said, "license": f"https://spdx.org/licenses/{licence}" if single else licence}
        if licence
        else said
    )


def _file(file: Exported) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": file.title,
        "encodingFormat": file.kind,
        "contentSize": str(file.size),
        "sha256": file.sha256,
    }
    if file.credits:
        found["license"] = found["creditText"] = "; ".join(file.credits)
    if file.synthetic:
        found["description"] = f"Synthetic: {' '.join(file.synthetic)}"
    return found


def _files_read(record: Mapping[str, Any]) -> dict[str, str]:
    """Digest of each data file by ``component: name``, as activities call it."""
    components = record["components"].items()
    return {f"{n}: {file}": digest for n, c in components for file, digest in c.get("files", {}).items()}


def _input_id(name: str) -> str:
    return f"#input-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _input(name: str, digest: str) -> dict[str, Any]:
    return {"@type": "CreativeWork", "name": name, "identifier": f"sha256:{digest}"}


def describe_provenance(record: Mapping[str, Any], found: Export) -> dict[str, Any]:
    """PROV-O as JSON-LD: activities, entities and agents, with identifiers as in the crate."""
    graph: list[dict[str, Any]] = []
    owner = record["twin"]["owner"]
    if owner:
        graph.append({"@id": "#owner", "@type": ["prov:Agent", "prov:Organization"], "rdfs:label": owner})
    for name, component in record["components"].items():
        label = f"{component['use']} {component['version']} of {component['distribution']}"
        graph.append({"@id": f"#{name}", "@type": ["prov:Agent", "prov:SoftwareAgent"], "rdfs:label": label})
    for name, digest in _files_read(record).items():
        graph.append(
            {"@id": _input_id(name), "@type": "prov:Entity", "rdfs:label": f"{name}, sha256 {digest}"}
        )
    graph += [_prov_activity(a, owner) for a in found.activities]
    makers = {file: a.key for a in found.activities for file in a.made}
    for file in found.files:
        entity: dict[str, Any] = {"@id": file.path, "@type": "prov:Entity", "rdfs:label": file.title}
        if file.path in makers:
            entity["prov:wasGeneratedBy"] = {"@id": f"#{makers[file.path][:16]}"}
        graph.append(entity)
    context = {
        "prov": "http://www.w3.org/ns/prov#",
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
    }
    return {"@context": context, "@graph": graph}


def _prov_activity(activity: Activity, owner: str) -> dict[str, Any]:
    agents = [{"@id": f"#{c}"} for c in activity.components] + ([{"@id": "#owner"}] if owner else [])
    files = {a for a in activity.used if a.startswith("results/")}
    found: dict[str, Any] = {
        "@id": f"#{activity.key[:16]}",
        "@type": "prov:Activity",
        "rdfs:label": activity.title,
        "prov:used": [{"@id": u if u in files else _input_id(u)} for u in activity.used],
        "prov:wasAssociatedWith": agents,
        "prov:endedAtTime": {"@value": activity.ended, "@type": "xsd:dateTime"},
    }
    if activity.started:
        found["prov:startedAtTime"] = {"@value": activity.started, "@type": "xsd:dateTime"}
    return found
