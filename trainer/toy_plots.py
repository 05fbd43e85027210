"""The sentences of the second half of the plots, in the notation of trainer.toy_grammar."""

from __future__ import annotations

FRIEND = """
friend_alone
  4 But {hero} had no friends. {^he} played alone, and {he} ate {his} {food} alone.
  4 {^he} was often lonely. "I wish I had a friend," {he} said to (3:the moon|2:{his} pillow|1:a turnip).
friend_new
  5 One {sky} {time}, a/an {pal_trait} {pal_kind} named {pal} moved into the house next door.
  4 One {sky} {time}, somebody new came to {place}. It was {pal}, a/an {pal_trait} {pal_kind}.
friend_shy
  5 {hero} was too shy to say hello. So {he} put {pal_food} at the door, knocked, and ran away.
  4 "Hello," {@say} {hero}, but so softly that (2:nobody|only the grass) heard it.
  3 {hero} hid behind a tree and looked. {pal} hid behind a tree and looked too.
friend_turn
  4 The next day, there was {food} at {hero}'s own door, with a note: "Come and play. {pal}"
  4 "I heard you," {@say} {pal}. "I have very good ears. Do you like {food}?" {hero} did.
  3 Then it began to rain, and both ran under the same (3:tree|2:umbrella|1:mushroom). "Hello," they said at the
      same time.
friend_end
  4 Now there were two for every game, and (2:two for every song|half the {food} for each).
  3 A friend is somebody who (3:shares|2:stays|1:laughs at your jokes).
"""

QUARREL = """
quarrel_find
  5 One {sky} {time}, {hero} and {pal} the {pal_kind} found a/an {look} {thing} {at}.
  4 {hero} had a friend, {pal} the {pal_kind}. One {sky} {time} they found a/an {look} {thing} {at}.
quarrel_mine
  5 "It is mine," {@say} {hero}. "I saw it first." "No, it is mine," {@say} {pal}. "I touched it first."
  4 "Mine!" {@cry} {hero}. "Mine!" {@cry} {pal}. "Mine, mine, mine!" said (3:the echo|2:a passing crow).
quarrel_turn
  5 They pulled and pulled. Then the {thing} flew through the air and landed in (3:the mud|2:a tree|1:somebody's
      soup).
  4 They did not speak for {hours}. It was very quiet, and not at all nice.
  3 While they shouted, (3:a magpie|2:a goat|an old sheep) came and took the {thing} away.
quarrel_sorry
  5 "I am sorry," {@say} {hero}. "I am sorry too," {@say} {pal}.
  4 {hero} looked at {pal}, and {pal} looked at {hero}. Then both (2:began to laugh|said sorry).
quarrel_end
  4 After that, the {thing} was {hero}'s on (2:Monday|Sunday) and {pal}'s on (2:Tuesday|Friday).
  4 They found that a friend is better than a/an {thing}.
  3 They gave it to {hero}'s {giver}, who was {@glad}.
"""

BUILD = """
build_want
  5 One {sky} {time}, {hero} wanted a/an {work}. "I will make one," {he} said.
  4 "Today I will make a/an {work}," {@say} {hero} one {sky} {time}.
build_first
  5 First {he} made a/an {work} of {bad1}. <build_fail1> "Hm," {@say} {hero}.
  3 {^his} first {work} was made of {bad1}. <build_fail1>
build_second
  5 Then {he} made a/an {work} of {bad2}. <build_fail2> "Hm, hm," {@say} {hero}.
  3 So {he} tried again with {bad2}. <build_fail2>
build_fail1
  1 {^fail1}.
build_fail2
  1 {^fail2}.
build_third
  5 {pal} the {pal_kind} had been watching. "Try {good}," {@say} {pal}.
  3 "Why not {good}?" asked {pal}, a/an {pal_trait} {pal_kind} who knew about such things.
build_works
  3 [work=boat] So they made a boat of {good}. It swam, and they sailed all the way to {@far_shore}.
  3 [work=house] So they made a house of {good}. The wind blew, the rain fell, and the house stood.
  3 [work=kite] So they made a kite of {good}. It flew over the hill, over the trees and (2:over the
      church|almost to the sun).
  3 [work=bridge] So they made a bridge of {good}. A mouse went over it, a goat went over it, and at last (2:a
      cow|an elephant) went over it.
  3 [work=cake] So they made a cake of {good}. It was so good that (2:nobody said a word|{pal} ate the plate too).
  3 [work=chair] So they made a chair of {good}. {hero} sat down. {pal} sat down. The chair said (2:nothing|creak).
build_end
  4 "The third one is always the best," {@say} {hero}.
  4 "You only need to try three times," {@say} {pal}.(2: "Or four."|)
"""

WISH = """
wish_meet
  5 One {sky} {time}, {he} met {granter}. "You may have one wish," it said.
  4 One {sky} {time}, {granter} spoke to {him}. "{hero}," it said, "make a wish."
wish_say
  1 [wish=big] "I want to be as big as a (3:house|2:hill|1:whale)!" {@cry} {hero}. (2:Puff|Zing)! It was done.
  1 [wish=cake] "I want all the cake in the world!" {@cry} {hero}. (2:Puff|Zing)! It was done.
  1 [wish=fly] "I want to fly like a bird!" {@cry} {hero}. (2:Puff|Zing)! It was done.
  1 [wish=summer] "I want it to be summer for ever!" {@cry} {hero}. (2:Puff|Zing)! It was done.
  1 [wish=gold] "I want everything I touch to turn to (2:gold|1:cheese)!" {@cry} {hero}. (2:Puff|Zing)! It was done.
  1 [wish=small] "I want to be as small as a pea!" {@cry} {hero}. (2:Puff|Zing)! It was done.
wish_turn
  1 [wish=big] But now {he} could not go through {his} own door, and {his} bed was the size of a (2:shoe|stamp).
  1 [wish=cake] There was cake in the bed, cake in the bath and cake on the roof. By evening {hero} (2:could not
      look at cake|dreamed of soup).
  1 [wish=fly] Up and up {he} went, over the trees and over the clouds. But nobody had told {him} how to
      (2:stop|come down).
  1 [wish=summer] The pond dried up, the ice cream melted, and the snowmen (2:cried|moved away).
  1 [wish=gold] {^he} touched {his} bed. It was hard. {^he} touched {his} {food}. (2:It was hard too.|Nobody can
      eat that.)
  1 [wish=small] A (2:beetle|raindrop) knocked {him} over, and (2:an ant|a bee) took {him} for a crumb.
wish_back
  5 "Please," {@say} {hero}, "make it as it was before." And {granter} did.
  3 "Please, please, please," {@say} {hero}. {^granter_the} laughed and took the wish back.
wish_end
  4 {hero} looked around. A warm bed, a full cup, {food}. What more could anyone want?
  4 "Next time," {@say} {hero}, "I will wish for (3:socks|2:a sandwich|nothing)."
"""

BED = """
bed_awake
  5 One night, {hero} could not sleep. {^he} turned to the left. {^he} turned to the right.
  4 It was late, and {hero} lay in bed with open eyes. The clock said tick, tock, tick, tock.
bed_count
  5 {^he} counted sheep. One sheep, two sheep, three sheep. The fourth sheep (3:would not jump|2:sat down|1:asked
      for a glass of water).
  4 {^he} counted stars. One star, two stars, three stars. Then a cloud came(3:| and sat on all the others).
  2 {^he} counted {his} toes. There were {@toes}. {^he} counted again. Now there were {@toes}.
bed_try
  5 So {he} went to {pal} the {pal_kind}. "I cannot sleep," {@say} {hero}. "(2:Drink some warm milk|Think of
      something nice|Close your eyes)," said {pal}.
  4 So {he} went next door to {pal} the {pal_kind}, who could not sleep (2:either|, because somebody was counting
      sheep).
bed_turn
  5 {pal} told {him} a long story about {@dull}. It had no end, or perhaps it had.
  4 {pal} sang a song, low and slow, about (2:the moon and the sea|a bear who slept all winter).
bed_sleep
  5 Before the end {hero} was asleep, and {pal} too.
  4 {hero} yawned. {pal} yawned. Even the moon yawned.
  2 "Are you asleep?" asked {pal}. "Yes," {@say} {hero}.
"""

SOUP = """
soup_pot
  5 One {sky} {time}, {hero} had only a pot of water and a/an {pebble} stone. "I will make stone soup," {he} said.
  4 It was a cold winter, and there was nothing to eat. {hero} put a/an {pebble} stone into a pot of water and
      stirred.
soup_one
  5 {pal} the {pal_kind} came by. "What is that?" "Stone soup," {@say} {hero}. "It only needs a/an {veg1}." {pal}
      had a/an {veg1}.
  3 "It smells of nothing," {@say} {pal} the {pal_kind}, and put in a/an {veg1}.
soup_two
  5 Then came {third} the {third_kind}. "It only needs a/an {veg2}," {@say} {hero}. {third} had a/an {veg2}.
  3 "It needs a/an {veg2}," {@say} {third} the {third_kind}, who always knew better, and put one in.
soup_stir
  4 They stirred and stirred. (2:Bubble, bubble, said the pot.|It smelled better and better.)
  2 A/an {veg3} fell in too. Nobody knew where it came from.
soup_end
  5 It was the best soup of the {season}, and there was enough for everybody. Nobody ate the stone.
  3 "Who made this?" they asked. "All of us," {@say} {hero}.
"""

RACE = """
race_boast
  5 {rival} the {rival_kind} was the fastest of all, and {rhe} said so every day. "Let us race," {@say} {hero}.
      Everybody laughed.
  4 "You are so slow," {@say} {rival} the {rival_kind}. "Then let us race," {@say} {hero}.
race_start
  5 One, two, three, go! {rival} ran like the wind. {hero} went step by step.
  4 They started {at}. {rival} was soon far ahead. {hero} went on, step by step by step.
race_rest
  3 [rest=nap] "I have so much time," {@say} {rival}, lay down in the grass and slept.
  3 [rest=snack] {rival} stopped for a snack. One bite, two bites, the whole basket.
  3 [rest=bath] It was hot, so {rival} stopped for a bath. {^rhe} washed {rhis} left ear. {^rhe} washed {rhis}
      right ear.
  3 [rest=chat] {rival} stopped to tell {pal} the {pal_kind} how fast {rhe} was. It took a long time.
race_pass
  5 Step by step by step, {hero} went past.
  3 "Good day," {@say} {hero} and went past, step by step.
race_win
  5 When {rival} came to the end, {hero} was already there, eating {food}.
  4 {hero} was first. {rival} was second. There was no third.
race_end
  4 "Slow is also a speed," {@say} {hero}.
  4 "Well done," {@say} {rival}, and {rhe} never laughed at anyone again.(2:| Well, almost never.)
"""

BIRTHDAY = """
birth_day
  5 It was {hero}'s birthday. {^he} got up early and brushed {his} ears.
  4 One {sky} {time} {hero} woke up and smiled. It was {his} birthday!
birth_ask
  5 {^he} went to {pal} the {pal_kind}. "Do you know what day it is?" "(3:Tuesday|2:Washing day|1:No)," said {pal}.
  4 {^he} met {pal} the {pal_kind}. "I have no time," {@say} {pal} and ran off.
birth_again
  5 {^he} went to {third} the {third_kind}. "I am very busy," {@say} {third} and closed the door.
  3 {third} the {third_kind} only said, "{^third_sound}. Nice weather."
birth_sad
  5 {hero} went home and was {@sad}. The house was dark.
  3 "They have all forgotten," {@say} {hero}. A tear ran down {his} nose.
birth_turn
  5 Then the light went on. "Surprise!" cried everybody. {pal} had brought {gift1}, and {third} had brought {gift2}.
  4 But in the kitchen there was a cake with (3:five|2:six|1:ninety) candles, and behind the cake stood {pal}
      with {gift1} and {third} with {gift2}.
birth_end
  4 They sang, and they danced, and they ate {food}.
  3 "I knew it all the time," {@say} {hero}.(2:| But it was not true.)
"""

MOON = """
moon_want
  5 One night, {hero} looked up. "I want the moon," {he} said. "It looks like (3:cheese|2:a lamp|2:a pancake|1:my
      aunt)."
  4 The moon was round and yellow. "I will bring it home," {@say} {hero} one night.
moon_try
  5 {^he} climbed on a stone. Too low. {^he} climbed on a roof. Too low. {^he} climbed on a hill. Still too low.
  3 {^he} threw a rope at it. The rope came down again, (3:on {his} head|without the moon).
moon_pond
  5 Then {he} saw the moon in the pond, so near and so bright. {^he} jumped. Splash!
  4 "Look, it is in the water," {@say} {pal} the {pal_kind}. {hero} jumped in at once. Splash!
moon_wet
  5 {^he} came up with (3:a frog|2:a water lily|a boot) on {his} head, but without the moon.
  4 The moon broke into a hundred pieces. "I have broken it!" {@cry} {hero}.
moon_turn
  5 "It is only a picture of the moon," {@say} {pal} the {pal_kind}. "The real one is for everybody."
  4 "Leave it up there," {@say} {pal} the {pal_kind}. "How else would we find our way home?"
moon_end
  5 So they sat on the grass and looked at it together.
  3 And the moon looked down on both of them and (2:smiled|said nothing, as usual).
"""

GREEDY = """
greedy_find
  5 One {sky} {time}, {hero} found a/an {pot} full of {food}. Nobody was there.
  4 One {sky} {time}, {pal} the {pal_kind} went out and left a/an {pot} of {food} on the table.
greedy_eat
  5 "Only one bite," {@say} {hero}. One bite, two bites, three bites. The {pot} was empty.
  4 {^he} ate a little. {^he} ate a little more. {^he} ate it all.
greedy_stuck
  5 Then {he} wanted to go home. But {his} belly was so round that {he} was stuck in the (3:door|2:window|1:chair).
  4 Soon {his} belly hurt. "Oh," {@say} {hero}. "Oh, oh, oh."
greedy_help
  5 {pal} the {pal_kind} came and pulled. {third} the {third_kind} came and pulled too. Plop! Out came {hero}.
  4 {pal} the {pal_kind} came home. "My {food}!" {phe} cried. Then {phe} saw {hero} and (2:had to laugh|made
      {him} some tea).
greedy_end
  5 "I will never eat so much again," {@say} {hero}.(2:| "Not before supper.")
  4 The next day, {hero} brought {pal} a new {pot} of {food}, and only half of it was gone.
"""
