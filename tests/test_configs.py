"""Every configuration composes, every experiment can be built, and mistakes are answered with near names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from page4d.cli import main
from page4d.config import choices, compose_settings, conf_folder, keys_of
from page4d.evaluate.opening import EvaluationSettings, compose_evaluation
from page4d.model import PAGE4D
from page4d.schema import UserError
from page4d.settings import build, defaults_of
from page4d.train.engine import Trainee, clip_groups, make_optimizer
from page4d.train.patterns import freeze
from page4d.train.settings import Settings
from page4d.train.setup import BASES, DEFAULTS, SETTINGS, compose_run, data_from, model_config, trainer_from

EXPERIMENTS = (
    "paper",
    "smoke",
    "tiny_finetune_all",
    "tiny_finetune_mask",
    "tiny_finetune_nomask",
    "tiny_grow",
    "tiny_pretrain",
)


def parts(config: dict[str, Any]) -> tuple[Settings, Trainee]:
    """Settings, and the network without memory, frozen as configured."""
    settings = build(Settings, {name: config[name] for name in SETTINGS}, "config")
    with torch.device("meta"):
        trainee = Trainee(PAGE4D(model_config(config["model"])), settings.aid)
    freeze(trainee.model, settings.optim.freeze)
    return settings, trainee


def test_the_experiments_of_the_book_are_there() -> None:
    assert set(EXPERIMENTS) <= set(choices("experiment"))


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_experiment_can_be_built(name: str) -> None:
    config = compose_run([f"experiment={name}"])
    settings, trainee = parts(config)
    optimizer, schedules = make_optimizer(trainee, settings.optim)
    trained = [p for p in trainee.parameters() if p.requires_grad]
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(trained)
    assert sum(len(p) for p, _ in clip_groups(trainee, settings.optim).values()) == len(trained)
    assert all(0 <= schedule(0.5) < 1 for schedule in schedules.values())
    if config["data"]["kind"] == "synthetic":
        data = data_from(config["data"])
        side = config["data"]["world"]["height"]
        one = replace(data.validations[0].source, batch_size=1, clips=0, keep=False)  # type: ignore[type-var]
        batch = one.batch(0, 0).to("cpu")
        assert batch.images.shape[-2:] == (side, side)
        assert side % config["model"]["patch_size"] == 0
        assert {v.source.name for v in data.validations}.isdisjoint({data.source.name})
    assert config["paths"]["run"].endswith(name)


@pytest.mark.parametrize("group", ["model", "optim", "loss", "aid", "trainer"])
def test_every_choice_of_a_group_fits_its_settings(group: str) -> None:
    for choice in choices(group):
        config = compose_run([f"{group}={choice}"])
        if group == "model":
            assert model_config(config["model"]).depth >= 4
        else:
            build(Settings, {group: config[group]}, "config")


def test_paper_trains_what_the_public_run_trained() -> None:
    settings, trainee = parts(compose_run(["experiment=paper"]))
    trained = {name for name, p in trainee.names().items() if p.requires_grad}
    blocks = {f"aggregator.{kind}_blocks.{i}." for kind in ("frame", "global") for i in range(10, 20)}
    expected = (*blocks, "aggregator.spatial_mask_head.")
    assert trained == {name for name in trainee.names() if name.startswith(expected)}
    groups = settings.optim.groups
    assert [(g.rate.peak, g.rate.warmup, g.weight_decay) for g in groups.values()] == [
        (2e-5, 0.15, 0.02), (1e-5, 0.05, 0.01), (1e-5, 0.05, 0.01)
    ]  # fmt: skip
    assert settings.loss.behaviour == "public"
    assert settings.trainer.precision == "bf16"
    config = trainee.model.config
    assert (config.img_size, config.mask_hold_start, config.mask_hold_end) == (518, 6000, 10000)


def test_finetuning_trains_the_masked_pairs_only() -> None:
    _, trainee = parts(compose_run(["experiment=tiny_finetune_mask"]))
    trained = {name for name, p in trainee.names().items() if p.requires_grad}
    pairs = trainee.model.config.masked_pairs
    blocks = {f"aggregator.{kind}_blocks.{i}." for kind in ("frame", "global") for i in pairs}
    assert trained == {n for n in trainee.names() if n.startswith((*blocks, "aggregator.spatial_mask_head."))}


def test_mask_schedule_is_scaled_to_the_run() -> None:
    for name in ("paper", "tiny_finetune_mask"):
        config = compose_run([f"experiment={name}"])
        steps, model = config["trainer"]["max_steps"], config["model"]
        assert model["mask_hold_start"] / steps == pytest.approx(6000 / 32000, abs=0.01)
        assert model["mask_hold_end"] / steps == pytest.approx(10000 / 32000, abs=0.01)


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ("trainer.max_step=5", "trainer.max_steps"),
        ("trainr.max_steps=5", "trainer.max_steps"),
        ("experiment=tiny_pretain", "tiny_pretrain"),
        ("data.batchsize=3", "data.batch_size"),
        ("smoke", "experiment=smoke"),
    ],
)
def test_wrong_key_names_near_ones(override: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=near):
        compose_run(["experiment=smoke", override])
    assert main(["train", "experiment=smoke", override]) == 2
    assert near in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("+trainer.max_stepz=5", r"config\.trainer\.max_stepz is not a setting; near keys: max_steps"),
        ("trainer.max_steps=many", r"config\.trainer\.max_steps is 'many', expected a whole number"),
        ("trainer.precision=fp16", r"'fp16'; choose one of 'no', 'bf16'"),
        ("trainer.max_steps=0", r"config\.trainer: max_steps is 0; expected 1 to 1,000,000,000"),
        ("trainer.workers=-1", "workers is -1; expected 0 to 1,024"),
        ("trainer.seed=-1", "seed is -1"),
        ("trainer.log_every=-5", "log_every is -5"),
        ("trainer.max_seconds=.inf", "expected a finite number"),
        ("trainer.tensorboard=maybe", "tensorboard is 'maybe', expected true or false"),
        ("optim.groups.all.rate.peak=-1", r"optim\.groups\.all\.rate: peak is -1"),
        ("optim.groups.all.rate.warmup=.nan", "expected a finite number"),
        ("optim.betas=[0.9,1.0]", r"betas is 1\.0"),
        ("optim.clip.heads.max_norm=0", r"max_norm is 0"),
        ("data.batch_size=1000000000000", "batch_size is 1000000000000; expected 1 to 65,536"),
        ("data.val.dynamic-val.batches=0", "batches is 0"),
        ("data.first=-1", "first is -1"),
        ("data.world.height=50", "expected a multiple of the network's patch size"),
        ("data.world.width=1000000", "expected at most 16384"),
        ("data.world.frames=1000000", "expected at most 65536"),
        ("data.world.height=tall", "expected a whole number"),
        ("aid.temperature=0", "temperature is 0"),
        ("start.layer_scale=1e9", "layer_scale is"),
        ("optim.betas=[0.9]", "has 1 entries, expected 2"),
        ("optim.groups.all=3", "expected settings of GroupConfig"),
        ("loss.behaviour=exact", "choose one of 'corrected', 'public'"),
        ("data.kind=folder", "data.kind is 'folder'; choose one of synthetic"),
        ("data.split=static", "static-train"),
        ("+data.world.hight=3", r"data\.world\.hight is not a setting; near keys: height"),
        ("model.embed_dim=33", "embed_dim is 33"),
        ("+model.width=3", "width"),
        ("+invented=1", "'invented' is not a setting"),
        ("+invented.deeper=1", "'invented.deeper' is not a setting"),
        ("hydra.run.dir=elsewhere", "Hydra's own settings have no effect here"),
        ("trainer=3", "trainer=3: no such choice"),
        ("optim.freeze=[aggregatr]", "near names: .*aggregator"),
        ("aid.pair=17", "aid.pair is 17"),
        ("data.curriculum.frames=2", "expected a list"),
        ("trainer.metric=val/loss", "near names"),
    ],
)
def test_wrong_value_is_refused_where_it_stands(tmp_path: Path, override: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        trainer_from(compose_run(["experiment=smoke", f"paths.root={tmp_path}", override]))


@pytest.mark.parametrize("place", sorted(DEFAULTS))
def test_defaults_stand_in_the_dataclass_alone(place: str) -> None:
    part, _, name = place.partition("/")
    assert build(DEFAULTS[place], compose_run()[part], part) == DEFAULTS[place]()
    assert not (conf_folder() / f"{place}.yaml").exists()
    assert name in choices(part)


@pytest.mark.parametrize("name", choices("data"))
def test_files_of_data_say_what_differs(name: str) -> None:
    stated = yaml.safe_load((conf_folder() / "data" / f"{name}.yaml").read_text(encoding="utf-8"))
    base = stated["defaults"][0].removeprefix("/").removesuffix("@_here_")
    known = dict(flat(defaults_of(BASES[base])))
    repeated = [key for key, value in flat(stated) if key in known and plain(known[key]) == value]
    assert not repeated, "a default stands in its dataclass alone"


def test_the_settings_of_an_evaluation_stand_in_the_dataclass_alone() -> None:
    stated = yaml.safe_load((conf_folder() / "evaluate.yaml").read_text(encoding="utf-8"))
    assert list(stated) == ["defaults"]
    composed = compose_evaluation()
    assert build(EvaluationSettings, composed, "evaluate") == EvaluationSettings(composed["benchmark"])


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value under its dotted key."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_missing_dataset_folder_says_what_to_get(tmp_path: Path) -> None:
    overrides = ["experiment=paper", f"paths.data={tmp_path}/absent"]
    with pytest.raises(UserError, match=f"{tmp_path}/absent"):
        data_from(compose_run(overrides)["data"])


@pytest.mark.parametrize("words", ["trainer.resume=2", "trainer.resume=auto"])
def test_resume_takes_a_step_from_the_command_line(words: str) -> None:
    config = compose_run(["experiment=smoke", words])
    assert str(build(Settings, {"trainer": config["trainer"]}, "config").trainer.resume) == words.partition("=")[2]


@pytest.mark.parametrize("word", ["paths.folder=", "start.weights=''", 'paths.root=" "'])
def test_a_setting_without_a_value_is_not_the_folder_one_is_in(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["train"], ["check-data"], ["evaluate", "score"]):
        assert main([*command, word]) == 2
        assert "has no value; is a variable not set?" in capsys.readouterr().err


def test_show_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list"]) == 0
    assert "tiny_finetune_mask" in capsys.readouterr().out.split()
    assert main(["train", "--show", "experiment=smoke", "trainer.seed=7"]) == 0
    assert "seed: 7" in capsys.readouterr().out


def test_keys_and_folder() -> None:
    assert {"trainer", "trainer.seed", "paths.run"} <= set(keys_of(compose_run()))
    assert (conf_folder() / "experiment" / "smoke.yaml").is_file()
    with pytest.raises(UserError, match="no configuration 'absent'"):
        compose_settings(config_name="absent")


def test_installed_package_finds_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from page4d import shipped

    package = tmp_path / "site-packages" / "page4d"
    (package / "cli").mkdir(parents=True)
    monkeypatch.setattr(shipped, "__file__", str(package / "shipped.py"))
    with pytest.raises(UserError, match="reinstall"):
        conf_folder()
    (package / "conf").mkdir()
    (package / "conf" / "config.yaml").write_text("")
    assert conf_folder() == package / "conf"


def test_smoke_runs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "train",
        "experiment=smoke",
        f"paths.root={tmp_path}",
        "trainer.progress=false",
        "trainer.tensorboard=false",
    ]
    assert main(words) == 0
    assert "done at step 4" in capsys.readouterr().out
    assert (tmp_path / "smoke" / "best.safetensors").is_file()
    assert main(words) == 0, "a finished run is left as it is"
