"""The attention shift: traced over the steps of a network, and drawn."""
