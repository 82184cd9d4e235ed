"""The page: everything gathered, drawn, and set into its template."""

import os
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import many
from flywheel_assets.report import drawn, story, wording
from flywheel_assets.report.champions import champions
from flywheel_assets.report.drifting import drifting
from flywheel_assets.report.flow import Flow, flow
from flywheel_assets.report.ranking import propensities, ranking
from flywheel_assets.report.story import Failed
from flywheel_assets.report.worth import worth
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

if TYPE_CHECKING:
    from jinja2 import Template


def write(
    home: Home,
    flywheel: Flywheel,
    failed: Sequence[Failed] = (),
    file: Path | None = None,
    closed: date | None = None,
) -> Path:
    """Write the report, in one step for whoever reads it; see `page`.

    Parameters
    ----------
    file : Path, optional
        Without one, ``reports/<flywheel>.html`` of the home.
    """
    file = file or home.root / "reports" / f"{flywheel.name}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_name(f".{file.name}.{os.getpid()}")
    written.write_text(page(home, flywheel, failed, closed), encoding="utf-8")
    written.replace(file)
    return file


def page(
    home: Home,
    flywheel: Flywheel,
    failed: Sequence[Failed] = (),
    closed: date | None = None,
) -> str:
    """Tell the whole flywheel as HTML: the same home, the same text.

    Parameters
    ----------
    failed : sequence of Failed
        Checks whose newest verdict is a failure: the tables do not say.
    closed : date, optional
        The day that closed last, to which a home that goes on should have come.
    """
    tables, flows = Tables(home.lakehouse), flow(home, flywheel, closed)
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
        figures=shown,
        decided=story.decided(flywheel, flows, _actions(tables, flywheel, flows), who),
        earned=story.earned(flywheel, worths),
        matters=story.matters(flywheel, flows, worths, who, drift, failed),
        wait=flywheel.outcome.matures_after.days,
        number=wording.number,
        percent=wording.percent,
        day=wording.day,
        many=many,
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


_NEVER = date(1971, 1, 1)
"""Stands for the newest day of a home without any: nothing is found up to it."""


def _actions(tables: Tables, flywheel: Flywheel, flows: Flow) -> dict[str, int]:
    """Count the actions of the newest day that was decided."""
    last = flows.newest(f"{flywheel.name}/decisions") or _NEVER
    schema = {"partition_date": pl.Date(), "action": decision_schema(flywheel)["action"]}
    rows = tables.read(f"{flywheel.name}/decisions", schema, last, last)
    return dict(rows.group_by("action").len().sort("action").collect().iter_rows())
