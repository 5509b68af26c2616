"""How many trainings a reproduction has, and how long it takes on this machine by its first steps."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ulecli.data.datasets import Dataset
from ulecli.evaluation.expectations import ExpectedTraining, expected_trainings, paces, preparations
from ulecli.evaluation.forecast import Forecast
from ulecli.evaluation.parts import OpenedPart, parts_of
from ulecli.evaluation.preparation import check_plan
from ulecli.evaluation.reproduction.plan import Group, Plan
from ulecli.evaluation.results.journal import Journal
from ulecli.evaluation.results.record import CLEAN_SHARE, Arm
from ulecli.evaluation.run import open_data
from ulecli.evaluation.training_sets import TrainingSets
from ulecli.evaluation.workers import LocalWorkers


@dataclass(frozen=True)
class Expected:
    """What is to be done.

    Attributes:
        trainings: All of them, those of earlier runs included.
        done: Those of earlier runs.
        seconds: How long the others take, with what defenders do for them; of what can't be known, nothing.
        unknown: What that leaves out, in words.
    """

    trainings: int
    done: int
    seconds: float
    unknown: tuple[str, ...]


def expect(plan: Plan, *, measured: bool = True) -> Expected:
    """Check all groups of a plan, and take the first steps of their work.

    Args:
        plan: What is to be done.
        measured: Whether first steps are taken; without them the time is 0.

    Raises:
        UleError: The data or the output folder can't be used, or a group can't be right.
    """
    total = _Total()
    data: dict[tuple[str, int], Dataset] = {}
    for group in plan.groups:
        place = group.config.dataset, group.config.size
        data[place] = read = data.get(place) or open_data(group.config)
        total.add(group, read, measured)
    return Expected(total.trainings, total.done, total.seconds, tuple(total.unknown))


class _Total:
    """Adds up the work of one group after the other."""

    def __init__(self) -> None:
        self.trainings = self.done = 0
        self.seconds = 0.0
        self.unknown: list[str] = []
        self._seen: set[tuple[Hashable, ...]] = set()
        self._paces: dict[Hashable, dict[Hashable, float]] = {}

    def add(self, group: Group, data: Dataset, measured: bool) -> None:
        """Add what a group has to do and no group before it does.

        Raises:
            UleError: Its folder can't be used, or it can't be right.
        """
        config = group.config
        with Journal.open(group.folder, config.fingerprint(data.digest), resume=True) as journal:
            known = {record.arm for record in journal.records}
        (part,) = parts_of(config)
        opened = OpenedPart(part, data, TrainingSets(config, data, group.folder / "sets"))
        check_plan(opened, LocalWorkers(config))
        wanted = [one for one in expected_trainings([opened]) if self._is_new(group, one.arm)]
        left = [one for one in wanted if one.arm not in known]
        self.trainings += len(wanted)
        self.done += len(wanted) - len(left)
        if left and measured:
            self._measure(group, opened, left)

    def _measure(self, group: Group, opened: OpenedPart, left: list[ExpectedTraining]) -> None:
        """Add how long it takes."""
        config, workers = group.config, LocalWorkers(group.config)
        jobs = workers.jobs(len(left), opened.image_bytes)
        known = self._paces.setdefault((config.dataset, config.size), {})
        news = [one for one in left if one.work.kind not in known]
        known |= paces(news, [opened], max(1, workers.threads // jobs))
        trainings = Forecast([one.work for one in left], jobs, paces=known)
        self._take(f"training on {group.title}", trainings.remaining())
        for one in preparations(opened):
            if self._is_first(group.folder, one.report, one.words):  # groups of a folder share its sets
                self._take(one.words, one.seconds)

    def _is_new(self, group: Group, arm: Arm) -> bool:
        mix = group.config.mix
        # What a net learns of a clean share alone is the same whatever is added to it elsewhere.
        place: Hashable = mix[0] if mix and arm.poison == CLEAN_SHARE else group.folder
        return self._is_first(place, arm)

    def _is_first(self, *what: Hashable) -> bool:
        """Return whether this was not asked before."""
        first = what not in self._seen
        self._seen.add(what)
        return first

    def _take(self, words: str, seconds: float | None) -> None:
        if seconds is None:
            self.unknown.append(words)
        else:
            self.seconds += seconds
