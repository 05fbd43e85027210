"""What the colour of a token can mean. Plain names: the command line reads them too."""

from __future__ import annotations

from typing import Literal

Mode = Literal["surprisal", "probability", "entropy", "rank", "source", "speculation", "off"]
MODES: tuple[Mode, ...] = ("surprisal", "probability", "entropy", "rank", "source", "speculation", "off")
