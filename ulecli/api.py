"""The public face: what `import ulecli` offers as functions, one for each command."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ulecli.errors import UsageError, unknown
from ulecli.formats.options import MetadataMode, Reading
from ulecli.imaging.strength import Strength
from ulecli.protection.config import ProtectConfig, Selection, check_in_place
from ulecli.protection.outcome import PhotoOutcome, ProtectReport
from ulecli.system.cores import usable_cores
from ulecli.system.devices import Device
from ulecli.system.worker_kinds import usual_jobs
from ulecli.units import DEFAULT_EPSILON

if TYPE_CHECKING:
    from ulecli.crafting.methods import Poison, Progress
    from ulecli.crafting.run import CraftConfig
    from ulecli.evaluation.config import EvaluateConfig
    from ulecli.evaluation.reproduction.running import Reproduction
    from ulecli.evaluation.run import Evaluation, Listener
    from ulecli.verification.pair_check import Checked

AnyPath = str | PathLike[str]
Choice = TypeVar("Choice", bound=StrEnum)


def protect(
    *sources: AnyPath,
    output: AnyPath | None = None,
    epsilon: int = DEFAULT_EPSILON,
    strength: Strength | str = Strength.DEFAULT,
    identity: str = "me",
    identity_from_folder: bool = False,
    key_file: AnyPath | None = None,
    metadata: MetadataMode | str = MetadataMode.PRIVATE,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    recursive: bool = True,
    first_frame: bool = False,
    in_place: bool = False,
    backup: AnyPath | None = None,
    no_backup: bool = False,
    surrogate: str = "photo",
    device: Device | str = Device.AUTO,
    jobs: int | None = None,
    on_outcome: Callable[[PhotoOutcome, int], None] | None = None,
    **more: Any,
) -> ProtectReport:
    """Protect photos and folders of photos, as `ulecli protect` does; nothing is printed.

    Args:
        *sources: Files and folders; a leading ~ is the home folder.
        output: Root of the protected tree; None means the sibling `NAME-protected` of each source.
        epsilon: L-infinity bound on the change of every channel of every pixel, in levels (1 to 32).
        strength: How visible the change may be: "subtle", "default" or "strong".
        identity: Whose photos these are; use the same name for later photos.
        identity_from_folder: Take the identity from the name of each photo's folder instead.
        key_file: The user's key; None means the one in the configuration folder, made if missing.
        metadata: "private", "keep" or "strip".
        include: Take only files of such a name or path (shell globs).
        exclude: Leave out files and folders of such a name or path.
        recursive: Take the folders below a source too.
        first_frame: Take the first picture of an animation or of several pages, instead of skipping it.
        in_place: Replace the photos themselves; needs one of the next two.
        backup: With `in_place`: where the photos are kept.
        no_backup: With `in_place`: lose the photos as they were.
        surrogate: The surrogate that shapes the perturbation.
        device: Where the gradient steps run: "auto", "cpu", "cuda" or "mps".
        jobs: Photos in work at a time; None means one for each usable core, with Ray of all its machines.
        on_outcome: Called for each photo as it is done, with the number of photos of the run.
        **more: Any other field of `ProtectConfig`, as `dry_run` or `overwrite`.

    Returns:
        What became of each photo. One that fails is among the outcomes and raises nothing.

    Raises:
        UsageError: A setting can't be right.
        NoSuchPath: A source does not exist.
        NothingToDo: There is no photo in the sources.
        TargetError: The output can't be written, or would mix with the sources.
        DeviceUnavailable: The device can't be had.
        ModelError: The surrogate is missing, damaged or changed.
        KeyFileError: The key can't be read or made.
        LedgerError: The ledger of the output is damaged, of a newer version, or in use by another run.
    """
    check_in_place(in_place, _path(backup), no_backup)
    config = ProtectConfig(
        sources=tuple(map(_needed, sources)),
        output=_path(output),
        epsilon=epsilon,
        strength=_member(Strength, strength, "strength"),
        identity=identity,
        identity_from_folder=identity_from_folder,
        key_file=_path(key_file),
        surrogate=surrogate,
        device=_member(Device, device, "device"),
        jobs=usual_jobs(more.get("workers", "")) if jobs is None else jobs,
        selection=Selection(_texts("include", include), _texts("exclude", exclude), recursive),
        reading=Reading(
            more.pop("max_pixels", None), first_frame, _member(MetadataMode, metadata, "metadata mode")
        ),
        in_place=in_place,
        backup=_path(backup),
        **_known(ProtectConfig, more),
    )
    from ulecli.protection.run import protect as protect_photos
    from ulecli.surrogates.opening import open_perturber

    threads = max(1, usable_cores() // (config.jobs or usable_cores()))
    perturber = open_perturber(config.surrogate, device=config.device, threads=threads)
    return protect_photos(config, perturber, on_outcome=on_outcome)


def verify(
    original: AnyPath,
    protected: AnyPath,
    *,
    epsilon: int | None = None,
    metadata: MetadataMode | str = MetadataMode.PRIVATE,
    surrogate: str | None = "photo",
    visibility: bool | None = None,
    jobs: int | None = None,
) -> tuple[Checked, ...]:
    """Measure whether protected photos are what `protect` promises, as `ulecli verify` does.

    Args:
        original: A photo or a folder of photos.
        protected: What was made of it.
        epsilon: The bound in levels; None means what the mark of each file says.
        metadata: With which mode they were protected.
        surrogate: Whose net looks for the cue; None for not looking.
        visibility: Measure SSIMULACRA2 and FLIP; None means where the extra `measure` is installed.
        jobs: Pairs in work at a time; None means one for each usable core.

    Returns:
        What was found of each pair, sorted by the original's path; a pair has `problems` if it fails.

    Raises:
        NoSuchPath: One of the two does not exist.
        NothingToDo: There is no photo in `original`.
        UsageError: One is a file and the other a folder, or a setting can't be right.
        ModelError: The surrogate is missing, damaged or changed.
        MissingExtra: Visibility is to be measured, and the extra `measure` is not installed.
    """
    from ulecli.imaging.visibility import to_be_measured
    from ulecli.protection.pairs import pair_up
    from ulecli.surrogates.recognition import CueReader
    from ulecli.verification.pair_check import Demands, check_all

    demands = Demands(epsilon, _member(MetadataMode, metadata, "metadata mode"))
    reader = None if surrogate is None else CueReader(surrogate)
    measured = to_be_measured(visibility)
    pairs = pair_up(_needed(original), _needed(protected), reader.sha256 if reader else "")
    return tuple(check_all(pairs, demands, reader, visibility=measured, jobs=jobs or usable_cores()))


def evaluate(
    config: EvaluateConfig | None = None, listener: Listener | None = None, **settings: Any
) -> Evaluation:
    """Train exploiters on protected images and controls, as `ulecli evaluate` does.

    Args:
        config: What to do; or name its fields one by one.
        listener: Called as the evaluation goes on.
        **settings: Fields of `EvaluateConfig`, or of `config` to be replaced.

    Returns:
        A record for each training, and notes.

    Raises:
        UsageError: A setting can't be right.
        MissingExtra: torch is not installed.
        UleError: Data, a poison or the output folder can't be used, or a training process died.
    """
    from ulecli.evaluation.config import EvaluateConfig
    from ulecli.evaluation.run import evaluate as run

    known = _known(EvaluateConfig, settings)
    return run(EvaluateConfig(**known) if config is None else replace(config, **known), listener)


def craft(config: CraftConfig | None = None, progress: Progress | None = None, **settings: Any) -> Poison:
    """Poison a data set by the paper's bi-level loop or by AdvPois, as `ulecli craft` does.

    Args:
        config: What to do; or name its fields one by one.
        progress: Called now and then with what is done, how much of it, and how much there is.
        **settings: Fields of `CraftConfig`, or of `config` to be replaced.

    Returns:
        The poisoned images, (N, 3, H, W) uint8, and the surrogate's error after each round. They are written
        too if there is an `output`.

    Raises:
        UsageError: A setting can't be right.
        DeviceUnavailable: The device can't be had.
        UleError: The data set or the output can't be used.
    """
    from ulecli.crafting.run import CraftConfig, craft_set

    known = _known(CraftConfig, settings)
    if "output" in known:
        known["output"] = _path(known["output"])
    return craft_set(CraftConfig(**known) if config is None else replace(config, **known), progress)


def reproduce(
    *tables: str, out: AnyPath, device: Device | str = Device.AUTO, **settings: Any
) -> Reproduction:
    """Make tables and figures of 'Going Grayscale' again, as `ulecli evaluate --reproduce` does.

    Nothing is printed, and no page is written.

    Args:
        *tables: "table1" to "table9", "figure3", "figure4", "figure6" or "all".
        out: Folder of the results, in which an earlier run is taken up.
        device: Where to train.
        **settings: Other fields of `ulecli.evaluation.reproduction.asked.Asked`, such as `seeds`.

    Returns:
        The records of each training of the paper, and why others lack.

    Raises:
        UsageError: There is no such table, nothing of it can be had, or a setting can't be right.
        UleError: Data or the output folder can't be used.
    """
    from ulecli.evaluation.reproduction.asked import Asked
    from ulecli.evaluation.reproduction.expectation import expect
    from ulecli.evaluation.reproduction.plan import plan
    from ulecli.evaluation.reproduction.running import carry_out
    from ulecli.nets.devices import usable_device

    where = usable_device(_member(Device, device, "device").value).type
    planned = plan(Asked(tables, _path(out), device=where, **_known(Asked, settings)))
    expect(planned, measured=False)
    return carry_out(planned)


@overload
def _path(name: AnyPath) -> Path: ...
@overload
def _path(name: None) -> None: ...
def _path(name: AnyPath | None) -> Path | None:
    try:
        return None if name is None else Path(name).expanduser()
    except TypeError:
        raise UsageError(f"{name!r:.60} is no path; give each as a text or a pathlib.Path") from None


def _needed(name: AnyPath) -> Path:
    if name is None:
        raise UsageError("None is given where a path is needed")
    return _path(name)


def _member(choices: type[Choice], word: str, what: str) -> Choice:
    try:
        return choices(word)
    except ValueError:
        raise unknown(what, str(word), [str(choice) for choice in choices]) from None


def _texts(name: str, globs: Iterable[str]) -> tuple[str, ...]:
    if isinstance(globs, str):
        raise UsageError(f"{name} is one text, but must be several: write ({globs!r},)")
    return tuple(globs)


def _known(config: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings if the configuration has fields of these names."""
    names = [field.name for field in fields(config)]
    for name in settings:
        if name not in names:
            raise unknown("setting", name, names)
    return settings
