"""SVG as escaped text: elements, coordinates, classes of colour."""

from __future__ import annotations

from markupsafe import Markup, escape


def attributes(values: dict[str, object]) -> str:
    """``fill_opacity=.2`` -> `` fill-opacity="0.2"``; None is left out."""
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{short(v) if isinstance(v, float) else escape(v)}"'
        for name, v in values.items()
        if v is not None
    )


def tag(name: str, *children: str | Markup, **values: object) -> Markup:
    """One element; children that are not Markup are escaped."""
    inner = "".join(str(escape(c)) for c in children)
    head = f"<{name}{attributes(values)}"
    return Markup(f"{head}>{inner}</{name}>" if inner else f"{head}/>")


def short(value: float, digits: int = 2) -> str:
    """A number in as few characters as its digits allow."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def join(parts: list[Markup] | list[str]) -> Markup:
    return Markup("").join(parts)
