"""`python -m actpress` is the command `actpress`."""

from actpress.cli import main

main()
