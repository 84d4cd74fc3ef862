"""Copies of plain values in which something is changed."""

import copy


def changed(content, **fields):
    """A copy with a value changed, named as items__0__id; None removes."""
    content = copy.deepcopy(content)
    for name, value in fields.items():
        *place, last = name.split("__")
        target = content
        for step in place:
            target = target[int(step) if step.isdigit() else step]
        if value is None:
            del target[int(last) if last.isdigit() else last]
        else:
            target[int(last) if last.isdigit() else last] = value
    return content
