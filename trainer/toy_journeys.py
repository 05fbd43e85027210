"""The sentences of the plots in which somebody sets out: lost things, troubles on the way, races, maps, letters, moons.

In the notation of trainer.toy_grammar.
"""

from __future__ import annotations

LOST = """
lost_have
  5 {^he} had a/an {look} {thing}. It was the best {thing} in the (4:whole world|2:whole valley|1:whole house).
  5 More than anything else, {hero} loved {his} {look} {thing}.
  4 {^his} {giver} had given {him} a/an {look} {thing}, and {he} took it everywhere.
  2 {^he} never went out without {his} {look} {thing}(3:|, not even to the bath).
  2 {^his} {look} {thing} was older than {his} {giver} and had been to {place} and back.
lost_loss
  5 [loss=wind] One (3:windy|stormy) {time}, the wind came and took the {thing}. (2:Whoosh|Huff)! It was gone.
  3 [loss=wind] The wind was (2:looking for something to play with|in a bad mood). It took the {thing} and flew away.
  5 [loss=river] <when> {he} walked over the bridge, and the {thing} fell into the river. Splash!
  3 [loss=river] <when> {he} put the {thing} down by the river. A {@big} wave came, and it was gone.
  5 [loss=shelf] <when> the {thing} was not in its place. "Where is my {thing}?" cried {hero}.
  3 [loss=shelf] Then, <when_low>, {he} could not find the {thing}. It was just not there.
  5 [loss=pocket] But there was a hole in {his} pocket. <when> the {thing} fell out.
  3 [loss=pocket] <when> {he} put a {paw} into {his} pocket. No {thing}! There was only a hole.
  5 [loss=magpie] <when> a magpie saw it. Magpies like things that shine. Before {hero} could say
    "{^sound}", the {thing} was gone.
  3 [loss=magpie] <when> {he} put the {thing} on the window. A black and white bird took it and flew away.
  5 [loss=hill] <when> the {thing} began to roll. It rolled and rolled, down the hill and out of sight.
  5 [loss=dog] <when> a big wet dog took the {thing} and ran away.
lost_search
  8 <Hero> looked {spot1}. No {thing}. {^he} looked {spot2}. No {thing}. {^he} looked {spot3}. Only {odd}.
  4 <Hero> looked {spot1} and {spot2}. There was no {thing}, only {odd}.
  3 <Hero> searched for {hours}. {^he} found {odd}, but no {thing}.
  2 <Hero> looked (3:everywhere|here and there and everywhere). {^he} was {@sad}.
  2 {^spot1}? No. {^spot2}? No. {^spot3}? No, no, no.
lost_ask
  6 "Have you seen my {thing}?" {he} asked a/an {pal_trait} {pal_kind} named {pal}.
  5 <Then> {he} met {pal} the {pal_kind}. "Why are you so sad?" asked {pal}. "My {thing} is gone," <says_hero>.
  2 In the end {he} sat down and cried. {pal} the {pal_kind} heard it and came (2:at once|as fast as {phe} could).
  2 "{^pal_sound}," said a voice. It was {pal}, the {pal_trait} {pal_kind} from next door. "Can I help?"
  2 {pal} the {pal_kind} was just eating {pal_food}. "A/an {thing}?" <says_pal>. "Let me think."
lost_found
  5 [loss=wind] <Pal> looked up. "What is that in the {@big} tree?" {phe} asked. It was the {thing}!
  3 [loss=wind] They went up the hill. There stood (3:a scarecrow|2:a goat|a snowman) with the {thing} on its head.
  3 [loss=wind] They ran {way1} and {way2}. There it was, on the roof of {@building}.
  5 [loss=river] <Pal> knew the river well. "Everything goes down to the mill," <says_pal>. And there, by the big
    wheel, swam the {thing}.
  3 [loss=river] <Pal> jumped into the water and came up with (2:a fish|a boot|three stones) and the {thing}.
  6 [loss=shelf] {pal} (2:smiled|laughed). "You are holding it (2:in your {paw}|behind your back)," {phe} said.
  4 [loss=shelf] <Pal> looked once more {spot4}. There it was!
  5 [loss=pocket] They went back, step by step, with their noses to the ground. There, between two (3:stones|2:leaves|
    sleeping snails), lay the {thing}.
  3 [loss=pocket] They went back {way1} and {way2}. "Here!" cried {pal}. It lay in the grass and shone.
  5 [loss=magpie] <Pal> climbed up to the nest. In it lay {item4}, {item5} and the {thing}.
  5 [loss=hill] They ran down the hill. At the bottom, a (3:sheep|2:cow|very old goat) sat on the {thing}.
  3 [loss=hill] At the bottom of the hill lived a/an {passer3}, and it was using the {thing} as a
      (3:table|2:boat|house).
  5 [loss=dog] "Dogs dig," <says_pal>. <So> they dug too, and under the old tree they found {item4}, {item5} and the
    {thing}.
lost_end
  6 "Thank you, {pal}!" {@cry} {hero}.
  3 {hero} gave {pal} some {food}, because that is what friends do.
  2 "Next time I will tie it to my (2:tail|nose)," <says_hero>.
  2 <Hero> kissed the {thing}. <Pal> looked away (3:politely|and smiled).
"""

TROUBLE = """
trouble_want
  5 <when> {hero} wanted {food}. Everybody knew that the best {food} could be found {at}.
  5 "I want {food}," <says_hero> <when_low>. <So> {he} set out for {place}.
  4 <when> {hero} set out for {place} to look for {food}.
  3 <when> {hero} found no {food} in the house. "Then I must go to {place}," <says_hero>.
trouble_stop
  5 [trouble=river] But a wide river ran across the path, and {hero} could not swim.
  3 [trouble=river] <Then> the path went into a {@big} river and came out on the other side. There was no bridge.
  5 [trouble=tree] But somebody had put all the {food} at the top of a {@big} tree.
  3 [trouble=tree] {^he} saw {food} at last, but high up in a tree. <Hero> jumped once, twice, three times.
  5 [trouble=gate] But the gate was locked, and the key was on the other side.
  3 [trouble=gate] <Then> {he} came to a {@big} gate. On the gate it said, (3:"Closed."|2:"Come back on
      Monday."|"No.")
  5 [trouble=stone] But a {@big} stone lay on the path. <Hero> pushed and pushed. The stone did not move(3:|, not even
    a little).
  5 [trouble=fog] <Then> the fog came. It was as thick as soup. <Hero> could not see {his} own (3:feet|nose).
  3 [trouble=fog] <Then> everything went white. Was this the way? Or this? (2:A tree said nothing.|Fog is like that.)
  5 [trouble=dark] But the way went through a dark tunnel, and {hero} had no light.
  3 [trouble=dark] Night came early. <Hero> took one step and hit a tree. {^he} took another step and hit another
      tree.
trouble_feel
  5 <Hero> sat down. "What now?" {he} said.
  3 <Hero> was {@sad}.
  3 {hero} thought for {hours}. Nothing came.
  2 "I will wait until it goes away," <says_hero>. It did not go away.
trouble_help
  5 Just then, a/an {help_trait} {help_kind} named {help} came by. "Can I help you?" {hhe} asked.
  4 Along came {help} the {help_kind}. "That is easy," <says_help>.
  3 Somebody laughed. It was {help}, the {help_trait} {help_kind}. "{^help_sound}! Let me try," <says_help>.
  3 {help} the {help_kind} had seen it all. "Give me some {food}, and I will help you," <says_help>.
trouble_solve
  4 [trouble=river] [help_kind=beaver] <Help> cut down a tree with {hhis} teeth and made a bridge.
  4 [trouble=river] [help_kind!=beaver] "Sit on my back," <says_help>, and {hhe} carried {hero} to the other
    side.(3:| It was a wet ride.)
  3 [trouble=tree] <Help> went up the tree and threw the {food} down. "Catch!"
  3 [trouble=tree] <Help> shook the tree. Plop, plop, plop, it rained {food}.
  4 [trouble=gate] <Help> went under the gate and came back with the key in {hhis} mouth.
  3 [trouble=stone] "One, two, three!" They pushed together, and the stone rolled away. Rumble, bumble, bump!
  2 [trouble=stone] {help} sang to the stone {@softly}. Nothing happened. <Then> {hhe} pushed, and it rolled away.
  4 [trouble=fog] <Help> knew the way (2:by heart|by smell). "Follow me," {hhe} said, and {hero} held on tight.
  4 [trouble=dark] [help_kind=dragon] {help} made a small flame, and it was as bright as day.
  4 [trouble=dark] [help_kind=robot] <Help> had eyes like lamps. Click! It was as bright as day.
  4 [trouble=dark] [help_kind=owl] "I can see in the dark," <says_help>. "Hold my wing."
trouble_goal
  4 <So> they came to {place}, where {@sight/place}. There they ate {food} until they were {@full}.
  4 <So> {hero} got {his} {food} after all, and {help} got half of it.
  3 They sat down {at} and ate {food}. Never had {food} tasted so good.
  2 {^at} they found {food} for everybody, even for a/an {@mood} {passer4} {@doing}.
trouble_end
  3 "Alone it is hard," <says_hero>. "Together it is easy."
  4 <Hero> was {@glad}, and so was {help}.
  3 From that day on, {hero} and {help} were (3:friends|2:best friends).
  2 "Any time," <says_help>. "{^help_sound}!"
"""

RACE = """
race_boast
  5 {rival} the {rival_kind} was the fastest of all, and {rhe} said so every day. "Let us race," <says_hero>.
      Everybody
    laughed.
  4 "You are so slow," said {rival} the {rival_kind}. "Then let us race," <says_hero>.
  3 <when> {rival} the {rival_kind} ran past {hero} three times. "Race me," <says_hero>. "To {place} and back."
race_start
  5 One, two, three, go! <Rival> ran like (4:the wind|{@like}). <Hero> went step by step.
  4 They started {at}. <Rival> was soon far ahead. <Hero> went on, step by step by step.
race_rest
  4 [rest=nap] "I have so much time," <says_rival>. {^rhe} lay down in the grass and slept.
  2 [rest=nap] <Rival> sat down under a tree, just for a moment. Soon {rhe} was dreaming of {dream3}.
  4 [rest=snack] <Rival> stopped for {rival_food}. One bite, two bites, the whole basket.
  3 [rest=bath] It was hot, so {rival} stopped for a bath. {^rhe} washed {rhis} left ear. {^rhe} washed {rhis}
      right ear.
  4 [rest=chat] <Rival> stopped to tell a/an {@mood} {passer4} how fast {rhe} was. It took a long time.
race_pass
  5 Step by step by step, {hero} went past.
  3 "Good day," <says_hero> and went past, step by step.
  3 {hero} went {way3} and past {rival}.
race_win
  5 When {rival} came to the end, {hero} was already there, eating {food}.
  4 <Hero> was first. <Rival> was second. There was no third.
  2 {hero} won by {@little_bit}. Everybody threw {rhis} hat into the air.
race_end
  4 "Slow is also a speed," <says_hero>.
  4 "Well done," <says_rival>, and {rhe} never laughed at anyone again.(2:| Well, almost never.)
  3 The king gave {hero} {@present}. <Rival> got {@present}.
"""

MAP = """
map_find
  5 <when> {hero} found an old map {spot1}. There was a red cross on it.
  4 <when> the wind blew an old map through the window. It had a red cross, and it smelled of (3:the sea|fish).
map_friend
  5 "A treasure!" {@cry} {hero}, and {he} ran to fetch {pal} the {pal_kind}.
  4 {pal} the {pal_kind} came too, because {phe} could read (3:maps|2:a little|almost all the letters).
map_way
  5 The map said, "Go {way1}. Go {way2}. Then go {way3} and dig."
  4 They went {way1} and {way2}. "Ten steps to the left," <says_pal>. "Nine steps back," <says_hero>.
map_dig
  5 They dug for {hours}. (3:Clonk!|2:Bump!|Tock!) There was a {@box}.
  3 {hero} dug, and {pal} said what a good hole it was. At the bottom there was a {@box}.
map_open
  5 In it lay {item4}, {item5} and a note. On the note it said, {@note}
  4 It was empty. No, there was something at the bottom. It was {item4} and a note. It said, {@note}
map_end
  4 "The best treasure is the walk," <says_pal>. <Hero> was not so sure.
  4 They put the map into a bottle and threw it into the (3:river|sea) for somebody else.
  3 <So> they dug the hole a little deeper and made a pond. It is still there.
"""

LETTER = """
letter_come
  5 <when> a letter came. But it was not for {hero}. It was for {pal} the {pal_kind}.
  4 <when> {hero} found a letter in the grass. "To {pal} the {pal_kind}," it said.
letter_go
  5 "I will take it to {phim}," <says_hero>, and {he} set out for {place}.
  4 <Pal> lived {pal_home}. That was far. <Hero> went all the same.
letter_wet
  5 It rained, and {hero} carried the letter under {his} hat.
  4 The wind pulled at the letter, but {hero} held on with both {paws}.
  3 A goat wanted to eat the letter. "No," <says_hero>. "It is not even mine."
letter_open
  5 <Pal> opened it and read. "Come to my party," it said. "And bring the one who brings you this letter. {third}."
  4 <Pal> opened it. "It is from {third} the {third_kind}," <says_pal>. It said, {@news}
letter_end
  5 <So> they went together. {hero} ate {food}, and {pal} ate {pal_food}.
  4 <Hero> had no letter of {his} own. <So> {pal} wrote {him} one. It said, "Thank you. {pal}."
"""

MOON = """
moon_want
  5 One night, {hero} looked up. "I want the moon," <says_hero>. "It looks like (3:cheese|2:a lamp|2:a pancake|1:my
    {giver})."
  4 The moon was round and yellow. "I will bring it home," <says_hero> one night.
moon_try
  5 {^he} climbed on a {@low}. Too low. {^he} climbed on a {@middle}. Too low. {^he} climbed on a {@high}. Still
      too low.
  3 {^he} threw a rope at it. The rope came down again, (3:on {his} head|without the moon|with a star on it).
  3 {^he} called it. "{^sound}!" The moon did not come.
moon_pond
  5 <Then> {he} saw the moon in the pond, so near and so bright. {^he} jumped. Splash!
  4 "Look, it is in the water," said {pal} the {pal_kind}. <Hero> jumped in at once. Splash!
moon_wet
  5 {^he} came up with (3:a frog|2:a water lily|a boot) on {his} head, but without the moon.
  4 The moon broke into a hundred pieces. "I have broken it!" cried {hero}.
moon_turn
  5 [pal_kind] "It is only a picture of the moon," <says_pal>. "The real one is for everybody."
  4 [pal_kind] "Leave it up there," <says_pal>. "How else would we find our way home?"
  5 [!pal_kind] "It is only a picture of the moon," said {pal} the {pal_kind}. "The real one is for everybody."
  4 [!pal_kind] "Leave it up there," said {pal} the {pal_kind}. "How else would we find our way home?"
moon_end
  5 <So> they sat on the grass and looked at it together.
  4 They sat {at} and ate {food}, and the moon looked on.
  3 And the moon looked down on both of them and (2:smiled|said nothing, as usual).
"""
