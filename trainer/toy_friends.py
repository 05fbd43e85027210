"""The sentences of the plots about two: new friends, quarrels, things to build, and wishes.

In the notation of trainer.toy_grammar.
"""

from __future__ import annotations

FRIEND = """
friend_alone
  4 But {hero} had no friends. {^he} played alone, and {he} ate {his} {food} alone.
  4 {^he} was often lonely. "I wish I had a friend," {he} said to (3:the moon|2:{his} pillow|1:a turnip).
  3 {^he} had {item4} and {item5}, but nobody to show them to.
friend_new
  5 <when> a/an {pal_trait} {pal_kind} named {pal} moved into the house next door.
  4 <when> somebody new came to {place}. It was {pal}, a/an {pal_trait} {pal_kind}.
  3 One {sky} {time}, there was {pal}, a/an {pal_trait} {pal_kind}, with a {@holder} full of {pal_food}.
friend_shy
  5 <Hero> was too shy to say hello. <So> {he} put {pal_food} at the door, knocked, and ran away.
  4 "Hello," <says_hero>, but so softly that (2:nobody|only the grass) heard it.
  3 <Hero> hid behind a tree and looked. <Pal> hid behind a tree and looked too.
friend_turn
  4 The next day, {hero} found {food} at {his} own door, with a note: "Come and play. {pal}."
  4 "I heard you," <says_pal>. "I have very good ears. Do you like {food}?" <Hero> did.
  3 <Then> it began to rain, and both ran under the same (3:tree|2:umbrella|1:mushroom). "Hello," they said at
      the same
    time.
  3 "Can you {@skill}?" asked {pal}. "No," <says_hero>. "Me neither," <says_pal>. And so it began.
friend_end
  4 Now there were two for every game, and (2:two for every song|half the {food} for each).
  4 A friend is somebody who (3:shares|2:stays|1:laughs at your jokes).
  3 They played {@game} until (2:the stars came out|their feet were tired).
"""

QUARREL = """
quarrel_find
  5 <when> {hero} and {pal} the {pal_kind} found a/an {look} {thing} {at}.
  4 <Hero> had a friend, {pal} the {pal_kind}. <when> they found a/an {look} {thing} {at}.
  3 {hero} and {pal} the {pal_kind} did everything together. <Then> they found a/an {look} {thing} {at}.
quarrel_mine
  5 "It is mine," <says_hero>. "I saw it first." "No, it is mine," <says_pal>. "I touched it first."
  4 "Mine!" {@cry} {hero}. "Mine!" {@cry} {pal}. "Mine, mine, mine!" said (3:the echo|2:a/an {@mood} {passer3}).
  3 "I need it for {@purpose}," <says_hero>. "And I need it for {@purpose}," <says_pal>.
quarrel_turn
  5 They pulled and pulled. <Then> the {thing} flew through the air and landed in (3:the mud|2:a
      tree|1:somebody's soup).
  4 They did not speak for {hours}. It was very quiet, and not at all nice.
  3 While they shouted, (3:a magpie|2:a goat|an old sheep) came and took the {thing} away.
quarrel_sorry
  5 "I am sorry," <says_hero>. "I am sorry too," <says_pal>.
  4 <Hero> looked at {pal}, and {pal} looked at {hero}. <Then> both (2:began to laugh|said sorry).
  3 {hero} brought {pal_food}. {pal} brought {food}. Nobody had to say anything.
quarrel_end
  4 After that, the {thing} was {hero}'s on (2:Monday|Sunday) and {pal}'s on (2:Tuesday|Friday).
  4 They found that a friend is better than a/an {thing}.
  3 They gave it to {hero}'s {giver}, who was {@glad}.
  2 Nobody thought of the {thing} again, but for a/an {@mood} {passer4}, who lives in it now.
"""

BUILD = """
build_want
  5 <when> {hero} wanted a/an {work}. "I will make one," <says_hero>.
  4 "Today I will make a/an {work}," <says_hero> <when_low>.
  3 Everybody had a/an {work}, only {hero} had none. <when> {he} took {item4} and {item5} and began.
build_first
  5 First {he} made a/an {work} of {bad1}. {^fail1}.(3: "Hm," <says_hero>.|)
  3 {^his} first {work} was made of {bad1}. {^fail1}.
build_second
  5 <Then> {he} made a/an {work} of {bad2}. {^fail2}.(3: "Hm, hm," <says_hero>.|)
  3 <So> {he} tried again with {bad2}. {^fail2}.
build_third
  5 {pal} the {pal_kind} had been watching. "Try {good}," <says_pal>.
  3 "Why not {good}?" asked {pal}, a/an {pal_trait} {pal_kind} who knew about such things.
build_works
  4 [work=boat] <So> they made a boat of {good}. It swam, and they sailed all the way to {@far_shore}.
  4 [work=house] <So> they made a house of {good}. The wind blew, the rain fell, and the house stood.
  4 [work=kite] <So> they made a kite of {good}. It flew over the hill, over the trees and (2:over the
      church|almost to
    the sun).
  4 [work=bridge] <So> they made a bridge of {good}. A mouse went over it, a goat went over it, and at last (2:a
      cow|an
    elephant) went over it.
  4 [work=cake] <So> they made a cake of {good}. It was so good that (2:nobody said a word|{pal} ate the plate too).
  4 [work=chair] <So> they made a chair of {good}. <Hero> sat down. <Pal> sat down. The chair said (2:nothing|creak).
build_end
  4 "The third one is always the best," <says_hero>.
  4 "You only need to try three times," <says_pal>.(2: "Or four."|)
  3 They painted it {@paint_two} and called it {@work_name}.
"""

WISH = """
wish_meet
  5 <when> {he} met {granter}. "You may have one wish," it said.
  4 <when> {granter} spoke to {him}. "{hero}," it said, "make a wish."
  3 [granter!=the wishing well] <when> {hero} helped {granter} {@help_out}. "Now make a wish," it said.
wish_say
  1 [wish=big] "I want to be as big as a (3:house|2:hill|1:whale)!" {@cry} {hero}. {@magic}! It was done.
  1 [wish=cake] "I want all the cake in the world!" {@cry} {hero}. {@magic}! It was done.
  1 [wish=fly] "I want to fly like {@bird}!" {@cry} {hero}. {@magic}! It was done.
  1 [wish=summer] "I want it to be summer for ever!" {@cry} {hero}. {@magic}! It was done.
  1 [wish=gold] "I want everything I touch to turn to (2:gold|1:cheese)!" {@cry} {hero}. {@magic}! It was done.
  1 [wish=small] "I want to be as small as a (3:pea|2:bee|crumb)!" {@cry} {hero}. {@magic}! It was done.
wish_turn
  1 [wish=big] But now {he} could not go through {his} own door, and {his} bed was the size of a
      (2:shoe|spoon|button).
  1 [wish=cake] There was cake {cake1}, cake {cake2} and cake on the roof. By evening {hero} (2:could not
    look at cake|dreamed of soup).
  1 [wish=fly] Up and up {he} went, over the trees and over the clouds. But nobody had told {him} how to (2:stop|come
    down).
  1 [wish=summer] The pond dried up, the {@melting} melted, and the snowmen (2:cried|moved away).
  1 [wish=gold] {^he} touched {his} bed. It was hard. {^he} touched {his} {food}. (2:It was hard too.|Nobody can eat
    that.)
  1 [wish=small] A (2:beetle|raindrop|pea) knocked {him} over, and (2:an ant|a bee) took {him} for a crumb.
wish_back
  5 "Please," <says_hero>, "make it as it was before." And {granter_the} did.
  3 "Please, please, please," <says_hero>. {^granter_the} laughed and took the wish back.
wish_end
  4 <Hero> looked around. A warm bed, a full cup, {food}. What more could anyone want?
  4 "Next time," <says_hero>, "I will wish for (3:socks|2:a sandwich|2:{item4}|nothing)."
"""
