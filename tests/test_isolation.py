"""A component gives the same bits and says the same errors in a process of its own; its end is told, and is an end."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ldt_core as ldt
from ldt_core import process
from ldt_core.environments import Environment, solve
from ldt_core.errors import Cancelled, ChildError, InputError, LdtError, PluginError
from ldt_core.isolation import Launch, Place, load_isolated
from ldt_core.runner import Member, Setting, run_stage
from ldt_core.tables import check, port_as_dict
from ldt_core.wires import Wire

sys.path.insert(0, str(Path(__file__).parent))
import apart
from test_viewing import view as seen
from workshop import alive

HERE = Path(__file__).parent
SECOND = 1_000_000
OUT = ldt.Port(
    {"time": ldt.instant(), "id": ldt.text(), "value": ldt.number("m", "x:length", nulls=False)},
    entity="spot",
    id="id",
)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment in which ``apart_parts.py`` is installed as ``ldt-apart``."""
    folder = tmp_path_factory.mktemp("apart")
    apart.put_stand_ins(folder)
    code = (HERE / "apart_parts.py").read_text(encoding="utf-8")
    apart.put_plugin(
        folder,
        "ldt-apart",
        code,
        {
            "mirror": "model",
            "walker": "simulator",
            "basin": "simulator",
            "spring": "source",
            "lens": "viewer",
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart.only_links(folder).items():
            patch.setenv(name, value)
        patch.delenv("UV_CONSTRAINT", raising=False)
        (made,) = solve(["ldt-apart"], folder / "envs")
        yield made
    process.end_idle()
    assert not [p for p in apart.descendants(os.getpid()) if "ldt_core.child" in _command(p)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture(scope="session")
def here() -> Iterator[dict[str, Any]]:
    """The same classes, imported into this process."""
    spec = importlib.util.spec_from_file_location("ldt_apart", HERE / "apart_parts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ldt_apart"] = module
    spec.loader.exec_module(module)
    yield {c.id: c for c in (module.Mirror, module.Walker, module.Basin, module.Spring, module.Lens)}
    del sys.modules["ldt_apart"]


@pytest.fixture(scope="session")
def there(environment: Environment) -> Callable[..., Any]:
    def load(id: str, **limits: int) -> Any:
        return load_isolated(environment.offers().find(id), Place(environment, **limits))

    return load


def run(component: Any, folder: Path, deed: str = "", steps: int = 4, **more: Any) -> Any:
    """A whole stage of one walker: its outcome, or the error."""
    raw = {"outputs": {"out": port_as_dict(OUT)}, "deed": deed, "stops": more.pop("stops", [])}
    params = component.Params.model_validate(raw)
    member = Member("walk", component, params, {}, {"out": OUT}, 60 * SECOND, 7)
    start = np.datetime64("2026-03-02T05:00", "us")
    box = (600_000.0, 5_700_000.0, 606_000.0, 5_706_000.0)
    setting = Setting(start, steps * 60 * SECOND, "EPSG:25832", box, folder / "scratch", folder / "cache")
    return run_stage([member], [], {}, {"walk.out": None}, setting, **more)


def said(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What came of it, comparably: the same for both ways of running."""
    try:
        outcome = call()
    except LdtError as exc:
        group = "RunError" if isinstance(exc, ChildError) else type(exc).__name__
        what = exc.what.replace("apart_parts.py", "__init__.py")
        return group, what, exc.code, exc.where, exc.fix
    recordings = {ref: (r.digest, r.table.digest) for ref, r in outcome.recordings.items()}
    return recordings, outcome.flags, outcome.notes


SAME = [
    *("", "raise", "refuse", "exit", "early", "backwards", "list", "absent", "dict", "nan"),
    *("extra", "log"),
]


@pytest.mark.parametrize("deed", SAME)
def test_a_run_says_the_same_both_ways(
    here: dict[str, Any], there: Callable[..., Any], tmp_path: Path, deed: str
) -> None:
    assert said(lambda: run(there("walker"), tmp_path, deed)) == said(
        lambda: run(here["walker"], tmp_path, deed)
    )


@pytest.mark.parametrize("deed", ["object", "complex"])
def test_what_cannot_travel_is_refused_as_it_is_here(
    here: dict[str, Any], there: Callable[..., Any], tmp_path: Path, deed: str
) -> None:
    far = said(lambda: run(there("walker"), tmp_path, deed))
    near = said(lambda: run(here["walker"], tmp_path, deed))
    assert (*far[:3], far[4]) == (*near[:3], near[4])
    assert near[2] == "contract broken"
    assert far[3] in ("out.id (walk, [60 s, 120 s))", "out.value (walk, [60 s, 120 s))")


KINDS = ("number", "integer", "boolean", "instant", "text", "geometry")


@st.composite
def cases(draw: st.DrawFn) -> tuple[ldt.Port, ldt.Table]:
    """A port and a table that may or may not fit it: NaN, marks where none may be, ids of every script."""
    rows = draw(st.integers(0, 5))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    columns: dict[str, Any] = {}
    port: dict[str, ldt.Column] = {}
    masks: dict[str, Any] = {}
    for number, kind in enumerate(kinds):
        name, nulls = f"{kind} {number}", draw(st.booleans())
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
        if kind == "number":
            column = ldt.number("m", "x:length", nulls=nulls)
            columns[name] = draw(hnp.arrays(np.float64, rows))
        elif kind == "integer":
            column = ldt.integer(nulls=nulls)
            columns[name] = draw(hnp.arrays(np.int64, rows))
        elif kind == "boolean":
            column = ldt.boolean(nulls=nulls)
            columns[name] = draw(hnp.arrays(bool, rows))
        elif kind == "instant":
            column = ldt.instant(nulls=nulls)
            columns[name] = draw(hnp.arrays(np.int64, rows)).view("<M8[us]")
        else:
            points = st.tuples(st.floats(0, 9), st.floats(0, 9)).map(shapely.Point)
            column = ldt.text(nulls=nulls) if kind == "text" else ldt.geometry("point", nulls=nulls)
            values = np.empty(rows, object)
            one = st.none() | (text if kind == "text" else points)
            values[:] = draw(st.lists(one, min_size=rows, max_size=rows))
            columns[name] = values
        port[name] = column
        if draw(st.booleans()):
            masks[name] = draw(hnp.arrays(bool, rows))
    return ldt.Port(port), ldt.Table(columns, masks)


def mirrored(component: Any, port: ldt.Port, table: ldt.Table) -> Any:
    ports = {"x": port_as_dict(port)}
    mirror = component({"inputs": ports, "outputs": ports})
    try:
        first = check(mirror.compute({"x": table})["x"], port, "x")
        again = check(mirror.compute({"x": table})["x"], port, "x")
        return first.digest, again.digest, first.names, {n: m.tolist() for n, m in first.masks.items()}
    except LdtError as exc:
        return exc.what, exc.code
    finally:
        mirror.finalize()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_any_table_is_taken_or_refused_alike(
    case: tuple[ldt.Port, ldt.Table], here: dict[str, Any], there: Callable[..., Any]
) -> None:
    assert mirrored(there("mirror"), *case) == mirrored(here["mirror"], *case)


def test_a_grid_goes_through_as_it_is(there: Callable[..., Any]) -> None:
    grid = ldt.Grid({"no2": np.arange(6.0).reshape(2, 3)}, ("y", "x"), (1, 0, 0, 0, -1, 9), "EPSG:25832")
    port = ldt.GridPort({"no2": ldt.number("ug/m3", "x:no2")}, dims=("y", "x"))
    ports = {"g": port_as_dict(port)}
    mirror = there("mirror")({"inputs": ports, "outputs": ports})
    assert mirror.compute({"g": grid})["g"].digest == grid.digest
    mirror.finalize()


def test_state_goes_out_and_in(there: Callable[..., Any]) -> None:
    params = {"outputs": {"out": port_as_dict(OUT)}}
    walker = there("walker")(params)
    for _ in range(3):
        walker.step({}, SECOND)
    state = walker.get_state()
    walker.finalize()
    walker.finalize()
    other = there("walker")(params)
    other.set_state(state)
    assert (state, other.get_state()) == (b"\3\0\0\0", state)
    other.finalize()


def test_chance_and_flags_go_back_with_the_state(here: dict[str, Any], there: Callable[..., Any]) -> None:
    params = {"outputs": {"out": port_as_dict(OUT)}}
    found = []
    for component in (here["walker"], there("walker")):
        walker = component(params)
        digests = [walker.step({}, SECOND)["out"].digest]
        state, rng, flags = walker.get_state(), walker.context.rng_state, list(walker.context.flags)
        digests += [walker.step({}, SECOND)["out"].digest for _ in range(2)]
        walker.set_state(state)
        walker.context.rng_state = rng
        walker.context.flags[:] = [*flags, ldt.Flag("restored", 1.0, "1", "")]
        digests += [walker.step({}, SECOND)["out"].digest for _ in range(2)]
        assert digests[1:3] == digests[3:]
        found.append((digests, rng, walker.context.rng_state, walker.context.flags))
        walker.finalize()
    assert found[0] == found[1]
    assert [f.name for f in found[1][3]] == ["restored", "steps"]


@pytest.mark.parametrize("when", ["lag", "iterate"])
def test_a_loop_comes_to_the_same_bits_whoever_of_it_is_isolated(
    here: dict[str, Any], there: Callable[..., Any], tmp_path: Path, when: str
) -> None:
    def looped(first: Any, second: Any) -> Any:
        ports = {"inputs": {"in": port_as_dict(OUT)}, "outputs": {"out": port_as_dict(OUT)}}
        members = [
            Member(
                name, kind, kind.Params.model_validate(ports), {"in": OUT}, {"out": OUT}, 60 * SECOND, seed
            )
            for name, kind, seed in (("a", first, 1), ("b", second, 2))
        ]
        wires = [
            Wire("a", "out", "b", "in", methods={"value": "mean"}),
            Wire("b", "out", "a", "in", when=when, methods={"value": "mean"}),
        ]
        start = np.datetime64("2026-03-02T05:00", "us")
        setting = Setting(start, 300 * SECOND, "EPSG:25832", None, tmp_path / "scratch", tmp_path / "cache")
        return run_stage(members, wires, {}, {"a.out": None, "b.out": None}, setting)

    near, far = here["basin"], there("basin")
    expected = said(lambda: looped(near, near))
    assert len(expected[0]["a.out"]) == 2
    for pair in ((far, near), (near, far), (far, far)):
        assert said(lambda pair=pair: looped(*pair)) == expected


def test_a_source_is_read_in_batches_and_says_its_version(there: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "words").write_text("one two drei")
    params = there("spring").Params.model_validate({"file": "words"}, context={"base": tmp_path})
    spring = there("spring")(params)
    batches = [b["rows"]["id"][0] for b in spring.read(ldt.Query(start=np.datetime64("2026-01-01", "us")))]
    assert batches == ["one", "two", "drei"]
    assert spring.version(ldt.Query()) == "one"
    spring.finalize()


# -- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        {"stops": ["a", 2.5], "speed": "3 kg"},
        {"velocity": 3},
        {"speed": "nan"},
        {"token": 7, "file": 9},
        {"inputs": {"x": 3}},
    ],
    ids=repr,
)
def test_wrong_parameters_are_refused_alike(
    here: dict[str, Any], there: Callable[..., Any], raw: dict[str, Any]
) -> None:
    from pydantic import ValidationError

    def refused(component: Any) -> list[Any]:
        with pytest.raises(ValidationError) as caught:
            component.Params.model_validate(raw)
        return [(i["loc"], i["type"], i["msg"]) for i in caught.value.errors(include_url=False)]

    assert refused(there("walker")) == refused(here["walker"])


def test_parameters_enter_keys_alike(here: dict[str, Any], there: Callable[..., Any], tmp_path: Path) -> None:
    from ldt_core.tasks import canonical_params

    (tmp_path / "net.xml").write_text("<net/>")
    raw = {"speed": "36 km/h", "file": "net.xml", "token": "secret", "stops": [1, 2**60]}
    both = [
        canonical_params(c.Params.model_validate(raw, context={"base": tmp_path}))
        for c in (here["walker"], there("walker"))
    ]
    assert both[0] == both[1]
    assert both[0]["speed"] == 10.0
    assert "secret" not in str(both)


# -- how it may end ----------------------------------------------------------------------------------


def gone(pids: list[int]) -> None:
    end = time.monotonic() + 20
    while any(alive(p) for p in pids):
        assert time.monotonic() < end, f"left running: {[_command(p) for p in pids if alive(p)]}"
        time.sleep(0.02)


def pids_of(folder: Path) -> list[int]:
    return [int(p) for p in (folder / "cache" / "walker" / "pids").read_text().split()]


MIB = 1 << 20
ENDS = {
    "crash": ("killed", "SIGSEGV", {}),
    "leave": ("killed", "exit code 3. Last words: so long", {}),
    "eat": ("out of memory", "limit of 600 MiB", {"memory": 600 * MIB}),
    "wait": (
        "timed out",
        "longer than 1 s; its process was ended. Last words: waiting for ever",
        {"timeout": SECOND},
    ),
    "garble": ("contract broken", "no message", {}),
}


@pytest.mark.parametrize("deed", ENDS)
def test_the_end_of_a_process_is_told(there: Callable[..., Any], tmp_path: Path, deed: str) -> None:
    code, words, limits = ENDS[deed]
    with pytest.raises(ChildError) as caught:
        run(there("walker", **limits), tmp_path, deed)
    assert (caught.value.code, caught.value.where) == (code, "walk, [60 s, 120 s)")
    assert words in caught.value.what
    assert caught.value.fix
    if deed == "wait":
        gone(pids_of(tmp_path))


@pytest.mark.parametrize("size", [1 << 20, 1 << 60], ids=["a MiB", "more than there is"])
def test_a_message_that_never_comes_to_its_end_is_told(
    there: Callable[..., Any], tmp_path: Path, size: int
) -> None:
    with pytest.raises(ChildError) as caught:
        run(there("walker", timeout=SECOND), tmp_path, "promise", stops=[size])
    assert caught.value.code == ("timed out" if size == 1 << 20 else "contract broken")


def test_who_logs_for_ever_is_ended_in_time_too(there: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ChildError) as caught:
        run(there("walker", timeout=SECOND), tmp_path, "babble")
    assert caught.value.code == "timed out"


def test_few_processes_rest(there: Callable[..., Any]) -> None:
    params = {"outputs": {"out": port_as_dict(OUT)}}
    walkers = [there("walker")(params) for _ in range(5)]
    pids = [w._process.pid for w in walkers]
    for walker in walkers:
        walker.finalize()
    gone(pids[:1])
    assert sum(map(len, process._idle.values())) <= 4


def test_output_without_end_breaks_nothing(there: Callable[..., Any], tmp_path: Path) -> None:
    outcome = run(there("walker"), tmp_path, "shout")
    assert len(outcome.recordings["walk.out"].table) == 12


def test_what_it_started_ends_with_it(there: Callable[..., Any], tmp_path: Path) -> None:
    run(there("walker"), tmp_path, "child")
    pids = pids_of(tmp_path)
    process.end_idle()
    gone(pids)


def test_a_cancelled_run_ends_it(there: Callable[..., Any], tmp_path: Path) -> None:
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        run(there("walker"), tmp_path, "patient", cancelled=cancelled)


def test_what_it_logs_and_how_far_it_is_comes_back(
    there: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shares: list[float] = []
    with caplog.at_level(logging.INFO, "ldt.component.walk"):
        outcome = run(there("walker"), tmp_path, "log", progress=shares.append)
    messages = [(r.name, r.levelname, r.message) for r in caplog.records]
    assert ("ldt.component.walk", "INFO", "step 4") in messages
    assert ("ldt.component.walk", "WARNING", "looking around") in messages
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert outcome.flags["walk"][0].value == 4.0


def test_after_an_error_of_its_own_a_process_serves_on(there: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(there("walker"), tmp_path, "refuse")
    before = {p.pid for waiting in process._idle.values() for p in waiting}
    assert len(run(there("walker"), tmp_path).recordings["walk.out"].table) == 12
    assert {p.pid for waiting in process._idle.values() for p in waiting} == before


def test_a_killed_parent_takes_everything_with_it(environment: Environment, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
from ldt_core.environments import Environment
from ldt_core.isolation import Place, load_isolated
import test_isolation as t
environment = Environment(*{tuple(environment)!r})
walker = load_isolated(environment.offers().find("walker"), Place(environment))
t.run(walker, Path({str(tmp_path)!r}), "wait")
"""
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        end = time.monotonic() + 60
        while not (tmp_path / "cache" / "walker" / "pids").is_file():
            assert time.monotonic() < end
            assert parent.poll() is None
            time.sleep(0.02)
        while len(pids_of(tmp_path)) < 2:
            time.sleep(0.02)
        below = apart.descendants(parent.pid)
        assert set(pids_of(tmp_path)) <= set(below)
        parent.send_signal(signal.SIGKILL)
    gone(below)


def test_instances_that_share_a_process_keep_to_themselves(environment: Environment) -> None:
    place = Place(environment, launch=Launch(shared=True))
    walker: Any = load_isolated(environment.offers().find("walker"), place)

    def made(seed: int) -> Any:
        params = walker.Params.model_validate({"outputs": {"out": port_as_dict(OUT)}})
        return walker(params, ldt.Context(seed=seed))

    def walked(*instances: Any) -> list[list[str]]:
        """Two steps of each, in turns."""
        found: list[list[str]] = [[] for _ in instances]
        for until in (60 * SECOND, 120 * SECOND):
            for values, instance in zip(found, instances, strict=True):
                values.append(instance.step({}, until)["out"].digest)
                values.append(str(instance.context.flags))
        return found

    alone = [walked(made(seed))[0] for seed in (1, 2)]
    one, two = made(1), made(2)
    assert walked(one, two) == alone
    assert one._process is two._process
    one.finalize()
    with pytest.raises(LdtError, match="was finalized"):
        one.step({}, 180 * SECOND)
    assert two.step({}, 180 * SECOND)["out"]
    two.finalize()
    process.end_idle(place)
    assert two._process._process.poll() is not None


def test_another_core_in_the_environment_is_refused(environment: Environment, tmp_path: Path) -> None:
    copy = tmp_path / "other"
    (copy / "ldt_core").parent.mkdir(parents=True)
    shutil.copytree(apart.CORE / "ldt_core", copy / "ldt_core", ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "ldt_core" / "units.py").open("a") as stream:
        stream.write("# changed\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={copy} exec {environment.python} "$@"\n')
    python.chmod(0o755)
    with pytest.raises(PluginError, match="another ldt-core") as caught:
        process.Process(Place(environment._replace(python=str(python))))
    assert caught.value.code == "contract version"


def test_an_environment_that_was_removed_is_told(environment: Environment) -> None:
    with pytest.raises(PluginError, match="cannot be used"):
        process.Process(Place(environment._replace(python="/nowhere/python")))


def test_a_plugin_that_cannot_be_imported_says_so(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "links"
    apart.put_stand_ins(folder)
    apart.put_plugin(folder, "ldt-broken", "import nothing_of_this_name", {"broken": "model"})
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    (made,) = solve(["ldt-broken"], folder / "envs")
    with pytest.raises(PluginError, match="nothing_of_this_name") as caught:
        load_isolated(made.offers().find("broken"), Place(made))
    assert caught.value.code == "import failed"


def test_a_request_that_makes_no_sense_is_an_error_and_no_end(there: Callable[..., Any]) -> None:
    walker = there("walker")({})
    with pytest.raises(ChildError, match="AttributeError"):
        walker._ask({"do": "compute", "tables": []})
    walker.finalize()


@pytest.mark.parametrize("deed", ["", "stray", "none"])
def test_a_viewer_shows_the_same_both_ways(
    here: dict[str, Any], there: Callable[..., Any], deed: str
) -> None:
    def shown(viewer: Any) -> tuple[Any, ...]:
        looked = seen()
        made = viewer(viewer.Params.model_validate({"deed": deed}))
        try:
            found = made.render(looked)
        except LdtError as exc:
            return type(exc), exc.what, exc.code
        finally:
            made.finalize()
        if not hasattr(found, "blocks"):
            return (type(found).__name__,)
        return found, looked.images, {n: t.digest for n, t in looked.published.items()}

    assert shown(there("lens")) == shown(here["lens"])


def test_a_viewer_that_dies_while_it_looks_is_told(there: Callable[..., Any]) -> None:
    viewer = there("lens")
    made = viewer(viewer.Params.model_validate({"deed": "die"}))
    with pytest.raises(ChildError, match="exit code 9"):
        made.render(seen())
    made.finalize()
