"""Chats about what was told in the chat itself, and with somebody whom the system message names.

In the notation of trainer.toy_grammar; TALK_SLOTS says where the facts of chats come from.
"""

from __future__ import annotations

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
tell_tale
  5 {hero} the {kind} lived {home}. One {time}, {he} lost {his} {paint} {toy} {at}. {pal} the {pal_kind} found it
      {spot1}.
  4 One {time}, {hero} the {kind} went to {place}. There {he} met {pal} the {pal_kind}, who had {his} {toy}.
    {pal} had found it {spot1}.
  4 {pal} the {pal_kind} found a/an {paint} {toy} {spot1}. It belonged to {hero} the {kind}, who had lost it {at}.
ask_tale_where
  6 Where was the {toy}?
  4 Where did {pal} find the {toy}?
say_tale_where
  1 {pal} found the {toy} {spot1}.
ask_tale_who
  6 Who was {pal}?
  3 What was {pal}?
say_tale_who
  1 {pal} was a/an {pal_kind}.
ask_tale_whose
  6 Whose {toy} was it?
  3 Who had lost the {toy}?
say_tale_whose
  1 It was the {toy} of {hero}.
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
p_beyond
  1 {@beyond}?
p_say_beyond
  1 {@tic/manner} I do not know that.
p_likes
  5 Do you like {best_k}?
p_say_likes
  1 {@tic/manner} Yes, I like {best_k}.
p_dislikes
  5 Do you like {dislike_k}?
p_say_dislikes
  1 {@tic/manner} No, I like {best_k}.
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
dislike: dislike/beast
dislike_k: dislike/kind
sizes: sizes
bigger: bigger/sizes
smaller: smaller/sizes
count_to: count_to
counting: counting/count_to
more_less: more_less
more: more/more_less
less: less/more_less
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
many_pair: many_pair
mx: x/many_pair
my: y/many_pair
many_sum: sum/many_pair
fewer_pair: fewer_pair
fx: x/fewer_pair
fy: y/fewer_pair
fewer: difference/fewer_pair
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
