"""How an entity is named in a request: a text in a path, an object or one value in a body."""

from typing import Any

import msgspec

from flywheel_assets.api import wire
from flywheel_assets.api.faults import Fault, UnfitError
from flywheel_assets.api.identity import text_of
from flywheel_assets.declare.entity_ids import SEPARATOR, read, written
from flywheel_assets.declare.flywheel import Flywheel


class Entities:
    """Reads the entities of one flywheel.

    Where decisions are about pairs, the first of their keys alone names all that was decided for
    it, for example what a customer is shown; see `Policy.per`.
    """

    def __init__(self, flywheel: Flywheel) -> None:
        fields = {f.name: f for f in flywheel.outcome.fact.observation.fields}
        self._types = {
            key: (wire.value_type(fields[key], key=True), text_of(fields[key].dtype))
            for key in flywheel.entity.keys
        }
        per = flywheel.policy.per
        self.per = per if len(self._types) > 1 else None

    @property
    def types(self) -> dict[str, Any]:
        """Key -> the type of its values."""
        return {key: wanted for key, (wanted, _) in self._types.items()}

    def from_path(self, text: str) -> tuple[str, dict[str, Any]]:
        """Read the keys in a path, joined by a bar where there are several; ``~1`` is a bar in one.

        Returns
        -------
        tuple
            The id by which `Published` finds it, and its keys by name.

        Raises
        ------
        UnfitError
            For text that cannot be the entity's keys.
        """
        parts = [text]
        if len(self._types) > 1:
            parts = [read(part) for part in text.split(SEPARATOR)]
        if self.per is not None and len(parts) == 1:
            return self._checked({self.per: parts[0]}, strict=False)
        if len(parts) != len(self._types):
            names = SEPARATOR.join(self._types)
            raise UnfitError(Fault("$", f"expected {names}, found {len(parts)} parts"))
        return self._checked(dict(zip(self._types, parts, strict=True)), strict=False)

    def from_body(self, value: Any) -> tuple[str, dict[str, Any]]:
        """Read an entity in a body: an object of its keys, or the value of the key that is enough.

        Raises
        ------
        UnfitError
            For what cannot be the entity's keys.
        """
        if not isinstance(value, dict):
            if len(self._types) > 1 and self.per is None:
                raise UnfitError(Fault("$", f"expected an object with {list(self._types)}"))
            value = {self.per or next(iter(self._types)): value}
        if set(value) not in (set(self._types), {self.per}):
            raise UnfitError(Fault("$", f"expected the keys {list(self._types)}, all and only"))
        return self._checked(value, strict=True)

    def _checked(self, keys: dict[str, Any], *, strict: bool) -> tuple[str, dict[str, Any]]:
        found, texts = {}, {}
        for name, (wanted, text) in self._types.items():
            if name not in keys:  # what a slate is for, alone
                continue
            try:
                found[name] = msgspec.convert(keys[name], wanted, strict=strict)
            except msgspec.ValidationError as error:
                raise UnfitError(Fault(f"$.{name}", str(error))) from None
            one = text(found[name])
            texts[name] = written(one) if len(self._types) > 1 else one
        whole = [texts[name] for name in self._types] if len(texts) == len(self._types) else [""]
        first = [texts[self.per]] if self.per is not None else []
        return SEPARATOR.join([*first, *whole]), found
