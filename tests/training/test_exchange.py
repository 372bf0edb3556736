"""What two processes tell each other, each kind of message once."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import pytest
import torch
from torch import nn

from calisr_engine.errors import RunFailedError
from calisr_engine.methods.base import Attachment, TargetForm
from calisr_engine.training import ranks as module
from calisr_engine.training.exchange import BackwardSums
from calisr_engine.training.ranks import Place, Ranks
from tests.training.rank_process import free_port

CPU = torch.device("cpu")


def parameters(rank: int) -> list[nn.Parameter]:
    """Gradients on both, on the second only, on none, and on both in another type."""
    made = [nn.Parameter(torch.zeros(2, 2, dtype=t)) for t in 4 * [torch.float32]]
    made.append(nn.Parameter(torch.zeros(3, dtype=torch.float64)))
    made[0].grad = torch.full((2, 2), 1.0 + rank)
    if rank == 1:
        made[1].grad = torch.full((2, 2), 5.0)
    made[3].grad = torch.arange(4.0).reshape(2, 2) * (rank + 1)
    made[4].grad = torch.full((3,), 0.5, dtype=torch.float64)
    return made


def talk(rank: int, port: int, answers: Any) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    ranks, said = Ranks(Place(rank, 2, rank, 2)), {}
    with ranks.joined(CPU):
        said["from_first"] = ranks.from_first({"rank": rank})
        said["gather"] = ranks.gather(10 * rank)
        said["add"] = ranks.add(torch.tensor([1.0, 2.0]) * (rank + 1)).tolist()
        for name, bucket in (("small", 1), ("large", 2**20)):
            module.BUCKET_BYTES = bucket
            own = parameters(rank)
            loss, stop = ranks.add_gradients(own, torch.tensor(1.5 + rank), stop=rank == 1)
            gradients = [None if p.grad is None else p.grad.tolist() for p in own]
            said[name] = (loss.item(), stop, gradients)
        said["no stop"] = ranks.add_gradients([], torch.tensor(1.0), stop=False)[1]
        mine = {"w": torch.full((2, 3), 0.5 + rank, dtype=torch.bfloat16), "n": torch.tensor(rank)}
        received = ranks.tensors_of_first(mine)
        said["tensors"] = {name: (t.tolist(), str(t.dtype)) for name, t in received.items()}
        said["mine"] = mine["w"][0, 0].item()
        ranks.check_equal(parameters(0), 3)
        other = nn.Parameter(torch.tensor([1.0 + rank * 2**-23]))
        try:
            ranks.check_equal([other], 4)
            said["equal"] = "yes"
        except RunFailedError as error:
            said["equal"] = error.message
    said["left"] = not torch.distributed.is_initialized()
    answers.put((rank, said))


def test_two_processes_hear_the_same() -> None:
    context = multiprocessing.get_context("spawn")
    answers, port = context.Queue(), free_port()
    both = [context.Process(target=talk, args=(rank, port, answers)) for rank in (0, 1)]
    for process in both:
        process.start()
    found = dict(answers.get(timeout=120) for _ in both)
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    gradients = [[[3.0] * 2] * 2, [[5.0] * 2] * 2, None, [[0.0, 3.0], [6.0, 9.0]], [1.0] * 3]
    for rank, said in found.items():
        assert said["from_first"] == {"rank": 0}
        assert said["gather"] == [0, 10]
        assert said["add"] == [3.0, 6.0]
        assert said["small"] == said["large"] == (4.0, True, gradients)
        assert said["no stop"] is False
        assert said["tensors"] == {
            "w": ([[0.5] * 3] * 2, "torch.bfloat16"),
            "n": (0, "torch.int64"),
        }
        assert said["mine"] == 0.5 + rank
        assert said["left"]
    assert found[0]["equal"] == "yes"
    assert "process 1 are no longer those of process 0 at step 4" in found[1]["equal"]


def test_alone_everything_comes_back_as_it_was() -> None:
    ranks, own = Ranks(), parameters(1)
    value, tensor, gradient = object(), torch.ones(2), own[0].grad
    with ranks.joined(CPU):
        assert ranks.from_first(value) is value
        assert ranks.gather(value) == [value]
        assert ranks.add(tensor) is tensor
        loss = torch.tensor(2.0)
        assert ranks.add_gradients(own, loss, stop=True) == (loss, True)
        assert own[0].grad is gradient
        assert own[2].grad is None
        assert ranks.tensors_of_first({"w": tensor}) == {"w": tensor}
        ranks.check_equal(own, 1)
    assert ranks.is_first
    assert not Ranks(Place(1, 2)).is_first


def test_buckets_are_sent_while_the_backward_pass_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one order, the last layer first; what a form pulls is left for later."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4)))
    seen: list[tuple[int, int]] = []

    class Work:
        def wait(self) -> None: ...

    def reduce(flat: torch.Tensor, async_op: bool = False) -> Work:
        assert async_op
        seen.append((flat.numel(), sum(p.grad is not None for p in model.parameters())))
        flat.mul_(2)
        return Work()

    class Pulled(TargetForm):
        weight = model[1].weight
        core = extra = lambda self: []
        remember = pair = effective = switch = lambda self: None

        def pull(self) -> None: ...

    monkeypatch.setattr(torch.distributed, "all_reduce", reduce)
    monkeypatch.setattr(module, "BUCKET_BYTES", 40)
    attachment = Attachment(model, {"1": Pulled(None)})  # type: ignore[abstract, arg-type]
    sums = BackwardSums(Ranks(Place(0, 2)), model, attachment)
    for passes in (1, 2):
        model.zero_grad()
        seen.clear()
        sums.begin(list(model.parameters()))
        for number in range(passes):
            assert not seen
            if number == passes - 1:
                sums.arm()
            model(torch.ones(2, 3)).sum().backward()
        # 12 numbers a layer (bias and matrix), but 3 of the one whose matrix is pulled.
        assert sum(count for count, _ in seen) == 39
        assert passes == 2 or seen[0][1] < 8, "the first one waited for all gradients"
        found = sums.finish()
        assert set(found) == set(model.parameters()) - {model[1].weight}
        for parameter, total in found.items():
            assert total.equal(2 * parameter.grad)
    seen.clear()
    model.zero_grad()
    sums.begin(list(model.parameters()))  # a rank without a row of the batch
    assert all(not total.any() for total in sums.finish().values())
    assert sum(count for count, _ in seen) == 39
    sums.begin(list(model[2].parameters()))  # others train now
    assert set(sums.finish()) == set(model[2].parameters())
