"""Presets of one's own: a file a person writes, whose mistakes are named and whose comments survive."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.errors import StorageError, UsageError
from tinychat.session.presets import find_preset, own_presets, save_preset


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "tinychat" / "presets.toml"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_without_a_file_there_are_the_built_in_ones_and_nothing_is_made(file: Path) -> None:
    assert own_presets() == {}
    assert find_preset("story") == PRESETS["story"]
    assert not file.parent.exists()


def test_a_table_of_any_settings_is_a_preset(file: Path) -> None:
    write(
        file,
        """
        [presets.mine]
        temperature = 0.9
        "top-k" = 40
        mirostat = "v2"
        regex = '[a-z ]+'
        bad_words = [[1, 2], [3]]
        banned_ids = [7]
        logit_bias = {5 = -inf, 6 = 1.5}
        order = "hf"
        entropy_low = 4.0
        entropy_high = 5.0
        """,
    )
    assert find_preset("mine") == SamplingParams(
        temperature=0.9, top_k=40, mirostat="v2", regex="[a-z ]+", bad_words=[(1, 2), (3,)], banned_ids=[7],
        logit_bias={5: float("-inf"), 6: 1.5}, order="hf", entropy_low=4.0, entropy_high=5.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "rule"),
    [
        ("[presets.x]\ntop_p = 2", "presets.x.top_p", "between 0 and 1"),
        ("[presets.x]\ntopp = 1", "presets.x.topp", "did you mean top_p?"),
        ("[presets.x]\nseed = 1", "presets.x.seed", "no such setting"),
        ("[presets.x]\nbanned_ids = 'a'", "presets.x.banned_ids", "must be a list"),
        ("[presets.x]\norder = ['top_p']\ntop_k = 3", "presets.x", "leaves out top_k"),
        ("[presets.story]\ntop_p = 1", "presets.story", "built-in"),
        ("[presets]\nx = 1", "presets.x", "table of settings"),
        ("presets = 3", "presets", "tables"),
        ("[preset.x]\ntop_p = 1", "preset", "nothing else"),
        ("[presets.x", "", "no TOML"),
    ],
)
def test_a_mistake_names_file_key_and_rule(file: Path, text: str, key: str, rule: str) -> None:
    write(file, text)
    with pytest.raises(UsageError) as error:
        find_preset("mine")
    assert str(file) in error.value.what
    assert f"{key}:" in error.value.what
    assert rule in error.value.what
    assert not error.value.what.endswith("?.")
    assert find_preset("story") == PRESETS["story"], "a built-in one does not need the file"


def test_an_unknown_name_is_told_with_the_nearest_and_all_others(file: Path) -> None:
    write(file, "[presets.mine]\ntop_p = 0.5\n")
    with pytest.raises(UsageError, match="no preset 'mien'") as error:
        find_preset("mien")
    assert "Did you mean mine?" in error.value.hint
    assert "story" in error.value.hint


def test_what_is_saved_is_read_back_whatever_it_is(file: Path) -> None:
    params = SamplingParams(
        temperature=0.1 + 0.2, mirostat="v1", regex='"a\\d\n', logit_bias={3: -float("inf"), 4: 1e-7}, seed=9,
        sequence_bias=[((1, 2), -2.5)], dry_breakers=(), order=("temperature", "logit_bias", "sequence_bias",
                                                                "mirostat", "grammar"),
    )  # fmt: skip
    assert save_preset("my-own_2", params) == file
    assert find_preset("my-own_2") == params.with_(seed=0)


def test_saving_keeps_comments_order_and_other_presets(file: Path) -> None:
    before = "# mine\n[presets.b]\ntop_p = 0.5  # half\n\n[presets.a]\ntop_k = 3\n"
    write(file, before)
    save_preset("new", SamplingParams(min_p=0.1))
    text = file.read_text()
    assert text.startswith(before)
    assert list(own_presets()) == ["b", "a", "new"]
    save_preset("b", SamplingParams(top_p=0.25))
    assert "# mine" in file.read_text()
    assert own_presets()["b"] == SamplingParams(top_p=0.25)
    assert own_presets()["a"] == SamplingParams(top_k=3)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "story", "ä"])
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(file: Path, name: str) -> None:
    with pytest.raises(UsageError):
        save_preset(name, SamplingParams())
    assert not file.exists()


def test_a_file_that_cannot_be_read_is_not_overwritten(file: Path) -> None:
    write(file, "[presets.x\n")
    with pytest.raises(UsageError, match=r"presets\.toml"):
        save_preset("new", SamplingParams())
    assert file.read_text() == "[presets.x\n"


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tinychat").write_text("in the way")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises((StorageError, UsageError)):
        save_preset("new", SamplingParams())
