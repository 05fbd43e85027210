"""`tinychat score` as a script and a person see it."""

from __future__ import annotations

import base64
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = "the fox saw a moon\nover the pöND \U0001f98a and the owl sang"


@pytest.fixture
def score(tinychat, checkpoint: Path):
    def run(*args: object, stdin: bytes = b""):
        return tinychat("score", "-m", checkpoint, *args, stdin=stdin)

    return run


def fields(text: str) -> dict[str, str]:
    """The lines "name    value" of a summary."""
    return dict(re.findall(r"^(\S.*?) {2,}(\S.*)$", text, re.MULTILINE))


def test_json_is_one_object_with_every_token_and_the_sums_of_them(score) -> None:
    run = score("--text", TEXT, "--json", "--most", 3).json
    assert run["schema"] == "tinychat.score/1"
    assert (run["context"], run["stride"]) == (64, 32)
    (text,) = run["texts"]
    tokens, summary = text["tokens"], text["summary"]
    assert b"".join(base64.b64decode(token["bytes"]) for token in tokens) == TEXT.encode()
    assert [token["byte"] for token in tokens][:2] == [0, len(base64.b64decode(tokens[0]["bytes"]))]
    for token in tokens:
        assert token["surprisal_bits"] == pytest.approx(-math.log2(token["raw_prob"]))
        assert token["expected"]["raw_prob"] >= token["raw_prob"]
        assert (token["raw_rank"] == 1) == (token["expected"]["id"] == token["id"])
        assert token["seen"] == token["position"]
    bits = sum(token["surprisal_bits"] for token in tokens)
    assert summary["tokens"] == len(tokens)
    assert summary["bits"] == pytest.approx(bits)
    assert summary["bits_per_byte"] == pytest.approx(bits / len(TEXT.encode()))
    assert summary["perplexity"] == pytest.approx(2 ** (bits / len(tokens)))
    assert summary["top_5"] == sum(token["raw_rank"] <= 5 for token in tokens) / len(tokens)
    falling = sorted(tokens, key=lambda token: -token["surprisal_bits"])[:3]
    assert [each["position"] for each in summary["most_surprising"]] == [each["position"] for each in falling]


def test_the_same_numbers_as_sample_gives_to_forced_tokens(score, sample) -> None:
    mine = score("--text", "the owl sang", "--json").json["texts"][0]["tokens"]
    ids = [token["id"] for token in mine]
    force = [word for at, token in enumerate(ids) for word in ("--force", f"{at}={token}")]
    theirs = sample("--prompt-ids", "0", "-n", len(ids), "--json", *force).json["tokens"]
    for one, other in zip(mine, theirs, strict=True):
        for name in ("id", "token", "bytes", "position", "raw_rank"):
            assert one[name] == other[name]
        for name in ("raw_prob", "surprisal_bits", "entropy_bits"):
            assert one[name] == pytest.approx(other[name], rel=1e-4)


def test_jsonl_is_a_line_a_token_then_a_summary_of_each_text_and_of_all(score, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the fox")
    (tmp_path / "b.txt").write_text("")
    whole = score(tmp_path / "a.txt", tmp_path / "b.txt", "--json").json
    lines = score(tmp_path / "a.txt", tmp_path / "b.txt", "--jsonl").lines
    *tokens, first, second, last = lines
    assert {line["name"] for line in tokens} == {str(tmp_path / "a.txt")}
    assert [{**token, "schema": None, "name": None} for token in tokens] == [
        {**token, "schema": None, "name": None} for token in whole["texts"][0]["tokens"]
    ]
    assert first["summary"].items() >= whole["texts"][0]["summary"].items()
    assert second["summary"]["tokens"] == second["summary"]["bytes"] == 0
    assert second["summary"]["perplexity"] is None
    assert last["total"] == whole["total"]
    assert last["total"]["bits"] == first["summary"]["bits"]


def test_a_pipe_gets_plain_lines_that_say_what_json_says(score) -> None:
    facts = score(stdin=TEXT.encode() * 5).text
    summary = score("--json", stdin=TEXT.encode() * 5).json["texts"][0]["summary"]
    said = fields(facts)
    assert "\x1b" not in facts
    assert said["text"] == "stdin"
    assert said["tokens"] == str(summary["tokens"])
    assert said["bits per byte"] == f"{summary['bits_per_byte']:.4f}"
    assert said["likeliest token"] == f"{summary['top_1']:.1%}"
    assert len(facts[facts.index("most surprising") :].splitlines()) == 11


def test_places_count_lines_and_characters_and_point_at_letters(score) -> None:
    tokens = score("--text", TEXT, "--json", "--most", 99).json["texts"][0]["summary"]["most_surprising"]
    places = {token["byte"]: (token["line"], token["column"]) for token in tokens}
    label = {token["byte"]: token["token"] for token in tokens}
    for byte, place in places.items():
        letters = TEXT.encode()[:byte].decode(errors="ignore")
        blank = label[byte].startswith("␣") and len(label[byte]) > 1
        line = letters.count("\n") + 1
        assert place == (line, len(letters) - letters.rfind("\n") + blank)


def test_two_texts_are_two_documents_and_a_sum(score, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("the fox")
    both = score(path, "-", "--text", "the fox", "--json", stdin=b"the fox").json
    assert [text["name"] for text in both["texts"]] == [str(path), "stdin", "--text"]
    one = both["texts"][0]["summary"]
    assert [text["summary"] for text in both["texts"][1:]] == [one, one]
    assert both["total"]["bits"] == pytest.approx(3 * one["bits"])
    said = score(path, "-", stdin=b"the owl").text
    assert fields(said)["all texts"] == "2"


def test_a_text_longer_than_the_context_is_scored_whole_and_a_stride_says_how(score) -> None:
    text = b"the fox saw a moon over the pond. " * 20
    runs = {stride: score("--json", "--stride", stride, stdin=text).json["texts"][0] for stride in (1, 63)}
    for stride, run in runs.items():
        assert b"".join(base64.b64decode(token["bytes"]) for token in run["tokens"]) == text
        assert min(token["seen"] for token in run["tokens"][63:]) == 64 - stride
    small = score("--json", "--context", 16, stdin=text).json
    assert (small["context"], small["stride"]) == (16, 8)
    assert max(token["seen"] for token in small["texts"][0]["tokens"]) == 15


def test_an_empty_text_has_no_figures_and_is_no_error(score) -> None:
    run = score(stdin=b"")
    assert run.code == 0
    said = fields(run.text)
    assert (said["tokens"], said["perplexity"], said["bits per byte"]) == ("0", "-", "-")
    assert "most surprising" not in run.text


def test_no_control_character_of_a_text_or_a_name_reaches_the_output(score, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m.txt"
    path.write_bytes("fox\x1b[2J\x07 \u202e\x7f".encode())
    for args in ([], ["--marks"], ["--json"], ["--jsonl"]):
        run = score(path, "--most", 50, *args)
        assert run.code == 0
        assert not set(run.text) & set("\x1b\x07\x7f\u202e"), args
    marked = score(path, "--marks").text.splitlines()[0]
    assert marked.startswith("fox␛[2J␇")


def test_marks_stand_beneath_the_first_letter_of_every_token(score) -> None:
    run = score("--marks", "--text", "the fox\nsaw", "--json")
    assert run.code == 2
    tokens = score("--text", "the fox\nsaw", "--json").json["texts"][0]["tokens"]
    first, marks, second, more = score("--marks", "--text", "the fox\nsaw").text.splitlines()[:4]
    assert (first.rstrip("↵ "), second) == ("the fox", "saw")
    from tinychat.tui.palette import HEAT_MARKS, heat_of_bits

    wanted = {}
    for token in tokens:
        data = base64.b64decode(token["bytes"])
        at = token["byte"] + (len(data) - len(data.lstrip()) if data.strip() else 0)
        wanted[at] = HEAT_MARKS[heat_of_bits(token["surprisal_bits"])]
    rows = marks.ljust(8) + more
    assert {at: mark for at, mark in enumerate(rows) if mark != " "} == wanted


@pytest.mark.parametrize(
    ("args", "stdin", "code", "what"),
    [
        (["/nowhere"], b"", 2, "/nowhere: No such file or directory."),
        (["/"], b"", 2, "/: Is a directory."),
        (["-", "-"], b"", 2, "- is named twice"),
        ([], b"fox \xff", 2, "stdin is no UTF-8 text (byte 4)."),
        (["--stride", "64"], b"a", 2, "--stride must be from 1 to 63, got 64."),
        (["--context", "65"], b"a", 2, "--context must be from 2 to 64, got 65."),
        (["--marks", "--no-show"], b"a", 2, "--marks and --no-show"),
        (["--dtype", "fp3"], b"a", 2, "There is no number type 'fp3'."),
        (["-m", "/nowhere"], b"a", 3, "/nowhere: no such file."),
    ],
)  # fmt: skip
def test_an_error_is_two_lines_and_has_its_code(score, args: list[str], stdin: bytes, code: int, what: str) -> None:
    run = score(*args, stdin=stdin)
    assert (run.code, run.text) == (code, "")
    assert run.err.startswith(what)
    assert len(run.err.splitlines()) == 2


def test_an_error_in_a_json_mode_is_json(score) -> None:
    run = score("/nowhere", "--json")
    assert run.code == 2
    assert run.json["schema"] == "tinychat.score/1"
    assert run.json["error"]["exit_code"] == 2


_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")
_COLOUR = re.compile(r"\x1b\[([0-9]+;)*(3[0-8]|4[0-8]|9[0-7])[;m]")


@pytest.fixture
def on_a_terminal(score, monkeypatch: pytest.MonkeyPatch):
    """What a terminal of 80 columns is sent."""

    def run(*args: object, **environment: str) -> str:
        for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80", **environment}.items():
            monkeypatch.setenv(name, value)
        found = score(*args)
        assert found.code == 0
        return found.text

    return run


def test_a_terminal_shows_the_text_in_colour(on_a_terminal) -> None:
    text = "the fox saw a moon over the pond and the owl sang. " * 3
    coloured = on_a_terminal("--text", text)
    shown = _SEQUENCE.sub("", coloured).split("\n\nsurprisal  <1 bit")[0]
    assert _COLOUR.search(coloured)
    assert max(map(len, shown.splitlines())) <= 81, "a space may hang at the end of a line"
    assert shown.replace("\n", "") == text
    assert _SEQUENCE.sub("", coloured).endswith(on_a_terminal("--text", text, "--no-show"))


def test_without_colour_marks_say_it(on_a_terminal) -> None:
    plain = on_a_terminal("--text", "the fox", NO_COLOR="1")
    assert not _COLOUR.search(plain)
    bare = _SEQUENCE.sub("", plain)
    assert set(bare.splitlines()[1]) <= set(" .:*#")
    assert "surprisal  . <1 bit  : 1-3" in bare


def test_a_character_of_several_tokens_has_the_heat_of_the_most_surprising() -> None:
    from tinychat import score_text
    from tinychat.tui.palette import Look

    parts = [(b"the", 0.5), (b"\xf0\x9f", 9.0), (b"\xa6", 0.1), (b"\x8a", 0.1), (b" fox", 0.2), (b"\xf0", 2.5)]
    lines = score_text.ScoredText(width=40, look=Look("ascii", "none"), paint=lambda t, r: f"[{t}:{r}]", marks=False)
    found = "".join([*lines.push(parts[:3]), *lines.push(parts[3:]), *lines.finish()])
    assert found == "[the:heat0][\U0001f98a:heat5][ :text][fox:heat0][\ufffd:heat2]"


@pytest.mark.parametrize(
    ("said", "light"), [("0;15", True), ("0;default;7", True), ("15;0", False), ("", None), ("default;default", None)]
)
def test_the_ground_is_known_only_where_the_terminal_says_it(said: str, light: bool | None) -> None:
    from tinychat.score_text import has_light_ground

    assert has_light_ground(said) is light


def test_help_loads_neither_torch_nor_textual_and_fits() -> None:
    ended = subprocess.run(
        [
            sys.executable, "-c",
            "import sys; sys.argv = ['tinychat', 'score', '--help']\n"
            "from tinychat.__main__ import main\n"
            "try: main()\n"
            "except SystemExit: print([name for name in ('torch', 'textual', 'tokenizers') if name in sys.modules])",
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    *lines, loaded = ended.stdout.splitlines()
    assert loaded == "[]"
    assert max(map(len, lines)) <= 80


def test_a_watermark_is_found_with_its_key_and_not_with_another(score, sample) -> None:
    drawn = sample("-p", "the fox", "-n", 50, "--watermark", 8, "--watermark-key", 99, "--seed", 3).text
    found = score("--text", drawn, "--json", "--watermark-key", 99).json["texts"][0]["summary"]["watermarks"]
    assert found["green_list"]["z"] > 3
    assert found["green_list"]["p_value"] < 0.002
    other = score("--text", drawn, "--watermark-key", 98, "--synthid-keys", "4,5")
    assert float(re.search(r"z (-?[\d.]+)", fields(other.text)["green list"])[1]) < 3
    assert "by chance" in fields(other.text)["synthid"]
    assert "watermarks" not in score("--text", drawn, "--json").json["texts"][0]["summary"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--watermark-share", "0.5"), "without a key"),
        (("--watermark-key", "0"), "watermark_key must be between"),
        (("--synthid-keys", "a"), "ids joined by commas"),
        (("--synthid-ngram", "4"), "without keys"),
    ],
)
def test_watermark_options_that_say_nothing_are_refused(score, options: tuple[str, ...], says: str) -> None:
    run = score("--text", "the", *options)
    assert run.code == 2
    assert says in run.err
