"""What all specs share: frozen, and an unknown key is an error."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen description. Unknown keys are errors, so a mistyped option cannot be ignored in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)
