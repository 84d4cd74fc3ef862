"""Small turns of phrase that messages share."""

from __future__ import annotations


def count_things(count: int, thing: str) -> str:
    """Write a number of things.

    >>> count_things(1, "run"), count_things(2, "run")
    ('1 run', '2 runs')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"
