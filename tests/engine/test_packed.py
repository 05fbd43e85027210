"""A network that holds int8 matrices alone computes what the one with the same numbers as floats computes."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.engine.test_graphs import PROMPT, a_model
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.quantise import pack, quantised, to_int8

VARIANTS = [
    {},
    {"kv_heads": 2, "tie": False},
    {"norm": "layer", "position": "learned", "activation": "gelu", "bias": True},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_packed_is_rounded(changes: dict[str, object]) -> None:
    model = a_model(**changes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(generator=torch.Generator().manual_seed(5))
    rounded, packed = to_int8(copy.deepcopy(model)), pack(copy.deepcopy(model), torch.float32)
    ids = torch.randint(0, 97, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(packed(ids), rounded(ids), atol=1e-4, rtol=1e-5)
        assert (packed(ids) - model(ids)).abs().max() > 1e-3  # rounding is seen


def test_every_matrix_is_a_byte_a_number_and_vectors_are_small_floats() -> None:
    model = a_model(bias=True)
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    packed = pack(model, torch.bfloat16)
    held = {buffer.data_ptr(): buffer for buffer in packed.buffers()}.values()  # tied ones once
    assert sum(buffer.numel() for buffer in held if buffer.dtype == torch.int8) == matrices
    assert {p.dtype for p in packed.parameters()} == {torch.bfloat16}
    assert all(p.ndim == 1 for p in packed.parameters())
    assert packed.int8


def test_an_engine_decodes_with_packed_matrices_ahead_or_not() -> None:
    greedy = SamplingParams(temperature=0.0)
    model = pack(a_model(), torch.float32)
    found = []
    for ahead in (True, False):
        engine = Engine(model, record=8, ahead=ahead)
        engine.set_context(PROMPT)
        found.append([engine.step(greedy).token for _ in range(40)])
        assert engine.facts()["dtype"] == "int8"
    reference = Engine(to_int8(a_model()), record=8)
    reference.set_context(PROMPT)
    assert found[0] == found[1] == [reference.step(greedy).token for _ in range(40)]


def test_scales_stay_exact_in_a_small_number_type() -> None:
    """A scale rounded to bfloat16 would make a row up to 0.4 % longer: another network than the one on the CPU."""
    weight = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    whole, scale = quantised(weight)
    packed = pack(a_model(), torch.bfloat16)
    linear = packed.blocks[0].attention.output
    x = torch.eye(linear.whole.shape[1], dtype=torch.bfloat16)
    with torch.inference_mode():
        got = linear(x).float()
    wanted = (linear.whole.float() * linear.scale[:, None]).T
    torch.testing.assert_close(got, wanted, rtol=2**-8, atol=0.0)  # one rounding, of the result
    assert (whole.float() * scale[:, None] - weight).abs().max() <= scale.max() / 2 * 1.0001
