"""Runs command lines one after the other as one of several ranks: run by mpiexec, see test_commands.py."""

from __future__ import annotations

import json
import sys

from segcaffe.cli.main import main

if __name__ == "__main__":
    for line in json.loads(sys.argv[1]):
        status = main(line)
        assert status == 0, line
