"""Scenes that fit into any story: weather, meetings on the way, pockets, songs, dreams.

They are the open places of the language: where a plot knows its next word, a scene may go many ways.
"""

from __future__ import annotations

from trainer.toy_dice import rows, words
from trainer.toy_grammar import Table

SCENE_TABLES: dict[str, Table] = {
    "sign": rows(
        """
        spring: the first flowers were out*6, the snow was gone*4, every tree was full of birds*4,
            it rained a little every day*3, the lambs were learning to jump*2
        summer: the days were long and warm*6, the bees were busy*5, the corn was high*3,
            even the stones were warm*3, the nights smelled of hay*2
        autumn: the leaves were red and gold*6, the wind was looking for hats*3, there was fog in the fields*4,
            the apples were ripe*4, the birds were packing*2
        winter: the pond was frozen*5, snow lay on every roof*6, the nights were long*4,
            the trees had put on white coats*3, smoke rose from every chimney*2
        """
    ),
    "mood": words(
        "small*6, fat*5, old*5, very old*2, tired*3, cheerful*3, angry*3, green*3, striped*2, polite*2, "
        "muddy*2, lost*2, "
        "dancing*2, sneezing*1, famous*1, invisible*1"
    ),
    "passer": words(
        "snail*6, toad*6, beetle*5, crow*5, sheep*5, ladybird*4, pig*4, donkey*4, ant*4, bee*3, worm*3, "
        "cow*3, mole*3, "
        "horse*2, parrot*2, moth*2, giraffe*1, king*1"
    ),
    "doing": words(
        "with a suitcase*5, asleep on a leaf*4, on the way to school*4, looking for glasses*4, "
        "with a red umbrella*3, "
        "singing a sad song*3, eating a pear*3, in a very big hat*3, counting clouds*3, "
        "with a letter for the queen*2, "
        "carrying a piano*2, learning to whistle*2, who had lost a tooth*2, waiting for the bus*1, who was late*3"
    ),
    "remark": words(
        "Nice weather*6, Mind the puddle*4, I am late*4, It will rain before supper*4, "
        "I have lost count of my legs*3, Never trust a goose*3, The sea is that way*3, I once knew a king*2, "
        "My feet hurt*3, You have something on your nose*3, I do not like Mondays*2, Cheese is the answer*1"
    ),
    "item": words(
        "a piece of string*8, a pencil*6, an apple*6, a feather*5, two nuts*5, a candle*4, a button*4, a spoon*4, "
        "some bread*4, a map of the moon*3, a small bell*3, a pinch of salt*3, seven peas*2, "
        "a photograph of a fish*2, "
        "half a biscuit*3, a very quiet frog*1, nothing at all*1"
    ),
    "holder": words("bag*8, pocket*7, basket*4, hat*3, left shoe*1"),
    "like": words(
        "a king*5, a duck in the rain*4, a bee in May*4, a cat by the fire*3, a bird*3, a fish in the water*3, "
        "a new penny*2, a pancake*2, a kettle*1"
    ),
    "way": words(
        "past the mill*6, over the bridge*6, through the tall grass*5, along the river*5, under the old trees*4, "
        "past the sleeping dog*4, up the hill*4, down the hill*3, across the market*2, "
        "through a hole in the fence*3, "
        "round the pond*3, past three cows*2"
    ),
    "song": words("moon*6, tree*6, cat*5, bear*4, king*4, snow*4, goat*4, mouse*4, frog*3, cake*3, sky*3, bed*2"),
    "rhyme": rows(
        """
        moon: spoon*6, tune*3
        tree: bee*5, pea*3, knee*2
        cat: hat*8, mat*3
        bear: pear*5, chair*4
        king: ring*6, string*3
        snow: toe*5, crow*3
        goat: coat*6, boat*5
        mouse: house*8, blouse*1
        frog: log*6, dog*3
        cake: lake*6, snake*4
        sky: fly*5, pie*5
        bed: head*4, sled*3
        """
    ),
    "where": words("on*8, under*6, behind*4, inside*2, next to*3"),
    "dream": words(
        "a ship full of cake*4, a snail that could fly*4, the sea*4, a door in a tree*4, a very kind giant*3, "
        "a mountain of pancakes*3, a dancing teapot*2, the moon in a basket*3, warm rain*2, nothing*2"
    ),
    "again": words("the next day*6, in the end*4, at last*5, before long*3, on Sunday*2, three days later*3"),
    "softly": words(
        "softly*5, slowly*5, quickly*4, happily*4, loudly*3, proudly*3, sadly*1, with a full mouth*2, "
        "in a small voice*3"
    ),
}

SCENES = """
weather
  6 [!season] It was {season}, and {@sign/season}.
  4 [!season] In that {season} {@sign/season}.
  3 [season] It was a fine {season}, and {@sign/season}.
way
  5 {hero} went {@way} and {@way}.
  4 {^he} went {@way}, {@way} and {@way}.
  3 {^he} walked for {hours}, {@way}.
meet
  6 On the way {he} met a/an {@mood} {@passer} {@doing}.
  4 a/an {@mood} {@passer} came by. "{@remark}," it (3:said|mumbled|sang).
  4 "{@remark}," said a/an {@mood} {@passer} (2:by the road|1:in a tree|1:from behind a bush).
  3 {^he} saw a/an {@mood} {@passer} and a/an {@mood} {@passer}, arm in arm.
pocket
  6 In {his} {@holder} {he} had {item1}, {item2} and {item3}.
  3 {^he} took along {item1} and {item2}. One never knows.
song
  5 {^he} sang {@softly}, "There is a {song} {@where} my {@rhyme/song}."
  4 And {he} sang, "Oh {song}, oh {song}, {@where} my {@rhyme/song}."
dream
  5 That night {hero} dreamed of {@dream}.
  4 {^he} dreamed of {@dream} and of {@dream}.
simile
  5 {^he} felt like {@like}.
  4 {hero} smiled like {@like}.
"""
