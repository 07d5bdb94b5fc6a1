"""The one error of this package."""


class PrecisError(ValueError):
    """What is wrong, where (file, tensor, argument), and both sides: `expected` and `found`."""

    def __init__(self, what: str, where: object = "", expected: object = "", found: object = "") -> None:
        self.what, self.where, self.expected, self.found = what, str(where), str(expected), str(found)
        message = f"{self.where}: {what}" if self.where else what
        if self.expected:
            message += f"; expected {self.expected}"
        if self.found:
            message += f"{',' if self.expected else ';'} found {self.found}"
        super().__init__(message)


def require_equal(what: str, where: object, expected: object, found: object) -> None:
    """Raises PrecisError, naming both sides, if `expected` and `found` differ."""
    if expected != found:
        raise PrecisError(what, where, expected, found)
