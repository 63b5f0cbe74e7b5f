"""`python -m simvp`: the command, where no script is installed."""

import sys

from simvp.cli import main

if __name__ == "__main__":
    sys.exit(main())
