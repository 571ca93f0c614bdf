"""The command line as a user meets it: results, messages, exit codes, interruption."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from actpress.cli.app import app
from actpress.cli.opened import open_run
from actpress.data import Preparation
from actpress.run import load_head, load_tail

PARTS = ("head", "tail")
PATIENCE_S = 240.0
"""For another process on a busy machine; what waits so long would have waited for ever."""

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

TOY = """
import torch
from torch import nn
from actpress.data import Dataset, Split


def network(channels=6, broken=False, poison=False, shape_dependent=False):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(),
              nn.Conv2d(channels, channels, 3, 2, 1), nn.ReLU(),
              nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)]
    net = nn.Sequential(*layers)
    if poison:
        net[3].weight.data[0] = float("nan")
    return Branching(net) if shape_dependent else net


class Branching(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        if x.sum() > 0:  # the line to be named
            x = -x
        return self.net(x)


def no_sites():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def split(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator)
    images = torch.randn(count, 1, 8, 8, generator=generator) + labels[:, None, None, None]
    return Split.in_memory(images, labels)


def colours():
    image = torch.zeros(8, 3, 8, 8)
    part = Split.in_memory(image, torch.arange(8) % 3)
    return Dataset("colours", part, part, part, 3)


def images():
    return Dataset("toy", split(384, 1), split(32, 2), split(40, 3), 3)
"""

PREPARING = """

def telling():
    import dataclasses
    import numpy as np
    from PIL import Image

    def prepare(path):
        return torch.from_numpy(np.asarray(Image.open(path), dtype=np.float32)[None] / 255)

    return dataclasses.replace(images(), prepare=prepare)
"""

MODEL = ("--model", "toy:network")
DATA = ("--data", "toy:images")
QUICK = ("--steps", "6", "--batch-size", "16", "--search-images", "16")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds the user's module."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "toy", raising=False)
    # A module that is edited twice within a second would be taken from its old bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def compress(*extra: str, out: str = "run") -> Result:
    budget = () if "--budget" in extra else ("--budget", "2.5bits")
    return invoke("compress", *MODEL, *DATA, *QUICK, *budget, "--out", out, *extra)


def message(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return message_of(result)


def message_of(result: Result) -> str:
    return " ".join(result.stderr.split())


def start(out: str, *extra: str) -> subprocess.Popen[str]:
    # Where tests run in the background, a shell makes its children ignore SIGINT.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", listen + "from actpress.cli import main; main()", "compress"]
    arguments = [*MODEL, *DATA, "--budget", "2.5bits", "--search-images", "16", "--out", out]
    arguments += ["--steps", "400", "--batch-size", "16", *extra]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(  # noqa: S603 - our own command
        command + arguments, env=environment, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=PATIENCE_S)
    return process.returncode


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.01)


def artefacts(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in ("plan.json", "codec.safetensors")]


@pytest.mark.parametrize(
    "method", ["codesign", "lsq", "layerwise_ilp", "layerwise_search", "entropy_training"]
)
def test_runs_of_every_method_evaluate_and_stream_alike(folder: Path, method: str) -> None:
    quick = ("--width-steps", "8", "--mixed-precision", "--count", "activations")
    result = compress("--method", method, *quick)
    assert result.exit_code == 0, result.output
    first = json.loads((folder / "run" / "metrics.json").read_text())
    # Test images may cost a little more than the few that the tables were fitted on.
    assert first["bits_per_value"]["entropy"] <= 2.5 * 1.005
    result = invoke("evaluate", "run", "--measured", "--json", "again.json")
    assert result.exit_code == 0, result.output
    again = json.loads((folder / "again.json").read_text())
    assert again["accuracy"] == first["accuracy"]
    assert again["bits_per_value"] == first["bits_per_value"]


@pytest.mark.slow
def test_a_codesign_that_is_killed_resumes_to_the_same_run(folder: Path) -> None:
    options = ("--method", "codesign", "--width-steps", "60")
    whole = start("whole", *options)
    assert finish(whole) == 0
    process = start("broken", *options)
    wait_for(folder / "broken.partial" / "widths.pt", process)
    process.kill()
    process.communicate()
    resumed = start("broken", *options, "--resume")
    assert finish(resumed) == 0
    assert artefacts(folder / "broken") == artefacts(folder / "whole")


def test_a_sweep_compares_and_goes_on(folder: Path) -> None:
    quick = ("--steps", "4", "--batch-size", "16", "--search-images", "16", "--width-steps", "4")
    common = (*MODEL, *DATA, *quick, "--out", "sweep")
    result = invoke("sweep", *common, "--methods", "int8,gdr", "--budgets", "2.5bits")
    assert result.exit_code == 0, result.output
    assert "gdr at 2.5bits" in result.stderr
    result = invoke("sweep", *common, "--methods", "int8,gdr,codesign", "--budgets", "2.5bits")
    assert result.exit_code == 0, result.output
    assert "gdr at 2.5bits" not in result.stderr
    assert "bits/value" in result.stdout
    rows = (folder / "sweep" / "sweep.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["method", "int8", "gdr", "codesign"]
    assert "there is no such choice" in message(invoke("sweep", *common, "--methods", "magic"))


def test_compress_writes_a_run_that_can_be_evaluated_and_reported(folder: Path) -> None:
    result = compress()
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (folder / "run").iterdir()) == [
        "codec.safetensors",
        "metrics.json",
        "plan.json",
        "report.html",
        "run.json",
    ]
    assert not (folder / "run.partial").exists()
    written = json.loads((folder / "run" / "metrics.json").read_text())
    assert written["bits_per_value"]["entropy"] <= 2.6
    assert [site["name"] for site in written["sites"]] == ["2", "4", "5"]

    again = invoke("evaluate", "run", "--json", "again.json")
    assert again.exit_code == 0, again.output
    repeated = json.loads((folder / "again.json").read_text())
    for key in ("accuracy", "float_accuracy", "bits_per_value", "traffic", "energy"):
        assert repeated[key] == written[key]

    (folder / "run" / "report.html").unlink()
    assert invoke("report", "run").exit_code == 0
    assert "</html>" in (folder / "run" / "report.html").read_text()


def test_a_network_that_was_trained_too_is_evaluated_with_its_new_weights(folder: Path) -> None:
    learn = ("--train", "network", "--steps", "60", "--count", "activations")
    assert compress(*learn, "--budget", "1.5bits").exit_code == 0
    assert (folder / "run" / "network.safetensors").exists()
    written = json.loads((folder / "run" / "metrics.json").read_text())
    assert invoke("evaluate", "run", "--json", "again.json").exit_code == 0
    repeated = json.loads((folder / "again.json").read_text())
    for key in ("accuracy", "agreement", "bits_per_value"):
        assert repeated[key] == written[key]


def draw_images(folder: Path) -> Path:
    """An image folder with three classes of noise around three greys; returns one test image."""
    generator = torch.Generator().manual_seed(0)
    for name, count in (("train", 12), ("test", 4)):
        for label in range(3):
            target = folder / "photos" / name / f"class{label}"
            target.mkdir(parents=True)
            for index in range(count):
                pixels = torch.randint(60, (8, 8), generator=generator) + 80 * label
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(target / f"{index}.png")
    return folder / "photos" / "test" / "class1" / "0.png"


def test_an_image_goes_to_bytes_and_back(folder: Path) -> None:
    image = str(draw_images(folder))
    data = ("--data", "imagefolder:photos", "--input", "1x8x8")
    result = invoke("compress", *MODEL, *data, *QUICK, "--method", "gdr", "--out", "run")
    assert result.exit_code == 0, result.output

    result = invoke("encode", "run", image, "out.apz")
    assert result.exit_code == 0, result.output
    size = (folder / "out.apz").stat().st_size
    assert re.search(rf"class [012]; 3 sites in {size} bytes", result.stderr)
    assert invoke("decode", "run", "out.apz", "values").exit_code == 0
    values = load_file(folder / "values" / "frame-00000.safetensors")
    assert {name: tuple(value.shape) for name, value in values.items()} == {
        "2": (1, 6, 8, 8),
        "4": (1, 6, 4, 4),
        "5": (1, 6, 1, 1),
    }

    assert invoke("encode", "run", image, "one.apz", "--site", "4").exit_code == 0
    assert invoke("decode", "run", "one.apz", "one").exit_code == 0
    (value,) = load_file(folder / "one" / "frame-00000.safetensors").values()
    assert value.equal(values["4"])

    assert "--force" in message(invoke("encode", "run", image, "out.apz"))
    assert "values exists already" in message(invoke("decode", "run", "out.apz", "values"))
    assert "the plan has no site tail" in message(
        invoke("encode", "run", image, "two.apz", "--site", "tail")
    )
    assert "cannot read the image" in message(invoke("encode", "run", "toy.py", "two.apz"))
    (folder / "short.apz").write_bytes((folder / "out.apz").read_bytes()[:-3])
    assert "ends in its end mark" in message(invoke("decode", "run", "short.apz", "two"))
    assert not list(folder.glob("*two*")), "nothing half-written remains"


@pytest.mark.parametrize("to", ["onnx", "qonnx"])
def test_a_run_is_exported_once_it_ran_elsewhere(folder: Path, to: str) -> None:
    assert compress("--method", "gdr").exit_code == 0

    result = invoke("export", "run", "--to", to, "--out", "net.onnx")

    assert result.exit_code == 0
    told = r"net.onnx: opset 2\d, 3 sites, [\d,]+ bits an image, .* 32 of 32 predictions equal"
    assert re.search(told, message_of(result))
    assert (folder / "net.onnx").stat().st_size > 1000
    again = invoke("export", "run", "--to", to, "--out", "net.onnx")
    assert (again.exit_code, "--force" in message(again)) == (2, True)


@pytest.mark.usefixtures("folder")
def test_an_unknown_target_of_export_lists_the_choices() -> None:
    result = invoke("export", "run", "--to", "tflite", "--out", "net")

    assert "--to tflite: there is no such choice; expected onnx, qonnx" in message(result)


def test_a_run_is_split_into_halves_that_can_be_loaded(folder: Path) -> None:
    learn = ("--train", "network", "--steps", "60", "--count", "activations")
    assert compress(*learn, "--budget", "1.5bits").exit_code == 0
    result = invoke("split", "run", "--at", "4", "--out", "halves")
    assert result.exit_code == 0, result.output
    said = message_of(result)
    assert re.search(r"the head sends 4: about \d+ bytes an image, the input takes 64 bytes", said)
    assert "written to halves/head, halves/tail" in said

    sys.path.insert(0, str(folder))
    toy = importlib.import_module("toy")
    opened = open_run(folder / "run", weights=None, device=torch.device("cpu"))
    untrained = toy.network().eval()
    head = load_head(folder / "halves" / "head", untrained)
    tail = load_tail(folder / "halves" / "tail", untrained)
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        assert tail(head(x)).equal(opened.pressed(x))
    weights = {part: load_file(folder / "halves" / part / "network.safetensors") for part in PARTS}
    assert weights["head"].keys() == {"0.weight", "0.bias", "3.weight", "3.bias"} | {
        f"1.{name}" for name in BATCH_NORM
    }
    assert weights["tail"].keys() == {"7.weight", "7.bias"}

    assert "halves/head holds one half of a network" in message(
        invoke("split", "halves/head", "--at", "4", "--out", "quarters")
    )
    assert "--force" in message(invoke("split", "run", "--at", "4", "--out", "halves"))
    assert invoke("split", "run", "--at", "2", "--out", "halves", "--force").exit_code == 0
    assert "holds no head/half.json" in message(
        invoke("split", "run", "--at", "4", "--out", "run", "--force")
    )
    listed = invoke("split", "run", "--list")
    assert listed.exit_code == 0, listed.output
    assert [line.split()[0] for line in listed.stdout.splitlines()[3:6]] == ["2", "4", "5"]
    assert "The input itself: 64 bytes at 8 bit" in " ".join(listed.stdout.split())
    assert "split needs --at SITE and --out FOLDER" in message(invoke("split", "run"))
    assert "there is no codec at a site 'tail'" in message(
        invoke("split", "run", "--at", "tail", "--out", "other")
    )
    assert not list(folder.glob("*other*")), "nothing half-written remains"


def test_a_run_that_does_not_say_how_to_build_its_network(folder: Path) -> None:
    assert compress("--method", "int8").exit_code == 0
    path = folder / "run" / "run.json"
    source = json.loads(path.read_text())
    path.write_text(json.dumps(source | {"model": "ToyNet"}))
    said = message(invoke("evaluate", "run"))
    assert "run.json names the model 'ToyNet', but not how to build it" in said


def test_evaluate_in_integers(folder: Path) -> None:
    compress("--method", "gdr")
    result = invoke("evaluate", "run", "--integer", "--json", "integers.json")
    assert result.exit_code == 0, result.output
    found = json.loads((folder / "integers.json").read_text())
    assert found["images"] == 40
    assert found["agreement"] >= 0.9
    assert abs(found["accuracy"] - found["compressed_accuracy"]) <= 1 - found["agreement"] + 1e-6
    assert f"in integers {100 * found['accuracy']:.2f} %," in result.output
    assert "give it alone" in message(invoke("evaluate", "run", "--integer", "--measured"))


def test_export_to_c_checks_itself_and_memory_is_shown(folder: Path) -> None:
    compress("--method", "gdr")
    result = invoke("export", "run", "--to", "c", "--out", "firmware")
    assert result.exit_code == 0, result.output
    said = subprocess.run(  # noqa: S603 - what was just written
        ["make", "-C", str(folder / "firmware"), "check"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "maps and outputs of 4 images: equal" in said
    assert "firmware exists already" in message(
        invoke("export", "run", "--to", "c", "--out", "firmware")
    )
    coded = invoke("export", "run", "--to", "c", "--out", "coded", "--maps", "rans")
    assert coded.exit_code == 0, coded.output
    said = subprocess.run(  # noqa: S603 - what was just written
        ["make", "-C", str(folder / "coded"), "check"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "maps and outputs of 4 images: equal" in said
    assert "--maps rans is for --to c" in message(
        invoke("export", "run", "--to", "onnx", "--out", "net.onnx", "--maps", "rans")
    )
    assert "--maps zip: there is no such choice; expected packed, rans" in message(
        invoke("export", "run", "--to", "c", "--out", "other", "--maps", "zip")
    )
    floats = invoke("export", "run", "--to", "c", "--out", "fpu", "--weights", "float32")
    assert floats.exit_code == 0, floats.output
    said = subprocess.run(  # noqa: S603 - what was just written
        ["make", "-C", str(folder / "fpu"), "check"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "maps and outputs of 4 images: equal" in said
    assert "typedef float net_output;" in (folder / "fpu" / "net.h").read_text()
    assert "--weights float32 is for --to c" in message(
        invoke("export", "run", "--to", "onnx", "--out", "net.onnx", "--weights", "float32")
    )
    head = invoke("export", "run", "--to", "c", "--out", "head", "--until", "2")
    assert head.exit_code == 0, head.output
    assert "Outputs are the bytes of packed maps: 2." in (folder / "head" / "net.h").read_text()
    assert "--until is for --to c" in message(
        invoke("export", "run", "--to", "onnx", "--out", "net.onnx", "--until", "2")
    )
    shown = invoke("ram", "run", "--html", "ram.html")
    assert shown.exit_code == 0, shown.output
    header = (folder / "firmware" / "net.h").read_text()
    arena = int(re.search(r"NET_ARENA_BYTES (\d+)u", header)[1])
    assert f"arena {arena:,} bytes: peak at " in " ".join(shown.output.split())
    page = (folder / "ram.html").read_text()
    assert f"arena {arena:,} bytes" in page
    assert page.count("<svg") == 2
    assert "there is no folder" in message(invoke("ram", "run", "--html", "none/ram.html"))


def test_evaluate_measures_real_bytes(folder: Path) -> None:
    assert compress("--method", "gdr").exit_code == 0
    result = invoke("evaluate", "run", "--measured", "--batch", "8", "--json", "again.json")
    assert result.exit_code == 0, result.output
    assert "bits/value in real bytes, headers included" in " ".join(result.stdout.split())
    measured = json.loads((folder / "again.json").read_text())["measured"]
    assert measured["batch"] == 8
    assert measured["excess_over_entropy"] > 0


def test_images_of_an_own_factory_are_encoded_as_it_prepares_them_or_as_arrays(
    folder: Path,
) -> None:
    assert compress("--method", "int8").exit_code == 0
    image = str(draw_images(folder))
    complaint = message(invoke("encode", "run", image, "out.apz"))
    assert "toy:images does not say how it prepares an image file" in complaint
    pixels = np.asarray(Image.open(image), dtype=np.float32)[None, None] / 255
    np.save(folder / "images.npy", np.concatenate([pixels, 2 * pixels]))
    result = invoke("encode", "run", "images.npy", "out.apz")
    assert re.search(r"class [012], [012]; 3 sites in", result.stderr)
    assert invoke("decode", "run", "out.apz", "values").exit_code == 0
    sent = load_file(folder / "values" / "frame-00000.safetensors")
    few = ("decode", "run", "out.apz", "few", "--max-images")
    assert "declares 2 images; at most 1 are accepted here" in message(invoke(*few, "1"))
    assert not (folder / "few").exists()
    assert invoke(*few, "2", "--max-mib", "1").exit_code == 0

    telling = (folder / "toy.py").read_text() + PREPARING
    (folder / "toy.py").write_text(telling)
    sys.modules.pop("toy")
    source = folder / "run" / "run.json"
    source.write_text(source.read_text().replace("toy:images", "toy:telling"))
    assert invoke("encode", "run", image, "one.apz").exit_code == 0
    assert invoke("decode", "run", "one.apz", "one").exit_code == 0
    own = load_file(folder / "one" / "frame-00000.safetensors")
    assert all(own[name].equal(value[:1]) for name, value in sent.items())


def test_a_run_remembers_how_its_images_were_prepared(folder: Path) -> None:
    draw_images(folder)
    data = ("--data", "imagefolder:photos", "--input", "1x8x8", "--mean", "0.2", "--std", "0.4")
    order = ("--classes", "class2,class0,class1")
    done = invoke("compress", *MODEL, *data, *order, *QUICK, "--method", "int8", "--out", "run")
    assert done.exit_code == 0, done.output
    assert "classes in the order class2, class0, class1; images normalised by mean 0.2" in (
        message_of(done)
    ), "an untrained network guesses"
    written = json.loads((folder / "run" / "metrics.json").read_text())
    assert invoke("evaluate", "run", "--json", "again.json").exit_code == 0
    again = json.loads((folder / "again.json").read_text())
    assert (again["accuracy"], again["bits_per_value"]) == (
        written["accuracy"],
        written["bits_per_value"],
    )
    assert open_run(Path("run"), weights=None, device=torch.device("cpu")).source.preparation == (
        Preparation(mean=(0.2,), std=(0.4,), classes=("class2", "class0", "class1"))
    )


def test_a_run_without_labels_tells_agreement(folder: Path) -> None:
    draw_images(folder)
    for name in ("train", "test"):
        (folder / "bare" / name).mkdir(parents=True)
        for file in (folder / "photos" / name).rglob("*.png"):
            file.rename(folder / "bare" / name / f"{file.parent.name}-{file.name}")
    data = ("--data", "imagefolder:bare", "--input", "1x8x8", "--unlabelled")
    command = ("compress", *MODEL, *data, *QUICK, "--method", "gdr", "--out", "run", "--budget")
    assert "ask for bits or a ratio instead, such as 1bits or 6x" in message(
        invoke(*command, "0.5pp")
    )
    assert not (folder / "run").exists()
    done = invoke(*command, "2.5bits")
    assert done.exit_code == 0, done.output
    assert "agreement with the float network" in " ".join(done.stdout.split())
    assert "accuracy" not in done.output
    written = json.loads((folder / "run" / "metrics.json").read_text())
    assert written["metric"] == "agreement"
    assert written["accuracy"] == written["agreement"] <= written["float_accuracy"] == 1
    assert "Accuracy" not in (folder / "run" / "report.html").read_text()
    assert invoke("evaluate", "run", "--json", "again.json").exit_code == 0
    again = json.loads((folder / "again.json").read_text())
    assert (again["metric"], again["agreement"]) == ("agreement", written["agreement"])
    integers = invoke("evaluate", "run", "--integer")
    assert re.match(
        r"in integers [0-9.]+ % agreement with the compressed network on 12 images",
        " ".join(integers.stdout.split()),
    )
    labelled = invoke("evaluate", "run", "--data", DATA[1])
    assert labelled.exit_code == 0, labelled.output
    assert re.search(r"accuracy +[0-9.]+ % -> ", labelled.stdout)


@pytest.mark.usefixtures("folder")
def test_inspect_needs_no_data() -> None:
    result = invoke("inspect", *MODEL, "--input", "1x8x8", "--model-args", '{"channels": 4}')
    assert result.exit_code == 0, result.output
    assert "4x8x8" in result.stdout
    assert "3 sites" in result.stdout


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("method", ["int8", "transform_coding", "gdr"])
def test_every_method_runs(method: str) -> None:
    assert compress("--method", method).exit_code == 0


@pytest.mark.usefixtures("folder")
def test_methods_without_a_projection_say_that_they_have_no_blocks() -> None:
    said = "projects nothing, so --block does nothing"
    assert said in compress("--method", "int8", "--block", "2").stderr
    result = compress("--method", "gdr", "--block", "2", "--force")
    assert result.exit_code == 0
    assert said not in result.stderr
    assert compress("--block", "9", "--force").exit_code == 2


@pytest.mark.usefixtures("folder")
def test_int8_says_that_it_has_no_budget() -> None:
    result = compress("--method", "int8", "--budget", "2bits")
    assert result.exit_code == 0
    assert "int8 stores 8 bits for every value, whatever --budget says" in result.stderr


def test_existing_out_asks_for_force_and_stays(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "thesis.tex").write_text("precious")
    assert "--force" in message(compress())
    assert "was not made by this command" in message(compress("--force"))
    assert (folder / "run" / "thesis.tex").read_text() == "precious"


def test_force_replaces_a_run(folder: Path) -> None:
    assert compress("--method", "int8").exit_code == 0
    assert compress("--method", "gdr", "--force").exit_code == 0
    assert json.loads((folder / "run" / "metrics.json").read_text())["method"] == "gdr"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--budget", "0.001bits"), "best reachable|widths found exceed|cannot be reached"),
        (("--budget", "lots"), "cannot read the budget 'lots'"),
        (("--budget", "40bits"), "more than the 8 bits"),
        (("--budget", "1bits", "--budget", "1pp"), "given as 1bits and as 1pp; choose one"),
        (("--method", "magic"), "expected best, int8, transform_coding, gdr, cap"),
        (("--memory", "tape"), "expected lpddr4"),
        (("--device", "abacus"), "--device abacus cannot be used here"),
        (("--model-args", '{"poison": true}'), "weights '3.weight' of the network hold NaN"),
        (("--model-args", '{"shape_dependent": true}'), r"toy\.py.*the line to be named|toy\.py"),
        (("--model-args", '{"chanels": 4}'), "chanels"),
        (("--model", "toy:no_sites"), "nothing to compress"),
        (("--data", "imagefolder:nowhere", "--input", "1x8x8"), "nowhere"),
        (("--data", "mnist"), "there is no data set 'mnist'"),
        (("--input", "3x8x8"), "are 1x8x8"),
        (("--data", "toy:colours"), r"cannot run on the example of shape \(2, 3, 8, 8\)"),
        (("--steps", "0"), "greater than or equal to 1"),
        (("--resume",), "nothing to resume"),
    ],
)
def test_bad_input_gets_one_message_and_leaves_nothing(
    folder: Path, arguments: Sequence[str], expected: str
) -> None:
    result = compress(*arguments)
    assert re.search(expected, message(result)), result.stderr
    assert not (folder / "run").exists()
    assert not (folder / "run.partial").exists()


@pytest.mark.usefixtures("folder")
def test_input_that_the_model_rejects() -> None:
    assert "3" in message(invoke("inspect", *MODEL, "--input", "3x8x8"))


@pytest.mark.parametrize("name", ["plan.json", "codec.safetensors", "metrics.json", "run.json"])
def test_damaged_runs_name_the_file(folder: Path, name: str) -> None:
    assert compress("--method", "gdr").exit_code == 0
    path = folder / "run" / name
    path.write_bytes(path.read_bytes()[:40])
    assert name in message(invoke("evaluate", "run"))
    path.unlink()
    assert name in message(invoke("evaluate", "run"))
    assert "nowhere does not exist" in message(invoke("evaluate", "nowhere"))


def test_a_plan_of_another_network_is_refused(folder: Path) -> None:
    assert compress("--method", "gdr").exit_code == 0
    source = json.loads((folder / "run" / "run.json").read_text())
    source["model_args"] = '{"channels": 7}'
    (folder / "run" / "run.json").write_text(json.dumps(source))
    assert "another network" in message(invoke("evaluate", "run"))


def test_other_weights_are_refused(folder: Path) -> None:
    assert compress("--method", "gdr").exit_code == 0
    text = (folder / "toy.py").read_text()
    (folder / "toy.py").write_text(text.replace("manual_seed(0)", "manual_seed(1)"))
    sys.modules.pop("toy")
    assert "weights of toy:network are not those" in message(invoke("evaluate", "run"))


def test_resuming_what_is_complete_does_nothing(folder: Path) -> None:
    assert compress("--method", "gdr").exit_code == 0
    before = artefacts(folder / "run")
    again = compress("--method", "gdr", "--resume")
    assert again.exit_code == 0
    assert "complete already" in message_of(again)
    assert artefacts(folder / "run") == before
    other = message(compress("--method", "gdr", "--seed", "4", "--budget", "2bits", "--resume"))
    assert "run is complete, but another request made it" in other
    assert "budget was 2.5bits (entropy, batch 1), is 2bits (entropy, batch 1)" in other
    assert "settings.tune.seed was 0, is 4" in other


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_bytes(folder: Path) -> None:
    assert finish(start("whole")) == 0

    killed = start("run")
    wait_for(folder / "run.partial" / "tune.pt", killed)
    killed.kill()
    killed.communicate()
    assert not (folder / "run").exists()

    assert finish(start("run", "--resume")) == 0
    assert artefacts(folder / "run") == artefacts(folder / "whole")


@pytest.mark.slow
def test_ctrl_c_says_how_to_resume(folder: Path) -> None:
    process = start("run")
    wait_for(folder / "run.partial" / "search.json", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert not (folder / "run").exists()
    other = start("run", "--resume", "--seed", "5")
    _, errors = other.communicate(timeout=PATIENCE_S)
    assert other.returncode == 2
    assert "settings.tune.seed was 0, is 5" in errors
    again = compress()
    assert "holds an unfinished run; go on with --resume" in message(again)
    assert (folder / "run.partial" / "search.json").exists()
