"""Maps: what is drawn is what was given, and never by colour alone."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_web import colours
from ldt_web.hatch import ANGLES, SPACING, hatch
from ldt_web.maps import TOOLTIPS, Shared, draw_map
from ldt_web.paths import UNITS, Frame, path_data
from ldt_web.scalebar import ground_width, nice_length

import ldt_core as ldt
from ldt_core import scene as sc

STEP = re.compile(r"-?\d+")


def decode(data: str) -> list[np.ndarray]:
    """The points of each run of path data."""
    runs = []
    for part in data.split("M")[1:]:
        head, _, rest = part.partition("l")
        start = np.array([int(n) for n in STEP.findall(head)][:2])
        steps = np.array([int(n) for n in STEP.findall(rest)]).reshape(-1, 2)
        runs.append(np.vstack((start, start + steps.cumsum(axis=0))))
    return runs


def draw(made, block=None, **more):
    block = block or made.map()
    bundle = made.bundle([block], **more)
    return draw_map(block, bundle, Shared(), name="m", wide=True)


def groups(picture, kind="line"):
    """Colour, width, dash and number of places of each class, in the order of drawing."""
    found = re.findall(rf'<g class="value-{kind}"([^>]*)>(.*?)</g>', str(picture.svg), re.S)
    return [(dict(re.findall(r'([\w-]+)="([^"]*)"', a)), body.count("<path")) for a, body in found]


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 4000)), min_size=2, max_size=30, unique=True))
def test_a_path_keeps_to_its_line(points):
    line = shapely.LineString(points)
    (data,) = path_data(np.array([line], object))
    drawn = [shapely.LineString(run) for run in decode(data)]
    assert shapely.hausdorff_distance(line, shapely.MultiLineString(drawn)) <= UNITS / 2 + 1.5


@given(st.floats(0, 5000), st.floats(0, 4000), st.floats(0.01, 900), st.integers(3, 40))
def test_an_area_is_drawn_however_small(x, y, radius, corners):
    turns = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    area = shapely.Polygon(np.column_stack((x + radius * np.cos(turns), y + radius * np.sin(turns))))
    (data,) = path_data(np.array([area], object))
    assert data.startswith("M")
    assert data.endswith("z")
    ring = decode(data)[0]
    assert np.abs(ring.mean(axis=0) - (x, y)).max() <= radius + 2


def test_holes_and_parts_are_kept():
    ring = shapely.box(0, 0, 1000, 1000).difference(shapely.box(300, 300, 600, 600))
    both = shapely.union_all([ring, shapely.box(2000, 0, 3000, 500)])
    assert path_data(np.array([both], object))[0].count("z") == 3


def test_a_frame_keeps_shape_and_holds_its_bounds():
    frame = Frame.of((0, 0, 1000, 500), 1000)
    west, south, east, north = frame.bounds
    assert (west, south) < (0, 0)
    assert (east, north) > (1000, 500)
    assert frame.width / frame.height == pytest.approx((east - west) / (north - south), rel=1e-3)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e5), st.floats(0, 1e5))
def test_a_frame_is_never_a_ribbon(x, y, across, up):
    frame = Frame.of((x, y, x + across, y + up), 1000)
    assert 390 <= frame.height <= 1610


@pytest.mark.parametrize(
    "bounds", [(1, 0, 0, 1), (0, 1, 1, 0), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1)]
)
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(ldt.InputError, match="bounds"):
        Frame.of(bounds, 1000)


def test_the_scale_bar_is_true_on_the_ground():
    metric = Frame.of((600_000, 5_700_000, 601_000, 5_700_800), 1000)
    assert ground_width("EPSG:25832", metric) == pytest.approx(metric.bounds[2] - metric.bounds[0], rel=1e-3)
    x, y = 2_776_000.0, 8_437_000.0  # 60.2 degrees north: Web Mercator doubles lengths there
    mercator = Frame.of((x, y, x + 2000, y + 1600), 1000)
    share = ground_width("EPSG:3857", mercator) / (mercator.bounds[2] - mercator.bounds[0])
    assert share == pytest.approx(math.cos(math.radians(60.2)), rel=5e-3)


def test_an_unknown_crs_is_refused():
    with pytest.raises(ldt.InputError, match="coordinate reference system"):
        ground_width("EPSG:nonsense", Frame.of((0, 0, 1, 1), 1000))


@given(st.floats(1e-3, 1e8))
def test_bar_lengths_are_round(most):
    length = nice_length(most)
    assert most / 2.6 < length <= most * 1.000001
    assert f"{length:.6e}"[0] in "125"


@pytest.mark.parametrize("angle", [a for a in ANGLES if a is not None])
def test_hatching_fills_its_area_evenly_and_stays_inside(angle):
    area = shapely.Polygon([(100, 100), (2100, 300), (1900, 2300), (200, 1800)])
    lines = [shapely.LineString(run) for run in decode(hatch(np.array([area], object), angle))]
    assert sum(line.length for line in lines) == pytest.approx(area.area / SPACING, rel=0.05)
    assert all(area.buffer(2).covers(line) for line in lines)


def test_hatching_bears_areas_that_cross_themselves():
    bow = shapely.Polygon([(0, 0), (500, 500), (500, 0), (0, 500)])
    assert hatch(np.array([bow], object), 0).startswith("M")


def test_every_place_is_drawn_in_its_class(made):
    flow = made.streets()["flow"]
    picture = draw(made)
    expected = [
        int(np.sum(c))
        for c in (flow < 100, (flow >= 100) & (flow < 300), (flow >= 300) & (flow < 600), flow >= 600)
    ]
    counts = [int(e.count) for e in picture.legends[0].entries]
    assert counts == [*expected, 1]  # one street has no value
    drawn = groups(picture)
    assert sorted(n for _, n in drawn) == sorted(n for n in counts if n)
    assert [e.label for e in picture.legends[0].entries] == [
        "under 100",
        "100 to 300",
        "300 to 600",
        "600 or more",
        "no value",
    ]


def test_wider_means_more(made):
    widths = [float(a["stroke-width"]) for a, _ in groups(draw(made)) if "stroke-dasharray" not in a]
    assert widths == sorted(widths)
    assert widths[-1] > 2 * widths[0]


def test_decreases_are_dashed_and_marked_in_words(made):
    block = made.map(layers=[made.layer(field="change", scale=made.DIVERGING)])
    picture = draw(made, block)
    dashed = {a["stroke"] for a, _ in groups(picture) if "stroke-dasharray" in a}
    looks = colours.looks_of(made.DIVERGING)
    assert dashed == {look.colour for look in looks if look.sign == "less"}
    assert [e.label[0] for e in picture.legends[0].entries] == ["▼", "▼", "−", "▲", "▲"]


@pytest.mark.parametrize(("better", "up"), [("lower", "red"), ("higher", "blue"), (None, "orange")])
def test_the_worse_side_is_red_and_none_is_where_none_is_worse(better, up):
    looks = colours.looks_of(sc.Scale(kind="diverging", breaks=[-1, 1], better=better))
    assert looks[2].colour == colours.ramp(up, 0.6)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8, unique=True).map(sorted))
def test_diverging_classes_know_their_side(breaks):
    looks = colours.looks_of(sc.Scale(kind="diverging", breaks=[float(b) for b in breaks]))
    assert len(looks) == len(breaks) + 1
    if breaks[0] <= 0 <= breaks[-1]:
        edges = [-math.inf, *breaks, math.inf]
        for look, low, high in zip(looks, edges, edges[1:], strict=False):
            assert look.sign == ("less" if high <= 0 else "more" if low >= 0 else "same")
    weights = [look.weight for look in looks if look.sign == "more"]
    assert weights == sorted(weights)


@given(st.integers(1, 8))
def test_sequential_classes_grow_darker(count):
    looks = colours.looks_of(sc.Scale(kind="sequential", breaks=[float(i) for i in range(count)]))
    light = [colours.luminance(look.colour) for look in looks]
    assert light == sorted(light, reverse=True)
    assert len(set(light)) == len(light)


def test_colours_of_categories_stand_out_from_white():
    assert all(colours.contrast(c, "#ffffff") >= 3 for c in [*colours.CATEGORIES, colours.MISSING][:-1])


def test_categories_have_a_sign_beside_colour(made):
    lines = draw(made, made.map(layers=[made.layer(field="class", scale=made.CATEGORICAL, unit=None)]))
    dashes = [a.get("stroke-dasharray") for a, _ in groups(lines)]
    assert len(set(dashes)) == 3
    points = draw(
        made, made.map(layers=[made.layer(field="class", scale=made.CATEGORICAL, geometry="point")])
    )
    shapes = {
        re.search(r' d="([^"]*)"', body).group(1)
        for body in re.findall(r'<g class="value-point".*?</g>', str(points.svg))
    }
    assert len(shapes) == 3


def test_areas_that_decrease_are_hatched(made):
    layer = made.layer(
        data="houses", geometry="polygon", field="level", unit="dB", scale=made.DIVERGING, label=None
    )
    scale = sc.Scale(kind="diverging", breaks=[-1, 1], better="lower")
    picture = draw(made, made.map(layers=[layer.model_copy(update={"scale": scale})]))
    assert str(picture.svg).count('class="hatch"') == 1


def test_each_place_can_be_asked_for_its_name_and_value(made):
    table = made.streets()
    svg = str(draw(made).svg)
    for name, flow in zip(table["name"][:5], table["flow"][:5], strict=True):
        title = re.search(rf"<title>{name}: (\S+)\u202f?.*?</title>", svg)
        assert float(title.group(1).split("\u202f")[0]) == pytest.approx(flow, rel=0.01, abs=0.6)


def test_a_crowd_of_places_becomes_one_path_per_class(made):
    crowd = made.buildings(TOOLTIPS + 1)
    layer = made.layer(data="houses", geometry="polygon", field="level", unit="dB", label=None)
    scale = sc.Scale(kind="sequential", breaks=[0])
    picture = draw(
        made, made.map(layers=[layer.model_copy(update={"scale": scale})]), tables={"houses": crowd}
    )
    assert [n for _, n in groups(picture, "polygon")] == [1, 1]
    assert sum(int(e.count) for e in picture.legends[0].entries) == len(crowd)


def crowd_of_points(made, count, **layer):
    points = made.buildings(count)
    kinds = np.array([("main", "side", "lane")[i % 3] for i in range(count)], object)
    points = points.with_columns(geometry=shapely.centroid(points["geometry"]), kind=kinds)
    given = {"data": "houses", "geometry": "point", "field": "level", "unit": "dB", "label": None, **layer}
    return draw(made, made.map(layers=[made.layer(**given)]), tables={"houses": points})


def test_a_crowd_of_points_becomes_dots_in_one_path_per_class(made):
    few, many = (crowd_of_points(made, TOOLTIPS + n, scale=made.DIVERGING) for n in (0, 1))
    assert sum(n for _, n in groups(few, "point")) == TOOLTIPS
    dots = re.findall(
        r'<path d="([^"]*)" class="value-dots" stroke="([^"]*)" stroke-width="([^"]*)"/>', str(many.svg)
    )
    entries = [int(e.count) for e in many.legends[0].entries]
    assert sorted(d.count("M") for d, _, _ in dots) == sorted(n for n in entries if n)
    assert sum(entries) == TOOLTIPS + 1
    assert len({colour for _, colour, _ in dots}) == len(dots)
    assert len(many.svg) < len(few.svg) / 3


def test_dots_are_smaller_the_more_there_are_and_larger_for_more(made):
    scale = sc.Scale(kind="sequential", breaks=[0])

    def widths(count):
        svg = str(crowd_of_points(made, count, scale=scale).svg)
        return [float(w) for w in re.findall(r'class="value-dots"[^>]*stroke-width="([^"]*)"', svg)]

    some, more = widths(20_000), widths(40_000)
    assert len(some) == len(more) == 2
    assert some == sorted(some)
    assert all(b < a for a, b in zip(some, more, strict=True))


def test_a_crowd_of_categories_keeps_its_shapes(made):
    svg = str(crowd_of_points(made, TOOLTIPS + 1, field="kind", unit=None, scale=made.CATEGORICAL).svg)
    assert "value-dots" not in svg
    assert svg.count("<path") < 20


def test_context_is_kept_once_for_all_maps(made):
    block, shared = made.map(), Shared()
    bundle = made.bundle([block])
    pictures = [draw_map(block, bundle, shared, name=n, wide=True) for n in ("a", "b")]
    assert len(shared.names) == 1
    assert all('<use href="#shape0"/>' in str(p.svg) for p in pictures)


def test_data_in_another_crs_is_drawn_in_the_same_place(made):
    from pyproj import Transformer

    streets = made.streets()
    back = Transformer.from_crs("EPSG:25832", "EPSG:4326", always_xy=True)
    moved = streets.with_columns(
        geometry=shapely.transform(streets["geometry"], back.transform, interleaved=False)
    )
    block = made.map(layers=[made.layer()])
    here = draw(made, block)
    refs = [made.ref("streets", moved, crs="EPSG:4326")]
    there = draw(made, block, tables={"streets": moved}, refs=refs)
    ours, theirs = (
        [run for d in re.findall(r'<path d="([^"]*)"><title>', str(p.svg)) for run in decode(d)]
        for p in (here, there)
    )
    assert len(ours) == len(theirs) > 20
    assert all(np.abs(a[0] - b[0]).max() <= 1 for a, b in zip(ours, theirs, strict=True))


def test_what_lies_outside_is_not_drawn_and_what_crosses_is_cut(made):
    lines = [
        shapely.LineString([(0, 0), (10, 10)]),
        shapely.LineString([(599_000, 5_700_400), (602_000, 5_700_400)]),
    ]
    table = ldt.Table(
        {"edge": ["far", "long"], "name": ["far", "long"], "flow": [1.0, 2.0], "geometry": lines}
    )
    svg = str(draw(made, made.map(layers=[made.layer()]), tables={"streets": table}).svg)
    assert "<title>far" not in svg
    (run,) = decode(re.search(r'<path d="([^"]*)"><title>long', svg).group(1))
    assert run[:, 0].min() >= -20 * UNITS - 1
    assert run[:, 0].max() <= (1040 + 20) * UNITS + 1


@pytest.mark.parametrize(
    "shape",
    [
        None,
        shapely.Point(),
        shapely.LineString(),
        shapely.Point(float("nan"), 1),
        shapely.LineString([(0, 0), (float("inf"), 1)]),
    ],
)
def test_shapes_that_are_none_are_left_out(made, shape):
    table = ldt.Table({"edge": ["a"], "name": ["a"], "flow": [1.0], "geometry": np.array([shape], object)})
    picture = draw(made, made.map(layers=[made.layer()]), tables={"streets": table})
    assert not groups(picture)


def test_an_empty_layer_is_drawn_as_nothing(made):
    table = ldt.Table({"edge": [], "name": np.empty(0, object), "flow": [], "geometry": np.empty(0, object)})
    picture = draw(made, made.map(layers=[made.layer()]), tables={"streets": table})
    assert [e.count for e in picture.legends[0].entries] == ["0"] * 4


def test_missing_values_are_said_and_not_drawn_as_zero(made):
    streets = made.streets()
    masked = streets.with_mask("flow", np.arange(len(streets)) < 10)
    entries = draw(made, tables={"streets": masked}).legends[0].entries
    assert (entries[-1].label, entries[-1].count) == ("no value", "11")


def test_the_strongest_places_are_labelled_without_overlap(made):
    picture = draw(made)
    labels = re.findall(
        r'<text x="([\d.]+)%" y="([\d.]+)%"[^>]*class="label[^"]*">([^<]*)<', str(picture.over)
    )
    assert labels
    strongest = max(float(v) for v in made.streets()["flow"][:-1])
    assert any(text.endswith(f"{strongest:.0f}") for _, _, text in labels) or len(labels) >= 3


def make_blocks(made, count=40):
    """Areas that all change, half of them down, with long names, close together."""
    table = made.buildings(count)
    names = [f"Central railway station building {i}" for i in range(count)]
    return table.with_columns(name=np.array(names, object), level=np.where(np.arange(count) % 2, 3.0, -5.0))


@pytest.mark.parametrize(("wide", "width"), [(True, 510), (False, 350)])
def test_labels_never_collide_and_are_not_cut(made, wide, width):
    layer = made.layer(data="houses", geometry="polygon", field="level", unit="dB", scale=made.DIVERGING)
    scale = sc.Scale(kind="diverging", breaks=[-1, 1], better="lower")
    block = made.map(layers=[layer.model_copy(update={"scale": scale})])
    tables = {"houses": make_blocks(made)}
    picture = draw_map(block, made.bundle([block], tables=tables), Shared(), name="m", wide=wide)
    boxes, texts = [], []
    found = re.findall(
        r'<text x="([\d.]+)%" y="([\d.]+)%" dy="([-\d.]+)" text-anchor="(\w+)" class="label( wide)?">(.*?)</text>',
        str(picture.over),
    )
    for x, y, lift, anchor, _, body in found:
        lines = [line for line in re.split(r"</?tspan[^>]*>", body) if line]
        texts.append(" ".join(lines))
        long = max(map(len, lines)) * 7.4
        left = float(x) / 100 * width - {"start": 0, "middle": long / 2, "end": long}[anchor]
        foot = float(y) / 100 * width * picture.height / picture.width + float(lift)
        boxes.append((left, foot - 12, left + long, foot + 15 * (len(lines) - 1)))
    assert len(boxes) >= 2
    assert all(
        a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        for a, b in itertools.combinations(boxes, 2)
    )
    assert all(left >= 0 and right <= width for left, _, right, _ in boxes)
    assert not any("…" in text for text in texts)
    assert {text.split()[-1][0] for text in texts} == {"+", "−"}, "increases and decreases alike"


def test_the_legend_counts_what_the_places_are(made):
    fields = [sc.DataField(name="edge", kind="text"), sc.DataField(name="geometry", kind="geometry")]
    bundle = made.bundle([made.map(layers=[made.layer()])])
    refs = [r.model_copy(update={"fields": fields}) for r in bundle.scene.data]
    known = draw(made, made.map(layers=[made.layer()]), refs=refs)
    assert known.legends[0].noun == "street sections"
    assert "60 street sections, from" in str(known.svg)
    assert draw(made).legends[0].noun == "places"


def test_a_column_that_is_not_there_is_named(made):
    with pytest.raises(ldt.NotFound, match="speed"):
        draw(made, made.map(layers=[made.layer(field="speed")]))


def test_data_that_is_not_listed_is_named(made):
    with pytest.raises(ldt.NotFound, match="nowhere"):
        draw(made, made.map(layers=[made.layer(data="nowhere")]))


def test_a_geometry_column_without_geometry_is_refused(made):
    table = made.streets().with_columns(geometry=made.streets()["name"])
    with pytest.raises(ldt.InputError, match="no geometry"):
        draw(made, tables={"streets": table})


@settings(max_examples=25)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20))
def test_any_value_can_be_drawn(made, values):
    lines = [
        shapely.LineString([(600_100 + i, 5_700_100), (600_200 + i, 5_700_300)]) for i in range(len(values))
    ]
    table = ldt.Table(
        {
            "edge": [str(i) for i in range(len(values))],
            "name": ["x"] * len(values),
            "flow": values,
            "geometry": lines,
        }
    )
    entries = draw(made, made.map(layers=[made.layer()]), tables={"streets": table}).legends[0].entries
    assert sum(int(e.count) for e in entries) == len(values)
