"""How long a table takes to be made, from the runs that made it before."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from statistics import fmean

import dagster as dg

from flywheel_assets.dagster_assets.turn import FIRST, LAST, Turner

NEWEST = 500
"""How many events of a table are looked at: one for each partition that was made."""
RUNS = 10
"""How many of the newest runs, and of the longest, a speed is estimated by."""


@dataclass(frozen=True)
class Speed:
    """How long a table takes: so much for a run, and so much more for each day of it.

    Parameters
    ----------
    of_run, of_day : float
        Seconds.
    is_bound : bool
        Whether only runs of one day are known: days that are made together take less.

    Examples
    --------
    >>> Speed(of_run=0.5, of_day=0.1, is_bound=False).seconds(90)
    9.5
    """

    of_run: float
    of_day: float
    is_bound: bool

    def seconds(self, n_days: int) -> float:
        """Estimate a run over so many days."""
        return self.of_run + self.of_day * n_days


def fitted(runs: Iterable[tuple[int, float]]) -> Speed | None:
    """Tell what runs take for themselves from what each of their days does.

    Parameters
    ----------
    runs : iterable of (int, float)
        Days and seconds of each.

    Examples
    --------
    >>> fitted([(1, 0.6), (11, 1.6), (1, 0.6)])
    Speed(of_run=0.5, of_day=0.1, is_bound=False)
    >>> fitted([(1, 0.4), (1, 0.6)])
    Speed(of_run=0.0, of_day=0.5, is_bound=True)
    """
    by_length: dict[int, list[float]] = {}
    for n_days, seconds in runs:
        by_length.setdefault(n_days, []).append(seconds)
    if not by_length:
        return None
    few, many = min(by_length), max(by_length)
    short, long = fmean(by_length[few]), fmean(by_length[many])
    of_day = (long - short) / (many - few) if few < many else long / many
    of_day = min(max(of_day, 0.0), long / many)
    return Speed(round(long - of_day * many, 6), round(of_day, 6), is_bound=many == 1)


def speeds(turner: Turner, tables: Iterable[str]) -> dict[str, Speed]:
    """Say how long each table takes; without those that no run has made."""
    found = {table: fitted(_runs(turner.instance, table)) for table in tables}
    return {table: speed for table, speed in found.items() if speed is not None}


def _runs(instance: dg.DagsterInstance, table: str) -> Iterable[tuple[int, float]]:
    """Give days and seconds of the runs that made a table: the newest, and the longest of them."""
    events = instance.fetch_materializations(dg.AssetKey(table.split("/")), limit=NEWEST).records
    step = {event.run_id: str(event.event_log_entry.step_key) for event in events}
    lengths = Counter(event.run_id for event in events)
    longest = [run for run, _ in lengths.most_common(RUNS)]
    for run_id in dict.fromkeys([*list(lengths)[:RUNS], *longest]):
        run = instance.get_run_by_id(run_id)
        stats = instance.get_run_step_stats(run_id, [step[run_id]])
        if run is None or not stats or stats[0].end_time is None or stats[0].start_time is None:
            continue
        first = run.tags.get(FIRST, run.tags.get("dagster/partition"))
        last = run.tags.get(LAST, first)
        if first and last:
            n_days = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
            yield n_days, stats[0].end_time - stats[0].start_time
