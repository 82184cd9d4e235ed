"""Who decides: the promotions ledger of a flywheel, and the registry's aliases behind it."""

import getpass
from datetime import date

from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError, PublishedError, nearest
from flywheel_assets.stages.checks import Check
from flywheel_assets.stores.promotions import PROMOTE, ROLLBACK, Champion, Ledger, earlier
from flywheel_assets.stores.registry import registered_name

CHAMPION, CHALLENGER = "champion", "challenger"


def ledger_of(build: Build, flywheel: Flywheel) -> Ledger:
    """Open a flywheel's ledger."""
    return Ledger(build.tables, flywheel.name)


def champion_as_of(build: Build, flywheel: Flywheel, day: date) -> int | None:
    """Give the version that decides when a partition closes, by the promotions ledger."""
    standing = ledger_of(build, flywheel).champion(day)
    return None if standing is None else standing.version


def promote(
    build: Build, flywheel: Flywheel, version: int, why: str, since: date | None = None
) -> Champion:
    """Let a registered version decide from the first day on that is not decided yet.

    Parameters
    ----------
    since : date, optional
        A later first day.

    Raises
    ------
    HomeError
        For a version that is not registered, that was trained on later days, or no reason.
    PublishedError
        For a day that is decided already.
    """
    return _enter(build, flywheel, version, why, since, PROMOTE)


def rollback(
    build: Build,
    flywheel: Flywheel,
    version: int | None,
    why: str,
    since: date | None = None,
) -> Champion:
    """Return to an earlier version: the one that was champion before, if none is named.

    Rolled back twice, it returns to the one before that.

    Raises
    ------
    HomeError, PublishedError
        As `promote`, and where there was no earlier champion.
    """
    if version is None:
        ledger = ledger_of(build, flywheel)
        from_day = since or ledger.first_undecided() or date.max
        version = earlier(ledger.line(from_day), flywheel.name)
    return _enter(build, flywheel, version, why, since, ROLLBACK)


def _enter(  # noqa: PLR0913, PLR0917  what an entry says
    build: Build, flywheel: Flywheel, version: int, why: str, since: date | None, action: str
) -> Champion:
    ledger, name = ledger_of(build, flywheel), registered_name(flywheel)
    if not why.strip():
        raise HomeError(expected="a reason", found="none", remedy="say it: --why '...'")
    known = build.registry.versions(name)
    if version not in known:
        raise HomeError(
            expected=f"a registered version of {name}",
            found=str(version),
            remedy=nearest(str(version), map(str, known)),
        )
    day = since or ledger.first_undecided() or build.settings.start
    first = ledger.first_undecided()
    if known[version].trained > day and (first is None or day >= first):
        raise PublishedError(
            expected=f"a version that was trained by {day}, from which on it would decide",
            found=f"version {version}, trained on what was known on {known[version].trained}",
            remedy=f"write --from {known[version].trained}",
        )
    entry = {
        "action": action,
        "version": version,
        "judged_version": known[version].judged,
        "by": getpass.getuser(),
        "reason": why,
        "champion_version": champion_as_of(build, flywheel, date.max),
    }
    ledger.entered_by_hand(day, entry)
    follow(build, flywheel)
    return Champion(version, known[version].judged, day)


def follow(build: Build, flywheel: Flywheel) -> None:
    """Let the registry's aliases follow the ledger."""
    name, registry = registered_name(flywheel), build.registry
    for alias, version in _aliases(build, flywheel).items():
        if registry.alias(name, alias) != version:
            registry.point(name, alias, version)


def alias_check(build: Build, flywheel: Flywheel) -> Check:
    """Say whether the registry's aliases are where the ledger has them."""
    name, registry = registered_name(flywheel), build.registry
    wanted = _aliases(build, flywheel)
    wrong = [
        f"{alias} is at version {standing}, the ledger at {version}"
        for alias, version in wanted.items()
        if (standing := registry.alias(name, alias)) != version
    ]
    return Check(
        name="aliases_follow_the_ledger",
        passed=not wrong,
        message="; ".join(wrong) + ": decisions go by the ledger, and the aliases follow it again; "
        "to change who decides: flywheel promote"
        if wrong
        else "they do",
        warns=True,
    )


def _aliases(build: Build, flywheel: Flywheel) -> dict[str, int | None]:
    """Say where aliases belong: the newest version is the challenger, if it is not the champion."""
    standing = ledger_of(build, flywheel).champion(date.max)
    if standing is None and not (build.home.mlflow / "mlflow.db").exists():
        return {}  # nothing was trained yet, and MLflow takes seconds to import
    newest = max(build.registry.versions(registered_name(flywheel)), default=None)
    ours = () if standing is None else (standing.version, standing.judged_version)
    return {
        CHAMPION: None if standing is None else standing.version,
        CHALLENGER: None if newest in ours else newest,
    }
