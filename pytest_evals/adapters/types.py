"""Types: names of `verifiers.types` that this package has no use for itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Literal, TypeAlias, TypedDict

from ..messages import ContentPart, Message, Messages, Response

Info: TypeAlias = dict[str, Any]
SamplingArgs: TypeAlias = dict[str, Any]
GenerateMetadata: TypeAlias = dict[str, Any]
ClientType: TypeAlias = str
MessageType: TypeAlias = Literal["chat", "completion"]
MessageContent: TypeAlias = str | list[ContentPart]
DatasetBuilder: TypeAlias = Callable[[], Any]
IndividualRewardFunc: TypeAlias = Callable[..., float | Awaitable[float]]
GroupRewardFunc: TypeAlias = Callable[..., list[float] | Awaitable[list[float]]]
RewardFunc: TypeAlias = IndividualRewardFunc | GroupRewardFunc

# Names from before messages had classes, which published environments still import.
ChatMessage: TypeAlias = Message
ChatMessages: TypeAlias = Messages
ModelResponse: TypeAlias = Response


class _TypedPart(ContentPart):
    """A content part that fills in its own type."""

    __slots__ = ()
    default_type: ClassVar[str]

    def __init__(self, fields: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        super().__init__(fields or (), **more)
        self.setdefault("type", self.default_type)


class TextContentPart(_TypedPart):
    """Text: `text`."""

    __slots__ = ()
    default_type: ClassVar = "text"


class ImageUrlContentPart(_TypedPart):
    """An image: `image_url`, with its `url`."""

    __slots__ = ()
    default_type: ClassVar = "image_url"


class InputAudioContentPart(_TypedPart):
    """Sound: `input_audio`, with its `data` and `format`."""

    __slots__ = ()
    default_type: ClassVar = "input_audio"


ImageUrlSource: TypeAlias = ContentPart
InputAudioSource: TypeAlias = ContentPart
GenericContentPart: TypeAlias = ContentPart


class RolloutInput(TypedDict, total=False):
    """A row of a dataset, as a rollout is given it."""

    prompt: Messages
    example_id: int
    answer: str
    info: Info | str


class RolloutOutput(dict[str, Any]):
    """A row of results."""


class TokenUsage(TypedDict, total=False):
    """Tokens of a rollout, summed over its model calls."""

    input_tokens: float
    output_tokens: float
    final_input_tokens: float
    final_output_tokens: float


class RolloutScore(TypedDict):
    """The reward and metrics of one rollout."""

    reward: float
    metrics: dict[str, float]


class RolloutScores(TypedDict):
    """The rewards and metrics of several rollouts."""

    reward: list[float]
    metrics: dict[str, list[float]]


class GenerateOutputs(TypedDict):
    """What `env.evaluate` returns."""

    outputs: list[RolloutOutput]
    metadata: GenerateMetadata
