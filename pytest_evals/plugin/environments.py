"""Environments of a session: found, loaded, given the settings of their eval, and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ..adapters.importing import VerifiersImports
from ..config.spec import EvalSpec
from ..engine.parts import rubric_of
from ..environments.checking import check_parameters, misspelt_settings, warnings_of
from ..environments.environment import Environment
from ..environments.loading import load_environment
from ..environments.location import (
    EnvironmentLocation,
    environment_defaults,
    environment_version,
    find_environment,
)
from ..errors import ConfigError, EnvironmentLoadError, SetupError, one_line
from ..gates.metrics import nearest, read_metric
from . import options

_ENVIRONMENTS = Path("environments")


class SessionEnvironments:
    """The environments of the session's evals.

    Attributes:
        verifiers: what those get that import verifiers.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.verifiers = VerifiersImports(options.verifiers_mode(config))
        self._named: dict[Path, EnvironmentLocation | None] = {}
        # By identity: what a setting was given to, the setting, and the eval's name.
        self._given: dict[int, tuple[object, Mapping[str, Any], str]] = {}
        # By identity of the environment: a line for each setting that is probably misspelt.
        self._misspelt: dict[int, list[str]] = {}

    def name(self, path: Path, location: EnvironmentLocation | None) -> None:
        """Note that an environment was itself named, and where it is, if that is known."""
        self._named[path] = location

    def find(self, env_id: str, env_dir: str | None) -> EnvironmentLocation | None:
        """Return where an environment is that was named by its id.

        None when nothing is found but a hook may know it.

        Raises:
            EnvironmentLoadError: nothing is found.
        """
        try:
            return self._find(env_id, None, env_dir)
        except EnvironmentLoadError:
            if self._config.hook.pytest_evals_load_environment.get_hookimpls():
                return None
            raise

    def is_named(self, path: Path) -> bool:
        """Whether `path` is that of an environment that was named, not of an eval file."""
        return path in self._named

    def defaults(
        self, env_id: str, config_dir: Path | None, env_dir: str | None
    ) -> Mapping[str, Any]:
        """Return what an environment's own pyproject.toml says of its evals."""
        try:
            return environment_defaults(self._find(env_id, config_dir, env_dir))
        except EnvironmentLoadError:
            return {}  # not found: an error when the eval itself is collected, if it is

    def of(self, spec: EvalSpec, hook: Any) -> Environment:
        """Load the environment of an eval and give it the eval's settings.

        Args:
            hook: the hooks in force where the eval's file lies.

        Raises:
            SetupError: it does not load, or takes a setting amiss.
        """
        with self.verifiers.importable():
            loaded: Environment | None = hook.pytest_evals_load_environment(
                config=self._config, spec=spec
            )
            if loaded is None:
                loaded = self._load(spec)
        environment = self.verifiers.adapted(loaded)
        self._set_up(spec, environment)
        return environment

    def version_of(self, spec: EvalSpec) -> str | None:
        """Return the version of an eval's environment; None where nothing says one."""
        try:
            location = self._location_of(spec)
        except EnvironmentLoadError:  # a hook made it
            return None
        return environment_version(location)

    def _load(self, spec: EvalSpec) -> Environment:
        return load_environment(spec.env_id, self._location_of(spec), **spec.env_args)

    def _location_of(self, spec: EvalSpec) -> EnvironmentLocation:
        location = self._named.get(spec.path)
        if location is not None:
            return location
        return self._find(spec.env_id, spec.path.parent, spec.env_dir_path)

    def _find(
        self, env_id: str, config_dir: Path | None, env_dir: str | None
    ) -> EnvironmentLocation:
        folder = self._config.invocation_params.dir / (env_dir or _ENVIRONMENTS)
        return find_environment(env_id, env_dir=folder, config_dir=config_dir)

    def _set_up(self, spec: EvalSpec, environment: Environment) -> None:
        settings = dict(spec.extra_env_kwargs)
        if spec.timeout is not None:
            settings["timeout_seconds"] = spec.timeout
        if not self._is_first(environment, settings, spec) or not settings:
            return
        set_kwargs = getattr(environment, "set_kwargs", None)
        if set_kwargs is None:
            raise SetupError(
                f"environment {spec.env_id!r} has no set_kwargs(): it cannot be given"
                f" {', '.join(settings)}"
            ).of_keys("extra_env_kwargs", "timeout")
        self._misspelt[id(environment)] = misspelt_settings(environment, spec.extra_env_kwargs)
        try:
            set_kwargs(**settings)
        except Exception as error:
            reason = str(error) if isinstance(error, SetupError) else one_line(error)
            raise SetupError(
                f"environment {spec.env_id!r} refuses {settings} (extra_env_kwargs, timeout):"
                f" {reason}"
            ).of_keys("extra_env_kwargs", "timeout") from error

    def check(
        self, spec: EvalSpec, environment: Environment, examples: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        """Set up the rubrics of an eval's examples; refuse what cannot end well.

        That is a gate on a metric that nothing computes, and a reward function that asks for
        something that nothing provides: both would be found out only after the model was paid.

        Returns:
            What is probably not meant, a line each.

        Raises:
            SetupError: one of these, or an environment that cannot tell the rubric of an example.
        """
        rubrics: dict[int, Any] = {}
        # Of the examples with the same columns, one.
        samples: dict[tuple[int, frozenset[str]], tuple[Any, Mapping[str, Any]]] = {}
        for example in examples:
            rubric = _rubric_of(spec, environment, example)
            rubrics[id(rubric)] = rubric
            samples.setdefault((id(rubric), frozenset(example)), (rubric, example))
        for rubric in rubrics.values():
            settings = {"reward_errors": spec.reward_errors}
            firsts = [self._is_first(part, settings, spec) for part in _parts_of(rubric)]
            if firsts[0] and spec.reward_errors is not None:
                rubric.reward_errors = spec.reward_errors
        if spec.independent_scoring and any(_of_groups(rubric) for rubric in rubrics.values()):
            raise SetupError(
                "independent_scoring scores each rollout by itself, and the rubric of"
                f" {spec.env_id!r} has rewards that compare those of an example"
            ).of_keys("independent_scoring")
        if getattr(environment, "score_rollouts", True):
            for rubric, example in samples.values():
                check_parameters(spec.env_id, rubric, example)
        if not self._config.hook.pytest_evals_metric.get_hookimpls():
            _check_gates(spec, list(rubrics.values()))
        misspelt = self._misspelt.get(id(environment), ())
        return [*misspelt, *warnings_of(environment, rubrics.values())]

    def metric_names(
        self, spec: EvalSpec, environment: Environment, examples: Sequence[Mapping[str, Any]]
    ) -> set[str]:
        """Return the names of the metrics that the rows of an eval's examples may have."""
        rubrics = {
            id(rubric): rubric
            for rubric in (_rubric_of(spec, environment, example) for example in examples)
        }
        return {name for rubric in rubrics.values() for name in rubric.metric_names}

    def _is_first(self, part: object, settings: Mapping[str, Any], spec: EvalSpec) -> bool:
        """Note that an eval gives `settings` to an object; whether it is the first that does.

        Raises:
            SetupError: another eval gave the same object other settings, and would run with these.
        """
        given = self._given.get(id(part))
        if given is None:
            self._given[id(part)] = (part, settings, spec.name)
            return True
        _, before, name = given
        differing = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
        if differing:
            raise SetupError(
                f"evals {name!r} and {spec.name!r} differ in {', '.join(differing)}, but"
                f" load_environment() returned the same {type(part).__name__} for both; let it"
                " make a new one at each call"
            )
        return False


def _check_gates(spec: EvalSpec, rubrics: Iterable[Any]) -> None:
    names: dict[str, None] = {}
    for rubric in rubrics:
        names.update(dict.fromkeys(rubric.metric_names))
    for number, gate in enumerate(spec.gates):
        if not read_metric(gate.metric).built_in and gate.metric not in names:
            key = f"gates.{number}"
            option = spec.option_of(key)
            raise ConfigError(
                spec.path,
                spec.line_of(key),
                f"{f'{option}: ' if option else ''}gate {gate.text!r}: the"
                f" rubric of {spec.env_id!r} has no metric"
                f" {gate.metric!r}{_did_you_mean(gate.metric, names)}; it has"
                f" {', '.join(names) or 'none'}",
            )


def _parts_of(rubric: Any) -> Iterator[Any]:
    """Yield a rubric and, of a group, those in it, which may be others' as well."""
    yield rubric
    for part in getattr(rubric, "rubrics", ()):
        yield from _parts_of(part)


def _of_groups(rubric: Any) -> bool:
    return bool(getattr(rubric, "has_group_functions", False))


def _rubric_of(spec: EvalSpec, environment: Environment, example: Mapping[str, Any]) -> Any:
    try:
        return rubric_of(environment, example)
    except Exception as error:
        raise SetupError(
            f"environment {spec.env_id!r} has no rubric for example"
            f" {example.get('example_id')!r}: {one_line(error)}"
        ) from error


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    meant = nearest(name, list(names))
    return "" if meant is None else f" (did you mean {meant!r}?)"
