"""What is always true in the toy world and its small numbers: tables for chats.

Facts that stories share (home, food, sound) are in trainer.toy_words.
"""

from __future__ import annotations

from trainer.toy_dice import Weighted, rows, words
from trainer.toy_grammar import Table
from trainer.toy_words import ALL_NAMES, HE, KINDS, TABLES

MOST = 20  # sums and counts stay at or below this


def _pairs() -> tuple[Weighted[str], dict[str, tuple[int, int]]]:
    numbers = {f"{x}+{y}": (x, y) for x in range(1, MOST) for y in range(1, min(x, MOST - x) + 1)}
    numbers |= {f"{y}+{x}": (y, x) for x, y in numbers.values() if x != y}
    return Weighted(list(numbers), [24 - max(pair) for pair in numbers.values()]), numbers


_PAIR, _NUMBERS = _pairs()
_MANY = {key: pair for key, pair in _NUMBERS.items() if pair[0] > 1}  # nobody has 1 apples
_FEWER = {key: pair for key, pair in _MANY.items() if pair[0] >= pair[1] and pair[0] - pair[1] != 1}
_LESS = {key: pair for key, pair in _NUMBERS.items() if pair[0] >= pair[1]}


def _row(pairs: dict[str, tuple[int, int]], which: int) -> dict[str, Weighted[str]]:
    return {
        key: Weighted([str((*pair, pair[0] + pair[1], pair[0] - pair[1])[which])], [1]) for key, pair in pairs.items()
    }


def _single(pairs: dict[str, str]) -> dict[str, Weighted[str]]:
    return {key: Weighted([value], [1]) for key, value in pairs.items()}


_SEASONS = ("spring", "summer", "autumn", "winter")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_OPPOSITES = (
    "hot cold, big small, day night, fast slow, old young, wet dry, up down, left right, happy sad, loud quiet, "
    "long short, light dark, open closed, full empty, soft hard, high low"
)
_PAIRED = [(one, other) for one, other in map(str.split, _OPPOSITES.split(","))]
_OPPOSITE = dict(_PAIRED) | {other: one for one, other in _PAIRED}


def _ring(names: tuple[str, ...], step: int) -> dict[str, Weighted[str]]:
    return _single({name: names[(at + step) % len(names)] for at, name in enumerate(names)})


def _best() -> dict[str, Weighted[str]]:
    food = TABLES["food"]
    assert isinstance(food, dict)
    return _single({kind: row.values[0] for kind, row in food.items()})


def _dislikes() -> dict[str, Weighted[str]]:
    """What others like best and this kind never eats in a story."""
    food = TABLES["food"]
    assert isinstance(food, dict)
    favourites = list(dict.fromkeys(row.values[0] for row in food.values()))
    kept = {kind: [dish for dish in favourites if dish not in row.values] for kind, row in food.items()}
    return {kind: Weighted(dishes, [3] * len(dishes)) for kind, dishes in kept.items()}


_BY_SIZE = words("snail, frog, mouse, squirrel, duck, hen, rabbit, cat, fox, dog, goat, bear, dragon").values
_SIZES = [(big, small) for at, big in enumerate(_BY_SIZE) for small in _BY_SIZE[:at]]
_SIZE_PAIR = Weighted([f"{big}>{small}" for big, small in _SIZES], [3] * len(_SIZES))
_MORE_LESS = [(more, less) for more in range(1, MOST + 1) for less in range(more)]
_MORE = Weighted([f"{more}>{less}" for more, less in _MORE_LESS], [3] * len(_MORE_LESS))

FACT_TABLES: dict[str, Table] = {
    "pair": _PAIR,
    "less_pair": Weighted(list(_LESS), [24 - pair[0] for pair in _LESS.values()]),
    "many_pair": Weighted(list(_MANY), [24 - max(pair) for pair in _MANY.values()]),
    "fewer_pair": Weighted(list(_FEWER), [24 - pair[0] for pair in _FEWER.values()]),
    "x": _row(_NUMBERS, 0),
    "y": _row(_NUMBERS, 1),
    "sum": _row(_NUMBERS, 2),
    "difference": _row(_LESS, 3),
    "count": words("apples*8, nuts*5, eggs*4, buttons*3, balloons*3, spoons*3, coins*3, pears*2, stars*2, socks*2"),
    "number": Weighted([str(n) for n in range(MOST)], [24 - n for n in range(MOST)]),
    "next_number": _single({str(n): str(n + 1) for n in range(MOST)}),
    "best": _best(),
    "legs": _single(
        {kind: {"snail": "no legs", "robot": "two legs"}.get(kind, "four legs") for kind in KINDS.values}
        | dict.fromkeys(("girl", "boy", "owl", "duck", "hen", "penguin"), "two legs")
    ),
    "beast": KINDS.without(["girl", "boy"]),
    "is_fast": rows(
        """
        rabbit: fast
        fox: fast
        dog: fast
        cat: fast
        squirrel: fast
        wolf: fast
        mouse: fast
        *: slow
        """
    ),
    "sizes": _SIZE_PAIR,
    "bigger": _single({f"{big}>{small}": big for big, small in _SIZES}),
    "smaller": _single({f"{big}>{small}": small for big, small in _SIZES}),
    "dislike": _dislikes(),
    "counting": _single({str(n): ", ".join(map(str, range(1, n + 1))) for n in range(2, 13)}),
    "count_to": Weighted([str(n) for n in range(2, 13)], [16 - n for n in range(2, 13)]),
    "more_less": _MORE,
    "more": _single({f"{more}>{less}": str(more) for more, less in _MORE_LESS}),
    "less": _single({f"{more}>{less}": str(less) for more, less in _MORE_LESS}),
    "season_after": _ring(_SEASONS, 1),
    "season_before": _ring(_SEASONS, -1),
    "day": Weighted(list(_DAYS), [3] * 7),
    "day_after": _ring(_DAYS, 1),
    "day_before": _ring(_DAYS, -1),
    "word": Weighted(list(_OPPOSITE), [4] * len(_OPPOSITE)),
    "opposite": _single(_OPPOSITE),
    "colour_of": words(
        "grass*6, snow*6, the sky*5, the sun*5, a frog*4, a carrot*4, a strawberry*3, the night*3, milk*3, "
        "a lemon*2, cheese*2, a crow*2"
    ),
    "colour": rows(
        """
        grass: green
        snow: white
        the sky: blue
        the sun: yellow
        a frog: green
        a carrot: orange
        a strawberry: red
        the night: black
        milk: white
        a lemon: yellow
        cheese: yellow
        a crow: black
        """
    ),
    "paint": words("red*8, blue*7, green*5, yellow*4, white*3, black*2"),
    "toy": words("ball*7, hat*7, kite*5, drum*4, scarf*4, boat*4, bell*3, balloon*3, umbrella*2, lantern*2"),
    "pet": words("cat*8, dog*8, snail*4, mouse*4, frog*3, hen*3, turtle*2, goat*2"),
    "me": Weighted(ALL_NAMES, [4 if name in HE else 5 for name in ALL_NAMES]),
    "manner": words("sleepy*6, grumpy*6, cheerful*6, shy*4, proud*4, polite*4, hungry*3"),
    "tic": rows(
        """
        sleepy: Yawn.*5, I am so tired.*1
        grumpy: Hmph.*5, Not you again.*1
        cheerful: Hooray!*5, What a day!*2
        shy: Um.*5, Oh dear.*2
        proud: Of course.*5, Who else?*2
        polite: With pleasure.*5, How kind of you.*3
        hungry: Munch.*3, Is there any cake?*2
        """
    ),
    "beyond": words(
        "What is the capital of France*4, Who is the president*3, How far is the moon*4, What is the time*4, "
        "How do I cook rice*2, Can you write a letter*2, What is a computer*3, Who won the game*2, How old am I*3, "
        "What did I eat today*3, Where are my glasses*3, What is 100 times 7*2"
    ),
}
