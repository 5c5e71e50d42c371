"""The course of a net's training as a picture: every curve is there, whole and readable, and models without epochs have none."""

import math
from xml.etree import ElementTree

from training_assets.loss_curves import loss_curves, loss_curves_svg

NET = {"inner_loss": [0.9, 0.5, 0.7], "train_loss": {"net": [1.0, 0.4, 0.2]}, "best_epoch": 2}


def lines(svg: str) -> list[list[str]]:
    root = ElementTree.fromstring(svg)
    return [line.attrib["points"].split() for line in root.iter("{http://www.w3.org/2000/svg}polyline")]


def test_a_net_has_its_inner_loss_and_one_curve_a_player() -> None:
    assert loss_curves(NET) == {"inner": [0.9, 0.5, 0.7], "train": [1.0, 0.4, 0.2]}
    two = {**NET, "train_loss": {"net": [1.0], "critic": [2.0]}}
    assert list(loss_curves(two)) == ["inner", "train net", "train critic"]


def test_a_model_without_epochs_has_none() -> None:
    assert loss_curves({"inner_loss": 0.5, "rounds": 10}) == {}
    assert loss_curves({}) == {}


def test_every_epoch_is_a_point_and_a_loss_that_is_no_number_is_left_out() -> None:
    assert [len(points) for points in lines(loss_curves_svg(loss_curves(NET), "MLP", 2))] == [3, 3]
    broken = {"inner": [math.nan, 0.5], "train": [math.inf, 0.4]}
    assert [len(points) for points in lines(loss_curves_svg(broken, "<MLP>"))] == [1, 1]


def test_a_flat_and_a_single_epoch_curve_are_drawn() -> None:
    assert [len(points) for points in lines(loss_curves_svg({"inner": [0.5]}, "flat", 1))] == [1]
