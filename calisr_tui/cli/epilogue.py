"""What the demo says at its end: what just happened, and what to try next."""

from __future__ import annotations

from pathlib import Path

from calisr_engine.runs import load_view


def what_just_happened(run_dir: Path) -> str:
    """A few plain sentences about a finished run, with its own numbers."""
    view = load_view(run_dir)
    summary = view.summary or {}
    lines = ["", "What just happened", "------------------"]
    data = " (synthetic sentences, made by a small grammar)" if view.synthetic_data else ""
    lines.append(
        f"{view.model_summary or view.model} was fine-tuned on {view.task}{data}. Every component "
        "began in full fine-tuning."
    )
    if view.switches:
        for switch in view.switches:
            lines.append(f"  step {switch.step}: {switch.why}")
        lines.append(
            f"Trainable parameters went from {view.trainable_fft:,} "
            f"({view.trainable_fft / (view.total or 1):.1%}) to {view.trainable:,} "
            f"({view.trainable / (view.total or 1):.1%})."
        )
    else:
        lines.append("No component switched, so it stayed full fine-tuning to the end.")
    if view.best is not None:
        lines.append(
            f"Best {view.metric}: {view.best:.4f} at step {view.best_step} (chance is near 0 for "
            "matthews, 0.5 for accuracy on balanced data)."
        )
    if summary.get("exported"):
        lines.append(f"The best model is in {run_dir / summary['exported']}.")
    lines += [
        "",
        "What to try next",
        "----------------",
        f"  calisr show {run_dir}",
        "  calisr demo --set calibration.delta=0.7      a stricter threshold",
        "  calisr run demo --method mpop                another light method",
        "  calisr run --task SST-2 --data-dir GLUE --method lora --calibration S",
        "  calisr                                       the terminal app",
    ]
    return "\n".join(lines)
