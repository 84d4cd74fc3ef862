"""Engines: one prediction, by the workers of a whole cluster."""
