"""`ulecli surrogate`: make, look at and check the nets whose gradients shape the perturbation."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

from ulecli.cli.console import say
from ulecli.cli.exit_codes import epilog
from ulecli.cli.extras import need_torch, torch_device
from ulecli.cli.work_progress import reporting
from ulecli.errors import TargetError, UsageError, shown, unknown
from ulecli.system.devices import Device

if TYPE_CHECKING:
    import torch

    from ulecli.cli.work_progress import Report
    from ulecli.data.images import ImageSet
    from ulecli.surrogates.recipe import Recipe
    from ulecli.surrogates.store import Card

app = typer.Typer(help="Make, look at and check surrogates.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a surrogate.")]


@app.command("list", epilog=epilog("surrogate list"))
def list_surrogates() -> None:
    """List the surrogates, one a line: name, net, size in kB, purpose."""
    from ulecli.surrogates.store import load_card, names

    for name in names():
        card = load_card(name)
        size = sum(file.bytes for file in card.files.values()) // 1000
        print(f"{name:14} {card.net['name']:18} {size:6} kB  {card.purpose}")


@app.command(epilog=epilog("surrogate show"))
def show(name: Name) -> None:
    """Print the card of a surrogate as JSON: data, protocol, command, sha256, measured effect, limits."""
    from ulecli.surrogates.store import load_card

    print(json.dumps(asdict(load_card(name)), indent=2, ensure_ascii=False))


@app.command(epilog=epilog("surrogate verify"))
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all.")] = None,
) -> None:
    """Check that every file of a surrogate is what its card says (exit code 8 if not)."""
    from ulecli.errors import ModelError
    from ulecli.surrogates import store

    wanted = names or store.names()
    if not wanted:
        raise ModelError(f"there is no surrogate in {store.directory()}; reinstall ulecli")
    for name in wanted:
        for file in store.load_card(name).files:
            store.verified_bytes(name, file.removeprefix(name))
        print(f"{name}: as its card says")


@app.command(epilog=epilog("surrogate export"))
def export(
    name: Name,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The ONNX file to write.")],
) -> None:
    """Write a surrogate's gradient graph (loss and input gradient) anew from its verified weights."""
    need_torch()
    from ulecli.surrogates.export import graph_of
    from ulecli.system.atomic import replacing
    from ulecli.system.writing import NO_ROOM, writing_to

    graph = graph_of(name)
    _make_writable(output.parent)
    with writing_to(output, NO_ROOM), replacing(output) as part:
        part.write_bytes(graph)
    say(f"wrote {output} ({len(graph) // 1000} kB)")


@app.command(epilog=epilog("surrogate train"))
def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new surrogate.")],
    recipe: Annotated[
        str | None,
        typer.Option(metavar="RECIPE[@NET]", help="What to make. Default: the recipe called NAME."),
    ] = None,
    data: Annotated[
        str, typer.Option(metavar="cifar10|FOLDER", help="CIFAR-10, or a folder with a folder per class.")
    ] = "cifar10",
    data_root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Holds cifar-10-batches-py. Default: $ULECLI_DATA, else data."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")] = Path(
        "models"
    ),
    batches: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Training steps. Default: the recipe's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Decides all randomness.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.AUTO,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPU threads. Default: torch's.")
    ] = None,
    deltas: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npy", help="Also protect the training images: write their delta, int8."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")] = False,
) -> None:
    """Make a surrogate; an interrupted training is taken up where it was.

    By the recipe "photo" a pretrained net is taken over, from a package of the extra transfer, and --data
    holds folders of photos of anything that its features are standardised by, on the CPU. By every other
    one a net is trained by amortised min-min.

    \b
    Examples:
      ulecli surrogate train cifar --data-root ~/data
      ulecli surrogate train mine --recipe cifar-linear --data ~/pictures -o ~/surrogates
      ulecli surrogate train photo --data ~/albums -o ~/surrogates
    """  # noqa: D301 - the help needs the character itself
    need_torch()
    import torch

    from ulecli.surrogates.feature_recipe import FEATURE_RECIPES

    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UsageError(f"{name!r} can't name a surrogate: use letters, digits, - and _")
    if threads:
        torch.set_num_threads(threads)
    for folder in (output, *([deltas.parent] if deltas else [])):
        _make_writable(folder)
    if (recipe or name) in FEATURE_RECIPES:
        if data == "cifar10" or batches or deltas or data_root or device in (Device.CUDA, Device.MPS):
            raise UsageError(
                f"the recipe {recipe or name} takes a pretrained net, on the CPU: name a folder of folders "
                "of photos with --data, and leave out --data-root, --device, --batches and --deltas"
            )
        card = _take_over(name, recipe, data, output, seed, quiet)
    else:
        where = torch_device(device)
        card = _train(name, recipe, data, data_root, output, batches, seed, where, deltas, quiet)
    if not quiet:
        say(f"wrote {output / name}.json and what it vouches for: {', '.join(card.files)}")


def _take_over(name: str, recipe: str | None, data: str, output: Path, seed: int, quiet: bool) -> Card:
    """Make a surrogate of a pretrained net."""
    from ulecli.surrogates.feature_making import make_feature_surrogate
    from ulecli.surrogates.feature_recipe import FEATURE_RECIPES

    chosen = FEATURE_RECIPES[recipe or name]
    pictures = _pictures(data, None, chosen.grid)
    words = f"making {name} of {chosen.backbone}, its features standardised by {len(pictures)} photos"
    if not quiet:
        say(words)
    with reporting(words, quiet=quiet) as report:
        return make_feature_surrogate(
            name,
            chosen,
            pictures,
            output,
            data=f"{len(pictures)} photos of anything, beside those of ImageNet that the net was trained on",
            command=_command(name, recipe, data, None, seed),
            seed=seed,
            progress=lambda done: report("photos", done, len(pictures)),
        )


def _train(
    name: str,
    recipe: str | None,
    data: str,
    data_root: Path | None,
    output: Path,
    batches: int | None,
    seed: int,
    where: torch.device,
    deltas: Path | None,
    quiet: bool,
) -> Card:
    """Train a surrogate by amortised min-min."""
    from ulecli.surrogates.feature_recipe import FEATURE_RECIPES
    from ulecli.surrogates.making import make_surrogate
    from ulecli.surrogates.recipe import ON, RECIPES, find_recipe

    stem = (recipe or name).partition(ON)[0]
    if stem not in RECIPES and ON not in (recipe or name):
        raise unknown("recipe", stem, [*FEATURE_RECIPES, *RECIPES])
    chosen = find_recipe(recipe or name)
    if batches:
        chosen = replace(chosen, batches=batches)
    pictures = _pictures(data, data_root, chosen.grid if data != "cifar10" else None)
    words = f"training {name} by the recipe {recipe or name} on {where.type}, {chosen.batches} batches"
    if not quiet:
        say(words)

    with reporting(words, quiet=quiet) as report:

        def advance(done: int, loss: float, accuracy: float) -> None:
            report("training", done, chosen.batches, f"loss {loss:.2f}, right {accuracy:.0%}")

        card, net = make_surrogate(
            name,
            chosen,
            pictures,
            output,
            data="CIFAR-10, the 50,000 training images"
            if data == "cifar10"
            else f"{len(pictures)} own images",
            command=_command(name, recipe, data, batches, seed, where),
            seed=seed,
            device=where,
            progress=advance,
        )
        if deltas:
            _write_deltas(net, pictures, chosen, deltas, where, report)
    if deltas and not quiet:
        say(f"wrote {deltas}: delta of {len(pictures)} images in levels, int8")
    return card


def _make_writable(folder: Path) -> None:
    """Make a folder if there is none and see that it takes files, before hours of work are lost to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TargetError(f"can't write to {shown(folder)}: {error.strerror}; name another place") from error


def _pictures(data: str, root: Path | None, side: int | None) -> ImageSet:
    from ulecli.data.cifar import cifar10, default_root
    from ulecli.data.folder import image_folder

    if side is None:
        return cifar10(root or default_root(), train=True)
    return image_folder(Path(data), side)


def _write_deltas(
    net: torch.nn.Sequential,
    pictures: ImageSet,
    recipe: Recipe,
    path: Path,
    where: torch.device,
    report: Report,
) -> None:
    import numpy as np
    import torch

    from ulecli.perturb.sets import set_delta
    from ulecli.system.atomic import replacing
    from ulecli.system.writing import NO_ROOM, writing_to

    delta = set_delta(
        net,
        pictures.images,
        pictures.labels,
        recipe.protection,
        epsilon=recipe.epsilon,
        device=str(where),
        progress=lambda done: report("protecting", done, len(pictures)),
    )
    with writing_to(path, NO_ROOM), replacing(path) as part, part.open("wb") as file:
        np.save(file, delta.to(torch.int8).numpy())


def _command(
    name: str,
    recipe: str | None,
    data: str,
    batches: int | None,
    seed: int,
    where: torch.device | None = None,
) -> str:
    """Return the command that makes the surrogate again, without paths of this machine."""
    words = ["ulecli", "surrogate", "train", name]
    words += ["--recipe", recipe] if recipe else []
    words += ["--data", "FOLDER"] if data != "cifar10" else []
    words += ["--batches", str(batches)] if batches else []
    words += ["--seed", str(seed)]
    words += ["--device", where.type] if where else []
    return shlex.join(words)
