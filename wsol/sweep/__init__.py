"""Boxes at every threshold at once: the map's regions grow and merge as the threshold falls.

A map is quantised to at most 256 levels. As the threshold falls, regions above it only appear,
grow and merge, so one pass over the levels gives the regions at all of them. To keep the pass
short, pixels are first gathered into basins, one for every peak, each connected above every level:
then a basin never falls apart on the way, and only whole basins, which are few, have to be merged.

Holes need no algorithm of their own. A hole is a piece of what does not exceed the level, and on
the map turned upside down exactly these pixels do exceed one. Regions hang together over corners
too (eight neighbours), so what they enclose must not (four): else two pieces could pass through
each other at a corner.

In order: `basins` cuts rows into hills and gathers them, `graph` says what appears and touches at
which level, `merge` goes down the levels, `outline` measures areas, `map_sweep` puts it together.
"""
