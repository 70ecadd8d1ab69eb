"""Images to a Prediction: agreement with the network, input in every form, and errors before any work."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from little_model import LITTLE, little_model
from PIL import Image
from test_video import write_video

import page4d
from page4d.geometry import pose_encoding_to_extri_intri, quaternion_to_matrix, relative_to_first, world_points
from page4d.inference import as_frames, predict, resolve_device
from page4d.io.images import load_images
from page4d.model.fingerprint import config_sha256, weights_sha256
from page4d.point_tracks import track
from page4d.schema import Prediction, UserError
from page4d.windows import Windows, join_windows

IMAGES = torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return tmp_path


def test_prediction_is_the_networks_output() -> None:
    model = little_model(mask_hold_end=1, mask_hold_start=1)
    prediction = predict(model, IMAGES)
    with torch.no_grad():
        out = model(IMAGES)
    cameras, K = pose_encoding_to_extri_intri(out["pose_enc"], (32, 64))
    assert K is not None
    for actual, expected in (
        (prediction.cam_from_world, cameras[0]),
        (prediction.K, K[0]),
        (prediction.depth, out["depth"][0, ..., 0]),
        (prediction.depth_conf, out["depth_conf"][0]),
        (prediction.points, out["world_points"][0]),
        (prediction.points_conf, out["world_points_conf"][0]),
        (prediction.mask, out["mask"][0]),
    ):
        assert actual is not None
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, expected.numpy())
    assert prediction.images.dtype == np.uint8
    np.testing.assert_allclose(prediction.images.transpose(0, 3, 1, 2) / 255, IMAGES, atol=0.5 / 255 + 1e-6)
    assert prediction.mask is not None
    assert prediction.mask.shape == (3, 4, 8)
    assert np.abs(prediction.mask).max() < 0.5
    assert np.ptp(prediction.mask) > 0


def test_nothing_where_there_is_no_mask_and_no_point_head() -> None:
    prediction = predict(little_model(enable_point=False), IMAGES)
    assert prediction.mask is None
    assert prediction.points is None
    assert prediction.points_conf is None


def test_what_made_it_is_recorded() -> None:
    model = little_model()
    meta = predict(model, IMAGES).meta
    assert meta["config_sha256"] == config_sha256(model.config)
    assert meta["weights_sha256"] == weights_sha256(model)
    assert meta["config"]["embed_dim"] == LITTLE.embed_dim
    assert meta["code_revision"] == page4d.version.code_revision()
    assert (meta["device"], meta["aggregator_dtype"]) == ("cpu", "float32")


def test_every_form_of_input_gives_the_same(files: Path) -> None:
    model = little_model()
    paths = [files / f"{i}.png" for i in range(3)]
    loaded = load_images(paths, size=64, patch=8)
    expected = predict(model, loaded)
    forms = (files, str(files), paths, [str(p) for p in paths], [Image.open(p) for p in paths], loaded.images)
    for form in (*forms, loaded.images[None]):
        np.testing.assert_array_equal(predict(model, form).depth, expected.depth)
    assert expected.frame_names == ("0.png", "1.png", "2.png")
    np.testing.assert_array_equal(expected.original_hw, [[48, 64]] * 3)
    np.testing.assert_array_equal(expected.box_in_original, [[0, 0, 64, 48]] * 3)
    assert np.isnan(expected.timestamps_s).all()


def test_video_frames_carry_times(tmp_path: Path) -> None:
    prediction = predict(little_model(), write_video(tmp_path / "v.mp4", frames=3, rate=4))
    np.testing.assert_allclose(prediction.timestamps_s, [0, 0.25, 0.5], atol=1e-6)
    assert prediction.frame_names[2] == "v_000002"


def test_known_times_are_kept() -> None:
    assert predict(little_model(), IMAGES, timestamps_s=[1.0, 2.0, 4.0]).timestamps_s[2] == 4
    with pytest.raises(UserError, match="2 timestamps for 3 frames"):
        predict(little_model(), IMAGES, timestamps_s=[1.0, 2.0])


def test_one_image_is_enough() -> None:
    assert len(predict(little_model(), IMAGES[:1])) == 1


def test_save_and_load(tmp_path: Path) -> None:
    prediction = predict(little_model(mask_hold_end=1), IMAGES)
    prediction.save(tmp_path / "p.npz")
    loaded = Prediction.load(tmp_path / "p.npz")
    for field in dataclasses.fields(Prediction):
        a, b = getattr(prediction, field.name), getattr(loaded, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
    assert loaded.meta["config_sha256"] == prediction.meta["config_sha256"]


def test_the_models_mode_and_gradients_are_left_alone() -> None:
    model = little_model().train()
    predict(model, IMAGES)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    model.eval()
    predict(model, IMAGES)
    assert not model.training


def test_only_pairs_that_are_read_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = little_model(depth=6, dpt_pairs=(0, 1, 2, 4))
    kept = []
    run = model.aggregator.run

    def spy(images: torch.Tensor, **options: Any) -> object:
        out = run(images, **options)
        kept.append([i for i, tokens in enumerate(out.tokens) if tokens is not None])
        return out

    monkeypatch.setattr(model.aggregator, "run", spy)
    predict(model, IMAGES)
    assert kept == [[0, 1, 2, 4, 5]]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 3, 3, 32, 64), r"shape \(2, 3, 3, 32, 64\), expected \(S, 3, H, W\)"),
        (torch.rand(3, 32, 64), "expected"),
        (torch.rand(0, 3, 32, 64), "expected"),
        (torch.zeros(1, 3, 32, 64, dtype=torch.uint8), "divide bytes by 255"),
        (torch.rand(1, 3, 32, 64) * 255, r"expected \[0, 1\]"),
        (torch.full((1, 3, 32, 64), float("nan")), r"from nan to nan"),
        (torch.rand(1, 3, 33, 64), r"33 x 64 px, this network needs multiples of its patch size 8; load them with"),
        ([], "no images given"),
        (np.zeros((2, 32, 64, 3), np.uint8), "given as ndarray; expected file names, PIL images or a tensor"),
        ([np.zeros((32, 64, 3), np.uint8)] * 2, "given as ndarray; expected file names"),
        (7, "given as int; expected file names"),
    ],
)
def test_bad_images(images: torch.Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predict(little_model(), images)


def test_frames_of_opencv_as_the_message_says() -> None:
    frames = [np.full((32, 64, 3), (0, 0, 200), np.uint8)] * 2
    shown = predict(little_model(), [Image.fromarray(frame[..., ::-1]) for frame in frames]).images
    np.testing.assert_array_equal(shown[0, 0, 0], (200, 0, 0))


@pytest.mark.parametrize("follow", [predict, lambda model, images: track(model, images, [[1, 1]])])
def test_what_is_no_usable_model(follow: Any) -> None:
    with pytest.raises(UserError, match=r"the model is a str; load one with page4d.PAGE4D.from_pretrained"):
        follow("tiny", IMAGES)
    with pytest.raises(UserError, match=r"weights are float16, expected float32; .*call model.float"):
        follow(little_model().half(), IMAGES)


def test_windows_are_windows() -> None:
    with pytest.raises(UserError, match=r"windows is 4, expected Windows\(frames="):
        predict(little_model(), IMAGES, windows=4)  # type: ignore[arg-type]


def test_a_model_made_under_inference_mode_predicts() -> None:
    with torch.inference_mode():
        made = little_model()
    again = little_model()
    again.load_state_dict({name: value.clone() for name, value in made.state_dict().items()})
    assert predict(made, IMAGES).meta["weights_sha256"] == predict(again, IMAGES).meta["weights_sha256"]
    with torch.inference_mode():
        next(made.parameters()).add_(1)
    assert predict(made, IMAGES).meta["weights_sha256"] != predict(again, IMAGES).meta["weights_sha256"]


def test_networks_that_cannot_predict() -> None:
    with pytest.raises(UserError, match="no camera or no depth head"):
        predict(little_model(enable_depth=False), IMAGES)
    with pytest.raises(UserError, match="no track head"):
        track(little_model(), IMAGES, [[1, 1]])


def test_devices() -> None:
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(UserError, match="is not a device"):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            predict(little_model(), IMAGES, device="cuda")
    if not torch.backends.mps.is_available():
        with pytest.raises(UserError, match="Apple silicon"):
            resolve_device("mps")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_too_little_memory_says_what_to_lower(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    model = little_model()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(model.aggregator, "run", fail)
    with pytest.raises(UserError, match="3 frames of 32 x 64 px do not fit into the memory of cpu"):
        predict(model, IMAGES)


def test_other_runtime_errors_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    model = little_model()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(model.aggregator, "run", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        predict(model, IMAGES)


@pytest.fixture(scope="module")
def tracking() -> page4d.PAGE4D:
    return little_model(enable_track=True)


def test_track(tracking: page4d.PAGE4D) -> None:
    images = torch.rand(2, 3, 144, 160, generator=torch.Generator().manual_seed(1))
    queries = np.array([[3.0, 4.0], [150.5, 100.0]], np.float32)
    tracks = track(tracking, images, queries)
    with torch.no_grad():
        out = tracking(images, query_points=torch.from_numpy(queries))
    assert tracks.xy.shape == (2, 2, 2)
    np.testing.assert_allclose(tracks.xy[0], queries, atol=1e-4)
    np.testing.assert_array_equal(tracks.xy, out["track"][0].numpy())
    np.testing.assert_array_equal(tracks.visible, out["vis"][0].numpy())
    np.testing.assert_array_equal(tracks.confidence, out["conf"][0].numpy())


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([[1.0, 2.0, 3.0]], r"expected \(N, 2\)"),
        (np.zeros((0, 2)), r"expected \(N, 2\)"),
        ([[160.0, 3.0]], r"1 points lie outside the 160 x 144 px .*, the first at \[160.0, 3.0\]"),
        ([[0.0, float("nan")]], "outside"),
    ],
)
def test_bad_queries(tracking: page4d.PAGE4D, queries: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        track(tracking, torch.rand(2, 3, 144, 160), queries)  # type: ignore[arg-type]


def test_size_and_patch_come_from_the_model() -> None:
    frames = as_frames([Image.new("RGB", (100, 50))], little_model(img_size=96, patch_size=16))
    assert frames.images.shape == (1, 3, 48, 96)


def world_of(frames: int) -> Prediction:
    """A scene without error: depths, cameras and the points that follow from them."""
    generator = torch.Generator().manual_seed(frames)
    h, w = 6, 8
    depth = 1 + torch.rand(frames, h, w, generator=generator, dtype=torch.float64)
    K = torch.tensor([[9.0, 0, 4], [0, 7, 3], [0, 0, 1]], dtype=torch.float64).expand(frames, 3, 3)
    rotation = quaternion_to_matrix(torch.tensor([0, 0, 0, 1.0]) + 0.1 * torch.randn(frames, 4, generator=generator))
    pose = torch.cat((rotation.double(), torch.randn(frames, 3, 1, generator=generator).double()), -1)
    pose = relative_to_first(pose)
    return Prediction(
        cam_from_world=pose.numpy(), K=K.numpy(), depth=depth.numpy(), depth_conf=depth.numpy(),
        points=world_points(depth, K, pose).numpy(), points_conf=depth.numpy(), mask=np.zeros((frames, 1, 1)),
        images=np.zeros((frames, h, w, 3), np.uint8), frame_names=tuple(map(str, range(frames))),
        timestamps_s=np.arange(float(frames)), original_hw=np.ones((frames, 2), np.int64),
        box_in_original=np.zeros((frames, 4)),
    )  # fmt: skip


def window_of(scene: Prediction, start: int, end: int, scale: float) -> Prediction:
    """What a network without error would say of some frames: the first is the world, the scale is anything."""
    cut = {
        f.name: getattr(scene, f.name)[start:end] for f in dataclasses.fields(scene) if f.name not in ("points", "meta")
    }
    pose = relative_to_first(torch.from_numpy(cut["cam_from_world"]))
    pose[..., 3] *= scale
    depth = torch.from_numpy(cut["depth"] * scale)
    points = world_points(depth, torch.from_numpy(cut["K"]), pose)
    return Prediction(**cut | {"cam_from_world": pose.numpy(), "depth": depth.numpy()}, points=points.numpy())


@pytest.mark.parametrize(("total", "frames", "overlap"), [(10, 4, 1), (11, 5, 3), (5, 5, 2), (3, 8, 2), (9, 8, 7)])
def test_windows_join_to_the_whole_scene(total: int, frames: int, overlap: int) -> None:
    scene = world_of(total)
    starts = Windows(frames, overlap).starts(total)
    parts = [window_of(scene, i, i + frames, scale=1.0 if i == 0 else 0.5 + 0.3 * i) for i in starts]
    joined = join_windows(parts, starts, {"said": 1})
    assert joined.frame_names == scene.frame_names
    for name in ("cam_from_world", "depth", "points", "K", "timestamps_s", "depth_conf"):
        np.testing.assert_allclose(getattr(joined, name), getattr(scene, name), rtol=1e-4, atol=1e-5, err_msg=name)
    joins = joined.meta.pop("joins", [])
    assert joined.meta == {"said": 1}
    assert [join["start"] for join in joins] == starts[1:]
    assert all(join["by"] == "points" and join["residual"] < 1e-5 and join["agreement"] == 1 for join in joins)


def test_window_starts() -> None:
    assert Windows(4, 1).starts(10) == [0, 3, 6]
    assert Windows(4, 1).starts(11) == [0, 3, 6, 7]
    assert Windows(4, 1).starts(4) == Windows(4, 1).starts(2) == [0]
    for frames, overlap in ((4, 0), (4, 4), (1, 1), (0, 0)):
        with pytest.raises(UserError, match="expected 0 < overlap < frames"):
            Windows(frames, overlap)


def test_predict_in_windows() -> None:
    model, images = little_model(mask_hold_start=1, mask_hold_end=1), torch.rand(5, 3, 32, 64)
    whole, parts = predict(model, images), predict(model, images, windows=Windows(3, 1))
    assert parts.frame_names == whole.frame_names
    assert parts.meta["windows"] == {"frames": 3, "overlap": 1}
    first = predict(model, images[:3])
    np.testing.assert_array_equal(parts.depth[:3], first.depth)
    assert np.isfinite(parts.cam_from_world).all()
    one = predict(model, images, windows=Windows(8, 2))
    np.testing.assert_array_equal(one.depth, whole.depth)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"precision": "fp16"}, "precision is 'fp16', expected float32 or bf16"),
        ({"timestamps_s": ["a", "b", "c"]}, r"timestamps_s are \['a', 'b', 'c'\]; expected seconds as numbers"),
        ({"mode": "stretch"}, "mode is 'stretch', expected one of crop"),
    ],
)
def test_words_that_fit_nothing_are_refused_for_tensors_too(words: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        predict(little_model(), IMAGES, **words)
