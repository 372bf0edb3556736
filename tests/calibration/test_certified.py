"""The certified comparison must give the decision of full float64 decompositions, always."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from calisr_engine.calibration import certified
from calisr_engine.calibration.certified import CertifiedComparison
from calisr_engine.calibration.comparison import GroupComparison, exact_comparison
from calisr_engine.calibration.subspace import Subspace
from tests.calibration.weights import clustered, gaussian, near_tie, signs, spiked

SHAPES = [(96, 96), (200, 80), (80, 200)]
Pairs = dict[str, tuple[Tensor, Tensor]]


def agree(found: GroupComparison, exact: GroupComparison) -> None:
    assert found.hit == exact.hit
    assert found.sr_lft == pytest.approx(exact.sr_lft, rel=1e-10)
    assert found.sr_fft == pytest.approx(exact.sr_fft, rel=1e-10)
    for name, matrix in found.matrices.items():
        assert matrix.sr_lft == pytest.approx(exact.matrices[name].sr_lft, rel=1e-10)
        assert matrix.lft.low <= exact.matrices[name].sr_lft * (1 + 1e-14)
        assert matrix.lft.high >= exact.matrices[name].sr_lft * (1 - 1e-14)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("relative", [1e-6, 1e-8, 1e-10, 1e-12, -1e-6, -1e-8, -1e-10, -1e-12])
def test_decisions_are_exact_down_to_near_ties(shape: tuple[int, int], relative: float) -> None:
    comparison = CertifiedComparison()
    for seed, make in enumerate((gaussian, spiked)):
        pairs = {"w": near_tie(make(*shape, seed=seed), relative, seed + 50)}
        found, exact = comparison.compare(pairs), exact_comparison(pairs)
        agree(found, exact)
        assert found.fallbacks == 0 or abs(relative) < 1e-9
        comparison.forget(["w"])


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-8, 1e-5, 1e-3, 1e-1])
def test_clustered_top_of_the_spectrum(gap: float) -> None:
    comparison = CertifiedComparison()
    for seed in range(3):
        weight = clustered(120, 90, gap, seed)
        pairs = {"w": (weight + 1e-6 * signs(weight, seed), weight)}
        agree(comparison.compare(pairs), exact_comparison(pairs))


def test_a_tie_within_rounding_is_left_to_the_exact_method() -> None:
    pairs = {"w": near_tie(spiked(200, 150), 1e-14, 1)}
    assert CertifiedComparison().compare(pairs).fallbacks == 1


def test_odd_matrices() -> None:
    low_rank = gaussian(120, 3) @ gaussian(3, 100, seed=1)
    rank_one = torch.outer(torch.arange(1.0, 101), torch.linspace(-1, 1, 90))
    zero = torch.zeros(100, 90)
    one_row = gaussian(1, 300)
    unit = torch.eye(100)
    diagonal = torch.diag(torch.linspace(1, 3, 90))
    weights = {
        "low_rank": low_rank,
        "rank_one": rank_one,
        "zero": zero,
        "one_row": one_row,
        "unit": unit,
        "diagonal": diagonal,
        "huge": spiked(100, 90) * 1e18,
        "tiny": spiked(100, 90) * 1e-30,
    }
    comparison = CertifiedComparison()
    for turn in range(2):  # without and with what the first turn left behind
        for name, weight in weights.items():
            double = weight.double()
            changed = double + 1e-6 * double.abs().max() * signs(double, 7 + turn)
            pairs = {name: (changed, double)}
            agree(comparison.compare(pairs), exact_comparison(pairs))
        identical = {name: (w.double(), w.double()) for name, w in weights.items()}
        found = comparison.compare(identical)
        assert (found.hit, found.difference) == (0, 0.0)
        assert found.matrices["zero"].sr_fft == 0.0
        assert found.matrices["one_row"].sr_fft == pytest.approx(1)
        assert comparison.compare(identical, "log_sum").hit == 0


def test_identical_matrices_are_no_hit_and_no_fallback() -> None:
    weight = spiked(150, 100).double()
    found = CertifiedComparison().compare({"w": (weight.clone(), weight)})
    assert (found.hit, found.difference, found.fallbacks) == (0, 0.0, 0)
    assert found.sr_lft == found.sr_fft


def float32_signs(pairs: Pairs, dtype: torch.dtype) -> list[bool]:
    """Hits by plain singular values in `dtype`."""
    hits = []
    for pair in pairs.values():
        lft, fft = (torch.linalg.svdvals(w.to(dtype)) for w in pair)
        ranks = [(s / s[0]).square().sum() for s in (lft, fft)]
        hits.append(bool(ranks[0] < ranks[1]))
    return hits


def test_float32_gets_signs_wrong_and_the_shipped_path_none() -> None:
    pairs: Pairs = {}
    for i in range(60):
        relative = 10 ** (-5.3 - 2 * (i % 20) / 20)  # 5e-6 to 6e-8, as training steps show
        weight = spiked(128, 96, seed=i)
        pairs[str(i)] = near_tie(weight, relative if i % 2 else -relative, i)
    truth = float32_signs(pairs, torch.float64)
    found = CertifiedComparison().compare(pairs, "vote")
    shipped = [m.sr_lft < m.sr_fft for m in found.matrices.values()]
    assert shipped == truth
    assert found.hit == Fraction(sum(truth), 60)
    assert found.fallbacks == 0
    wrong = sum(a != b for a, b in zip(float32_signs(pairs, torch.float32), truth, strict=True))
    assert wrong >= 2


def test_long_drift_keeps_deciding_rightly_and_anchors_anew() -> None:
    comparison = CertifiedComparison()
    weights = {"a": spiked(160, 120), "b": gaussian(160, 120), "c": spiked(90, 140, seed=3)}
    anchored = dict.fromkeys(weights, 0)
    for sample in range(12):
        pairs: Pairs = {}
        for i, (name, weight) in enumerate(weights.items()):
            drift = 4e-3 if sample == 8 else 3e-4  # a jump at one sample
            weights[name] = weight + drift * signs(weight, 100 * sample + i)
            step = 1e-5 * signs(weight, 1000 * sample + i)
            pairs[name] = ((weights[name] + step).double(), weights[name].double())
        found = comparison.compare(pairs)
        agree(found, exact_comparison(pairs))
        for name, matrix in found.matrices.items():
            anchored[name] += matrix.anchored
    assert anchored["b"] > anchored["a"] >= 1  # little separation bears little drift
    assert anchored["a"] < 6


def random_group(seed: int) -> Pairs:
    pairs = {}
    for i, shape in enumerate([(96, 96), (96, 96), (200, 80), (80, 200), (20, 30)]):
        weight = spiked(*shape, seed=seed * 10 + i, rank=8)
        pairs[f"layer.{i}"] = near_tie(weight, (-1) ** (i + seed) * 10 ** (-5.0 - 0.5 * i), seed)
    return pairs


@pytest.mark.parametrize("rule", ["sum", "log_sum", "vote"])
def test_rules(rule: str) -> None:
    comparison = CertifiedComparison()
    hits = []
    for seed in range(8):
        pairs = random_group(seed)
        found, exact = comparison.compare(pairs, rule), exact_comparison(pairs, rule)  # type: ignore[arg-type]
        agree(found, exact)
        assert found.difference == pytest.approx(exact.difference, rel=1e-2)
        assert list(found.matrices) == list(pairs)
        hits.append(found.hit)
    if rule == "vote":
        assert any(0 < hit < 1 for hit in hits)
        assert all(hit.denominator in (1, 5) for hit in hits)
    else:
        assert set(hits) == {0, 1}


def test_group_ties_fall_back_only_as_far_as_needed() -> None:
    lft, fft = near_tie(spiked(120, 90), 1e-6, 1)
    pairs = {"a": (lft, fft), "b": (fft, lft)}  # the differences cancel exactly
    found = CertifiedComparison().compare(pairs)
    assert found.hit == 0
    assert found.fallbacks == 2
    assert CertifiedComparison().compare(pairs, "vote").fallbacks == 0


def test_batched_by_shape_decides_the_same() -> None:
    one, many = CertifiedComparison(batched=False), CertifiedComparison(batched=True)
    for seed in range(4):
        pairs = random_group(seed)
        a, b = one.compare(pairs), many.compare(pairs)
        agree(b, exact_comparison(pairs))
        assert a.hit == b.hit
        assert list(b.matrices) == list(pairs)


def test_makers_are_called_once_unless_repeatable() -> None:
    calls = []
    lft, fft = near_tie(spiked(120, 90), 1e-13, 1)
    other = near_tie(spiked(120, 90).double(), 1e-13, 2)

    def maker() -> tuple[Tensor, Tensor]:
        calls.append(1)
        return lft, fft

    found = CertifiedComparison().compare({"a": maker, "b": lambda: other})
    assert (len(calls), found.fallbacks) == (1, 2)
    again = CertifiedComparison().compare({"a": maker, "b": lambda: other}, repeatable=True)
    assert len(calls) == 3
    assert again == found


def test_resumed_state_gives_the_same_bits() -> None:
    comparison = CertifiedComparison()
    for seed in range(2):
        comparison.compare(random_group(seed))
    state = {k: v.clone() for k, v in comparison.state_dict().items()}
    assert len({v.data_ptr() for v in comparison.state_dict().values()}) == len(state)
    resumed = CertifiedComparison()
    resumed.load_state_dict(state)
    for seed in range(2, 5):
        pairs = random_group(seed)
        assert comparison.compare(pairs) == resumed.compare(pairs)
    left, right = comparison.state_dict(), resumed.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)
    # A fresh start is right as well, but not the same to the bit: the state matters.
    fresh = CertifiedComparison().compare(random_group(4))
    assert fresh.hit == comparison.compare(random_group(4)).hit


def test_forget_frees_and_starts_anew() -> None:
    comparison = CertifiedComparison()
    pairs = random_group(0)
    comparison.compare(pairs)
    comparison.forget(["layer.0", "layer.1", "never seen"])
    assert not any(key.startswith(("layer.0", "layer.1")) for key in comparison.state_dict())
    assert any(key.startswith("layer.2") for key in comparison.state_dict())
    assert comparison.compare(pairs).anchored == 2


def test_a_wrong_anchor_costs_time_and_never_truth() -> None:
    comparison = CertifiedComparison()
    pairs = {"w": near_tie(spiked(130, 90), 1e-6, 3)}
    comparison.compare({"w": near_tie(spiked(130, 90, seed=9), 1e-6, 3)})
    found = comparison.compare(pairs)
    agree(found, exact_comparison(pairs))
    assert found.anchored == 1
    turned = {"w": near_tie(spiked(90, 130), 1e-6, 3)}  # even another shape
    agree(comparison.compare(turned), exact_comparison(turned))


def test_no_input_is_changed_and_no_random_number_drawn() -> None:
    pairs = random_group(1)
    before = {name: (a.clone(), b.clone()) for name, (a, b) in pairs.items()}
    state = torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = CertifiedComparison().compare(pairs)
    assert torch.equal(torch.get_rng_state(), state)
    for name, (a, b) in pairs.items():
        assert torch.equal(a, before[name][0])
        assert torch.equal(b, before[name][1])
    assert found == CertifiedComparison().compare(pairs)


def test_float32_and_float64_input_agree_and_parameters_are_taken() -> None:
    weight = torch.nn.Parameter(spiked(100, 80))
    other = spiked(100, 80) + 1e-5 * signs(spiked(100, 80), 3)
    narrow = CertifiedComparison().compare({"w": (other, weight)})
    wide = CertifiedComparison().compare({"w": (other.double(), weight.detach().double())})
    assert narrow == wide


@pytest.mark.parametrize("size", [20, 100])
def test_bad_input_is_refused_by_name(size: int) -> None:
    good = gaussian(size, size).double()
    for value in (float("nan"), float("inf")):
        bad = good.clone()
        bad[3, 4] = value
        for pair in ((bad, good), (good, bad)):
            for compare in (CertifiedComparison().compare, exact_comparison):
                with pytest.raises(ValueError, match="not a number"):
                    compare({"layer.0.query": pair})
    for unequal in ((good, good[:5]), (good[:5], good), (good[0], good[0]), (good[:0], good[:0])):
        with pytest.raises(ValueError, match=r"layer\.0: .* cannot be compared"):
            CertifiedComparison().compare({"layer.0": unequal})
    with pytest.raises(ValueError, match="unknown rule"):
        CertifiedComparison().compare({"w": (good, good)}, "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without matrices"):
        CertifiedComparison().compare({})


def test_no_more_is_measured_together_than_memory_is_meant_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pairs of float64 matrices: 16 bytes an entry."""
    sizes = []
    measured = certified.measure
    monkeypatch.setattr(
        certified,
        "measure",
        lambda batch, *rest: sizes.append(len(batch)) or measured(batch, *rest),
    )
    pairs = {str(i): near_tie(spiked(90, 70, seed=i), 1e-6, i) for i in range(7)}
    for limit, expected in (
        (3 * 90 * 70 * 16, [3, 3, 1]),
        (3 * 90 * 70 * 16 + 1, [4, 3]),
        (1, 7 * [1]),
    ):
        monkeypatch.setattr(certified, "_BATCH_BYTES", limit)
        CertifiedComparison(batched=True).compare(pairs)
        assert sizes == expected
        sizes.clear()


@pytest.mark.parametrize(("make", "most"), [(spiked, 8), (gaussian, 20)])
def test_a_sample_after_the_first_is_cheap(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[int, int], Tensor], most: int
) -> None:
    """From the last sample's vector on, few products with the matrix settle both bounds."""
    products = []
    add = Subspace.add
    monkeypatch.setattr(
        Subspace, "add", lambda self, rows: products.append(rows.shape[1]) or add(self, rows)
    )
    comparison = CertifiedComparison()
    weight = make(300, 200)
    for turn in range(3):
        weight = weight + 1e-5 * signs(weight, turn)
        products.clear()
        comparison.compare({"w": near_tie(weight, 1e-6, turn)})
    assert sum(products) <= most
