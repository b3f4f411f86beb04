"""``python -m residency``: the command line, for launchers that start a module.

In: arguments. Out: the exit status of the command. Covers: starting. Does not cover: any command (cli).
"""

from residency.cli import main

main()
