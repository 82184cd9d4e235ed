"""The window engine: what was true of an entity at a moment, as known at that moment."""
