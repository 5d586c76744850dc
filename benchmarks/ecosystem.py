"""Fine-tune by our loop and by Hugging Face's Trainer, and record every run.

    python -m benchmarks.ecosystem

The same start weights, the same labelled stories, five seeds. It writes
``benchmarks/results/ecosystem.json`` after each run, and the copy in
``nextword/data`` that chapter 21 draws. Stop it at any time: the same command
goes on with the runs that are missing.
"""

import torch

from benchmarks import record
from nextword.hub_training import ToolRun, measure_tool, quiet

COMMAND = "python -m benchmarks.ecosystem"
TASKS = (("she", 20), ("walk", 50))
TOOLS = ("ours", "Trainer, our batches", "Trainer")
NOTES = [
    "accuracy: on the held-out stories 0 to 399 of the task. The seed is that "
    "of the labelled stories, the start values and the order.",
    "first_loss, last_loss: nats a text, the means of the first and of the last "
    "five steps.",
    "Settings are those of chapter 15, chosen on seeds 40 and 41, which are "
    "not in the record. Nothing was chosen for the Trainer.",
    "The seconds include the making of the stories and the test. The machine "
    "did other work too.",
]


def grid() -> list[ToolRun]:
    """Every run, seed by seed."""
    return [
        ToolRun(task, labels, seed, tool)
        for seed in range(5)
        for task, labels in TASKS
        for tool in TOOLS
    ]


def main() -> None:
    torch.set_num_threads(1)
    quiet()
    record.run_grid(
        "ecosystem",
        grid(),
        lambda run: [measure_tool(run)],
        COMMAND,
        packages=["torch", "transformers", "accelerate"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
