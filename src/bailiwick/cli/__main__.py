"""`python -m bailiwick.cli` is `bailiwick`."""

import sys

from bailiwick.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
