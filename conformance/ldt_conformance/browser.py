"""One Chromium for all checks of a judge: a page is opened alone, with the network off, and looked at.

Playwright's loop stays in a thread of its own, so that whoever judges may run another. Each look has a new context,
waits for what it needs and never for an amount of time.
"""

from __future__ import annotations

import atexit
import base64
import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .trial import CannotTell
from .views import CALLED

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

T = TypeVar("T")
Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels of the page."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",  # pages are put together without a graphics card,
    "--enable-unsafe-swiftshader",  # and so is what draws by WebGL
)
PATIENCE = 60_000.0
"""Milliseconds after which nobody can tell what a page is like."""
WIDTH, HEIGHT = 1280, 900


@dataclass(frozen=True)
class Look(Generic[T]):
    """What was seen: the answer of the work, and what the page did meanwhile.

    ``asked`` are the addresses that it asked for besides itself, ``refused`` what its policy kept out, ``called`` the
    arguments of hostile scripts that ran, ``errors`` what it wrote to the console as an error or did not catch.
    """

    answer: T
    asked: list[str]
    refused: list[str]
    called: list[str]
    errors: list[str]


_WATCH = f"""
(() => {{
  const seen = {{called: [], refused: [], clicked: [], keyed: []}};
  Object.defineProperty(window, "__ldt_seen", {{value: seen}});
  Object.defineProperty(window, "{CALLED}", {{value: (n) => {{ seen.called.push(String(n)); }}}});
  document.addEventListener("securitypolicyviolation",
    (e) => {{ seen.refused.push(e.effectiveDirective + " " + e.blockedURI); }}, true);
  const add = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, ...rest) {{
    if (/^(click|mousedown|pointerdown|pointerup|mouseup)$/.test(type)) seen.clicked.push(this);
    if (/^key/.test(type)) seen.keyed.push(this);
    return add.call(this, type, ...rest);
  }};
}})()
"""


def find_chromium() -> str | None:
    """``LDT_CHROMIUM``, or the first that is on the path."""
    named = os.environ.get("LDT_CHROMIUM")
    return named or next((found for n in NAMES if (found := shutil.which(n))), None)


class Browser:
    """A running Chromium. Raises ``CannotTell`` where there is none."""

    def __init__(self) -> None:
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._ready = threading.Event()
        self._fault = ""
        self._desk: Page | None = None
        # Not joined at the end of the interpreter before ``close`` has been called: hence a daemon.
        self._thread = threading.Thread(target=self._serve, name="ldt-browser", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._fault:
            raise CannotTell(self._fault)

    def _serve(self) -> None:
        path = find_chromium()
        if path is None:
            self._fault = "Chromium is missing: install it (Debian: apt-get install chromium)"
            self._ready.set()
            return
        from playwright.sync_api import Error, sync_playwright

        # The superuser cannot have Chromium's own sandbox.
        flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        with sync_playwright() as play:
            try:
                self._chromium = play.chromium.launch(executable_path=path, args=flags)
            except Error as exc:
                self._fault = f"Chromium does not start: {exc.message.splitlines()[0]}"
                self._ready.set()
                return
            self._ready.set()
            while (work := self._work.get()) is not None:
                work()
            self._chromium.close()

    def close(self) -> None:
        self._work.put(None)
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and self._chromium.is_connected()

    def _do(self, function: Callable[[], T]) -> T:
        """``function`` in the browser's thread."""
        done: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

        def run() -> None:
            try:
                done.put((function(), None))
            except BaseException as exc:
                done.put((None, exc))

        self._work.put(run)
        answer, fault = done.get()
        if fault is not None:
            raise fault
        return answer  # type: ignore[return-value]

    def look(
        self, file: Path, work: Callable[[Page], T], *, width: int = WIDTH, height: int = HEIGHT
    ) -> Look[T]:
        """Open ``file`` alone and do ``work`` on its page. Raises ``CannotTell`` where Chromium itself fails."""
        from playwright.sync_api import Error

        try:
            return self._do(lambda: self._look(file, work, width, height))
        except Error as exc:
            raise CannotTell(f"Chromium: {exc.message.splitlines()[0]}") from exc

    def _look(self, file: Path, work: Callable[[Page], T], width: int, height: int) -> Look[T]:
        address = file.resolve().as_uri()
        asked: list[str] = []
        errors: list[str] = []

        def stop(route: Route) -> None:
            if route.request.url == address:
                route.continue_()
                return
            asked.append(route.request.url)
            route.abort()

        context = self._chromium.new_context(
            viewport={"width": width, "height": height}, offline=True, reduced_motion="reduce", locale="en-GB"
        )
        try:
            context.set_default_timeout(PATIENCE)
            context.add_init_script(_WATCH)
            page = context.new_page()
            page.route("**/*", stop)
            page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda e: errors.append(str(e)))
            page.on("dialog", lambda d: d.dismiss())
            page.goto(address, wait_until="load")
            page.evaluate(
                "Promise.all([...document.images].map((i) => i.decode().catch(() => 0)).concat(document.fonts.ready)).then(() => 0)"
            )
            answer = work(page)
            seen = page.evaluate("({called: __ldt_seen.called, refused: __ldt_seen.refused})")
            return Look(answer, asked, seen["refused"], seen["called"], errors)
        finally:
            context.close()

    # -- pictures ------------------------------------------------------------------------------

    def marks(self, picture: bytes, boxes: Sequence[Box]) -> list[int]:
        """Of each box in a picture (PNG), how many pixels differ clearly from its most frequent colour; its rim
        counts for nothing."""
        return list(self._judge(_MARKS, [picture], boxes))

    def difference(self, one: bytes, other: bytes) -> float:
        """The share of a picture that looks different, block by block of 4 by 4 pixels."""
        return float(self._judge(_DIFFERENCE, [one, other], ()))

    def _judge(self, script: str, pictures: Sequence[bytes], boxes: Sequence[Box]) -> Any:
        from playwright.sync_api import Error

        given = [[base64.b64encode(p).decode() for p in pictures], [list(b) for b in boxes]]

        def run() -> Any:
            if self._desk is None or self._desk.is_closed():
                self._desk = self._chromium.new_context(offline=True).new_page()
            return self._desk.evaluate(_PIXELS + script, given)

        try:
            return self._do(run)
        except Error as exc:
            raise CannotTell(f"Chromium: {exc.message.splitlines()[0]}") from exc


# A picture as its pixels, each the mean of a block.
_PIXELS = """
const pixels = async (text, block) => {
  const image = new Image();
  image.src = "data:image/png;base64," + text;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(image.width / block));
  canvas.height = Math.max(1, Math.floor(image.height / block));
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return {pen, width: canvas.width, height: canvas.height, size: [image.width, image.height]};
};
const away = (a, i, b, j) =>
  Math.max(Math.abs(a[i] - b[j]), Math.abs(a[i + 1] - b[j + 1]), Math.abs(a[i + 2] - b[j + 2]));
"""
_MARKS = """
async ([[text], boxes]) => {
  const {pen} = await pixels(text, 1);
  return boxes.map(([left, top, width, height]) => {
    const rim = 3, [w, h] = [Math.floor(width) - 2 * rim, Math.floor(height) - 2 * rim];
    if (w < 1 || h < 1) return 0;
    const {data} = pen.getImageData(Math.floor(left) + rim, Math.floor(top) + rim, w, h);
    const words = new Uint32Array(data.buffer), count = new Map();
    for (const word of words) count.set(word, (count.get(word) || 0) + 1);
    let most = words[0];
    for (const [word, many] of count) if (many > count.get(most)) most = word;
    const ground = new Uint8Array(new Uint32Array([most]).buffer);
    let marks = 0;
    for (let i = 0; i < data.length; i += 4) if (away(data, i, ground, 0) > 16) marks++;
    return marks;
  });
}
"""
_DIFFERENCE = """
async ([[one, other]]) => {
  const a = await pixels(one, 4), b = await pixels(other, 4);
  if (String(a.size) !== String(b.size)) return 1;
  const [p, q] = [a, b].map((x) => x.pen.getImageData(0, 0, x.width, x.height).data);
  let off = 0;
  for (let i = 0; i < p.length; i += 4) if (away(p, i, q, i) > 8) off++;
  return off / (a.width * a.height);
}
"""

_open: list[Browser] = []
_lock = threading.Lock()


def browser() -> Browser:
    """The one that is open, or a new one: it stays open until the interpreter ends."""
    with _lock:
        if _open and not _open[0].alive:
            _open.clear()  # it was killed, or has crashed
        if not _open:
            _open.append(Browser())
        return _open[0]


@atexit.register
def close_browser() -> None:
    """End the Chromium that is open."""
    with _lock:
        while _open:
            _open.pop().close()


@cache
def axe_script() -> str:
    """The rules of axe-core, as a script that defines ``axe``."""
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8") + "\n;0"
