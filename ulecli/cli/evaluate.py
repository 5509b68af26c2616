"""`ulecli evaluate`: train exploiters on protected images, and report what they learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ulecli.cli.evaluate_run import run_audit, run_evaluation
from ulecli.cli.extras import RayAddress, need_torch, torch_device
from ulecli.cli.lists import names, whole_numbers
from ulecli.errors import UsageError, unknown
from ulecli.system.devices import Device
from ulecli.system.worker_kinds import WorkerKind
from ulecli.units import DEFAULT_EPSILON, MAX_EPSILON, parse_epsilon

if TYPE_CHECKING:
    from ulecli.evaluation.plugins import Registries

DEFAULT_DEFENDER = "cifar"


def _count(words: str, metavar: str = "N") -> Any:
    """Return an option that is a whole number, or 0 for the default that its help names."""
    return typer.Option(show_default=False, metavar=metavar, help=words)


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--share {text!r}: write a number above 0, up to 1, for instance 0.5") from None


def _check(option: str, word: str, known: Iterable[str]) -> None:
    if word not in set(known):
        raise unknown(option, word, known)


def _exploiters(text: str, gray: str, backbones: Sequence[str], known: Registries) -> tuple[str, ...]:
    """Return the exploiters that were named, as --gray will have them.

    Those of pretrained nets are among "all" if such a net is named: their features take long on large sets.
    """
    from ulecli.evaluation.exploiters.registry import exploiter_names, from_scratch

    def changed(name: str) -> str:
        parts = [part.strip() for part in name.split("+")]
        return "+".join("gray-train-only" if part.lower() == "gray" else part for part in parts)

    found = names(text)
    if text == "all":
        found = exploiter_names(known.exploiters)
        found = found if backbones else from_scratch(found, known.exploiters)
    return tuple(dict.fromkeys(map(changed, found))) if gray == "train-only" else found


def evaluate(
    context: typer.Context,
    exploiter: Annotated[
        str, typer.Option(metavar="NAME,...|all", help="Who trains; --list names them.")
    ] = "standard,gray",
    defender: Annotated[
        str,
        typer.Option(metavar="NAME[@NET],...", help="Who protects the training images now. Default: cifar."),
    ] = "",
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE.py|MODULE", help="Your own exploiters, nets and defenders; repeatable, see README."
        ),
    ] = None,
    poison: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="A poison: folder of PNGs, .npy, .npz, .safetensors, .pt, .pkl; repeatable."
        ),
    ] = None,
    poison_kind: Annotated[
        str, typer.Option(metavar="auto|images|perturbation", help="What the poison's numbers are.")
    ] = "auto",
    audit: Annotated[
        bool, typer.Option("--audit", help="Say what is in the poisons, and end without training.")
    ] = False,
    arch: Annotated[
        str, typer.Option(metavar="NAME,...", help="Nets. Default: the preset's; --list names them.")
    ] = "",
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE|ARCH=FILE",
            help="Pretrained net of probe, finetune and centroid; repeatable, see README.",
        ),
    ] = None,
    backbone_size: Annotated[
        int, _count("Side photos are shown to it at. Default: --size, else its own.", "PX")
    ] = 0,
    backbone_norm: Annotated[
        str,
        typer.Option(
            metavar="imagenet|signed|unit|levels", help="How its pixels are scaled. Default: its own."
        ),
    ] = "",
    backbone_layer: Annotated[
        str,
        typer.Option(metavar="NAME|output", help="Layer of a file. Default: the one before its classifier."),
    ] = "",
    preset: Annotated[
        str, typer.Option(metavar="quick|fast|paper", help="Effort. Default: quick on a CPU, fast on a GPU.")
    ] = "",
    seeds: Annotated[
        str, typer.Option(metavar="N,...", help="One training for each, on a set of its own if drawn now.")
    ] = "0",
    dataset: Annotated[
        str, typer.Option(metavar="cifar10|cifar100|shapes|FOLDER", help="What is learned.")
    ] = "cifar10",
    data_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where CIFAR lies. Default: $ULECLI_DATA, else data.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Don't download CIFAR.")] = False,
    protected: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Photo mode: what `ulecli protect` wrote of --dataset FOLDER."),
    ] = None,
    upload: Annotated[
        str,
        typer.Option(
            metavar="SIDE:qQ", help="Photo mode: what a platform does to training photos, as 1080:q85."
        ),
    ] = "none",
    only: Annotated[
        str,
        typer.Option(
            metavar="CLASS,...|each",
            help="Photo mode: these classes alone are protected; or each of all, alone, in its turn.",
        ),
    ] = "",
    share: Annotated[
        str, typer.Option(metavar="SHARE", help="With --only: the share of their photos protected, as 0.5.")
    ] = "1",
    size: Annotated[
        int, _count("Side photos are squeezed to. Default: the defender's, else the preset's.", "PX")
    ] = 0,
    mix: Annotated[
        str, typer.Option(metavar="CLEAN+ADDED", help="Percent of clean and of added images, as 5+30.")
    ] = "",
    train_images: Annotated[int, _count("Train on N of the images. Default: all.")] = 0,
    validation: Annotated[
        float,
        typer.Option(
            show_default=False,
            metavar="SHARE",
            help="Clean images that exploiters stop early by and don't train on, as 0.02. Default: none.",
        ),
    ] = 0.0,
    eps: Annotated[
        str,
        typer.Option(
            metavar="LEVELS", help=f"Bound of defenders and noise, 1 to {MAX_EPSILON}; or as 8/255."
        ),
    ] = str(DEFAULT_EPSILON),
    gray: Annotated[
        str, typer.Option(metavar="both|train-only", help="Which images the gray exploiter turns gray.")
    ] = "both",
    at_steps: Annotated[int, _count("Steps of adversarial training. Default: 7.", "K")] = 0,
    controls: Annotated[
        bool, typer.Option("--controls/--no-controls", help="Also train on clean and on noisy images.")
    ] = True,
    reproduce: Annotated[
        str,
        typer.Option(
            metavar="table1|...|table9|figure3|...|all",
            help="Make the paper's tables and figures again, ours beside its, into --out; see README.",
        ),
    ] = "",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep results and figures there.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what --out holds, done or half done.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.AUTO,
    jobs: Annotated[int, _count("Trainings at a time. Default: by cores and memory.")] = 0,
    threads: Annotated[int, _count("CPU threads of all together. Default: all cores.")] = 0,
    workers: Annotated[
        WorkerKind, typer.Option(help="Who trains: this machine, or Ray on one or many; see README.")
    ] = WorkerKind.PROCESSES,
    ray_address: RayAddress = "",
    output_format: Annotated[
        str,
        typer.Option("--format", metavar="table|json|markdown|latex|csv", help="How results are written."),
    ] = "table",
    list_names: Annotated[
        bool, typer.Option("--list", help="Name exploiters, defenders, nets, data sets and presets, and end.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")] = False,
) -> None:
    """Train classifiers on protected images and report what they learn of clean ones.

    \b
    Examples:
      ulecli evaluate --exploiter gray
      ulecli evaluate --dataset shapes --exploiter standard,gray,jpeg-10
      ulecli evaluate --poison noise.npy --exploiter all --seeds 0,1,2 --out runs/noise
      ulecli evaluate --dataset scenes --protected scenes-protected --upload 1080:q85
      ulecli evaluate --dataset people --protected people-protected --only each
      ulecli evaluate --dataset scenes --protected scenes-protected --exploiter probe
      ulecli evaluate --reproduce table2 --preset quick --seeds 0,1 --out runs/paper
    """  # noqa: D301 - the help needs the character itself
    need_torch("psutil", "tabulate", *(["matplotlib"] if out else []))  # which are used at the end
    if reproduce:
        from ulecli.cli.reproduce import reproduce_paper

        reproduce_paper(context)
        return
    from ulecli.evaluation.plugins import load_plugin, registries

    plugins = [load_plugin(one) for one in plugin or ()]
    if list_names:
        from ulecli.cli.catalogue import catalogue

        print(catalogue(plugins))
        return
    from ulecli.evaluation.config import EvaluateConfig
    from ulecli.evaluation.exploiters.protocol import default_preset
    from ulecli.evaluation.field_values import parse_mix
    from ulecli.evaluation.poisons.content import PoisonKind
    from ulecli.evaluation.results.markup import Format
    from ulecli.imaging.upload import Upload

    _check("--format", output_format, Format)
    _check("--gray", gray, ("both", "train-only"))
    _check("--poison-kind", poison_kind, PoisonKind)
    where = torch_device(device).type
    defenders = names(defender)
    if not (defenders or poison or protected):
        if audit:
            raise UsageError(
                "--audit looks at poisons: name a --poison, a --defender or a --protected folder"
            )
        defenders = (DEFAULT_DEFENDER,)
    config = EvaluateConfig(
        exploiters=_exploiters(exploiter, gray, backbone or (), registries(plugins)),
        defenders=defenders,
        plugins=tuple(plugins),
        poisons=tuple(poison or ()),
        poison_kind=PoisonKind(poison_kind),
        archs=names(arch),
        backbones=tuple(backbone or ()),
        backbone_size=backbone_size,
        backbone_normalisation=backbone_norm,
        backbone_layer=backbone_layer,
        preset=preset or default_preset(where),
        seeds=whole_numbers(seeds, "--seeds"),
        dataset=dataset,
        data_root=data_root,
        download=not offline,
        size=size,
        protected=protected,
        upload=Upload.parse(upload),
        only=names(only),
        share=_share(share),
        mix=parse_mix(mix) if mix else None,
        train_images=train_images,
        validation=validation,
        epsilon=parse_epsilon(eps),
        attack_steps=at_steps,
        controls=controls,
        out=out,
        resume=resume,
        device=where,
        jobs=jobs,
        threads=threads,
        workers=workers,
        ray_address=ray_address,
    )
    carry_out = run_audit if audit else run_evaluation
    carry_out(config, output_format, quiet=quiet)
