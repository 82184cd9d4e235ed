"""The figures of the flywheel effect: shares, recovery, and that they come out of a real run."""

from pathlib import Path

import polars as pl
import pytest

from flywheel_benchmarks.effect import REFERENCES, Task, run
from flywheel_benchmarks.effect_figures import (
    COLOURS,
    comparable,
    markdown,
    mean_of,
    plot,
    recovered,
    shares,
)

SHOCK = 30


def invented(fallen: int) -> pl.DataFrame:
    """Make two worlds in which the flywheel earns half of what the oracle does above the bootstrap.

    From the shock on it earns nothing, for so many days in the first world, for ever in the second.
    """
    rows = []
    for seed in (0, 1):
        for day in range(60):
            low = day >= SHOCK and (seed == 1 or day < SHOCK + fallen)
            earned = dict.fromkeys(COLOURS, 100.0)
            earned |= {"oracle": 300.0, "flywheel": 100.0 if low else 200.0}
            rows += [
                {"policy": p, "seed": seed, "day": day, "expected": e} for p, e in earned.items()
            ]
    return pl.DataFrame(rows)


def test_a_share_is_of_what_the_oracle_earns_above_the_bootstrap() -> None:
    """(200 - 100) / (300 - 100), and 0 where the flywheel earns what the bootstrap does."""
    frame = invented(10)
    assert shares(mean_of(frame, 1, SHOCK), "flywheel").to_list() == [0.5, 0.5]
    assert shares(mean_of(frame, 31, 40), "flywheel").to_list() == [0.0, 0.0]
    assert shares(mean_of(frame, 1, SHOCK), "oracle").to_list() == [1.0, 1.0]


@pytest.mark.parametrize("fallen", [0, 5, 14])
def test_recovery_is_the_first_whole_week_at_the_old_share(fallen: int) -> None:
    """After ten days below, the first week that is not is complete on the seventeenth day."""
    assert recovered(invented(fallen), SHOCK)["days"].to_list() == [fallen + 7, None, None]


def test_the_mean_of_worlds_recovers_where_one_makes_up_for_another() -> None:
    """One world never comes back; the other earns twice its old share after ten days."""
    better = (pl.col("policy") == "flywheel") & (pl.col("seed") == 0)
    late = pl.col("day") >= SHOCK + 10
    frame = invented(10).with_columns(
        pl.when(better & late).then(300.0).otherwise("expected").alias("expected")
    )
    # A week of which four days earn twice the old share has more than that share already.
    assert recovered(frame, SHOCK).sort("seed", nulls_last=True)["days"].to_list() == [14, None, 17]


def test_figures_and_plot_name_every_policy() -> None:
    """The page has a row for each policy, the plot is an SVG without a background."""
    page, drawn = markdown(invented(10), SHOCK, 3_000, 200), plot(invented(10), SHOCK)
    assert all(f"| {policy} |" in page for policy in COLOURS)
    assert "1 of 2" in page
    assert drawn.startswith("<svg")
    assert all(colour in drawn for colour in COLOURS.values())
    assert 'fill="white"' not in drawn


def test_worlds_are_compared_where_all_that_the_bars_need_was_run() -> None:
    """A world without the frozen model is left out; one without the policy beside it is not."""
    without = pl.col("policy") != "no exploration"
    some = invented(10).filter(without | (pl.col("seed") == 0))
    page = markdown(comparable(some), SHOCK, 3_000, 200)
    assert "2 worlds, 60 days" in page
    assert "no exploration (1 worlds only)" in page
    fewer = some.filter((pl.col("policy") != "frozen") | (pl.col("seed") == 1))
    assert comparable(fewer)["seed"].unique().to_list() == [1]
    assert plot(comparable(fewer), SHOCK).startswith("<svg")


def test_references_run_in_the_world_of_the_flywheel(tmp_path: Path) -> None:
    """The more is known, the more is earned; a run that is kept is read again."""
    tasks = {policy: Task(policy, 0, 12, tmp_path) for policy in REFERENCES}
    total = {policy: run(task)["expected"].sum() for policy, task in tasks.items()}
    assert total["oracle"] > total["all but noise"] > total["ideal observer"] > total["bootstrap"]
    kept = pl.read_parquet(tasks["oracle"].file).with_columns(expected=pl.lit(1.0))
    kept.write_parquet(tasks["oracle"].file)
    assert run(tasks["oracle"])["expected"].to_list() == [1.0] * 12
