"""Replaying rejects of every declared observation, and of none."""

from collections.abc import Iterable
from contextlib import closing

from flywheel_assets.dagster_assets.intake import read_record
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import HomeError, nearest
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.inbox import Inbox
from flywheel_assets.stores.replay import Replayed, replay
from flywheel_assets.stores.tables import Tables

OF_NO_KIND = "(no declared kind)"


def replay_all(
    home: Home, flywheels: Iterable[Flywheel], observation: str | None
) -> dict[str, Replayed]:
    """Replay the rejects of one observation, or of all and of those of no declared kind.

    Raises
    ------
    HomeError
        For an observation that is not declared.
    """
    kinds = {o.name: o for o in catalog(flywheels).observations}
    if observation is not None and observation not in kinds:
        raise HomeError(
            expected="a declared observation",
            found=observation,
            remedy=nearest(observation, kinds),
        )
    wanted = [observation] if observation is not None else [*kinds, None]
    with closing(Inbox(home.inbox)) as inbox:
        return {
            kind or OF_NO_KIND: replay(
                inbox, Tables(home.lakehouse), kind, lambda raw: read_record(raw, kinds)
            )
            for kind in wanted
        }
