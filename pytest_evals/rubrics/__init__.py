"""What turns a rollout into a reward."""

from ..names import attribute_of

__getattr__ = attribute_of("rubrics")
