"""The command line as `python -m converge.cli`."""

import sys

from converge.cli import main

if __name__ == "__main__":
    sys.exit(main())
