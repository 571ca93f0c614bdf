from benchmarks.speed_page import Aim


def rows(*ratios: float) -> list[dict[str, object]]:
    return [{"what": f"gdr, net {n}", "ratio": ratio} for n, ratio in enumerate(ratios)]


def test_target_is_judged_by_the_worst_row_and_by_its_own_rows_alone() -> None:
    others = [{"what": "encode", "ratio": 9.0}]
    slow = Aim("gdr", "gdr,", 0.5).target(rows(0.4, 0.6) + others)
    assert slow == {"what": "gdr", "target": "at most 0.5x", "measured": "0.600x", "met": False}
    fast = Aim("coder", "gdr,", 1.6, at_most=False).target(rows(1.7, 1.8) + others)
    assert fast == {"what": "coder", "target": "at least 1.6x", "measured": "1.700x", "met": True}


def test_what_was_not_measured_has_no_target() -> None:
    assert Aim("gdr", "large", 0.5).target(rows(0.1)) is None
