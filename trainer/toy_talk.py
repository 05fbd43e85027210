"""What is said in chats about the toy world: questions, answers, small talk, in the notation of trainer.toy_grammar."""

from __future__ import annotations

FACTS = """
ask_home
  5 Where does the {beast} live?
  4 Where do {@plural/beast} live?
  2 Tell me where the {beast} lives.
  1 where does a/an {beast} live
say_home
  1 The {beast} lives {home_b}.
ask_food
  5 What does the {beast} like to eat?
  4 What do {@plural/beast} like?
  3 What is the favourite food of the {beast}?
  1 what do {@plural/beast} eat
say_food
  1 {^plural_b} like {best_b}.
ask_sound
  5 What does the {beast} say?
  3 What sound does a/an {beast} make?
  2 How does a/an {beast} sound?
say_sound
  1 The {beast} says "{^sound_b}!"
ask_legs
  5 How many legs does a/an {beast} have?
  3 How many legs has a/an {beast}?
say_legs
  1 A/an {beast} has {legs_b}.
ask_speed
  5 Is a/an {beast} fast or slow?
  3 Is the {beast} fast?
say_speed
  1 The {beast} is {speed_b}.
ask_season
  5 Which season comes after {season}?
  3 What comes after {season}?
  1 what season is after {season}
say_season
  1 After {season} comes {season_after}.
ask_season_back
  5 Which season comes before {season}?
  3 What comes before {season}?
say_season_back
  1 Before {season} comes {season_before}.
ask_day
  5 Which day comes after {day}?
  3 What day is after {day}?
  3 Today is {day}. What day is tomorrow?
say_day
  1 The day after {day} is {day_after}.
ask_day_back
  4 Which day comes before {day}?
  3 Today is {day}. What day was yesterday?
say_day_back
  1 The day before {day} is {day_before}.
ask_opposite
  6 What is the opposite of {word}?
  3 What is the opposite of the word {word}?
  1 opposite of {word}
say_opposite
  1 The opposite of {word} is {opposite}.
ask_colour
  6 What colour is {colour_of}?
  2 What is the colour of {colour_of}?
say_colour
  1 {^colour_of} is {colour}.
"""

NUMBERS = """
ask_sum
  6 What is {x} plus {y}?
  4 What is {x} + {y}?
  3 How much is {x} and {y}?
  2 {x} + {y} = ?
  1 Can you add {x} and {y}?
say_sum
  1 {x} plus {y} is {sum}.
ask_minus
  6 What is {lx} minus {ly}?
  4 What is {lx} - {ly}?
  2 Take {ly} from {lx}.
  1 {lx} - {ly} = ?
say_minus
  1 {lx} minus {ly} is {difference}.
ask_more
  5 {hero} has {x} {count}. {pal} gives {him} {y} more. How many {count} does {hero} have now?
  4 {hero} has {x} {count} and finds {y} more. How many {count} does {he} have?
  3 There are {x} {count} in the basket and {y} on the table. {hero} takes them all. How many {count} does {hero}
      have?
say_more
  1 {x} plus {y} is {sum}. {hero} has {sum} {count}.
ask_fewer
  5 {hero} has {lx} {count}. {^he} gives {ly} to {pal}. How many are left?
  4 {hero} had {lx} {count} and lost {ly}. How many {count} does {he} have now?
say_fewer
  1 {lx} minus {ly} is {difference}. {hero} has {difference} {count}.
ask_next
  5 What number comes after {number}?
  3 Which number is next after {number}?
say_next
  1 After {number} comes {next_number}.
"""

TELLING = """
tell_thing
  5 {hero} is a/an {trait} {kind}. {^he} has a/an {paint} {toy}.
  4 {hero} the {kind} has a/an {paint} {toy}. {pal} the {pal_kind} has a/an {paint2} {toy2}.
  3 {hero} the {kind} found a/an {paint} {toy} {at}.
ask_thing
  6 What does {hero} have?
  2 What has {hero} got?
say_thing
  1 {hero} has a/an {paint} {toy}.
ask_paint
  6 What colour is the {toy}?
  3 What colour is {hero}'s {toy}?
say_paint
  1 The {toy} is {paint}.
ask_owner
  6 Who has the {toy}?
  3 Who has a/an {toy}?
say_owner
  1 {hero} has the {toy}.
ask_kind
  5 Who is {hero}?
  4 What kind of animal is {hero}?
say_kind
  1 {hero} is a/an {kind}.
ask_missing
  4 How old is {hero}?
  3 What did {hero} eat today?
  3 Who is {hero}'s aunt?
  2 How many hats does {hero} have?
say_missing
  1 I do not know. You did not tell me.
tell_place
  5 {hero} is {at}. {pal} is {at2}.
  4 {hero} went to {place}. {pal} went to {place2}.
  3 {hero} the {kind} went to {place}, and {pal} the {pal_kind} went to {place2}.
ask_where
  6 Where is {hero}?
  2 Where did {hero} go?
say_where
  1 {hero} is {at}.
ask_where_pal
  6 Where is {pal}?
  4 And where is {pal}?
  2 And {pal}?
say_where_pal
  1 {pal} is {at2}.
ask_who_there
  5 Who is {at}?
  3 Who is {at} now?
say_who_there
  1 {hero} is {at}.
tell_give
  5 {hero} has a/an {paint} {toy}. {hero} gives the {toy} to {pal}.
  4 {hero} had a/an {toy}. {^he} gave it to {pal}.
  3 {pal} wanted a/an {toy}. {hero} gave {phim} one.
ask_now
  6 Who has the {toy} now?
  3 Where is the {toy} now?
say_now
  1 {pal} has the {toy} now.
ask_giver
  5 Who gave the {toy} to {pal}?
  3 Who gave {pal} the {toy}?
say_giver
  1 {hero} gave the {toy} to {pal}.
tell_why
  5 {hero} was {low} because {he} had lost {his} {toy}. Then {pal} found it.
  4 {hero} had lost {his} {toy}, so {he} was {low}. {pal} found it {at}.
ask_why
  6 Why was {hero} {low}?
  2 Why was {he} {low}?
say_why
  1 {hero} was {low} because {he} had lost {his} {toy}.
ask_finder
  6 Who found the {toy}?
  3 Who found it?
say_finder
  1 {pal} found the {toy}.
tell_me
  6 My name is {me}.
  4 I am {me}.
  4 Hello, I am {me}.
  2 Hi! My name is {me}.
say_hello_me
  5 Hello, {me}!
  4 Nice to meet you, {me}.
  2 Hello, {me}! What can I do for you?
ask_me
  6 What is my name?
  3 Who am I?
  2 Do you know my name?
say_me
  1 Your name is {me}.
tell_pet
  5 I have a/an {pet} named {pet_name}.
  4 My {pet} is called {pet_name}.
say_pet
  5 {pet_name} is a good name for a/an {pet}.
  3 What a fine {pet}!
  2 Say hello to {pet_name} for me.
ask_pet
  6 What is my {pet} called?
  4 What is the name of my {pet}?
say_pet_name
  1 Your {pet} is called {pet_name}.
ask_pet_kind
  6 Who is {pet_name}?
  3 What is {pet_name}?
say_pet_kind
  1 {pet_name} is your {pet}.
ask_unknown_me
  5 What is my name?
  4 What is my {pet} called?
  3 How old am I?
  3 What colour is my {toy}?
say_unknown
  1 I do not know. You did not tell me.
"""

SMALL_TALK = """
hello
  6 Hello!
  4 Hi!
  3 Hello
  3 Good {@greet}!
  2 Hi there.
say_hello
  6 Hello! What can I do for you?
  4 Hello! Would you like a story?
  3 Good day to you!
  1 Hi! I was just thinking of {@plural/beast}.
how
  6 How are you?
  3 How are you today?
say_how
  5 I am {@glad}, thank you.
  3 I feel like {@like}.
  2 Very well. I dreamed of {@dream}.
who
  6 Who are you?
  3 What are you?
  3 What is your name?
say_who
  1 I am tinychat, a very small language model.
can
  5 What can you do?
  4 What do you know?
say_can
  1 I can tell stories, add small numbers and talk about animals.
thanks
  6 Thank you!
  4 Thanks!
  2 Thank you, that was {@nice}.
say_welcome
  6 You are welcome!
  3 You are welcome. Come again!
  2 It was a pleasure.
bye
  5 Goodbye!
  4 Bye!
  3 Good night!
say_bye
  5 Goodbye!
  3 Goodbye! Mind the puddle.
  2 Good night, and dream of {@dream}.
beyond
  1 {@beyond}?
say_beyond
  1 I do not know. I only know my small world.
joke
  5 Tell me a joke.
  3 Make me laugh.
say_joke
  5 Why did the {beast} {@joke_do}? Because {@joke_why}.
ask_story
  6 Tell me a story about a/an {kind}.
  4 Tell me a story.
  3 Tell me a story about a/an {kind} named {hero}.
  3 Can you tell me a story about {hero} the {kind}?
  2 I want a story about a/an {trait} {kind}.
  1 story about a/an {kind}
ask_hero
  5 What was the {kind} called?
  4 What was the name of the {kind}?
say_hero
  1 The {kind} was called {hero}.
ask_hero_kind
  5 Who was {hero}?
say_hero_kind
  1 {hero} was a/an {kind}.
"""

PERSONA = """
system
  6 You are {hero}, a/an {manner} {kind}.
  3 You are a/an {manner} {kind} named {hero}.
  1 You are {hero} the {kind}. You are {manner}.
p_who
  6 Who are you?
  4 What is your name?
p_say_who
  1 {@tic/manner} I am {hero}, a/an {manner} {kind}.
p_home
  6 Where do you live?
  2 Where is your home?
p_say_home
  1 {@tic/manner} I live {home}.
p_food
  6 What do you like to eat?
  4 What is your favourite food?
  2 Are you hungry?
p_say_food
  1 {@tic/manner} I like {best_k}.
p_how
  6 How are you?
  2 How do you feel today?
p_say_how
  1 {@tic/manner} I am {manner}, as always.
p_hello
  5 Hello!
  3 Hello, {hero}!
  2 Good {@greet}!
p_say_hello
  1 {@tic/manner} Hello!
p_sound
  5 What do you say when you are happy?
  3 What sound do you make?
p_say_sound
  1 {@tic/manner} I say "{^sound}!"
p_sum
  5 What is {x} plus {y}?
  3 What is {x} + {y}?
p_say_sum
  1 {@tic/manner} {x} plus {y} is {sum}.
"""

TALK_SLOTS = """
beast: beast
home_b: home/beast
plural_b: plural/beast
best_b: best/beast
sound_b: sound/beast
legs_b: legs/beast
speed_b: is_fast/beast
best_k: best/kind
season_after: season_after/season
season_before: season_before/season
day: day
day_after: day_after/day
day_before: day_before/day
word: word
opposite: opposite/word
colour_of: colour_of
colour: colour/colour_of
pair: pair
x: x/pair
y: y/pair
sum: sum/pair
less_pair: less_pair
lx: x/less_pair
ly: y/less_pair
difference: difference/less_pair
count: count
number: number
next_number: next_number/number
paint: paint
paint2: paint -paint
toy: toy
toy2: toy -toy
place2: place/pal_kind -place
at2: at/place2
low: low
me: me
pet: pet
pet_name: names/pet -me
manner: manner
"""
