"""The scores of one split, with every choice that they depend on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from wsol.evaluation.threshold_rules import ORACLE, UNLABELLED, VAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eval.metrics.classes import ClassResult
    from eval.metrics.localization import LocalizationResult
    from eval.metrics.pixels import PixelResult
    from eval.protocols import ClassMap, Protocol
    from wsol.evaluation.any_step import AnyStepResult


@dataclass(frozen=True)
class Evaluation:
    """The scores of one split, and under which choices they were taken.

    Args:
        protocol: how boxes were made and compared
        split: its name
        image: what the maps show of an image, `squash` or `crop`
        rule: how the threshold was set: `oracle` (the best on the scored split itself), `val`
            (the best on the val split) or `fixed`
        class_map: whose map made the boxes, the true class's or the predicted one's
        result: the scores
        unreadable: images or maps that could not be read, with the reason; they count as missed
        unreadable_chosen_on: the same of the split that the threshold was chosen on
        subject: what was scored, in a line for people
        coco: COCO's AP and AR by name, where they were asked for
        overlaps: a line for each two sets of images that share some though one was trained on,
            chosen by or scored, where that was allowed; None where the images that weights of
            ours were trained on are not known
        origin: hashes of weights and images, the same on every machine, and the precision and
            memory layout that the network computed in; empty for maps on disk
        steps: scores by the any-step rule, where they were asked for
    """

    protocol: Protocol
    split: str
    image: str
    rule: str | None
    class_map: ClassMap
    result: LocalizationResult | PixelResult | ClassResult
    unreadable: tuple[str, ...] = ()
    unreadable_chosen_on: tuple[str, ...] = ()
    subject: str = ""
    coco: dict[str, float] | None = None
    overlaps: tuple[str, ...] | None = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    steps: AnyStepResult | None = None

    def __repr__(self) -> str:
        found = {name: getattr(self.result, name, None) for name in _SHOWN}
        scores = "".join(f", {k}={value:.1f}" for k, value in found.items() if value is not None)
        level = getattr(self.result, "threshold", None)
        threshold = "" if level is None else f", threshold={level:.3g}"
        return (
            f"Evaluation(subject={self.subject!r}, split={self.split!r}, "
            f"images={self.result.images}, protocol={self.protocol.name!r}, "
            f"rule={self.rule!r}{threshold}{scores})"
        )

    def _repr_html_(self) -> str:
        from wsol.evaluation.told import tell_evaluation, tell_steps

        return "".join(each.to_html() for each in [tell_evaluation(self), *tell_steps(self)])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON output: scores in percent, null for what was not asked or not known."""
        scores = {**dict.fromkeys(_KEYS), **self.result.to_dict()}
        value = getattr(self.result, "threshold", None)
        where = {ORACLE: self.split, UNLABELLED: self.split, VAL: "val"}
        chosen_on = where.get(self.rule or "")
        return {
            "schema": 1,
            "protocol": self.protocol.name,
            "split": self.split,
            "images": scores.pop("images"),
            "interval": self.protocol.interval,
            **scores,
            "threshold": {"rule": self.rule, "value": value, "chosen_on": chosen_on},
            "class_map": self.class_map,
            "image": self.image,
            "choices": asdict(self.protocol),
            "unreadable": list(self.unreadable),
            "unreadable_chosen_on": list(self.unreadable_chosen_on),
            "overlaps": None if self.overlaps is None else list(self.overlaps),
            **dict.fromkeys(ORIGIN),
            **self.origin,
            **({} if self.steps is None else {"steps_rule": self.steps.to_dict()}),
        }


_SHOWN = ("max_box_acc_v2", "gt_known_loc", "top1_loc", "top1_cls", "pxap")  # in a line
ORIGIN = (
    "weights_sha256", "images_sha256", "contents_sha256", "precision", "channels_last"
)  # fmt: skip
_KEYS = (
    "images", "max_box_acc", "max_box_acc_threshold", "max_box_acc_v2", "box_acc", "curves", "pxap",
    "peak_pixel_iou", "gt_known_loc", "top1_loc", "top5_loc", "top1_cls", "top5_cls", "intervals95",
    "errors", "several_true_boxes", "without_true_box", "without_foreground", "baselines",
)  # fmt: skip
