"""Which fields of a class have a docstring of their own."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def _names(statement: ast.stmt) -> list[str]:
    """The fields that a statement of a class, or of its ``__init__``, defines."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    names = [target.id if isinstance(target, ast.Name) else getattr(target, "attr", "") for target in targets]
    return [name for name in names if name]


def documented(kind: type) -> set[str]:
    """The fields of a class that a docstring follows, in the class or in its ``__init__``."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    inits = [node.body for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    return {
        name
        for body in (tree.body, *inits)
        for statement, after in pairwise(body)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
        for name in _names(statement)
    }
