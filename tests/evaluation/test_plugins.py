"""Plugins: files and packages that are written here, through the command and from Python."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.errors import NoSuchPath, UleError, UsageError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.defenders import DEFENDERS, defend
from ulecli.evaluation.exploiters.batches import Shift
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.exploiters.registry import FAMILIES, find_exploiter
from ulecli.evaluation.exploiters.training import train_exploiter
from ulecli.evaluation.plugins import (
    Countermeasure,
    Family,
    Fitted,
    Net,
    Plugin,
    Preparation,
    Stored,
    load_plugin,
    registries,
)
from ulecli.evaluation.run import evaluate
from ulecli.evaluation.training_sets import identity_of
from ulecli.nets.registry import NETS

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "plugin.py"
CLEAN = shapes(40)
SHORT = replace(
    PRESETS["quick"].small,
    epochs=1,
    batch_size=20,
    augment=Shift(2),
    settings={"widths": (8,)},
    least_steps=0,
)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


BGR = """
from ulecli.evaluation.plugins import Countermeasure
EXPLOITERS = {"bgr": Countermeasure(varies=(lambda images, targets, rng: (images[:, [2, 1, 0]], targets),))}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch) -> Path:
    """A package `mine` with parts of its own: the sample's, in a module that another one imports."""
    written(tmp_path / "site" / "mine" / "__init__.py", '"""Mine."""\n')
    shutil.copy(SAMPLE, tmp_path / "site" / "mine" / "parts.py")
    written(
        tmp_path / "site" / "mine" / "ulecli.py",
        "from mine.parts import DEFENDERS, NETS, denoise\n"
        "from ulecli.evaluation.plugins import Family\n"
        "EXPLOITERS = {'denoise': Family('mine', denoise, (4,), (1, 64), 'levels')}\n",
    )
    return tmp_path / "site"


@pytest.mark.parametrize(("kind", "jobs"), [pytest.param("file", 1, marks=pytest.mark.slow), ("package", 2)])
def test_the_command_trains_with_a_plugin(package: Path, kind: str, jobs: int) -> None:
    name = str(SAMPLE) if kind == "file" else "mine.ulecli"
    command = [sys.executable, "-m", "ulecli", "evaluate", "--plugin", name, "--dataset", "shapes"]
    command += ["--train-images", "100", "--defender", "grid", "--exploiter", "gray+denoise-4,standard"]
    command += ["--arch", "tiny-residual", "--no-controls", "--device", "cpu", "--jobs", str(jobs)]
    command += ["--threads", str(jobs), "--format", "json"]
    paths = os.pathsep.join([str(package), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records = [run for arm in json.loads(done.stdout)["arms"] for run in arm["runs"]]
    assert {record["arm"]["exploiter"] for record in records} == {"gray+denoise-4", "standard"}
    label = "plugin.py" if kind == "file" else "mine.ulecli"
    for record in records:
        assert record["arm"]["arch"] == "tiny-residual" and record["arm"]["poison"] == "grid"
        assert record["audit"]["max_change"] == 8
        (entry,) = record["config"]["plugins"]
        assert entry == f"{label} {load_plugin(SAMPLE).sha256}" if kind == "file" else entry.startswith(label)


def test_names_of_plugins_are_listed_and_suggested() -> None:
    from ulecli.cli.catalogue import catalogue

    plugin = load_plugin(SAMPLE)
    listed = catalogue([plugin])
    for name in ("denoise-2|8", "tiny-residual", "grid"):
        assert f"\n  {name} " in listed and f"\n  {name} " not in catalogue()
    for changes, near in (
        ({"exploiters": ("denois",)}, "denoise"),
        ({"archs": ("tiny_residual",)}, "tiny-residual"),
        ({"defenders": ("grit",)}, "grid"),
    ):
        with pytest.raises(UsageError, match=f"only .*{near}.*did you mean {near}"):
            EvaluateConfig(plugins=(SAMPLE,), **changes)
        with pytest.raises(UsageError):
            EvaluateConfig(**{what: (near,) for what in changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "import no_such_module_anywhere",
            "can't be imported .ModuleNotFoundError: .*no_such_module_anywhere",
        ),
        ("def broken(:", "can't be imported .SyntaxError"),
        ("raise SystemExit(3)", "can't be imported .SystemExit: 3"),
        ("EXPLOITER = {}", "defines nothing: it needs a dict EXPLOITERS, NETS or DEFENDERS"),
        ("NETS = {}", "defines nothing"),
        ("NETS = ['mine']", "NETS is a list, not a dict by name"),
        (BGR.replace('"bgr"', '"gray"'), "defines the exploiter 'gray', which there is already"),
        ("def noise(images, order): ...\nDEFENDERS = {'noise': noise}", "defines the defender 'noise'"),
        ("class Net: ...\nNETS = {'vgg11': Net}", "defines the net 'vgg11'"),
        (BGR.replace('"bgr"', '"b+r"'), "EXPLOITERS has the name 'b.r'"),
        (BGR.replace('"bgr"', '"BGR"'), "'BGR' has to be in small letters"),
        (BGR.replace('"bgr"', "3"), "has the name 3"),
        ("EXPLOITERS = {'mine': print}", "'mine'. is a builtin_function_or_method; it has to be a Family"),
        (
            "import torch\nNETS = {'mine': torch.nn.Flatten()}",
            "is a Flatten; it has to be a Net, or a function",
        ),
        ("DEFENDERS = {'mine': 3}", "is a int; it has to be a Defender"),
    ],
)
def test_a_plugin_that_can_not_be_used_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path / "bad.py", text)
    with pytest.raises(UsageError, match=words) as caught:
        load_plugin(file)
    assert "bad.py" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=words):
        EvaluateConfig(plugins=(file,))


def test_places_without_a_plugin(tmp_path: Path) -> None:
    with pytest.raises(NoSuchPath, match=r"no plugin .*nowhere\.py; name a file"):
        load_plugin(tmp_path / "nowhere.py")
    for name in ("no_such_module_anywhere", "no_such_module_anywhere.part"):
        with pytest.raises(UsageError, match="plugin no_such_module_anywhere"):
            load_plugin(name)


def test_two_plugins_can_not_use_one_name(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name / "plugin.py", BGR) for name in "ab")
    with pytest.raises(UsageError, match="defines the exploiter 'bgr', which there is already"):
        EvaluateConfig(plugins=(first, second)).known  # noqa: B018
    both = EvaluateConfig(plugins=(first, SAMPLE), exploiters=("bgr+denoise-3",), archs=("tiny-residual",))
    assert both.measure("bgr+denoise-3").name == "bgr+denoise-3"


def test_what_ships_stays_as_it_is(tmp_path: Path) -> None:
    before = [list(registry) for registry in (FAMILIES, NETS, DEFENDERS)]
    assert "bgr" in registries([load_plugin(written(tmp_path / "mine.py", BGR))]).exploiters
    assert [list(registry) for registry in (FAMILIES, NETS, DEFENDERS)] == before


def test_a_file_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    written(tmp_path / "beside_this_plugin.py", "NAME = 'bgr'")
    text = f"from beside_this_plugin import NAME\n{BGR}EXPLOITERS = {{NAME: EXPLOITERS['bgr']}}"
    before = list(sys.path)
    assert list(load_plugin(written(tmp_path / "mine.py", text)).exploiters) == ["bgr"]
    assert sys.path == before


def test_other_code_is_another_plugin(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", BGR)
    first = load_plugin(file)
    assert load_plugin(str(file)) is first and pickle.loads(pickle.dumps(first)) is first
    config = EvaluateConfig(plugins=(file,))
    written(file, BGR + "# changed\n")
    changed = load_plugin(file)
    assert changed.sha256 != first.sha256
    assert EvaluateConfig(plugins=(file,)).fingerprint("") != config.fingerprint("")
    assert "plugins" not in EvaluateConfig().fingerprint("")
    assert identity_of("x", [replace(first, defenders={"x": print})]) == f"x {first.sha256}"
    with pytest.raises(UleError, match="was changed while trainings ran"):
        load_plugin(file, first.sha256)


def test_results_of_other_code_are_not_mixed(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", BGR)
    config = {
        "exploiters": ("bgr",),
        "dataset": "shapes",
        "train_images": 100,
        "controls": False,
        "defenders": ("noise",),
        "archs": ("linear",),
        "out": tmp_path / "out",
        "jobs": 1,
        "threads": 1,
    }
    (record,) = evaluate(EvaluateConfig(plugins=(file,), **config)).records
    assert evaluate(EvaluateConfig(plugins=(file,), resume=True, **config)).records == (record,)
    written(file, BGR + "# changed\n")
    with pytest.raises(UleError, match="plugins"):
        evaluate(EvaluateConfig(plugins=(file,), resume=True, **config))


class ByView(nn.Module):
    """A net as many are written: its own order of memory, a way around, and `view`."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, stride=2, padding=1)
        self.way = nn.Conv2d(channels, 8, 1, stride=2)
        self.norm = nn.BatchNorm2d(8, affine=False)
        self.head = nn.Linear(8 * 16 * 16, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.norm(self.first(images) + self.way(images)))
        return self.head(features.view(features.size(0), -1))


def test_objects_join_from_python() -> None:
    mine = Plugin(
        exploiters={"bgr": Countermeasure(varies=(lambda images, targets, rng: (images.flip(1), targets),))},
        nets={"by-view": ByView},
        defenders={"dark": lambda images, order: images.images ^ 3},
    )
    config = EvaluateConfig(
        exploiters=("bgr",),
        archs=("by-view",),
        defenders=("dark",),
        plugins=(mine,),
        dataset="shapes",
        train_images=100,
        controls=False,
    )
    (record,) = evaluate(config).records  # jobs are left to it, and objects stay in this process
    assert (record.arm.exploiter, record.arm.arch, record.arm.poison) == ("bgr", "by-view", "dark")
    assert record.audit is not None and record.audit["max_change"] == 3
    with pytest.raises(UsageError, match="take jobs=1, or a plugin in a file"):
        replace(config, jobs=2)
    with pytest.raises(UsageError, match="can't go to another process"):
        pickle.dumps(mine)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exploiters": (3,)}, "exploiters holds a int; each has to be a name or a Countermeasure"),
        ({"archs": (3,)}, "archs holds a int; each has to be a name or a Net, a module, or"),
        ({"exploiters": "gray"}, r"exploiters is 'gray': write a tuple, \('gray',\)"),
        ({"defenders": "noise"}, "defenders is 'noise': write a tuple"),
        ({"plugins": "mine.py"}, "plugins is a tuple"),
        ({"out": 5}, "out is 5, but takes a path"),
    ],
)
def test_what_is_no_tuple_of_names(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        EvaluateConfig(**changes)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda images, order: images.images ^ 16, "changed a value by 16 levels; the bound is 8"),
        (
            lambda images, order: images.images.float(),
            r"returned torch.float32 .*not a uint8 tensor \(40, 3,",
        ),
        (lambda images, order: images.images[:7], r"returned torch.uint8 \(7, 3, 32, 32\)"),
        (lambda images, order: images.images.numpy(), "returned ndarray"),
    ],
)
def test_what_a_defender_returns_is_checked(made, words: str) -> None:
    defenders = registries([Plugin(defenders={"mine": made})]).defenders
    with pytest.raises(UleError, match=f"defender 'mine' {words}"):
        defend("mine", CLEAN, defenders=defenders)


def test_a_defender_may_protect_all_or_the_chosen() -> None:
    chosen = torch.tensor([3, 30])
    seen: list[tuple[int, int, list[int]]] = []

    def whole(images: ImageSet, order) -> torch.Tensor:
        seen.append((order.epsilon, order.seed, order.chosen.tolist()))
        return images.images ^ 1

    defenders = registries(
        [Plugin(defenders={"whole": whole, "part": lambda images, order: images.images[order.chosen] ^ 1})]
    ).defenders
    found = [
        defend(name, CLEAN, chosen=chosen, epsilon=4, seed=9, defenders=defenders)
        for name in ("whole", "part")
    ]
    assert all(torch.equal(one.images, CLEAN.images[chosen] ^ 1) for one in found)
    assert all(torch.equal(one.labels, CLEAN.labels[chosen]) for one in found)
    assert seen == [(4, 9, [3, 30])]


def spy(calls: list[Preparation], **hooks: object) -> Countermeasure:
    def made(hook: object) -> Fitted:
        def make(given: Preparation) -> object:
            calls.append(given)
            return hook

        return Fitted(make)

    stored = tuple(Stored(made(hook), on_test=True) for hook in hooks.get("stored", ()))
    return Countermeasure(stored=stored, varies=tuple(map(made, hooks.get("varies", ()))))


def test_hooks_are_made_for_each_training_from_what_reaches_them() -> None:
    calls: list[Preparation] = []
    measure = spy(
        calls, stored=[lambda levels: levels // 2], varies=[lambda images, targets, rng: (images, targets)]
    )
    families = FAMILIES.joined({"spy": Family("", lambda _: measure)}, "here")
    joined = find_exploiter("gray+spy", families=families)
    test = shapes(20, seed=1)
    state = torch.get_rng_state()
    results = [train_exploiter(CLEAN, test, SHORT, joined, 0) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert results[0] == results[1]
    gray = find_exploiter("gray").store(CLEAN.images)
    assert len(calls) == 4
    for filtered, varied in (calls[:2], calls[2:]):
        assert torch.equal(filtered.images.images, gray)  # behind the filters before it
        assert torch.equal(varied.images.images, gray // 2)  # behind all of them
        assert torch.equal(filtered.images.labels, CLEAN.labels) and filtered.device == torch.device("cpu")
    assert calls[0].generator is calls[1].generator is not calls[2].generator


def test_a_seed_decides_what_a_hook_draws_and_learns() -> None:
    drawn: list[float] = []

    def make(given: Preparation):
        weights = nn.Linear(2, 1).weight.detach()  # from torch's own generator
        drawn.append(float(torch.rand((), generator=given.generator)) + float(weights.sum()))
        return lambda levels: levels

    measure = Countermeasure(stored=(Stored(Fitted(make)),))
    for seed in (0, 0, 1):
        measure.prepared(CLEAN, torch.device("cpu"), seed)
        torch.rand(5)
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_denoiser_is_trained_on_the_stored_images_and_takes_noise_off() -> None:
    known = registries([load_plugin(SAMPLE)])
    clean = shapes(200)
    noise = 32 * torch.randn(clean.images.shape, generator=torch.Generator().manual_seed(0))
    noisy = (clean.images + noise).round().clamp(0, 255).to(torch.uint8)
    measure, stored = find_exploiter("denoise-32", families=known.exploiters).prepared(
        clean, torch.device("cpu"), 0
    )
    assert not stored.requires_grad and stored.shape == clean.images.shape

    def error(levels: torch.Tensor) -> float:
        return float((levels.float() - clean.images.float()).square().mean())

    assert error(measure.store(noisy)) < 0.6 * error(noisy)
    assert torch.equal(measure.store(noisy, test=True), measure.store(noisy))


@pytest.mark.parametrize(
    "wrong", [lambda levels: levels.float(), lambda levels: levels[:, :1], lambda levels: levels[:5]]
)
def test_a_filter_that_returns_something_else_is_named(wrong) -> None:
    measure = Countermeasure(stored=(Stored(wrong),))
    with pytest.raises(UsageError, match=r"a filter of stored images returned .*uint8 \(40, 3, 32, 32\)"):
        train_exploiter(CLEAN, shapes(20, seed=1), SHORT, measure, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda images, targets, rng: None,
        lambda images, targets, rng: images,
        lambda images, targets, rng: (images[:, :1], targets),
        lambda images, targets, rng: (images, targets.argmax(1)),
    ],
)
def test_a_change_of_batches_that_returns_something_else_is_named(wrong) -> None:
    measure = Countermeasure(name="mine", varies=(wrong,))
    with pytest.raises(UsageError, match=r"of 'mine' has to return images \(\d+, 3, 32, 32\)"):
        train_exploiter(CLEAN, shapes(20, seed=1), SHORT, measure, 0)


def test_a_bare_filter_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"Stored\(filter\)"):
        Countermeasure(name="mine", stored=(lambda levels: levels,))


def test_hooks_that_are_not_made_yet_can_not_be_used() -> None:
    measure = spy([], stored=[lambda levels: levels], varies=[lambda images, targets, rng: (images, targets)])
    for use in (lambda: measure.store(CLEAN.images), lambda: measure.vary(CLEAN.images, CLEAN.labels, None)):
        with pytest.raises(ValueError, match="has not been made yet"):
            use()


def test_memory_order_is_what_a_net_asks_for() -> None:
    seen: dict[str, bool] = {}

    def make(name: str):
        class Looking(nn.Module):
            def __init__(self, channels: int, classes: int) -> None:
                super().__init__()
                self.head = nn.Linear(channels, classes)

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                seen[name] = images.is_contiguous()
                return self.head(images.mean((2, 3)))

        return Looking

    nets = NETS.joined({"a": Net(make("a")), "b": Net(make("b"), channels_last=True)}, "here")
    for name in "ab":
        protocol = replace(SHORT, net=name, settings={})
        train_exploiter(CLEAN, shapes(20, seed=1), protocol, Countermeasure(), 0, nets=nets)
    assert seen == {"a": True, "b": False}
