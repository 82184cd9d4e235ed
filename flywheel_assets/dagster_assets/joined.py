"""Whether the days to turn join those that are there, before them and after."""

from datetime import date

import dagster as dg

from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.event_log import recorder
from flywheel_assets.dagster_assets.features import oldest
from flywheel_assets.dagster_assets.selection import downstream, upstream
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError, MissingPartitionError, many
from flywheel_assets.stages.clock import DAY, days, in_words
from flywheel_assets.stores.home import Home


def require_joined(home: Home, flywheel: Flywheel, first: date, last: date) -> None:
    """Refuse a range that leaves a gap before it, while nothing has been written.

    Later stages would refuse it, too, but only when the first had made its days: without what
    their sources are yet to bring.

    Raises
    ------
    MissingPartitionError
        Where a feature of the first day looks back on days that have not been turned.
    """
    settings = home.settings()
    if settings is None:
        return
    build, instance = build_for(home), recorder(home)
    for view in flywheel.views:
        fact = dg.AssetKey(["organize", f"fct_{view.fact.name}"])
        there = instance.get_materialized_partitions(fact)
        earlier = days(settings.start, first - DAY)
        missing = [day for day in earlier if day.isoformat() not in there]
        if missing and missing[-1] >= oldest(build, view, first):
            raise MissingPartitionError(
                expected=f"days that follow on those of {flywheel.name} that are there",
                found=f"{in_words(first, last)}, and {many(len(missing), 'day')} before it without "
                f"{fact.to_user_string()}, {missing[0]} first; nothing was written",
                remedy=f"turn those, too: flywheel run {flywheel.name} --from {missing[0]} "
                f"--to {last}",
            )


def require_rest(home: Home, flywheel: Flywheel, first: date, last: date, how: str) -> None:
    """Refuse to make days again without the later ones that are there, whose windows saw them.

    Nothing would say that those are not what they would be made now, until a training set is
    assembled of what was decided on them.

    Parameters
    ----------
    how : str
        The option that asks for it.

    Raises
    ------
    HomeError
    """
    instance = recorder(home)
    made = (
        instance.get_materialized_partitions(dg.AssetKey(key.split("/")))
        for key in (*upstream(flywheel), *downstream(flywheel))
    )
    newest = max((date.fromisoformat(max(keys)) for keys in made if keys), default=last)
    if newest > last:
        raise HomeError(
            expected=f"days to make again up to {newest}, the newest of {flywheel.name}",
            found=f"{in_words(first, last)}, which later days were made of; nothing was written",
            remedy=f"make those again, too: flywheel run {flywheel.name} --from {first} "
            f"--to {newest} {how}",
        )
