"""What a user typed that cannot be used, as an error of its own: it names the option and the remedy."""

__all__ = ["OptionInvalid"]

from converge.errors import CallerError


class OptionInvalid(CallerError, ValueError):
    """Raised for the value of an option or argument that cannot be used."""

    def __init__(self, option: str, reason: str) -> None:
        self.option, self.reason = option, reason
        super().__init__(f"{option}: {reason}")
