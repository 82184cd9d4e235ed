"""The page: everything gathered, drawn, and set into its template."""

import os
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report import drawn, story, wording
from flywheel_assets.report.champions import champions
from flywheel_assets.report.drifting import drifting
from flywheel_assets.report.flow import flow
from flywheel_assets.report.ranking import propensities, ranking
from flywheel_assets.report.worth import worth
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True)
class Known:
    """What only others know of a flywheel.

    Parameters
    ----------
    failed : tuple of (table, message, warns)
        Checks whose newest verdict is a failure.
    """

    failed: tuple[tuple[str, str, bool], ...] = ()


def write(home: Home, flywheel: Flywheel, known: Known, file: Path | None = None) -> Path:
    """Write the report, in one step for whoever reads it: to ``reports/`` of the home at first."""
    file = file or home.root / "reports" / f"{flywheel.name}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_name(f".{file.name}.{os.getpid()}")
    written.write_text(page(home, flywheel, known), encoding="utf-8")
    written.replace(file)
    return file


def page(home: Home, flywheel: Flywheel, known: Known) -> str:
    """Write the report as HTML: the same home, the same text."""
    tables, flows = Tables(home.lakehouse), flow(home, flywheel)
    last = flows.last or _NEVER
    worths, who = worth(tables, flywheel, last), champions(tables, flywheel, last)
    drift, ranked = drifting(tables, flywheel, last), ranking(tables, flywheel, last)
    chance = propensities(tables, flywheel, last)
    shown = {
        "turning": drawn.turning(worths, who),
        "drift": drawn.drift(drift, flywheel),
        "curve": drawn.curve(ranked),
        "calibration": drawn.calibration(ranked),
        "propensity": drawn.propensity(chance, flywheel),
        "importance": drawn.importance(who),
    }
    return _template().render(
        flywheel=flywheel,
        flow=flows,
        worth=worths,
        who=who,
        drift=drift,
        ranking=ranked,
        known=known,
        figures=shown,
        decided=story.decided(flywheel, flows, _actions(tables, flywheel, last), who),
        earned=story.earned(flywheel, worths),
        matters=story.matters(flywheel, flows, worths, who, drift, known.failed),
        wait=flywheel.outcome.matures_after.days,
        number=wording.number,
        percent=wording.percent,
        day=wording.day,
        many=wording.many,
        interval=wording.interval,
        style=(Path(__file__).parent / "page.css").read_text(encoding="utf-8"),
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("page.html")


_NEVER = date(1970, 1, 1) + timedelta(days=366)


def _actions(tables: Tables, flywheel: Flywheel, last: date) -> dict[str, int]:
    schema = {"partition_date": pl.Date(), "action": decision_schema(flywheel)["action"]}
    rows = tables.read(f"{flywheel.name}/decisions", schema, last, last)
    return dict(rows.group_by("action").len().sort("action").collect().iter_rows())
