"""Settings of an eval reach its environment and rubrics, and no other eval's."""

from __future__ import annotations

import pytest

from .conftest import Project

ONE_EVAL = '[[eval]]\nenv_id = "sums"\n'

FAULTY = """
    import pytest_evals as vf

    def right(answer):
        return float(answer == "0")

    def faulty(answer):
        return 1.0 / int(answer)

    def load_environment():
        rows = [{"question": f"What is {n} + 0?", "answer": str(n)} for n in range(2)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[right, faulty]))
"""


class TestExtraEnvKwargs:
    def test_are_given_to_the_loaded_environment(self, project: Project, url: str) -> None:
        project.environment(
            "settable",
            """
            import pytest_evals as vf

            class Settable(vf.SingleTurnEnv):
                def set_level(self, level):
                    self.level = 10 * level

            def load_environment():
                def level():
                    return float(environment.level)

                environment = Settable(dataset=[{"question": "q"}], rubric=vf.Rubric(funcs=[level]))
                return environment
            """,
        )
        project.evals(
            "extra_env_kwargs = { level = 1 }\n"
            '[[eval]]\nenv_id = "settable"\nname = "first"\n'
            '[[eval]]\nenv_id = "settable"\nname = "second"\n'
            "extra_env_kwargs = { level = 2, pass_threshold = 30 }\n",
            url=url,
        )
        result = project.run("bench.toml")
        assert result.ret == 0
        by_name = {project.metadata(run)["name"]: run for run in project.runs()}
        assert {row["reward"] for row in project.rows(by_name["first"])} == {10.0}
        assert {row["reward"] for row in project.rows(by_name["second"])} == {20.0}
        assert {row["correct"] for row in project.rows(by_name["second"])} == {False}

    def test_of_the_eval_beat_those_of_the_file_as_a_table(
        self, project: Project, url: str
    ) -> None:
        project.evals(
            "extra_env_kwargs = { no_such_thing = 1 }\n" + ONE_EVAL + "extra_env_kwargs = {}\n",
            url=url,
        )
        assert project.run("bench.toml").ret == 0

    def test_that_the_environment_refuses_are_a_collection_error(
        self, project: Project, url: str
    ) -> None:
        project.environment(
            "picky",
            """
            import pytest_evals as vf

            class Picky(vf.SingleTurnEnv):
                def set_level(self, level):
                    raise ValueError(f"no level {level}")

            def load_environment():
                return Picky(dataset=[{"question": "q"}], rubric=vf.Rubric(funcs=[lambda: 1.0]))
            """,
        )
        project.evals('[[eval]]\nenv_id = "picky"\nextra_env_kwargs = { level = 3 }\n', url=url)
        result = project.run("bench.toml")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            [
                "*bench.toml:6: environment 'picky' refuses {'level': 3}*ValueError: no level 3",
                '*raise ValueError(f"no level {level}")*',
            ]
        )

    def test_timeout_goes_the_same_way(self, project: Project, url: str) -> None:
        project.environment(
            "pair",
            """
            import asyncio
            import pytest_evals as vf

            class Waits(vf.SingleTurnEnv):
                async def setup_state(self, state):
                    await asyncio.Event().wait()

            def fine():
                return 1.0

            def load_environment():
                rows = [{"question": "q"}]
                first = vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[fine]))
                return vf.EnvGroup([first, Waits(dataset=rows, rubric=vf.Rubric(funcs=[fine]))])
            """,
        )
        project.evals(
            '[[eval]]\nenv_id = "pair"\nrollouts_per_example = 1\ntimeout = 3.0\n', url=url
        )
        result = project.run("bench.toml")
        assert result.ret == 0
        conditions = {row["stop_condition"] for row in project.rows()}
        assert conditions == {"max_turns_reached", "timeout_reached"}

    @pytest.mark.parametrize("is_grouped", [False, True])
    def test_timeout_is_refused_where_nothing_would_obey_it(
        self, project: Project, url: str, is_grouped: bool
    ) -> None:
        made = "Own(dataset=[{'question': 'q'}])"
        project.environment(
            "own",
            f"""
            import pytest_evals as vf

            class Own(vf.Environment):
                async def rollout(self, input, client, model, sampling_args=None):
                    return await self.init_state(input, client, model, sampling_args)

            def load_environment():
                return {f"vf.EnvGroup([{made}])" if is_grouped else made}
            """,
        )
        project.evals('[[eval]]\nenv_id = "own"\ntimeout = 2.0\n', url=url)
        result = project.run("bench.toml")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            ["*environment 'own' refuses {'timeout_seconds': 2.0}*: Own has a rollout() *"]
        )
        assert not project.runs()


class TestRewardErrors:
    def test_break_their_rollouts(self, project: Project, url: str) -> None:
        project.environment("faulty", FAULTY)
        project.evals('[[eval]]\nenv_id = "faulty"\n', url=url)
        result = project.run("bench.toml")
        assert result.ret == 1
        assert project.metadata()["states"]["broken"] == 3
        assert project.metadata()["reward_errors"] == 0

    def test_count_as_zero_where_the_eval_says_so_and_are_shown(
        self, project: Project, url: str
    ) -> None:
        project.environment("faulty", FAULTY)
        project.evals('[[eval]]\nenv_id = "faulty"\nreward_errors = "zero"\n', url=url)
        result = project.run("bench.toml")
        assert result.ret == 0
        result.stdout.fnmatch_lines(
            ["  3 reward errors counted as 0", "    3x faulty: *(*environments/faulty.py:*)"]
        )
        assert project.metadata()["reward_errors"] == 3
        rows = {(row["example_id"], row["rollout"]): row for row in project.rows()}
        assert (rows[0, 0]["reward"], len(rows[0, 0]["reward_errors"])) == (1.0, 1)
        assert rows[0, 0]["metrics"]["faulty"] == 0.0
        assert (rows[1, 0]["reward"], "reward_errors" in rows[1, 0]) == (1.0, False)

    def test_are_a_matter_of_each_eval(self, project: Project, url: str) -> None:
        project.environment("faulty", FAULTY)
        project.evals(
            '[[eval]]\nenv_id = "faulty"\nname = "strict"\n'
            '[[eval]]\nenv_id = "faulty"\nname = "lenient"\nreward_errors = "zero"\n',
            url=url,
        )
        assert project.run("bench.toml").ret == 1
        broken = {project.metadata(run)["name"]: project.metadata(run) for run in project.runs()}
        assert broken["strict"]["states"]["broken"] == 3
        assert broken["lenient"]["states"]["broken"] == 0

    def test_are_left_to_a_rubric_that_has_its_own_mind(self, project: Project, url: str) -> None:
        project.environment("faulty", FAULTY.replace("rows = [", "r = 0\n        rows = ["))
        source = (project.path / "environments" / "faulty.py").read_text()
        source = source.replace(
            "    return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[right, faulty]))",
            "    rubric = vf.Rubric(funcs=[right, faulty])\n"
            '    rubric.reward_errors = "zero"\n'
            "    return vf.SingleTurnEnv(dataset=rows, rubric=rubric)",
        )
        (project.path / "environments" / "faulty.py").write_text(source)
        project.evals('[[eval]]\nenv_id = "faulty"\n', url=url)
        assert project.run("bench.toml").ret == 0

    def test_of_a_judge_are_never_zero(self, project: Project, url: str) -> None:
        project.environment(
            "judged",
            """
            import pytest_evals as vf

            async def judge_it():
                raise vf.InfraError("the judge is down")

            def load_environment():
                rows = [{"question": "q"}]
                return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[judge_it]))
            """,
        )
        project.evals('[[eval]]\nenv_id = "judged"\nreward_errors = "zero"\n', url=url)
        assert project.run("bench.toml").ret == 1
        assert {row["state"] for row in project.rows()} == {"generated"}
        assert project.metadata()["states"]["unmeasured"] == 3


class TestOneObjectForSeveralEvals:
    SHARED = """
        import pytest_evals as vf

        RUBRIC = vf.Rubric(funcs=[lambda: 1.0])
        SHARED = vf.SingleTurnEnv(dataset=[{"question": "q"}], rubric=RUBRIC)

        def load_environment(fresh=False):
            if fresh:
                return vf.SingleTurnEnv(dataset=[{"question": "q"}], rubric=RUBRIC)
            return SHARED
    """

    @pytest.mark.parametrize(
        ("settings", "differing"),
        [
            ("timeout = 5", "timeout_seconds"),
            ("extra_env_kwargs = { max_seq_len = 3 }", "max_seq_len"),
            ('reward_errors = "zero"', "reward_errors"),
            ('reward_errors = "zero"\nenv_args = { fresh = true }', "reward_errors"),
        ],
    )
    def test_is_refused_when_they_differ(
        self, project: Project, url: str, settings: str, differing: str
    ) -> None:
        project.environment("shared", self.SHARED)
        project.evals(
            '[[eval]]\nenv_id = "shared"\nname = "one"\n'
            f'[[eval]]\nenv_id = "shared"\nname = "two"\n{settings}\n',
            url=url,
        )
        result = project.run("bench.toml")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            [f"*bench.toml:7: evals 'one' and 'two' differ in {differing}, but load_environment()*"]
        )

    def test_is_fine_when_they_agree(self, project: Project, url: str) -> None:
        project.environment("shared", self.SHARED)
        project.evals(
            "timeout = 5\n"
            '[[eval]]\nenv_id = "shared"\nname = "one"\n'
            '[[eval]]\nenv_id = "shared"\nname = "two"\n',
            url=url,
        )
        assert project.run("bench.toml").ret == 0


class TestParametersThatNothingProvides:
    @pytest.mark.parametrize(
        ("function", "told"),
        [
            ("def grade(completion, solution)", "'solution', which nothing provides*; available:"),
            ("def grade(completon)", "'completon', which*(did you mean 'completion'?); available:"),
            ("async def grade(*, truth)", "'truth', which nothing provides; available: answer,"),
            ("def grade(completions, questions)", "'questions', which nothing provides*: answers,"),
        ],
    )
    def test_are_a_collection_error(
        self, project: Project, url: str, function: str, told: str
    ) -> None:
        project.environment(
            "asking",
            f"""
            import pytest_evals as vf

            {function}:
                return 1.0

            def load_environment():
                rows = [{{"question": "q", "level": 3}}]
                return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[grade]))
            """,
        )
        project.evals('[[eval]]\nenv_id = "asking"', url=url)
        result = project.run("bench.toml")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            [f"*bench.toml:4: *'asking' cannot score: grade() at *asking.py:4 asks for {told}*"]
        )
        assert not project.runs()

    def test_are_not_those_with_a_default_or_an_object_or_all(
        self, project: Project, url: str
    ) -> None:
        project.environment(
            "asking",
            """
            import pytest_evals as vf

            def grade(completion, level, helper, parser, state, task, info, hint=None, **kwargs):
                return float(level + helper)

            def load_environment():
                rubric = vf.Rubric(funcs=[grade])
                rubric.add_class_object("helper", 4)
                return vf.SingleTurnEnv(dataset=[{"question": "q", "level": 3}], rubric=rubric)
            """,
        )
        project.evals('[[eval]]\nenv_id = "asking"', url=url)
        assert project.run("bench.toml").ret == 0
        assert {row["reward"] for row in project.rows()} == {7.0}

    def test_are_looked_for_in_rows_that_lack_a_column(self, project: Project, url: str) -> None:
        project.environment(
            "asking",
            """
            import pytest_evals as vf

            def grade(completion, level):
                return float(level)

            def load_environment():
                rows = [{"question": "q", "level": 3}] * 2 + [{"question": "q"}]
                return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[grade]))
            """,
        )
        project.evals('[[eval]]\nenv_id = "asking"\nnum_examples = -1', url=url)
        result = project.run("bench.toml")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            ["*'asking' cannot score: grade() at *asking.py:4 asks for 'level'*"]
        )
        assert not project.runs()

    def test_are_looked_for_in_every_rubric(self, project: Project, url: str) -> None:
        project.environment(
            "mixed",
            """
            import pytest_evals as vf

            def fine():
                return 1.0

            def asking(nothing):
                return 1.0

            def load_environment():
                rows = [{"question": "q"}]
                fine_one = vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[fine]))
                rubric = vf.RubricGroup([vf.Rubric(funcs=[fine]), vf.Rubric(funcs=[asking])])
                return vf.EnvGroup([fine_one, vf.SingleTurnEnv(dataset=rows, rubric=rubric)])
            """,
        )
        project.evals('[[eval]]\nenv_id = "mixed"\nnum_examples = 2', url=url)
        project.run("bench.toml").stdout.fnmatch_lines(
            ["*asking() at *mixed.py:* asks for 'nothing'*"]
        )
        project.evals('[[eval]]\nenv_id = "mixed"\nnum_examples = 1', url=url)
        assert project.run("bench.toml").ret == 0


@pytest.mark.workers
def test_a_setting_that_is_nearly_an_attribute_is_told(project: Project, url: str) -> None:
    project.environment(
        "several",
        """
        import pytest_evals as vf

        class Several(vf.ToolEnv):
            pass

        def load_environment():
            rubric = vf.Rubric(funcs=[lambda: 1.0])
            return Several(dataset=[{"question": "What is 1 + 1?"}], rubric=rubric, tools=[])
        """,
    )
    project.evals(
        '[[eval]]\nenv_id = "several"\n'
        "extra_env_kwargs = { max_turn = 3, max_turns = 2, concurency = 1, concurrency = 4,"
        " invented = 1 }",
        url=url,
    )
    result = project.run("bench.toml")
    assert result.ret == 0  # some environments invent attributes: only told
    out = result.stdout.str()
    for name, near in [("max_turn", "max_turns"), ("concurency", "concurrency")]:
        told = (
            f"several: Several has no attribute {name!r} that extra_env_kwargs could change;"
            f" it was added (did you mean {near!r}?)"
        )
        assert out.count(f"\n{told}") == out.count(f"\nevals: {told}") == 1, out
    assert out.count("has no attribute") == 4


def test_gates_may_name_the_metrics_of_any_member(project: Project, url: str) -> None:
    project.environment(
        "pair",
        """
        import pytest_evals as vf

        def first():
            return 1.0

        def second():
            return 0.5

        def load_environment():
            rows = [{"question": "q"}]
            return vf.EnvGroup([
                vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[func]))
                for func in (first, second)
            ])
        """,
    )
    project.evals('[[eval]]\nenv_id = "pair"\ngates = ["second >= 0.5"]', url=url)
    result = project.run("bench.toml")
    assert "the rubric of 'pair' has no metric" not in result.stdout.str()
    project.evals('[[eval]]\nenv_id = "pair"\ngates = ["secnd >= 0.5"]', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*no metric 'secnd' (did you mean 'second'?); it has first, *"])


class TestScoreRolloutsFalse:
    def test_keeps_the_answers_and_is_red(self, project: Project, url: str) -> None:
        project.evals(
            ONE_EVAL + 'extra_env_kwargs = { score_rollouts = false }\ngates = ["reward >= 0.1"]\n',
            url=url,
        )
        result = project.run("bench.toml", "-rs")
        assert result.ret == 1
        result.assert_outcomes(skipped=12, failed=2)
        result.stdout.fnmatch_lines(
            [
                "evals: sums: score_rollouts is False: *the eval cannot pass",
                "reward >= 0.1 failed: nothing was scored*12 have no result*",
                "SKIPPED [[]12[]]*generated and kept, not scored*",
                "sums *FAILED*",
            ]
        )
        assert {row["state"] for row in project.rows()} == {"generated"}
        assert all(row["completion"] for row in project.rows())
        assert project.metadata()["states"] == {
            "scored": 0,
            "unmeasured": 0,
            "broken": 0,
            "missing": 12,
        }

    def test_of_a_rubric_that_could_not_score_at_all(self, project: Project, url: str) -> None:
        project.environment(
            "asking",
            """
            import pytest_evals as vf

            def grade(nothing):
                return 1.0

            def load_environment():
                return vf.SingleTurnEnv(dataset=[{"question": "q"}], score_rollouts=False,
                                        rubric=vf.Rubric(funcs=[grade]))
            """,
        )
        project.evals('[[eval]]\nenv_id = "asking"', url=url)
        project.run("bench.toml").assert_outcomes(skipped=3, failed=1)


def test_slow_rewards_are_named_with_advice(project: Project, url: str) -> None:
    project.environment(
        "slow",
        """
        import time
        import pytest_evals as vf

        def sleepy(answer):
            time.sleep(0.12 if answer == "1" else 0)
            return 1.0

        def load_environment():
            rows = [{"question": f"What is {n} + 0?", "answer": str(n)} for n in range(2)]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[sleepy]))
        """,
    )
    project.evals('[[eval]]\nenv_id = "slow"\nrollouts_per_example = 2', url=url)
    result = project.run("bench.toml")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "slow: slow: reward function 'sleepy' blocked the event loop for up to 1?? ms, in 2*",
            "  while it runs, *make it async*asyncio.to_thread*",
        ]
    )


class TestTeardown:
    ENVIRONMENT = """
        import pathlib
        import pytest_evals as vf

        class Torn(vf.SingleTurnEnv):
            @vf.teardown
            async def release(self):
                with pathlib.Path("torn").open("a") as file:
                    file.write("x")
                {more}

        def load_environment():
            return Torn(dataset=[{{"question": "q"}}], rubric=vf.Rubric(funcs=[lambda: 1.0]))
    """

    @pytest.mark.parametrize("option", ["--evals-partial", "--evals-sequential"])
    def test_comes_once_at_the_end(self, project: Project, url: str, option: str) -> None:
        project.environment("torn", self.ENVIRONMENT.format(more=""))
        project.evals('[[eval]]\nenv_id = "torn"', url=url)
        assert project.run("bench.toml", option).ret == 0
        assert (project.path / "torn").read_text() == "x"

    def test_that_fails_is_a_warning(self, project: Project, url: str) -> None:
        project.environment("torn", self.ENVIRONMENT.format(more="raise OSError('stuck')"))
        project.evals('[[eval]]\nenv_id = "torn"', url=url)
        result = project.run("bench.toml")
        assert result.ret == 0
        result.stdout.fnmatch_lines(["teardown of environment 'torn' failed: OSError: stuck"])
        log = (project.runs()[0] / "run.log").read_text()
        assert "raise OSError('stuck')" in log

    def test_comes_when_a_session_is_stopped_too(self, project: Project, url: str) -> None:
        project.environment("torn", self.ENVIRONMENT.format(more=""))
        project.evals('[[eval]]\nenv_id = "torn"\npass_reward = 2', url=url)
        assert project.run("bench.toml", "-x").ret == 1
        assert (project.path / "torn").read_text() == "x"


def test_a_failed_cleanup_of_the_rubric_is_in_the_log(project: Project, url: str) -> None:
    project.environment(
        "cleaning",
        """
        import pytest_evals as vf

        class Cleaning(vf.Rubric):
            @vf.cleanup
            async def release(self, state):
                raise OSError("stuck")

        def load_environment():
            rubric = Cleaning(funcs=[lambda: 1.0])
            return vf.SingleTurnEnv(dataset=[{"question": "q"}], rubric=rubric)
        """,
    )
    project.evals('[[eval]]\nenv_id = "cleaning"', url=url)
    assert project.run("bench.toml").ret == 0
    log = (project.runs()[0] / "run.log").read_text()
    assert log.count("cleanup of the rubric failed") == 3
    assert "OSError: stuck" in log
