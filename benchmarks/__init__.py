"""Everything that produced a file or a number in this repository, one command each."""
