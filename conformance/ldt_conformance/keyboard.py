"""A walk over a page with the Tab key, and what the mouse could press that it did not reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOST_STOPS = 60
"""Of one block: a reader who does not see it must get past it by Tab."""
LONGEST = 1500


@dataclass
class Walk:
    """``stops`` in their order, ``trapped`` where the focus stays or turns in a circle, ``unmarked`` the stops whose
    focus cannot be seen, ``unreached`` what can be pressed and was no stop, ``in_block`` stops by block."""

    stops: list[str] = field(default_factory=list)
    trapped: str = ""
    unmarked: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)
    in_block: dict[str, int] = field(default_factory=dict)


# Everything through shadow roots; the look of a thing is compared with and without the focus on it.
_TOOLS = """
() => {
  const deep = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? deep(e.shadowRoot) : [])]);
  const say = (e) => e.outerHTML.replace(/\\s+/g, " ").slice(0, 120);
  const look = (e) => {
    const s = getComputedStyle(e);
    const line = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 ? s.outline : "";
    return [line, s.boxShadow, s.border, s.backgroundColor, s.textDecoration].join("|");
  };
  const shown = (e) => e.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true});
  const active = () => {
    let e = document.activeElement;
    while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
    return !e || e === document.body || e === document.documentElement ? null : e;
  };
  const native = "a[href], area[href], button, summary, input:not([type=hidden]), select, textarea, video[controls]";
  const role = "[role=button], [role=link], [role=checkbox], [role=radio], [role=tab], [role=slider], [role=switch], [role=menuitem], [role=option]";
  const plain = new Map(deep(document).map((e) => [e, look(e)]));
  const seen = [];
  window.__ldt_walk = {
    here() {
      const e = active();
      if (!e) return null;
      const known = seen.indexOf(e);
      if (known >= 0) return {known, what: say(e)};
      seen.push(e);
      const block = e.closest("article, section, [role=region]");
      return {known: -1, what: say(e), marked: look(e) !== plain.get(e),
        block: block ? (block.querySelector("h1, h2, h3, h4, h5")?.textContent || block.id).trim().slice(0, 120) : ""};
    },
    unreached() {
      const listens = __ldt_seen.clicked.filter((e) => e instanceof Element && e !== document.body && e !== document.documentElement);
      const keyed = new Set(__ldt_seen.keyed);
      const pressed = new Set([...listens, ...deep(document).filter((e) => e.matches(`${native}, ${role}, [onclick]`))]);
      const works = (e) => e.matches(native) || e.hasAttribute("onkeydown") || e.hasAttribute("onkeyup") || [...keyed].some((k) => k instanceof Node && k.contains(e));
      return [...pressed].filter((e) => e.isConnected && shown(e) && !e.disabled && !e.closest("[inert]"))
        .filter((e) => !(seen.includes(e) && works(e)) && !seen.some((s) => s !== e && e.contains(s)) && !inGroup(e)).map(say);
      // The keyboard stops at one radio button of a group; arrows reach the others.
      function inGroup(e) { return e.matches("input[type=radio]") && seen.some((s) => s.name === e.name && s.type === "radio"); }
    },
  };
}
"""


def walk(page: Page) -> Walk:
    """Press Tab until the page is left, come round, or stood still."""
    page.evaluate(_TOOLS)
    found = Walk()
    for _ in range(LONGEST):
        page.keyboard.press("Tab")
        here: dict[str, Any] | None = page.evaluate("__ldt_walk.here()")
        if here is None:
            break
        if here["known"] >= 0:
            # Round to the first stop is the way out of a page that fills the window.
            if here["known"] > 0 or len(found.stops) == 1:
                found.trapped = here["what"]
            break
        found.stops.append(here["what"])
        if not here["marked"]:
            found.unmarked.append(here["what"])
        if here["block"]:
            found.in_block[here["block"]] = found.in_block.get(here["block"], 0) + 1
    else:
        found.trapped = f"more than {LONGEST} stops"
    found.unreached = page.evaluate("__ldt_walk.unreached()")
    return found
