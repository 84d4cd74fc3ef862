"""Boxes at every threshold at once: the map's regions grow and merge as the threshold falls.

A map is quantised to at most 256 levels. As the threshold falls, regions above it only appear,
grow and merge, so one pass over the levels gives the regions at all of them. To keep the pass
short, pixels are first gathered into basins, one for every peak, each connected above every level.
Holes are the same on the map turned upside down, with the four nearest neighbours instead of
eight.
"""
