"""A stranger's long description as HTML that can do nothing: Markdown, then an allow-list; all of it in a process that may be killed.

What takes too long, breaks the process or is no Markdown is shown as plain text.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import os
import re
import resource
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import IO

LARGEST = 256 * 1024
SECONDS = 2.0
START = 20.0
MEMORY = 2**29
KEPT = 256
MARKDOWN = "text/markdown"
TAGS = {
    "a", "b", "blockquote", "br", "caption", "code", "dd", "del", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "kbd",
    "li", "ol", "p", "pre", "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_HEADING = re.compile(r"<(/?)h([1-6])>")


class Readmes:
    """Renders descriptions and keeps the last ones; started when first asked."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._kept: OrderedDict[str, str] = OrderedDict()

    def render(self, text: str, kind: str) -> str:
        """HTML of a description of this media type. It holds no id, class, style, image, script, or attribute but a few."""
        if kind != MARKDOWN or len(text) > LARGEST:
            return as_plain(text[:LARGEST])
        key = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        found = self._kept.get(key)
        if found is None:
            if not self._lock.acquire(timeout=self._seconds):
                return as_plain(text)  # another description holds the process up
            try:
                answer = self._ask(text)
            finally:
                self._lock.release()
            found = as_plain(text) if answer is None else answer
            self._keep(key, found)
        return found

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _keep(self, key: str, found: str) -> None:
        self._kept[key] = found
        with contextlib.suppress(KeyError):
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def _ask(self, text: str) -> str | None:
        """None where it took too long, or broke the process; both end that process."""
        try:
            asked, answers = self._started()
            with _patience(self._process, self._seconds):
                asked.write(json.dumps(text).encode() + b"\n")
                asked.flush()
                found = json.loads(answers.readline())
            return str(found)
        except (OSError, ValueError):
            self.close()
            return None

    def _started(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**_environment()},
            )
            assert self._process.stdout is not None
            with _patience(self._process, START):  # what it imports is not the description's fault
                if not self._process.stdout.readline():
                    raise OSError("the process that renders did not start")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


@contextlib.contextmanager
def _patience(process: subprocess.Popen[bytes] | None, seconds: float) -> Iterator[None]:
    assert process is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "PYTHONPATH")}


def as_plain(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>" if text.strip() else ""


def to_html(text: str) -> str:
    """In the process that may be killed: Markdown to HTML, and of that what is on the list."""
    import comrak
    import nh3

    extensions = comrak.ExtensionOptions()
    extensions.table = extensions.strikethrough = extensions.autolink = True
    rough = comrak.render_markdown(text, extension_options=extensions)
    clean = nh3.clean(
        rough,
        tags=TAGS,
        clean_content_tags={"script", "style", "template", "svg", "math"},
        attributes={"a": {"href"}, "td": {"align"}, "th": {"align"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="nofollow ugc noopener noreferrer",
        strip_comments=True,
    )
    return _sink_headings(clean)


def _sink_headings(clean: str) -> str:
    """Headings stand below those of the page (from h3), and none skips a level: so they can be walked through."""
    last = 2
    opened: list[int] = []

    def sink(found: re.Match[str]) -> str:
        nonlocal last
        if found[1]:
            return f"</h{opened.pop()}>" if opened else ""
        last = min(int(found[2]) + 2, last + 1, 6)
        opened.append(last)
        return f"<h{last}>"

    return _HEADING.sub(sink, clean)


def _serve() -> None:
    import comrak  # noqa: F401  imported before it says that it is ready
    import nh3  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print('"ready"', flush=True)
    for line in sys.stdin:
        print(json.dumps(to_html(json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve()
