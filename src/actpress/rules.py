"""Rules per site, as data: which sites a search leaves alone, and what it may do at others."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from actpress.errors import PlanError
from actpress.plan import Placement
from actpress.settings import MAX_BLOCK, SEARCHED


class What(StrEnum):
    """What happens at a site.

    `search`: what pays, as without a rule.
    `leave`: nothing; it is stored as it is, and counted at 8 bit.
    `8bit`: 8 bits a value after the activation, the range from calibration; nothing changes that.
    `fix`: a search, but with the transform, placement or block of the rule.
    """

    SEARCH = "search"
    LEAVE = "leave"
    EIGHT_BITS = "8bit"
    FIX = "fix"


@dataclass(frozen=True)
class Rule:
    """What happens at the sites whose names match.

    Attributes:
        sites: pattern of names, in which `*` stands for anything, `?` for one character.
        what: see `What`.
        transform: of `fix`, a name of `SEARCHED`; None leaves it open.
        placement: of `fix`, likewise.
        block: of `fix`, side of the blocks of pixels that are projected, likewise.

    Raises:
        PlanError: there is no such transform or block, or settings that `what` does not take.
    """

    sites: str
    what: What
    transform: str | None = None
    placement: Placement | None = None
    block: int | None = None

    def __post_init__(self) -> None:
        where = f"the rule for sites {self.sites!r}"
        if self.transform is not None and self.transform not in SEARCHED:
            raise PlanError(
                f"{where} names the transform {self.transform!r}{_near(self.transform, SEARCHED)}; "
                f"expected {', '.join(SEARCHED)}"
            )
        if self.block is not None and not 1 <= self.block <= MAX_BLOCK:
            raise PlanError(f"{where} has block {self.block}; expected 1 to {MAX_BLOCK}")
        if (self.what is What.FIX) != bool(self.settings()):
            raise PlanError(
                f"{where} says {self.what} with {', '.join(self.settings()) or 'nothing'}; "
                f"expected transform, placement or block with fix, and nothing besides otherwise"
            )

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Rule":
        """Read a rule, such as `{"sites": "layer1.*", "what": "leave"}`.

        Raises:
            PlanError: a key or value is not known; names the nearest one.
        """
        known = [field.name for field in fields(cls)]
        for key in data:
            if key not in known:
                raise PlanError(
                    f"a rule has the key {key!r}{_near(key, known)}; expected {', '.join(known)}"
                )
        for key in ("sites", "what"):
            if not isinstance(data.get(key), str):
                raise PlanError(f"the rule {dict(data)} has no text for {key}; expected one")
        block = data.get("block")
        if block is not None and (not isinstance(block, int) or isinstance(block, bool)):
            raise PlanError(f"the rule {dict(data)} has block {block!r}; expected a whole number")
        transform = data.get("transform")
        if transform is not None and not isinstance(transform, str):
            raise PlanError(f"the rule {dict(data)} has transform {transform!r}; expected text")
        placement = data.get("placement")
        return cls(
            sites=data["sites"],
            what=_member(What, "what", data["what"]),
            transform=transform,
            placement=None if placement is None else _member(Placement, "placement", placement),
            block=block,
        )

    def settings(self) -> dict[str, Any]:
        """What `fix` fixes."""
        found = {"transform": self.transform, "placement": self.placement, "block": self.block}
        return {name: value for name, value in found.items() if value is not None}

    def to_data(self) -> dict[str, Any]:
        """What `of` reads back to an equal rule: text and numbers alone."""
        found = {"sites": str(self.sites), "what": str(self.what)}
        return found | {
            name: value if isinstance(value, int) else str(value)
            for name, value in self.settings().items()
        }


Kind = TypeVar("Kind", bound=StrEnum)

FREE = Rule("*", What.SEARCH)


def rules_of(given: Iterable[Rule | Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Rules from rules or their data.

    Raises:
        PlanError: one is malformed.
    """
    rules = []
    for rule in given:
        if not isinstance(rule, Rule | Mapping):
            raise PlanError(
                f"a rule is a {type(rule).__name__}; expected an actpress.Rule, or its data, such "
                f'as {{"sites": "layer1.*", "what": "leave"}}'
            )
        rules.append(rule if isinstance(rule, Rule) else Rule.of(rule))
    return tuple(rules)


def apply_rules(rules: Sequence[Rule], names: Sequence[str]) -> dict[str, Rule]:
    """The rule of every site: later ones win, and settings of several `fix` add up.

    Args:
        rules: in their order.
        names: of all sites.

    Raises:
        PlanError: a rule matches no site; names the sites there are.
    """
    found = dict.fromkeys(names, FREE)
    for number, rule in enumerate(rules, start=1):
        matching = [name for name in names if fnmatchcase(name, rule.sites)]
        if not matching:
            raise PlanError(
                f"rule {number}, for sites {rule.sites!r}, matches no site"
                f"{_near(rule.sites, names)}; the sites are {', '.join(names)}"
            )
        for name in matching:
            before = found[name].settings() if rule.what is What.FIX else {}
            found[name] = Rule(name, rule.what, **(before | rule.settings()))
    return found


def check_rules(rules: Sequence[Rule], method: str, *, has_plan: bool) -> None:
    """Refuse rules that a method cannot keep.

    Raises:
        PlanError: there are some; says which methods can.
    """
    if rules and has_plan:
        raise PlanError("a plan says what happens at every site; leave the rules out, or the plan")
    for rule in rules:
        able = ABLE.get(rule.what)
        if able is not None and method not in able:
            raise PlanError(
                f"the method {method} keeps no rule that says {rule.what} (sites {rule.sites!r}); "
                f"{' and '.join(able)} do"
            )


ABLE = {What.EIGHT_BITS: ("gdr", "cap"), What.FIX: ("gdr", "cap", "codesign")}
"""Methods that keep a kind of rules; others are kept by all."""


def rules_text(rules: Iterable[Rule]) -> str:
    """Rules as JSON in one line, as run folders remember them."""
    return json.dumps([rule.to_data() for rule in rules])


def _member(kind: type[Kind], key: str, value: Any) -> Kind:
    try:
        return kind(value)
    except ValueError as error:
        known = [str(member) for member in kind]
        raise PlanError(
            f"a rule has {key} {value!r}{_near(str(value), known)}; expected {', '.join(known)}"
        ) from error


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
