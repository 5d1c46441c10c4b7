"""What all specs share: frozen, no guessing of types, and an unknown key is an error."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen description. Unknown keys are errors, so a mistyped option cannot be ignored in silence.

    Types are taken strictly: ``"128"`` and ``true`` are no numbers, ``1`` is no boolean; infinity and NaN are refused.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )
