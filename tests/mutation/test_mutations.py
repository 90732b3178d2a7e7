"""The table of mutations fits the scripts; `make mutate` tries them."""

import re

import pytest

from jobrunner.store.scripts import script_names
from tests.model.scripts import CHECKS
from tests.mutation.mutants import LUA, ROOT, Mutation, read_mutations

MUTATIONS = list(read_mutations())


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.script}: {one.drops}")
def test_what_a_mutation_replaces_is_in_the_script_once(mutation: Mutation) -> None:
    assert mutation.count(ROOT) == 1
    assert mutation.new != mutation.old
    assert [path for path in mutation.tests if not (ROOT / path).exists()] == []


def test_every_script_has_a_mutation() -> None:
    assert {mutation.script for mutation in MUTATIONS} >= set(script_names())


@pytest.mark.parametrize("script", sorted(set(script_names()) - set(CHECKS)))
def test_every_ack_is_dropped_once(script: str) -> None:
    text = (ROOT / LUA / f"{script}.lua").read_text(encoding="utf-8")
    acks = re.findall(r"redis\.call\('X(?:ACK|DEL)'[^\n]*", text)

    changed = [one.old for one in MUTATIONS if one.script == script]
    assert [ack for ack in acks if not any(ack in old for old in changed)] == []
