"""What can stop a measurement."""


class UsageError(Exception):
    """A mistake of the user: what, where, and what is allowed. Exit status 2."""


class NotMeasurableError(Exception):
    """A case that this device or this build of PyTorch cannot run; the others go on."""


class DeviceLostError(Exception):
    """The device failed in a way that later cases would not survive."""
