"""`python -m ulecli`."""

from ulecli.cli import main

main()
