"""How rows of `make bench-device` are judged."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import device_page
from benchmarks.device_page import judged, judged_peers, page, write_page

Row = dict[str, Any]


def row(**changes: object) -> Row:
    board = {"equal": True}
    made: Row = {
        "network": "resnet8_cifar10",
        "run": "resnet8_cifar10-gdr-2x",
        "form": "c-packed",
        "cascades": True,
        "arena_bytes": 11_000,
        "activation_ram_bytes": 9_000,
        "line_buffer_bytes": 2_000,
        "largest_int8_pair_bytes": 49_152,
        "runtime_ram_bytes": 2_400,
        "stack_bytes": 400,
        "total_ram_bytes": 11_400,
        "flash_bytes": 95_000,
        "code_bytes": 8_000,
        "instructions": 30_000_000,
        "boards": {"m4": board, "m7": board},
        "accuracy": 0.83,
        "accuracy_int8": 0.834,
        "accuracy_float": 0.8345,
        "maps_moved_bytes": 30_000,
        "maps_account_bytes": 30_000,
        "codec_flash_bytes": 3_000,
        "export_s": 40.0,
        "export_processor_s": 10.0,
        "accuracy_drop_pp": 0.4,
        "test_images": 10_000,
        "macs": 12_500_000,
        "host": {"images": 1000, "symbols": 1, "equal": True},
        "equal": True,
        "commit": "abc",
    }
    return made | changes


def verdicts(*rows: Row) -> dict[str, bool]:
    return {target["what"]: target["met"] for target in judged(rows, [])}


LOOP: Row = {"what": "a symbol", "instructions": 3.4, "most": 3.5, "commit": "abc"}
RAM = "ResNet8, whole RAM with cascades, at most 0.5 points lost"


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({}, True),
        ({"total_ram_bytes": 12 * 1024}, True),
        ({"total_ram_bytes": 12 * 1024 + 1}, False),
        ({"accuracy_drop_pp": 0.51}, False),
    ],
)
def test_ram_counts_only_within_the_drop(changes: Row, met: bool) -> None:  # noqa: FBT001
    assert verdicts(row(**changes))[RAM] is met


def test_the_least_ram_within_the_drop_is_taken() -> None:
    smaller = row(run="b", total_ram_bytes=9_000, accuracy_drop_pp=2.0)
    (target,) = [t for t in judged([row(), smaller], []) if t["what"] == RAM]
    assert target["measured"].startswith("11.1 KiB with 0.40 points lost")
    assert "(resnet8_cifar10-gdr-2x, c-packed)" in target["measured"]


def test_instructions_are_compared_with_the_same_export() -> None:
    int8 = row(form="c-int8", instructions=20_000_000)
    what = "instructions on M7 with packed maps, against the same export with int8 maps"
    assert verdicts(row(), int8)[what] is False
    assert verdicts(row(), row(form="c-int8", instructions=29_000_000))[what] is True
    assert what not in verdicts(row(), int8 | {"cascades": False})


MOVED = "bytes loaded from and stored to maps, counted, with"
AGAINST = "against the same export with int8 maps"


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"maps_moved_bytes": 30_000}, True),
        ({"maps_moved_bytes": 30_001}, False),
        ({"maps_moved_bytes": 30_000, "accuracy_drop_pp": 0.51}, False),
    ],
)
def test_bytes_of_maps_are_compared_with_the_same_export(changes: Row, met: bool) -> None:  # noqa: FBT001
    what = f"{MOVED} packed maps, {AGAINST}, at most 0.5 points lost"
    int8 = row(form="c-int8", maps_moved_bytes=100_000, maps_account_bytes=100_000)
    assert verdicts(row(**changes), int8)[what] is met
    finer, its_int8 = (each | {"run": "b"} for each in (row(maps_moved_bytes=60_000), int8))
    assert verdicts(row(**changes), int8, finer, its_int8)[what] is met


def test_all_exports_keep_within_the_instructions() -> None:
    slow = row(run="b", instructions=60_000_000)
    what = f"instructions on M7 with packed maps, {AGAINST}"
    assert verdicts(row(), row(form="c-int8"))[what] is True
    assert verdicts(row(), row(form="c-int8"), slow, row(form="c-int8", run="b"))[what] is False


def test_a_network_that_was_compared_on_few_images_is_told() -> None:
    what = "C on the host against the numpy reference, every stored symbol and every logit"
    few = row(network="mobilenet", run="b", host={"images": 100, "symbols": 1, "equal": True})
    (target,) = [t for t in judged([row(), few], []) if t["what"] == what]
    assert target["met"] is False
    assert target["measured"].endswith(
        "cascades of resnet8_cifar10 on 1,000 images, mobilenet on 100 images"
    )


def test_counted_bytes_may_not_leave_the_account() -> None:
    what = "bytes loaded from and stored to maps, counted, against the account of the plan"
    assert verdicts(row())[what] is True
    assert verdicts(row(), row(run="b", maps_moved_bytes=30_601))[what] is False


@pytest.mark.parametrize(("instructions", "met"), [(3.5, True), (3.51, False)])
def test_single_loops_are_judged(instructions: float, met: bool) -> None:  # noqa: FBT001
    (target,) = judged([], [LOOP | {"instructions": instructions}])
    assert (target["what"], target["met"]) == ("M7 instructions of a symbol", met)


@pytest.mark.parametrize(
    ("accuracy", "int8", "met"),
    [(0.8296, 0.8326, (True, True)), (0.8294, 0.8324, (False, False))],
)
def test_integers_are_compared_with_float(
    accuracy: float,
    int8: float,
    met: tuple[bool, bool],
) -> None:
    found = verdicts(row(accuracy=accuracy, accuracy_int8=int8))
    name = "accuracy of resnet8_cifar10 in integers against float, at"
    eight, budget = f"{name} 8 bit", f"{name} the budget of resnet8_cifar10-gdr-2x"
    assert (found[eight], found[budget]) == met


def test_one_unequal_board_or_symbol_is_told() -> None:
    boards = {"m4": {"equal": True}, "m7": {"equal": False}}
    found = verdicts(row(boards=boards))
    assert found["C on M4 and M7 in the emulator, 3 images a network"] is False
    host = {"images": 1000, "symbols": 1, "equal": False}
    what = "C on the host against the numpy reference, every stored symbol and every logit"
    assert verdicts(row(host=host))[what] is False
    assert verdicts(row(host=host | {"equal": True, "images": 999}))[what] is False
    assert verdicts(row())[what] is True


@pytest.mark.parametrize(("seconds", "met"), [(20.0, True), (20.1, False)])
def test_an_export_is_judged_by_the_clock(seconds: float, met: bool) -> None:  # noqa: FBT001
    timed = row(network="resnet18_fashion_mnist", export_s=seconds, export_processor_s=1.0)
    what = "`actpress export` of the bundled ResNet18, the whole command"
    assert verdicts(timed)[what] is met
    assert what not in verdicts(timed | {"export_s": None})


def test_what_main_prints_is_judged() -> None:
    def verdict(*equal: bool | None) -> list[bool]:
        rows = [row(run=str(at), main_equal=each) for at, each in enumerate(equal)]
        return [t["met"] for t in judged(rows, []) if t["what"].startswith("main.c")]

    assert verdict(True, None) == [True]
    assert verdict(True, False) == [False]
    assert verdict(None) == []


def test_the_file_and_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_page, "PAGE", tmp_path / "page.md")
    write_page([row()], [LOOP], tmp_path / "device.json")

    written = json.loads((tmp_path / "device.json").read_text())
    assert written["rows"] == [row()]
    assert written["loops"] == [LOOP]
    assert {"what", "target", "measured", "met"} == set(written["targets"][0])
    text = (tmp_path / "page.md").read_text()
    assert text == page(written["rows"], written["targets"])
    assert "| resnet8_cifar10-gdr-2x | c-packed | yes | 9,000 | 2,000 | 400 | 11,400 |" in text


def test_rans_has_targets_of_its_own() -> None:
    int8 = row(form="c-int8", maps_moved_bytes=100_000, maps_account_bytes=100_000)
    rans = row(form="c-rans", instructions=40_500_000, maps_moved_bytes=20_000)
    found = verdicts(int8, rans | {"maps_account_bytes": 20_000})
    assert found[f"instructions on M7 with maps in rANS, {AGAINST}"] is True
    assert found[f"{MOVED} maps in rANS, {AGAINST}, at most 0.5 points lost"] is True


def peer(form: str, ram_bytes: int, **more: object) -> Row:
    made: Row = {"network": "small", "form": form, "what": form, "moved_bytes": None}
    return made | {"activation_ram_bytes": ram_bytes} | more


@pytest.mark.parametrize(
    ("ours", "equal", "met"),
    [(800, True, True), (801, True, False), (800, False, False)],
)
def test_peers_are_those_whose_code_compiles(ours: int, equal: bool, met: bool) -> None:  # noqa: FBT001
    rows = [
        peer("c-packed", ours, equal=equal),
        peer("aidge", 1000, compiles=True),
        peer("aidge", 500, compiles=False),
    ]
    (target,) = judged_peers(rows)
    assert target["met"] is met
    assert f"of plans whose code does not compile, {ours / 500:.2f}x of 500" in target["measured"]


def test_no_peer_is_judged_without_both() -> None:
    assert not list(judged_peers([peer("c-packed", 800, equal=True)]))


def test_the_page_shows_peers() -> None:
    text = page([row()], [], [peer("vela", 35_840, moved_bytes=526_180)])
    assert "| small | vela | vela | yes | 35,840 | 526,180 |" in text
