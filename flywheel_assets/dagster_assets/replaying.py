"""Replaying rejects of every declared observation, and of none."""

from collections.abc import Iterable
from contextlib import closing

from flywheel_assets.api.records import Reader, Refused
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import HomeError, nearest
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.inbox import Inbox, Received, Rejected
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
    reader = Reader(catalog(flywheels).observations)
    kinds = reader.kinds
    if observation is not None and observation not in kinds:
        raise HomeError(
            expected="a declared observation",
            found=observation,
            remedy=nearest(observation, kinds),
        )
    wanted = [observation] if observation is not None else [*kinds, None]

    def read(raw: bytes) -> Received | Rejected:
        found = reader.one(raw)
        return Rejected(found.kind, found.reason, raw) if isinstance(found, Refused) else found

    with closing(Inbox(home.inbox)) as inbox:
        return {
            kind or OF_NO_KIND: replay(inbox, Tables(home.lakehouse), kind, read) for kind in wanted
        }
