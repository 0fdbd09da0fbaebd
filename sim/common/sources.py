"""What the machine code of a kernel is made of, as a digest: it changes with all that numba compiles in, and no more.

Numba compiles a kernel together with the functions that it calls, the constants that these name, and the fields of the
named tuples that it is given. Where a function lies in its file, its comments and its docstring do not matter. What is
of Python, NumPy, numba and LLVM is told by their versions, which are `spec.caches.stamp_of`'s matter.
"""

import dis
import enum
import hashlib
import inspect
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core import types
from numba.core.dispatcher import Dispatcher
from numba.extending import _Intrinsic

OTHERS = {"numba", "numpy", "llvmlite", *sys.stdlib_module_names}
"""Packages whose versions stand for their code."""
PLAIN = (bool, int, float, str, bytes, type(None), np.generic)


def digest(function: FunctionType) -> str:
    """Digest of a function and of all that it leads to: 20 hexadecimal digits.

    Parameters
    ----------
    function : function
        As Python has it, before numba compiles it. All names that it uses must have their values.

    Raises
    ------
    TypeError
        Where a function names a thing of a kind that is not known here, so that a change of it would be missed.
    """
    found: dict[FunctionType, str] = {}
    pending = [function]
    while pending:
        each = pending.pop()
        if each not in found:
            found[each], called = _own(each)
            pending += called
    return hashlib.sha256("\0".join(sorted(found.values())).encode()).hexdigest()[:20]


def fields(kind: Any) -> str:
    """A type of numba, with the names of the fields of named tuples: numba tells apart only their types.

    >>> from typing import NamedTuple
    >>> class Pair(NamedTuple):
    ...     x: int
    ...     y: int
    >>> fields(types.NamedUniTuple(types.int64, 2, Pair)).rpartition(".")[2]
    'Pair(x: int64, y: int64)'
    """
    inner: Any = kind  # numba has no types for it
    if isinstance(kind, types.BaseNamedTuple):
        named = inner.instance_class
        shown = [f"{n}: {fields(k)}" for n, k in zip(named._fields, inner, strict=True)]
        return f"{named.__module__}.{named.__qualname__}({', '.join(shown)})"
    if isinstance(kind, types.BaseTuple):
        return f"({', '.join(map(fields, inner))})"
    return str(kind)


@cache
def _own(function: FunctionType) -> tuple[str, tuple[FunctionType, ...]]:
    """What a function itself is made of, and the functions that it names."""
    called: list[FunctionType] = []
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    names = {
        **vars(sys.modules["builtins"]),
        **function.__globals__,
        **dict(zip(function.__code__.co_freevars, cells, strict=True)),
    }
    lines = [f"{function.__module__}.{function.__qualname__}", repr(function.__kwdefaults__)]
    lines += [_value(v, called, "a default") for v in function.__defaults__ or ()]
    lines += _code(function.__code__, names, function.__doc__, called)
    return "\n".join(lines), tuple(called)


def _code(code: CodeType, names: dict[str, Any], doc: str | None, called: list) -> list[str]:
    """Lines of a function's code, and of the values of `names` that it uses; functions are added to `called`."""
    lines = [code.co_code.hex(), repr((code.co_argcount, code.co_flags))]
    lines.append(repr((code.co_names, code.co_varnames, code.co_freevars)))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            lines += _code(constant, names, None, called)
        elif isinstance(constant, frozenset):
            lines.append(repr(sorted(map(repr, constant))))
        elif doc is None or constant != doc:
            lines.append(f"{type(constant).__name__} {constant!r}")
    for path, value in _named(code, names):
        lines.append(f"{path} = {_value(value, called, path)}")
    return lines


def _named(code: CodeType, names: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """The values that code names, each with its path, as `Flop.DONE`: of a module or an enumeration one member."""
    path, value = "", None
    for step in dis.get_instructions(code):
        if path and step.opname in ("LOAD_ATTR", "LOAD_METHOD") and _is_followed(value):
            path, value = f"{path}.{step.argval}", getattr(value, step.argval)
            continue
        if path:
            yield path, value
            path = ""
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF") and step.argval in names:
            path, value = step.argval, names[step.argval]
    if path:
        yield path, value


def _is_followed(value: Any) -> bool:
    """Whether an attribute of a value is named, and not the value."""
    return isinstance(value, ModuleType | type)


def _value(value: Any, called: list, path: str) -> str:  # noqa: C901, PLR0911  a case a kind
    """A value as text; functions of ours are named here, and added to `called`."""
    if isinstance(value, Dispatcher):
        options = sorted(map(repr, value.targetoptions.items()))
        called.append(value.py_func)
        return f"{value.py_func.__module__}.{value.py_func.__qualname__} {options}"
    if isinstance(value, _Intrinsic):  # beside it are lowerings that it does not name
        made = value._defn
        if not _is_ours(made):
            return f"{made.__module__}.{made.__qualname__}"
        file = Path(inspect.getfile(made)).read_bytes()
        return f"{made.__qualname__} {hashlib.sha256(file).hexdigest()}"
    if isinstance(value, enum.Enum):
        return repr(value)
    if isinstance(value, PLAIN):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, np.ndarray):
        data = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype} {value.shape} {data}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} [{', '.join(_value(v, called, path) for v in value)}]"
    if isinstance(value, enum.EnumMeta):
        return repr(list(map(repr, value)))
    if isinstance(value, type) and (hasattr(value, "_fields") or not _is_ours(value)):
        return f"{value.__module__}.{value.__qualname__} {getattr(value, '_fields', '')}"
    if isinstance(value, FunctionType) and _is_ours(value):
        called.append(value)
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, FunctionType | BuiltinFunctionType | ModuleType | np.ufunc):
        return f"{getattr(value, '__module__', '')}.{value.__name__}"
    raise TypeError(
        f"{path} of a kernel must be a number, an array, a function, a module, an enumeration or a class of named "
        f"tuples, not {value!r}"
    )


def _is_ours(thing: Any) -> bool:
    """Whether a function or a class is of a package whose version does not tell its code."""
    return thing.__module__.partition(".")[0] not in OTHERS
