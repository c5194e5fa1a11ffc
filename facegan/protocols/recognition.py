"""Recognition from codes (TER-GAN 4.4, 4.5): a shallow classifier on f(e), probes of what a code still tells, t-SNE.

Everything is worked out for TER-GAN's encoder and, beside it, for the same encoder as stage 1 left it: the paper's
CNN baseline, trained on the same people.
"""

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix, silhouette_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

REGULARISATION = 1.0
"""C of the classifier, scikit-learn's own value: codes of people whom the encoder has learnt are all told rightly, by
whatever C, and cannot choose one (docs/tergan.md T17)."""

PROBES = 5
"""Random halves of each person's pictures that the probe for the person is averaged over."""

OURS, BASELINE, AUS = "ours", "baseline", "aus"
Codes = dict[str, np.ndarray]
"""``ours`` and ``baseline`` (N, 30): f(e); ``identity`` (N, 50): f(i); ``expression`` (N,) and ``person`` (N,).

``aus`` (N, 17), where all pictures have AUs beside them: a code of the expression alone, and no network's. People
have their own ways of smiling, so even this one names some of them.
"""


@torch.inference_mode()
def encode(module: Any, part: Any, batch_size: int = 64) -> Codes:
    """The codes of all pictures of a split, without augmentation; persons by their name's place in ``part``."""
    codes: dict[str, list[np.ndarray]] = {OURS: [], BASELINE: [], "identity": []}
    for start in range(0, len(part), batch_size):
        images = part.batch(range(start, min(start + batch_size, len(part))))["image"].to(module.device)
        codes[OURS].append(module.expression_codes(images).float().cpu().numpy())
        codes[BASELINE].append(module.expression_codes(images, baseline=True).float().cpu().numpy())
        codes["identity"].append(module.identity_codes(images).float().cpu().numpy())
    stacked = {name: np.concatenate(values) for name, values in codes.items()}
    if np.isfinite(part.au).all():
        stacked[AUS] = part.au
    return stacked | {"expression": np.asarray(part.expression), "person": np.asarray(part.identity)}


def _of_expressions(train: Codes, test: Codes) -> list[str]:
    """The codes that should tell the expression and not the person."""
    return [name for name in (OURS, BASELINE, AUS) if name in train and name in test]


def recognised(train: Codes, test: Codes) -> dict[str, np.ndarray]:
    """The expression (N,) that the shallow classifier gives each test picture, from each code of expressions."""
    return {
        name: _classifier(train[name], train["expression"]).predict(test[name])
        for name in _of_expressions(train, test)
    }


def measure(train: Codes, test: Codes, given: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the codes of one fold are worth; people of ``test`` are none of ``train``.

    Args:
        given: what ``recognised`` says of them.

    Returns:
        For ``ours``, ``baseline`` and, where there are any, ``aus``: ``accuracy`` and ``balanced`` (mean over the
        classes) of the shallow classifier on the test people, ``confusion`` (K, K) counts by true and given class,
        ``identity_probe``: accuracy of a linear probe for the person on that code (learnt on random halves of each
        training person's pictures, tested on the others), ``identity_across``: the same, learnt on half of the
        expressions and tested on the others, ``silhouette_expression`` and ``silhouette_identity`` of the code of the
        test people (-1..1). Beside:
        ``identity_code``: accuracy on f(i) of a probe for the expression (test people) and for the person;
        ``chance_identity``, ``classes`` (K,) and ``pictures``.
    """
    classes = np.unique(np.concatenate([train["expression"], test["expression"]]))
    result: dict[str, Any] = {
        "classes": classes, "pictures": len(test["expression"]), "people": len(np.unique(test["person"])),
        "chance_identity": 1 / len(np.unique(train["person"])),
    }  # fmt: skip
    for name in _of_expressions(train, test):
        confusion = confusion_matrix(test["expression"], given[name], labels=classes)
        shown = confusion.sum(1)
        result[name] = {
            "accuracy": np.trace(confusion) / confusion.sum(),
            "balanced": (np.diag(confusion)[shown > 0] / shown[shown > 0]).mean(),
            "confusion": confusion,
            "identity_probe": identity_probe(train[name], train["person"]),
            "identity_across": identity_across(train[name], train["person"], train["expression"]),
            "silhouette_expression": _silhouette(test[name], test["expression"]),
            "silhouette_identity": _silhouette(test[name], test["person"]),
        }
    probe = _classifier(train["identity"], train["expression"])
    result["identity_code"] = {
        "expression_probe": float(np.mean(probe.predict(test["identity"]) == test["expression"])),
        "identity_probe": identity_probe(train["identity"], train["person"]),
    }
    return result


def _classifier(codes: np.ndarray, labels: np.ndarray) -> Any:
    """Multinomial logistic regression on standardised codes."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=2000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(codes, labels)


def identity_probe(codes: np.ndarray, people: np.ndarray) -> float:
    """How often a linear probe names the person: learnt on a random half of each one's pictures, tested on the rest.

    Mean over ``PROBES`` such halves: drawn at random, for between every other frame of a sequence there is a
    neighbour that the probe has learnt.
    """
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(PROBES):
        shuffled = rng.permutation(len(people))
        order = shuffled[np.argsort(people[shuffled], kind="stable")]
        _, starts, counts = np.unique(people[order], return_index=True, return_counts=True)
        place = np.arange(len(order)) - np.repeat(starts, counts)
        first = place < np.repeat((counts + 1) // 2, counts)
        shares.append(_named(codes, people, order[first], order[~first]))
    return float(np.mean(shares))


def identity_across(codes: np.ndarray, people: np.ndarray, expressions: np.ndarray) -> float:
    """How often a linear probe names the person in expressions that it has not learnt them in; mean of both ways.

    Frames of one sequence are nearly one picture: a probe that has learnt some of them knows the sequence in the
    others. This one must know the person.
    """
    shown = np.unique(expressions)
    first = np.isin(expressions, shown[::2])
    ways = [(np.flatnonzero(first), np.flatnonzero(~first)), (np.flatnonzero(~first), np.flatnonzero(first))]
    return float(np.mean([_named(codes, people, learn, held) for learn, held in ways]))


def _named(codes: np.ndarray, people: np.ndarray, learn: np.ndarray, held: np.ndarray) -> float:
    """Share of the rows ``held`` whose person a linear probe names that was fitted to the rows ``learn``."""
    if not len(held) or len(np.unique(people[learn])) < 2:
        return float("nan")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # people, few pictures each
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        return float(np.mean(model.fit(codes[learn], people[learn]).predict(codes[held]) == people[held]))


def _silhouette(codes: np.ndarray, labels: np.ndarray) -> float:
    groups = len(np.unique(labels))
    return float(silhouette_score(codes, labels)) if 1 < groups < len(labels) else float("nan")


def embedding(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE (N, 2) of codes (Fig. 5)."""
    model = TSNE(perplexity=min(30, (len(codes) - 1) / 3), init="pca", random_state=seed)
    return model.fit_transform(StandardScaler().fit_transform(codes))
