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
COMMON_NAMES = words("Pip*5, Poppy*4, Oscar*3, Lulu*3, Teddy*2, Nell*2, Hugo*2, Ivy*1, Rex*1, Momo*1")
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
        pairs = [*zip(own.values, [3 * weight for weight in own.weights], strict=True), *common]
        named[kind] = Weighted([name for name, _ in pairs], [weight for _, weight in pairs])
    return named


NAMES = _names()
ALL_NAMES = sorted({name for row in NAMES.values() for name in row.values})


def _pronoun(he: str, she: str) -> dict[str, Weighted[str]]:
    return {name: Weighted([he if name in HE else she], [1]) for name in ALL_NAMES}


TABLES: dict[str, Table] = {
    "kind": KINDS,
    "dry_kind": KINDS.without(["frog", "duck", "penguin", "beaver", "turtle", "robot", "owl"]),
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
    # --- time and weather ---
    "season": words("summer*5, spring*4, autumn*4, winter*4"),
    "time": words("morning*10, day*8, afternoon*5, evening*4"),
    "sky": rows(
        """
        spring: rainy*4, windy*4, sunny*4, misty*1
        summer: sunny*6, hot*5, stormy*1
        autumn: windy*5, rainy*4, misty*3, golden*2
        winter: snowy*6, cold*5, icy*2
        """
    ),
    "hours": words("a little while*5, an hour*4, a long time*4, half the day*3, three days*1"),
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
    # --- things to have, lose and find ---
    "thing": words(
        "hat*9, scarf*8, kite*7, key*7, bell*6, ball*6, drum*5, lantern*5, spoon*4, map*4, coin*4, boot*3, "
        "teapot*3, umbrella*3, button*2, trumpet*2"
    ),
    "look": rows(
        """
        hat: red*6, straw*4, green*3, pointed*3, woolly*2
        scarf: blue*6, long*5, striped*4, woolly*3
        kite: yellow*5, paper*5, red*4
        key: golden*6, rusty*4, tiny*3
        bell: silver*7, little*4
        ball: red*7, blue*4, bouncy*3
        drum: tin*5, round*4, loud*4
        lantern: paper*5, small*4, bright*3
        spoon: wooden*6, silver*4
        map: secret*5, old*5
        coin: golden*6, lucky*5
        boot: left*5, brown*3, muddy*3
        teapot: blue*5, round*4, singing*1
        umbrella: yellow*5, spotted*4, big*3
        button: shiny*6, golden*4
        trumpet: golden*4, loud*4
        """
    ),
    "giver": words("grandmother*7, mother*4, grandfather*4, father*3, aunt*3"),
    "loss": rows(
        """
        hat: wind*7, river*3, shelf*2
        scarf: wind*6, shelf*4
        kite: wind*9
        key: pocket*6, magpie*6
        bell: magpie*6, pocket*3, river*2
        ball: river*7, hill*5
        drum: hill*6, shelf*3
        lantern: shelf*4, river*2
        spoon: magpie*6, shelf*4
        map: wind*6, pocket*3
        coin: pocket*7, magpie*5
        boot: river*5, dog*5
        teapot: shelf*6, hill*1
        umbrella: wind*8
        button: pocket*6, magpie*5
        trumpet: shelf*5, hill*3
        """
    ),
    "spot": words(
        "under the bed*8, behind the door*7, in the cupboard*5, under a stone*4, in the flower pot*3, "
        "up the chimney*3, in the soup*2, inside the left boot*2, in the teapot*2, under the cat*1"
    ),
    "odd": words("a sock*7, some dust*6, a sleeping spider*5, an old biscuit*4, a very small moon*1, one green pea*3"),
    # --- troubles on the way, who can help ---
    "trouble_of": rows(
        """
        frog: tree*5, gate*4, stone*5, fog*3, dark*4
        duck: gate*5, stone*4, fog*4, dark*4
        penguin: tree*6, gate*4, stone*4, fog*3, dark*3
        beaver: tree*5, gate*4, stone*4, fog*3, dark*4
        turtle: tree*6, gate*5, stone*5, fog*2, dark*2
        bear: river*5, gate*6, tree*3, fog*4, dark*4
        goat: river*6, gate*4, fog*4, dark*4
        squirrel: river*6, gate*4, stone*5, fog*4, dark*4
        cat: river*8, gate*4, stone*5, fog*3
        owl: gate*5, stone*5, fog*4
        mouse: river*6, tree*5, stone*6, fog*3, dark*4
        dragon: river*5, gate*5, tree*3, fog*4
        snail: river*6, tree*5, stone*6, fog*2, dark*3
        *: river*7, tree*6, gate*5, stone*5, fog*4, dark*4
        """
    ),
    "helper_kind": rows(
        """
        river: beaver*7, turtle*5, duck*4, frog*2
        tree: squirrel*8, owl*4, cat*3
        gate: mouse*8, snail*2, hedgehog*3
        stone: bear*8, goat*5, robot*2
        fog: owl*6, dog*5, snail*2
        dark: dragon*6, owl*4, robot*3
        """
    ),
    # --- being afraid ---
    "fear": words("the dark*7, thunder*6, deep water*4, high places*3, the shadow on the wall*4, strange noises*3"),
    # --- feelings ---
    "glad": words("happy*12, very happy*6, glad*4, proud*4, warm inside*2, as happy as a king*1, too happy to speak*1"),
    "sad": words("sad*10, very sad*5, lonely*3, cross*2, as sad as a wet sock*1"),
    "tired": words("tired*6, sleepy*4, hungry*2"),
    "say": words("said*24, answered*4, whispered*3, cried*2, sang*1, mumbled*1"),
    "cry": words("cried*8, said*5, shouted*4, sang*1"),
    "big": words("big*7, huge*4, tall*2, great*2"),
    "fear_sound": words("knock knock*6, scratch scratch*5, boom boom*3, tap tap*4, drip drip*3"),
    # --- making things: two materials that fail and one that holds ---
    "work": words("boat*7, house*6, kite*4, bridge*4, cake*4, chair*2"),
    "bad": rows(
        """
        boat: paper*6, leaves*5, stone*4, cheese*2
        house: straw*6, leaves*4, snow*4, biscuits*2
        kite: wood*4, a big leaf*4, an old sock*3
        bridge: grass*5, paper*4, noodles*2
        cake: sand*5, mud*5, snow*3
        chair: straw*4, ice*4, jelly*2
        """
    ),
    "good": rows(
        """
        boat: wood*8, bark*3
        house: stone*7, wood*4
        kite: paper*7, silk*3
        bridge: wood*6, rope*4
        cake: flour and honey*5, flour and apples*4
        chair: wood*8
        """
    ),
    # --- wishes and what comes of them ---
    "granter": words("a golden fish*7, a falling star*5, an old lamp*4, a tiny fairy*4, the wishing well*3"),
    "wish": words("big*5, cake*6, fly*5, summer*3, gold*4, small*3"),
    # --- presents, soup ---
    "present": words(
        "a cake*7, a red balloon*6, a warm scarf*5, a song*4, a jar of honey*4, a bunch of flowers*4, "
        "a book of stories*3, "
        "a very round stone*3, a new pair of socks*2, a cactus*1"
    ),
    "carrier": words("carrot*8, potato*7, onion*6, bean*5, cabbage*4, mushroom*4, turnip*3, lemon*1"),
    "fast_kind": words("rabbit*8, fox*5, dog*4, cat*4, squirrel*3"),
    "slow_kind": words("turtle*8, snail*6, hedgehog*2, penguin*2"),
    "rest": words("nap*7, snack*5, bath*2, chat*3"),
    "far": words("seven hills*5, the blue mountains*4, the last village*3, the big forest*3, the moon*1"),
    "glad_two": words("happy*12, very happy*5, friends*3, wet and happy*1"),
    "full": words("full*9, round*4, sleepy*4, as round as a ball*1"),
    "dark": words("dark*8, stormy*3, cold*3"),
    "fear_of": words("noise*7, shadow*6, dark*5, thunder*4, water*4"),
    "fear_dry": words("noise*7, shadow*6, dark*5, thunder*4"),
    "weather": words("rain*6, snow*6, wind*5, sun*5"),
    "hot": words("hot chocolate*6, warm milk*4, hot soup*4, tea and cake*3"),
    "fail": rows(
        """
        paper: it got wet and was gone*5, a goat ate it*3
        leaves: the wind took it*5, a hundred beetles moved in*2
        stone: it sank like a stone*5
        cheese: the mice ate it in one night*5
        straw: it fell over*5, a cow ate it*3
        snow: the sun came and it ran away*5
        biscuits: it was gone by tea time*4
        wood: it was too heavy*5
        a big leaf: it tore in two*5
        an old sock: it smelled and did not fly*5
        grass: a beetle walked on it and it broke*5
        noodles: it was soft and then it was soup*4
        sand: it was dry and crunchy*5
        mud: it looked good but nobody wanted a bite*5
        ice: it was cold and then it was wet*5
        jelly: it shook and shook and gave up*4
        """
    ),
    "far_shore": words("the other side*5, the sea*3, the island of ducks*2, breakfast*1"),
    "granter_the": rows(
        """
        a golden fish: the golden fish
        a falling star: the falling star
        an old lamp: the old lamp
        a tiny fairy: the tiny fairy
        the wishing well: the wishing well
        """
    ),
    "toes": words("ten*6, eight*4, eleven*2, nine*2"),
    "dull": words(
        "a very long road*4, a stone that did nothing*4, a snail on its way to the sea*4, the king of spoons*2"
    ),
    "pebble": words("round*5, grey*4, clean*2"),
    "pot": words("pot*7, basket*6, bowl*5"),
}
