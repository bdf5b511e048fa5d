"""`python -m api.cli` is `kefu`."""

from api.cli import main

main()
