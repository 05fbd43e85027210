"""What is said in chats about the facts of the toy world, small numbers and the weather of the day.

In the notation of trainer.toy_grammar.
"""

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
ask_likes
  5 Do {plural_b} like {best_b}?
  2 Does a/an {beast} like {best_b}?
say_likes
  1 Yes, {plural_b} like {best_b}.
ask_dislikes
  5 Do {plural_b} like {dislike}?
  2 Does a/an {beast} like {dislike}?
say_dislikes
  1 No, {plural_b} like {best_b}.
ask_bigger
  4 Who is bigger, the {bigger} or the {smaller}?
  4 Who is bigger, the {smaller} or the {bigger}?
  2 Is the {smaller} bigger than the {bigger}?
say_bigger
  1 The {bigger} is bigger than the {smaller}.
ask_smaller
  4 Who is smaller, the {bigger} or the {smaller}?
  4 Who is smaller, the {smaller} or the {bigger}?
say_smaller
  1 The {smaller} is smaller than the {bigger}.
ask_rhyme
  5 What rhymes with {song}?
  3 Tell me a word that rhymes with {song}.
say_rhyme
  1 {^@rhyme/song} rhymes with {song}.
ask_plural
  5 What is the plural of {beast}?
  3 One {beast}, two what?
say_plural
  1 One {beast}, two {plural_b}.
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
  5 {hero} has {mx} {count}. {pal} gives {him} {my} more. How many {count} does {hero} have now?
  4 {hero} has {mx} {count} and finds {my} more. How many {count} does {he} have?
  3 There are {mx} {count} in the basket and {my} on the table. {hero} takes them all. How many {count} does {hero}
      have?
say_more
  1 {mx} plus {my} is {many_sum}. {hero} has {many_sum} {count}.
ask_fewer
  5 {hero} has {fx} {count}. {^he} gives {fy} to {pal}. How many are left?
  4 {hero} had {fx} {count} and lost {fy}. How many {count} does {he} have now?
say_fewer
  1 {fx} minus {fy} is {fewer}. {hero} has {fewer} {count}.
ask_which_more
  4 Which is more, {more} or {less}?
  4 Which is more, {less} or {more}?
say_which_more
  1 {more} is more than {less}.
ask_count
  5 Count to {count_to}.
  3 Can you count to {count_to}?
say_count
  1 {counting}.
ask_next
  5 What number comes after {number}?
  3 Which number is next after {number}?
say_next
  1 After {number} comes {next_number}.
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
ask_hero_home
  5 Where did {hero} live?
  4 Where did the {kind} live?
say_hero_home
  1 {hero} lived {home}.
ask_pal
  6 Who was {pal}?
say_pal
  1 {pal} was a/an {pal_kind}.
ask_pal_name
  5 What was the {pal_kind} called?
say_pal_name
  1 The {pal_kind} was called {pal}.
ask_wanted
  5 What did {hero} like to eat?
  4 What did the {kind} eat?
say_wanted
  1 {hero} liked {food}.
ask_lost
  5 What did {hero} lose?
say_lost
  1 {hero} lost {his} {look} {thing}.
"""
