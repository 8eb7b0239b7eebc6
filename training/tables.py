"""Tiny models over rows of columns, exported by the tools that people export with, for tests.

    python tables.py models/testdata/tables

Each case becomes CASE.onnx and an entry of golden.json: its inputs, and the answers that the library that trained the model
gives to them (LightGBM, XGBoost or scikit-learn; not onnxruntime). Rows are random, with fixed seeds, and mean nothing.
Needs trees/requirements.txt.

An entry of golden.json holds `inputs` and `outputs` by name, and `tolerance`, how far a float may be off. A tensor is
`{"type", "shape", "values"}`, its values flat in row order; null is NaN. A sequence of maps is `{"type", "maps"}`, one map a
row, whose keys are written as strings.
"""

from __future__ import annotations

import argparse
import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import pandas
import xgboost
from numpy.typing import NDArray
from onnxmltools.convert.common.data_types import FloatTensorType as BoostFloats
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

warnings.filterwarnings("ignore")

Floats = NDArray[np.float32]

ROWS, GOLDEN_ROWS = 400, 6
BOOST_OPSET, SKLEARN_OPSET = 15, 17
LARGEST = 20_000
TOLERANCE = 1e-5
LIGHTGBM = {"n_estimators": 8, "num_leaves": 7, "min_child_samples": 10, "verbose": -1, "random_state": 1, "n_jobs": 1}
XGBOOST = {"n_estimators": 8, "max_depth": 3, "random_state": 1, "n_jobs": 1}


@dataclass(frozen=True)
class Case:
    """An exported graph, what to ask it, and what the training library answers."""

    graph: onnx.ModelProto
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, Any]


def random_rows(seed: int, columns: int = 5, missing: float = 0) -> tuple[Floats, Floats]:
    """Features [ROWS, columns], of which a share is NaN, and a value that depends on them [ROWS]."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(ROWS, columns)).astype(np.float32)
    value = rows[:, 0] - 2 * (rows[:, 1] > 0) + rows[:, 2] * rows[:, 3] + random.normal(scale=0.2, size=ROWS)
    rows[random.random(rows.shape) < missing] = np.nan
    return rows, value.astype(np.float32)


def asked(rows: Floats) -> Floats:
    return rows[:GOLDEN_ROWS]


def lightgbm_graph(model: Any, columns: int, **options: Any) -> onnx.ModelProto:
    types = [("input", BoostFloats([None, columns]))]
    return onnxmltools.convert_lightgbm(model, initial_types=types, target_opset=BOOST_OPSET, **options)


def xgboost_graph(model: Any, columns: int) -> onnx.ModelProto:
    return onnxmltools.convert_xgboost(model, initial_types=[("input", BoostFloats([None, columns]))], target_opset=BOOST_OPSET)


def column(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values).reshape(-1, 1)


def maps(probabilities: NDArray[Any], classes: NDArray[Any]) -> list[dict[Any, float]]:
    return [{name.item() if hasattr(name, "item") else name: float(p) for name, p in zip(classes, row)} for row in probabilities]


def lightgbm_regressor() -> Case:
    rows, value = random_rows(1)
    model = lightgbm.LGBMRegressor(**LIGHTGBM).fit(rows, value)
    return Case(lightgbm_graph(model, 5), {"input": asked(rows)}, {"variable": column(model.predict(asked(rows)))})


def lightgbm_missing() -> Case:
    """A fifth of the values is missing, at training and when asked; one row has none at all."""
    rows, value = random_rows(2, missing=0.2)
    model = lightgbm.LGBMRegressor(**LIGHTGBM).fit(rows, value)
    question = asked(rows).copy()
    question[-1] = np.nan
    return Case(lightgbm_graph(model, 5), {"input": question}, {"variable": column(model.predict(question))})


def lightgbm_ranker() -> Case:
    rows, value = random_rows(3)
    relevance = np.clip(np.round(value + 1), 0, 4).astype(int)
    model = lightgbm.LGBMRanker(objective="lambdarank", **LIGHTGBM).fit(rows, relevance, group=[20] * (ROWS // 20))
    # The converter knows rankers by their booster alone.
    return Case(lightgbm_graph(model.booster_, 5), {"input": asked(rows)}, {"variable": column(model.predict(asked(rows)))})


def lightgbm_binary(zipmap: bool) -> Case:
    rows, value = random_rows(4)
    model = lightgbm.LGBMClassifier(**LIGHTGBM).fit(rows, (value > 0).astype(int))
    graph = lightgbm_graph(model, 5) if zipmap else lightgbm_graph(model, 5, zipmap=False)
    probabilities = model.predict_proba(asked(rows))
    answer = maps(probabilities, model.classes_) if zipmap else probabilities.astype(np.float32)
    return Case(graph, {"input": asked(rows)}, {"label": model.predict(asked(rows)).astype(np.int64), "probabilities": answer})


def xgboost_regressor() -> Case:
    rows, value = random_rows(5)
    model = xgboost.XGBRegressor(**XGBOOST).fit(rows, value)
    return Case(xgboost_graph(model, 5), {"input": asked(rows)}, {"variable": column(model.predict(asked(rows)))})


def xgboost_missing() -> Case:
    rows, value = random_rows(6, missing=0.2)
    model = xgboost.XGBRegressor(**XGBOOST).fit(rows, value)
    question = asked(rows).copy()
    question[-1] = np.nan
    return Case(xgboost_graph(model, 5), {"input": question}, {"variable": column(model.predict(question))})


def xgboost_classes() -> Case:
    rows, value = random_rows(7)
    classes = np.digitize(value, [-1.5, 0.5])
    model = xgboost.XGBClassifier(**XGBOOST).fit(rows, classes)
    probabilities = model.predict_proba(asked(rows))
    return Case(
        xgboost_graph(model, 5),
        {"input": asked(rows)},
        {"label": model.predict(asked(rows)).astype(np.int64), "probabilities": probabilities},
    )


def sklearn_columns() -> Case:
    """Columns of several types, each an input of its own; labels are strings. One answer is asked of a colour never seen."""
    random = np.random.default_rng(8)
    table = pandas.DataFrame(
        {
            "colour": random.choice(["red", "green", "blue"], ROWS),
            "size": random.choice(["large", "medium", "small"], ROWS),
            "price": random.gamma(2, 20, ROWS).astype(np.float32),
            "visits": random.integers(0, 30, ROWS),
        }
    )
    wish = 0.05 * table["visits"] - 0.02 * table["price"] + (table["colour"] == "red") + random.normal(scale=0.3, size=ROWS)
    labels = np.array(["leaves", "looks", "orders"])[np.digitize(wish, [-0.3, 0.7])]
    columns = ColumnTransformer(
        [
            ("colour", OneHotEncoder(handle_unknown="ignore"), ["colour"]),
            ("size", OrdinalEncoder(), ["size"]),
            ("numbers", StandardScaler(), ["price", "visits"]),
        ]
    )
    model = Pipeline([("columns", columns), ("classes", LogisticRegression(max_iter=1000))]).fit(table, labels)
    types = [
        ("colour", StringTensorType([None, 1])),
        ("size", StringTensorType([None, 1])),
        ("price", FloatTensorType([None, 1])),
        ("visits", Int64TensorType([None, 1])),
    ]
    question = table.head(GOLDEN_ROWS).copy()
    question.loc[1, "colour"] = "violet"
    inputs = {name: question[[name]].to_numpy() for name in question}
    return Case(
        to_onnx(model, initial_types=types, target_opset=SKLEARN_OPSET),
        {name: values.astype(object if values.dtype.kind in "OU" else values.dtype) for name, values in inputs.items()},
        {
            "output_label": model.predict(question),
            "output_probability": maps(model.predict_proba(question), model.classes_),
        },
    )


def sklearn_boosting() -> Case:
    rows, value = random_rows(9)
    model = GradientBoostingClassifier(n_estimators=8, max_depth=3, random_state=1).fit(rows, (value > 0).astype(int))
    return Case(
        to_onnx(model, initial_types=[("float_input", FloatTensorType([None, 5]))], target_opset=SKLEARN_OPSET),
        {"float_input": asked(rows)},
        {
            "output_label": model.predict(asked(rows)).astype(np.int64),
            "output_probability": maps(model.predict_proba(asked(rows)), model.classes_),
        },
    )


def several_labels(seed: int, labels: int = 3) -> tuple[Floats, NDArray[Any]]:
    """Features [ROWS, 5], and which of the labels each row has [ROWS, labels]."""
    rows, value = random_rows(seed)
    columns = [value > 0, rows[:, 1] + rows[:, 2] > 0.3, rows[:, 4] < 0.2]
    return rows, np.stack(columns[:labels], axis=1).astype(int)


def sklearn_graph(model: Any, **options: Any) -> onnx.ModelProto:
    types = [("float_input", FloatTensorType([None, 5]))]
    return to_onnx(model, initial_types=types, target_opset=SKLEARN_OPSET, options={id(model): options} if options else None)


def sklearn_labels(seed: int, model: Any, zipmap: bool = True) -> Case:
    """Rows may have several labels, or none: the label is a row of bits."""
    rows, labels = several_labels(seed)
    return labelled(model.fit(rows, labels), rows, zipmap)


def sklearn_labels_ties() -> Case:
    """Each row is there twice, and some disagree about the first label: half a chance is none."""
    rows, labels = several_labels(13)
    labels[:, 0] = rows[:, 0] > 0
    others = labels.copy()
    others[:, 0] = 0
    model = OneVsRestClassifier(DecisionTreeClassifier(max_depth=2)).fit(np.concatenate([rows, rows]), np.concatenate([labels, others]))
    return labelled(model, rows, zipmap=True)


def labelled(model: Any, rows: Floats, zipmap: bool) -> Case:
    return Case(
        sklearn_graph(model) if zipmap else sklearn_graph(model, zipmap=False),
        {"float_input": asked(rows)},
        {
            "output_label" if zipmap else "label": model.predict(asked(rows)).astype(np.int64),
            "output_probability" if zipmap else "probabilities": model.predict_proba(asked(rows)).astype(np.float32),
        },
    )


CASES: dict[str, Callable[[], Case]] = {
    "lightgbm-regressor": lightgbm_regressor,
    "lightgbm-missing": lightgbm_missing,
    "lightgbm-ranker": lightgbm_ranker,
    "lightgbm-binary": lambda: lightgbm_binary(zipmap=True),
    "lightgbm-binary-tensor": lambda: lightgbm_binary(zipmap=False),
    "xgboost-regressor": xgboost_regressor,
    "xgboost-missing": xgboost_missing,
    "xgboost-classes": xgboost_classes,
    "sklearn-columns": sklearn_columns,
    "sklearn-boosting": sklearn_boosting,
    "sklearn-labels": lambda: sklearn_labels(10, OneVsRestClassifier(LogisticRegression())),
    "sklearn-labels-matrix": lambda: sklearn_labels(11, OneVsRestClassifier(LogisticRegression()), zipmap=False),
    # The file states the shape of one label.
    "sklearn-labels-network": lambda: sklearn_labels(12, MLPClassifier((4,), max_iter=300, random_state=1)),
    "sklearn-labels-ties": sklearn_labels_ties,
}


def tensor(values: NDArray[Any]) -> dict[str, Any]:
    """Floats are written as float32 has them."""
    kinds = {"f": "float32", "i": "int64", "O": "string", "U": "string", "T": "string"}
    kind = kinds[values.dtype.kind]
    flat = values.ravel().tolist()
    if kind == "float32":
        flat = [None if math.isnan(value) else float(str(np.float32(value))) for value in flat]
    return {"type": kind, "shape": list(values.shape), "values": flat}


def written(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, list):
        return tensor(np.asarray(answer))
    key = "string" if isinstance(next(iter(answer[0])), str) else "int64"
    rows = [{str(name): round(value, 7) for name, value in row.items()} for row in answer]
    return {"type": f"sequence(map({key},float32))", "maps": rows}


def check(name: str, case: Case, path: Path) -> float:
    """onnxruntime must agree with the library; returns the largest difference of a float."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = dict(zip([output.name for output in session.get_outputs()], session.run(None, case.inputs)))
    if got.keys() != case.outputs.keys():
        raise SystemExit(f"{name}: outputs {sorted(got)}, want {sorted(case.outputs)}")
    largest = 0.0
    for output, want in case.outputs.items():
        if isinstance(want, list):
            pairs = [(row[key], value) for row, wanted in zip(got[output], want, strict=True) for key, value in wanted.items()]
        elif isinstance(got[output], list):
            # A ZipMap of several labels has the first row for all, in this version of onnxruntime.
            pairs = [(got[output][0][key], value) for key, value in enumerate(want[0])]
        elif np.asarray(want).dtype.kind == "f":
            if got[output].shape != want.shape:
                raise SystemExit(f"{name}: {output} is {got[output].shape}, want {want.shape}")
            pairs = list(zip(got[output].ravel(), want.ravel()))
        else:
            pairs = []
            if got[output].tolist() != np.asarray(want).tolist():
                raise SystemExit(f"{name}: {output} is {got[output]}, want {want}")
        largest = max([largest] + [abs(float(a) - float(b)) for a, b in pairs])
    if largest > TOLERANCE:
        raise SystemExit(f"{name}: off by {largest:.2g}")
    return largest


def settle(graph: onnx.ModelProto, name: str) -> None:
    """Converters give graphs a random name and the operator sets any order, which would make the files of each run differ."""
    graph.graph.name = name
    graph.opset_import.sort(key=lambda operators: operators.domain)


def odd(folder: Path) -> dict[str, onnx.ModelProto]:
    """Graphs that are not what they seem: rows that move each other, one row alone, and names that mean something elsewhere."""

    def graph(nodes: list[onnx.NodeProto], rows: int | None) -> onnx.ModelProto:
        floats = onnx.TensorProto.FLOAT
        weights = onnx.numpy_helper.from_array(np.array([[0.5], [-0.25]], np.float32), "weights")
        return onnx.helper.make_model(
            onnx.helper.make_graph(
                nodes,
                "odd",
                [onnx.helper.make_tensor_value_info("x", floats, [rows, 2])],
                [onnx.helper.make_tensor_value_info("score", floats, [rows, 1])],
                [weights],
            ),
            opset_imports=[onnx.helper.make_opsetid("", 17)],
            ir_version=8,
        )

    def renamed(old: str, new: str) -> onnx.ModelProto:
        model = onnx.load(str(folder / "sklearn-columns.onnx"))
        for node in model.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        for info in [*model.graph.input, *model.graph.output]:
            info.name = new if info.name == old else info.name
        return model

    rows, labels = several_labels(14, labels=2)
    product = onnx.helper.make_node("MatMul", ["x", "weights"], ["product"])
    return {
        "odd-listwise": graph([product, onnx.helper.make_node("Softmax", ["product"], ["score"], axis=0)], None),
        "odd-one-row": graph([onnx.helper.make_node("MatMul", ["x", "weights"], ["score"])], 1),
        "odd-user": renamed("colour", "user"),
        "odd-chances": renamed("output_probability", "chances"),
        # These have a matrix of probabilities for each label, and one of twice as many as there are labels.
        "odd-matrices": sklearn_graph(MultiOutputClassifier(LogisticRegression()).fit(rows, labels)),
        "odd-twice": sklearn_graph(MLPClassifier((2,), max_iter=50, random_state=1).fit(rows, labels), zipmap=False),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    golden = {}
    for name, make in CASES.items():
        case = make()
        settle(case.graph, name)
        path = folder / f"{name}.onnx"
        onnx.save(case.graph, str(path))
        if path.stat().st_size > LARGEST:
            raise SystemExit(f"{name}: {path.stat().st_size} bytes, want at most {LARGEST}")
        largest = check(name, case, path)
        print(f"{name}: {path.stat().st_size} bytes, off by {largest:.2g}")
        golden[name] = {
            "tolerance": TOLERANCE,
            "inputs": {input_name: tensor(values) for input_name, values in case.inputs.items()},
            "outputs": {output: written(answer) for output, answer in case.outputs.items()},
        }
    entries = (f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in golden.items())
    (folder / "golden.json").write_text("{\n" + ",\n".join(entries) + "\n}\n")
    for name, model in odd(folder).items():
        onnx.save(model, str(folder / f"{name}.onnx"))


if __name__ == "__main__":
    main()
