"""One turn and an XMLParser: sums, with the result in tags."""

import verifiers as vf
from datasets import Dataset

SUMS = ("17 + 25", "8 * 7 - 3", "120 / 8", "46 - 19 + 7", "13 * 12", "99 + 101 - 50")


def load_environment(thinks: bool = True) -> vf.Environment:
    fields = ["think", "answer"] if thinks else ["answer"]
    parser = vf.XMLParser(fields=fields, answer_field="answer")

    def correct(completion, answer) -> float:
        return 1.0 if (parser.parse_answer(completion) or "").strip() == answer else 0.0

    async def brief(completion, **kwargs) -> float:
        return 1.0 / len(completion[-1]["content"])

    rubric = vf.Rubric(
        funcs=[correct, parser.get_format_reward_func(), brief],
        weights=[1.0, 0.2, 0.0],
        parser=parser,
    )
    return vf.SingleTurnEnv(
        dataset=Dataset.from_list(
            [{"question": f"What is {s}?", "answer": str(int(eval(s)))} for s in SUMS]
        ),
        system_prompt=f"Answer in this format:\n{parser.get_format_str()}",
        parser=parser,
        rubric=rubric,
    )
