"""Carries a plan out, group by group; what fails is named and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import product

from ulecli.errors import TargetError, UleError
from ulecli.evaluation.listener import Listener
from ulecli.evaluation.reproduction.paper import Training
from ulecli.evaluation.reproduction.plan import Group, Plan
from ulecli.evaluation.results.journal import Journal
from ulecli.evaluation.results.record import CLEAN_SHARE, RunRecord
from ulecli.evaluation.run import Interrupted, evaluate, open_data
from ulecli.evaluation.training_sets import TrainingSets

Listening = Callable[[Group, int], AbstractContextManager[Listener | None]]
"""From a group and its place, from 1, to who listens to its evaluation."""


@dataclass
class Reproduction:
    """What came out.

    Attributes:
        plan: What was to be done.
        records: Of each training of the paper, one for each seed.
        failed: Why, for each that failed with some seed.
        notes: What the user should know beyond the records, each once.
        interrupted: Whether Ctrl-C ended it, so that trainings may lack that did not fail.
    """

    plan: Plan
    records: dict[Training, list[RunRecord]] = field(default_factory=dict)
    failed: dict[Training, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def all_records(self) -> tuple[RunRecord, ...]:
        """Every record once, in the order of the plan."""
        return tuple({id(one): one for found in self.records.values() for one in found}.values())

    def why(self, training: Training) -> str:
        """Say why there is no record of a training."""
        known = {**self.plan.left_out, **self.failed}
        return known.get(training, "the run was interrupted before it")


def carry_out(plan: Plan, listening: Listening | None = None) -> Reproduction:
    """Train what the output folder lacks of a plan, and return all that is there of it then.

    Args:
        plan: What is to be done.
        listening: Lends each group a listener.

    Raises:
        TargetError: The output folder can't be written.
    """
    found = Reproduction(plan)
    for number, group in enumerate(plan.groups, 1):
        lent = listening(group, number) if listening else nullcontext()
        try:
            with lent as listener:
                _carry_out(group, found, listener)
        except Interrupted as error:
            _sort_in(group, found, error.done.records)
            found.interrupted = True
            break
        except KeyboardInterrupt:  # while the data are read, or between two groups
            found.interrupted = True
            break
    return found


def _carry_out(group: Group, found: Reproduction, listener: Listener | None) -> None:
    """Train a group; if a training fails, all of them alone, so that the one that fails alone is lacking."""
    if (reason := _failure(group, found, listener)) is None:
        return
    alone = list(_each(group)) if _has_its_images(group) else []
    if len(alone) < 2:
        found.failed |= dict.fromkeys(group.trainings, reason)
        return
    for one in alone:
        if reason := _failure(one, found, listener):
            found.failed |= dict.fromkeys(one.trainings, f"seed {one.config.seeds[0]}: {reason}")


def _failure(group: Group, found: Reproduction, listener: Listener | None) -> str | None:
    """Carry a group out and sort its records in; return why that failed, None if it did not.

    Raises:
        TargetError: The output folder can't be written, so that all others would fail too.
    """
    try:
        _share(group, found)
        done = evaluate(group.config, listener)
    except TargetError:
        raise
    except UleError as error:
        return str(error)
    except Exception as error:  # plugins, torch and drivers raise what they like
        return f"{type(error).__name__}: {error}"
    _sort_in(group, found, done.records)
    found.notes |= dict.fromkeys(done.notes)
    return None


def _each(group: Group) -> Iterator[Group]:
    """Yield every training of a group as a group of its own."""
    config = group.config
    for exploiter, arch, seed in product(config.exploiter_names, config.arch_names or ("",), config.seeds):
        own = tuple(one for one in group.trainings if (one.exploiter, one.net) == (exploiter, arch))
        alone = replace(config, exploiters=(exploiter,), archs=tuple(filter(None, [arch])), seeds=(seed,))
        yield Group(group.title, alone, own)


def _has_its_images(group: Group) -> bool:
    """Return whether the images of a group are made, so that what failed was a training."""
    try:
        data = open_data(group.config)
        return not list(TrainingSets(group.config, data, group.folder / "sets").to_make())
    except UleError:
        return False


def _share(group: Group, found: Reproduction) -> None:
    """Give a group what another mix has trained on the same clean share alone."""
    mix = group.config.mix
    shares = {
        record.key: record
        for training, records in found.records.items()
        if mix and training.mix and training.mix[0] == mix[0]
        for record in records
        if record.arm.poison == CLEAN_SHARE
    }
    if not shares:
        return
    data_md5 = next(iter(shares.values())).data_md5
    with Journal.open(group.folder, group.config.fingerprint(data_md5), resume=True) as journal:
        for key, record in shares.items():
            if journal.find(key) is None:
                journal.add(record)


def _sort_in(group: Group, found: Reproduction, records: Iterable[RunRecord]) -> None:
    """Add records to those of the trainings that they are of, each seed once."""
    for record in records:
        for training in group.trainings:
            if group.is_of(training, record):
                known = {one.arm.seed: one for one in found.records.get(training, ())}
                known[record.arm.seed] = record
                found.records[training] = [known[seed] for seed in sorted(known)]
