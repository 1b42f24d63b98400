"""``--plugin``: modules of the user's that are imported before a command runs, to register distances and layers."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from pathlib import Path

from segcaffe.errors import SegcaffeError
from segcaffe.text.visible import one_line


def add_plugin_option(parser: argparse.ArgumentParser) -> None:
    """Add the option; see `segcaffe.functional.register_distance`."""
    parser.add_argument(
        "--plugin",
        help="import this Python module first, which may register distances and layers of its own (docs/distances.md); "
        "repeatable",
        metavar="MODULE",
        action="append",
        default=[],
    )


def load_plugins(options: argparse.Namespace) -> None:
    """Import what ``--plugin`` names, from the current directory or where Python finds modules."""
    for name in getattr(options, "plugin", ()):
        if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
            raise SegcaffeError(
                f"--plugin takes a module's name, as import does: huber, not huber.py. Received: {name}."
            )
        _load(name)


def _load(name: str) -> None:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failure(name, error) from error
        raise SegcaffeError(
            f"--plugin {name}: there is no such module, neither in {folder} nor where Python finds modules."
        ) from error
    except (Exception, SystemExit) as error:
        # A script without a guard for __main__ may end with sys.exit: the command would end there, as if it had run.
        raise _failure(name, error) from error
    finally:
        sys.path.remove(folder)


def _failure(name: str, error: Exception | SystemExit) -> SegcaffeError:
    """What went wrong in the module, and where."""
    if isinstance(error, SegcaffeError):
        return SegcaffeError(f"--plugin {name}: {error}")
    last = traceback.extract_tb(error.__traceback__)[-1]
    place, told = f"{last.filename}:{last.lineno}", f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        # It arose in the compiler; what counts is the line that could not be read.
        place, told = f"{error.filename}:{error.lineno}", f"{type(error).__name__}: {error.msg}"
    return SegcaffeError(f"--plugin {name}: the module fails ({place}): {one_line(told)}.")
