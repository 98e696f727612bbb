"""Several turns: a word is guessed with the environment's hints."""

import verifiers as vf
from datasets import Dataset
from verifiers.types import Messages, State

WORDS = ("crane", "honey", "river", "storm", "glass", "train")
SYSTEM_PROMPT = (
    "Guess the secret word of 5 letters. Put each guess in <guess> tags. The answer to a guess has "
    "a letter below each of its letters: G when it is in its place, Y when the word has it "
    "elsewhere, X when the word does not have it."
)


def hint(guess: str, word: str) -> str:
    marks = ["G" if g == w else "X" for g, w in zip(guess, word)]
    left = [w for g, w in zip(guess, word) if g != w]
    for index, letter in enumerate(guess):
        if marks[index] == "X" and letter in left:
            left.remove(letter)
            marks[index] = "Y"
    return " ".join(marks)


class GuessWordEnv(vf.MultiTurnEnv):
    async def setup_state(self, state: State) -> State:
        state["guesses"] = []
        return state

    @vf.stop
    async def guessed(self, state: State) -> bool:
        return state["answer"] in state["guesses"]

    async def add_trajectory_step(self, state: State, trajectory_step) -> None:
        guess = self.parser.parse_answer(trajectory_step["completion"])
        state["guesses"].append((guess or "").lower())
        await super().add_trajectory_step(state, trajectory_step)

    async def env_response(self, messages: Messages, state: State, **kwargs) -> Messages:
        guess = state["guesses"][-1]
        if guess == "crown":  # the environment has the last word on this one
            state["final_env_response"] = [vf.UserMessage(content="No kings here.")]
            return state["final_env_response"]
        if len(guess) != 5:
            return [vf.UserMessage(content="That was no word of 5 letters in <guess> tags.")]
        shown = f"{' '.join(guess.upper())}\n{hint(guess, state['answer'])}\n"
        return [{"role": "user", "content": shown}]


def load_environment(max_guesses: int = 5) -> vf.Environment:
    parser = vf.XMLParser(["guess"], answer_field="guess")

    def solved(state, answer) -> float:
        return float(answer in state["guesses"])

    def speed(completion, parser, answer) -> float:
        guesses = len(parser.get_assistant_messages(completion))
        return (max_guesses + 1 - guesses) / max_guesses

    return GuessWordEnv(
        dataset=Dataset.from_list(
            [
                {"question": f"Make your first guess at word {number}.", "answer": word}
                for number, word in enumerate(WORDS, 1)
            ]
        ),
        system_prompt=SYSTEM_PROMPT,
        parser=parser,
        rubric=vf.Rubric(funcs=[solved, speed], weights=[1.0, 0.1], parser=parser),
        max_turns=max_guesses,
    )
