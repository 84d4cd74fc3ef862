"""Evaluation: the maps of a split, from a network or a folder, scored image by image."""
