"""What the engine's side of the wire needs of an engine; tests play scripted ones. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, SamplerState, Step
from tinychat.engine.wire import Stop


class Decoder(Protocol):
    """What the loop needs of tinychat.engine.engine.Engine."""

    def facts(self) -> dict[str, Any]: ...
    def set_context(
        self,
        ids: Sequence[int],
        *,
        prompt_len: int | None,
        state: SamplerState | None,
        interrupt: Callable[[], bool] | None,
    ) -> int: ...
    def is_computed(self) -> bool: ...
    def length(self) -> int: ...
    def peek(self, params: SamplingParams, *, token: int | None) -> Odds: ...
    def step(self, params: SamplingParams) -> Step: ...
    def force(self, token: int, params: SamplingParams) -> Step: ...
    def stop_reason(self) -> Stop | None: ...
