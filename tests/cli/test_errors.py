"""What a user sees after a mistake: one clear paragraph, exit status 2, no traceback."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.main import main

LENET = """
name: "small"
layer {{ name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param {{ source: "{list}" batch_size: 2 {image_options} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "gaussian" std: {std} }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
SOLVER = """
train_net: "{net}" base_lr: {lr} lr_policy: "fixed" max_iter: {max_iter} display: 1 snapshot: {snapshot}
snapshot_prefix: "{prefix}" random_seed: 1 solver_mode: CPU
"""


class Project:
    """A small project in a folder: images, a list, a net and a solver; tests break one thing each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        for i in range(4):
            cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 255, (6, 5, 3), dtype=np.uint8))
        self.write_list([f"{folder}/{i}.png {i % 3}" for i in range(4)])
        self.write_net()
        self.write_solver()

    def write_list(self, lines: list[str]) -> None:
        (self.folder / "list.txt").write_text("".join(f"{line}\n" for line in lines))

    def write_net(self, text: str = LENET, **options: object) -> None:
        settings = {"list": self.folder / "list.txt", "image_options": "", "std": 0.001} | options
        (self.folder / "net.prototxt").write_text(text.format(**settings) if text == LENET else text)

    def write_solver(self, **options: object) -> None:
        settings = {
            "net": self.folder / "net.prototxt",
            "lr": 0.001,
            "max_iter": 4,
            "snapshot": 2,
            "prefix": self.folder / "snap",
        } | options
        (self.folder / "solver.prototxt").write_text(SOLVER.format(**settings))

    def train(self, *options: str) -> int:
        return main(["train", "--solver", str(self.folder / "solver.prototxt"), *options])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def expect(capsys: pytest.CaptureFixture[str], status: int, *pieces: str) -> str:
    """The command failed with status 2 and one paragraph that has all the pieces."""
    message = capsys.readouterr().err
    assert status == 2, message
    assert "Traceback" not in message
    flat = " ".join(message.split())
    for piece in pieces:
        assert piece in flat, message
    return flat


def test_the_log_lies_where_log_dir_says(project: Project) -> None:
    assert project.train("-log_dir", str(project.folder / "logs")) == 0
    assert (project.folder / "logs" / "snap_train.log").exists()
    assert not (project.folder / "snap_train.log").exists()
    net = str(project.folder / "net.prototxt")
    assert main(["test", "--model", net, "--iterations", "1", f"--log_dir={project.folder / 'tests'}"]) == 0
    assert (project.folder / "tests" / "test.log").exists()


def test_the_project_itself_trains(project: Project) -> None:
    assert project.train() == 0
    assert (project.folder / "snap_iter_4.caffemodel").exists()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["train", "--solver", "absent.prototxt"], "absent.prototxt"),
        (["test", "--model", "absent.prototxt"], "absent.prototxt"),
        (["time", "--model", "absent.prototxt"], "absent.prototxt"),
        (["net", "absent.prototxt"], "absent.prototxt"),
        (["net", "."], "folder"),
    ],
)
def test_missing_file(arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    expect(capsys, main(arguments), name)


def test_missing_net_of_a_solver(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_solver(net="nowhere/net.prototxt")
    expect(capsys, project.train(), "nowhere/net.prototxt", "no such file")


def test_missing_weights(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    expect(capsys, project.train("--weights", "absent.caffemodel"), "absent.caffemodel", "does not exist")


def test_unset_template_names(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_net(LENET.replace("num_output: 3", "num_output: ${{CLASSES}}").format(
        list="${LIST}", image_options="", std=1
    ))  # fmt: skip
    expect(capsys, project.train(), "CLASSES", "LIST", "--set", "net.prototxt")


def test_unknown_field(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_net('layer { name: "ip" type: "InnerProduct"\n inner_product_param { num_outputs: 3 } }')
    expect(capsys, project.train(), "net.prototxt:2:24", "num_outputs", '"num_output"', '"ip"')


def test_unknown_layer_type(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_net('\nlayer { name: "ip" type: "InnerProdukt" top: "x" }')
    expect(capsys, project.train(), "net.prototxt:2", "InnerProdukt", "InnerProduct")
    project.write_net('\nlayer { name: "ip" type: "relu" top: "x" }')
    expect(capsys, project.train(), "net.prototxt:2", "Nearest known: ReLU")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_a_file(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(project.folder / "pipe")
    expect(capsys, main(["net", str(project.folder / "pipe")]), "is a pipe or a device")


def test_bottom_nobody_makes(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (project.folder / "net.prototxt").write_text(
        (project.folder / "net.prototxt").read_text().replace('bottom: "ip"', 'bottom: "ipp"')
    )
    expect(capsys, project.train(), '"loss" (SoftmaxWithLoss)', '"ipp"', 'Did you mean "ip"', "net.prototxt:7")


def test_two_layers_making_the_same_top(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    text = (project.folder / "net.prototxt").read_text()
    again = (
        'layer { name: "again" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }'
    )
    project.write_net(text + again)
    expect(capsys, project.train(), '"again" (InnerProduct)', '"ip"', "already")


def test_shape_that_does_not_fit(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    text = (project.folder / "net.prototxt").read_text()
    bad = """layer { name: "big" type: "Convolution" bottom: "data" top: "big"
      convolution_param { num_output: 1 kernel_size: 9 } }"""
    project.write_net(text + bad)
    expect(capsys, project.train(), '"big" (Convolution)', "9", "net.prototxt:")


def test_list_with_a_missing_image(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_list([f"{project.folder}/0.png 0", f"{project.folder}/absent.png 1"])
    expect(capsys, project.train(), "absent.png", "list.txt")


def test_unreadable_image(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (project.folder / "1.png").write_bytes(b"not an image")
    expect(capsys, project.train(), "1.png")


def test_image_and_label_of_different_size(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(project.folder / "label.png"), np.zeros((7, 5), np.uint8))
    project.write_list([f"{project.folder}/0.png {project.folder}/label.png"])
    project.write_net(f'''layer {{ name: "data" type: "TwoImageData" top: "data" top: "label"
        image_data_param {{ source: "{project.folder}/list.txt" batch_size: 1 }}
        transform_param {{ crop_size: 5 }} }}
        layer {{ name: "silence" type: "Silence" bottom: "data" bottom: "label" }}''')
    expect(capsys, project.train(), "label.png", "0.png", "size")


def test_label_outside_the_classes(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_list([f"{project.folder}/{i}.png {i}" for i in range(4)])
    expect(capsys, project.train(), '"loss" (SoftmaxWithLoss)', "label", "3")


def test_weights_of_another_shape(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.train() == 0
    text = (project.folder / "net.prototxt").read_text().replace("num_output: 3", "num_output: 4")
    project.write_net(text)
    weights = str(project.folder / "snap_iter_4.caffemodel")
    expect(capsys, project.train("--weights", weights), weights, '"ip" (InnerProduct)', "(3, 90)", "(4, 90)", "rename")


def test_truncated_weights(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.train() == 0
    weights = project.folder / "snap_iter_4.caffemodel"
    weights.write_bytes(weights.read_bytes()[:-100])
    expect(capsys, project.train("--weights", str(weights)), "snap_iter_4.caffemodel")


@pytest.mark.parametrize("option", ["--out", "prefix"])
def test_folder_that_cannot_be_written(option: str, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = project.folder / "0.png" / "deeper"
    if option == "prefix":
        project.write_solver(prefix=blocked / "snap")
        status = project.train()
    else:
        status = project.train("--out", str(blocked))
    expect(capsys, status, str(blocked))


def test_a_loss_that_becomes_nan(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_solver(lr=1e36, max_iter=8, snapshot=1)
    expect(capsys, project.train(), "Iteration", '"ip" (InnerProduct)', "base_lr")
    kept = sorted(project.folder.glob("snap_iter_*.caffemodel"))
    assert kept, "the snapshots taken before the loss became NaN stay"


def test_gpu_in_the_file_without_a_gpu(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    solver = project.folder / "solver.prototxt"
    solver.write_text(solver.read_text().replace("solver_mode: CPU", "solver_mode: GPU"))
    expect(capsys, project.train(), "--cpu", "solver_mode: GPU")
    assert project.train("--cpu") == 0


def test_caffes_flag_spellings(project: Project) -> None:
    solver = project.folder / "solver.prototxt"
    for flags in ([f"-solver={solver}"], ["-solver", str(solver)], [f"--solver={solver}"]):
        assert main(["train", *flags, "-max_iter=1", f"-out={project.folder}/out"]) == 0
