"""How stories begin, go on and end, and the sentences of the first half of the plots.

Text in the notation of trainer.toy_grammar; which beats make a plot is said in trainer.toy_stories.
"""

from __future__ import annotations

COMMON = """
opening
  30 Once upon a time, there was a/an {trait} {kind} named {hero}.
  12 Once upon a time, a/an {trait} {kind} named {hero} lived {home}.
  8 There once was a/an {trait} {kind} who lived {home}. {^his} name was {hero}.
  8 {hero} was a/an {trait} {kind}. {^he} lived {home}.
  4 Far away, behind {@far}, there lived a/an {trait} {kind} called {hero}.
  4 This is the story of {hero}, (2:a/an {trait} {kind}|the {trait} {kind}).
  2 Do you know {hero}? {^he} is a/an {trait} {kind} who lives {home}. This is what happened to {him}.
living
  6 [!home] {hero} lived {home}.
  5 [!home] {^he} lived {home} and liked {food} best of all.
  5 [home] [!food] {hero} liked {food} more than anything.
  3 [!food] (2:All day long|Every {time}) {he} said "{^sound}!" and ate {food}.
  2 Everybody liked {hero}(3:|, and {hero} liked everybody).
  2 {^he} was small, but {his} (3:heart|1:hat) was big.
  2 When {he} was happy, {he} said "{^sound}, {sound}, {sound}!"
glad_pal
  8 {hero} was {@glad}.
  5 {hero} and {pal} were {@glad_two}.
  4 From that day on, {hero} and {pal} were (5:friends|4:best friends|1:never apart).
  3 They danced (3:until the moon came up|2:all the way home|1:on the table) and ate {food}.
  2 "{^sound}!" {@cry} {hero}, and {pal} said it too.
glad_alone
  8 {hero} was {@glad}.
  4 That night {hero} slept very well.
  3 "{^sound}!" {@cry} {hero} and went to bed.
  3 {^he} went home and ate {food} until {he} was {@full}.
closing
  5 The end.
  4 And then it was time for bed.
  3 Good night, {hero}!
  2 Somewhere an owl said "Hoo."
  1 And if nobody has stopped them, they are laughing still.
"""

LOST = """
lost_have
  5 {^he} had a/an {look} {thing}. It was the best {thing} in the (4:whole world|2:whole valley|1:whole house).
  5 More than anything else, {hero} loved {his} {look} {thing}.
  4 {^his} {giver} had given {him} a/an {look} {thing}, and {he} took it everywhere.
  2 {^he} never went out without {his} {look} {thing}(3:|, not even to the bath).
lost_loss
  1 [loss=wind] One (3:windy|stormy) {time}, the wind came and took the {thing}. (2:Whoosh|Huff)! It was gone.
  1 [loss=river] One {sky} {time}, {he} walked over the bridge, and the {thing} fell into the river. Splash!
  1 [loss=shelf] One {sky} {time}, the {thing} was not in its place. "Where is my {thing}?" cried {hero}.
  1 [loss=pocket] But there was a hole in {his} pocket. One {sky} {time}, the {thing} fell out.
  1 [loss=magpie] One {sky} {time}, a magpie saw it. Magpies like things that shine. Before {hero} could say
      "{^sound}", the {thing} was gone.
  1 [loss=hill] One {sky} {time}, the {thing} began to roll. It rolled and rolled, down the hill and out of sight.
  1 [loss=dog] One {sky} {time}, a big wet dog took the {thing} and ran away.
lost_search
  8 {hero} looked {spot1}. No {thing}. {^he} looked {spot2}. No {thing}. {^he} looked {spot3}. Only {odd}.
  4 {hero} looked {spot1} and {spot2}. There was no {thing}, only {odd}.
  3 {hero} searched for {hours}. {^he} found {odd}, but no {thing}.
  2 {hero} looked (3:everywhere|here and there and everywhere). {^he} was {@sad}.
lost_ask
  6 "Have you seen my {thing}?" {he} asked a/an {pal_trait} {pal_kind} named {pal}.
  5 Then {he} met {pal} the {pal_kind}. "Why are you so sad?" asked {pal}. "My {thing} is gone," {@say} {hero}.
  2 In the end {he} sat down and cried. {pal} the {pal_kind} heard it and came (2:at once|as fast as {phe} could).
  1 "{^pal_sound}," said a voice. It was {pal}, the {pal_trait} {pal_kind} from next door. "Can I help?"
lost_found
  5 [loss=wind] {pal} looked up. "What is that in the tall tree?" {phe} asked. It was the {thing}!
  3 [loss=wind] They went up the hill. There stood (3:a scarecrow|2:a goat|a snowman) with the {thing} on its head.
  5 [loss=river] {pal} knew the river well. "Everything goes down to the mill," {phe} said. And there, by the big
      wheel, swam the {thing}.
  3 [loss=river] {pal} jumped into the water and came up with (2:a fish|a boot|three stones) and the {thing}.
  6 [loss=shelf] {pal} (2:smiled|laughed). "You are holding it (2:in your hand|behind your back)," {phe} said.
  3 [loss=shelf] {pal} looked once more {spot4}. There it was!
  1 [loss=pocket] They went back, step by step, with their noses to the ground. There, between two
      (3:stones|2:leaves|sleeping snails), lay the {thing}.
  1 [loss=magpie] {pal} climbed up to the nest. In it lay (3:two rings|2:three spoons|a pair of glasses), (2:a
      fork|a watch) and the {thing}.
  1 [loss=hill] They ran down the hill. At the bottom, a (3:sheep|2:cow|very old goat) sat on the {thing}.
  1 [loss=dog] "Dogs dig," {@say} {pal}. So they dug too, and under the old tree they found (2:nine bones|four
      socks) and the {thing}.
lost_end
  6 "Thank you, {pal}!" {@cry} {hero}.
  3 {hero} gave {pal} some {food}, because that is what friends do.
  2 "Next time I will tie it to my (2:tail|nose)," said {hero}.
"""

TROUBLE = """
trouble_want
  5 One {sky} {time}, {hero} wanted {food}. Everybody knew that the best {food} could be found {at}.
  5 "I want {food}," {@say} {hero} one {sky} {time}. So {he} set out for {place}.
  4 On a/an {sky} {time} in {season}, {hero} set out for {place} to look for {food}.
trouble_walk
  4 {^he} walked and walked.
  3 Left, right, left, right, went {his} feet.
  3 On the way {he} sang a little song about {food}.
  2 The path was long, and {he} was {@tired}.
trouble_stop
  1 [trouble=river] But a wide river ran across the path, and {hero} could not swim.
  1 [trouble=tree] But somebody had put all the {food} at the top of a tall tree.
  1 [trouble=gate] But the gate was locked, and the key was on the other side.
  1 [trouble=stone] But a big stone lay on the path. {hero} pushed and pushed. The stone did not move(3:|, not
      even a little).
  1 [trouble=fog] Then the fog came. It was as thick as soup. {hero} could not see {his} own (3:feet|nose).
  1 [trouble=dark] But the way went through a dark tunnel, and {hero} had no light.
trouble_feel
  5 {hero} sat down. "What now?" {he} said.
  3 {hero} was {@sad}.
  2 {hero} thought for {hours}. Nothing came.
trouble_help
  5 Just then, a/an {help_trait} {help_kind} named {help} came by. "Can I help you?" {hhe} asked.
  4 Along came {help} the {help_kind}. "That is easy," {@say} {help}.
  2 Somebody laughed. It was {help}, the {help_trait} {help_kind}. "{^help_sound}! Let me try," {@say} {help}.
trouble_solve
  4 [trouble=river] [help_kind=beaver] {help} cut down a tree with {hhis} teeth and made a bridge.
  4 [trouble=river] [help_kind!=beaver] "Sit on my back," {@say} {help}, and {hhe} carried {hero} to the other
      side.(3:| It was a wet ride.)
  2 [trouble=tree] {help} went up the tree and threw the {food} down. "Catch!"
  1 [trouble=tree] {help} shook the tree. Plop, plop, plop, it rained {food}.
  2 [trouble=gate] {help} went under the gate and came back with the key in {hhis} mouth.
  2 [trouble=stone] "One, two, three!" They pushed together, and the stone rolled away. Rumble, bumble, bump!
  2 [trouble=fog] {help} knew the way (2:by heart|by smell). "Follow me," {hhe} said, and {hero} held on tight.
  2 [trouble=dark] [help_kind=dragon] {help} made a small flame, and the tunnel was as bright as day.
  2 [trouble=dark] [help_kind=robot] {help} had eyes like lamps. Click! The tunnel was as bright as day.
  2 [trouble=dark] [help_kind=owl] "I can see in the dark," {@say} {help}. "Hold my wing."
trouble_goal
  4 So they came to {place}, where {@sight/place}. There they ate {food} until they were {@full}.
  4 So {hero} got {his} {food} after all, and {help} got half of it.
  2 They sat down {at} and ate {food}. It was the best {food} of all.
trouble_end
  3 "Alone it is hard," {@say} {hero}. "Together it is easy."
  4 {hero} was {@glad}, and so was {help}.
  3 From that day on, {hero} and {help} were (3:friends|2:best friends).
"""

FEAR = """
fear_have
  5 [fear=noise] One {@dark} night, {hero} heard a noise. "{^fear_sound}."
  5 [fear=shadow] One {@dark} night, {hero} saw a shadow on the wall. It had (3:long ears|2:two horns|big teeth),
      and it moved.
  5 [fear=thunder] {hero} was afraid of thunder. One night there was a storm. Boom! went the sky. Boom!
  5 [fear=dark] {hero} was afraid of the dark. When the sun went down, {he} hid (2:under the blanket|under the bed).
  5 [fear=water] {hero} was afraid of deep water. All the others swam in the lake. {hero} stood on the shore.
fear_hide
  5 [fear=noise] "Who is there?" asked {hero}. "{^fear_sound}," said the noise.
  3 [fear=noise] {hero} hid (2:under the blanket|under the bed). The noise came closer. "{^fear_sound}."
  5 [fear=shadow] {hero} hid (2:under the blanket|under the bed) and did not even breathe.
  5 [fear=thunder] {hero} shook from {his} ears to {his} toes.
  5 [fear=dark] "It is so black out there," {he} said.
  5 [fear=water] "I am not coming in," {he} said. "The water is too (2:wet|deep)."
fear_turn
  5 [fear=noise] But it was only {pal} the {pal_kind}, who (3:wanted to borrow some salt|2:had lost {phis}
      key|2:wanted a cup of tea|1:had come for {phis} other sock).
  5 [fear=shadow] Then {pal} the {pal_kind} came in with a lamp. It was only (3:a coat on a chair|2:a
      plant|{hero}'s own hat).
  5 [fear=thunder] {pal} the {pal_kind} sat down next to {him}. "The clouds are only (3:playing drums|2:moving
      their beds|snoring)," said {pal}.
  4 [fear=thunder] {pal} the {pal_kind} took {his} hand. "Let us count," {@say} {pal}. "One, two, three, boom!"
  5 [fear=dark] Then {pal} the {pal_kind} knocked at the window. "Come out and look up," {@say} {pal}. The sky
      was full of stars.
  5 [fear=water] {pal} the {pal_kind} held {his} hand. One toe, two toes, one foot, two feet. Splash!
fear_end
  5 They laughed until (2:their bellies hurt|the moon came up).
  4 "Is that all?" said {hero}.(2: And it was.|)
  4 After that, {hero} was never so afraid again.
  3 "Being brave is (2:being afraid and doing it all the same|easier with two)," said {pal}.
"""

PLAY = """
play_wake
  4 [weather=snow] One winter {time}, {hero} looked out of the window. Everything was white. "Snow!" {he} cried.
  4 [weather=rain] It rained all {time}. Drip, drop, drip, drop. {hero} put on {his} boots.
  4 [weather=wind] One autumn {time}, the wind blew. The leaves danced, and the hats flew. "Today I will fly my
      kite," {@say} {hero}.
  4 [weather=sun] It was the hottest {time} of the summer. Even the stones were warm. "I need water," {@say} {hero}.
play_do
  4 [weather=snow] With {pal} the {pal_kind}, {he} made a snowman. It had stones for eyes and a carrot for a nose.
  3 [weather=snow] {^he} and {pal} the {pal_kind} took the sled up the hill. One, two, three, and down they went!
  4 [weather=rain] With {pal} the {pal_kind}, {he} jumped into every puddle. (4:Splash|2:Plip|1:Plop),
      (4:splash|2:plip|1:plop), splash!
  4 [weather=wind] With {pal} the {pal_kind}, {he} ran up the hill. Up went the kite, higher and higher.
  4 [weather=sun] With {pal} the {pal_kind}, {he} ran to the (2:lake|river) and jumped in. Splash!
play_turn
  4 [weather=snow] In the night somebody took the nose. In the morning, (3:a rabbit|2:a horse|{pal}) looked very full.
  3 [weather=snow] Then {hero} fell into the snow. Only {his} (2:ears|feet) could be seen.
  4 [weather=rain] But the last puddle was deep.(2:| Very deep.) "Help!" {@cry} {hero}, and {pal} pulled {him}
      out, but not {his} (3:boots|left boot).
  4 [weather=wind] Then the wind took the kite, and {hero} with it. "Hold on!" {@cry} {pal} and (2:caught {him}
      by the foot|ran after {him} for three hills).
  4 [weather=sun] When they came out, (3:a goat|2:a cow|a duck) was wearing {hero}'s (2:hat|shirt).(2: It looked
      very good.|)
play_end
  4 (2:Later|In the evening) they sat by the fire with {@hot}.
  4 They laughed until (2:their bellies hurt|the stars came out).
  3 It was the best day of the {season}.
"""
