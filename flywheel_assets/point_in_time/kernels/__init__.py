"""The compiled loops; loaded only when windows are computed, compiled once and kept on disk."""
