"""What other programs call the options of decoding, and what they are called here: for the hint of a mistake.

The names are those of transformers' generate, llama.cpp, vLLM, Ollama and the OpenAI interface. Nothing here reads an
option.
"""

from __future__ import annotations

from collections.abc import Collection

_N = "-n N"

# without the dashes in front -> how it is said here
DECODING = {
    "temp": "--temperature X", "n-predict": _N, "num-predict": _N, "predict": _N, "max-new-tokens": _N,
    "max-length": _N, "max-completion-tokens": _N, "length": _N, "min-new-tokens": "--min-tokens N",
    "do-sample": "--temperature X; 0 takes the likeliest", "greedy": "--temperature 0",
    "repeat-penalty": "--repetition-penalty X", "penalty": "--repetition-penalty X",
    "repeat-last-n": "--penalty-window N", "top-nsigma": "--top-n-sigma X", "typical": "--typical-p X",
    "tfs": "--tfs-z X", "mirostat-lr": "--mirostat-eta X", "mirostat-ent": "--mirostat-tau X",
    "dynatemp-exp": "--dynatemp-exponent X", "dry-penalty-last-n": "--dry-window N",
    "dry-sequence-breaker": "--dry-breakers TEXT", "samplers": "--order NAMES", "sampler-seq": "--order NAMES",
    "sampling-seq": "--order NAMES", "no-repeat-ngram-size": "--no-repeat-ngram N",
    "encoder-no-repeat-ngram-size": "--encoder-no-repeat-ngram N", "num-beams": "--search beam --width N",
    "beams": "--search beam --width N", "beam-width": "--search beam --width N",
    "best-of": "--search best-of --paths N", "num-return-sequences": "--search best-of --paths N",
    "num-beam-groups": "--search diverse --groups N", "diversity-penalty": "--search diverse --diversity X",
    "length-penalty": "--search beam --length-rule power --length-alpha X",
    "early-stopping": "--search beam --stop-rule NAME", "penalty-alpha": "--search contrastive --contrast-alpha X",
    "force-words": "--search constrained --phrase TEXT", "bad-words-ids": "--bad-words IDS, or --bad-word TEXT",
    "suppress-tokens": "--banned-ids IDS", "stop-strings": "--stop TEXT", "stop-sequence": "--stop TEXT",
    "reverse-prompt": "--stop TEXT", "ignore-eos": "--past-end", "grammar": "--regex REGEX, or --json-schema JSON",
    "guided-regex": "--regex REGEX", "guided-json": "--json-schema JSON", "format": "--json-schema {} for any JSON",
    "cfg-scale": "--guidance-scale X", "negative-prompt": "--negative TEXT", "cfg-negative-prompt": "--negative TEXT",
    "dola-layers": "--dola NAME", "model-draft": "--speculate draft --draft PATH", "draft-max": "--draft-length N",
    "assistant-model": "--speculate draft --draft PATH",
    "prompt-lookup-num-tokens": "--speculate lookup --draft-length N", "logprobs": "--json --trace N",
    "n-probs": "--json --trace N", "top-logprobs": "--json --trace N", "output-scores": "--json --trace N",
    "system-prompt": "--system TEXT", "sys": "--system TEXT", "conversation": "--chat", "cnv": "--chat",
    "n-gpu-layers": "--device cuda", "gpu": "--device cuda", "torch-dtype": "--dtype NAME",
    "load-in-8bit": "--dtype int8", "model-name": "--model PATH", "checkpoint": "--model PATH", "ckpt": "--model PATH",
}  # fmt: skip
TRAINING = {
    "epochs": "--set train.epochs=N", "num-train-epochs": "--set train.epochs=N", "lr": "--set train.lr=X",
    "learning-rate": "--set train.lr=X", "steps": "--set train.steps=N", "max-steps": "--set train.steps=N",
    "max-iters": "--set train.steps=N", "minutes": "--set train.minutes=N", "seed": "--set train.seed=N",
    "batch-size": "--set train.tokens_per_step=N", "data": "--set data.text=PATH", "dataset": "--set data.text=PATH",
    "text": "--set data.text=PATH", "device": "--set train.device=NAME", "compile": "--set train.compile=NAME",
    "context": "--set model.context=N", "block-size": "--set model.context=N", "n-layer": "--set model.layers=N",
    "n-head": "--set model.heads=N", "n-embd": "--set model.width=N", "output-dir": "--out FOLDER",
}  # fmt: skip


def here(option: str, known: Collection[str]) -> str:
    """How an option of another program is said by a command with the `known` ones; empty where nobody knows it."""
    name = option.lstrip("-").replace("_", "-").partition("=")[0].lower()
    for table in (DECODING, TRAINING):
        words = table.get(name, "")
        if words and flags(words) <= set(known):
            return words
    return ""


def flags(words: str) -> set[str]:
    """The options in them."""
    return {word.strip(",;") for word in words.split() if word.startswith("-")}
