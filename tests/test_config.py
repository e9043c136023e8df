"""Configuration: every key, overrides, and errors that name the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lanecli.config import Config, known_keys, load_config
from lanecli.errors import InputError
from lanecli.overrides import SYNONYMS, split_words
from lanecli.sections import AugmentConfig


def value(config: Config, key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = getattr(node, part)
    return node


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("model.name=unet", "unet"),
        ("model.encoder=resnet18", "resnet18"),
        ("model.encoder=null", None),
        ("model.encoder_weights=imagenet", "imagenet"),
        ("model.args={decoder_channels: [8, 16]}", {"decoder_channels": [8, 16]}),
        ("data.root=a folder/ä", ["a folder/ä"]),
        ("data.root=[a, b]", ["a", "b"]),
        ("data.weights=[1, 0.5]", [1.0, 0.5]),
        ("data.split=all", "all"),
        ("data.geometry.size=[64, 32]", (64, 32)),
        ("data.geometry.crop=[0, 690, 0, 0.25]", (0, 690, 0, 0.25)),
        ("data.geometry.fit=pad", "pad"),
        ("data.augment=null", None),
        ("data.augment.flip=0", 0.0),
        ("data.augment.scale=[1, 2]", (1.0, 2.0)),
        ("data.workers=0", 0),
        ("optim.name=sgd", "sgd"),
        ("optim.lr=1e-3", 0.001),
        ("optim.lr=2.5E+1", 25.0),
        ("optim.weight_decay=0", 0.0),
        ("optim.args.eps=1e-8", None),
        ("schedule.name=poly", "poly"),
        ("schedule.warmup=0.1", 0.1),
        ("train.epochs=3", 3),
        ("train.batch=2", 2),
        ("train.accumulate=4", 4),
        ("train.precision=bf16", "bf16"),
        ("train.clip=null", None),
        ("train.ema=0.999", 0.999),
        ("train.seed=7", 7),
        ("train.compile=true", True),
    ],
)
def test_a_key_is_set_from_the_line(override: str, wanted: Any) -> None:
    key = override.partition("=")[0]
    config = load_config(None, [override])
    if key == "optim.args.eps":
        assert config.optim.args == {"eps": 1e-8}
    else:
        assert value(config, key) == wanted
        assert type(value(config, key)) is type(wanted)


def test_exponents_are_numbers_inside_arguments_and_files_too(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("schedule: {args: {floor: 1e-2, name: 1e, other: e5}}\nloss: [{name: ce, args: {eps: -1E-3}}]\n")
    config = load_config(path)
    assert config.schedule.args == {"floor": 0.01, "name": "1e", "other": "e5"}
    assert config.loss[0].args == {"eps": -0.001}


@pytest.mark.parametrize(
    ("override", "key", "wanted"),
    [
        ("schedule=poly", "schedule.name", "poly"),
        ("optim=sgd", "optim.name", "sgd"),
        ("model=deeplabv3+", "model.name", "deeplabv3+"),
        ("data.geometry.size=512x256", "data.geometry.size", (512, 256)),
        ("data.geometry.size=512×256", "data.geometry.size", (512, 256)),
        ("data.geometry.size=[512, 256]", "data.geometry.size", (512, 256)),
    ],
)
def test_short_forms_are_understood_on_the_line_and_in_files(
    tmp_path: Path, override: str, key: str, wanted: Any
) -> None:
    assert value(load_config(None, [override]), key) == wanted
    path = tmp_path / "c.yaml"
    section, _, text = override.partition("=")
    *outer, last = section.split(".")
    tree: dict[str, Any] = {last: yaml.safe_load(text)}
    for name in reversed(outer):
        tree = {name: tree}
    path.write_text(yaml.safe_dump({**tree, "stages": [tree]}))
    config = load_config(path)
    assert value(config, key) == value(config.each_stage[0], key) == wanted


def test_a_name_for_a_section_leaves_the_rest_but_another_ones_arguments(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("schedule: {name: cosine, warmup: 0.25, args: {floor: 0.1}}\nstages: [{schedule: step}, {}]\n")
    first, second = load_config(path, ["schedule=poly"]).each_stage
    assert first.schedule == second.schedule
    assert (first.schedule.name, first.schedule.warmup, first.schedule.args) == ("poly", 0.25, {})


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("lr=0.1", "optim.lr"),
        ("epochs=3", "train.epochs"),
        ("batch_size=3", "train.batch"),
        ("train.batch_size=3", "train.batch"),
        ("optim.learning_rate=1", "optim.lr"),
        ("backbone=resnet18", "model.encoder"),
        ("train.lr=1", "optim.lr"),
        ("img_size=3", "data.geometry.size"),
    ],
)
def test_words_of_other_tools_are_answered_with_the_key(word: str, key: str) -> None:
    assert key in known_keys()
    with pytest.raises(InputError, match=rf"unknown key '{word.partition('=')[0]}' \(did you mean '{key}'\?\)"):
        load_config(None, [word])


def test_every_other_word_leads_to_a_key() -> None:
    assert set(SYNONYMS.values()) <= set(known_keys())
    assert not set(SYNONYMS) & {key for key in known_keys() if "." not in key}


# --- the line and the stages -----------------------------------------------------------------------------------------

STAGES = """
data: {geometry: {size: [64, 32]}, augment: {flip: 0.5}}
train: {epochs: 9, batch: 4}
loss: dice
optim: {args: {eps: 0.1}}
stages:
  - {train: {epochs: 3, batch: 8}, loss: ce, data: {geometry: {size: [96, 64]}}, optim: {args: {betas: [0.5, 0.9]}}}
  - {train: {epochs: 6}, data: {augment: null}}
"""


def staged(tmp_path: Path, *overrides: str) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(STAGES)
    return load_config(path, list(overrides))


@pytest.mark.parametrize(
    ("override", "key", "wanted"),
    [
        ("train.epochs=2", "train.epochs", 2),
        ("train.batch=1", "train.batch", 1),
        ("data.geometry.size=240x180", "data.geometry.size", (240, 180)),
        ("loss=jaccard", "loss", None),
        ("data.augment=null", "data.augment", None),
        ("optim.lr=0.5", "optim.lr", 0.5),
    ],
)
def test_what_is_typed_beats_the_stages(tmp_path: Path, override: str, key: str, wanted: Any) -> None:
    before, after = staged(tmp_path).each_stage, staged(tmp_path, override).each_stage
    for stage in after:
        if key == "loss":
            assert [term.name for term in stage.loss] == ["jaccard"]
        else:
            assert value(stage, key) == wanted
    first, second = (stage.model_dump() for stage in after)
    if key != "train.batch":  # everything else is as it was
        assert (first["train"]["batch"], second["train"]["batch"]) == (8, 4)
    assert first["optim"]["args"] == before[0].optim.args


def test_a_typed_argument_is_among_those_of_each_stage(tmp_path: Path) -> None:
    first, second = staged(tmp_path, "optim.args.eps=0.25").each_stage
    assert first.optim.args == {"betas": [0.5, 0.9], "eps": 0.25}
    assert second.optim.args == {"eps": 0.25}


def test_a_stage_that_leaves_no_place_is_named(tmp_path: Path) -> None:
    says = r"'data\.augment\.flip=1': stage 2 has data\.augment=None; set data\.augment=\{…\} as a whole"
    with pytest.raises(InputError, match=says):
        staged(tmp_path, "data.augment.flip=1")
    config = staged(tmp_path, "data.augment={flip: 1}")
    assert [stage.data.augment.flip for stage in config.each_stage if stage.data.augment] == [1, 1]


def test_of_two_typed_words_the_later_wins(tmp_path: Path) -> None:
    stages = "stages=[{train: {epochs: 5}}, {}]"
    assert [s.train.epochs for s in staged(tmp_path, "train.epochs=2", stages).each_stage] == [5, 2]
    assert [s.train.epochs for s in staged(tmp_path, stages, "train.epochs=2").each_stage] == [2, 2]


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(st.sampled_from(["epochs", "batch", "accumulate", "seed"]), st.integers(1, 9), max_size=4),
    st.lists(st.dictionaries(st.sampled_from(["epochs", "batch", "accumulate"]), st.integers(1, 9)), max_size=3),
    st.sampled_from(["epochs", "batch", "accumulate"]),
    st.integers(1, 9),
)
def test_a_typed_key_holds_everywhere_and_others_nowhere_change(
    base: dict[str, int], stages: list[dict[str, int]], key: str, number: int
) -> None:
    tree = {"train": base, "stages": [{"train": own} for own in stages]}
    before, after = (
        load_config(tree=tree).each_stage,
        load_config(tree=tree, overrides=[f"train.{key}={number}"]).each_stage,
    )
    for old, new in zip(before, after, strict=True):
        assert new.train == old.train.model_copy(update={key: number})


@pytest.mark.parametrize(
    ("words", "files", "overrides"),
    [
        (["train.epochs", "=", "3"], [], ["train.epochs=3"]),
        (["camvid", "train.epochs", "=3", "loss=ce"], ["camvid"], ["train.epochs=3", "loss=ce"]),
        (["a=1", "optim.lr", "=", "-1"], [], ["a=1", "optim.lr=-1"]),
        (["camvid", "tusimple"], ["camvid", "tusimple"], []),
    ],
)
def test_words_of_a_line(words: list[str], files: list[str], overrides: list[str]) -> None:
    assert split_words(words) == (files, overrides)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--epochs", "3"], "no such option: --epochs; settings have the form KEY=VALUE: type train.epochs=3"),
        (["--lr=0.1"], "type optim.lr=0.1"),
        (["--batch-size", "4"], "type train.batch=4"),
        (["--train.epochs", "4"], "type train.epochs=4"),
        (["--dry-rum"], "no such option: --dry-rum (did you mean '--dry-run'?)"),
    ],
)
def test_an_option_that_is_none_is_answered_with_what_to_type(words: list[str], says: str) -> None:
    with pytest.raises(InputError) as caught:
        split_words(words, ["--data", "--dry-run"])
    assert says in str(caught.value)


def test_losses_are_sums_of_names_or_lists() -> None:
    terms = load_config(None, ["loss=ce+ dice "]).loss
    assert [(t.name, t.weight, t.args) for t in terms] == [("ce", 1.0, {}), ("dice", 1.0, {})]
    terms = load_config(None, ["loss=[ce, {name: focal, weight: 0.5, args: {gamma: 2}}]"]).loss
    assert [(t.name, t.weight, t.args) for t in terms] == [("ce", 1.0, {}), ("focal", 0.5, {"gamma": 2})]


def test_overrides_come_after_the_file_and_leave_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "ein Versuch.yaml"
    path.write_text("optim:\n  lr: 0.5\n  name: sgd\ntrain:\n", encoding="utf-8")
    config = load_config(path, ["optim.lr=0.25", "train.epochs=3", "optim.lr=0.125"])
    assert (config.optim.lr, config.optim.name, config.train.epochs) == (0.125, "sgd", 3)


def test_nothing_is_the_default() -> None:
    assert load_config() == Config()
    assert [t.name for t in Config().loss] == ["ce", "dice"]


def test_configurations_do_not_share_their_parts() -> None:
    first = Config()
    first.model.args["a"] = 1
    assert Config().model.args == {}
    assert first.optim is not Config().optim


def test_nothing_is_assigned_later() -> None:
    """Stages are read once: a key assigned afterwards would not reach them."""
    first = Config()
    with pytest.raises(ValidationError):
        first.optim.lr = 5
    changed = first.changed({"optim": {"lr": 5}, "data": {"augment": {"flip": 1}}})
    assert (changed.optim.lr, changed.data.augment) == (5, AugmentConfig(flip=1))
    assert (first.optim.lr, first.data.augment) == (1e-3, AugmentConfig())
    with pytest.raises(InputError, match=r"unknown key 'optim\.l' "):
        first.changed({"optim": {"l": 5}})


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("optm.lr=1", "optim"),
        ("optim.learning_rate=1", None),
        ("optim.weight_dekay=1", "optim.weight_decay"),
        ("trian.epochs=3", "train"),
        ("train.epoch=3", "train.epochs"),
        ("data.geometry.sise=[1, 1]", "data.geometry.size"),
        ("data.augment.flop=1", "data.augment.flip"),
        ("los=ce", "loss"),
        ("loss=[{nmae: ce}]", "loss"),
        ("loss=[{name: ce, wieght: 2}]", "loss.weight"),
        ("optim.=3", "optim"),
    ],
)
def test_a_misspelt_key_is_answered_with_the_nearest(override: str, nearest: str | None) -> None:
    with pytest.raises(InputError) as caught:
        load_config(None, [override])
    message = str(caught.value)
    assert "\n" not in message
    if "nmae" in override:  # what is missing is reported first
        assert message == "configuration: loss.0.name: Field required, got {'nmae': 'ce'}"
        return
    key = override.partition("=")[0]
    assert message.startswith(f"configuration: unknown key '{key.split('.')[0]}")
    if nearest:
        assert f"did you mean '{nearest}" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optim.lr=0", "optim.lr: .*greater than 0, got 0"),
        ("optim.lr=fast", "optim.lr: .*number.*got 'fast'"),
        ("optim.lr=.inf", "optim.lr: .*finite"),
        ("optim.lr=.nan", "optim.lr"),
        ("train.epochs=0", "train.epochs: .*greater than or equal to 1, got 0"),
        ("train.epochs=1.5", "train.epochs"),
        ("train.precision=fp8", "train.precision: .*'auto', 'fp32', 'bf16' or 'fp16', got 'fp8'"),
        ("train.ema=1", "train.ema: .*less than 1"),
        ("schedule.warmup=1", "schedule.warmup"),
        ("data.workers=-1", "data.workers"),
        ("data.geometry.size=[1]", "data.geometry.size"),
        ("data.geometry.fit=crop", "data.geometry.fit"),
        ("data.augment.flip=1.1", "data.augment.flip"),
        ("data.augment.scale=[2, 1]", "data.augment.scale: must be a range above 0, with the smaller zoom first, got"),
        ("data.augment.scale=[0, 1]", "data.augment.scale: must be a range above 0"),
        ("data.weights=[1, -1]", "data.weights: shares must not be negative"),
        ("data.weights=[0, 0]", "data.weights: shares must not be negative"),
        ("data.weights=[]", "data.weights: shares must not be negative"),
        ("data.augment=strong", "data.augment"),
        ("optim=3", "optim: "),
        ("loss=3", "loss: "),
        ("loss=[[ce]]", "loss.0: "),
    ],
)
def test_a_bad_value_is_one_line_with_its_key(override: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^configuration: {words}") as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("override", ["optim.lr", "=3", "", "optim.lr=[1", "model.name.x=1", "optim.lr.x=[}"])
def test_what_is_no_override_is_refused(override: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(None, ["model.name=unet", override])
    assert f"'{override}'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_of_a_file_name_it(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with pytest.raises(InputError, match=r"no such configuration file: .*c\.yaml"):
        load_config(path)
    for text, words in (
        ("- a\n- b\n", "must be a mapping of keys, but this is a list"),
        ("hello", "but this is a str"),
        ("a: [1\nb: 2", "not readable as YAML"),
        ("a: !!python/object/apply:os.getcwd []", "not readable as YAML"),
        ("optim: {lr: -1}", r"optim\.lr: "),
        ("1: 2", "1"),
        ('"a\\nb": 3', "unknown key 'a b'"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"c\.yaml( line \d+)?: .*{words}") as caught:
            load_config(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"optim: \xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8"):
        load_config(path)
    path.write_text("")
    assert load_config(path) == Config()


def test_an_error_about_a_huge_value_stays_short(tmp_path: Path) -> None:
    doubled = "\n".join(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]" for i in range(1, 40))
    path = tmp_path / "c.yaml"
    path.write_text(f"x0: &x0 [1]\n{doubled}\n")
    with pytest.raises(InputError, match="would expand to more than 1000000 values when its aliases are followed"):
        load_config(path)
    path.write_text("optim: " + "{a: " * 3 + "[" + "1, " * 9999 + "]" + "}" * 3)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert len(str(caught.value)) < 300


FRACTION = st.floats(0, 0.99)


@settings(deadline=None, max_examples=30)
@given(
    st.builds(
        dict,
        model=st.builds(dict, name=st.text(max_size=5), args=st.dictionaries(st.text(max_size=5), FRACTION)),
        data=st.builds(
            dict,
            root=st.lists(st.text(max_size=5), max_size=3),
            geometry=st.builds(dict, crop=st.tuples(FRACTION, FRACTION, st.integers(0, 9), FRACTION)),
            augment=st.none() | st.builds(dict, flip=FRACTION, scale=st.just((0.5, 2.5))),
        ),
        loss=st.lists(st.builds(dict, name=st.text(max_size=5), weight=FRACTION), max_size=3),
        optim=st.builds(dict, lr=st.floats(1e-30, 1e30), weight_decay=FRACTION),
        train=st.builds(dict, ema=st.none() | st.just(0.99), clip=st.none() | st.just(1.5)),
    )
)
def test_yaml_reads_back_equal(tree: dict[str, Any]) -> None:
    config = Config.model_validate(tree)
    assert Config.model_validate(yaml.safe_load(config.to_yaml())) == config


def test_the_resolved_file_reads_back_equal(tmp_path: Path) -> None:
    config = load_config(None, ["optim.lr=1e-7", "optim.args.eps=1e-30", "data.root=Straße"])
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config


def test_known_keys_reach_every_depth() -> None:
    keys = known_keys()
    assert len(keys) == len(set(keys))
    assert {"model.name", "data.geometry.size", "data.augment.flip", "loss", "loss.weight", "train.seed"} <= set(keys)


CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_ready_experiments_are_valid(path: Path) -> None:
    load_config(path)


def test_there_is_a_default_experiment() -> None:
    assert "default" in [p.stem for p in CONFIGS]
