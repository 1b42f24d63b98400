"""What runs exported files: one interface to several programs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from segcaffe.errors import SegcaffeError
from segcaffe.text.visible import one_line

Array = np.ndarray[Any, Any]
_SHOWN = 400
"""Characters of another program's message that are told."""


class RuntimeMissingError(SegcaffeError, ImportError):
    """The program that is to run a file is not installed."""


class RuntimeRefusedError(SegcaffeError, RuntimeError):
    """A program does not read a file, or does not run it."""


class Session(Protocol):
    """A file that a program has read, ready to run."""

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run it on values by name; returns those it was opened for, by name. Raises RuntimeRefusedError."""


class Runtime(ABC):
    """A program that runs exported files.

    Attributes
    ----------
    name:
        What ``--runtime`` calls it.
    module:
        The module that is imported, when a file is opened.
    packages:
        Names under which pip has it, the one to install first.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]

    @classmethod
    def installed(cls) -> bool:
        """Whether it can be imported; nothing is."""
        return importlib.util.find_spec(cls.module) is not None

    @classmethod
    def version(cls) -> str:
        """The installed version; empty if the package does not tell."""
        for package in cls.packages:
            try:
                return importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
        return ""

    @classmethod
    def title(cls) -> str:
        """Name and version."""
        return f"{cls.name} {cls.version()}".rstrip()

    @abstractmethod
    def open(self, file: Path, blobs: Sequence[str] | None = None) -> Session:
        """Read a file, to run it for its outputs, or for the blobs of these names. Raises RuntimeRefusedError."""

    def require(self) -> None:
        """Raise RuntimeMissingError unless it is installed."""
        if not self.installed():
            raise RuntimeMissingError(
                f"{self.name} is to run the file, but is not installed: pip install {self.packages[0]}."
            )

    def refused(self, did: str, error: Exception) -> RuntimeRefusedError:
        """The error for what it raised; ``did`` says what it was to do."""
        told = one_line(" ".join(str(error).split())) or type(error).__name__
        return RuntimeRefusedError(f"{self.title()} does not {did}: {told[:_SHOWN]}{'…' if len(told) > _SHOWN else ''}")
