"""Scores as pure functions on arrays, with thin objects that add them up over images."""
