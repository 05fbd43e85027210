"""Short chats about the toy world, each turn with the answers that count as right.

A chat is drawn from one Frame of facts, turn by turn. Where an answer follows from the chat or from the
world, all the ways the grammar can say it are kept, so a model's answers can be marked.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinychat.text.chat import Message
from trainer import toy_facts, toy_stories, toy_talk, toy_tellings
from trainer.toy_dice import Dice, Weighted, words
from trainer.toy_grammar import Frame, Grammar, parse_rules, parse_slots
from trainer.toy_words import ALL_NAMES

_TALK_TABLES = {
    "greet": words("morning*6, evening*5, day*4"),
    "low": words("sad*10, cross*4, very sad*3"),
    "nice": words("nice*6, a good story*4, funny*3, kind of you*2"),
    "joke_do": words(
        "cross the road*6, sit on the clock*4, paint the moon*3, take a ladder to school*3, put salt on the bed*2"
    ),
    "joke_why": words("nobody was looking*5, it was Monday*4, the bus was late*3, there was cake*4, why not*3"),
}
GRAMMAR = Grammar(
    {**toy_stories.ALL_TABLES, **toy_facts.FACT_TABLES, **_TALK_TABLES},
    parse_slots(toy_stories.SLOTS + toy_tellings.TALK_SLOTS),
    {
        name: lines
        for text in (toy_talk.FACTS, toy_talk.NUMBERS, toy_tellings.TELLING, toy_talk.SMALL_TALK, toy_tellings.PERSONA)
        for name, lines in parse_rules(text).items()
    },
)

# Turns "question>answer": rules joined by + make one message, ! marks an answer that follows from what was said,
# "?40" comes with 40 %, "=pal" only when that fact is known by now. @ begins with a system message. The answer "story"
# is a whole story about the facts of the question. The first number is the weight.
_PLANS = """
28 ask_home>say_home! ask_food>say_food!?30 thanks>say_welcome?8
16 ask_food>say_food! ask_home>say_home!?30 ask_speed>say_speed!?20
12 ask_sound>say_sound! ask_legs>say_legs!?30
10 ask_legs>say_legs! ask_sound>say_sound!?20
8 ask_speed>say_speed! ask_home>say_home!?20
10 ask_likes>say_likes! ask_home>say_home!?20
12 ask_dislikes>say_dislikes! ask_speed>say_speed!?20
8 ask_plural>say_plural! ask_legs>say_legs!?30
14 ask_bigger>say_bigger! ask_home>say_home!?20
8 ask_smaller>say_smaller! ask_opposite>say_opposite!?20
8 ask_season>say_season! ask_season_back>say_season_back!?25
8 ask_day>say_day! ask_day_back>say_day_back!?30
4 ask_day_back>say_day_back! ask_day>say_day!?20
14 ask_opposite>say_opposite! thanks>say_welcome?10
12 ask_colour>say_colour! ask_opposite>say_opposite!?20
10 ask_rhyme>say_rhyme! thanks>say_welcome?10
34 ask_sum>say_sum! ask_minus>say_minus!?30
20 ask_minus>say_minus! ask_next>say_next!?25
14 ask_more>say_more! thanks>say_welcome?10
12 ask_fewer>say_fewer!
8 ask_next>say_next! ask_sum>say_sum!?25
10 ask_which_more>say_which_more! ask_sum>say_sum!?20
8 ask_count>say_count! ask_next>say_next!?20
24 tell_thing+ask_thing>say_thing! ask_paint>say_paint!?50 ask_kind>say_kind!?40
16 tell_thing+ask_owner>say_owner! ask_paint>say_paint!?40 ask_missing>say_missing!?25
14 tell_thing+ask_paint>say_paint! ask_owner>say_owner!?40
14 tell_thing+ask_kind>say_kind! ask_missing>say_missing!?30
12 tell_thing+ask_missing>say_missing! ask_thing>say_thing!?40
24 tell_place+ask_where>say_where! ask_where_pal>say_where_pal!?60
16 tell_place+ask_where_pal>say_where_pal! ask_where>say_where!?40
12 tell_place+ask_who_there>say_who_there! ask_where_pal>say_where_pal!?30
22 tell_give+ask_now>say_now! ask_giver>say_giver!?50
12 tell_give+ask_giver>say_giver! ask_now>say_now!?40
18 tell_why+ask_why>say_why! ask_finder>say_finder!?50
10 tell_why+ask_finder>say_finder! ask_why>say_why!?40
18 tell_tale+ask_tale_where>say_tale_where! ask_tale_whose>say_tale_whose!?50 ask_tale_who>say_tale_who!?40
14 tell_tale+ask_tale_who>say_tale_who! ask_tale_where>say_tale_where!?50
12 tell_tale+ask_tale_whose>say_tale_whose! ask_missing>say_missing!?30
18 tell_me>say_hello_me ask_me>say_me! ask_sum>say_sum!?20
14 tell_pet>say_pet ask_pet>say_pet_name! ask_pet_kind>say_pet_kind!?40
10 tell_me+tell_pet>say_hello_me ask_pet>say_pet_name! ask_me>say_me!?60
12 ask_unknown_me>say_unknown! tell_me>say_hello_me?60 ask_me>say_me!?90=me
16 hello>say_hello how>say_how?50 bye>say_bye?30
12 who>say_who! can>say_can!?50 thanks>say_welcome?30
8 can>say_can! ask_story>story?30
8 how>say_how who>say_who!?40
8 joke>say_joke thanks>say_welcome?40
10 beyond>say_beyond! ask_home>say_home!?20
40 ask_story>story ask_hero>say_hero!?30 ask_hero_home>say_hero_home!?50=home thanks>say_welcome?10
40 ask_story>story ask_pal>say_pal!?60=pal ask_wanted>say_wanted!?50=food bye>say_bye?8
20 ask_story>story ask_hero_kind>say_hero_kind!?30 ask_pal_name>say_pal_name!?50=pal ask_lost>say_lost!?80=loss
14 hello>say_hello ask_story>story thanks>say_welcome?30
18 @ p_who>p_say_who! p_home>p_say_home!?60 p_food>p_say_food!?40
12 @ p_hello>p_say_hello! p_food>p_say_food!?70 p_how>p_say_how!?40
10 @ p_home>p_say_home! p_sound>p_say_sound!?50 p_who>p_say_who!?30
8 @ p_sum>p_say_sum! p_who>p_say_who!?40
6 @ p_how>p_say_how! p_dislikes>p_say_dislikes!?60
6 @ p_likes>p_say_likes! p_home>p_say_home!?40
6 @ p_beyond>p_say_beyond! p_who>p_say_who!?40
"""


@dataclass(frozen=True)
class Turn:
    """A question, its answer, and every answer that would be right (none: it is a matter of taste)."""

    question: str
    answer: str
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chat:
    """One chat; `system` is empty when there is no system message."""

    system: str
    turns: tuple[Turn, ...]

    def messages(self) -> tuple[Message, ...]:
        said = [Message("system", self.system)] if self.system else []
        for turn in self.turns:
            said += [Message("user", turn.question), Message("assistant", turn.answer)]
        return tuple(said)

    def text(self) -> str:
        """The message texts, one a line, without roles: the bytes that entropy is counted over."""
        return "\n".join(message.text for message in self.messages())


@dataclass(frozen=True)
class _Step:
    asks: tuple[str, ...]
    answers: str
    exact: bool
    percent: int
    needs: str


@dataclass(frozen=True)
class _Plan:
    persona: bool
    steps: tuple[_Step, ...]


def _parse_plans(text: str) -> Weighted[_Plan]:
    plans, weights = [], []
    for row in text.strip().splitlines():
        weight, *turns = row.split()
        persona = turns[0] == "@"
        plans.append(_Plan(persona, tuple(map(_parse_step, turns[persona:]))))
        weights.append(int(weight))
    return Weighted(plans, weights)


def _parse_step(text: str) -> _Step:
    asks, _, rest = text.partition(">")
    rest, _, needs = rest.partition("=")
    answers, _, percent = rest.partition("?")
    return _Step(tuple(asks.split("+")), answers.rstrip("!"), answers.endswith("!"), int(percent or 100), needs)


PLANS = _parse_plans(_PLANS)
_OPTIONAL = {
    percent: Weighted([True, False], [percent, 100 - percent])
    for percent in {step.percent for plan in PLANS.values for step in plan.steps}
    if percent < 100
}
_CARELESS = Weighted([True, False], [1, 9])  # people forget the full stop and the capital letter


def chat(dice: Dice) -> Chat:
    """One chat of one to four turns."""
    plan = PLANS.draw(dice)
    facts: Frame = {}
    system = GRAMMAR.write("system", dice, facts) if plan.persona else ""
    turns = []
    for step in plan.steps:
        if step.needs and step.needs not in facts:
            continue
        if step.percent == 100 or _OPTIONAL[step.percent].draw(dice):
            turns.append(_turn(step, dice, facts))
    return Chat(system, tuple(turns))


def _turn(step: _Step, dice: Dice, facts: Frame) -> Turn:
    question = " ".join(GRAMMAR.write(rule, dice, facts) for rule in step.asks)
    if _CARELESS.draw(dice):
        question = _plain(question)
    if step.answers == "story":
        return Turn(question, toy_stories.story(dice, facts))
    answer = GRAMMAR.write(step.answers, dice, facts)
    return Turn(question, answer, GRAMMAR.say_all(step.answers, facts) if step.exact else ())


def _plain(question: str) -> str:
    first = question.split(" ", 1)[0].rstrip(",.!?")
    small = question if first in ALL_NAMES or first == "I" else question[0].lower() + question[1:]
    return small.rstrip(".!?")
