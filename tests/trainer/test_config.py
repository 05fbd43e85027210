"""Every mistake in a config comes out at once, with line, key, reason and nearest name; the rest reads back equal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinychat.errors import UsageError
from trainer.config import TABLES, TrainConfig
from trainer.config_file import differences, dumps, load, parse

ASSETS = Path(__file__).parents[2] / "assets"


def _mistakes(text: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text, name="x.toml", overrides=overrides)
    assert caught.value.exit_code == 2
    return caught.value.what


@pytest.mark.parametrize("path", sorted(ASSETS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_config_loads_and_reads_back_equal(path: Path) -> None:
    config = load(path)
    assert parse(dumps(config), name="again") == config


def test_all_mistakes_are_listed_with_line_key_reason_and_nearest_name() -> None:
    text = """\
[data]
text = 5
[model]
widht = 128
heads = 3
lr = 1e-3
[trian]
steps = 1
[train]
steps = true
lr = "fast"
tokens_per_step = 1000
schedule = "cosin"
min_lr = nan
[eval]
every = -1
"""
    found = _mistakes(text)
    for expected in (
        "x.toml:2: data.text: must be a text",
        "x.toml:4: model.widht: unknown key; did you mean width?",
        "x.toml:6: model.lr: unknown key; it belongs to [train]",
        "x.toml:7: trian: unknown table; did you mean train?",
        "x.toml:10: train.steps: must be a whole number, got True",
        "x.toml:11: train.lr: must be a number, got 'fast'",
        "x.toml:13: train.schedule: must be 'cosine'",
        "did you mean cosine?",
        "x.toml:14: train.min_lr: must be a finite number",
        "x.toml:16: eval.every: must be greater than or equal to 0, got -1",
        "9 mistakes",
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[model]\nwidth = 100\nheads = 3\n", "x.toml:2: model.width: width 100 does not divide by 3 heads"),
        ("[model]\nkv_heads = 3\n", "x.toml:2: model.kv_heads: heads 4 do not divide by kv_heads 3"),
        (
            "[train]\nsteps = 1\ntokens_per_step = 5000\n",
            "x.toml:3: train.tokens_per_step: 5000 is no multiple of context 256; nearest are 4864 and 5120",
        ),
        (
            "[train]\nsteps = 1\nmicro_rows = 3\ntokens_per_step = 4096\n",
            "nearest are 3840 and 4608",
        ),
        ("[train]\nsteps = 1\ntokens_per_step = 100\n", "nearest is 256"),
        ("[train]\nlr = 1e-3\n", "x.toml:1: train.steps: the run has no end"),
        ("[train]\nsteps = 9\nlr = 1e-3\nmin_lr = 1e-2\n", "x.toml:4: train.min_lr: must not be above lr = 0.001"),
        ("[train]\nsteps = 9\nwarmup = 0.6\n", "train.warmup: hold_until (step 4.5) comes before warmup (step 5.4)"),
        ('[data]\ntext = "-"\n', "x.toml:2: data.text: stdin is for shards"),
        ("[data]\ntext = []\n", "x.toml:2: data.text: name"),
        ("[sample]\nprompts = []\n", "x.toml:2: sample.prompts: nothing to sample"),
        ("train = 5\n", "x.toml:1: train: is a table"),
        ("[train]\nsteps = 1\nsteps = 2\n", "x.toml:3: not TOML, column"),
        ("[train\n", "x.toml:1: not TOML"),
        ("[save]\nkeep = 1\n", "x.toml:2: save.keep: must be greater than or equal to 2"),
        ("[model]\ndropout = true\n", "x.toml:2: model.dropout: must be a number"),
        ("[train]\nsteps = 1\nbetas = [0.9, 1.0]\n", "x.toml:3: train.betas: must be less than 1"),
        ("[tokenizer]\nvocab_size = 100\n", "x.toml:2: tokenizer.vocab_size: must be greater than or equal to 262"),
    ],
)
def test_each_mistake_is_named_where_it_stands(text: str, expected: str) -> None:
    assert expected in _mistakes(text)


def test_a_whole_number_does_for_a_broken_one_and_a_list_for_a_text() -> None:
    config = parse('[train]\nsteps = 1\nlr = 1\n[data]\ntext = ["a.txt", "b"]\n', name="x")
    assert config.train.lr == 1.0
    assert config.data.sources == ("a.txt", "b")


def test_overrides_win_and_are_named_in_messages() -> None:
    config = parse("[train]\nsteps = 5\n", name="x", overrides=["train.lr=1e-4", "data.text=my texts", "train.steps=7"])
    assert (config.train.lr, config.data.text, config.train.steps) == (1e-4, "my texts", 7)
    assert "--set train.lr=fast: train.lr: must be a number" in _mistakes("", "train.lr=fast")
    assert "--set train.lrr=1: train.lrr: unknown key; did you mean lr?" in _mistakes("", "train.lrr=1")
    assert "--set lr=1: must read table.key=value" in _mistakes("", "lr=1")
    assert "--set model.width=10" in _mistakes("", "model.width=10")


def test_an_empty_override_takes_the_key_out() -> None:
    config = parse("[train]\nsteps = 5\n", name="x", overrides=["train.steps=", "train.minutes=2"])
    assert (config.train.steps, config.train.minutes) == (None, 2.0)


def test_an_override_cannot_smuggle_in_other_keys() -> None:
    assert "train.lr" in _mistakes("", "train.lr=1\nsteps = 5")


def test_the_family_sets_what_is_not_said() -> None:
    config = parse('[model]\nfamily = "gpt2"\nbias = false\n', name="x")
    network = config.model.network(300)
    assert (network.norm, network.position, network.activation, network.bias) == (
        "layer",
        "learned",
        "gelu_tanh",
        False,
    )


def test_derived_rows_divide_the_step() -> None:
    config = parse("[train]\nsteps = 1\ntokens_per_step = 92160\n[model]\ncontext = 256\n", name="x")
    assert config.rows_per_step == 360
    assert 360 % config.micro_rows == 0
    assert 1 < config.micro_rows <= 32


@pytest.mark.parametrize("content", [b"[train]\n\xff = 1\n", b"", b"a" * 2_000_000])
def test_a_file_that_is_no_text_config(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    if not content:
        assert load(path) == TrainConfig()
        return
    with pytest.raises(UsageError) as caught:
        load(path)
    assert str(path) in caught.value.what


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.toml", Path("/dev/zero")):
        with pytest.raises(UsageError):
            load(path)


def test_escape_sequences_in_a_file_do_not_reach_the_message() -> None:
    assert "\x1b" not in _mistakes('[train]\n"\\u001b[31m" = 1\nsteps = 1\n')


@given(
    st.text(max_size=40),
    st.floats(1e-6, 10),
    st.lists(st.text(max_size=10), min_size=1, max_size=3),
    st.integers(1, 10**9),
)
def test_any_value_survives_being_written(text: str, rate: float, prompts: list[str], steps: int) -> None:
    config = TrainConfig().model_copy(
        update={
            "data": TABLES["data"].model_validate({"text": text or "x"}),
            "train": TABLES["train"].model_validate({"steps": steps, "lr": rate, "min_lr": 0.0, "warmup": 0.0}),
            "sample": TABLES["sample"].model_validate({"prompts": prompts}),
        }
    )
    if text == "-":
        return
    assert parse(dumps(config), name="x") == config


def test_differences_name_key_and_both_values() -> None:
    old, new = parse("[train]\nsteps = 5\n", name="x"), parse("[train]\nsteps = 5\nlr = 1e-4\n", name="x")
    assert differences(old, new) == [("train.lr", "0.002", "0.0001")]
    assert differences(old, old) == []


# --- a run that starts from a checkpoint -------------------------------------------------------------------------

SHIPPED = ASSETS / "tinychat.safetensors"
FROM = f'[train]\nsteps = 3\ntokens_per_step = 2048\nfrom = "{SHIPPED}"\n'


def test_the_network_and_vocabulary_come_from_the_checkpoint_and_read_back_equal() -> None:
    config = parse(FROM + "[model]\nlayers = 6\ndropout = 0.1\n", name="x")
    assert (config.model.width, config.model.kv_heads, config.model.dropout) == (160, 2, 0.1)
    assert config.tokenizer.vocab_size == 1536
    assert parse(dumps(config), name="again") == config
    assert config.model.network(1536).n_parameters() == 1_952_800


def test_what_the_checkpoint_says_otherwise_is_named_where_it_stands() -> None:
    found = _mistakes(FROM + '[model]\nwidth = 128\ncontext = 256\n[tokenizer]\nvocab_size = 999\npath = "x"\n')
    assert "x.toml:6: model.width: is 128, in train.from 160: leave it out" in found
    assert "x.toml:9: tokenizer.vocab_size: is 999, in train.from 1536" in found
    assert "x.toml:10: tokenizer.path: leave it out" in found
    assert "3 mistakes" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[train]\nsteps = 1\nfrom = "no/such"\n', "x.toml:3: train.from: no/such: no such file"),
        ('[train]\nsteps = 1\nfrom_ = "x"\n', "x.toml:3: train.from_: unknown key; did you mean from?"),
        ("[lora]\nrank = 4\n", "x.toml:2: lora.rank: adapters change a trained model"),
        (FROM + '[lora]\nrank = 4\ntargets = ["qvk"]\n', "did you mean qkv?"),
        (FROM + "[lora]\nrank = 4\n[data]\npause_tokens = 2\n", "x.toml:8: data.pause_tokens: a new token must be"),
        ('[data]\nloss = "assistant"\nmode = "windows"\n', "x.toml:2: data.loss: who speaks is known in whole"),
    ],
)
def test_mistakes_of_fine_tuning_are_named(text: str, expected: str) -> None:
    assert expected in _mistakes(text)
