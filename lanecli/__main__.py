"""``python -m lanecli``."""

from lanecli.cli import main

main()
