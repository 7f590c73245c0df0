"""A stranger's description does nothing on our pages but be read."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ldt_registry.readme import MARKDOWN, TAGS, Readmes, to_html

ALLOWED = {"a": {"href", "rel"}, "td": {"align"}, "th": {"align"}, "ol": {"start"}}
PAYLOADS = [
    "<script>canary()</script>", "<img src=x onerror=canary()>", "![x](https://evil.example/pixel.png)", "[a](javascript:canary())",
    "[a](data:text/html;base64,PHNjcmlwdD4=)", "<a href='vbscript:canary()'>a</a>", "<svg onload=canary()><a xlink:href='javascript:canary()'>a</a></svg>",
    "<iframe srcdoc='<script>canary()</script>'></iframe>", "<style>@import 'https://evil.example'</style>", "<p style='background:url(//e.example)'>p</p>",
    "<p id=main class=warn>clobber</p>", "<form action=/account/tokens method=post><button>x</button></form>", "<input autofocus onfocus=canary()>",
    "<div hx-get='/account' data-hx-trigger='load' hx-on:load='canary()'>x</div>", "<a href='//evil.example'>x</a>", "<a href='/logout'>x</a>",
    "<math><mtext></table><mglyph><style><img src=x onerror=canary()>", "<noscript><p title='</noscript><img src=x onerror=canary()>'>", "<base href='//e.example'>",
    "<meta http-equiv=refresh content='0;url=//e.example'>", "<object data=x></object><embed src=x>", "<!--><script>canary()</script>-->", "<svg><script>canary()</script></svg>",
    "<a href='jav&#x09;ascript:canary()'>x</a>", "# <b onclick=canary()>x</b>", "`<script>`", "</div></main><h1>Not ours</h1>", "<h1>a<h2>b</h1>c</h2>",
]  # fmt: skip


class Seen(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "an element is left open, or closed that is none of its own"


def harmless(content: str) -> None:
    seen = Seen(content)
    assert seen.open == []
    for tag, attributes in seen.tags:
        assert tag in TAGS
        assert set(attributes) <= ALLOWED.get(tag, set())
        if "href" in attributes:
            assert str(attributes["href"]).startswith(("https:", "http:", "mailto:"))


@pytest.fixture(scope="module")
def readmes() -> Iterator[Readmes]:
    made = Readmes()
    yield made
    made.close()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_would_act_is_taken_out(payload: str) -> None:
    harmless(to_html(f"before\n\n{payload}\n\nafter"))


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from([*PAYLOADS, "\n", "> ", "- ", "| a | b |\n|---|---|\n", "```", "<", ">", "'", '"', "&#x3c;"]), max_size=12).map("".join))  # fmt: skip
def test_whatever_is_put_together_stays_harmless(text: str) -> None:
    harmless(to_html(text))


def test_what_a_description_is_for_is_kept(readmes: Readmes) -> None:
    found = readmes.render(
        "# Noise\n\nA *model* of [noise](https://example.org).\n\n| a | b |\n|:-:|---|\n| 1 | 2 |\n\n```python\nx = 1\n```\n",
        MARKDOWN,
    )
    for part in (
        "<em>model</em>",
        'href="https://example.org"',
        "<table>",
        '<th align="center">',
        "<pre><code>x = 1",
    ):
        assert part in found


def test_headings_stand_below_those_of_the_page_and_skip_none() -> None:
    levels = [tag for tag, _ in Seen(to_html("#### deep\n\n# top\n\n###### deeper\n")).tags if tag[0] == "h"]
    assert levels == ["h3", "h3", "h4"]


def test_what_is_no_markdown_is_shown_as_it_stands(readmes: Readmes) -> None:
    assert readmes.render("<b>x</b> & *y*", "text/x-rst") == "<pre>&lt;b&gt;x&lt;/b&gt; &amp; *y*</pre>"
    assert readmes.render("", MARKDOWN) == ""


def test_a_description_that_takes_too_long_or_breaks_its_process_is_plain_text_and_the_next_is_rendered() -> (
    None
):
    readmes = Readmes(seconds=0.5)
    try:
        assert "<em>" in readmes.render("*before*", MARKDOWN)
        first = readmes._process
        assert first is not None
        first.send_signal(19)  # SIGSTOP: it will never answer, whatever the processor does
        assert readmes.render("*slow*", MARKDOWN) == "<pre>*slow*</pre>"
        assert first.poll() is not None
        readmes._seconds = 20
        assert "<em>" in readmes.render("*after*", MARKDOWN)
        bombs = [">" * 40_000, "[" * 40_000, "<b>" * 40_000, "- " * 20_000, "*a " * 20_000, "|" * 40_000]
        readmes._seconds = 2
        for bomb in bombs:
            harmless(readmes.render(bomb, MARKDOWN))
        readmes._seconds = 20
        assert "<em>" in readmes.render("*still*", MARKDOWN)
    finally:
        readmes.close()
