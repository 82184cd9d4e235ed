"""Timing, as ratios taken in one run: these are commands, not tests."""
