"""Settings that are compared: a scheme, and options that are changed for it."""

from dataclasses import dataclass
from typing import Any

from accelsim.config.scheme import SchemeName


@dataclass(frozen=True)
class Setting:
    """A scheme with options, by dotted path; values are numbers or tuples of them."""

    scheme: SchemeName
    options: tuple[tuple[str, Any], ...] = ()

    def changed(self, **options: Any) -> "Setting":
        """The same with other options; ``hdp__rho_b`` stands for ``hdp.rho_b``."""
        merged = dict(self.options) | {path.replace("__", "."): value for path, value in options.items()}
        return Setting(self.scheme, tuple(merged.items()))

    def sets(self) -> list[str]:
        """As ``path=value`` texts."""
        return [f"{path}={_text(value)}" for path, value in self.options]

    def words(self) -> str:
        """For people: the scheme and its options."""
        return " ".join([self.scheme, *self.sets()])


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
