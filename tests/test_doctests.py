import doctest
import pkgutil
from importlib import import_module

import pytest

import tdam
import wsol
from eval import __path__ as eval_path

MODULES = sorted(
    info.name
    for path, prefix in ((tdam.__path__, "tdam."), (wsol.__path__, "wsol."), (eval_path, "eval."))
    for info in pkgutil.walk_packages(path, prefix)
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = import_module(name)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    found = doctest.testmod(module, optionflags=options)
    assert found.failed == 0


def test_examples_are_found():
    finder = doctest.DocTestFinder()
    found = [t for name in MODULES for t in finder.find(import_module(name)) if t.examples]
    assert len(found) >= 13
