"""What failures say of an endpoint: given up at once, doubted and cleared, or left alone."""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import pytest

from pytest_evals.engine.attempts import Attempt
from pytest_evals.engine.health import EndpointHealth
from pytest_evals.engine.rollouts import RolloutResult
from pytest_evals.engine.run import EvalRun
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import InfraError, ModelError, RejectedError
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State

from .bench import (
    Bench,
    FakeClient,
    Signal,
    agreeable,
    always_one,
    attempt_of,
    jobs_of,
    questions,
    rows_of,
    single_turn,
)


def failing(error: Exception) -> Callable[[str], str]:
    def reply(text: str) -> str:
        raise error

    return reply


def lasting(text: str = "connection refused") -> ModelError:
    """Return what is raised after several requests."""
    error = ModelError(text)
    error.requests = 8
    return error


def causes_of(results: list[RolloutResult]) -> list[str | None]:
    return [result.cause for result in results]


class TestRejection:
    def test_costs_one_request_and_explains_the_rest(self, bench: Bench) -> None:
        client = FakeClient(failing(RejectedError("401 Incorrect API key")))
        run = bench.run(single_turn(4), bench.endpoint(lambda: client), "gsm8k")
        bench.start(limit=1).submit(jobs_of(run))
        results = bench.take_all(4)

        assert len(client.asked) == 1
        assert {result.outcome for result in results} == {"unmeasured"}
        assert [result.key for result in results] == [(0, 0), (1, 0), (2, 0), (3, 0)]
        assert causes_of(results) == [None, *["gsm8k::0-r0"] * 3]
        assert {str(result.error) for result in results} == {"401 Incorrect API key"}
        assert [row["state"] for row in rows_of(run)] == ["unmeasured"] * 4

    def test_starts_none_after_it(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(10), bench.endpoint(lambda: client), "gsm8k")
        bench.start(limit=3).submit(jobs_of(run))
        requests = client.take_all(3)

        requests["q1"].fail(RejectedError("401"))
        results = bench.take_all(8)
        requests["q0"].fail(RejectedError("401 again"))
        results.append(bench.take())
        requests["q2"].answer("fine")  # what is in flight goes on, and counts
        last = bench.take()

        assert causes_of(results) == [None, *["gsm8k::1-r0"] * 8]
        assert (last.key, last.outcome) == ((2, 0), "scored")
        assert len(client.asked) == 3

    def test_of_a_later_eval_names_the_first(self, bench: Bench) -> None:
        client = FakeClient(failing(RejectedError("401")))
        endpoint = bench.endpoint(lambda: client)
        engine = bench.start(limit=1)
        engine.submit(jobs_of(bench.run(single_turn(1), endpoint, "a")))
        first = bench.take()
        engine.submit(jobs_of(bench.run(single_turn(2), endpoint, "b")))

        assert causes_of([first, *bench.take_all(2)]) == [None, "a::0-r0", "a::0-r0"]
        assert len(client.asked) == 1

    def test_is_reported_before_the_failures_that_were_doubted(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(3), bench.endpoint(lambda: client), "gsm8k")
        bench.start(limit=2).submit(jobs_of(run))
        requests = client.take_all(2)

        requests["q0"].fail(ModelError("500"))
        requests["q1"].fail(RejectedError("no credit"))
        results = bench.take_all(3)

        # The others did not fail for the reason of q0.
        assert (results[0].key, results[0].cause) == ((1, 0), None)
        assert causes_of(results[1:]) == ["gsm8k::1-r0"] * 2

    def test_after_answers_stops_what_has_not_begun(self, bench: Bench) -> None:
        def reply(text: str) -> str:
            if text == "q2":
                raise RejectedError("no credit left")
            return "fine"

        client = FakeClient(reply)
        run = bench.run(single_turn(6), bench.endpoint(lambda: client))
        results = bench.measure(run, limit=1)

        outcomes = [result.outcome for result in results.values()]
        assert outcomes == ["scored"] * 2 + ["unmeasured"] * 4
        assert client.asked == ["q0", "q1", "q2"]


class TestServerThatIsDown:
    def test_costs_one_round_of_requests(self, bench: Bench) -> None:
        client = FakeClient(failing(lasting("cannot connect")))
        run = bench.run(single_turn(10), bench.endpoint(lambda: client), "gsm8k")
        bench.start(limit=4).submit(jobs_of(run))
        results = bench.take_all(10)

        assert len(client.asked) == 4
        assert {result.outcome for result in results} == {"unmeasured"}
        assert causes_of(results) == [None, *["gsm8k::0-r0"] * 9]

    def test_is_withheld_until_the_last_in_flight_has_failed(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(5), bench.endpoint(lambda: client), "gsm8k")
        bench.start(limit=3).submit(jobs_of(run))
        requests = client.take_all(3)

        requests["q1"].fail(ModelError("reset"))
        requests["q0"].fail(ModelError("timed out"))
        bench.settle()
        assert bench.results.empty()
        assert client.requests.empty()  # two slots are free, and nothing starts
        requests["q2"].fail(lasting("refused"))
        results = bench.take_all(5)

        assert [result.key for result in results][:3] == [(1, 0), (0, 0), (2, 0)]
        assert causes_of(results) == [None, *["gsm8k::1-r0"] * 4]
        assert [str(result.error) for result in results] == [
            "reset",
            "timed out",
            "refused",
            "reset",
            "reset",
        ]
        assert len(client.asked) == 3


class TestDoubt:
    def test_is_cleared_by_one_answer(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(4), bench.endpoint(lambda: client))
        bench.start(limit=3).submit(jobs_of(run))
        requests = client.take_all(3)

        requests["q0"].fail(ModelError("reset"))
        requests["q1"].fail(ModelError("timed out"))
        bench.settle()
        assert bench.results.empty()
        requests["q2"].answer()
        client.take().answer()  # q3 may start
        results = {result.key[0]: result for result in bench.take_all(4)}

        assert [results[number].outcome for number in range(4)] == [
            "unmeasured",
            "unmeasured",
            "scored",
            "scored",
        ]
        assert causes_of(list(results.values())) == [None] * 4  # each stands for itself
        assert str(results[0].error) == "reset"
        assert str(results[1].error) == "timed out"

    def test_is_cleared_before_the_answer_is_scored(self, bench: Bench) -> None:
        judge = Signal()

        async def reward() -> float:
            await judge.reached()
            return 1.0

        client = FakeClient()
        run = bench.run(single_turn(3, reward), bench.endpoint(lambda: client))
        bench.start(limit=2).submit(jobs_of(run))
        requests = client.take_all(2)

        requests["q0"].fail(ModelError("reset"))
        bench.settle()
        requests["q1"].answer()
        assert bench.take().key == (0, 0)
        assert client.take().text == "q2"
        judge.set()
        assert bench.take().key == (1, 0)

    def test_that_is_cleared_starts_rollouts_with_a_context_of_their_own(
        self, bench: Bench
    ) -> None:
        variable = contextvars.ContextVar("variable", default="untouched")
        seen: list[str] = []

        class Marking(SingleTurnEnv):
            async def setup_state(self, state: State) -> State:
                seen.append(variable.get())
                variable.set("touched")
                return state

        client = FakeClient()
        run = bench.run(Marking(dataset=questions(3)), bench.endpoint(lambda: client))
        bench.start(limit=2).submit(jobs_of(run))
        requests = client.take_all(2)
        requests["q0"].fail(ModelError("reset"))
        bench.settle()
        requests["q1"].answer()
        client.take().answer()
        bench.take_all(3)

        assert seen == ["untouched"] * 3

    def test_does_not_come_back_once_there_was_an_answer(self, bench: Bench) -> None:
        def reply(text: str) -> str:
            if text == "q0":
                return "fine"
            raise ModelError(f"{text} failed")

        client = FakeClient(reply)
        run = bench.run(single_turn(5), bench.endpoint(lambda: client))
        results = bench.measure(run, limit=1)

        assert len(client.asked) == 5
        assert causes_of(list(results.values())) == [None] * 5
        assert str(results[3, 0].error) == "q3 failed"

    def test_lets_failures_of_other_things_pass_at_once(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(4), bench.endpoint(lambda: client))
        bench.start().submit(jobs_of(run))
        requests = client.take_all(4)

        requests["q0"].fail(ModelError("reset"))
        bench.settle()
        requests["q1"].fail(ValueError("a bug"))
        bug = bench.take()
        requests["q2"].fail(InfraError("no box"))
        box = bench.take()
        requests["q3"].answer()
        withheld = bench.take()

        assert (bug.key, bug.outcome, bug.cause) == ((1, 0), "broken", None)
        assert (box.key, box.outcome, box.cause) == ((2, 0), "unmeasured", None)
        assert (withheld.key, withheld.cause) == ((0, 0), None)
        assert bench.take().key == (3, 0)

    def test_bugs_of_the_environment_raise_none(self, bench: Bench) -> None:
        client = FakeClient(failing(ValueError("a bug")))
        run = bench.run(single_turn(4), bench.endpoint(lambda: client))
        results = bench.measure(run, limit=1)

        assert len(client.asked) == 4
        assert {result.outcome for result in results.values()} == {"broken"}
        assert causes_of(list(results.values())) == [None] * 4

    def test_a_box_that_fails_raises_none(self, bench: Bench) -> None:
        client = FakeClient(failing(InfraError("no box")))
        run = bench.run(single_turn(3), bench.endpoint(lambda: client))
        results = bench.measure(run, limit=1)

        assert len(client.asked) == 3
        assert causes_of(list(results.values())) == [None] * 3


class TestTooLittleToSay:
    """A few failures that were not tried again give no endpoint up."""

    def test_one_at_a_time_the_next_is_asked_for(self, bench: Bench) -> None:
        def reply(text: str) -> str:
            if text == "q0":
                raise ModelError("reset")
            return "fine"

        client = FakeClient(reply)
        run = bench.run(single_turn(10), bench.endpoint(lambda: client), "gsm8k")
        results = bench.measure(run, limit=1)
        assert len(client.asked) == 10
        outcomes = [result.outcome for result in results.values()]
        assert (outcomes.count("scored"), outcomes.count("unmeasured")) == (9, 1)

    @pytest.mark.parametrize("limit", [1, 3])
    def test_eight_of_them_are_enough(self, bench: Bench, limit: int) -> None:
        client = FakeClient(failing(ModelError("reset")))
        run = bench.run(single_turn(30), bench.endpoint(lambda: client), "gsm8k")
        results = bench.measure(run, limit=limit)
        assert 8 <= len(client.asked) < 8 + limit
        assert sum(result.ends_endpoint for result in results.values()) == 1
        assert {result.outcome for result in results.values()} == {"unmeasured"}

    def test_an_answer_begins_the_count_anew(self, bench: Bench) -> None:
        def reply(text: str) -> str:
            if text == "q7":
                return "fine"
            raise ModelError("400: this prompt is not allowed")

        client = FakeClient(reply)
        run = bench.run(single_turn(30), bench.endpoint(lambda: client), "gsm8k")
        bench.measure(run, limit=1)
        assert len(client.asked) == 30


class TestSilence:
    """A rollout that its environment's own limit ended before the model answered."""

    def test_of_an_endpoint_that_never_answered_is_a_failure_of_the_endpoint(
        self, bench: Bench
    ) -> None:
        client = FakeClient()
        environment = SingleTurnEnv(dataset=questions(3), timeout_seconds=0.01)
        run = bench.run(environment, bench.endpoint(lambda: client), "gsm8k")
        results = bench.measure(run, limit=1)

        assert client.asked == ["q0"]
        assert {result.outcome for result in results.values()} == {"unmeasured"}
        assert causes_of(list(results.values())) == [None, "gsm8k::0-r0", "gsm8k::0-r0"]
        assert [row["state"] for row in rows_of(run)] == ["unmeasured"] * 3

    def test_of_one_that_answers_is_scored(self, bench: Bench) -> None:
        client = FakeClient()
        environment = SingleTurnEnv(
            dataset=questions(2), rubric=Rubric(funcs=[always_one]), timeout_seconds=0.2
        )
        run = bench.run(environment, bench.endpoint(lambda: client))
        bench.start(limit=1).submit(jobs_of(run))
        client.take().answer()
        answered, silent = bench.take_all(2)

        assert (answered.outcome, silent.outcome) == ("scored", "scored")
        assert silent.completion == []


class TestGivingUp:
    def test_before_the_start_asks_nothing(self, bench: Bench) -> None:
        made: list[FakeClient] = []
        endpoint = bench.endpoint(lambda: made.append(FakeClient()) or made[-1])  # type: ignore[func-returns-value]
        run = bench.run(single_turn(3), endpoint, "gsm8k")
        engine = bench.start()
        error = ModelError("the server did not start")
        engine.give_up(endpoint, error)
        engine.submit(jobs_of(run))
        results = bench.take_all(3)

        assert [result.error for result in results] == [error] * 3
        assert causes_of(results) == [None, "gsm8k::0-r0", "gsm8k::0-r0"]
        assert made == []
        for row in rows_of(run):
            assert (row["state"], row["attempts"], row["completion"]) == ("unmeasured", 0, None)

    def test_later_spares_what_is_in_flight(self, bench: Bench) -> None:
        client = FakeClient()
        endpoint = bench.endpoint(lambda: client)
        run = bench.run(single_turn(3), endpoint)
        engine = bench.start(limit=1)
        engine.submit(jobs_of(run))
        request = client.take()
        engine.give_up(endpoint, ModelError("the server died"))
        bench.settle()
        request.answer()
        results = {result.key[0]: result for result in bench.take_all(3)}

        assert results[0].outcome == "scored"
        assert {results[1].outcome, results[2].outcome} == {"unmeasured"}
        assert len(client.asked) == 1

    def test_for_a_reason_that_is_not_the_endpoints_blames_no_rollout(self, bench: Bench) -> None:
        endpoint = bench.endpoint(FakeClient)
        engine = bench.start()
        engine.give_up(endpoint, ValueError("a bug in a hook"))
        engine.submit(jobs_of(bench.run(single_turn(2), endpoint)))
        results = bench.take_all(2)

        assert causes_of(results) == [None, None]
        assert {result.outcome for result in results} == {"broken"}


class TestTwoEndpoints:
    def test_know_nothing_of_each_other(self, bench: Bench) -> None:
        down, up = FakeClient(failing(RejectedError("401"))), FakeClient(agreeable)
        first = bench.run(single_turn(3, prefix="a"), bench.endpoint(lambda: down, "down"), "a")
        second = bench.run(single_turn(3, prefix="b"), bench.endpoint(lambda: up, "up"), "b")
        bench.start(limit=1).submit([*jobs_of(first), *jobs_of(second)])
        results = bench.take_all(6)

        assert {r.outcome for r in results if r.run is first} == {"unmeasured"}
        assert {r.outcome for r in results if r.run is second} == {"scored"}
        assert (len(down.asked), len(up.asked)) == (1, 3)

    def test_one_in_doubt_does_not_hold_the_other(self, bench: Bench) -> None:
        doubted, up = FakeClient(), FakeClient()
        first = bench.run(single_turn(3, prefix="a"), bench.endpoint(lambda: doubted, "a"), "a")
        second = bench.run(single_turn(2, prefix="b"), bench.endpoint(lambda: up, "b"), "b")
        bench.start(limit=2).submit([*jobs_of(first), *jobs_of(second)])
        requests = doubted.take_all(2)

        requests["a0"].fail(ModelError("reset"))
        for _ in range(2):  # in the slot that a2 may not have
            up.take().answer()
        assert {result.run for result in bench.take_all(2)} == {second}
        requests["a1"].fail(lasting("reset"))

        assert {result.run for result in bench.take_all(3)} == {first}

    def test_are_two_although_they_look_alike(self, bench: Bench) -> None:
        clients = [FakeClient(failing(RejectedError("401"))), FakeClient(agreeable)]
        unused = iter(clients)
        endpoints = [bench.endpoint(lambda: next(unused)) for _ in range(2)]
        runs = [bench.run(single_turn(2), endpoint) for endpoint in endpoints]
        bench.start(limit=1).submit([job for run in runs for job in jobs_of(run)])
        results = bench.take_all(4)

        assert endpoints[0] == endpoints[1]
        assert [result.outcome for result in results] == ["unmeasured"] * 2 + ["scored"] * 2


class TestUnit:
    @pytest.fixture
    def run(self, bench: Bench) -> EvalRun:
        return bench.run(single_turn(1), bench.endpoint(FakeClient), "gsm8k")

    @staticmethod
    def fail(health: EndpointHealth, run: EvalRun, error: BaseException, rollout: int) -> Attempt:
        attempt = attempt_of(run, error, rollout)
        health.failed(attempt)
        return attempt

    def test_starts_unknown(self) -> None:
        health = EndpointHealth()
        assert (health.status, health.may_start, health.settled()) == ("unknown", True, [])

    def test_an_answer_settles_it(self) -> None:
        health = EndpointHealth()
        assert health.answered() is False
        assert (health.status, health.may_start) == ("answering", True)

    def test_failure_of_an_unknown_endpoint_is_doubt(self, run: EvalRun) -> None:
        health = EndpointHealth()
        health.in_flight = 1
        attempt = self.fail(health, run, ModelError("reset"), 0)

        assert (health.status, health.may_start, health.settled()) == ("doubtful", False, [])
        assert health.answered() is True
        assert (health.status, health.settled()) == ("answering", [attempt])
        assert (attempt.cause, health.settled()) == (None, [])

    def test_doubt_with_nothing_in_flight_is_the_end(self, run: EvalRun) -> None:
        health = EndpointHealth()
        health.in_flight = 1
        first = self.fail(health, run, ModelError("reset"), 0)
        second = self.fail(health, run, lasting("timed out"), 1)
        health.in_flight = 0

        assert health.settled() == [first, second]
        assert (health.status, health.may_start, health.error) == ("given up", False, first.error)
        assert (first.cause, second.cause) == (None, "gsm8k::0-r0")

    def test_rejection_is_the_end_at_once(self, run: EvalRun) -> None:
        health = EndpointHealth()
        health.in_flight = 5
        attempt = self.fail(health, run, RejectedError("401"), 0)

        assert (health.status, health.settled()) == ("given up", [attempt])
        assert health.answered() is False
        assert health.status == "given up"

    def test_doubt_lets_other_failures_through(self, run: EvalRun) -> None:
        health = EndpointHealth()
        health.in_flight = 1
        withheld = self.fail(health, run, ModelError("reset"), 0)
        bug = self.fail(health, run, ValueError("a bug"), 1)
        box = self.fail(health, run, InfraError("no box"), 2)

        assert health.settled() == [bug, box]
        assert health.answered() is True
        assert health.settled() == [withheld]

    def test_only_failures_of_the_endpoint_are_explained(self, run: EvalRun) -> None:
        health = EndpointHealth()
        health.in_flight = 1
        bug = self.fail(health, run, ValueError("a bug"), 0)
        rejected = self.fail(health, run, RejectedError("401"), 1)
        late = self.fail(health, run, InfraError("no box"), 2)

        assert set(map(id, health.settled())) == {id(bug), id(rejected), id(late)}
        assert (bug.cause, rejected.cause, late.cause) == (None, None, None)
        assert health.cause == "gsm8k::0-r1"

    def test_what_it_was_given_up_for_comes_first(self, run: EvalRun) -> None:
        health = EndpointHealth()
        health.in_flight = 2
        doubted = self.fail(health, run, ModelError("500"), 0)
        rejected = self.fail(health, run, RejectedError("no credit"), 1)

        assert health.settled() == [rejected, doubted]
        assert (rejected.cause, doubted.cause) == (None, "gsm8k::0-r1")

    def test_other_failures_raise_no_doubt(self, run: EvalRun) -> None:
        health = EndpointHealth()
        self.fail(health, run, InfraError("no box"), 0)
        self.fail(health, run, KeyError("bug"), 1)

        assert health.status == "unknown"
        assert len(health.settled()) == 2

    def test_nothing_is_doubted_after_an_answer(self, run: EvalRun) -> None:
        health = EndpointHealth()
        health.answered()
        attempt = self.fail(health, run, ModelError("reset"), 0)

        assert (health.status, health.settled()) == ("answering", [attempt])


class TestAfterAnAnswer:
    """An endpoint that has answered is probed when a whole flight fails."""

    def test_one_that_died_costs_a_flight_and_three_probes(self, bench: Bench) -> None:
        def reply(text: str) -> str:
            if text == "q0":
                return "fine"
            raise lasting()

        client = FakeClient(reply)
        run = bench.run(single_turn(60), bench.endpoint(lambda: client), "gsm8k")
        results = bench.measure(run, limit=10)
        assert len(client.asked) <= 1 + 10 + 9 + 3
        outcomes = [result.outcome for result in results.values()]
        assert outcomes.count("scored") == 1
        assert outcomes.count("unmeasured") == 59
        assert sum(result.ends_endpoint for result in results.values()) == 1

    def test_probes_go_one_at_a_time(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(30), bench.endpoint(lambda: client), "gsm8k")
        bench.start(limit=8).submit(jobs_of(run))
        client.take().answer()
        bench.take()
        bench.settle()
        failed = 0
        while client.in_flight > 1:
            client.take().fail(lasting())
            bench.take()
            bench.settle()
            failed += 1
        assert 8 <= failed < 8 + 8
        for _ in range(2):
            assert client.in_flight == 1
            client.take().fail(lasting())
            bench.take()
            bench.settle()
        client.take().answer()  # it is back
        assert bench.take().outcome == "scored"
        bench.settle()
        left = 30 - 1 - failed - 2 - 1
        assert client.in_flight == min(8, left)
        for _ in range(left):
            client.take().answer()
        assert {result.outcome for result in bench.take_all(left)} == {"scored"}

    def test_refusals_of_single_requests_are_no_outage(self, bench: Bench) -> None:
        def reply(text: str) -> str:
            if int(text[1:]) % 20:
                raise ModelError("400: this prompt is not allowed")
            return "fine"

        client = FakeClient(reply)
        run = bench.run(single_turn(60), bench.endpoint(lambda: client), "gsm8k")
        bench.measure(run, limit=2)
        assert len(client.asked) == 60
