"""`python -m accelsim.cli` does what the installed `accelsim` does."""

import sys

from accelsim.cli.main import main

sys.exit(main())
