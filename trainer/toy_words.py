"""The words of the toy world: who lives there, where, what they like, what happens to them.

Tables only. Order and stars are the odds: the first word of a row is the likeliest. Entries of the fact rows
(home, likes, sound, colour, legs) hold in every story and every chat, so a reader can learn them.
"""

from __future__ import annotations

from trainer.toy_dice import Weighted, rows, words
from trainer.toy_grammar import Table

KINDS = words(
    "fox*16, bear*14, mouse*13, rabbit*12, girl*12, boy*12, owl*9, cat*9, frog*8, dog*8, hedgehog*8, duck*7, "
    "squirrel*7, dragon*7, turtle*6, beaver*5, snail*5, goat*5, penguin*4, robot*4, hen*3, wolf*3"
)

# Every kind has names of its own, and everyone may have one of the common names.
OWN_NAMES = rows(
    """
    fox: Felix*9, Fern*7, Fiona*2
    bear: Bruno*9, Bella*6, Barnaby*3
    mouse: Max*7, Mimi*7, Milo*3
    rabbit: Rosie*8, Rufus*7
    girl: Mia*9, Anna*7, Lily*5, Nora*4, Ella*3
    boy: Tom*9, Ben*7, Leo*5, Finn*4, Jack*3
    owl: Olive*7, Otto*7
    cat: Cleo*7, Cosmo*5
    frog: Freddy*8, Flora*4
    dog: Dexter*7, Dora*5
    hedgehog: Hazel*7, Henry*7
    duck: Daisy*8, Duncan*4
    squirrel: Susie*6, Sam*6
    dragon: Ember*7, Dougal*5
    turtle: Toby*6, Tilly*6
    beaver: Benny*6, Betty*4
    snail: Sally*5, Simon*5
    goat: Greta*5, Gus*5
    penguin: Penny*5, Pablo*4
    robot: Bolt*6, Zizi*4
    hen: Hetty*7, Henrietta*2
    wolf: Willa*4, Walter*5
    """
)
COMMON_NAMES = words("Pip*4, Poppy*3, Oscar*3, Lulu*3, Teddy*2, Nell*2, Hugo*2, Ivy*2, Rex*2, Momo*1")
HE = frozenset(
    words(
        "Felix, Bruno, Barnaby, Max, Milo, Rufus, Tom, Ben, Leo, Finn, Jack, Otto, Cosmo, Freddy, Dexter, Henry, "
        "Duncan, Sam, Dougal, Toby, Benny, Simon, Gus, Pablo, Bolt, Walter, Pip, Oscar, Teddy, Hugo, Rex"
    ).values
)
_HUMANS = ("girl", "boy")


def _names() -> dict[str, Weighted[str]]:
    named = {}
    for kind, own in OWN_NAMES.items():
        common = (
            []
            if kind in _HUMANS or kind == "hen"
            else list(zip(COMMON_NAMES.values, COMMON_NAMES.weights, strict=True))
        )
        pairs = [*zip(own.values, [4 * weight for weight in own.weights], strict=True), *common]
        named[kind] = Weighted([name for name, _ in pairs], [weight for _, weight in pairs])
    return named


NAMES = _names()
ALL_NAMES = sorted({name for row in NAMES.values() for name in row.values})


def _pronoun(he: str, she: str) -> dict[str, Weighted[str]]:
    return {name: Weighted([he if name in HE else she], [1]) for name in ALL_NAMES}


TABLES: dict[str, Table] = {
    "kind": KINDS,
    "names": NAMES,
    "he": _pronoun("he", "she"),
    "him": _pronoun("him", "her"),
    "his": _pronoun("his", "her"),
    "plural": {
        kind: Weighted([{"mouse": "mice", "fox": "foxes", "wolf": "wolves"}.get(kind, kind + "s")], [1])
        for kind in KINDS.values
    },
    "trait": rows(
        """
        fox: clever*9, hungry*4, curious*4, little*3, proud*3, young*2
        bear: big*7, sleepy*6, hungry*5, gentle*4, brown*3, grumpy*2
        mouse: tiny*8, brave*5, shy*4, busy*3, little*3, curious*2
        rabbit: quick*6, little*5, white*4, shy*3, cheerful*2
        girl: little*8, curious*4, brave*4, kind*4, cheerful*3, clever*2
        boy: little*8, curious*4, brave*4, kind*3, shy*3, dreamy*2
        owl: wise*9, old*6, sleepy*3, clever*2
        cat: lazy*7, proud*5, black*4, curious*4, clever*2
        frog: green*7, cheerful*5, noisy*4, little*3, brave*2
        dog: friendly*8, noisy*4, hungry*4, young*3, brave*3
        hedgehog: shy*7, little*5, grumpy*4, gentle*3, sleepy*2
        duck: noisy*5, cheerful*5, yellow*4, little*4, dreamy*2
        squirrel: quick*8, busy*6, red*4, forgetful*4
        dragon: small*7, green*5, shy*4, lonely*4, proud*3, clumsy*3
        turtle: slow*9, old*5, patient*5, wise*3
        beaver: busy*9, clever*4, strong*4, patient*2
        snail: slow*9, patient*5, dreamy*4, tiny*3
        goat: stubborn*7, hungry*6, white*4, old*3
        penguin: clumsy*7, cheerful*5, small*4, curious*3
        robot: rusty*7, helpful*5, small*4, clumsy*3, lonely*2
        hen: busy*6, brown*4, noisy*4, kind*3
        wolf: lonely*6, grey*6, hungry*4, gentle*3
        """
    ),
    "home": rows(
        """
        fox: in a den under an old oak
        bear: in a cave on the hill
        mouse: in a hole behind the kitchen wall
        rabbit: in a burrow under the meadow
        girl: in a little house by the mill
        boy: in a little house by the bridge
        owl: in a hollow tree
        cat: in a basket by the fire
        frog: on a lily pad in the pond
        dog: in a kennel behind the farm
        hedgehog: under a hedge in the garden
        duck: in a nest by the pond
        squirrel: in a nest at the top of a pine
        dragon: in a deep cave in the mountain
        turtle: under a flat stone by the river
        beaver: in a lodge on the river
        snail: under a cabbage leaf
        goat: in a shed on the farm
        penguin: on an island of ice
        robot: in an old workshop
        hen: in a warm coop on the farm
        wolf: in the dark part of the forest
        """
    ),
    "food": rows(
        """
        fox: grapes*5, blueberries*4, plums*2, cheese*2
        bear: honey*9, blueberries*3, fish*2
        mouse: cheese*9, bread*3, cake*2
        rabbit: carrots*9, clover*3, lettuce*2
        girl: apple pie*4, strawberries*4, pancakes*3, chocolate*3, soup*1
        boy: pancakes*5, chocolate*4, apple pie*3, cherries*2, soup*1
        owl: blackberry tea*4, cake*3, toast*2
        cat: milk*7, fish*5, cream*3
        frog: pea soup*7, blackberry tea*3, cake*2
        dog: sausages*8, bread*2, soup*2
        hedgehog: apples*7, mushrooms*4, pears*2
        duck: bread*7, corn*4, peas*3
        squirrel: nuts*9, acorns*5, cherries*2
        dragon: hot chocolate*5, pepper soup*5, toast*4
        turtle: lettuce*6, strawberries*4, clover*2
        beaver: bark bread*4, apples*4, carrots*2
        snail: lettuce*7, strawberries*3, mushrooms*2
        goat: hay*5, thistles*4, old socks*4, cabbage*3
        penguin: fish*9, snow cake*3
        robot: hot oil*7, batteries*5, pancakes*1
        hen: corn*9, bread*3
        wolf: soup*5, blueberries*3, bread*2
        """
    ),
    "sound": rows(
        """
        fox: yip
        bear: grr
        mouse: squeak
        rabbit: thump
        girl: hooray
        boy: hooray
        owl: hoo
        cat: meow
        frog: ribbit
        dog: woof
        hedgehog: snuffle
        duck: quack
        squirrel: chip
        dragon: roar
        turtle: hum
        beaver: slap
        snail: shh
        goat: baa
        penguin: honk
        robot: beep
        hen: cluck
        wolf: howl
        """
    ),
    "paw": rows(
        """
        girl: hand
        boy: hand
        owl: wing
        frog: foot
        duck: wing
        dragon: claw
        turtle: foot
        snail: feeler
        goat: hoof
        penguin: wing
        robot: hand
        hen: wing
        *: paw
        """
    ),
    "paws": rows(
        """
        girl: hands
        boy: hands
        owl: wings
        frog: feet
        duck: wings
        dragon: claws
        turtle: feet
        snail: feelers
        goat: hooves
        penguin: wings
        robot: hands
        hen: wings
        *: paws
        """
    ),
    "coat": rows(
        """
        girl: hair
        boy: hair
        owl: feathers
        frog: toes
        duck: feathers
        dragon: scales
        turtle: shell
        snail: shell
        goat: beard
        penguin: feathers
        robot: buttons
        hen: feathers
        hedgehog: spines
        *: fur
        """
    ),
    # --- places ---
    "place": rows(
        """
        fox: the forest*8, the vineyard*3, the old mill*2, the meadow*2
        bear: the forest*7, the river*4, the hill*3
        mouse: the kitchen*6, the barn*4, the garden*3
        rabbit: the meadow*8, the garden*5, the forest*2
        frog: the pond*9, the river*4
        duck: the pond*7, the river*5, the market*1
        dragon: the mountain*7, the castle*5, the forest*2
        penguin: the beach*8, the market*2
        robot: the village*6, the market*4, the beach*2
        *: the forest*6, the meadow*5, the river*4, the village*4, the garden*3, the hill*3, the market*2, the beach*2
        """
    ),
    "at": rows(
        """
        the forest: in the forest
        the vineyard: in the vineyard
        the old mill: at the old mill
        the meadow: in the meadow
        the river: by the river
        the hill: on the hill
        the kitchen: in the kitchen
        the barn: in the barn
        the garden: in the garden
        the pond: by the pond
        the market: at the market
        the mountain: on the mountain
        the castle: at the castle
        the beach: on the beach
        the village: in the village
        """
    ),
    "sight": rows(
        """
        the forest: the trees whispered*5, the moss was soft*3, mushrooms grew in a ring*2, it smelled of pine*2
        the vineyard: the grapes were round and blue*4, the leaves were red and gold*2
        the old mill: the big wheel went round and round*5, white dust lay on everything*2
        the meadow: the grass was tall*5, bees hummed in the clover*4, a lark sang*2
        the river: the water sang over the stones*5, silver fish jumped*4, the reeds were high*2
        the hill: the wind was strong*4, one could see the whole valley*4
        the kitchen: a pot hummed on the stove*4, crumbs lay on the floor*4
        the barn: the hay smelled sweet*5, dust danced in the light*3
        the garden: the roses were red*4, beans climbed up their poles*3, an old gate creaked*2
        the pond: the water was still*5, the lilies were open*4, a dragonfly flew by*2
        the market: everyone was shouting*4, it smelled of bread and fish*4, a man sold balloons*2
        the mountain: the snow was deep*4, the clouds were below*3, it was very quiet*3
        the castle: flags flew from the towers*4, the big gate stood open*3
        the beach: the waves came and went*5, shells lay in the sand*4, a gull laughed*2
        the village: smoke rose from the chimneys*5, a bell was ringing*3, children played in the street*3
        """
    ),
}
