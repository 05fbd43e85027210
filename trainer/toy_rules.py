"""How stories begin and end, and the scenes that fit into any of them, in the notation of trainer.toy_grammar.

The scenes (weather, meetings, pockets, songs, dreams) are the open places of the language: where a plot knows its
next word, a scene may go many ways. Which beats make a plot is said in trainer.toy_stories.
"""

from __future__ import annotations

COMMON = """
opening
  30 Once upon a time, there was a/an {trait} {kind} named {hero}.
  12 Once upon a time, a/an {trait} {kind} named {hero} lived {home}.
  8 There once was a/an {trait} {kind} who lived {home}. {^his} name was {hero}.
  8 {hero} was a/an {trait} {kind}. {^he} lived {home}.
  5 {^home}, there lived a/an {trait} {kind} (3:named|called) {hero}.
  4 Far away, behind {@far}, there lived a/an {trait} {kind} called {hero}.
  4 This is the story of {hero}, (2:a/an {trait} {kind}|the {trait} {kind}).
  3 Long ago, when (3:the moon was young|2:the hills were small|animals wore hats), there was a/an {trait} {kind}
    named {hero}.
  2 Do you know {hero}? {^he} is a/an {trait} {kind} who lives {home}. This is what happened to {him}.
living
  5 [!home] {hero} lived {home}.
  5 [!home] {^he} lived {home} and liked {food} best of all.
  4 [!food] {hero} liked {food} more than anything.
  3 {hero} had (2:one|1:a) {@good_thing} and (3:three|2:seven|two) {@small_things}.
  3 [!food] (2:All day long|Every {time}) {he} said "{^sound}!" and ate {food}.
  2 Everybody liked {hero}(3:|, and {hero} liked everybody).
  2 {^he} was (3:small|2:not very tall|round), but {his} (3:heart|1:hat) was big.
  2 When {he} was happy, {he} said "{^sound}, {sound}, {sound}!"
  2 People said that {hero} could {@skill}. It was (3:true|2:not true|almost true).
glad_pal
  7 {hero} was {@glad}.
  5 {hero} and {pal} were {@glad_two}.
  4 From that day on, {hero} and {pal} were (5:friends|4:best friends|1:never apart).
  3 They danced (3:until the moon came up|2:all the way home|1:on the table) and ate {food}.
  3 {hero} gave {pal} {@present}, and {pal} gave {him} {@present}.
  2 "{^sound}!" said {hero}, and {pal} said it too.
glad_alone
  7 {hero} was {@glad}.
  4 That night {hero} slept (4:very well|2:like a stone|like {@like}).
  3 "{^sound}!" said {hero} and went to bed.
  3 {^he} went home and ate {food} until {he} was {@full}.
closing
  5 The end.
  4 And then it was time for bed.
  3 Good night, {hero}!
  3 And (3:the moon|2:an old owl|a snail) saw it all and said nothing.
  2 Somewhere an owl said "Hoo."
  1 And if nobody has stopped them, they are laughing still.
when
  9 One {sky} {time},
  3 One {time} in {season},
  3 [!season] One {season} {time},
  2 On a/an {sky} {time},
  2 It was a/an {sky} {time} when
  1 On {@weekday},
when_low
  8 one {sky} {time}
  3 one {time} in {season}
  2 on a/an {sky} {time}
  1 on {@weekday}
Then
  6 Then
  2 But then
  2 After {@hours},
  1 Suddenly,
So
  6 So
  2 And so
  1 Now
Hero
  7 {hero}
  3 The {kind}
Pal
  7 {pal}
  3 The {pal_kind}
Help
  7 {help}
  3 The {help_kind}
Rival
  7 {rival}
  3 The {rival_kind}
says_hero
  9 {@say} {hero}
  3 {@say} the {kind}
  3 {@say} {hero} {@softly}
says_pal
  9 {@say} {pal}
  3 {@say} the {pal_kind}
  3 {@say} {pal} {@softly}
says_help
  9 {@say} {help}
  3 {@say} the {help_kind}
  2 {@say} {help} {@softly}
says_third
  9 {@say} {third}
  3 {@say} the {third_kind}
  2 {@say} {third} {@softly}
says_rival
  9 {@say} {rival}
  3 {@say} the {rival_kind}
  2 {@say} {rival} {@softly}
"""

SCENES = """
weather
  6 It was {season}, and {@sign/season}.
  4 That {season} {@sign/season}, and {@small_sight}.
way
  5 {hero} went {way1} and {way2}.
  4 {^he} went {way1}, {way2} and {way3}.
  3 {^he} walked for {hours}, {way1}, and saw {@small_sight_thing}.
  2 Left, right, left, right, went {his} feet, {way1} and {way2}.
meet
  6 On the way {hero} met a/an {@mood} {passer1} {@doing}.
  4 A/an {@mood} {passer1} came by. "{@remark}," it (3:said|mumbled|sang).
  4 "{@remark}," said a/an {@mood} {passer1} (3:by the road|2:in a tree|1:from behind a bush).
  3 {hero} saw a/an {@mood} {passer1} and a/an {@mood} {passer2}, arm in arm.
  3 Behind the next {@corner} stood a/an {@mood} {passer1} {@doing}.
  2 {hero} asked a/an {passer1} for the way. "{@remark}," said the {passer1}.
visit
  5 A/an {@mood} {passer1} came by. "{@remark}," it (3:said|mumbled|sang).
  4 "{@remark}," said a/an {@mood} {passer1} (3:at the window|2:in a tree|1:from under the table).
  3 A/an {@mood} {passer1} {@doing} stopped to look.
  2 Just then, a/an {@mood} {passer1} and a/an {@mood} {passer2} went by, arm in arm.
pocket
  6 In {his} {@holder} {he} had {item1}, {item2} and {item3}.
  3 {^he} took along {item1} and {item2}. One never knows.
  2 {^his} {giver} gave {him} {item1} and {item2} for the way.
song
  5 {hero} sang {@softly}, "There is a {song} {@where} my {@rhyme/song}."
  4 And {hero} sang, "Oh {song}, oh {song}, {@where} my {@rhyme/song}."
  3 {hero} sang a song. "One {song} for you, one {@rhyme/song} for me."
  2 {hero} sang, "I had a {song}, I had a {@rhyme/song}, and now I have {@present}."
dream
  5 That night {hero} dreamed of {dream1}.
  4 {hero} dreamed of {dream1} and of {dream2}.
  2 In {hero}'s dream there was {dream1}, and it knew {his} name.
simile
  5 {hero} felt like {@like}.
  4 {hero} smiled like {@like}.
  2 {hero}'s heart jumped like {@like}.
"""
