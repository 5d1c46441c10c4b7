"""Errors that are the user's to mend. The command line prints their text and exits with status 2."""


class UserError(Exception):
    """Something in the input is wrong: the message says what, where, and what is allowed."""


class ConfigError(UserError):
    """A YAML file, key or value is wrong."""


class OperandError(UserError):
    """Operands are missing, of the wrong shape, or hold NaN or infinity."""


class MappingError(UserError):
    """A tile does not fit the machine, or options contradict each other."""


class ResultError(UserError):
    """A folder of results is damaged, of another format, or holds something else."""
