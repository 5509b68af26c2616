"""`ulecli craft`: make a poisoned data set by the published algorithms."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from ulecli.cli.console import say
from ulecli.cli.extras import need_torch, torch_device
from ulecli.cli.work_progress import reporting
from ulecli.crafting.layout import Layout
from ulecli.errors import UsageError
from ulecli.system.devices import Device
from ulecli.units import DEFAULT_EPSILON, MAX_EPSILON, parse_epsilon


def _loop(words: str, metavar: str = "N", **more: Any) -> Any:
    """Return an option of the bi-level loop, which the published value stands for if it is left out."""
    return typer.Option(metavar=metavar, help=words, **more)


def craft(
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="cifar10|cifar100|FOLDER", show_default=False, help="What is poisoned."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="A folder, or a .npy, .npz or .safetensors."),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="The algorithm; --list names them.")
    ] = "uleo-grayaugs",
    surrogate: Annotated[str, typer.Option(metavar="NET", help="The net that it is made with.")] = "conv",
    layout: Annotated[
        Layout, typer.Option(help="PNGs of a folder: together, or in a folder for each class.")
    ] = Layout.NUMBERS,
    eps: Annotated[
        str, typer.Option(metavar="LEVELS", help=f"Bound of the change, 1 to {MAX_EPSILON}; or as 8/255.")
    ] = str(DEFAULT_EPSILON),
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Decides all randomness.")] = 0,
    classwise: Annotated[
        bool, typer.Option("--classwise", help="One perturbation for all images of a class.")
    ] = False,
    rounds: Annotated[int | None, _loop("Most rounds of the loop. Default: 50.", min=1)] = None,
    training_steps: Annotated[
        int | None, _loop("Mini-batches that the surrogate learns in a round. Default: 10.", min=1)
    ] = None,
    steps: Annotated[int | None, _loop("PGD steps of a round. Default: 20.", min=1)] = None,
    stop_error: Annotated[
        float | None,
        _loop("Error of the surrogate that ends it. Default: 0.01.", "SHARE", min=0, max=1),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="The surrogate begins anew in each round, as the paper says.")
    ] = False,
    as_published: Annotated[
        bool,
        typer.Option("--as-published", help="One-sided, truncated noise as of the published code."),
    ] = False,
    size: Annotated[
        int,
        typer.Option(metavar="PX", min=0, show_default=False, help="Side of its photos. Default: 64."),
    ] = 0,
    data_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where CIFAR lies. Default: $ULECLI_DATA, else data.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Don't download CIFAR.")] = False,
    device: Annotated[Device, typer.Option(help="Where to work.")] = Device.AUTO,
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, show_default=False, help="CPU threads. Default: all cores.")
    ] = 0,
    list_: Annotated[bool, typer.Option("--list", help="Name methods and nets, and end.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no remarks.")] = False,
) -> None:
    """Poison a data set by the bi-level loop of the paper (Algorithm 1), or by AdvPois.

    OUT holds every training image, with a card of how it was made and the surrogate's error in each round.
    `ulecli evaluate --poison OUT` and other people's tools read it. What was interrupted goes on when the
    same command is given again.

    \b
    Examples:
      ulecli craft cifar10 --method uleo-grayaugs --surrogate vgg11 -o poison
      ulecli craft ~/scenes --size 224 --surrogate resnet18 --layout classes -o scenes-poisoned
      ulecli craft cifar10 --surrogate mlp -o mlp.safetensors
    """  # noqa: D301 - the help needs the character itself
    if list_:
        print(_catalogue())
        return
    if dataset is None or output is None:
        raise UsageError("name a data set and where its poison goes: ulecli craft cifar10 -o poison")
    need_torch()
    from ulecli.crafting.run import CraftConfig, craft_set

    changes = {
        "rounds": rounds,
        "training_steps": training_steps,
        "steps": steps,
        "stop_error": stop_error,
        "restart": restart or None,
    }
    config = CraftConfig(
        dataset=dataset,
        output=output,
        method=method,
        surrogate=surrogate,
        epsilon=parse_epsilon(eps),
        seed=seed,
        classwise=classwise,
        as_published=as_published,
        changes={name: value for name, value in changes.items() if value is not None},
        layout=layout,
        size=size,
        data_root=data_root,
        download=not offline,
        device=str(torch_device(device)),
        threads=threads,
    )
    with reporting("reading the data set", quiet=quiet) as report:
        poison = craft_set(config, report)
    for remark in () if quiet else poison.remarks:
        say(f"note: {remark}")
    if not quiet:
        of = "" if dataset == "cifar10" else f" --dataset {shlex.quote(dataset)}"
        trial = f"ulecli evaluate --poison {shlex.quote(str(output))}{of}"
        say(f"wrote {output}: {len(poison.images):,} images; try it with {trial}")


def _catalogue() -> str:
    from ulecli.cli.catalogue import part
    from ulecli.crafting.methods import METHODS
    from ulecli.nets.registry import NETS

    return "\n\n".join(
        [
            part("methods", [(name, one.words) for name, one in METHODS.items()]),
            part("nets", [(name, one.words) for name, one in NETS.items()]),
        ]
    )
