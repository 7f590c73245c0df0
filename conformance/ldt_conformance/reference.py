"""The catalogue as pages: one for each released requirement, and one that lists them all."""

from __future__ import annotations

from .requirements import RELEASE, Requirement, catalogue, released

PARTS = {
    "PKG": "The package",
    "COR": "Every component",
    "SRC": "Data sources",
    "MOD": "Models",
    "SIM": "Simulators",
    "VIE": "Viewers",
    "HTTP": "Services over HTTP",
}


def write_list() -> str:
    """The page of all requirements, those that are planned among them."""
    found = catalogue().values()
    first = [r for r in released().values() if r.level == 1]
    mapped = [r for r in released().values() if r.maps_to]
    lines = [
        f"Catalogue {RELEASE}: {len(found)} requirements, of which {len(released())} are released (each has a check, a page and a "
        f"specimen that breaks it) and {len(found) - len(released())} planned (they count in no verdict). "
        f"{len(first)} are of level 1. {len(mapped)} of those released name a clause of an outside standard.",
    ]
    for part, title in PARTS.items():
        lines += ["", f"## {title}", "", "| Requirement | Level | Promise |", "|---|---|---|"]
        for requirement in (r for r in found if r.area == part):
            lines.append(f"| {_named(requirement)} | {_level(requirement)} | {requirement.title} |")
    return "\n".join(lines) + "\n"


def _named(requirement: Requirement) -> str:
    if requirement.status == "planned":
        return f"{requirement.id} (planned)"
    return f"[{requirement.id}](requirements/{requirement.id}.md)"


def _level(requirement: Requirement) -> str:
    return "advisory" if requirement.level == "A" else str(requirement.level)


def write_page(requirement: Requirement) -> str:
    """The page of one requirement: the promise, why, a piece of code that breaks it and one that keeps it."""
    facts = [f"Level {_level(requirement)}"]
    if requirement.capability is not None:
        facts.append(f"only where `{requirement.capability}` is claimed")
    facts.append(f"since catalogue {requirement.since}")
    lines = [
        f"# {requirement.id}: {requirement.title}",
        "",
        f"{', '.join(facts)}. See it tried: `ldt certify WHAT --only {requirement.id}`.",
        "",
        f"> {requirement.must}",
        "",
        f"**Why.** {requirement.why}",
        "",
        f"**How to mend it.** {requirement.mend}",
        "",
        "## What fails",
        "",
        *_code(requirement.failing),
        "",
        "## What holds",
        "",
        *_code(requirement.mended),
        "",
        "## Where it comes from",
        "",
        f"- {requirement.source}",
        *(f"- {clause}" for clause in requirement.maps_to),
    ]
    if requirement.needs:
        links = ", ".join(f"[{n}]({n}.md)" for n in requirement.needs)
        lines += ["", f"It is tried once these hold: {links}."]
    if set(requirement.doors) == {"http"}:
        lines += ["", "It is owed by services."]
    elif "http" not in requirement.doors:
        lines += ["", "It cannot be seen of a service from outside, and is not owed by one."]
    return "\n".join(lines).rstrip() + "\n"


def _code(text: str) -> list[str]:
    """An indented block: a fragment to read, not to run."""
    return [f"    {line}".rstrip() for line in text.rstrip().splitlines()]
