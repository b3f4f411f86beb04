"""``python -m residency``: the command line, for launchers that start a module.

Covers: nothing of its own (cli).
"""

from residency.cli import main

main()
