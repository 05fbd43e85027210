"""What `tinychat sample` was given, checked and made ids, before torch is imported: prompt, words, forced tokens.

Nothing here draws a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tinychat.engine.grammars import check_grammar
from tinychat.engine.notes import params_notes
from tinychat.engine.params import SamplingParams
from tinychat.engine.search_params import search_notes
from tinychat.errors import UsageError
from tinychat.model.vocabulary import Vocabulary
from tinychat.session.spelling import check_ids
from tinychat.session.words import encode_prompt, with_words
from tinychat.text.chat import PAUSE

if TYPE_CHECKING:
    from tinychat.model.checkpoint import CheckpointInfo
    from tinychat.sample import Request
    from tinychat.text.tokenizer import Tokenizer


def check_outputs(request: Request) -> None:
    """UsageError for options that would be ignored."""
    if request.output == "text" and request.trace:
        raise UsageError("--trace is for --json and --jsonl.", "Add one of them, or leave --trace out.")
    if request.output != "text" and (request.echo or request.raw):
        raise UsageError("--echo and --raw are for plain text.", "Leave them out with --json and --jsonl.")
    if request.system and not request.chat:
        raise UsageError("--system is for chats.", "Add --chat, or put the text into the prompt.")
    if request.pauses and not request.chat:
        raise UsageError("--pause-tokens is for chats.", "Add --chat, or leave it out.")
    if any(not text for text in request.stops):
        raise UsageError("--stop needs some text.", 'For example:  --stop "\\n\\n"')
    if any(not text for text in request.bad_words):
        raise UsageError("--bad-word needs some text.", 'For example:  --bad-word "owl"')


def resolved(request: Request, tokenizer: Tokenizer, info: CheckpointInfo) -> tuple[Request, list[int]]:
    """The request with its words as ids, and the ids the model sees; UsageError for what cannot be used."""
    count = info.config.vocab_size
    if request.chat and not tokenizer.has_chat:
        raise UsageError(
            f"{info.path}: its tokenizer has no chat roles.", "Leave --chat out, or use a model trained with chats."
        )
    pauses = _pauses(request, tokenizer, info)
    params = with_words(
        request.params, tokenizer, bad_words=request.bad_words, negative=request.negative, chat=request.chat,
        system=request.system, pauses=pauses,
    )  # fmt: skip
    request = replace(request, params=params)
    if request.ids is not None:
        ids = list(request.ids)
        if max(ids) >= count:
            raise UsageError(f"--prompt-ids {max(ids)}: the vocabulary has {count} tokens.", "Use ids from 0.")
    else:
        ids = encode_prompt(tokenizer, request.prompt, chat=request.chat, system=request.system, pauses=pauses)
    for index, token in request.forced.items():
        if not 0 <= token < count:
            raise UsageError(f"--force {index}={token}: the vocabulary has {count} tokens.", "Use an id from 0.")
    vocabulary = Vocabulary.of(tokenizer, count)
    for each in all_params(request):
        try:
            check_ids(each, count)
        except ValueError as error:
            raise UsageError(f"{error}.", "See:  tinychat info") from error
        try:
            check_grammar(each, vocabulary)
        except ValueError as error:
            raise UsageError(f"{error}.") from error
    if len(ids) >= info.config.context:
        raise UsageError(
            f"The prompt is {len(ids)} tokens long; the model sees {info.config.context}.",
            f"Shorten it to at most {info.config.context - 1} tokens.",
        )
    return request, ids


def _pauses(request: Request, tokenizer: Tokenizer, info: CheckpointInfo) -> int:
    if not request.chat:
        return 0
    wanted = info.pause_tokens if request.pauses is None else request.pauses
    if wanted and PAUSE not in tokenizer.specials:
        raise UsageError(f"--pause-tokens {wanted}: {info.path} was not trained with pauses.", "Leave it out.")
    return wanted


def all_params(request: Request) -> Iterator[SamplingParams]:
    """The settings at the start, and after each change of the schedule."""
    params = request.params
    yield params
    for index in sorted(request.schedule):
        params = params.with_(**request.schedule[index])
        yield params


def request_notes(request: Request, ids: Sequence[int]) -> list[str]:
    """What a person may want to know before wondering about the answer. `ids` are those of the prompt."""
    found = []
    if not request.chat and request.prompt.endswith(" "):
        # tokens carry their leading space, so after a trailing one the likely next tokens do not fit any more
        found.append("the prompt ends with a space: tokens begin with their own space, so the text usually gets worse")
    for option, given in (("--at", request.schedule), ("--force", request.forced)):
        late = [index for index in sorted(given) if index >= request.max_tokens]
        if late:
            which = ", ".join(map(str, late[:4])) + (" ..." if len(late) > 4 else "")
            found.append(f"{option} {which} is never reached: -n {request.max_tokens} ends the reply before it")
    if request.search is not None:
        return found + search_notes(request.params, request.search)
    for params in all_params(request):
        found += [note for note in (*params_notes(params), *_other_prompt(params, ids)) if note not in found]
    return found


def _other_prompt(params: SamplingParams, ids: Sequence[int]) -> Iterator[str]:
    """What works by the difference between two prompts, where they are the same."""
    if params.is_on("guidance") and tuple(ids) == (tuple(params.negative_ids) or tuple(ids[-1:])):
        why = (
            "the other prompt is the same" if params.negative_ids else "the prompt is one token, which stays without it"
        )
        yield f"guidance_scale has no effect: {why}"
    if params.temperature_mode == "kl" and len(ids) == 1 and not params.is_greedy:
        yield "temperature_mode kl never moves: the prompt is one token, which stays without it"
