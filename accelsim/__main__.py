"""`python -m accelsim` does what the installed `accelsim` does."""

import sys

from accelsim.cli import main

if __name__ == "__main__":
    sys.exit(main())
