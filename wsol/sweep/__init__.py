"""Boxes at every threshold at once: the map's regions grow and merge as the threshold falls.

A map is quantised to at most 256 levels. As the threshold falls, regions above it only appear,
grow and merge, so one pass over the levels gives the regions at all of them. To keep the pass
short, pixels are first gathered into basins, one for every peak, each connected above every level.
Holes are the same on the map turned upside down, with the four nearest neighbours instead of
eight.

The steps: `basins` gathers pixels, `graph` tells what appears and what touches at every level,
`merge` makes regions of it, `outline` measures them, and `map_sweep` does it all for a map.
"""
