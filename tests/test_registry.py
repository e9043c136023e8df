"""Registry: names, aliases, lazy targets, errors that help."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanecli.errors import InputError
from lanecli.registry import Registry


@pytest.fixture
def animals() -> Registry[object]:
    registry: Registry[object] = Registry("animal")
    registry.add("sea-lion", "colorsys:rgb_to_hsv", summary="swims", aliases=("otaria",), paper="1234.5678")
    registry.add("Dog", len)
    return registry


def test_a_name_is_found_in_any_case_with_either_dash(animals: Registry[object]) -> None:
    for word in ("sea-lion", "sea_lion", "SEA-Lion", " sea-lion ", "otaria", "Otaria"):
        assert word in animals
        assert animals.canonical(word) == "sea-lion"
    assert list(animals) == ["sea-lion", "Dog"]
    assert len(animals) == 2
    assert "cat" not in animals
    assert 3 not in animals


def test_an_entry_keeps_what_is_said_of_it(animals: Registry[object]) -> None:
    entry = animals.entry("otaria")
    assert (entry.name, entry.summary, entry.aliases) == ("sea-lion", "swims", ("otaria",))
    assert entry.facts == {"paper": "1234.5678"}
    assert animals.entry("dog").facts == {}


def test_a_path_is_imported_when_it_is_asked_for_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    registry: Registry[object] = Registry("animal")
    registry.add("sea-lion", "colorsys:rgb_to_hsv")
    assert list(registry) == ["sea-lion"]
    assert registry.entry("sea-lion").target == "colorsys:rgb_to_hsv"
    assert "colorsys" not in sys.modules
    thing = registry.get("sea-lion")
    assert thing is sys.modules["colorsys"].rgb_to_hsv


@pytest.mark.parametrize(("name", "aliases"), [("dog", ()), ("DOG", ()), ("cat", ("otaria",)), ("sea_lion", ())])
def test_a_taken_name_is_refused_and_nothing_is_kept_of_it(
    animals: Registry[object], name: str, aliases: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="animal '.*' is already registered"):
        animals.add(name, abs, aliases=aliases)
    assert len(animals) == 2
    assert "cat" not in animals


def test_the_decorator_gives_the_thing_back(animals: Registry[object]) -> None:
    @animals.register("cat", aliases=("mouser",))
    def purr() -> str:
        return "purr"

    assert purr() == "purr"
    assert animals.get("mouser") is purr


def test_an_unknown_name_is_answered_with_the_nearest(animals: Registry[object]) -> None:
    with pytest.raises(InputError, match=r"^unknown animal 'sealion' \(did you mean 'sea_lion'\?\)$"):
        animals.get("sealion")
    with pytest.raises(InputError, match=r"^unknown animal 'xyz'; there are: sea-lion, Dog$"):
        animals.canonical("xyz")


@given(st.lists(st.text("abcdeXYZ-_", min_size=1, max_size=6), min_size=1, max_size=8))
def test_every_name_leads_to_its_own_thing(words: list[str]) -> None:
    registry: Registry[object] = Registry("word")
    kept: dict[str, object] = {}
    for word in words:
        key = word.lower().replace("-", "_")
        if key in kept:
            with pytest.raises(ValueError, match="already registered"):
                registry.add(word, object())
        else:
            kept[key] = object()
            registry.add(word, kept[key])
    assert len(registry) == len(kept)
    for word in words:
        assert registry.get(word.upper()) is kept[word.lower().replace("-", "_")]
