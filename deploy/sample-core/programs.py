"""Programs of the jobs: each receives numbers and paths as arguments and prints its progress as JSON lines.

They are deterministic: equal arguments give equal results.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import threading
import time

FEATURES = ("months", "calls", "late_payments")


def emit(event: str, **members: object) -> None:
    print(json.dumps({"event": event, **members}), flush=True)


def end_with_parent() -> None:
    # The core holds the other end of standard input: when the core ends in any way, this process ends too.
    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        os._exit(70)

    threading.Thread(target=wait, daemon=True).start()


def customers(rows: int, seed: int) -> list[tuple[tuple[float, ...], int]]:
    """Return invented customers, with features between 0 and 1, and whether each of them left."""
    generator = random.Random(seed)
    out = []
    for _ in range(rows):
        months, calls, late = generator.random(), generator.random(), generator.random()
        leaves = 1 / (1 + math.exp(-(4 * calls + 3 * late - 5 * months - 0.5)))
        out.append(((months, calls, late), int(generator.random() < leaves)))
    return out


def probability(weights: list[float], values: tuple[float, ...]) -> float:
    return 1 / (
        1 + math.exp(-(weights[0] + sum(weight * value for weight, value in zip(weights[1:], values, strict=True))))
    )


def accuracy(weights: list[float], data: list[tuple[tuple[float, ...], int]]) -> float:
    return sum((probability(weights, values) >= 0.5) == bool(left) for values, left in data) / len(data)


def dataset(options: argparse.Namespace) -> dict[str, object]:
    data = customers(options.rows, options.seed)
    step = max(1, options.rows // 20)
    for done in range(0, options.rows, step):
        emit("progress", fraction=done / options.rows, message=f"row {done} of {options.rows}")
        time.sleep(options.pause)
    left = sum(label for _, label in data)
    emit("log", line=f"{options.rows} rows, {left} of these customers left")
    return {
        "rows": options.rows,
        "left": left,
        "sample": [[*(round(value, 3) for value in values), label] for values, label in data[:5]],
    }


def training(options: argparse.Namespace) -> dict[str, object]:
    """Logistic regression by gradient descent; a fifth of the rows is kept for the test."""
    data = customers(options.rows, options.seed)
    cut = max(1, len(data) // 5)
    test, learn = data[:cut], data[cut:]
    weights = [0.0] * (len(FEATURES) + 1)
    loss = math.log(2)
    for epoch in range(1, options.epochs + 1):
        slope, loss = [0.0] * len(weights), 0.0
        for values, left in learn:
            guess = probability(weights, values)
            loss -= math.log(max(guess if left else 1 - guess, 1e-12)) / len(learn)
            for index, value in enumerate((1.0, *values)):
                slope[index] += (guess - left) * value / len(learn)
        weights = [weight - options.rate * gradient for weight, gradient in zip(weights, slope, strict=True)]
        emit("progress", fraction=epoch / options.epochs, message=f"epoch {epoch} of {options.epochs}, loss {loss:.4f}")
        time.sleep(options.pause)
    figures = {"loss": round(loss, 4), "accuracy": round(accuracy(weights, test), 4)}
    emit("log", line=f"{len(learn)} rows to learn from, {len(test)} to test with: {json.dumps(figures)}")
    return {**figures, "epochs": options.epochs, "weights": dict(zip(("constant", *FEATURES), weights, strict=True))}


def prediction(options: argparse.Namespace) -> dict[str, object]:
    with open(options.model, encoding="utf-8") as file:
        weights = list(json.load(file)["weights"].values())
    data = customers(options.rows, options.seed + 1)
    step = max(1, len(data) // 20)
    likely = 0
    for done, (values, _) in enumerate(data):
        likely += probability(weights, values) >= 0.5
        if done % step == 0:
            emit("progress", fraction=done / len(data), message=f"customer {done} of {len(data)}")
            time.sleep(options.pause)
    return {"customers": len(data), "likely to leave": likely, "accuracy": round(accuracy(weights, data), 4)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", choices=("dataset", "training", "prediction"))
    for name in ("rows", "seed", "epochs"):
        parser.add_argument(f"--{name}", type=int, default=0)
    for name in ("rate", "pause"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--model")
    options = parser.parse_args()
    end_with_parent()
    result = {"dataset": dataset, "training": training, "prediction": prediction}[options.program](options)
    emit("result", result=result)


if __name__ == "__main__":
    main()
