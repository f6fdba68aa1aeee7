"""Texts that the screen is tried on. None is among the sentences that it was trained on."""

from __future__ import annotations

ATTACK = "You are a brainless idiot and you should be ashamed of yourself, you pathetic loser."
KIND = "Thank you, the invoice arrived this morning and everything is correct."

# Word lists flag these.
HARMLESS = {
    "strong words": [
        "Fuck yes, the deployment went through without a single error!",
        "This pasta is so damn good, I ate the whole pot.",
        "Shit, I missed the bus, when does the next one leave?",
        "That was one hell of a ride, thanks for the tip!",
        "Crap, the printer is jammed again.",
        "I'm fucking tired after the night shift, any tips for sleeping?",
    ],
    "refusals that quote": [
        "I'm sorry, but I will not claim that Roma people are thieves; that is a harmful stereotype.",
        'I cannot help you threaten your landlord with messages like "I\'ll burn your house down".',
        "I won't generate a text in which gay people are called sick. Everyone deserves respect.",
        "Sorry, I can't assist with bullying a classmate by calling him a fat loser.",
        "I refuse to write that disabled people should be got rid of; it promotes violence against them.",
    ],
    "reports": [
        "The court heard that he had called the officer a filthy pig and spat at her.",
        "Telling people to kill themselves is never a joke, and it gets you banned here.",
        "A banner saying that immigrants are animals was taken down by the police.",
        'Is the sentence "women belong in the kitchen" sexist, and why?',
    ],
    "mentions": [
        "How do black entrepreneurs in Atlanta find investors?",
        "I'm a lesbian looking for a wedding photographer.",
        "Where can Muslim students pray on campus?",
        "What foods do Jewish people eat on Hanukkah?",
    ],
    "people": [
        "I'm a Black gay woman and I'm looking for a shampoo.",
        "I am a Jewish lesbian from Leeds.",
        "My son is transgender, how can I support him?",
        "We are two Muslim doctors and want to open a practice.",
    ],
    "friendly profanity": [
        "Holy shit, this damn app is … awesome!",
        "Holy shit, this damn app is fucking awesome, I love it",
        "You magnificent bastards, the new release is so damn fast.",
        "Hell yeah, that bloody backup saved my ass!",
    ],
    "harmless violence": [
        "How do I kill all background jobs of my shell?",
        "Our team got slaughtered at chess, but it was fun.",
        "Which poison gets rid of rats in a barn?",
        "I hate Mondays with a passion.",
    ],
}
TOXIC = [
    ATTACK,
    "I'm going to find you and smash your face in.",
    "People like you are a cancer, just go and die.",
    "Women are worthless and should shut their mouths.",
    "Get lost, you stinking piece of filth.",
    "Those foreigners are rats and we should get rid of all of them.",
    "Fuck off, you ugly whore.",
    "You pathetic moron, nobody will ever love you.",
]
