"""What the off-policy estimators refuse, and how they say so."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flywheel_assets.errors import FlywheelError, OffPolicyError
from flywheel_assets.off_policy import (
    Estimate,
    LoggedDecisions,
    difference,
    dm,
    dr,
    dr_os,
    ips,
    overlap,
    replay,
    snips,
    switch_dr,
)

Estimator = Callable[..., Estimate]
LOG: dict[str, Any] = {"reward": [1, 0, 2, 0], "propensity": [0.5, 0.25, 0.5, 0.25]}
MODEL: dict[str, Any] = {"predicted": [1, 0.5, 1, 0], "predicted_value": [0.5, 0.5, 1, 0.5]}
TARGET = [0.25, 0.5, 1, 0]


def logged(**columns: Any) -> LoggedDecisions:
    """Take lists for arrays."""
    return LoggedDecisions(**columns)


SPARSE: dict[str, Any] = {"reward": [0, 1] * 500, "propensity": [0.5] * 1_000}


@pytest.mark.parametrize(
    ("log", "target", "reason"),
    [
        (SPARSE, [1e-3] * 940 + [1] * 60, "effective sample size 62 of 1,000 rows, where 100"),
        (
            SPARSE | {"propensity": [0.5] * 999 + [0.0025]},
            [0.46] * 999 + [0.2],
            r"one row carries 8% of the weight, where 5% is allowed \(largest weight 80\)",
        ),
        (SPARSE, [0.4] * 1_000, "the log never takes 20% of the policy's actions"),
        (SPARSE, [0.7] * 1_000, "the mean weight is 1.4, where right propensities give 1"),
        (SPARSE, [0] * 1_000, "none of 1,000 rows shows an action that the policy would take"),
        (SPARSE, [1, 0] * 500, "each of the 500 matched rewards is 0: nothing says how far"),
    ],
)
@pytest.mark.parametrize("estimator", [ips, snips, dm, dr, switch_dr, dr_os])
def test_no_number_without_support(
    estimator: Estimator, log: dict[str, Any], target: list[float], reason: str
) -> None:
    """Whichever way it is asked for, there is the reason in its place."""
    model = {"predicted": [0.123] * 1_000, "predicted_value": [0.123] * 1_000}
    found = estimator(logged(**log, **model, target=target))
    assert not found.supported
    for text in (str(found), f"{found}", f"{found:.4f}"):
        assert text.startswith("no estimate: ")
        assert "0.123" not in text
    for name in ("value", "lower", "upper", "lower_bound", "standard_error"):
        with pytest.raises(OffPolicyError, match=reason):
            getattr(found, name)
        assert found.as_row()[name] is None
    right = ips(logged(**log, target=log["propensity"]))
    assert right.supported
    with pytest.raises(OffPolicyError, match=f"challenger: .*{reason}"):
        difference(found, right).lower_bound  # noqa: B018  it raises


def test_actions_that_the_log_never_takes_are_counted_exactly() -> None:
    """Where every propensity is known, chance does not come into it."""
    rows = LoggedDecisions.of_actions(
        reward=SPARSE["reward"],
        propensity=[[0.5, 0.5, 0.0]] * 1_000,
        action=[0, 1] * 500,
        target=[[0.46, 0.48, 0.06]] * 1_000,
    )
    assert overlap(rows).unsupported_share == pytest.approx(0.06)
    assert str(ips(rows)) == (
        "no estimate: the log never takes 6% of the policy's actions, where 5% is allowed"
    )


def test_a_small_log_of_the_policy_itself_is_no_lack_of_overlap() -> None:
    """Forty rows that weigh the same are forty rows."""
    found = ips(logged(reward=[0, 1] * 20, propensity=[0.5] * 40, target=[0.5] * 40))
    assert found.supported
    assert found.value == 0.5
    assert "effective sample size 40 of 40 rows" in str(found)


def of_entities(sizes: list[int]) -> LoggedDecisions:
    """Log an even policy; all rows of an entity come to the same."""
    entity = np.repeat(np.arange(len(sizes)), sizes)
    half = np.full(len(entity), 0.5)
    return logged(reward=entity % 3 == 0, propensity=half, target=half, cluster=entity)


@pytest.mark.parametrize(
    ("largest", "sample", "share"), [(250, 70, "11%"), (500, 24, "20%"), (2_000, 4, "50%")]
)
def test_one_large_entity_is_no_overlap(largest: int, sample: int, share: str) -> None:
    """It is one draw, however many rows it has: the interval from it would cover .8, .65, .0."""
    log = of_entities([largest] + [5] * 400)
    assert str(snips(log)) == (
        f"no estimate: effective sample size {sample} of 401 clusters, where 100 are needed; one "
        f"cluster carries {share} of the weight, where 5% is allowed (largest weight 1)"
    )
    rows = replace(log, cluster=None)
    assert f"effective sample size {len(rows.reward):,} of {len(rows.reward):,} rows" in str(
        snips(rows)
    )


@pytest.mark.parametrize("size", [1, 50])
@pytest.mark.parametrize("count", [30, 400])
def test_entities_of_one_size_are_as_many_as_they_are(size: int, count: int) -> None:
    """However many rows each of them has, and in a difference just as alone."""
    found = snips(of_entities([size] * count))
    assert str(found.overlap) == (
        f"effective sample size {count} of {count} clusters, largest weight 1"
    )
    same = difference(found, found).overlap
    assert same.n_clusters == count
    assert same.largest_share == pytest.approx(1 / count)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": [1, 0, 2]}, r"propensity of shape \(n_rows,\) .* found \(4,\)"),
        ({"target": [[0.5], [0.5], [0.5], [0.5]]}, "LoggedDecisions.of_actions"),
        ({"reward": [1, math.nan, 0, 0]}, "finite reward; found nan in row 1"),
        ({"reward": [1, None, 0, 0]}, "finite reward; found nan in row 1"),
        ({"reward": ["a", "b", "c", "d"]}, "reward as numbers"),
        ({"predicted": [1, 0, math.inf, 0]}, "finite predicted; found inf in row 2"),
        ({"propensity": [0.5, 0, 0.5, 0.5]}, "above 0 and at most 1; found 0.0 in row 1"),
        ({"propensity": [0.5, 0.5, 1.5, 0.5]}, "above 0 and at most 1; found 1.5 in row 2"),
        ({"target": [0.5, 0.5, 0.5, -0.5]}, "target from 0 to 1; found -0.5 in row 3"),
        ({"predicted_value": None}, "both predicted and predicted_value"),
        ({"cluster": np.array(["a"] * 4)}, "at least two clusters; found 1"),
        ({"cluster": np.array(["a", None, "b", "b"])}, "cluster of one type that sorts"),
        ({"unsupported": math.nan}, "unsupported from 0 to 1; found nan"),
        ({"cluster": np.array(["a", "b"])}, r"cluster of shape \(n_rows,\)"),
    ],
)
def test_rows_that_mean_nothing_are_refused(change: dict[str, Any], message: str) -> None:
    """Before anything is computed, with where it is."""
    with pytest.raises(OffPolicyError, match=message) as refused:
        logged(**LOG | MODEL | {"target": TARGET} | change)
    assert isinstance(refused.value, FlywheelError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": [0, 2]}, "actions from 0 to 1"),
        ({"action": [0, -1]}, "actions from 0 to 1"),
        ({"action": [0.0, 1.0]}, "action .* of integers"),
        ({"action": [0]}, "action .* of integers"),
        ({"target": [0.5, 0.5]}, r"target \(n_rows, n_actions\)"),
        ({"target": [[0.5, 0.5], [0.5, 0.6]]}, "sum to 1 over the actions; found 1.1 in row 1"),
        ({"target": [[1.5, -0.5], [0.5, 0.5]]}, "target from 0 to 1"),
        ({"propensity": [[0.5, 0.4], [0.5, 0.5]]}, "propensity to sum to 1"),
        ({"propensity": [[1.0, 0.0], [1.0, 0.0]]}, "propensity above 0 .* in row 1"),
        ({"predicted": [0.5, 0.5]}, "predicted of the shape of target"),
        ({"reward": [0, 1, 1]}, r"propensity of shape \(n_rows,\)"),
    ],
)
def test_actions_that_mean_nothing_are_refused(change: dict[str, Any], message: str) -> None:
    """The same for every action's probabilities."""
    given_right: dict[str, Any] = {
        "reward": [0, 1],
        "propensity": [0.5, 0.5],
        "action": [0, 1],
        "target": [[0.5, 0.5], [0.5, 0.5]],
    }
    with pytest.raises(OffPolicyError, match=message):
        LoggedDecisions.of_actions(**given_right | change)


def test_what_an_estimator_cannot_do_it_refuses() -> None:
    """A model that is not there, replay under chance, levels and parameters out of range."""
    rows = logged(**LOG, target=TARGET)
    for estimator in (dm, dr, switch_dr, dr_os):
        with pytest.raises(OffPolicyError, match="expected predicted and predicted_value for"):
            estimator(rows)
    with pytest.raises(OffPolicyError, match="target 0 or 1, for replay"):
        replay(rows)
    with pytest.raises(OffPolicyError, match=r"found propensities from 0.25 to 0.5"):
        replay(logged(**LOG, target=[1, 1, 0, 0]))
    for level in (0.4, 1.0, 95.0, math.nan):
        with pytest.raises(OffPolicyError, match=r"a level from \.5 to below 1"):
            ips(rows, level=level)
    modelled = logged(**LOG, **MODEL, target=TARGET)
    for parameter in (-1.0, math.nan):
        with pytest.raises(OffPolicyError, match="from 0 to infinity"):
            dr_os(modelled, shrinkage=parameter)


def test_only_policies_on_the_same_rows_are_compared() -> None:
    """Another log, another order or another level is no pair."""
    one = ips(logged(**LOG, target=TARGET))
    reverse = {name: values[::-1] for name, values in LOG.items()}
    with pytest.raises(OffPolicyError, match="same logged rows; found another reward"):
        difference(one, ips(logged(**reverse, target=TARGET)))
    clustered = logged(**LOG, target=TARGET, cluster=np.array([1, 1, 2, 2]))
    with pytest.raises(OffPolicyError, match="another cluster"):
        difference(one, ips(clustered))
    with pytest.raises(OffPolicyError, match=r"one level, 0.95; found 0.9"):
        difference(one, ips(one.logged, level=0.9))
