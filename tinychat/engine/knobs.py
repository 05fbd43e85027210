"""Every number and choice of a sampler, declared once: flags, knob rows, JSON and saved files all read this.

A knob whose value is not neutral switches its stage on; an aux knob only says how a stage works that another knob
switched on. Nothing here touches a tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

GREEDY_BELOW = 1e-5  # a temperature at or below this is greedy: dividing by it only overflows

Value = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One setting a person can turn. `low` and `high` are legal limits, `shown` is the span of the slider.

    A knob with `choices` holds one of these words; it turns through them in order, and its slider counts them from 0.
    """

    name: str  # the field of SamplingParams
    stage: str  # the stage it belongs to
    label: str
    neutral: Value
    help: str
    key: str = ""  # the letter that picks it on the play screen; "" for none
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    shown: tuple[float, float] = (0.0, 1.0)
    step: float = 1.0
    coarse: float = 1.0
    whole: bool = False  # whole numbers only
    aux: bool = False  # switches nothing on by itself
    start: float | None = None  # where a switched-off knob goes at the first nudge; None: neutral + step

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def span(self) -> tuple[float, float]:
        """The slider, as numbers; a choice counts from 0."""
        return (0.0, len(self.choices) - 1.0) if self.choices else self.shown

    def place(self, value: Value) -> float:
        """Where the value lies on the slider's scale; ValueError for a word that is no choice."""
        return float(self.choices.index(value)) if isinstance(value, str) else float(value)

    def at(self, place: float) -> Value:
        """The value at a place of the slider: the nearest choice or whole number, or the number itself."""
        if self.choices:
            return self.choices[min(max(round(place), 0), len(self.choices) - 1)]
        return round(place) if self.whole else place

    def text(self, value: Value) -> str:
        """The value as shown and typed."""
        if isinstance(value, str):
            return value
        return str(int(value)) if self.whole else f"{value:.4f}".rstrip("0").rstrip(".")

    def parse(self, text: str) -> Value:
        """The value a person typed, checked; ValueError says name, rule and text."""
        if self.choices:
            return self.check(text.strip())
        try:
            return self.check(int(text) if self.whole else float(text))
        except ValueError as error:
            if "must be" in str(error):
                raise
            raise ValueError(f"{self.name} must be a {'whole ' * self.whole}number, got {text!r}") from None

    def check(self, value: object) -> Value:
        """The value as a number within the limits, or a choice; ValueError says name, rule and value."""
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{self.name} must be one of {', '.join(self.choices)}, got {value!r}")
            return str(value)
        number = plain_number(value)
        if number is None or (isinstance(number, float) and not math.isfinite(number)):
            raise ValueError(f"{self.name} must be a number, got {value!r}")
        if self.whole and number != int(number):
            raise ValueError(f"{self.name} must be a whole number, got {value!r}")
        if not self.low <= number <= self.high:
            raise ValueError(
                f"{self.name} must be between {self.text(self.low)} and {self.text(self.high)}, got {number}"
            )
        return int(number) if self.whole else float(number)


def plain_number(value: object) -> int | float | None:
    """A number of any library (numpy's scalars too) as Python's own; None for what is no number, as True is none."""
    if type(value) is float or type(value) is int:
        return value  # at once: some fifty of them are in every change of a knob
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return int(value) if isinstance(value, Integral) else float(value)


_BIG = 1_000_000_000

# The order here is the order of the flags and of the rows on the screen; the first five always have a row.
KNOBS: tuple[Knob, ...] = (
    Knob(name="temperature", stage="temperature", label="temperature", key="T", neutral=1.0, low=0.0, high=_BIG,
         shown=(0.0, 2.0), step=0.05, coarse=0.25,
         help="Divides the logits: below 1 sharper, above 1 flatter, 0 greedy."),
    Knob(name="top_p", stage="top_p", label="top-p", key="P", neutral=1.0, low=0.0, high=1.0, shown=(0.0, 1.0),
         step=0.01, coarse=0.1, help="Keeps the likeliest tokens until their mass reaches p (nucleus sampling)."),
    Knob(name="top_k", stage="top_k", label="top-k", key="K", neutral=0, low=0, high=_BIG, shown=(0, 100),
         step=1, coarse=10, whole=True, start=40, help="Keeps the k likeliest tokens; 0 is off."),
    Knob(name="min_p", stage="min_p", label="min-p", key="M", neutral=0.0, low=0.0, high=1.0, shown=(0.0, 0.5),
         step=0.01, coarse=0.05, help="Keeps tokens at least this share as likely as the likeliest."),
    Knob(name="repetition_penalty", stage="repetition", label="rep penalty", key="R", neutral=1.0, low=0.01, high=100.0,
         shown=(0.5, 2.0), step=0.05, coarse=0.2,
         help="Divides positive and multiplies negative logits of seen tokens (CTRL)."),
    Knob(name="frequency_penalty", stage="frequency", label="frequency", key="F", neutral=0.0, low=-100.0, high=100.0,
         shown=(-2.0, 2.0), step=0.05, coarse=0.25, help="Lowers a token's logit by this, for every time it was seen."),
    Knob(name="presence_penalty", stage="presence", label="presence", key="A", neutral=0.0, low=-100.0, high=100.0,
         shown=(-2.0, 2.0), step=0.05, coarse=0.25, help="Lowers a token's logit by this, once, if it was seen."),
    Knob(name="penalty_window", stage="repetition", label="window", neutral=0, low=0, high=_BIG, shown=(0, 256),
         step=1, coarse=16, whole=True, start=64, aux=True,
         help="How many past tokens the penalties look at; 0 is all."),
    Knob(name="penalty_scope", stage="repetition", label="scope", neutral="all", choices=("all", "output"), aux=True,
         help="What penalties see: all (prompt and output) or output."),
    Knob(name="encoder_repetition_penalty", stage="encoder_repetition", label="prompt bonus", neutral=1.0, low=0.01,
         high=100.0, shown=(0.5, 2.0), step=0.05, coarse=0.2,
         help="Above 1 raises the logits of the prompt's tokens: the repetition penalty with 1/x, on the prompt."),
    Knob(name="no_repeat_ngram", stage="no_repeat_ngram", label="no n-gram", neutral=0, low=0, high=_BIG,
         shown=(0, 8), step=1, coarse=2, whole=True, start=3,
         help="Bans a token that would complete an n-gram that is there already; 0 is off."),
    Knob(name="encoder_no_repeat_ngram", stage="encoder_no_repeat_ngram", label="no prompt n", neutral=0, low=0,
         high=_BIG, shown=(0, 8), step=1, coarse=2, whole=True, start=3,
         help="Bans a token that would complete an n-gram of the prompt; 0 is off."),
    Knob(name="dry_multiplier", stage="dry", label="DRY", key="D", neutral=0.0, low=0.0, high=100.0, shown=(0.0, 2.0),
         step=0.05, coarse=0.25, start=0.8,
         help="Lowers tokens that would go on repeating a sequence: multiplier * base^(length - allowed)."),
    Knob(name="dry_base", stage="dry", label="DRY base", neutral=1.75, low=1.0, high=100.0, shown=(1.0, 4.0),
         step=0.05, coarse=0.25, aux=True, help="How fast the DRY penalty grows with the length of the repeat."),
    Knob(name="dry_allowed_length", stage="dry", label="DRY allowed", neutral=2, low=1, high=_BIG, shown=(1, 20),
         step=1, coarse=5, whole=True, aux=True, help="Repeats shorter than this are free of the DRY penalty."),
    Knob(name="dry_window", stage="dry", label="DRY window", neutral=0, low=0, high=_BIG, shown=(0, 1024), step=16,
         coarse=64, whole=True, aux=True, help="How many past tokens DRY looks at; 0 is all."),
    Knob(name="top_n_sigma", stage="top_n_sigma", label="top-nσ", key="S", neutral=0.0, low=0.0, high=1000.0,
         shown=(0.0, 5.0), step=0.1, coarse=0.5, start=1.0,
         help="Keeps logits within n standard deviations of the largest; 0 is off."),
    Knob(name="typical_p", stage="typical", label="typical", key="L", neutral=1.0, low=0.0, high=1.0, shown=(0.0, 1.0),
         step=0.01, coarse=0.1, help="Keeps tokens whose surprisal is nearest the entropy, up to this mass."),
    Knob(name="epsilon_cutoff", stage="epsilon", label="epsilon", neutral=0.0, low=0.0, high=1.0, shown=(0.0, 0.02),
         step=0.0001, coarse=0.001, start=0.0003, help="Cuts tokens below this probability; 0 is off."),
    Knob(name="eta_cutoff", stage="eta", label="eta", neutral=0.0, low=0.0, high=1.0, shown=(0.0, 0.02),
         step=0.0001, coarse=0.001, start=0.0006,
         help="As epsilon, but lower where the entropy is high: min(x, sqrt(x) e^-H); 0 is off."),
    Knob(name="tfs_z", stage="tfs", label="tail-free", neutral=1.0, low=0.0, high=1.0, shown=(0.0, 1.0), step=0.01,
         coarse=0.1, help="Cuts the tail where the sorted probabilities stop bending (tail-free sampling)."),
    Knob(name="top_a", stage="top_a", label="top-a", neutral=0.0, low=0.0, high=1.0, shown=(0.0, 1.0), step=0.01,
         coarse=0.1, start=0.2, help="Keeps tokens of probability at least a * (the largest)^2."),
    Knob(name="top_h", stage="top_h", label="top-H", neutral=1.0, low=0.0, high=1.0, shown=(0.0, 1.0), step=0.01,
         coarse=0.1, start=0.4, help="Keeps the likeliest tokens up to this share of the entropy."),
    Knob(name="xtc_probability", stage="xtc", label="XTC", key="X", neutral=0.0, low=0.0, high=1.0, shown=(0.0, 1.0),
         step=0.05, coarse=0.25, start=0.5,
         help="With this chance cuts all tokens above the XTC threshold but the least likely of them."),
    Knob(name="xtc_threshold", stage="xtc", label="XTC above", neutral=0.1, low=0.0, high=1.0, shown=(0.0, 0.5),
         step=0.01, coarse=0.05, aux=True, help="The probability from which XTC counts a token as a top choice."),
    Knob(name="smoothing_factor", stage="quadratic", label="smoothing", neutral=0.0, low=0.0, high=100.0,
         shown=(0.0, 2.0), step=0.05, coarse=0.25, start=0.2,
         help="Bends the logits by their squared distance to the best (quadratic sampling); 0 is off."),
    Knob(name="smoothing_curve", stage="quadratic", label="curve", neutral=1.0, low=1.0, high=3.0, shown=(1.0, 3.0),
         step=0.05, coarse=0.25, aux=True, help="1 is purely quadratic, 3 purely cubic."),
    Knob(name="temperature_mode", stage="temperature", label="temp mode", neutral="fixed",
         choices=("fixed", "dynamic", "edt", "adapt", "kl", "entropy"),
         help="What moves the temperature: nothing; the entropy (dynamic, edt, entropy); lines; the prompt (kl)."),
    Knob(name="dynatemp_range", stage="temperature", label="± range", neutral=0.5, low=0.0, high=_BIG,
         shown=(0.0, 2.0), step=0.05, coarse=0.25, aux=True,
         help="dynamic: the temperature runs from T - range (at entropy 0) to T + range (at the largest)."),
    Knob(name="dynatemp_exponent", stage="temperature", label="exponent", neutral=1.0, low=0.01, high=100.0,
         shown=(0.1, 4.0), step=0.1, coarse=0.5, aux=True, help="dynamic: bends the way from low to high."),
    Knob(name="edt_theta", stage="temperature", label="EDT theta", neutral=0.1, low=0.0, high=100.0, shown=(0.0, 2.0),
         step=0.05, coarse=0.25, aux=True, help="edt: T * 0.8^(theta / entropy); 0 is plain T."),
    Knob(name="adapt_temperature", stage="temperature", label="hot", neutral=1.2, low=0.0, high=_BIG,
         shown=(0.0, 2.0), step=0.05, coarse=0.25, aux=True,
         help="adapt: the temperature of the first token after a line's indentation; all others use T."),
    Knob(name="kl_half_life", stage="temperature", label="KL half", neutral=1.0, low=0.001, high=1000.0,
         shown=(0.05, 5.0), step=0.05, coarse=0.5, aux=True,
         help="kl: the divergence, in nats, between with and without the prompt that halves the temperature."),
    Knob(name="entropy_low", stage="temperature", label="H low", neutral=0.5, low=0.0, high=64.0, shown=(0.0, 5.0),
         step=0.1, coarse=0.5, aux=True, help="entropy: bits below which the model counts as sure."),
    Knob(name="entropy_high", stage="temperature", label="H high", neutral=3.0, low=0.0, high=64.0, shown=(0.0, 8.0),
         step=0.1, coarse=0.5, aux=True, help="entropy: bits above which the model counts as unsure."),
    Knob(name="varentropy_split", stage="temperature", label="V split", neutral=4.0, low=0.0, high=4096.0,
         shown=(0.0, 20.0), step=0.5, coarse=2.0, aux=True,
         help="entropy: bits squared that part few sharp rivals from one broad field."),
    Knob(name="mirostat", stage="mirostat", label="mirostat", neutral="off", choices=("off", "v1", "v2"),
         help="Steers the surprise of the drawn tokens towards tau by cutting more or less."),
    Knob(name="mirostat_tau", stage="mirostat", label="tau", neutral=5.0, low=0.01, high=64.0, shown=(0.5, 10.0),
         step=0.1, coarse=1.0, aux=True, help="mirostat: the wished surprise, in bits a token."),
    Knob(name="mirostat_eta", stage="mirostat", label="eta rate", neutral=0.1, low=0.0, high=10.0, shown=(0.0, 1.0),
         step=0.01, coarse=0.1, aux=True, help="mirostat: how fast it corrects."),
    Knob(name="adaptive_target", stage="adaptive_p", label="adaptive-p", neutral=0.0, low=0.0, high=1.0,
         shown=(0.0, 1.0), step=0.05, coarse=0.1, start=0.5,
         help="Prefers tokens whose probability is near a moving target around this one; 0 is off."),
    Knob(name="adaptive_decay", stage="adaptive_p", label="decay", neutral=0.9, low=0.0, high=0.99, shown=(0.0, 0.99),
         step=0.01, coarse=0.1, aux=True, help="adaptive-p: how slowly it forgets what was chosen."),
    Knob(name="min_tokens", stage="min_tokens", label="min tokens", neutral=0, low=0, high=_BIG, shown=(0, 200),
         step=1, coarse=10, whole=True, help="Bans the end of the reply before this many tokens; 0 is off."),
    Knob(name="end_decay", stage="end_decay", label="end pull", neutral=1.0, low=1.0, high=10.0, shown=(1.0, 1.5),
         step=0.01, coarse=0.05,
         help="Raises the end's logit by |logit| (x^(tokens past the start) - 1); 1 is off."),
    Knob(name="end_decay_start", stage="end_decay", label="pull from", neutral=0, low=0, high=_BIG, shown=(0, 500),
         step=1, coarse=10, whole=True, aux=True, help="The token of the reply from which the end is pulled."),
    Knob(name="guidance_scale", stage="guidance", label="guidance", key="C", neutral=1.0, low=-100.0, high=100.0,
         shown=(0.0, 5.0), step=0.1, coarse=0.5,
         help="Classifier-free guidance: above 1 follows the prompt more than without it (two lanes)."),
    Knob(name="contrastive", stage="contrastive", label="contrast", neutral="off",
         choices=("off", "difference", "scaled"),
         help="Contrastive decoding against an amateur model: ln p - ln p_amateur, or (1 + beta) l - beta l_amateur."),
    Knob(name="contrastive_alpha", stage="contrastive", label="plausible", neutral=0.1, low=0.0, high=1.0,
         shown=(0.0, 1.0), step=0.01, coarse=0.1, aux=True,
         help="contrastive and dola: only tokens at least this share as likely as the likeliest stay."),
    Knob(name="contrastive_beta", stage="contrastive", label="beta", neutral=0.5, low=0.0, high=100.0, shown=(0.0, 2.0),
         step=0.05, coarse=0.25, aux=True, help="contrastive scaled: how much the amateur counts against a token."),
    Knob(name="amateur_temperature", stage="contrastive", label="amateur T", neutral=1.0, low=0.01, high=100.0,
         shown=(0.1, 3.0), step=0.05, coarse=0.25, aux=True, help="contrastive: the temperature of the amateur."),
    Knob(name="dola", stage="dola", label="DoLa", neutral="off", choices=("off", "low", "high"),
         help="Contrasts the last layer with the early layer that differs most, from the low or the high half."),
    Knob(name="think_budget", stage="think_budget", label="think budget", neutral=-1, low=-1, high=_BIG,
         shown=(-1, 512), step=1, coarse=16, whole=True,
         help="Closes a block of reasoning after this many tokens of it; -1 is off."),
    Knob(name="watermark", stage="watermark", label="watermark", neutral=0.0, low=0.0, high=100.0, shown=(0.0, 10.0),
         step=0.5, coarse=2.0, start=2.0,
         help="Raises a secret share of the logits, which tinychat score can find again (green list); 0 is off."),
    Knob(name="watermark_share", stage="watermark", label="green", neutral=0.25, low=0.001, high=0.999,
         shown=(0.05, 0.95), step=0.05, coarse=0.25, aux=True,
         help="watermark: the share of the tokens that is green."),
    Knob(name="watermark_key", stage="watermark", label="mark key", neutral=15485863, low=1, high=2**31 - 1,
         shown=(1, 2**31 - 1), step=1, coarse=1000, whole=True, aux=True,
         help="watermark: the secret that says which tokens are green."),
    Knob(name="synthid_ngram", stage="synthid", label="SynthID n", neutral=5, low=2, high=64, shown=(2, 16), step=1,
         coarse=4, whole=True, aux=True, help="synthid_keys: how many tokens a coin depends on, its own included."),
)  # fmt: skip

KNOB_BY_NAME: dict[str, Knob] = {knob.name: knob for knob in KNOBS}
