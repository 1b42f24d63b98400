"""``python -m segcaffe``: the command line."""

import sys

from segcaffe.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
