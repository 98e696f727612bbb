"""Resuming: the runs that go on in the folder of an earlier session, and what is left of them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..store.encoding import to_json
from ..store.fingerprint import Difference, differences
from ..store.lock import LockedError, holder_in_words, this_process, wait_until_unlocked
from ..store.reading import METADATA_FILE, read_metadata, read_rows, results_files
from ..store.rows import RESULTS_FILE
from ..store.run_folder import RunFolder, folder_name
from ..store.stored_rows import Wanted, take_over
from ..visible import clipped
from .outcomes import relative

if TYPE_CHECKING:
    from .owned_run import OwnedRun
    from .owner import EvalOwner

# How long the workers of a session that was killed may take to notice.
_ORPHANS_SECONDS = 20.0
_LONGEST_VALUE = 200
_ENV_VERSION = "env_version"


class ResumeError(Exception):
    """A run cannot be continued."""

    def __init__(self, run: OwnedRun, message: str) -> None:
        super().__init__(message)
        self.run = run


class Resumer:
    """Finds and opens the runs that are to go on, before anything is asked.

    Args:
        owner: whose runs.
        runs: those that begin now.
    """

    def __init__(self, owner: EvalOwner, runs: Iterable[OwnedRun]) -> None:
        self._owner = owner
        self._runs = [run for run in runs if run.facts.can_go_on]
        self._is_legacy = bool(owner.config.getoption("evals_resume_legacy"))
        self._chosen: dict[OwnedRun, Path] = {}
        # Of evals that begin anew: why, and their runs that are complete.
        self._why_none: dict[OwnedRun, str] = {}
        self._complete: dict[OwnedRun, list[tuple[Path, Mapping[str, Any]]]] = {}
        # Of the runs that go on.
        self._sessions: set[Any] = set()
        self._before: dict[RunFolder, Mapping[str, Any]] = {}  # their metadata, as it was

    def folders(self) -> dict[OwnedRun, RunFolder]:
        """Return the folders of the runs that go on; they know what is stored of them.

        Raises:
            ResumeError: one of them cannot be continued; no folder is locked any more.
        """
        found: dict[OwnedRun, RunFolder] = {}
        try:
            for run in sorted(self._runs, key=self._names_none):
                self._choose(run)
            self._choose_beside()
            for run, path in self._chosen.items():
                found[run] = self._opened(run, path)
        except ResumeError:
            for folder in found.values():
                self._give_back(folder)
            raise
        return found

    def _names_none(self, run: OwnedRun) -> bool:
        """Whether it is left to the session which run an eval continues."""
        return not isinstance(run.spec.resume, str) and not self._owner.last_failed.folder_of(run)

    def _choose(self, run: OwnedRun) -> None:
        named = self._named(run) or self._owner.last_failed.folder_of(run)
        if named is None and run.spec.resume is not True:
            return
        if not run.spec.save_results:
            if named is not None:
                raise ResumeError(run, "a run cannot be continued whose results are not saved")
            return
        if not self._owner.can_replay:
            raise ResumeError(
                run,
                "a run cannot be continued where another scheduler than that of this plugin gives"
                " the workers their items: continue it without -n",
            )
        if named is None:
            self._choose_newest(run)
            return
        path = named.resolve()
        found = self._difference(run, self._checked_metadata(run, path))
        if found:
            is_of_lf = named == self._owner.last_failed.folder_of(run)
            hint = "; without --lf a new run begins" if is_of_lf else ""
            raise ResumeError(run, self._refusal(path, found) + hint)
        if path in self._taken:
            text = f"two evals of this session are to continue {self._shown(path)}"
            raise ResumeError(run, text)
        self._chosen[run] = path

    # Which folder.

    @property
    def _taken(self) -> Collection[Path]:
        return self._chosen.values()

    def _named(self, run: OwnedRun) -> Path | None:
        """Return the folder that an eval names; of several that name one, the one it is of."""
        if not isinstance(run.spec.resume, str):
            return None
        path: Path = self._owner.config.invocation_params.dir / run.spec.resume
        sharing = [other for other in self._runs if other.spec.resume == run.spec.resume]
        if len(sharing) == 1:
            return path
        metadata = self._checked_metadata(run, path)
        matching = [other for other in sharing if _is_of(metadata, other)]
        if len(matching) == 1:
            return path if matching == [run] else None
        raise ResumeError(
            run,
            f"{self._shown(path)} is the run of {len(matching) or 'none'} of the {len(sharing)}"
            f" evals that are to continue it (name {metadata.get('name')!r}, environment"
            f" {metadata.get('env_id', metadata.get('env'))!r}, model {metadata.get('model')!r});"
            " set resume in the [[eval]] block that it is of",
        )

    def _choose_newest(self, run: OwnedRun) -> None:
        """Choose the newest run of an eval that is incomplete and was about the same."""
        refused: str | None = None
        for path, metadata in self._newest_first(run):
            if self._is_done(path, metadata, run):
                self._complete.setdefault(run, []).append((path, metadata))
                continue
            found = self._difference(run, metadata)
            if not found:
                self._chosen[run] = path
                self._sessions.add(metadata.get("session"))
                return
            refused = refused or self._refusal(path, found)
        self._why_none[run] = refused or "no run of it is incomplete"

    def _choose_beside(self) -> None:
        """Choose what is complete of the sessions of which another run goes on.

        They were interrupted: who continues one does not want to pay again for what it had done.
        """
        for run, why in self._why_none.items():
            for path, metadata in self._complete.get(run, ()):
                session = metadata.get("session")
                is_beside = session and session in self._sessions and path not in self._taken
                if is_beside and not self._difference(run, metadata):
                    self._chosen[run] = path
                    break
            else:
                text = f"{run.spec.name}: a new run begins: {why}"
                self._owner.terminal.tell(text, even_if_quiet=True)  # it is paid for anew

    def _newest_first(self, run: OwnedRun) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        for path in sorted(self._candidates(run), key=_last_change, reverse=True):
            try:
                metadata = read_metadata(path)
            except (OSError, ValueError):
                continue
            if path in self._taken or metadata.get("partial"):
                continue
            if _may_be_of(metadata, run):
                yield path, metadata

    def _candidates(self, run: OwnedRun) -> Iterator[Path]:
        """Yield the folders of runs of an eval, also where verifiers puts them."""
        base = self._owner.outputs.base_of(run.spec) / "evals"
        model, env_id = run.facts.model, run.spec.env_id
        *owner, last = env_id.split("/")
        places = {
            base / folder_name(f"{run.spec.name}--{model}"),
            base.joinpath(*map(folder_name, owner), folder_name(f"{last}--{model}")),
        }
        for place in places:
            if place.is_dir():
                yield from (
                    path.resolve() for path in place.iterdir() if (path / METADATA_FILE).is_file()
                )

    def _is_done(self, path: Path, metadata: Mapping[str, Any], run: OwnedRun) -> bool:
        """Whether a run lacks nothing, and the session that completed it lived to judge it."""
        if metadata.get("writer") is not None:
            return False
        done = self._wanted(run).done
        try:
            rows = sum(
                row["state"] in done and 0 <= row["rollout"] < run.spec.rollouts_per_example
                for row in read_rows(path)
            )
        except OSError:
            return True
        return bool(rows >= run.plan.rollouts)

    # Whether it may go on.

    def _checked_metadata(self, run: OwnedRun, path: Path) -> Mapping[str, Any]:
        try:
            return read_metadata(path)
        except OSError:
            text = f"{self._shown(path)} is no run: it has no {METADATA_FILE} that can be read"
            raise ResumeError(run, text) from None
        except ValueError as error:
            raise ResumeError(run, f"the run cannot be continued: {error}") from None

    def _difference(self, run: OwnedRun, metadata: Mapping[str, Any]) -> list[Difference]:
        found = differences(
            metadata,
            run.facts.fingerprint(run.spec),
            run.facts.dataset,
            self._owner.secrets.mask,
            is_legacy=self._is_legacy,
        )
        if self._owner.config.getoption("evals_resume_anyway"):
            return [each for each in found if each[0] != _ENV_VERSION]
        return found

    def _refusal(self, path: Path, found: Sequence[Difference]) -> str:
        fields = "; ".join(
            f"{name} is {self._value(before)} there and {self._value(now)} here"
            for name, before, now in found
        )
        hint = ""
        if [name for name, _, _ in found] == [_ENV_VERSION]:
            hint = "; --evals-resume-anyway continues it in spite of that"
        return f"{self._shown(path)} measured something else and is not continued: {fields}{hint}"

    def _value(self, value: Any) -> str:
        text = self._owner.clean(value if isinstance(value, str) else to_json(value))
        return clipped(text, _LONGEST_VALUE).replace("\n", " ")

    # Opening it.

    def _opened(self, run: OwnedRun, path: Path) -> RunFolder:
        folder = RunFolder(path, self._owner.secrets.mask)
        try:
            folder.lock()
        except LockedError:
            holder = holder_in_words(self._checked_metadata(run, path).get("writer"))
            text = f"{holder} is still writing into {self._shown(path)}: wait for it, or end it"
            raise ResumeError(run, text) from None
        try:
            metadata = self._checked_metadata(run, path)
            self._take(folder, metadata)
            self._wait_for_workers(run, path)
            run.began_whole = not metadata.get("partial")
            run.stored = take_over(path, self._wanted(run))
        except (OSError, ResumeError) as error:
            self._give_back(folder)
            if isinstance(error, ResumeError):
                raise
            raise ResumeError(run, f"{self._shown(path)} cannot be continued: {error}") from None
        self._tell(run, path)
        return folder

    def _take(self, folder: RunFolder, metadata: Mapping[str, Any]) -> None:
        """Say who writes: the rest of the metadata waits for servers, which may take minutes."""
        self._before[folder] = metadata
        folder.write_metadata({**metadata, "writer": this_process()})

    def _give_back(self, folder: RunFolder) -> None:
        """Close a folder that does not go on after all: a run that was complete still is."""
        if (metadata := self._before.pop(folder, None)) is not None:
            with contextlib.suppress(OSError):
                folder.write_metadata(metadata)
        folder.close()

    def _wait_for_workers(self, run: OwnedRun, path: Path) -> None:
        for file in results_files(path):
            if file.name != RESULTS_FILE and not wait_until_unlocked(file, _ORPHANS_SECONDS):
                text = f"a worker of an earlier session is still writing {self._shown(file)}"
                raise ResumeError(run, text)

    def _wanted(self, run: OwnedRun) -> Wanted:
        keys = run.selected_keys()
        return Wanted(
            run.spec.rollouts_per_example,
            planned={*keys} if len(keys) == run.plan.rollouts else None,
            scores_groups=run.scores_groups(),
            keeps_errors=self._is_legacy,
        )

    def _tell(self, run: OwnedRun, path: Path) -> None:
        stored = run.stored
        assert stored is not None
        rest = ""
        if stored.num_generated:
            rest = f", {stored.num_generated} more only to be scored"
        self._owner.terminal.tell(
            f"{run.spec.name}: continuing {self._shown(path)}:"
            f" {stored.num_done} of {run.plan.rollouts} rollouts are done{rest}",
            even_if_quiet=True,
        )
        for line in stored.notices:
            run.warn(f"{run.spec.name}: {path.name}: {line}")

    def _shown(self, path: Path) -> str:
        return relative(path, self._owner.config)


def _is_of(metadata: Mapping[str, Any], run: OwnedRun) -> bool:
    env_id = metadata.get("env_id", metadata.get("env"))
    is_same = (env_id, metadata.get("model")) == (run.spec.env_id, run.facts.model)
    return is_same and _may_be_of(metadata, run)


def _may_be_of(metadata: Mapping[str, Any], run: OwnedRun) -> bool:
    """Whether a run has the name of an eval, or none, as those of verifiers."""
    return metadata.get("name") in (None, run.mask(run.spec.name))


def _last_change(path: Path) -> float:
    files = [path / METADATA_FILE, *path.glob("results*.jsonl")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
