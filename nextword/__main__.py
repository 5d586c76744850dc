"""``python -m nextword``: the same as the command ``nextword``."""

import sys

from nextword.cli import main

if __name__ == "__main__":
    sys.exit(main())
