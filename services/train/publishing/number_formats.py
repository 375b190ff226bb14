"""The number formats in which a version may be served: those that judge the validation films as the network does.

A faster format is offered if its macro AUC is within 0.005 of that in single precision, at least 99% of the decisions
at the operating points are equal, and the peak of at least 99% of the heat maps lies within a cell. Each library that
will serve the format has to pass; the figures are those of the worst one.

The golden answers of a format are those that were given here. Another CPU rounds in another way, but not by more than
the format itself does: both lie within its difference from single precision, so twice that is the tolerance.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from services.train.data.examples import Examples
from services.train.fitting.scores import macro_auc
from shared.cpu import has_bfloat16
from shared.domain.arrays import Float32Array, Float64Array, Int64Array
from shared.modelling.activation_map import activation_map
from shared.modelling.calibration import MIN_FILMS, OperatingPoint, abnormal_score, calibrate, softmax, verdict
from shared.modelling.card import Bfloat16Report, FormatReport, Int8Report
from shared.modelling.engines.interface import Engine, EngineUnavailable, Graph, NetworkOutput
from shared.modelling.engines.onnx import OnnxEngine
from shared.modelling.engines.openvino import OpenVinoEngine
from shared.modelling.golden import golden_answers, golden_difference, golden_inputs

MOST_AUC_APART = 0.005
LEAST_EQUAL = 0.99
LEAST_TOLERANCE, MOST_TOLERANCE = 0.05, 0.5
"""Of golden answers: sums of 8-bit products differ by the first between CPUs; beyond the second they tell nothing."""


@dataclass(frozen=True)
class Agreement:
    """An engine's agreement with the network in single precision on films.

    Attributes:
        auc: macro, of the engine; None where a class is missing.
        auc_apart: difference from that of the network; infinite where there is none.
        decisions_equal: part of the decisions at all operating points that are the same.
        peaks_near: part of the heat maps whose peak is within a cell; None: no maps.
    """

    auc: float | None
    auc_apart: float
    decisions_equal: float
    peaks_near: float | None


@dataclass(frozen=True, eq=False)
class Judge:
    """The network in single precision, and what it makes of the validation films.

    Attributes:
        labels: of the films, index CLASSES.
        films: float32 N x 1 x S x S.
        reference: the network's output for them.
        head: weights of the last layer, float32 3 x C; None if the network has no heat map.
    """

    labels: Int64Array
    films: Float32Array
    reference: NetworkOutput
    head: Float32Array | None
    temperature: float
    points: tuple[OperatingPoint, ...]

    @classmethod
    def of(
        cls,
        graph: bytes,
        validation: Examples,
        head: Float32Array | None,
        temperature: float,
        points: tuple[OperatingPoint, ...],
    ) -> "Judge":
        """Run a graph on the validation films by ONNX Runtime."""
        films = np.asarray(validation.inputs, np.float32)
        return cls(validation.labels, films, outputs_of(OnnxEngine(graph, 1), films), head, temperature, points)

    def bfloat16(self, graph: bytes, golden: bytes) -> tuple[Bfloat16Report | None, bytes]:
        """Judge the network in bfloat16; None where this CPU can't compute in it. With golden answers in bfloat16."""
        try:
            engine = OpenVinoEngine(Graph.of(graph), 1, "bfloat16")
        except EngineUnavailable:
            return None, b""
        report, auc, answers = self._report([engine], golden)
        return Bfloat16Report(**dict(report), auc_bfloat16=auc, emulated=not has_bfloat16()), answers

    def int8(self, graph: bytes, golden: bytes) -> tuple[Int8Report, bytes]:
        """Judge the graph in 8-bit integers, in each library that can run it here. With its golden answers."""
        engines: list[Engine] = [OnnxEngine(graph, 1)]
        with suppress(EngineUnavailable):  # golden answers tell whether another CPU can
            engines.append(OpenVinoEngine(Graph.of(graph), 1, "int8"))
        report, auc, answers = self._report(engines, golden)
        return Int8Report(**dict(report), auc_int8=auc), answers

    def agreement(self, engine: Engine) -> Agreement:
        """Run the films on an engine, and compare what comes with the network in single precision."""
        return self.compared(outputs_of(engine, self.films))

    def compared(self, output: NetworkOutput) -> Agreement:
        """Compare an output for the films with that of the network in single precision."""
        reference, other = (macro_auc(self.labels, self._probabilities(each)) for each in (self.reference, output))
        return Agreement(
            auc=other,
            auc_apart=np.inf if reference is None or other is None else abs(reference - other),
            decisions_equal=self._decisions_equal(output),
            peaks_near=None if self.head is None else self._peaks_near(output, self.head),
        )

    def _report(self, engines: Sequence[Engine], golden: bytes) -> tuple[FormatReport, float | None, bytes]:
        """Return the figures of the worst engine, its AUC, and the golden answers of the first one."""
        seen = [self.agreement(engine) for engine in engines]
        equal = min(each.decisions_equal for each in seen)
        peaks = min((each.peaks_near for each in seen if each.peaks_near is not None), default=None)
        worst = max(seen, key=lambda each: each.auc_apart)
        tolerance = max(
            2 * golden_difference(golden, lambda films, by=by: outputs_of(by, films).logits) for by in engines
        )
        report = FormatReport(
            films=len(self.labels),
            auc=macro_auc(self.labels, self._probabilities(self.reference)),
            decisions_equal=equal,
            peaks_near=peaks,
            tolerance=max(LEAST_TOLERANCE, tolerance),
            offered=worst.auc_apart <= MOST_AUC_APART
            and equal >= LEAST_EQUAL
            and (peaks is None or peaks >= LEAST_EQUAL)
            and tolerance <= MOST_TOLERANCE
            and len(self.labels) >= MIN_FILMS,
        )
        return report, worst.auc, _golden_like(golden, engines[0])

    def _probabilities(self, output: NetworkOutput) -> Float64Array:
        return calibrate(softmax(output.logits), self.temperature)

    def _decisions_equal(self, output: NetworkOutput) -> float:
        ours, theirs = (abnormal_score(self._probabilities(each)) for each in (self.reference, output))
        return float(
            np.mean(
                [
                    verdict(one, point.threshold, point.uncertain) == verdict(other, point.threshold, point.uncertain)
                    for point in self.points
                    for one, other in zip(ours, theirs, strict=True)
                ]
            )
        )

    def _peaks_near(self, output: NetworkOutput, head: Float32Array) -> float:
        """Return the part of the films whose map of their class peaks within a cell in both directions."""
        near = []
        for film, label in enumerate(self.reference.logits.argmax(axis=1).tolist()):
            ours, theirs = (
                np.unravel_index(heat.argmax(), heat.shape)
                for heat in (activation_map(each.features[film], head, label) for each in (self.reference, output))
            )
            near.append(max(abs(int(a) - int(b)) for a, b in zip(ours, theirs, strict=True)) <= 1)
        return float(np.mean(near))


def outputs_of(engine: Engine, films: Float32Array) -> NetworkOutput:
    """Run films one by one, as they are served."""
    each = [engine.run(films[number : number + 1]) for number in range(len(films))]
    return NetworkOutput(*map(np.concatenate, zip(*each, strict=True)))


def _golden_like(golden: bytes, engine: Engine) -> bytes:
    """Return golden answers to the same inputs by an engine."""
    known = json.loads(golden)
    size, seed = known["size"], known["seed"]
    return golden_answers(size, seed, outputs_of(engine, golden_inputs(size, seed)).logits)
