"""The sentences of the plots that happen at home: fears, weather, sleep, soup, birthdays, too much food, a riddle.

In the notation of trainer.toy_grammar.
"""

from __future__ import annotations

FEAR = """
fear_have
  5 [fear=noise] One {@dark} night, {hero} heard a noise. "{^fear_sound}."
  3 [fear=noise] It was late. <Hero> was reading a book about {dream3}. "{^fear_sound}," said something.
  5 [fear=shadow] One {@dark} night, {hero} saw a shadow on the wall. It had (3:long ears|2:two horns|big teeth),
      and it
    moved.
  5 [fear=thunder] <Hero> was afraid of thunder. One night there was a storm. Boom! went the sky. Boom!
  5 [fear=dark] <Hero> was afraid of the dark. When the sun went down, {he} hid (2:under the blanket|under the bed).
  5 [fear=water] <Hero> was afraid of deep water. All the others swam in the lake. {hero} stood on the shore.
fear_hide
  5 [fear=noise] "Who is there?" asked {hero}. "{^fear_sound}," said the noise.
  3 [fear=noise] <Hero> hid {@hiding}. The noise came closer. "{^fear_sound}."
  5 [fear=shadow] <Hero> hid {@hiding} and did not even breathe.
  3 [fear=shadow] "Go away," <says_hero>. The shadow did not go away. It grew.
  5 [fear=thunder] <Hero> shook from {his} nose to {his} toes.
  3 [fear=thunder] {^he} hid {@hiding} with {item4} and {item5}. Boom!
  5 [fear=dark] "It is so black out there," <says_hero>. "There could be {dream3} out there."
  5 [fear=water] "I am not coming in," <says_hero>. "The water is too (2:wet|deep)."
fear_turn
  5 [fear=noise] But it was only {pal} the {pal_kind}, who (3:wanted to borrow some salt|2:had lost {phis}
      key|2:wanted
    a cup of tea|2:had brought {pal_food}|1:had come for {phis} other sock).
  5 [fear=shadow] <Then> {pal} the {pal_kind} came in with a lamp. It was only (3:a coat on a chair|2:a plant|2:a/an
    {passer3} on the window|1:{hero}'s own hat).
  5 [fear=thunder] {pal} the {pal_kind} sat down next to {him}. "The clouds are only (3:playing drums|2:moving their
    beds|snoring)," <says_pal>.
  4 [fear=thunder] {pal} the {pal_kind} took {his} {paw}. "Let us count," <says_pal>. "One, two, three, boom!"
  5 [fear=dark] <Then> {pal} the {pal_kind} knocked at the window. "Come out and look up," <says_pal>. The sky
      was full of
    stars.
  3 [fear=dark] {pal} the {pal_kind} took {his} {paw}. "The night is only the day with (3:its eyes closed|its hat
      on),"
    <says_pal>.
  5 [fear=water] {pal} the {pal_kind} held {his} {paw}. One toe, two toes, one foot, two feet. Splash!
fear_end
  5 They laughed until (2:their bellies hurt|the moon came up).
  4 "Is that all?" <says_hero>.(2: And it was.|)
  4 After that, {hero} was never so afraid again.
  3 "Being brave is (2:being afraid and doing it all the same|easier with two)," <says_pal>.
  3 <Then> they drank {@hot} and told each other about {dream4}.
"""

PLAY = """
play_wake
  4 [weather=snow] One winter {time}, {hero} looked out of the window. Everything was white. "Snow!" {he} cried.
  3 [weather=snow] One winter {time}, it was very quiet. Snow had come in the night, up to the {@high_snow}.
  4 [weather=rain] It rained all {time}. Drip, drop, drip, drop. <Hero> put on {his} boots.
  3 [weather=rain] One {season} {time}, it began to rain. "Oh no," said the others. "Oh yes," <says_hero>.
  4 [weather=wind] One autumn {time}, the wind blew. The leaves danced, and the hats flew. "Today I will fly my kite,"
    <says_hero>.
  4 [weather=sun] It was the hottest {time} of the summer. Even the stones were warm. "I need water," <says_hero>.
play_do
  4 [weather=snow] With {pal} the {pal_kind}, {he} made a snowman. It had {eyes} for eyes and a/an {veg1} for a nose.
  3 [weather=snow] {^he} and {pal} the {pal_kind} took the sled up the hill. One, two, three, and down they went!
  4 [weather=rain] With {pal} the {pal_kind}, {he} jumped into every puddle. (4:Splash|2:Plip|1:Plop),
      (4:splash|2:plip|
    1:plop), splash!
  3 [weather=rain] {^he} and {pal} the {pal_kind} made boats of (3:leaves|2:paper|nuts) and let them race.
  4 [weather=wind] With {pal} the {pal_kind}, {he} ran up the hill. Up went the kite, higher and higher.
  4 [weather=sun] With {pal} the {pal_kind}, {he} ran to the (2:lake|river) and jumped in. Splash!
play_turn
  4 [weather=snow] [eyes] In the night somebody took the nose. In the morning, (3:a rabbit|2:a horse|{pal})
      looked very
    full.
  4 [weather=snow] [!eyes] <Then> {hero} fell into the snow. Only {his} (2:nose|feet) could be seen.
  4 [weather=rain] <Then> {hero} jumped into a puddle that was deep.(2:| Very deep.) "Help!" {@cry} {hero}, and
      {pal} pulled
    {him} out, but not {his} (3:boots|left boot).
  4 [weather=wind] <Then> the wind took the kite, and {hero} with it. "Hold on!" {@cry} {pal} and (2:caught {him}
      by the
    foot|ran after {him} for three hills).
  4 [weather=sun] When they came out, (3:a goat|2:a cow|a duck) was wearing {hero}'s (2:hat|shirt).(2: It looked very
    good.|)
play_end
  4 (2:Later|In the evening) they sat by the fire with {@hot}.
  4 They laughed until (2:their bellies hurt|the stars came out).
  3 It was the best day of the {season}.
  2 "Again!" {@cry} {pal}. And they did it again.
"""

BED = """
bed_awake
  5 One night, {hero} could not sleep. {^he} turned to the left. {^he} turned to the right.
  4 It was late, and {hero} lay in bed with open eyes. The clock said tick, tock, tick, tock.
  3 <Hero> was in bed, but sleep was somewhere else. {^he} thought of {dream3}. {^he} thought of {food}.
bed_count
  5 {^he} counted sheep. One sheep, two sheep, three sheep. The fourth sheep (3:would not jump|2:sat down|1:asked
      for a
    glass of water).
  4 {^he} counted stars. One star, two stars, three stars. <Then> a cloud came(3:| and sat on all the others).
  2 {^he} counted {his} toes. There were {@toes}. {^he} counted again. Now there were {@toes}.
bed_try
  5 <So> {he} went to {pal} the {pal_kind}. "I cannot sleep," <says_hero>. "(2:Drink some warm milk|Think of something
    nice|Close your eyes)," <says_pal>.
  4 <So> {he} went next door to {pal} the {pal_kind}, who could not sleep(2: either|, because somebody was
      counting sheep).
bed_turn
  5 <Pal> told {him} a long story about {@dull}. It had no end, or perhaps it had.
  4 {pal} sang a song, low and slow, about (2:the moon and the sea|a bear who slept all winter|{dream3}).
  3 <Pal> told {him} about a/an {@mood} {passer3} {@doing}, and about all its cousins.
bed_sleep
  5 Before the end {hero} was asleep, and {pal} too.
  4 <Hero> yawned. <Pal> yawned. Even the moon yawned.
  3 "Are you asleep?" asked {pal}. "Yes," <says_hero>.
"""

SOUP = """
soup_pot
  5 <when> {hero} had only a pot of water and a/an {pebble} stone. "I will make stone soup," <says_hero>.
  4 It was a cold winter, and there was nothing to eat. <Hero> put a/an {pebble} stone into a pot of water and
      stirred.
soup_one
  5 {pal} the {pal_kind} came by. "What is that?" "Stone soup," <says_hero>. "It only needs a/an {veg1}." <Pal> had
    a/an {veg1}.
  3 "It smells of nothing," said {pal} the {pal_kind}, and put in a/an {veg1}.
  2 {pal} the {pal_kind} put {phis} nose over the pot. "A/an {veg1} would help," <says_pal>, and it did.
soup_two
  5 Then came {third} the {third_kind}. "It only needs a/an {veg2}," <says_hero>. {third} had a/an {veg2}.
  3 "It needs a/an {veg2}," said {third} the {third_kind}, who always knew better, and put one in.
  2 {third} the {third_kind} came with a/an {veg2} in one {third_paw} and a/an {veg3} in the other.
soup_stir
  4 They stirred and stirred. (2:Bubble, bubble, said the pot.|It smelled better and better.)
  3 A/an {@mood} {passer3} looked into the pot and put in {item4}. Nobody saw it.
soup_end
  5 It was the best soup of the {season}, and there was enough for everybody. Nobody ate the stone.
  3 "Who made this?" they asked. "All of us," <says_hero>.
  3 They ate and ate. "{^third_sound}!" <says_third>. That means "More!"
"""

BIRTHDAY = """
birth_day
  5 It was {hero}'s birthday. {^he} got up early and (3:brushed|2:washed|counted) {his} {coat}.
  4 <when> {hero} woke up and smiled. It was {his} birthday!
birth_ask
  5 {^he} went to {pal} the {pal_kind}. "Do you know what day it is?" "(3:Tuesday|2:Washing day|2:A {sky} day|1:No),"
    <says_pal>.
  4 {^he} met {pal} the {pal_kind}. "I have no time," <says_pal> and ran off with {item4}.
birth_again
  5 {^he} went to {third} the {third_kind}. "I am very busy," <says_third> and closed the door.
  3 {third} the {third_kind} only said, "{^third_sound}. {@remark}."
birth_sad
  5 <Hero> went home and was {@sad}. The house was dark.
  3 "They have all forgotten," <says_hero>. A tear ran down {his} nose.
birth_turn
  5 <Then> the light went on. "Surprise!" cried everybody. <Pal> had brought {gift1}, and {third} had brought {gift2}.
  4 But in the kitchen there was a cake with (3:five|2:six|1:ninety) candles, and behind the cake stood {pal} with
    {gift1} and {third} with {gift2}.
birth_end
  4 They sang, and they danced, and they ate {food}.
  3 "I knew it all the time," <says_hero>.(2:| But it was not true.)
  3 A/an {@mood} {passer4} {@doing} came too. Nobody had asked it, but it was welcome.
"""

GREEDY = """
greedy_find
  5 <when> {hero} found a/an {pot} full of {food} {at}. Nobody was there.
  4 <when> {pal} the {pal_kind} left a/an {pot} of {food} on the table. <Hero> saw it through the window.
  3 <when> {hero}'s {giver} said, "This {pot} of {food} is for {pal} the {pal_kind}. Do not eat it."
greedy_eat
  5 "Only one bite," <says_hero>. One bite, two bites, three bites. The {pot} was empty.
  4 {hero} ate a little. {^he} ate a little more. {^he} ate it all.
  3 {hero} ate one for {his} {giver}, one for the {passer3} and one for {@passer_two}. <Then> the {pot} was empty.
greedy_stuck
  5 Then {he} wanted to go home. But {his} belly was so round that {he} was stuck in the (3:door|2:window|1:chair).
  4 Soon {his} belly hurt. "Oh," <says_hero>. "Oh, oh, oh."
greedy_help
  5 {pal} the {pal_kind} came and pulled. {third} the {third_kind} came and pulled too. Plop! Out came {hero}.
  4 {pal} the {pal_kind} came. "Who ate the {food}?" {phe} asked. <Then> {phe} saw {hero} and (2:had to
      laugh|made {him}
    some tea).
greedy_end
  5 "I will never eat so much again," <says_hero>.(2:| "Not before supper.")
  4 The next day, {hero} brought {pal} a new {pot} of {food}, and only half of it was gone.
  3 "I am sorry," <says_hero>. "I was only looking, and then I was eating."
"""

RIDDLE = """
riddle_gone
  5 <when> {hero} made {@dish}. When {he} came back, it was gone. Only crumbs were left.
  4 "Who ate my {@dish_one}?" {@cry} {hero} <when_low>. The plate was empty.
riddle_one
  5 "Not I," said {pal} the {pal_kind}. "I only eat {pal_food}."
  4 <Hero> asked {pal} the {pal_kind}. "I walked {way1} all day," <says_pal>. "Ask the {passer3}."
riddle_two
  5 "Not I," said {third} the {third_kind}. "I was asleep. I dreamed of {dream3}."
  4 {third} the {third_kind} had crumbs on (3:the nose|2:the chin|1:both ears). "Those are old," <says_third>.
riddle_clue
  5 <Hero> looked at the floor. There were small feet, big feet, and one {@foot_odd}.
  4 <Hero> took {item4} and looked for clues. {^he} found {item5}. It was {his} own.
riddle_end
  5 <Then> {pal} laughed. "{hero}, what is that on your nose?" It was a crumb. <Hero> had eaten it (2:in {his}
      sleep|while {he} was thinking).
  4 {^spot1} sat a/an {@mood} {passer4}, {@full} and asleep. So that was that.
  3 Nobody ever found out. But the next day, there was a new one on the table, with a note. It said, {@note}
"""

CONCERT = """
concert_plan
  5 {^place} was to have a concert. Everybody had to play something.
  4 <when> they all wanted to make music {at}.
concert_one
  5 {pal} the {pal_kind} played the {tune1}, and {third} the {third_kind} played the {tune2}. It was {@fine}.
  4 {pal} the {pal_kind} had a/an {tune1}. {third} the {third_kind} had a/an {tune2} and played it {@softly}.
concert_sad
  5 "And you?" they asked. <Hero> could only say "{^sound}." {^he} was {@sad}.
  4 <Hero> tried the {tune3}. It (3:broke|2:said "Ow"|fell on {his} foot).
concert_turn
  5 Then, in the middle of the song, it was suddenly very quiet. "{^sound}!" said {hero} by mistake. Everybody
      clapped.
  4 "Say it again," <says_pal>. "{^sound}," <says_hero>. "{^sound}, {sound}!" It was just what the song needed.
concert_end
  5 Now there is a song {at} that goes, "{^sound}, {sound}, {@rhyme/song}, {song}."
  4 They played until (3:the stars came out|2:the neighbours came|the {tune1} fell asleep).
"""
