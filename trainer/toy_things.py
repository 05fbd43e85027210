"""The things of the toy world and the open lists: weather, things to lose, troubles, wishes, passers-by, songs.

Tables only, in the notation of trainer.toy_dice; the likeliest entry of a row comes first or has the biggest number.
"""

from __future__ import annotations

from trainer.toy_dice import rows, words
from trainer.toy_grammar import Table

THINGS: dict[str, Table] = {
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
    "weekday": words("Monday*4, Tuesday*3, Wednesday*2, Friday*3, Saturday*4, Sunday*5"),
    "hours": words("a little while*5, an hour*4, a long time*4, half the day*3, two songs*1"),
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
        "under the bed*8, behind the door*7, in the cupboard*6, under a stone*5, in the flower pot*4, "
        "up the chimney*4, in the soup*3, inside the left boot*3, in the teapot*3, under the cat*2, "
        "behind the moon*1, on the roof*4, in the honey jar*3, between two books*3"
    ),
    "odd": words(
        "a sock*6, some dust*6, a sleeping spider*5, an old biscuit*5, a very small moon*2, one green pea*4, "
        "a cold spoon*4, half a song*1, somebody else*2, a bee on holiday*2"
    ),
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
    # --- feelings ---
    "glad": words("happy*12, very happy*6, glad*4, proud*4, warm inside*2, as happy as a king*1, too happy to speak*1"),
    "sad": words("sad*10, very sad*5, lonely*3, cross*2, as sad as a wet sock*1"),
    "say": words("said*24, answered*4, whispered*3, cried*2, sang*1, mumbled*1"),
    "cry": words("cried*8, said*5, shouted*4, sang*1"),
    "big": words("big*7, huge*4, tall*2, great*2"),
    "fear_sound": words("knock-knock*6, scratch-scratch*5, boom-boom*3, tap-tap*4, drip-drip*3"),
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
        "a book of stories*3, a very round stone*3, a new pair of socks*2, a cactus*1"
    ),
    "carrier": words("carrot*8, potato*7, onion*6, bean*5, cabbage*4, mushroom*4, turnip*3, lemon*1"),
    "fast_kind": words("rabbit*8, fox*5, dog*4, cat*4, squirrel*3"),
    "slow_kind": words("turtle*8, snail*6, hedgehog*2, penguin*2"),
    "rest": words("nap*7, snack*5, bath*2, chat*3"),
    "far": words("seven hills*5, the blue mountains*4, the last village*3, the big forest*3, the moon*1"),
    "glad_two": words("happy*12, very happy*5, friends*3, wet and happy*1"),
    "full": words("full*9, round*4, sleepy*4, as round as a ball*1"),
    "dark": words("dark*8, stormy*3, cold*3"),
    "fear_of": rows(
        """
        owl: noise*7, thunder*5, water*4
        dragon: noise*7, thunder*5, dark*3, water*3
        frog: noise*7, shadow*6, dark*5, thunder*4
        duck: noise*7, shadow*6, dark*5, thunder*4
        penguin: noise*7, shadow*6, dark*5, thunder*4
        beaver: noise*7, shadow*6, dark*5, thunder*4
        turtle: noise*7, shadow*6, dark*5, thunder*4
        *: noise*7, shadow*6, dark*5, thunder*4, water*4
        """
    ),
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
    # --- scenes ---
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
        "small*6, fat*5, old*6, very old*3, tired*4, cheerful*4, angry*4, green*3, striped*3, polite*3, "
        "muddy*3, lost*3, dancing*2, sneezing*2, proud*3, sleepy*4, lonely*3, very small*2, blue*2, famous*1, "
        "invisible*1"
    ),
    "passer": words(
        "snail*6, toad*6, beetle*5, crow*5, sheep*5, ladybird*4, pig*5, donkey*5, ant*4, bee*4, worm*4, cow*4, "
        "mole*4, horse*3, parrot*3, moth*2, goose*4, spider*3, fish*1, giraffe*2, king*2"
    ),
    "doing": words(
        "with a suitcase*5, asleep on a leaf*4, on the way to school*5, looking for glasses*4, "
        "with a red umbrella*4, singing a sad song*4, eating a pear*4, in a very big hat*4, counting clouds*4, "
        "with a letter for the queen*3, carrying a piano*3, learning to whistle*3, who had lost a tooth*3, "
        "who was late*4, with a spoon in its mouth*2, drinking tea*3, reading a map of the moon*2, "
        "with seven children*3, in new shoes*3, waiting for spring*2, talking to a stone*2, "
        "who knew a secret*3"
    ),
    "remark": words(
        "Nice weather*5, Mind the puddle*4, I am late*4, It will rain before supper*4, My feet hurt*4, "
        "I have lost count of my legs*3, Never trust a goose*3, The sea is that way*4, I once knew a king*3, "
        "You have something on your nose*3, I do not like Mondays*3, Cheese is the answer*2, Nobody asks me*3, "
        "I had a hat like that*3, Two and two is four*3, This is my tree*3, I can see you*2, "
        "The moon is out early*3, My mother lives there*2, I am only a cloud*1"
    ),
    "item": words(
        "a piece of string*7, a pencil*6, an apple*6, a feather*5, two nuts*5, a candle*5, a button*5, "
        "a spoon*5, some bread*5, a map of the moon*3, a small bell*4, a pinch of salt*4, seven peas*3, "
        "a photograph of a fish*3, half a biscuit*4, a left boot*3, a round stone*4, a book without words*2, "
        "a jar of honey*4, an old key*4, a very quiet frog*2, three red socks*3, nothing at all*1"
    ),
    "holder": words("bag*8, pocket*7, basket*4, hat*3, left shoe*1"),
    "like": words(
        "a king*5, a duck in the rain*4, a bee in May*4, a cat by the fire*4, a bird*4, a fish in the water*4, "
        "a new penny*3, a pancake*3, a kettle*2, a flag in the wind*3, a candle*3, a goat on a roof*2, "
        "an open window*2"
    ),
    "way": words(
        "past the mill*6, over the bridge*6, through the tall grass*5, along the river*5, "
        "under the old trees*5, past the sleeping dog*4, up the hill*5, down the hill*4, across the market*3, "
        "through a hole in the fence*4, round the pond*4, past three cows*3, behind the church*3, "
        "between two rocks*3, through the fog*2, past the school*3"
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
        "a ship full of cake*4, a snail that could fly*4, the sea*4, a door in a tree*4, a very kind giant*4, "
        "a mountain of pancakes*4, a dancing teapot*3, the moon in a basket*4, warm rain*3, "
        "a king with no shoes*3, a house made of bread*3, a fish with a hat*3, a cloud one could eat*3, "
        "a hundred small bells*3, the longest spoon in the world*2, a goose who knew everything*2, nothing*1"
    ),
    "softly": words(
        "softly*5, slowly*5, quickly*4, happily*4, loudly*3, proudly*3, sadly*1, with a full mouth*2, "
        "in a small voice*3"
    ),
    # --- odds and ends of single plots ---
    "good_thing": words("good chair*6, blue cup*5, singing kettle*3, wooden bed*4, round window*3, very long nose*1"),
    "small_things": words("spoons*6, books*5, cousins*4, secrets*3, left shoes*2, clocks*3, umbrellas*1"),
    "skill": words(
        "whistle*6, stand on one foot*5, count to a hundred*4, walk backwards*4, sleep with open eyes*3, "
        "talk to trees*3, swallow the moon*1"
    ),
    "small_sight": words(
        "nobody was in a hurry*5, the cows looked at the sky*4, all the doors stood open*4, "
        "somebody was always singing*3, everything smelled of rain*3, the king was on holiday*1"
    ),
    "small_sight_thing": words(
        "a cloud like a fish*5, nothing but grass*4, a house on wheels*3, a scarecrow in a good coat*3, "
        "two rainbows*2, a hat without a head*2, a sleeping giant*1"
    ),
    "corner": words("corner*6, tree*5, hill*4, bush*3"),
    "building": words("the barn*5, the mill*4, the church*4, the school*3"),
    "low": words("stone*6, chair*5, box*4, bucket*3"),
    "middle": words("roof*6, wall*5, tree*4, haystack*2"),
    "high": words("hill*6, tower*5, mountain*3, church*2"),
    "little_bit": words("a nose*6, two steps*5, one toe*3, half an hour*3"),
    "box": words("box*6, chest*6, jar*3, small door*1"),
    "note": words(
        '"You are here."*6, "Well done."*6, "Too late."*4, "Please put this back."*3, "Dig deeper."*3, "Hello."*3, '
        '"I was hungry. Sorry."*2, "Look behind you."*2'
    ),
    "news": words(
        '"I am well. How are you?"*5, "Please send soup."*5, "The sea is very big."*4, '
        '"I have learned to whistle."*3, '
        '"Do not believe the goose."*2, "I have nothing to say."*2'
    ),
    "hiding": words("under the blanket*7, under the bed*6, in the cupboard*4, behind the stove*3, inside a boot*1"),
    "high_snow": words("windows*6, door*5, chimney*3"),
    "eyes": words("stones*7, nuts*5, buttons*4, plums*2"),
    "game": words("ball*6, hide and seek*6, pirates*4, king of the hill*3, nothing at all*1"),
    "purpose": words("my soup*4, Sundays*4, my old mother*3, the winter*4, a secret*3, looking at*2"),
    "paint_two": words("red*6, blue*5, red and white*4, green*4, yellow*3"),
    "work_name": words("Number Three*5, the Big One*4, Bertha*4, Sunday*2, Sir*1"),
    "help_out": words("out of the mud*6, over the bridge*4, with a heavy bag*3, up the stairs*2"),
    "magic": words("Puff*6, Zing*5, Ping*3, Plop*1"),
    "bird": words("a bird*7, a lark*3, a leaf*2, a kite*2"),
    "melting": words("ice cream*6, butter*4, chocolate*3"),
    "cake_place": words("in the bed*6, in the bath*6, under the table*4, in every shoe*3, up the chimney*2"),
    "dish": words("a cake*7, a plum pie*5, a big pancake*4, a cheese*3"),
    "dish_one": words("cake*7, pie*5, pancake*4, cheese*3"),
    "foot_odd": words("wooden foot*5, left boot*5, wheel*3"),
    "passer_two": words("the road*6, good luck*5, the moon*4, the king*3"),
    "tune": words("drum*7, flute*7, violin*5, trumpet*5, bell*4, piano*3, kettle*1"),
    "fine": words("lovely*6, loud*5, very long*3, almost music*2"),
}
