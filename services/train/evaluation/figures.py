"""Figures of an evaluation as PNG: confusion matrix, ROC, calibration and training curves, comparison.

They are 4.4 inches wide with 11-point text, readable at the width of a phone. The colours are Paul Tol's high-contrast
scheme (doi 10.5281/zenodo.3381072), distinguishable with all kinds of colour vision and in greyscale. Only matplotlib's
object-oriented API is used: it has no global state, so threads may draw at the same time, and the same evaluation gives
the same bytes.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shared.domain.records import CLASSES
from shared.modelling.bootstrap import Interval
from shared.modelling.evaluation import Evaluation, FoldHistory, NetworkResult
from shared.modelling.metrics import ModelMetrics
from shared.modelling.network_table import NETWORK_TABLE

BLUE, RED, GREY, INK = "#004488", "#BB5566", "#8A8F98", "#20242B"
CLASS_STYLES = ((BLUE, "-"), ("#DDAA33", "--"), (RED, "-."))
SHADES = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", BLUE])
TEXT, SMALL = 11, 9.5
WIDTH = 4.4


def name(network: str) -> str:
    """Return a network's display name."""
    return NETWORK_TABLE[network].label if network in NETWORK_TABLE else network


def title(result: NetworkResult, synthetic: bool) -> str:
    """Return the subtitle of a figure of a run: 'ResNet-50, paper protocol (leaky), synthetic films'."""
    leaky = " (leaky)" if result.leaky else ""
    return f"{name(result.network)}, {result.protocol} protocol{leaky}{', synthetic films' if synthetic else ''}"


def confusion_matrix(metrics: ModelMetrics, subtitle: str) -> bytes:
    """Draw counts and their share of the true class, which is also the shade."""
    counts = np.array(metrics.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = _figure(f"Confusion matrix\n{subtitle}", height=4.2)
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > 0.5
        axes.text(
            column,
            row,
            f"{count}\n{shares[row, column]:.0%}",
            ha="center",
            va="center",
            size=TEXT + 2,
            color="white" if dark else INK,
        )
    axes.set_xticks(range(3), CLASSES, size=TEXT)
    axes.set_yticks(range(3), CLASSES, size=TEXT, rotation=90, va="center")
    axes.set_xlabel("predicted (share of the true class below the count)", size=SMALL)
    axes.set_ylabel("truth", size=TEXT)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _png(figure)


def roc_curves(metrics: ModelMetrics, subtitle: str) -> bytes:
    """Draw the ROC curve of each class against the rest with its area and 95% band."""
    figure, (axes,) = _figure(f"ROC curves, one class against the rest\n{subtitle}", height=4.6)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="chance (0.50)")
    for label, (colour, style) in zip(CLASSES, CLASS_STYLES, strict=True):
        part = metrics.per_class[label]
        if part.roc is not None and part.auc.value is not None:
            rates = part.roc.false_positive_rate, part.roc.true_positive_rate
            text = f"{label} ({part.auc.value:.2f})"
            axes.plot(*rates, color=colour, linestyle=style, linewidth=2, label=text)
            if part.roc.band:
                rate, low, high = zip(*part.roc.band, strict=True)
                axes.fill_between(rate, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("false positive rate", size=TEXT)
    axes.set_ylabel("true positive rate", size=TEXT)
    axes.legend(loc="lower right", fontsize=SMALL, frameon=False, title="area under the curve", title_fontsize=SMALL)
    return _png(figure)


def calibration_curve(bins: Sequence[tuple[float, float, int]], subtitle: str) -> bytes:
    """Draw accuracy by predicted probability; the area of a dot is proportional to its number of films.

    `bins`: mean confidence, accuracy and films of each.
    """
    figure, (axes,) = _figure(f"Calibration\n{subtitle}", height=4.2)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect calibration")
    films = sum(count for *_, count in bins)
    if bins:
        confidence, accuracy, counts = zip(*bins, strict=True)
        axes.plot(confidence, accuracy, color=BLUE, linewidth=1.2)
        axes.scatter(confidence, accuracy, s=[20 + 400 * count / films for count in counts], color=BLUE, alpha=0.7)
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel("probability of the predicted class", size=TEXT)
    axes.set_ylabel("accuracy", size=TEXT)
    axes.legend(loc="upper left", fontsize=SMALL, frameon=False)
    return _png(figure)


def training_curves(histories: Sequence[FoldHistory], subtitle: str) -> bytes:
    """Draw training and validation loss of every fold; a dot marks the selected epoch."""
    figure, (axes,) = _figure(f"Loss by epoch\n{subtitle}", height=3.6)
    for number, history in enumerate(histories):
        epochs = [record.epoch for record in history.epochs]
        validation = [record.validation_loss for record in history.epochs]
        first = number == 0
        axes.plot(
            epochs,
            [record.train_loss for record in history.epochs],
            color=BLUE,
            linestyle="--",
            linewidth=1.2,
            alpha=0.8,
            label="train" if first else None,
        )
        axes.plot(epochs, validation, color=RED, linewidth=1.6, alpha=0.8, label="validation" if first else None)
        axes.plot(
            history.best_epoch,
            validation[epochs.index(history.best_epoch)],
            "o",
            color=RED,
            markeredgecolor="white",
            markersize=8,
            label="selected epoch" if first else None,
        )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch", size=TEXT)
    folds = len(histories)
    axes.set_ylabel(f"loss ({folds} fold{'s' if folds != 1 else ''})", size=TEXT)
    if folds:
        axes.legend(fontsize=SMALL, frameon=False)
    return _png(figure)


def comparison(evaluation: Evaluation) -> bytes:
    """Draw accuracy and macro AUC of all results with 95% intervals, and those of trivial predictions."""
    results = evaluation.results
    synthetic = "\nsynthetic films" if evaluation.synthetic else ""
    heading = f"Networks compared, with 95% intervals{synthetic}"
    figure, (accuracy, auc) = _figure(heading, height=2.2 + 0.62 * len(results), rows=2)
    commonest, share = evaluation.commonest
    accuracies = [result.metrics.accuracy for result in results]
    _forest(accuracy, results, accuracies, share, f"accuracy (dotted: always predicting {commonest})")
    _forest(auc, results, [result.metrics.macro_auc for result in results], 0.5, "macro AUC (dotted: chance)")
    return _png(figure)


def _forest(
    axes: Axes, results: tuple[NetworkResult, ...], intervals: list[Interval], reference: float, caption: str
) -> None:
    axes.axvline(reference, color=GREY, linestyle=":", linewidth=1.5)
    for row, (result, interval) in enumerate(zip(results, intervals, strict=True)):
        colour = RED if result.leaky else BLUE
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
        if interval.value is not None:
            axes.plot(
                interval.value,
                row,
                marker="D" if result.leaky else "o",
                color="white" if result.leaky else colour,
                markeredgecolor=colour,
                markeredgewidth=2,
                markersize=8,
                clip_on=False,
            )
    labels = [f"{name(result.network)}\n{result.protocol}{', leaky' if result.leaky else ''}" for result in results]
    axes.set_yticks(range(len(results)), labels, size=SMALL)
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel(caption, size=SMALL)
    axes.grid(axis="x", color="#E3E5E8", linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _figure(heading: str, height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), dpi=160, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(heading, size=TEXT - 1, color=INK, weight="bold", linespacing=1.4)
    panels = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for axes in panels:
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL, colors=INK)
    return figure, panels


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
