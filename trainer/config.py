"""A training run, whole: every key with its type, range, default and one line of help.

Tables are checked one by one and then against each other, so that all mistakes come out together. Nothing here
reads files (config_file.py does) or knows torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tinychat.model.config import PRESETS, Activation, ModelConfig, Norm, Position
from trainer.schedule import HOLDING, Schedule, Shape, in_steps

N_SPECIALS = 6  # of tinychat.text.tokenizer.SPECIALS; a byte-level vocabulary has 256 more
SMALLEST_VOCABULARY = 256 + N_SPECIALS
MICRO_TOKENS = 8192  # of a derived micro-batch: more gains no speed and costs memory for the logits


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Weights = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_as_tuple)]
TextOrTexts = Annotated[str | tuple[str, ...], BeforeValidator(_as_tuple)]
Pair = Annotated[
    tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]], BeforeValidator(_as_tuple)
]


class Table(BaseModel):
    """Strict: a boolean is no number, a text no number; 1 is accepted for 1.0. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def helps(cls) -> dict[str, str]:
        """What may be written in a file, with its help."""
        return {field.alias or name: field.description or "" for name, field in cls.model_fields.items()}

    def values(self) -> dict[str, Any]:
        """As helps(), with what they are set to."""
        return self.model_dump(by_alias=True)


class Data(Table):
    text: TextOrTexts = Field(
        default="toy", description='"toy"; files, folders, globs of .txt, .md, .jsonl, .parquet; or a folder of shards'
    )
    field: str | None = Field(
        default=None, min_length=1, description='of .jsonl and .parquet rows; default: "text", else "messages"'
    )
    weights: Weights = Field(default=(), description="share of the rows that each text gets; default: all as one text")
    documents: int = Field(default=20_000, ge=2, description="how many documents of the toy language")
    seed: int = Field(default=1, ge=0, description="of the toy language and of the choice of held-out documents")
    chat_share: float = Field(default=0.35, ge=0, le=1, description="share of the toy documents that are chats")
    valid_fraction: float = Field(default=0.02, ge=0, le=0.5, description="share of the text that is held out")
    mode: Literal["windows", "documents", "packed"] = Field(
        default="documents",
        description='rows start with a document: "documents"; attention stays in it: "packed"; anywhere: "windows"',
    )
    loss: Literal["all", "assistant"] = Field(
        default="all", description='what is learned of a chat: every token, or only what the "assistant" says'
    )
    pause_tokens: int = Field(default=0, ge=0, le=64, description="pause tokens before each reply of a chat")

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.text,) if isinstance(self.text, str) else self.text

    @property
    def is_toy(self) -> bool:
        return self.text == "toy"


class TokenizerTable(Table):
    kind: Literal["bpe", "characters"] = Field(
        default="bpe", description='of the vocabulary: "bpe", pieces of words; "characters"'
    )
    vocab_size: int = Field(
        default=1024, ge=SMALLEST_VOCABULARY, le=200_000, description="tokens of the trained vocabulary, at most"
    )
    path: str | None = Field(default=None, min_length=1, description="a tokenizer.json to use instead of training one")
    sample_chars: int = Field(default=8_000_000, ge=10_000, description="text the vocabulary is trained on, at most")


class ModelTable(Table):
    family: Literal["llama", "gpt2"] = Field(
        default="llama", description='what the keys below default to: "llama", "gpt2"'
    )
    context: int = Field(default=256, ge=2, description="tokens the model sees at once")
    width: int = Field(default=128, ge=1, description="size of the residual stream")
    layers: int = Field(default=4, ge=1, description="number of blocks")
    heads: int = Field(default=4, ge=1, description="query heads")
    kv_heads: int | None = Field(default=None, ge=1, description="key and value heads; default: as many as heads")
    hidden: int | None = Field(default=None, ge=1, description="width inside the feed-forward part")
    norm: Norm = Field(default="rms", description='"rms" or "layer"')
    norm_eps: float = Field(default=1e-5, gt=0, description="added to the variance in the norms")
    position: Position = Field(default="rotary", description='"rotary" or "learned"')
    rope_theta: float = Field(default=10_000.0, gt=0, description="base of the rotary angles")
    activation: Activation = Field(default="swiglu", description='"swiglu", "gelu", "gelu_tanh" or "relu2"')
    bias: bool = Field(default=False, description="biases in the linear layers and norms")
    tie: bool = Field(default=True, description="the head shares the embedding's weights")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of activations dropped in training")

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        family = given.get("family", "llama") if isinstance(given, Mapping) else None
        return {**PRESETS[family], **given} if isinstance(family, str) and family in PRESETS else given

    def network(self, vocab_size: int) -> ModelConfig:
        """The network these keys describe; ValueError when they describe none."""
        return ModelConfig(vocab_size=vocab_size, **self.model_dump(exclude={"family"}))


class Train(Table):
    from_: str | None = Field(
        default=None, alias="from", min_length=1, description="a checkpoint or run folder to start from"
    )
    seed: int = Field(default=1, ge=0, description="of the weights, the order of the data and dropout")
    steps: int | None = Field(default=None, ge=1, description="optimizer steps; the smallest of the four limits counts")
    epochs: float | None = Field(default=None, gt=0, description="passes over the training text")
    tokens: int | None = Field(default=None, ge=1, description="tokens to train on")
    minutes: float | None = Field(
        default=None, gt=0, description="time limit; alone, it sets the steps by a speed test"
    )
    tokens_per_step: int = Field(default=4096, ge=2, description="batch of one optimizer step, in tokens")
    micro_rows: int | None = Field(default=None, ge=1, description="rows computed at once; default: what memory bears")
    optimizer: Literal["fused", "plain", "muon"] = Field(
        default="fused", description='AdamW: torch\'s "fused" or our "plain" one; "muon" for the blocks\' matrices'
    )
    momentum: float = Field(default=0.95, ge=0, lt=1, description="of Muon")
    lr: float = Field(default=2e-3, gt=0, description="peak learning rate")
    min_lr: float | None = Field(default=None, ge=0, description="rate at the end; default: a tenth of lr")
    schedule: Shape = Field(default="warmup_hold_cosine", description="shape of the rate over the run")
    warmup: float = Field(default=0.05, ge=0, description="end of the warm-up: share of the run, or steps when above 1")
    hold_until: float = Field(default=0.5, ge=0, description="where the decay starts (shapes that hold)")
    decay_end: float = Field(default=1.0, gt=0, description="where the decay ends; the floor from there on")
    betas: Pair = Field(default=(0.9, 0.99), description="decay of the first and second moments")
    eps: float = Field(default=1e-8, gt=0, description="added to the root of the second moment")
    weight_decay: float = Field(default=0.1, ge=0, description="on matrices only")
    clip: float = Field(default=1.0, ge=0, description="greatest global norm of the gradient; 0: never clip")
    ema: float = Field(
        default=0.0, ge=0, lt=1, description="decay of a moving average of the weights, which is evaluated; 0: none"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of each target spread over all tokens; losses shown are without it"
    )
    z_loss: float = Field(
        default=0.0, ge=0, le=1, description="weight of (log of the sum of exp(logits))^2 in what is minimised"
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        default="auto", description="number type of the forward pass; auto: the fastest that the device has"
    )
    compile: Literal["auto", "on", "off"] = Field(
        default="auto", description="torch.compile; auto: on CUDA, with the plain pass where it fails"
    )
    recompute: bool = Field(
        default=False, description="compute activations again instead of keeping them: less memory, a third more work"
    )
    shard: Literal["auto", "ddp", "fsdp"] = Field(
        default="auto", description='many processes: a copy on each, "ddp", or parts, "fsdp"; "auto": by size'
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description='"auto", "cpu" or "cuda"')
    threads: int = Field(default=0, ge=0, description="CPU threads; 0: physical cores, or OMP_NUM_THREADS")

    @property
    def floor(self) -> float:
        return self.lr / 10 if self.min_lr is None else self.min_lr

    def rates(self, steps: int) -> Schedule:
        """The learning rates of a run of `steps`."""
        return Schedule(
            shape=self.schedule,
            steps=steps,
            peak=self.lr,
            floor=self.floor,
            warmup=self.warmup,
            hold_until=self.hold_until,
            decay_end=self.decay_end,
        )


Target = Literal["qkv", "output", "up", "down"]
TARGETS: tuple[Target, ...] = get_args(Target)


class Lora(Table):
    rank: int = Field(default=0, ge=0, le=1024, description="of the adapters, which alone are trained; 0: no adapters")
    alpha: float | None = Field(
        default=None, gt=0, description="adapters are scaled by alpha / rank; default: twice the rank"
    )
    targets: Annotated[tuple[Target, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = Field(
        default=TARGETS,
        description="matrices that get adapters: queries, keys and values; attention's output; up; down",
    )

    @property
    def scale(self) -> float:
        return (2 * self.rank if self.alpha is None else self.alpha) / max(1, self.rank)


class Eval(Table):
    every: int = Field(default=100, ge=0, description="steps between evaluations; 0: only at the end")
    batches: int = Field(default=16, ge=1, description="fixed batches of held-out text")
    rows: int = Field(default=16, ge=1, description="rows in each")
    patience: int = Field(default=0, ge=0, description="evaluations without a better one until the run ends; 0: never")


class Sample(Table):
    every: int = Field(default=200, ge=0, description="steps between samples; 0: none")
    prompts: Texts = Field(
        default=("Once upon a time",), description="beginnings, taken in turn; of your own text, if left out, its own"
    )
    chats: Texts = Field(default=(), description="questions, asked in turn after the prompts")
    temperature: float = Field(default=0.8, ge=0, le=10, description="0 takes the likeliest token")
    top_p: float = Field(default=0.95, gt=0, le=1, description="likeliest tokens with this much mass")
    max_tokens: int = Field(default=96, ge=1, le=4096, description="length of a sample")
    seed: int = Field(default=1, ge=0, description="of the samples' own draws")
    probe: str | None = Field(
        default=None, description='text whose next-token odds are followed; default: the first prompt; "": none'
    )
    probe_every: int = Field(default=50, ge=0, description="steps between looks at the probe; 0: none")


class Save(Table):
    every: int = Field(default=200, ge=0, description="steps between resumable checkpoints; 0: only at the end")
    keep: int = Field(default=2, ge=2, description="checkpoints kept; two at least, as the last may turn out broken")


class Run(Table):
    log_every: int = Field(default=20, ge=1, description="steps between plain lines")
    exact_resume: bool = Field(default=False, description="refuse to go on where the result would not be bit-exact")
    tensorboard: bool = Field(default=False, description="write the run for TensorBoard too; a package of its own")
    watchdog: float = Field(
        default=10.0, ge=0, le=1e6, description="minutes without a sign of life until a warning; 0: never"
    )


class TrainConfig(Table):
    data: Data = Data()
    tokenizer: TokenizerTable = TokenizerTable()
    model: ModelTable = ModelTable()
    train: Train = Train(steps=1000)
    lora: Lora = Lora()
    eval: Eval = Eval()
    sample: Sample = Sample()
    save: Save = Save()
    run: Run = Run()

    @property
    def rows_per_step(self) -> int:
        return self.train.tokens_per_step // self.model.context

    @property
    def micro_rows(self) -> int:
        """Rows of one forward pass, when one process trains."""
        return self.micro_rows_of(1)

    def micro_rows_of(self, ranks: int) -> int:
        """Rows of one forward pass on each of `ranks` processes: as given, or the most that divide its part of the step
        and stay below MICRO_TOKENS. ValueError with the nearest legal tokens_per_step when the step cannot be shared.
        """
        unit = self.train.micro_rows or 1
        if self.rows_per_step % (unit * ranks):
            tokens = unit * ranks * self.model.context
            below = self.train.tokens_per_step // tokens * tokens
            legal = f"{below} and {below + tokens}" if below else str(tokens)
            name = f"context {self.model.context}"
            if self.train.micro_rows:
                name = f"context x micro_rows = {self.model.context} x {unit}"
            raise ValueError(
                f"train.tokens_per_step = {self.train.tokens_per_step} cannot be shared by {ranks} processes with"
                f" {name}; nearest {'are' if below else 'is'} {legal}"
            )
        if self.train.micro_rows:
            return unit
        part = self.rows_per_step // ranks
        most = max(1, MICRO_TOKENS // self.model.context)
        return next(rows for rows in range(min(most, part), 0, -1) if part % rows == 0)


TABLES: dict[str, type[Table]] = {
    name: field.annotation
    for name, field in TrainConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Table)
}


def cross_problems(tables: Mapping[str, Table]) -> Iterator[tuple[str, str, str]]:
    """(table, key, reason) for keys that are fine alone and not together.

    `tables` lacks those with mistakes of their own.
    """
    model, train, tokenizer = tables.get("model"), tables.get("train"), tables.get("tokenizer")
    data, sample = tables.get("data"), tables.get("sample")
    lora = tables.get("lora")
    if isinstance(data, Data):
        yield from _data_problems(data)
        if data.pause_tokens and isinstance(lora, Lora) and lora.rank:
            yield "data", "pause_tokens", "a new token must be learned, and adapters leave the embedding as it is"
    if isinstance(model, ModelTable):
        vocabulary = tokenizer.vocab_size if isinstance(tokenizer, TokenizerTable) else SMALLEST_VOCABULARY
        yield from _network_problems(model, vocabulary)
    if isinstance(train, Train):
        yield from _train_problems(train)
        if train.optimizer == "muon" and isinstance(lora, Lora) and lora.rank:
            yield "train", "optimizer", 'adapters are no matrices for Muon: set "fused" or "plain"'
        if isinstance(model, ModelTable):
            yield from _batch_problems(train, model.context)
    if isinstance(sample, Sample) and sample.every and not sample.prompts and not sample.chats:
        yield "sample", "prompts", "nothing to sample: give prompts or chats, or set every = 0"
    evaluation = tables.get("eval")
    if isinstance(evaluation, Eval) and evaluation.patience and not evaluation.every:
        yield "eval", "patience", "counts evaluations, of which there are none: set every above 0"


def _data_problems(data: Data) -> Iterator[tuple[str, str, str]]:
    if not data.sources or not all(data.sources):
        yield "data", "text", 'name "toy", a file, a folder or a glob'
    elif "-" in data.sources:
        yield "data", "text", "stdin is for shards: make them first, with  tinychat data build - -o FOLDER"
    elif len(data.sources) > 1 and "toy" in data.sources:
        yield "data", "text", '"toy" stands alone: write it to a file with  tinychat corpus  and name that file'
    if len(data.sources) > 1 and data.weights and len(data.weights) != len(data.sources):
        yield "data", "weights", f"one for each text: {len(data.weights)} for {len(data.sources)}"
    if data.loss == "assistant" and data.mode == "windows":
        yield "data", "loss", 'who speaks is known in whole documents only: set mode = "documents" or "packed"'


def _network_problems(model: ModelTable, vocabulary: int) -> Iterator[tuple[str, str, str]]:
    try:
        model.network(vocabulary)
    except ValueError as error:
        for reason in str(error).split("; "):
            named = [word for word in reason.replace(",", "").split() if word in ModelTable.model_fields]
            written = [word for word in named if word in model.model_fields_set]
            key = (written or named or [""])[0]
            yield "model", key, reason


def _train_problems(train: Train) -> Iterator[tuple[str, str, str]]:
    limits = (train.steps, train.epochs, train.tokens, train.minutes)
    if all(limit is None for limit in limits):
        yield "train", "steps", "the run has no end: set steps, epochs, tokens or minutes"
    if train.min_lr is not None and train.min_lr > train.lr:
        yield "train", "min_lr", f"must not be above lr = {train.lr:g}, got {train.min_lr:g}"
    if train.steps is not None:
        points = ["warmup", "hold_until", "decay_end"] if train.schedule in HOLDING else ["warmup", "decay_end"]
        times = [in_steps(getattr(train, name), train.steps) for name in points]
        for (early, first), (late, second) in zip(
            zip(points, times, strict=True), list(zip(points, times, strict=True))[1:], strict=False
        ):
            if first > second:
                key = late if late in train.model_fields_set else early
                yield "train", key, f"{late} (step {second:g}) comes before {early} (step {first:g})"


def _batch_problems(train: Train, context: int) -> Iterator[tuple[str, str, str]]:
    unit, name = context, f"context {context}"
    if train.micro_rows:
        unit, name = context * train.micro_rows, f"context x micro_rows = {context} x {train.micro_rows}"
    if train.tokens_per_step % unit:
        below = train.tokens_per_step // unit * unit
        legal = f"{below} and {below + unit}" if below else str(unit)
        plural = "are" if below else "is"
        yield "train", "tokens_per_step", f"{train.tokens_per_step} is no multiple of {name}; nearest {plural} {legal}"
