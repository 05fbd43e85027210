"""What is set but has no effect, or works against something else that is set, in plain words.

What can never work is refused by SamplingParams itself; all that is said here can be played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tinychat.engine.knobs import KNOB_BY_NAME, KNOBS, Knob
from tinychat.engine.lists import LISTS, ListSetting
from tinychat.engine.params import MODE_OF, SamplingParams

_CUTS = ("top_n_sigma", "top_k", "top_p", "min_p", "epsilon", "eta", "tfs", "top_a", "top_h")  # keep the likeliest
_CHOOSERS = ("typical", "xtc", "adaptive_p")  # may drop the likeliest, or prefer another
_PENALTIES = ("repetition", "encoder_repetition", "frequency", "presence", "dry")  # of tokens that were seen
_HARD = ("grammar", "allowed", "bad_words", "min_tokens", "no_repeat_ngram", "encoder_no_repeat_ngram")
_NARROW = frozenset({*_CUTS, "typical", "mirostat", "allowed", "grammar", "contrastive", "dola"})  # leave no far tail
_EVERY: tuple[Knob | ListSetting, ...] = (*KNOBS, *LISTS)
_SWITCH = {knob.stage: knob for knob in reversed(KNOBS) if not knob.aux}  # the first knob that turns a stage on


def params_notes(params: SamplingParams) -> list[str]:
    """One short sentence for each."""
    return [note for rule in _RULES for note in rule(params)]


def _greedy(params: SamplingParams) -> Iterator[str]:
    if not params.is_greedy:
        return
    place = params.stages.index("temperature")
    before = _before("temperature", params)
    after = [stage for stage in params.stages[place + 1 :] if params.is_on(stage)]
    if "xtc" in before:
        yield "temperature 0 is greedy: the seed only says when XTC cuts"
    else:
        yield "temperature 0 is greedy: the seed is unused"
    others = [index for index, stage in enumerate(before) if stage not in (*_CUTS, "mirostat")]
    # what is cut before a penalty or a choice may change the token that these make the likeliest
    idle = before[max(others, default=-1) + 1 :]
    idle += [stage for stage in after if stage in (*_CUTS, *_CHOOSERS, *_PENALTIES, "mirostat", "quadratic")]
    if idle:
        yield f"temperature 0 keeps one token: {_switches(idle)} cannot change it"
    if params.temperature_mode != "fixed":
        yield f"temperature 0 stays 0: temperature_mode {params.temperature_mode} cannot move it"


def _unused(params: SamplingParams) -> Iterator[str]:
    """Settings that were moved, of stages and modes that are off."""
    found: dict[str, list[str]] = {}
    for each in _EVERY:
        name = each.name
        if not each.aux or getattr(params, name) == each.neutral or params.is_used(name):
            continue
        if name in MODE_OF:
            why = f"temperature_mode is not {MODE_OF[name]}"
        elif name.startswith("penalty_"):
            why = "no penalty is on"
        elif name == "contrastive_alpha":
            why = "contrastive and dola are off"
        elif name == "contrastive_beta":
            why = "contrastive is not scaled"
        elif name == "amateur_temperature":
            why = "contrastive is not difference"
        else:
            switch = _SWITCH.get(each.stage)
            why = "synthid_keys is empty" if switch is None else f"{switch.name} is {switch.text(switch.neutral)}"
        found.setdefault(why, []).append(name)
    for why, names in found.items():
        yield f"{why}: {_and(names)} {'is' if len(names) == 1 else 'are'} unused"


def _temperature(params: SamplingParams) -> Iterator[str]:
    mode = params.temperature_mode
    if params.is_greedy:
        return
    still = {
        "dynamic": ("dynatemp_range", params.dynatemp_range == 0),
        "edt": ("edt_theta", params.edt_theta == 0),
        "adapt": ("adapt_temperature", params.adapt_temperature == params.temperature),
    }
    if mode in still and still[mode][1]:
        name = still[mode][0]
        yield f"{name} {_value(params, name)}: the temperature never moves"
    elif mode == "adapt" and params.adapt_temperature < params.temperature:
        yield "adapt_temperature is below temperature: blocks start colder, not hotter"


def _steering(params: SamplingParams) -> Iterator[str]:
    order = params.stages
    if params.is_on("mirostat"):
        cuts = [stage for stage in order if stage in (*_CUTS, "typical", "xtc") and params.is_on(stage)]
        if cuts and not params.is_greedy:
            yield f"mirostat has its own cut: {_switches(cuts)} can keep it from its target"
        if params.mirostat_eta == 0:
            yield "mirostat_eta 0: the bound stays where it is, nothing is steered"
    if params.is_on("adaptive_p") and not params.is_greedy:
        if params.is_on("mirostat"):
            yield "mirostat and adaptive_target both steer: the later one has the last word"
        # at the target a logit is 5, far from it near 0: 148 rare tokens weigh as much as the best
        if _NARROW.isdisjoint(_before("adaptive_p", params)):
            yield "adaptive_target with nothing cut before it also raises the whole tail: min_p keeps that out"
        later = [stage for stage in order[order.index("adaptive_p") + 1 :] if params.is_on(stage)]
        if later:
            yield f"adaptive-p makes new odds: {_switches(later)} after it sees those, not the model's"


def _before(stage: str, params: SamplingParams) -> list[str]:
    """The stages before this one that are switched on."""
    return [each for each in params.stages[: params.stages.index(stage)] if params.is_on(each)]


def _guidance(params: SamplingParams) -> Iterator[str]:
    contrastive, dola = params.is_on("contrastive"), params.is_on("dola")
    if contrastive and dola:
        yield "contrastive and dola are both on: the second contrasts what the first left"
    if params.contrastive == "scaled" and params.contrastive_beta == 0:
        yield "contrastive_beta 0: the amateur has no say"
    if (contrastive or dola) and params.contrastive_alpha == 1:
        yield "contrastive_alpha 1 leaves only the likeliest token"
    if params.guidance_scale == 0:
        yield "guidance_scale 0 follows the other prompt alone"


def _ids(params: SamplingParams) -> Iterator[str]:
    allowed, banned = frozenset(_plain(params.allowed_ids)), frozenset(_plain(params.banned_ids))
    words = [tuple(word) for word in params.bad_words]
    if allowed & banned:
        yield f"allowed_ids and banned_ids share {_some(allowed & banned)}: banned wins"
    if len(allowed - banned) == 1:
        yield "allowed_ids leaves one token: nothing is left to draw"

    def is_out(token: int) -> bool:
        return token in banned or (bool(allowed) and token not in allowed)

    idle = [token for token, _ in params.bias if is_out(token) or (token,) in words]
    if idle:
        yield f"logit_bias has no effect on {_some(idle)}: never allowed"
    zeros = [token for token, bias in params.bias if bias == 0]
    if zeros:
        yield f"logit_bias adds 0 to {_some(zeros)}"
    for phrase, bias in _biases(params):
        if bias == 0:
            yield f"sequence_bias adds 0 to {_spelled(phrase)}"
        elif is_out(phrase[-1]) or any(_ends(phrase, word) for word in words):
            yield f"sequence_bias has no effect on {_spelled(phrase)}: never allowed"
    for word in words:
        if is_out(word[-1]) or any(_ends(word, other) for other in words if other != word):
            yield f"bad_words need not name {_spelled(word)}: never allowed anyway"


def _repeats(params: SamplingParams) -> Iterator[str]:
    n, m = params.no_repeat_ngram, params.encoder_no_repeat_ngram
    if n == 1:
        yield "no_repeat_ngram 1 bans every token of the text so far"
        idle = [stage for stage in params.stages if stage in _PENALTIES and params.is_on(stage)]
        if idle:
            yield f"no_repeat_ngram 1 leaves {_switches(idle)} nothing to change"
    elif n and params.is_on("dry") and n <= params.dry_allowed_length + 1:
        yield f"no_repeat_ngram {n} bans all that dry_multiplier would lower"
    if 0 < n <= m:
        yield f"encoder_no_repeat_ngram {m} adds nothing to no_repeat_ngram {n}"
    if m == 1:
        yield "encoder_no_repeat_ngram 1 bans every token of the prompt"
    if params.is_on("dry") and 0 < params.dry_window <= params.dry_allowed_length:
        yield "dry_window is too short to hold a repeat that dry_allowed_length would not allow"
    opposed = (params.repetition_penalty - 1) * (params.encoder_repetition_penalty - 1) > 0
    if opposed and params.penalty_scope == "all":
        yield "repetition_penalty and encoder_repetition_penalty pull the prompt's tokens both ways"


def _limits(params: SamplingParams) -> Iterator[str]:
    alone = {"top_k": 1, "top_p": 0, "min_p": 1, "epsilon_cutoff": 1, "top_h": 0}
    for name, value in alone.items():
        if getattr(params, name) == value and not params.is_greedy:
            yield f"{name} {value} keeps only the likeliest token: nothing is left to draw"
    if params.is_on("xtc"):
        if params.xtc_threshold > 0.5:
            yield "xtc_threshold above 0.5: two tokens cannot both reach it, so XTC cuts nothing"
        if params.xtc_threshold == 0:
            yield "xtc_threshold 0 counts every token: XTC leaves only the least likely"
    order = params.stages
    if 0 < params.eta_cutoff <= params.epsilon_cutoff and order.index("epsilon") < order.index("eta"):
        between = order[order.index("epsilon") : order.index("eta")]
        if not any(params.is_on(stage) for stage in between if stage not in (*_CUTS, "typical", "xtc", "mirostat")):
            yield "eta_cutoff adds nothing to epsilon_cutoff: it is never higher"


def _order(params: SamplingParams) -> Iterator[str]:
    cuts = [stage for stage in params.stages if stage in (*_CUTS, "typical", "xtc", "mirostat") and params.is_on(stage)]
    if params.is_greedy:
        cuts.append("temperature")
    place = {stage: index for index, stage in enumerate(params.stages)}
    late = [stage for stage in _HARD if params.is_on(stage) and any(place[cut] < place[stage] for cut in cuts)]
    if late:
        yield f"{_and(late)} after a cut: together they can leave no token"
    if params.is_on("top_n_sigma") and any(place[cut] < place["top_n_sigma"] for cut in cuts if cut != "temperature"):
        yield "top_n_sigma after a cut: its deviation is that of the tokens left"
    if params.is_on("grammar"):
        others = [stage for stage in _HARD[1:] if params.is_on(stage)]
        if others:
            yield f"a grammar with {_and(others)} can leave no token"


_RULES: tuple[Callable[[SamplingParams], Iterator[str]], ...] = (
    _greedy, _temperature, _unused, _steering, _guidance, _ids, _repeats, _limits, _order,
)  # fmt: skip


# ---- words ----------------------------------------------------------------------------------------------------------


def _and(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _switches(stages: Iterable[str]) -> str:
    """The settings that turn the stages on, as a person knows them."""
    return _and(_SWITCH[stage].name if stage in _SWITCH else stage for stage in stages)


def _value(params: SamplingParams, name: str) -> str:
    return KNOB_BY_NAME[name].text(getattr(params, name))


def _some(tokens: Iterable[int]) -> str:
    listed = sorted(tokens)
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return f"token{'s' * (len(listed) > 1)} {', '.join(map(str, listed[:4]))}{more}"


def _spelled(phrase: tuple[int, ...]) -> str:
    return ",".join(map(str, phrase))


def _ends(phrase: tuple[int, ...], word: tuple[int, ...]) -> bool:
    return phrase[-len(word) :] == word


def _plain(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(ids)


def _biases(params: SamplingParams) -> tuple[tuple[tuple[int, ...], float], ...]:
    return tuple(params.sequence_bias)  # type: ignore[arg-type]  # __post_init__ made it pairs
