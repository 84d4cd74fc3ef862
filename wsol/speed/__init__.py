"""How fast this machine runs each stage, as ratios."""
