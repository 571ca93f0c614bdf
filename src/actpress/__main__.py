"""`python -m actpress` and the command `actpress`."""

from actpress.interruption import leave_when_interrupted, work_is_done


def main() -> None:
    """Entry point of the command; what it loads comes after Ctrl-C is taken care of."""
    leave_when_interrupted()
    from actpress.cli import main as run  # noqa: PLC0415 - see above

    try:
        run()
    finally:
        work_is_done()


if __name__ == "__main__":
    main()
