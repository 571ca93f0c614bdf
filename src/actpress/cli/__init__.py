"""The command line: parse, call the API, print."""

from actpress.cli.app import main

__all__ = ["main"]
