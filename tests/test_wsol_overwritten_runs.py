"""A run that is asked to overwrite an earlier one keeps nothing of it."""

import shutil

import numpy as np

IDS = ("0.jpg", "1.jpg")


def write_data(folder, sharpness):
    """Maps that fall from the middle of the true box, which a threshold cuts to its size."""
    y, x = np.mgrid[:224, :224]
    heat = np.clip(1 - np.maximum(abs(x - 99.5), abs(y - 99.5)) / 125, 0, 1) ** sharpness
    for split in ("val", "test"):
        ids = [f"{split}/{name}" for name in IDS]
        (folder / "data" / split).mkdir(parents=True, exist_ok=True)
        (folder / "maps" / split).mkdir(parents=True, exist_ok=True)
        for file, rest in (
            ("image_ids", ""),
            ("class_labels", ",0"),
            ("image_sizes", ",224,224"),
            ("localization", ",50,50,149,149"),
        ):
            text = "\n".join(f"{name}{rest}" for name in ids)
            (folder / "data" / split / f"{file}.txt").write_text(text)
        for name in ids:
            np.save(folder / "maps" / f"{name}.npy", heat)


def test_thresholds_of_overwritten_maps_are_chosen_anew(run, tmp_path):
    options = ("--threshold", "val", "--protocol", "all")
    for sharpness, out in ((1, "kept"), (4, "kept"), (4, "fresh")):
        write_data(tmp_path, sharpness)
        code, _, err = run(
            "evaluate", tmp_path / "data", "--maps", tmp_path / "maps", *options,
            "--out", tmp_path / out, "--force",
        )  # fmt: skip
        assert code == 0, err
        assert "going on" not in err
    kept, fresh = (
        (tmp_path / out / "wsoleval" / "images.csv").read_text() for out in ("kept", "fresh")
    )
    assert kept == fresh


def test_a_refused_run_does_not_go_on_with_other_maps(run, tmp_path):
    def evaluate(out, *options):
        return run(
            "evaluate", tmp_path / "data", "--maps", tmp_path / "maps", "--threshold", "val",
            "--out", tmp_path / out, *options,
        )  # fmt: skip

    write_data(tmp_path, 1)
    (tmp_path / "maps" / "test" / "0.jpg.npy").unlink()
    code, _, err = evaluate("retried")
    assert code == 1
    assert "no such file" in err
    write_data(tmp_path, 4)
    code, _, err = evaluate("retried")
    assert code == 2
    assert "its settings differ (chosen_on: files, files)" in err  # val has other maps, too
    for out, options in (("retried", ("--force",)), ("fresh", ())):
        code, _, err = evaluate(out, *options)
        assert code == 0, err
    retried, fresh = ((tmp_path / out / "images.csv").read_text() for out in ("retried", "fresh"))
    assert retried == fresh


def test_scores_in_a_trainings_folder_leave_its_record_alone(trained, run, tmp_path):
    out = shutil.copytree(trained[0], tmp_path / "run")
    record = (out / "run.json").read_bytes()
    write_data(tmp_path, 1)
    options = ("--maps", tmp_path / "maps", "--out", out)
    assert run("evaluate", tmp_path / "data", *options)[0] == 2
    for _ in range(2):
        code, _, err = run("evaluate", tmp_path / "data", *options, "--force")
        assert code == 0, err
        assert (out / "run.json").read_bytes() == record
