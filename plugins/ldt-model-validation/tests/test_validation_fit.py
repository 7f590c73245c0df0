"""Agreement of simulated with observed values, against closed forms and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_model_validation import Nearby, Validation, ldt_models
from pydantic import ValidationError

import ldt_core as ldt

IDS = ["a", "b", "c", "d", "e"]
FLOWS = st.lists(st.floats(0, 1e5).map(lambda v: round(v, 2)), min_size=2, max_size=5)


def _table(
    id: str, value: str, ids: list[str], values: list[float], missing: list[bool] | None = None
) -> ldt.Table:
    names = np.empty(len(ids), object)
    names[:] = ids
    masks = None if missing is None else {value: np.array(missing, bool)}
    return ldt.Table({id: names, value: np.array(values, float)}, masks)


def _sim(ids: list[str], values: list[float]) -> ldt.Table:
    return _table("edge", "flow", ids, values)


def _obs(ids: list[str], values: list[float], missing: list[bool] | None = None) -> ldt.Table:
    return _table("station", "flow", ids, values, missing)


def _match(pairs: list[tuple[str, str]]) -> ldt.Table:
    stations, edges = (list(side) for side in zip(*pairs, strict=True))
    return ldt.Table({"station": stations, "edge": edges})


def _run(
    simulated: ldt.Table, observed: ldt.Table, match: ldt.Table | None = None, **params: Any
) -> tuple[dict[str, Any], ldt.Table, dict[str, float]]:
    window = ldt.Window(3600 * ldt.SECOND, 7200 * ldt.SECOND)
    model = Validation(params, ldt.Context(start=np.datetime64("2024-02-01T07:00", "us"), window=window))
    _, outputs = model.ports()
    inputs = {"simulated": simulated, "observed": observed} | ({} if match is None else {"match": match})
    tables = model.compute(inputs)
    for name, table in tables.items():
        ldt.check(table, outputs[name], name)
    fit, compared = tables["fit"], tables["compared"]
    assert isinstance(fit, ldt.Table)
    assert isinstance(compared, ldt.Table)
    assert len(fit) == 1
    row = {n: None if fit.mask(n)[0] else fit[n][0] for n in fit.names}
    return row, compared, {f.name: f.value for f in model.context.flags}


def test_the_plugin_offers_both_models() -> None:
    assert ldt_models() == [Validation, Nearby]


def test_a_case_worked_by_hand() -> None:
    row, compared, flags = _run(
        _sim(["a", "b", "c", "x"], [100, 200, 300, 9]), _obs(["c", "a", "b"], [400, 100, 100])
    )
    assert row["time"] == np.datetime64("2024-02-01T08:00"), "the window's start"
    assert row["pairs"] == 3
    assert (row["simulated_total"], row["observed_total"]) == (600, 600)
    assert (row["bias"], row["relative_bias"]) == (0, 0)
    assert row["rmse"] == pytest.approx(np.sqrt(20000 / 3))
    assert row["correlation"] == pytest.approx(np.sqrt(3) / 2)
    # GEH: sqrt(2 * 100^2 / 700) = 5.345, 0 and sqrt(2 * 100^2 / 300) = 8.165
    assert compared["geh"] == pytest.approx([5.34522, 0, 8.16497], abs=1e-5)
    assert row["geh_under_5"] == pytest.approx(100 / 3)
    assert compared["station"].tolist() == ["c", "a", "b"]
    assert compared["difference"].tolist() == [-100, 0, 100]
    assert flags == {"unpaired_observations": 0}


@settings(deadline=None)
@given(simulated=FLOWS, data=st.data())
def test_the_measures_are_those_of_numpy(simulated: list[float], data: st.DataObject) -> None:
    n = len(simulated)
    observed = data.draw(st.lists(st.floats(1, 1e5).map(lambda v: round(v, 2)), min_size=n, max_size=n))
    row, _, _ = _run(_sim(IDS[:n], simulated), _obs(IDS[:n], observed))
    s, o = np.array(simulated), np.array(observed)
    assert row["bias"] == pytest.approx(s.mean() - o.mean(), abs=1e-6)
    assert row["relative_bias"] == pytest.approx((s.sum() / o.sum() - 1) * 100, abs=1e-6)
    assert row["rmse"] == pytest.approx(np.linalg.norm(s - o) / np.sqrt(n))
    assert row["rmse"] >= abs(row["bias"]) - 1e-6
    if np.ptp(s) == 0 or np.ptp(o) == 0:
        assert row["correlation"] is None
    else:
        assert row["correlation"] == pytest.approx(np.corrcoef(s, o)[0, 1], abs=1e-6)


@settings(deadline=None)
@given(values=FLOWS, gain=st.floats(0.01, 100), offset=st.floats(0, 1000))
def test_correlation_knows_no_gain_and_no_offset(values: list[float], gain: float, offset: float) -> None:
    o = np.array(values)
    row, _, _ = _run(_sim(IDS[: len(o)], (gain * o + offset).tolist()), _obs(IDS[: len(o)], values))
    if np.ptp(o) > 0.01 * o.max():
        assert row["correlation"] == pytest.approx(1, abs=1e-6)


@settings(deadline=None)
@given(values=FLOWS, order=st.permutations(range(5)))
def test_the_order_of_rows_changes_nothing(values: list[float], order: list[int]) -> None:
    n = len(values)
    ids, other = IDS[:n], values[::-1]
    turned = [i for i in order if i < n]
    one, _, _ = _run(_sim(ids, values), _obs(ids, other))
    two, _, _ = _run(_sim([ids[i] for i in turned], [values[i] for i in turned]), _obs(ids, other))
    assert one == two


def test_identical_sides_agree_fully() -> None:
    row, _, _ = _run(_sim(IDS, [1, 2, 3, 4, 0]), _obs(IDS, [1, 2, 3, 4, 0]))
    assert (row["correlation"], row["rmse"], row["geh_under_5"]) == (pytest.approx(1), 0, 100)


def test_several_rows_of_one_id_are_averaged_and_missing_ones_left_out() -> None:
    simulated = _sim(["a", "a", "b"], [100, 300, 50])
    observed = _obs(["a", "b", "a", "b"], [100, 0, 200, 70], [False, True, False, False])
    row, compared, _ = _run(simulated, observed)
    assert compared["simulated"].tolist() == [200, 50]
    assert compared["observed"].tolist() == [150, 70]
    assert row["pairs"] == 2


def test_ids_pair_by_a_table() -> None:
    match = _match([("s2", "b"), ("s1", "a"), ("s1", "a"), ("s1", "c"), ("s9", "c"), ("s3", "gone")])
    row, compared, flags = _run(_sim(["a", "b", "c"], [1, 2, 3]), _obs(["s1", "s2", "s3"], [1, 2, 3]), match)
    pairs = list(zip(compared["station"], compared["simulated_id"], strict=True))
    assert pairs == [("s1", "a"), ("s1", "c"), ("s2", "b")], "a pair once, however often the table names it"
    assert row["pairs"] == 3
    assert flags == {"unpaired_observations": 1}


def test_ids_of_the_table_may_be_written_otherwise() -> None:
    rules = [{"pattern": r"__l\d+$"}, {"pattern": "_", "by": " "}]
    match = _match([("0.127_2.19_6_1__l0", "a"), ("0.127_2.19_6_1__l1", "a")])
    row, compared, _ = _run(_sim(["a"], [7]), _obs(["0.127 2.19 6 1"], [7]), match, match_rewrite=rules)
    assert row["pairs"] == 1
    assert compared["simulated_id"].tolist() == ["a"]


def test_what_cannot_be_said_is_missing() -> None:
    row, _, _ = _run(_sim(["a"], [5]), _obs(["a"], [0]))
    assert row["correlation"] is None, "one pair has no correlation"
    assert row["relative_bias"] is None, "nothing was observed to be relative to"
    assert row["bias"] == 5
    row, compared, _ = _run(_sim(["a"], [5]), _obs(["a"], [0], [True]))
    assert row["pairs"] == 0
    assert len(compared) == 0
    assert {n for n, v in row.items() if v is not None} == {"time", "pairs"}


def test_ids_that_never_pair_are_refused_with_a_sample_of_both() -> None:
    with pytest.raises(ldt.InputError, match=r"none of 1 observed and 2 simulated.*'s1' and 'a'") as caught:
        _run(_sim(["a", "b"], [1, 2]), _obs(["s1"], [1]))
    assert "match" in caught.value.fix


def test_ports_follow_the_parameters() -> None:
    model = Validation(
        {
            "unit": "ug/m3",
            "quantity": "x:no2",
            "simulated_id": "cell",
            "simulated_value": "c",
            "observed_entity": "st",
        }
    )
    inputs, outputs = model.ports()
    assert inputs["simulated"].columns["c"] == ldt.number("ug/m3", "x:no2", cell="mean", range=(-1e15, 1e15))
    assert inputs["match"].optional
    assert outputs["fit"].columns["rmse"].unit == "ug/m3"
    assert "geh_under_5" not in outputs["fit"].columns, "GEH is for vehicles per hour alone"
    assert (outputs["compared"].entity, outputs["compared"].id) == ("st", "station")
    with pytest.raises(ValidationError):
        Validation({"match_rewrite": [{"pattern": "("}]})


@pytest.mark.parametrize(
    ("params", "judged"),
    [
        ({}, True),
        ({"judge_from": "1h", "judge_until": "2h"}, True),
        ({"judge_until": "90min"}, False),
        ({"judge_from": "61min"}, False),
    ],
)
def test_windows_of_a_warm_up_or_a_run_out_are_not_judged(params: dict[str, str], judged: bool) -> None:
    """The window of these tests is the second hour."""
    row, compared, flags = _run(_sim(["a", "b"], [1, 2]), _obs(["a", "b", "x"], [2, 4, 6]), **params)
    assert row["pairs"] == len(compared) == (2 if judged else 0)
    assert row["correlation"] == (pytest.approx(1) if judged else None)
    assert row["bias"] == (-1.5 if judged else None)
    assert flags == ({"unpaired_observations": 1} if judged else {}), "an earlier report still holds"


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValidationError, match="judge_until must come after judge_from"):
        Validation.Params(judge_from="1h", judge_until="30min")  # type: ignore[arg-type]


def test_a_total_too_small_to_be_relative_to_has_no_relative_bias() -> None:
    row, _, _ = _run(_sim(["a"], [1e6]), _obs(["a"], [5e-324]))
    assert row["relative_bias"] is None
    assert row["observed_total"] == 5e-324


def test_differences_of_temperatures_are_intervals() -> None:
    _, outputs = Validation({"unit": "Cel", "quantity": "air_temperature"}).ports()
    assert {outputs["fit"].columns[n].unit for n in ("bias", "rmse")} == {"K"}
    assert outputs["compared"].columns["difference"].unit == "K"
    assert outputs["compared"].columns["simulated"].unit == "Cel"


@pytest.mark.parametrize(("unit", "mark"), [("{veh}/h", -999.0), ("{veh}/h", 1e20), ("Cel", 9.96921e36)])
def test_a_mark_that_stands_for_a_missing_value_is_refused(unit: str, mark: float) -> None:
    inputs, _ = Validation({"unit": unit, "quantity": "x:traffic_flow"}).ports()
    good = _obs(["a", "b"], [1.0, 2.0])
    assert ldt.check(good, inputs["observed"], "observed") is not None
    with pytest.raises(ldt.InputError):
        ldt.check(_obs(["a", "b"], [1.0, mark]), inputs["observed"], "observed")
