"""Beam search, variant hf, against transformers' own on the same tables: the same reply with the same score."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from tables import END, START, Table, TableEngine, V, done_of
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from tinychat.engine.search_params import SearchParams

LENGTH = 5
STOPS = {"safe": "never", "hf-false": False, "hf-true": True}


class TableConfig(PretrainedConfig):  # type: ignore[misc]  # transformers is untyped here
    model_type = "tinychat-table"


class TableModel(PreTrainedModel, GenerationMixin):  # type: ignore[misc]  # transformers is untyped here
    """transformers' generate on a table: the first id of a row is the prompt."""

    config_class = TableConfig
    main_input_name = "input_ids"

    def __init__(self, table: Table) -> None:
        super().__init__(TableConfig(vocab_size=V))
        self.weight = torch.nn.Parameter(torch.zeros(1))  # it asks its parameters for the device
        self.table = table

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None, **_: Any) -> CausalLMOutput:
        rows = [torch.from_numpy(self.table.logits(row[1:])) for row in input_ids.tolist()]
        return CausalLMOutput(logits=torch.stack(rows)[:, None])

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, attention_mask: Any = None, **_: Any
    ) -> dict[str, Any]:
        return {"input_ids": input_ids}


def theirs(model: TableModel, width: int, alpha: float, stop: object) -> tuple[tuple[int, ...], float]:
    config = GenerationConfig(
        num_beams=width, max_new_tokens=LENGTH, do_sample=False, length_penalty=alpha, early_stopping=stop,
        eos_token_id=END, pad_token_id=END, use_cache=False, return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.generate(
            torch.tensor([[START]]), attention_mask=torch.ones(1, 1, dtype=torch.long), generation_config=config
        )
    ids = found.sequences[0, 1:].tolist()
    if END in ids:
        ids = ids[: ids.index(END) + 1]  # the rest is padding
    return tuple(ids), float(found.sequences_scores[0])


@pytest.mark.parametrize("rule", STOPS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_same_reply_as_transformers(alpha: float, rule: str) -> None:
    for seed in range(10):
        table = Table(seed)
        engine, model = TableEngine(table), TableModel(table)
        for width in (2, 4, 6):
            ids, score = theirs(model, width, alpha, STOPS[rule])
            spec = SearchParams(
                width=width, variant="hf", length_rule="mean" if alpha else "sum", stop_rule=rule, max_tokens=LENGTH
            )
            ours = done_of(engine, spec).hypotheses[0]
            assert (ours.ids, ours.score) == (ids, pytest.approx(score, abs=1e-5)), f"table {seed}, width {width}"
