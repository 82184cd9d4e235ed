"""The report of a flywheel: every bundled one's renders, and says what is so."""

import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from flywheel_assets import Flywheel
from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.compile import compile_flywheels
from flywheel_assets.dagster_assets.reported import failed_checks
from flywheel_assets.dagster_assets.selection import whole
from flywheel_assets.dagster_assets.turn import Run, Turner
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.report import page, write
from flywheel_assets.report.champions import Champions
from flywheel_assets.report.drifting import Drifting
from flywheel_assets.report.flow import Flow
from flywheel_assets.report.ranking import calibration_of, ranking
from flywheel_assets.report.story import earned, matters
from flywheel_assets.report.worth import Worth, worth
from flywheel_assets.stages.alternatives import ALTERNATIVES_SCHEMA, alternatives
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stages.drift import DRIFT_SCHEMA
from flywheel_assets.stages.importance import IMPORTANCE_SCHEMA
from flywheel_assets.stages.metrics import average_precision, expected_calibration_error, roc_auc
from flywheel_assets.stages.performance import PERFORMANCE_SCHEMA, performance
from flywheel_assets.stages.policy import chances
from flywheel_assets.stages.training_set import training_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.promotions import Ledger
from flywheel_assets.stores.tables import Tables
from flywheel_tests.conftest import FIRST, LAST
from flywheel_tests.shelf import shelf

DAY = timedelta(days=1)
WHEELS = [*FLYWHEELS, shelf()]
ids = [wheel.name for wheel in WHEELS]


class Page(HTMLParser):
    """Collects what a page is made of, and that what it opens it closes."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tables_outside: int = 0
        self.pictures: list[dict[str, str | None]] = []
        self.scrolls: list[int] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if "id" in said:
            self.ids.append(str(said["id"]))
        self.links += [str(said[name]) for name in ("href", "src") if said.get(name)]
        if tag == "table" and not self.scrolls:
            self.tables_outside += 1
        if tag == "svg":
            self.pictures.append(said)
        if tag not in self.VOID:
            self.open.append(tag)
            if said.get("class") == "scroll":
                self.scrolls.append(len(self.open))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if "id" in dict(attrs):
            self.ids.append(str(dict(attrs)["id"]))

    def handle_endtag(self, tag: str) -> None:
        if self.scrolls and self.scrolls[-1] == len(self.open):
            self.scrolls.pop()
        assert self.open.pop() == tag


def words(text: str) -> str:
    """Give what is read on a page, without its drawings."""
    bare = re.sub(r"<(style|svg)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", bare).split())


def sound(text: str) -> Page:
    """Check what every page promises."""
    found = Page(text)
    assert len(found.ids) == len(set(found.ids))
    inside = {f"#{name}" for name in found.ids}
    for link in found.links:
        assert link in inside or link.startswith(("mailto:", "data:,")), link
    assert not re.search(r"<script|@import|url\((?!#)", text)
    assert found.tables_outside == 0
    assert all(picture.get("aria-label") for picture in found.pictures)
    # Every colour is one that follows light and dark.
    drawn = re.findall(r"<figure>.*?</figure>", text, flags=re.DOTALL)
    fixed = re.compile(r'(?:fill|stroke)="(?!none|var|transparent)[^"]+"')
    assert [colour for one in drawn for colour in fixed.findall(one)] == []
    return found


@pytest.mark.parametrize("flywheel", WHEELS, ids=ids)
def test_an_empty_home_says_so(flywheel: Flywheel, tmp_path: Path) -> None:
    """Nothing was made: the page is there, and begins nothing in the home."""
    text = page(Home(tmp_path), flywheel)
    sound(text)
    assert "It has not decided yet." in text
    assert "Nothing was made yet." in text
    assert list(tmp_path.iterdir()) == []


def made_up(schema: dict[str, pl.DataType], day: pl.Series, seed: int) -> pl.DataFrame:
    """Fill a schema with values of its types."""
    rng, n = np.random.default_rng(seed), len(day)
    columns: dict[str, pl.Series] = {}
    for name, dtype in schema.items():
        if dtype == pl.Date:
            columns[name] = day
        elif dtype == pl.Boolean:
            columns[name] = pl.Series(rng.random(n) < 0.3)
        elif dtype.is_numeric():
            columns[name] = pl.Series(rng.integers(1, 9, n)).cast(dtype)
        elif dtype.is_temporal():
            columns[name] = day.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(dtype)
        else:
            columns[name] = pl.Series([f"x{i}" for i in range(n)]).cast(dtype, strict=False)
    return pl.DataFrame(columns, schema_overrides=schema)


def filled(root: Path, flywheel: Flywheel, n_days: int = 6) -> Home:
    """Write the tables of a flywheel as if it had turned, without turning it."""
    home, name, policy = Home(root), flywheel.name, flywheel.policy
    tables, rng = Tables(home.lakehouse), np.random.default_rng(0)
    last = FIRST + (n_days - 1) * DAY
    Ledger(tables, name).promoted_by_gate(
        FIRST - flywheel.outcome.matures_after + DAY,
        {"version": 1, "judged_version": 1, "reason": "the first & <only> champion"},
    )
    day = pl.Series([FIRST + i * DAY for i in range(n_days) for _ in range(80)])
    n = len(day)
    score = rng.random(n)
    logged = {
        "decision_id": pl.Series([f"{name}:{i}" for i in range(n)]),
        "entity_id": pl.Series([str(i % 80) for i in range(n)]),
        "action": pl.Series([policy.actions[i % len(policy.actions)] for i in range(n)]),
        "score": pl.Series(score),
        "propensity": pl.Series(rng.uniform(0.2, 0.9, n)),
        "model_version": pl.Series([1] * n),
        "decided_at": (day - flywheel.outcome.matures_after + DAY)
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC"),
        "outcome": pl.Series((rng.random(n) < score).astype(np.int8)),
        "reward": pl.Series(rng.random(n)),
    }
    for stage, schema in (
        ("decisions", decision_schema(flywheel)),
        ("training_set", training_schema(flywheel)),
    ):
        made = made_up(schema, day, 1)
        mine = [column.alias(c) for c, column in logged.items() if c in schema]
        made = made.with_columns(mine)
        tables.replace(f"{name}/{stage}", made, schema, FIRST, last)
    rows = tables.read(f"{name}/training_set", training_schema(flywheel)).collect()
    tables.replace(
        f"{name}/performance", performance(rows, flywheel), PERFORMANCE_SCHEMA, FIRST, last
    )
    beside = pl.concat(
        alternatives(part, flywheel, (1, "version 1 has other features: <train> again"), None)
        for part in rows.partition_by(PARTITION)
    )
    tables.replace(f"{name}/alternatives", beside, ALTERNATIVES_SCHEMA, FIRST, last)
    far = pl.DataFrame(
        [
            (FIRST + i * DAY, column, "psi", value, 0.01, "error", 80, 1)
            for i in range(n_days)
            for column, value in (("recency", 0.1 * (i + 3)), ("score", 0.4))
        ],
        schema=DRIFT_SCHEMA,
        orient="row",
    )
    tables.replace(f"{name}/drift", far, DRIFT_SCHEMA, FIRST, last)
    useful = [
        (last, 1, f, 0.1 * i, 0.01, "roc_auc", 80) for i, f in enumerate(flywheel.model.features)
    ]
    tables.replace(
        f"{name}/importance",
        pl.DataFrame(useful, schema=IMPORTANCE_SCHEMA, orient="row"),
        IMPORTANCE_SCHEMA,
        FIRST,
        last,
    )
    return home


@pytest.mark.parametrize("flywheel", WHEELS, ids=ids)
def test_every_flywheels_page_renders(flywheel: Flywheel, tmp_path: Path) -> None:
    """Capacity, slates, arms and pairs alike."""
    home = filled(tmp_path, flywheel)
    text = page(home, flywheel)
    found = sound(text)
    assert len(found.pictures) > 2 * 5
    read = words(text)
    assert "80 decisions, each about a" in read
    assert "By how much roc_auc gets worse" in read
    assert "the first &amp; &lt;only&gt; champion" in read
    if flywheel.policy.exploration is not None:
        assert "The log cannot say." in read
        assert "other features: &lt;train&gt; again" in read
    assert "recency is far from what the model was trained on" in read or "are far from" in read
    assert re.search(r"organize/fct_decision,.* were never made", read)


def test_it_says_what_was_found(spun: Turner) -> None:
    """On a home that turned: the same figures as the tables', each time the same page."""
    home, last = spun.home, LAST
    failed = failed_checks(home, repurchase)
    text = page(home, repurchase, failed)
    sound(text)
    assert page(home, repurchase, failed) == text
    read, tables = words(text), Tables(home.lakehouse)
    decided = tables.read("repurchase/decisions", decision_schema(repurchase), last, last).collect()
    n = decided.filter(action="contact").height
    assert f"{decided.height:,} decisions, each about a customer: {n:,} contact" in read
    rejected = pl.read_delta(str(home.lakehouse / "collect" / "order_line_rejected"))
    assert f"{rejected.filter(pl.col(PARTITION) > last - 28 * DAY).height:,} of " in read
    version = Ledger(tables, "repurchase").champion(last)
    assert version is not None
    assert f"Version {version.version} of order_probability decides" in read
    # Every check that failed is there, with what it says.
    assert failed
    for one in failed:
        assert f"of {one.table} {' '.join(one.message.partition(': ')[2].split())}" in read
    found = worth(tables, repurchase, last)
    rows = tables.read("repurchase/training_set", training_schema(repurchase)).collect()
    since = last - 28 * DAY
    reward = rows.filter(pl.col(PARTITION) > since)["reward"].mean()
    assert found.pooled["logged"].value == pytest.approx(reward)


def test_the_curves_are_those_of_the_metrics(tmp_path: Path) -> None:
    """Areas below them are scikit-learn's; groups of the calibration hold all rows."""
    home = filled(tmp_path, repurchase)
    rows = pl.read_delta(str(home.lakehouse / "repurchase" / "training_set"))
    label, score = rows["outcome"].to_numpy(), rows["score"].to_numpy()
    found = ranking(Tables(home.lakehouse), repurchase, FIRST + 5 * DAY)
    assert found.area == pytest.approx(roc_auc(label, score))
    assert found.calibration["n_rows"].to_list() == [48] * 10
    assert found.calibration["came"].mean() == pytest.approx(label.mean())
    rare = (np.arange(len(label)) % 40 == 0).astype(np.int8)
    schema = training_schema(repurchase)
    few = rows.with_columns(pl.Series("outcome", rare), pl.col("score").round(1)).select(*schema)
    Tables(home.lakehouse).replace("repurchase/training_set", few, schema, FIRST, FIRST + 5 * DAY)
    found = ranking(Tables(home.lakehouse), repurchase, FIRST + 5 * DAY)
    assert found.rare
    assert found.area == pytest.approx(average_precision(rare, few["score"].to_numpy()))


def test_of_one_score_as_much_comes_true_in_every_group() -> None:
    """A probability that takes few values is drawn as right as it is: ties are not parted."""
    score = np.repeat([0.2, 0.6], 500)
    label = np.tile([1, 0, 0, 0, 0], 100).tolist() + np.tile([1, 1, 1, 0, 0], 100).tolist()
    found = calibration_of(pl.DataFrame({"score": score, "outcome": label}))
    assert found["said"].to_list() == pytest.approx([0.2, 0.6])
    assert found["came"].to_list() == pytest.approx([0.2, 0.6])
    assert found["n_rows"].to_list() == [500, 500]
    error = expected_calibration_error(np.array(label), score)
    assert error == pytest.approx(0.0, abs=1e-12)


def test_the_daily_job_writes_it(spun: Turner) -> None:
    """The report is in the job of the day, beside partitioned tables, and in no turn."""
    made = compile_flywheels(build_for(spun.home), FLYWHEELS)
    job = made.resolve_job_def("repurchase")
    assert dg.AssetKey(["repurchase", "report"]) in job.asset_layer.selected_asset_keys
    assert "repurchase/report" not in whole(repurchase)
    file = spun.home.root / "reports" / "repurchase.html"
    assert not file.exists()
    spun.force(Run(("features/customer_orders", "repurchase/report"), LAST, LAST))
    assert file.read_text(encoding="utf-8") == page(
        spun.home, repurchase, failed_checks(spun.home, repurchase)
    )
    assert [found.name for found in file.parent.iterdir()] == ["repurchase.html"]


def test_it_goes_where_it_is_asked_to(tmp_path: Path) -> None:
    """A file of one's own, in a folder that is not there yet; the home is left alone."""
    out = tmp_path / "here" / "page.html"
    assert write(Home(tmp_path / "home"), repurchase, file=out) == out
    sound(out.read_text(encoding="utf-8"))
    assert not (tmp_path / "home").exists()


def rarely_rewarded(day: date, seed: int, *, n_customers: int) -> pl.DataFrame:
    """Log a day by the bootstrap rule, each of its 100 decisions worth 1 with a chance of .003."""
    rng = np.random.default_rng(seed)
    rows = made_up(training_schema(repurchase), pl.Series([day] * 100), seed).with_columns(
        customer_id=pl.Series(np.arange(100) % n_customers),
        decision_id=pl.Series([f"{day}:{i}" for i in range(100)]),
        reward=pl.Series((rng.random(100) < 0.003).astype(float)),
    )
    chance = chances(rows, None, repurchase)
    number = (rng.random(100) > chance[:, 0]).astype(int)
    return rows.with_columns(
        action=pl.Series([repurchase.policy.actions[i] for i in number]),
        propensity=pl.Series(chance[np.arange(100), number]),
    )


def test_days_on_which_nothing_was_earned_count(tmp_path: Path) -> None:
    """Else what decisions are worth, and what others would be, is that of the days with rewards."""
    tables, name = Tables(tmp_path), "repurchase"
    days = [FIRST + i * DAY for i in range(28)]
    matured = [rarely_rewarded(day, i, n_customers=100) for i, day in enumerate(days)]
    realized = pl.concat(matured)["reward"]
    earning = sum(rows["reward"].sum() > 0 for rows in matured)
    assert 0 < earning < len(days) / 2
    told = pl.concat(alternatives(rows, repurchase, (1, "unfit"), None) for rows in matured)
    told = told.filter(pl.col("policy").is_in(["logged", "bootstrap"]))
    tables.replace(f"{name}/alternatives", told, ALTERNATIVES_SCHEMA, days[0], days[-1])
    found = worth(tables, repurchase, days[-1])
    assert found.per_decision.filter(policy="logged")["value"].mean() == pytest.approx(
        realized.mean()
    )
    for policy in ("logged", "bootstrap"):
        one = found.pooled[policy]
        assert one.value == pytest.approx(realized.mean())
        assert (one.n_days, one.n_refused) == (28, 0)
        known = found.per_decision.filter(pl.col("lower").is_not_null(), policy=policy)
        assert known.height == earning
        above = known.select(pl.col("upper") - pl.col("value")).mean().item()
        assert one.upper == pytest.approx(realized.mean() + above)
    assert "earned 0.0" in earned(repurchase, found)
    nothing = told.filter(pl.col("lower").is_null())
    assert set(nothing["value"]) == {0.0}
    assert set(nothing["diagnosis"].str.contains("each of the 100 matched rewards is 0")) == {True}
    tables.replace(f"{name}/alternatives", nothing, ALTERNATIVES_SCHEMA, days[0], days[-1])
    none = worth(tables, repurchase, days[-1]).pooled["logged"]
    assert (none.value, none.lower, none.upper) == (0.0, None, None)


@pytest.mark.parametrize("n_customers", [1, 2])
def test_what_was_earned_is_known_of_the_fewest(n_customers: int) -> None:
    """One customer has no interval, and was worth what came of the decisions about them."""
    rows = rarely_rewarded(FIRST, 0, n_customers=n_customers).with_columns(
        reward=pl.Series(np.arange(100.0))
    )
    logged = alternatives(rows, repurchase, None, None).row(0, named=True)
    assert (logged["policy"], logged["supported"], logged["value"]) == ("logged", True, 49.5)
    assert (logged["lower"], logged["upper"]) == (None, None)
    assert "clusters" in logged["diagnosis"] or "cluster carries 50%" in logged["diagnosis"]


def test_alternatives_are_pooled_over_the_days_that_tell(tmp_path: Path) -> None:
    """Weighted by rows, beside what was earned on the same days; ends of intervals are averaged."""
    home, name = Home(tmp_path), "repurchase"
    days = [FIRST + i * DAY for i in range(3)]
    told: dict[str, list[tuple[float | None, int]]] = {
        "logged": [(1.0, 100), (2.0, 300), (9.0, 500)],
        "bootstrap": [(0.5, 100), (1.5, 300), (None, 500)],
    }
    rows = [
        {
            PARTITION: day,
            "policy": policy,
            "supported": value is not None,
            "value": value,
            "lower": None if value is None else value - 0.4,
            "upper": None if value is None else value + 0.2,
            "n_rows": n,
            "effective_sample_size": n / 2,
            "diagnosis": "ok" if value is not None else "the log never takes some actions",
        }
        for policy, found in told.items()
        for day, (value, n) in zip(days, found, strict=True)
    ]
    frame = pl.DataFrame(
        [{column: row.get(column) for column in ALTERNATIVES_SCHEMA} for row in rows],
        schema=ALTERNATIVES_SCHEMA,
    )
    tables = Tables(home.lakehouse)
    tables.replace(f"{name}/alternatives", frame, ALTERNATIVES_SCHEMA, days[0], days[-1])
    measured = pl.DataFrame(
        [
            dict.fromkeys(PERFORMANCE_SCHEMA)
            | {PARTITION: day, "ranking": "score", "n_decisions": 1}
            for day in days
        ],
        schema=PERFORMANCE_SCHEMA,
    )
    tables.replace(f"{name}/performance", measured, PERFORMANCE_SCHEMA, days[0], days[-1])
    found = worth(tables, repurchase, days[-1])
    rule = found.pooled["bootstrap"]
    assert rule.value == pytest.approx(1.25)
    assert rule.lower == pytest.approx(0.85)
    assert rule.upper == pytest.approx(1.45)
    assert rule.logged == pytest.approx(1.75)
    assert (rule.n_days, rule.n_refused, rule.share) == (2, 1, 0.5)
    assert rule.why == "the log never takes some actions"
    assert rule.difference == "worse than what was decided"
    said = earned(repurchase, found)
    assert "On the 2 days on which the log can tell" in said
    assert "would have earned 1.25 (0.850 to 1.45) against 1.75, 28.6% less: so learning" in said
    assert matters_of(found) == []
    turned = replace(rule, logged=0.5)
    assert turned.difference == "better than what was decided"
    assert matters_of(replace(found, alternatives=[turned])) == [
        "The bootstrap rule would have earned more: 1.25 a decision against 0.500."
    ]


def matters_of(found: Worth) -> list[str]:
    """Say what needs attention of what was earned, where all else is well."""
    nothing = pl.DataFrame()
    well = Flow(FIRST, [])
    who, drift = Champions([], 1, FIRST, [], nothing), Drifting(FIRST, nothing, [], [])
    return [one.what for one in matters(repurchase, well, found, who, drift, ())]
