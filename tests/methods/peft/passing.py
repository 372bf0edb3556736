"""What a tuner must hold to be a light method, one after the other on one tiny model.

`python -m tests.methods.peft.passing` writes the table of docs/tuners.md; tests hold the page
against it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from calisr_engine.errors import ConfigError
from calisr_engine.methods import registry
from calisr_engine.training.switch import PhaseChange
from tests.methods.peft.cases import CASES, Case
from tests.methods.tiny import Run, evaluate, make_batch, make_model

PAGE = Path(__file__).parents[3] / "docs" / "tuners.md"
BEGIN, END = "<!-- table: python -m tests.methods.peft.passing -->", "<!-- end of table -->"


def why_not(case: Case, variant: str = "S") -> str:
    """Why a tuner is refused; "" where it is not."""
    try:
        Run("peft", variant=variant, **case.settings)
    except ValidationError as error:
        return str(error.errors()[0]["msg"]).partition(";")[0]
    except ConfigError as error:
        return error.message.partition(": ")[2].partition(": ")[2] or error.message
    return ""


def tensors(run: Run) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def assert_equal(one: Run, two: Run) -> None:
    first, second = one.model.state_dict(), two.model.state_dict()
    assert first.keys() == second.keys()
    assert [n for n in first if not torch.equal(first[n], second[n])] == []


def trains_and_merges(case: Case) -> None:
    """The loss falls in both phases, what froze stays, and plain transformers opens the result."""
    run = Run("peft", **case.settings)
    expected = run.phases.trainable_when_complete()
    assert run.phases.trainable() == sum(p.numel() for p in run.phases.stepped().values())
    first = run.step(0)
    for _ in range(5):
        run.step(0)
    middle = run.step(0)
    assert middle < first
    run.switch_all()
    assert run.optimizer is not None
    stepped = run.phases.stepped()
    assert run.phases.trainable() == expected == sum(p.numel() for p in stepped.values())
    assert set(stepped.values()) == set(run.optimizer.parameters())
    before = tensors(run)
    dense = {name: form.effective() for name, form in run.attachment.forms.items()}
    for _ in range(5):
        last = run.step(0)
    assert last < middle + 0.02
    now = run.model.state_dict()
    own = dict(run.model.named_parameters(remove_duplicate=False))
    train = {name for name, p in own.items() if p in set(stepped.values())}
    assert [n for n in before if n not in train and not torch.equal(before[n], now[n])] == []
    core = {p for form in run.attachment.forms.values() for p in form.core()}
    still = [n for n in train if own[n] in core and torch.equal(before[n], now[n])]
    assert still == []
    for name, form in run.attachment.forms.items():
        assert not torch.equal(form.effective(), dense[name]), name
    merged = run.attachment.merged_state_dict()
    assert merged is not None
    plain = make_model("Bert", seed=9)
    plain.load_state_dict(merged, strict=True)
    torch.testing.assert_close(evaluate(plain), run.logits(), rtol=1e-4, atol=2e-5)
    found = registry.get("peft").dense_matrices(tensors(run), run.settings)
    for name, form in run.attachment.forms.items():
        assert torch.equal(found[name], form.effective()), name


def staged_equals_joint(case: Case) -> None:
    """W_LFT is the core stepped alone, W_FFT everything; measuring moves nothing."""
    joint, staged = Run("peft", **case.settings), Run("peft", **case.settings)
    for run in (joint, staged):
        torch.manual_seed(4)  # some tuners draw while they train
        run.step(0)
    batch = make_batch(9)
    torch.manual_seed(5)
    joint.gradients(batch)
    for form in joint.attachment.forms.values():
        form.remember()
    joint.apply()
    pairs = {name: form.pair() for name, form in joint.attachment.forms.items()}
    torch.manual_seed(5)
    staged.gradients(batch)
    assert staged.optimizer is not None
    forms = staged.attachment.forms
    core = {p for form in forms.values() for p in form.core()}
    later = {p: p.grad for p in staged.optimizer.parameters() if p not in core}
    for parameter in later:
        parameter.grad = None
    staged.optimizer.step()
    lft = {name: form.effective() for name, form in forms.items()}
    for parameter in core:
        parameter.grad = None
    for parameter, gradient in later.items():
        parameter.grad = gradient
    staged.optimizer.step()
    for name, form in forms.items():
        assert torch.equal(pairs[name][0], lft[name]), name
        assert torch.equal(pairs[name][1], form.effective()), name
        assert not torch.equal(*pairs[name]), name
    assert_equal(joint, staged)


def resumes(case: Case) -> None:
    """Stopped after two groups switched, gone on from what a checkpoint holds, to the same bits."""
    through = Run("peft", **case.settings)
    through.step(0)
    for group in ("query", "output"):
        through.phases.switch(PhaseChange(group, 1, "hand", "test"), through.optimizer)
    torch.manual_seed(1)
    through.step(1)
    assert through.optimizer is not None
    model, moments = tensors(through), through.optimizer.tensors()
    moments = {name: value.clone() for name, value in moments.items()}
    again = Run("peft", resuming=True, optimizer=False, **case.settings)
    for change in through.phases.changes:
        again.phases.switch(change, None)
    with torch.no_grad():
        present = again.model.state_dict()
        for value in present.values():  # nothing may be left as attaching made it
            value.zero_()
        for name, value in model.items():
            present[name].copy_(value)
    again.build_optimizer().load_tensors(moments)
    again.step_number = through.step_number
    for run in (through, again):
        torch.manual_seed(2)
        run.step(2)
        run.switch_all()
        run.step(3)
    assert_equal(through, again)


CHECKS = {
    "trains, freezes, exports": trains_and_merges,
    "staged = joint": staged_equals_joint,
    "resumes": resumes,
}


def row(case: Case) -> str:
    """The line of the table."""
    refused = why_not(case)
    said = ", ".join(f"{k}={str(v).lower()}" for k, v in case.options.items())
    name = f"`{case.name}`" if case.name == case.tuner else f"{case.name} (`{case.tuner}`)"
    cells: dict[str, Any] = {}
    if not refused:
        for title, check in CHECKS.items():
            try:
                check(case)
                cells[title] = "yes"
            except AssertionError:
                cells[title] = "**no**"
        return f"| {name} | {f'`{said}`' if said else ''} | yes | {' | '.join(cells.values())} | |"
    empty = " | ".join("" for _ in CHECKS)
    return f"| {name} | {f'`{said}`' if said else ''} | no | {empty} | {refused} |"


def table(names: list[str]) -> str:
    """The table; with names, that of the page with their lines made anew."""
    titles = ["tuner", "options", "calibrated", *CHECKS, "why not"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    before = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].split("\n")[3:]
    for number, case in enumerate(CASES.values()):
        lines.append(before[number] if names and case.name not in names else row(case))
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = table(sys.argv[1:])
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{found}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
