"""`python -m bloomlab` is the `bloomlab` command."""

import sys

from bloomlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
