"""What users' words name: patterns, folders in all the states that cameras leave them in, and what is told of them."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_video import write_video

from page4d.io import suffixes
from page4d.io.frames import FrameOptions, list_frames, load_frames
from page4d.io.images import left_out_by, load_images
from page4d.io.inputs import find_inputs
from page4d.schema import Notice, UserError

SMALL = FrameOptions(size=32, patch=8)


def picture(path: Path, level: int = 100, size: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


def names(found: list) -> list[str]:
    return [Path(path).name for path in found]


def told(call: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(w.category is Notice for w in caught)
    return [str(w.message) for w in caught]


def test_a_pattern_that_the_shell_left(tmp_path: Path) -> None:
    for i in (10, 9, 1):
        picture(tmp_path / "in" / f"{i}.png")
    picture(tmp_path / "in" / "other.jpg")
    assert names(find_inputs([tmp_path / "in" / "*.png"])) == ["1.png", "9.png", "10.png"]
    assert names(find_inputs(str(tmp_path / "in" / "[0-9].png"))) == ["1.png", "9.png"]
    with pytest.raises(UserError, match=r"no file matches .*\*\.gif"):
        find_inputs([tmp_path / "in" / "*.gif"])
    odd = picture(tmp_path / "in [1]" / "a*.png")
    assert find_inputs([odd]) == [odd]


def test_whatever_pillow_reads_is_taken_from_a_folder(tmp_path: Path) -> None:
    for name in ("a.JFIF", "b.avif", "c.webp", "d.tga", "e.qoi"):
        kind = {".JFIF": "JPEG"}.get(Path(name).suffix)
        Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / name, kind)
    for name in ("favicon.ico", "notes.txt", "doc.pdf", "data.h5"):
        (tmp_path / name).write_bytes(b"nothing")
    assert names(find_inputs(tmp_path)) == ["a.JFIF", "b.avif", "c.webp", "d.tga", "e.qoi"]


@pytest.mark.parametrize("suffix", [".mp4", ".MTS", ".3gp", ".m2ts", ".mkv", ".webm", ".mov", ".ogv", ".vob"])
def test_whatever_ffmpeg_reads_is_a_video(suffix: str) -> None:
    assert suffixes.is_video(f"clip{suffix}")
    assert not suffixes.picture_suffixes() & suffixes.film_suffixes()


def test_a_film_without_a_suffix_is_told_by_its_content(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", 3).rename(tmp_path / "film")
    still = picture(tmp_path / "still.png").rename(tmp_path / "still")
    assert len(load_frames(film, SMALL)) == 3
    assert len(load_frames(still, SMALL)) == 1


def test_heic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture(tmp_path / "IMG_0001.JPG")
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 48), (10, 100, 200)))
    heif.save(tmp_path / "IMG_0002.HEIC")
    loaded = load_images(tmp_path, size=32, patch=8)
    assert loaded.names == ("IMG_0001.JPG", "IMG_0002.HEIC")
    np.testing.assert_allclose(loaded.images[1].mean((1, 2)) * 255, [10, 100, 200], atol=4)

    monkeypatch.setattr(suffixes, "heic_is_read", lambda: False)
    monkeypatch.setattr("page4d.io.inputs.picture_suffixes", lambda: frozenset({".jpg"}))
    (text,) = told(lambda: find_inputs(tmp_path))
    assert "IMG_0002.HEIC" in text
    assert "page4d[heic]" in text
    (tmp_path / "IMG_0001.JPG").unlink()
    with pytest.raises(UserError, match=r"IMG_0002\.HEIC.*page4d\[heic\]"):
        find_inputs(tmp_path)


def test_one_film_or_one_folder_inside_the_folder(tmp_path: Path) -> None:
    write_video(tmp_path / "a" / "clip.mp4" if (tmp_path / "a").mkdir() is None else tmp_path, 3)
    found: list = []
    (text,) = told(lambda: found.extend(find_inputs(tmp_path / "a")))
    assert names(found) == ["clip.mp4"]
    assert "clip.mp4" in text
    picture(tmp_path / "b" / "images" / "1.png")
    (text,) = told(lambda: find_inputs(tmp_path / "b"))
    assert "images" in text


def test_several_films_or_folders_inside_are_named(tmp_path: Path) -> None:
    for name in ("x.mp4", "y.mp4"):
        (tmp_path / "films").mkdir(exist_ok=True)
        (tmp_path / "films" / name).write_bytes(b"film")
    with pytest.raises(UserError, match=r"holds 2 videos: x\.mp4, y\.mp4"):
        find_inputs(tmp_path / "films")
    for name in ("cam0", "cam1"):
        picture(tmp_path / "rig" / name / "1.png")
    with pytest.raises(UserError, match=r"the folders in it do: cam0, cam1; give these"):
        find_inputs(tmp_path / "rig")


def test_several_folders_are_the_cameras_of_one_scene(tmp_path: Path) -> None:
    for camera in (0, 1):
        for i in (0, 1):
            picture(tmp_path / f"cam{camera}" / f"{i}.png", 50 * camera + i)
    loaded = load_frames([tmp_path / "cam0", tmp_path / "cam1"], SMALL)
    assert loaded.names == ("cam0/0.png", "cam0/1.png", "cam1/0.png", "cam1/1.png")
    assert load_frames(tmp_path / "cam0", SMALL).names == ("0.png", "1.png")


def test_depth_maps_and_masks_beside_pictures_are_left_out(tmp_path: Path) -> None:
    for i in range(2):
        picture(tmp_path / "named" / f"frame-{i}.color.png")
        picture(tmp_path / "named" / f"frame-{i}.depth.png")
        picture(tmp_path / "deep" / f"a{i}.png")
        Image.fromarray(np.full((48, 64), 5000, np.uint16)).save(tmp_path / "deep" / f"b{i}.png")
        Image.fromarray(np.full((48, 64), 5000, np.uint16)).save(tmp_path / "deep" / f"only{i}.tif")
    found: list = []
    (text,) = told(lambda: found.extend(find_inputs(tmp_path / "named")))
    assert names(found) == ["frame-0.color.png", "frame-1.color.png"]
    assert "frame-0.depth.png" in text
    assert "pattern" in text
    (text,) = told(lambda: find_inputs(tmp_path / "deep"))
    assert "4 pictures (b0.png" in text
    only = tmp_path / "only"
    only.mkdir()
    shutil.move(tmp_path / "deep" / "only0.tif", only / "depth_0.tif")
    assert names(find_inputs(only)) == ["depth_0.tif"]


def test_films_beside_pictures_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "IMG_1.jpg")
    (tmp_path / "IMG_1.MOV").write_bytes(b"live photo")
    (text,) = told(lambda: find_inputs(tmp_path))
    assert "IMG_1.MOV" in text


def test_links_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "1.jpg")
    (tmp_path / "2.JPG").symlink_to("gone.jpg")
    (tmp_path / "3.png").symlink_to("3.png")
    os.mkfifo(tmp_path / "4.png")
    (tmp_path / "5.tif").mkdir()
    (tmp_path / ".6.png").symlink_to("hidden things are nobody's")
    (text,) = told(lambda: find_inputs(tmp_path))
    assert "4 pictures (2.JPG, 3.png, 4.png, ...)" in text
    assert "links that lead nowhere" in text


def test_pages(tmp_path: Path) -> None:
    levels = [Image.new("RGB", (64, 48), (40 * i, 0, 0)) for i in range(3)]
    levels[0].save(tmp_path / "scan.tif", save_all=True, append_images=levels[1:])
    (text,) = told(lambda: load_images(tmp_path, size=32, patch=8))
    assert "first page" in text
    assert "scan.tif: 3" in text
    assert "--pages all" in text
    loaded = load_frames(tmp_path, FrameOptions(size=32, patch=8, pages="all"))
    assert loaded.names == ("scan_000000", "scan_000001", "scan_000002")
    np.testing.assert_allclose(loaded.images[:, 0, 5, 5] * 255, [0, 40, 80], atol=1)


def test_a_cut_portrait_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "tall.png", size=(48, 96))
    (text,) = told(lambda: load_images(tmp_path, size=32, patch=8))
    assert "cuts up to 50% of the height of 1 picture (tall.png)" in text
    assert "--mode pad" in text
    assert told(lambda: load_images(tmp_path, "pad", size=32, patch=8)) == []


def test_twelve_bits(tmp_path: Path) -> None:
    grey = np.linspace(0, 4095, 64 * 48).reshape(48, 64).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    (text,) = told(lambda: load_images(tmp_path, size=64, patch=8))
    assert "12-bit" in text
    assert "--bits 16" in text
    assert float(load_images(tmp_path, size=64, patch=8).images.max()) == pytest.approx(1, abs=0.02)
    asis = load_frames(tmp_path, FrameOptions(size=64, patch=8, bits=16))
    assert float(asis.images.max()) == pytest.approx(16 / 255, abs=0.01)
    # One picture that uses all 16 bits says what the dark one beside it is.
    Image.fromarray(grey * 16).save(tmp_path / "more.png")
    assert told(lambda: load_images(tmp_path, size=64, patch=8)) == []
    assert float(load_images(tmp_path, size=64, patch=8).images[0].max()) < 0.1


def test_twelve_bits_of_colour(tmp_path: Path) -> None:
    import cv2

    colour = np.full((48, 64, 3), (4095, 2048, 0), np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), colour[..., ::-1])
    loaded = load_images(tmp_path, size=64, patch=8)
    np.testing.assert_allclose(loaded.images[0, :, 9, 9], [1, 0.5, 0], atol=0.01)


def test_transparent_pixels_are_not_kept(tmp_path: Path) -> None:
    pixels = np.full((48, 64, 4), 200, np.uint8)
    pixels[:, :32, 3] = 0
    pixels[:, 32:, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    (text,) = told(lambda: load_images(tmp_path, size=64, patch=8))
    assert "--no-alpha" in text
    kept = load_images(tmp_path, size=64, patch=8).kept
    assert kept is not None
    np.testing.assert_array_equal(kept[0], pixels[..., 3] > 0)
    assert load_frames(tmp_path, FrameOptions(size=64, patch=8, alpha=False)).kept is None


def test_masks_of_the_user(tmp_path: Path) -> None:
    for i in range(2):
        picture(tmp_path / "in" / f"{i}.jpg")
    mask = np.full((24, 32), 255, np.uint8)
    mask[:12] = 0
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "1.jpg.png")  # as COLMAP names them
    options = FrameOptions(size=64, patch=8, mask_folder=tmp_path / "masks")
    (text,) = told(lambda: load_frames(tmp_path / "in", options))
    assert "1 of 2 frames have no mask" in text
    kept = load_frames(tmp_path / "in", options).kept
    assert kept is not None
    assert kept[0].all()
    assert not kept[1, :24].any()
    assert kept[1, 24:].all()
    for folder, message in ((tmp_path, "holds no mask"), (tmp_path / "in", "no mask is named like a frame")):
        with pytest.raises(UserError, match=message):
            list_frames([picture(tmp_path / "x" / "other.png")], FrameOptions(mask_folder=folder))


@pytest.mark.parametrize(("height", "width"), [(48, 65), (24, 32), (37, 50), (480, 640)])
def test_masks_of_the_pictures_shape_are_taken(tmp_path: Path, height: int, width: int) -> None:
    Image.fromarray(np.zeros((height, width), np.uint8)).save(tmp_path / "mask.png")
    assert left_out_by(tmp_path / "mask.png", (48, 64)).all()


@pytest.mark.parametrize(("height", "width"), [(64, 48), (28, 56), (48, 48), (5000, 10)])
def test_masks_of_another_shape_are_refused(tmp_path: Path, height: int, width: int) -> None:
    picture(tmp_path / "in" / "1.jpg")
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.full((height, width), 255, np.uint8)).save(tmp_path / "masks" / "1.png")
    with pytest.raises(UserError, match=rf"{height} x {width} px and its picture 48 x 64; expected a mask"):
        load_frames(tmp_path / "in", FrameOptions(size=32, patch=8, mask_folder=tmp_path / "masks"))


def test_kept_follows_the_crop(tmp_path: Path) -> None:
    pixels = np.zeros((128, 64, 4), np.uint8)
    pixels[:48, :, 3] = 255  # of the middle 64 rows the upper 16
    Image.fromarray(pixels).save(tmp_path / "tall.png")
    kept = load_images(tmp_path, size=64, patch=8).kept
    assert kept is not None
    np.testing.assert_array_equal(kept[0].any(1), np.arange(64) < 16)
    padded = load_images(tmp_path, "pad", size=64, patch=8).kept
    assert padded is not None
    np.testing.assert_array_equal(padded[0, :, 32], np.arange(64) < 24)


def test_times_from_names_and_files(tmp_path: Path) -> None:
    for stamp in ("1305031102.211214", "1305031102.175304", "1305031102.3"):
        picture(tmp_path / "in" / f"{stamp}.png")
    expected = [1305031102.175304, 1305031102.211214, 1305031102.3]
    np.testing.assert_array_equal(load_frames(tmp_path / "in", SMALL).timestamps_s, expected)
    np.testing.assert_array_equal(load_images(tmp_path / "in", size=32, patch=8).timestamps_s, expected)
    none = FrameOptions(size=32, patch=8, times_from="none")
    assert np.isnan(load_frames(tmp_path / "in", none).timestamps_s).all()
    (tmp_path / "times.txt").write_text("# of the shutter\n1.5\n2.5\n\n4\n")
    given = FrameOptions(size=32, patch=8, times=tmp_path / "times.txt", start_s=2)
    np.testing.assert_array_equal(load_frames(tmp_path / "in", given).timestamps_s, [2.5, 4])
    (tmp_path / "rgb.txt").write_text("".join(f"{i}.25 rgb/{s:.6f}.png\n" for i, s in enumerate(expected[:2])))
    with pytest.raises(UserError, match=r"no time for 1305031102\.3\.png"):
        list_frames(tmp_path / "in", FrameOptions(times=tmp_path / "rgb.txt"))
    by_name = FrameOptions(size=32, patch=8, times=tmp_path / "rgb.txt")
    (tmp_path / "in" / "1305031102.3.png").unlink()
    np.testing.assert_array_equal(load_frames(tmp_path / "in", by_name).timestamps_s, [0.25, 1.25])
    for text, message in (
        ("1\n", "1 times for 2 frames"),
        ("1\nx\n", "line 2: 'x' is not a time"),
        ("inf\n1\n", "inf"),
    ):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(UserError, match=message):
            list_frames(tmp_path / "in", FrameOptions(times=tmp_path / "bad.txt"))


@pytest.mark.parametrize("text", ["3\n2\n5\n", "1\n1\n2\n"])
def test_times_that_do_not_rise_are_told(tmp_path: Path, text: str) -> None:
    for i in range(3):
        picture(tmp_path / "in" / f"{i}.png")
    (tmp_path / "times.txt").write_text(text)
    (line,) = told(lambda: list_frames(tmp_path / "in", FrameOptions(times=tmp_path / "times.txt")))
    assert "1 of 3 times are not after the one before, first that of frame 1" in line


def test_times_of_a_film(tmp_path: Path) -> None:
    film = write_video(tmp_path / "clip.mp4", 6)
    (tmp_path / "times.txt").write_text("\n".join(f"{100 + i}" for i in range(6)))
    options = FrameOptions(size=32, patch=8, every=2, times=tmp_path / "times.txt")
    np.testing.assert_array_equal(load_frames(film, options).timestamps_s, [100, 102, 104])
    (tmp_path / "times.txt").write_text("1\n2\n")
    with pytest.raises(UserError, match="2 times, expected one for each of the film's frames"):
        load_frames(film, options)


def test_frames_of_a_film(tmp_path: Path) -> None:
    film = write_video(tmp_path / "clip.mp4", 21)
    for options, numbers in (
        ({"every": 5}, [0, 5, 10, 15, 20]),
        ({"spread": 3}, [0, 10, 20]),
        ({"start_s": 0.5, "end_s": 0.8}, [5, 6, 7, 8]),
        ({"start_s": 1, "spread": 2}, [10, 20]),
        ({"start_s": 0.5, "every": 4, "max_frames": 2}, [5, 9]),
        ({"fps": 5, "end_s": 0.6}, [0, 2, 4, 6]),
    ):
        loaded = load_frames(film, FrameOptions(size=32, patch=8, **options))
        assert [int(name[-6:]) for name in loaded.names] == numbers, options
    with pytest.raises(UserError, match="no frame of those asked for: start 90"):
        load_frames(film, FrameOptions(size=32, patch=8, start_s=90))


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_film_cut_short_is_used_and_told(suffix: str, tmp_path: Path) -> None:
    whole = write_video(tmp_path / f"clip{suffix}", 25, size=(240, 320))
    data = whole.read_bytes()
    cut = tmp_path / f"half{suffix}"
    cut.write_bytes(data[: len(data) // 2])
    texts = told(lambda: load_frames(cut, SMALL))
    assert any("of 2.5 s, it is cut short" in text for text in texts), texts
    assert 5 < len(load_frames(cut, SMALL)) < 20
    assert told(lambda: load_frames(whole, SMALL)) == []
    assert told(lambda: load_frames(whole, FrameOptions(size=32, patch=8, max_frames=3))) == []


def test_a_film_behind_a_cover_picture(tmp_path: Path) -> None:
    import av
    from av.stream import Disposition

    path = tmp_path / "covered.mp4"
    cover = Image.new("RGB", (32, 32), (250, 0, 0))
    with av.open(str(path), "w") as container:
        first = container.add_stream("mjpeg", rate=1)
        first.width, first.height, first.pix_fmt = 32, 32, "yuvj420p"
        first.disposition = Disposition.attached_pic
        film = container.add_stream("mpeg4", rate=10)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        container.mux(first.encode(av.VideoFrame.from_image(cover)))
        container.mux(first.encode())
        for _ in range(4):
            container.mux(film.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "rgb24")))
        container.mux(film.encode())
    loaded = load_frames(path, SMALL)
    assert len(loaded) == 4
    np.testing.assert_array_equal(loaded.original_hw[0], [48, 64])


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    write_video(tmp_path / "real.ts", 3)
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'real.ts'}\n")
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'real.ts'}'\n")
    for name in ("list.mp4", "concat.mp4"):
        with pytest.raises(UserError, match="cannot be read as a video"):
            load_frames(tmp_path / name, SMALL)


def test_fps_of_pictures_takes_their_times(tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / f"{i / 10:.1f}.png")
    assert load_frames(tmp_path, FrameOptions(size=32, patch=8, fps=5)).names == ("0.0.png", "0.2.png", "0.4.png")


def test_huge_photographs_are_decoded_at_a_fraction(tmp_path: Path) -> None:
    """Above 64 megapixels: a JPEG of coarse noise, so that it is as long as a photograph."""
    noise = np.random.default_rng(0).integers(0, 255, (120, 144, 3), np.uint8)
    huge = Image.fromarray(noise).resize((9216, 7680), Image.Resampling.NEAREST)
    huge.save(tmp_path / "phone.jpg", quality=60)
    loaded = load_images(tmp_path / "phone.jpg", size=64, patch=8)
    np.testing.assert_array_equal(loaded.original_hw, [[7680, 9216]])
    np.testing.assert_array_equal(loaded.box_in_original, [[0, 0, 9216, 7680]])
    small = load_images(Image.fromarray(noise), size=64, patch=8)
    assert float((loaded.images - small.images).abs().mean()) < 0.02


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (2, 500)])
def test_a_picture_next_to_no_width_is_refused_before_it_is_resized(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"too large|less than one patch"):
        load_images(Image.new("RGB", size), size=64, patch=8)
