"""Every error that actpress raises on purpose.

    ActpressError
    |-- ModelError           the network cannot be loaded, traced or run
    |-- DataError            images or labels are missing, broken or of the wrong shape
    |-- TaskError            a task is malformed, or its metric cannot be computed
    |-- CalibrationError     statistics are missing, not finite or of another network
    |-- PlanError            a plan is malformed, newer, or of another network
    |-- BudgetError          a budget is malformed or cannot be reached
    |-- TuningError          training diverged or a checkpoint does not fit
    |-- ExportError          a network has no form in a file for other tools
    |-- RunError             a run directory is missing, damaged or in the way
    `-- StreamError          a stream of bytes is damaged, too new, or of another model

A message says what happened, what was got, what was expected, where, and how to mend it.
"""


class ActpressError(Exception):
    """Base of every error that actpress raises on purpose."""


class ModelError(ActpressError):
    """The network cannot be loaded, traced or run."""


class DataError(ActpressError):
    """Images or labels are missing, broken or of the wrong shape."""


class TaskError(ActpressError):
    """A task is malformed, or its metric cannot be computed."""


class CalibrationError(ActpressError):
    """Statistics are missing, not finite, or belong to another network."""


class PlanError(ActpressError):
    """A plan is malformed, of a newer version, or belongs to another network."""


class BudgetError(ActpressError):
    """A budget is malformed or cannot be reached."""


class TuningError(ActpressError):
    """Training diverged, or a checkpoint does not fit."""


class ExportError(ActpressError):
    """A network has no form in a file for other tools, or the file is not exact."""


class RunError(ActpressError):
    """A run directory is missing, damaged or in the way."""


class StreamError(ActpressError):
    """A stream of bytes is damaged, of a newer format, or belongs to another model or plan."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short; PyTorch has no type of its own for that on a CPU.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"))
    True
    """
    text = str(error).lower()
    told = "out of memory" in text or "allocate memory" in text or "not enough memory" in text
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and told)
