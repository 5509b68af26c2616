"""`ulecli surrogate`: make, look at and check the nets whose gradients shape the perturbation."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

from ulecli.cli.console import say
from ulecli.cli.exit_codes import epilog
from ulecli.cli.extras import need_torch, torch_device
from ulecli.errors import TargetError, UsageError, shown
from ulecli.system.devices import Device

if TYPE_CHECKING:
    import torch

    from ulecli.data.images import ImageSet
    from ulecli.surrogates.min_min_training import Progress
    from ulecli.surrogates.recipe import Recipe

app = typer.Typer(help="Make, look at and check surrogates.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a surrogate.")]


@app.command("list", epilog=epilog("surrogate list"))
def list_surrogates() -> None:
    """List the surrogates, one a line: name, net, size in kB, purpose."""
    from ulecli.surrogates.store import load_card, names

    for name in names():
        card = load_card(name)
        size = sum(file.bytes for file in card.files.values()) // 1000
        print(f"{name:14} {card.net['name']:8} {size:6} kB  {card.purpose}")


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
    family: Annotated[int, typer.Option(min=0, metavar="N", help="Which of its nets.")] = 0,
) -> None:
    """Write a surrogate's gradient graph (loss and input gradient) anew from its verified weights."""
    need_torch()
    from ulecli.perturb.gradient_graph import gradient_graph
    from ulecli.surrogates.store import load_card
    from ulecli.surrogates.weights import load_net
    from ulecli.system.atomic import replacing
    from ulecli.system.writing import NO_ROOM, writing_to

    graph = gradient_graph(load_net(name, family), load_card(name).net["channels"])
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
) -> None:
    """Train a surrogate by amortised min-min; an interrupted training is taken up where it was.

    \b
    Examples:
      ulecli surrogate train photo --data-root ~/data
      ulecli surrogate train mine --recipe cifar-linear --data ~/pictures -o ~/surrogates
    """  # noqa: D301 - the help needs the character itself
    need_torch()
    import torch

    from ulecli.surrogates.making import make_surrogate
    from ulecli.surrogates.recipe import find_recipe

    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UsageError(f"{name!r} can't name a surrogate: use letters, digits, - and _")
    if threads:
        torch.set_num_threads(threads)
    chosen = find_recipe(recipe or name)
    if deltas and chosen.families > 1:
        raise UsageError("--deltas needs a recipe with one family: delta then follows the classes")
    if batches:
        chosen = replace(chosen, batches=batches)
    where = torch_device(device)
    for folder in (output, *([deltas.parent] if deltas else [])):
        _make_writable(folder)
    pictures = _pictures(data, data_root, chosen.grid if data != "cifar10" else None)
    say(f"training {name} by the recipe {recipe or name} on {where.type}, {chosen.batches} batches")
    card, nets = make_surrogate(
        name,
        chosen,
        pictures,
        output,
        data="CIFAR-10, the 50,000 training images" if data == "cifar10" else f"{len(pictures)} own images",
        command=_command(name, recipe, data, batches, seed, where),
        seed=seed,
        device=where,
        bar=lambda words: _bar(chosen.batches, words),
    )
    say(f"wrote {output / name}.json and what it vouches for: {', '.join(card.files)}")
    if deltas:
        _write_deltas(nets[0], pictures, chosen, deltas, where)


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
    net: torch.nn.Sequential, pictures: ImageSet, recipe: Recipe, path: Path, where: torch.device
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
    )
    with writing_to(path, NO_ROOM), replacing(path) as part, part.open("wb") as file:
        np.save(file, delta.to(torch.int8).numpy())
    say(f"wrote {path}: delta of {len(delta)} images in levels, int8 {tuple(delta.shape)}")


def _command(
    name: str, recipe: str | None, data: str, batches: int | None, seed: int, where: torch.device
) -> str:
    """Return the command that makes the surrogate again, without paths of this machine."""
    words = ["ulecli", "surrogate", "train", name]
    words += ["--recipe", recipe] if recipe else []
    words += ["--data", "FOLDER"] if data != "cifar10" else []
    words += ["--batches", str(batches)] if batches else []
    return shlex.join([*words, "--seed", str(seed), "--device", where.type])


@contextmanager
def _bar(total: int, what: str) -> Iterator[Progress | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def advance(done: int, loss: float, accuracy: float) -> None:
            bar.update(task, completed=done, description=f"{what}: loss {loss:.2f}, right {accuracy:.0%}")

        yield advance
