from __future__ import annotations

import numpy as np
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.linear_probe import draw_patients, linear_probe
from medtrim.evaluation.prompts import contrasts_of, disease_prompts, load_prompts
from medtrim.evaluation.reference import make_reference
from medtrim.evaluation.zero_shot import prompt_scores, zero_shot
from medtrim.types import DISEASES, NO_FINDING, Annotation, Finding

AXES = {
    "effusion": 0,
    "left": 1,
    "right": 2,
    "small": 3,
    "mild": 3,
    "large": 4,
    "severe": 4,
    "no ": 5,
    "without": 5,
}
PHRASES = ("effusion", "left", "right", "small", "mild", "large", "severe", "no ", "without")


def encode(texts) -> np.ndarray:
    """A text side that understands a few words."""
    vectors = np.zeros((len(texts), 6), np.float32)
    for row, text in enumerate(texts):
        for word, axis in AXES.items():
            if word in text:
                vectors[row, axis] += 1
        vectors[row] += 0.01
    return vectors


@pytest.fixture
def cases():
    rng = np.random.default_rng(0)
    annotations, image = [], np.zeros((80, 6), np.float32)
    for i in range(80):
        findings = ()
        if i % 2:
            side, size = ("left", "right")[i % 4 // 2], ("small", "large")[i % 8 // 4]
            findings = (Finding("pleural effusion", "present", (size,), (side,)),)
            image[i, [0, AXES[side], AXES[size]]] = 1
        else:
            image[i, 5] = 1
        annotations.append(Annotation(f"s{i:02d}", findings))
    image += rng.normal(scale=0.05, size=image.shape).astype(np.float32)
    return annotations, image, PatientBootstrap([f"p{i}" for i in range(80)], resamples=50)


def values(figures):
    return {(f.task, f.metric, f.label): f for f in figures}


def test_zero_shot_reads_disease_side_and_severity(cases):
    annotations, image, bootstrap = cases
    reference = make_reference(annotations)
    figures = values(zero_shot(image, reference, bootstrap, encode, load_prompts()))
    effusion = figures["zero-shot", "AUROC", "pleural effusion"]
    assert effusion.value == 1.0
    assert (effusion.low, effusion.high, effusion.n) == (1.0, 1.0, 80)
    assert figures["zero-shot side", "AUROC", "pleural effusion: right or left"].value == 1.0
    assert figures["zero-shot side", "AUROC", "pleural effusion: right or left"].n == 40
    assert figures["zero-shot severity", "AUROC", "macro"].value == 1.0
    # Nothing else has five studies of each kind; a normal study is one without effusion here.
    assert {key[2] for key in figures if key[0] == "zero-shot"} == {"pleural effusion", NO_FINDING, "macro"}
    mirrored = image[:, [0, 2, 1, 3, 4, 5]]
    figures = values(zero_shot(mirrored, reference, bootstrap, encode, load_prompts()))
    assert figures["zero-shot side", "AUROC", "macro"].value == 0.0


def test_f1_threshold_comes_from_the_tuning_studies(cases):
    annotations, image, bootstrap = cases
    reference = make_reference(annotations)
    shifted = image + np.array([0, 0, 0, 0, 0, 3], np.float32)
    untuned = values(zero_shot(shifted, reference, bootstrap, encode, load_prompts()))
    tuned = values(
        zero_shot(
            shifted, reference, bootstrap, encode, load_prompts(), tuning_image=shifted[:20],
            tuning=make_reference(annotations[:20]),
        )
    )  # fmt: skip
    key = ("zero-shot", "F1", "pleural effusion")
    assert untuned[key].value < 0.5
    assert tuned[key].value > 0.9


def test_prompt_ensembles_by_hand():
    config = load_prompts()
    pair = disease_prompts(config, "cardiomegaly")
    assert "there is no enlarged heart" in pair.negative
    image = np.array([[1.0, 0, 0, 0, 0, 0.5]], np.float32)
    small = type(pair)(("effusion",), ("no effusion",))

    def unit(v):
        return v / np.linalg.norm(v)

    expected = unit(image[0]) @ (unit(encode(["effusion"])[0]) - unit(encode(["no effusion"])[0]))
    assert prompt_scores(image, small, encode)[0] == pytest.approx(expected, abs=1e-6)
    sides = next(c for c in contrasts_of(config, "pleural effusion") if c.axis == "side")
    assert "right pleural effusion" in sides.prompts.positive
    assert "left pleural effusion" in sides.prompts.negative
    assert disease_prompts(config, "granuloma").positive[0] == "granuloma"


def test_every_disease_has_a_name_and_levels_that_exist():
    from medtrim.types import DEFAULT_CONTRADICTIONS

    config = load_prompts()
    assert set(config.names) == set(DISEASES)
    for axis, ends in config.contrasts.items():
        assert {end.level for end in ends.values()} <= set(DEFAULT_CONTRADICTIONS.axes[axis].values())


def test_broken_prompt_files_are_config_errors(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("positive: ['{name}']\n")
    with pytest.raises(ConfigError, match="negative"):
        load_prompts(path)
    text = "positive: [a]\nnegative: [b]\nnames: {}\nnormal: {positive: [a], negative: [b]}\n"
    path.write_text(text + "contrasts: {side: {left: {level: 0, prompts: [a]}}}\n")
    with pytest.raises(ConfigError, match="1 ends"):
        load_prompts(path)
    path.write_text(text + "contrasts: {}\nshade: 1\n")
    with pytest.raises(ConfigError, match="shade"):
        load_prompts(path)


def test_probe_learns_from_training_studies_alone(cases):
    annotations, image, bootstrap = cases
    reference = make_reference(annotations)
    train = make_reference([Annotation(f"t{a.study_id}", a.findings) for a in annotations])
    patients = [f"t{i}" for i in range(80)]
    arguments = (train, patients, image, reference, bootstrap)
    figures = values(linear_probe(image, *arguments, fractions=(0.25, 1.0), repeats=2))
    assert figures["probe 100%", "AUROC", "pleural effusion"].value == 1.0
    assert figures["probe 25%", "AUROC", "macro"].value > 0.95
    rng = np.random.default_rng(0)
    noise = rng.permutation(image)
    blind = values(linear_probe(noise, *arguments, fractions=(1.0,)))
    assert abs(blind["probe 100%", "AUROC", "pleural effusion"].value - 0.5) < 0.35


def test_probe_with_one_class_in_the_draw_is_uninformed_not_absent(cases):
    annotations, image, bootstrap = cases
    train = make_reference([Annotation(f"t{i:02d}") for i in range(80)])
    figures = values(
        linear_probe(
            image,
            train,
            [f"t{i}" for i in range(80)],
            image,
            make_reference(annotations),
            bootstrap,
            fractions=(1.0,),
        )
    )
    assert figures["probe 100%", "AUROC", "pleural effusion"].value == 0.5
    assert figures["probe 100%", "F1", "pleural effusion"].value == 0.0


def test_probe_refusals(cases):
    annotations, image, bootstrap = cases
    reference = make_reference(annotations)
    with pytest.raises(TableError, match="no training"):
        linear_probe(image[:0], make_reference([]), [], image, reference, bootstrap)
    with pytest.raises(ConfigError, match="fractions"):
        linear_probe(image, reference, ["p"] * 80, image, reference, bootstrap, fractions=(0.0,))


def test_drawn_patients_come_whole():
    patients = [f"p{i // 4}" for i in range(100)]
    rows = draw_patients(patients, fraction=0.1, rng=np.random.default_rng(0))
    assert len(rows) == 12  # three whole patients, the first number not below ten studies
    assert len({patients[r] for r in rows}) == 3
    assert len(draw_patients(patients, fraction=1.0, rng=np.random.default_rng(0))) == 100
    assert len(draw_patients(patients, fraction=1e-6, rng=np.random.default_rng(0))) == 4
    again = draw_patients(patients, fraction=0.1, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(rows, again)
