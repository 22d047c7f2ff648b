"""The errors a user can cause or must act on.

Every message is one line that says what was expected, what was found and what to do about it. Runners print the message alone
and exit with the class's `exit_code`; anything that is not one of these is a defect of ours and keeps its traceback in the log.
"""


class FedtfxError(Exception):
    """Base of all errors with a remedy. `exit_code` is what a runner ends with."""

    exit_code = 1


class ConfigError(FedtfxError):
    """A config, an option or a model module is wrong; nothing has been run."""

    exit_code = 2


class DataError(FedtfxError):
    """The input data cannot be used as the config asks."""


class TrainingError(FedtfxError):
    """Training cannot start or cannot go on."""


class IntegrityError(FedtfxError):
    """Stored bytes or records are not the ones that were published."""


class PushError(FedtfxError):
    """A blessed model could not be put into the serving directory."""


class ReleaseError(FedtfxError):
    """The model servers do not answer as they should after a push or a release."""


class BusyError(FedtfxError):
    """Another process holds what this one needs, for longer than this one waits."""
