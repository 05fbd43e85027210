"""`--lane`: the darts of a fan's lane in a command, in its JSON and in a proof."""

from __future__ import annotations

from typing import Any

import pytest

from tinychat import options
from tinychat.engine import draw
from tinychat.errors import UsageError


def test_a_lane_throws_its_own_darts(sample: Any) -> None:
    run = sample("-p", "the fox", "-n", 8, "--seed", 3, "--min-tokens", 8, "--lane", 2, "--json").json
    assert run["lanes"] == {"0": 2}
    for token in run["tokens"]:
        assert token["u"] == draw.uniform(3, token["position"], 2)


def test_lanes_change_in_mid_reply_and_the_proof_knows(sample: Any, tinychat: Any) -> None:
    words = ("-p", "the fox", "-n", 9, "--seed", 3, "--min-tokens", 9, "--lane", "3:5", "--lane", "6:0", "--json")
    run = sample(*words)
    lanes = [0, 0, 0, 5, 5, 5, 0, 0, 0]
    assert [token["u"] for token in run.json["tokens"]] == [
        draw.uniform(3, token["position"], lane) for token, lane in zip(run.json["tokens"], lanes, strict=True)
    ]
    assert tinychat("verify", "-", stdin=run.bytes).text.startswith("identical: 9 tokens")
    forged = run.bytes.replace(b'"3": 5', b'"3": 4')
    assert forged != run.bytes
    assert tinychat("verify", "-", stdin=forged).code == 1


@pytest.mark.parametrize("words", ["", "x", "-1", "1:", "a:2", "1:2:3", "65536"])
def test_what_is_no_lane_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="lane"):
        options.lanes([words])


def test_a_search_would_ignore_it(sample: Any) -> None:
    run = sample("-p", "the fox", "--search", "beam", "--lane", 1)
    assert run.code == 2
    assert "--lane" in run.err
