"""Stories of the toy world: which beats make a plot, and where each fact of a story comes from.

A story is drawn beat by beat from one Frame of facts: a name, a place or a thing said once stays to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from trainer import toy_friends, toy_homes, toy_journeys, toy_rules
from trainer.toy_dice import Dice, Weighted
from trainer.toy_grammar import Frame, Grammar, parse_rules, parse_slots
from trainer.toy_things import THINGS
from trainer.toy_words import TABLES

ALL_TABLES = {**TABLES, **THINGS}

SLOTS = """
kind: kind
hero: names/kind
trait: trait/kind
home: home/kind
food: food/kind
sound: sound/kind
he: he/hero
him: him/hero
his: his/hero
season: season
sky: sky/season
time: time
place: place/kind
at: at/place
hours: hours
giver: giver
pal_kind: kind -kind
pal: names/pal_kind -hero
pal_trait: trait/pal_kind -trait
pal_food: food/pal_kind
pal_sound: sound/pal_kind
phe: he/pal
phim: him/pal
phis: his/pal
third_kind: kind -kind -pal_kind
third: names/third_kind -hero -pal
third_sound: sound/third_kind
thing: thing
look: look/thing
loss: loss/thing
spot1: spot
spot2: spot -spot1
spot3: spot -spot1 -spot2
spot4: spot -spot1 -spot2 -spot3
odd: odd
trouble: trouble_of/kind
help_kind: helper_kind/trouble -kind
help: names/help_kind -hero
help_trait: trait/help_kind -trait
help_sound: sound/help_kind
hhe: he/help
hhis: his/help
fear: fear_of/kind
fear_sound: fear_sound
weather: weather
work: work
bad1: bad/work
bad2: bad/work -bad1
fail1: fail/bad1
fail2: fail/bad2 -fail1
good: good/work
granter: granter
granter_the: granter_the/granter
wish: wish
pebble: pebble
pot: pot
veg1: carrier
veg2: carrier -veg1
veg3: carrier -veg1 -veg2
rival_kind: fast_kind
rival: names/rival_kind -hero
rhe: he/rival
rhis: his/rival
rest: rest
item1: item
item2: item -item1
item3: item -item1 -item2
item4: item -item1 -item2 -item3
item5: item -item1 -item2 -item3 -item4
song: song
paw: paw/kind
paws: paws/kind
coat: coat/kind
third_paw: paw/third_kind
pal_home: home/pal_kind
rival_food: food/rival_kind
eyes: eyes
passer1: passer
passer2: passer -passer1
passer3: passer -passer1 -passer2
passer4: passer -passer1 -passer2 -passer3
dream1: dream -dream3 -dream4
dream2: dream -dream1 -dream3 -dream4
dream3: dream
dream4: dream -dream3
way1: way
way2: way -way1
way3: way -way1 -way2
cake1: cake_place
cake2: cake_place -cake1
tune1: tune
tune2: tune -tune1
tune3: tune -tune1 -tune2
gift1: present
gift2: present -gift1
"""


@dataclass(frozen=True)
class Plot:
    """The beats of one kind of story; "beat?30" comes with 30 %, "/" starts a new paragraph."""

    name: str
    beats: tuple[tuple[str, int], ...]
    heroes: Weighted[str]


_PLOTS = """
lost: 10
    opening living?40 weather?40 lost_have song?25
    / lost_loss lost_search meet?55 lost_ask
    / lost_found lost_end glad_pal simile?25 dream?25 closing?25
trouble: 12
    opening living?40 weather?40
    / trouble_want pocket?45 way?55 meet?60 song?25 trouble_stop trouble_feel?50
    / trouble_help trouble_solve trouble_goal trouble_end closing?25
race: 5
    opening living?40
    / race_boast race_start way?45 race_rest meet?45 song?30 race_pass
    / race_win race_end simile?40 glad_alone?30 closing?25
map: 6
    opening living?40 weather?40
    / map_find map_friend pocket?45 map_way meet?55 map_dig
    / map_open map_end glad_pal?60 dream?35 closing?25
letter: 6
    opening living?40 weather?40
    / letter_come letter_go way?55 meet?55 song?30 letter_wet?60
    / letter_open letter_end glad_pal?50 dream?30 closing?30
moon: 4
    opening living?50 weather?35
    / moon_want moon_try visit?45 moon_pond moon_wet
    / moon_turn moon_end song?35 dream?50 closing?40
fear: 7
    opening living?60 weather?40
    / fear_have fear_hide fear_turn
    / fear_end glad_pal?50 dream?40 closing?35
play: 7
    opening living?60 pocket?35
    / play_wake visit?45 song?30 play_do play_turn
    / play_end glad_pal?40 dream?50 closing?35
bed: 5
    opening living?60 weather?35
    / bed_awake bed_count way?35 bed_try bed_turn song?40 bed_sleep dream?60 closing?50
soup: 5
    opening living?40
    / soup_pot soup_one soup_two visit?35 soup_stir?60
    / soup_end glad_alone?50 dream?30 closing?25
birthday: 5
    opening living?50
    / birth_day song?30 birth_ask meet?40 birth_again birth_sad
    / birth_turn birth_end simile?35 glad_alone?40 closing?25
greedy: 4
    opening living?50 way?35
    / greedy_find greedy_eat visit?40 greedy_stuck
    / greedy_help greedy_end glad_pal?40 dream?40 closing?25
riddle: 5
    opening living?50 weather?35
    / riddle_gone riddle_one riddle_two visit?45 riddle_clue
    / riddle_end glad_pal?50 dream?30 closing?30
concert: 5
    opening living?40 weather?35
    / concert_plan concert_one visit?35 concert_sad concert_turn
    / concert_end glad_alone?50 dream?40 closing?30
friend: 7
    opening living?40 weather?40 friend_alone song?30
    / friend_new friend_shy visit?35 friend_turn
    / friend_end glad_pal simile?30 closing?25
quarrel: 6
    opening living?50
    / quarrel_find quarrel_mine quarrel_turn visit?35
    / quarrel_sorry quarrel_end glad_pal?50 dream?30 closing?25
build: 7
    opening living?50 weather?35
    / build_want build_first build_second visit?45
    / build_third build_works build_end glad_pal?50 dream?30 closing?25
wish: 7
    opening living?50 weather?35 way?45
    / wish_meet wish_say simile?30 wish_turn visit?40
    / wish_back wish_end glad_alone?50 dream?40 closing?35
"""
_HEROES = {"race": "slow_kind"}


def _parse_plots(text: str) -> Weighted[Plot]:
    """Plots from "name: weight" lines at the margin with their beats indented below."""
    heads: list[tuple[str, int]] = []
    beats: list[list[tuple[str, int]]] = []
    for row in filter(str.strip, text.splitlines()):
        if row[0].isspace():
            parted = [beat.partition("?") for beat in row.split()]
            beats[-1] += [(rule, int(percent or 100)) for rule, _, percent in parted]
        else:
            name, _, weight = row.partition(":")
            heads.append((name, int(weight)))
            beats.append([])
    plots = []
    for (name, _), found in zip(heads, beats, strict=True):
        heroes = ALL_TABLES[_HEROES.get(name, "kind")]
        assert isinstance(heroes, Weighted)
        plots.append(Plot(name, tuple(found), heroes))
    return Weighted(plots, [weight for _, weight in heads])


PLOTS = _parse_plots(_PLOTS)
_TEXTS = [
    text
    for module in (toy_rules, toy_journeys, toy_homes, toy_friends)
    for name, text in vars(module).items()
    if name.isupper()
]
GRAMMAR = Grammar(
    ALL_TABLES, parse_slots(SLOTS), {name: lines for text in _TEXTS for name, lines in parse_rules(text).items()}
)

_OPTIONAL = {
    percent: Weighted([True, False], [percent, 100 - percent])
    for percent in {percent for plot in PLOTS.values for _, percent in plot.beats}
    if percent < 100
}


@cache
def _plots_for(kind: str) -> Weighted[Plot]:
    return PLOTS.without([plot for plot in PLOTS.values if kind not in plot.heroes.values])


def story(dice: Dice, frame: Frame | None = None) -> str:
    """One story; a frame given fixes facts of it, such as its kind or its hero."""
    facts: Frame = {} if frame is None else frame
    plots = _plots_for(facts["kind"]) if "kind" in facts else PLOTS
    plot = plots.draw(dice)
    if "kind" not in facts:
        facts["kind"] = plot.heroes.draw(dice)
    paragraphs: list[list[str]] = [[]]
    for rule, percent in plot.beats:
        if rule == "/":
            paragraphs.append([])
        elif percent == 100 or _OPTIONAL[percent].draw(dice):
            paragraphs[-1].append(GRAMMAR.write(rule, dice, facts))
    return "\n".join(" ".join(beats) for beats in paragraphs)
