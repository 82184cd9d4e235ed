"""What a person sees of assets: pictures that are legible anywhere, numbers in names that stay."""

import base64
import re
from datetime import date, timedelta

import dagster as dg
import polars as pl
import pytest

from flywheel_assets.dagster_assets.plots import draws
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.report import figures, multiples
from flywheel_assets.report.drawing import draw, picture
from flywheel_assets.stages.distance import binned, profile_of
from flywheel_tests.conftest import FIRST, LAST

DAY = timedelta(days=1)


def metadata(spun: Turner, key: str, day: date) -> dict[str, dg.MetadataValue]:
    """Read what was told of a partition, by whichever test made it again, too."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey(key.split("/")), asset_partitions=[day.isoformat()])
    records = spun.instance.fetch_materializations(wanted, limit=100, ascending=True).records
    told = [r.asset_materialization.metadata for r in records if r.asset_materialization]
    return {name: value for metadata in told for name, value in metadata.items()}


def luminance(colour: str) -> float:
    """Compute the relative luminance of a colour as WCAG 2 has it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Compute the contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


REASONS = pl.DataFrame(
    {
        "day": [FIRST + i // 6 * DAY for i in range(60)],
        "reason": [f"field_{i % 6}: required" for i in range(60)],
        "n": range(60),
    }
)


def test_a_picture_is_legible_on_light_and_on_dark() -> None:
    """No background, nothing black or white, and every colour stands out from both."""
    drawn = picture(figures.stacked(REASONS, "reason", 600))
    colours = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', drawn))
    assert len(colours) >= 6
    for colour in colours:
        assert min(contrast(colour, "#ffffff"), contrast(colour, "#16191c")) > 3, colour
    assert "field_5: required" in drawn
    assert "something else" in drawn


def test_features_are_drawn_over_those_trained_on() -> None:
    """A dozen, the furthest off first; categories and missing values by name, colours legible."""
    texts = pl.Series(["uk"] * 60 + ["missing"] * 40)
    shares = {
        "country": binned(profile_of(texts), pl.Series(["uk"] * 9 + ["spain", None])),
        **{
            f"orders_{i}d": binned(
                profile_of(pl.Series(range(100))), pl.Series(range(i, 100), dtype=pl.Float64)
            )
            for i in range(20)
        },
    }
    spec = multiples.distributions(shares, 600)
    drawn = picture(spec)
    titles = re.findall(r">(\w+): PSI ([\d.]+)<", drawn)
    assert [name for name, _ in titles] == ["country", *(f"orders_{i}d" for i in range(19, 8, -1))]
    assert [float(index) for _, index in titles] == sorted(
        (float(v) for _, v in titles), reverse=True
    )
    country = spec["concat"][0]["data"]["values"]
    assert [round(11 * row["now"]) for row in country] == [9, 0, 1, 1]
    assert [row["trained"] for row in country] == pytest.approx([0.6, 0.4, 0, 0])
    for label in ("uk", "others", "to 9", "over 89", "trained on", "decided on"):
        assert f">{label}<" in drawn
    assert drawn.count(">missing<") == 2, "the category, and what has no value"
    for colour in set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', drawn)):
        assert min(contrast(colour, "#ffffff"), contrast(colour, "#16191c")) > 3, colour


def test_drawings_of_one_page_do_not_refer_to_each_other() -> None:
    """Drawn again it is the same text, whatever was drawn between; ids bear its name."""
    spec = figures.stacked(REASONS, "reason", 300)
    one = draw(spec, "one", 'what is "seen" & <where>')
    other = draw(spec, "other", "the same")
    assert draw(spec, "one", 'what is "seen" & <where>') == one
    assert set(re.findall(r'id="([^"]+)"', one)).isdisjoint(re.findall(r'id="([^"]+)"', other))
    assert 'aria-label="what is &quot;seen&quot; &amp; &lt;where>"' in one


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(5, 5, True), (6, 6, False), (6, 11, False), (6, 12, True), (4, 5, True), (1, 31, True)],
)
def test_a_run_draws_where_a_monday_closes(first: int, last: int, *, expected: bool) -> None:
    """The fifth of January 2026 is a Monday, and so is the twelfth."""
    days = [date(2026, 1, day) for day in range(first, last + 1)]
    assert draws(days[0], days[-1]) is expected
    assert any(day.weekday() == 0 for day in days) is expected


@pytest.mark.parametrize(
    ("table", "numbers", "pictures"),
    [
        ("collect/order_line_rejected", ["dagster/partition_row_count"], ["rejected_by_reason"]),
        ("features/customer_orders", ["dagster/partition_row_count"], []),
        ("repurchase/decisions", ["share_acted_on", "mean_propensity"], ["propensity_of_the_week"]),
        (
            "repurchase/performance",
            ["reward_per_decision_logged", "outcome_rate", "reward"],
            ["reward_over_time"],
        ),
        ("repurchase/model", [], ["roc_curve", "calibration"]),
        ("repurchase/drift", ["largest_psi"], ["over_time", "features_against_training"]),
    ],
)
def test_assets_show_numbers_and_pictures(
    spun: Turner, table: str, numbers: list[str], pictures: list[str]
) -> None:
    """Numbers of each partition, also of a run over many; pictures of runs with a Monday."""
    found = metadata(spun, table, LAST)
    for name in numbers:
        assert isinstance(found[name].value, int | float), name
    for name in pictures:
        told = re.findall(r"data:image/svg\+xml;base64,([^)]+)\)", str(found[name].value))
        assert told, name
        assert all(base64.b64decode(one).startswith(b"<svg") for one in told)
    if table == "repurchase/performance":
        days = [LAST - i * DAY for i in range(3)]
        earned = [metadata(spun, table, day)["reward"].value for day in days]
        rows = pl.read_delta(str(spun.home.lakehouse / table)).filter(ranking="score")
        assert earned == [rows.filter(partition_date=day)["reward"].item() for day in days]
    if table == "features/customer_orders":
        assert "| feature | unknown |" in str(found["distributions"].value)
