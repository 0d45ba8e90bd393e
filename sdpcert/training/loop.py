"""The training loop: steps, records and checkpoints, from wherever the run was left.

On the CPU the weights of a run in epochs depend on the configuration, the data and the number of threads only: not on
how often it was stopped, killed and resumed. Every step's batch, learning rate and random numbers follow from the step
and from what a checkpoint holds.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.errors import TrainingInterrupted
from sdpcert.training.augment import augment, draw
from sdpcert.training.checkpoint import (
    Checkpoint,
    module_tensors,
    random_state,
    read_checkpoint,
    restore_module,
    restore_random_state,
    write_checkpoint,
)
from sdpcert.training.config import load_config
from sdpcert.training.datasets import Data
from sdpcert.training.logs import Logs, ProgressBar
from sdpcert.training.losses import make_loss, row_gaps
from sdpcert.training.margins import accuracies, logits_and_radii
from sdpcert.training.models import backbone_constant
from sdpcert.training.optimisers import make_optimiser, optimiser_tensors, restore_optimiser
from sdpcert.training.parallel import Processes
from sdpcert.training.runs import CHECKPOINT, build, check_same, save_model
from sdpcert.training.schedules import factor
from sdpcert.training.settings import Config


class Run:
    """The state of a run between two steps, which is what a checkpoint holds."""

    def __init__(self, config: Config, data: Data, folder: Path, group: Processes) -> None:
        self.config, self.data, self.folder, self.group = config, data, folder, group
        torch.manual_seed(config.seed)
        self.module = build(config, data.description).to(group.device)
        self.optimiser = make_optimiser(config.optimiser, self.module)
        constant = backbone_constant(self.module)
        self.loss = make_loss(config.loss, lambda: row_gaps(getattr(self.module, "head", None)), constant)
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=config.training.precision == "float16")
        self.average = {k: p.detach().clone() for k, p in self._averaged()}
        self.generator = torch.Generator().manual_seed(_seed(config.seed, 1))
        self.step, self.seconds, self.saved = 0, 0.0, 0.0
        #: Loss, right answers and images since the epoch began, of this process's part.
        self.sums = torch.zeros(3, dtype=torch.float64, device=group.device)
        self.images = torch.from_numpy(data.train.images).to(group.device)
        self.labels = torch.from_numpy(data.train.labels.astype(np.int64)).to(group.device)
        self.epoch_steps = len(self.labels) // config.training.batch
        self.order: tuple[int, Tensor] | None = None

    def _averaged(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.module.named_parameters()) if self.config.training.averaging > 0 else []

    def restore(self) -> None:
        """Take everything from the folder's checkpoint, if there is one; ValueError if it is another run's."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return
        checkpoint = read_checkpoint(path)
        state = checkpoint.state
        try:
            check_same(self.config, load_config(state["config"]), self.folder)
            if state["data"] != json.loads(json.dumps(self.data.description.table())):
                raise ValueError(f"{self.folder} holds a run on other data: name another folder for this one")
            restore_module(self.module, checkpoint.model, path)
            restore_optimiser(self.optimiser, self.module, checkpoint.optimiser)
            self.average = {k: checkpoint.average[k].to(self.group.device) for k in self.average}
            self.scaler.load_state_dict(state["scaler"])
            restore_random_state(self.generator, state["random"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self.sums = torch.tensor(state["sums"], dtype=torch.float64, device=self.group.device)
        except (KeyError, TypeError, RuntimeError):
            raise ValueError(f"{path}: is a damaged checkpoint; start the run again in another folder") from None
        self.saved = self.seconds

    def save(self) -> None:
        """Write the checkpoint; ValueError if the loss is not finite, and the old one stays."""
        if not bool(torch.isfinite(self.sums).all()):
            raise ValueError(
                f"the loss is not finite at step {self.step}: lower optimiser.learning_rate, or set optimiser.clip"
            )
        self.saved = self.seconds
        if not self.group.first:
            return
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums.tolist(),
            "random": random_state(self.generator),
            "scaler": self.scaler.state_dict(),
            "config": self.config.table(),
            "data": self.data.description.table(),
        }
        optimiser = optimiser_tensors(self.optimiser, self.module)
        write_checkpoint(
            self.folder / CHECKPOINT, Checkpoint(state, module_tensors(self.module), self.average, optimiser)
        )

    def done(self) -> float:
        """How much of the run is done; 1 or more at its end."""
        training = self.config.training
        if training.minutes is not None:
            return self.seconds / (60 * training.minutes)
        assert training.epochs is not None
        return self.step / (training.epochs * self.epoch_steps)

    def steps(self, stop: threading.Event, bar: ProgressBar) -> None:
        """Go on to the end and save the network; after a request to stop, write a checkpoint and raise."""
        logs = Logs(self.folder, self.step) if self.group.first else None
        training, parallel = self.config.training, self.group.wrap(self.module)
        forward: Any = torch.compile(parallel) if training.compile else parallel
        self.module.train()
        while True:
            self.seconds, stopping = self.group.agree(self.seconds, stop.is_set())
            done = self.done()
            if done >= 1:
                break
            if stopping:
                self.save()
                raise TrainingInterrupted(
                    f"stopped at step {self.step}, {done:.0%} of the run; start it again with the same configuration "
                    f"and the folder {self.folder} to go on"
                )
            before = time.monotonic()
            self._step(forward, done)
            ends = self.step % self.epoch_steps == 0
            if ends:
                self._synchronise()
            self.seconds += time.monotonic() - before
            if ends:
                every = training.evaluate_every
                chosen = every > 0 and (self.step // self.epoch_steps) % every == 0
                self._record(logs, bar, chosen or self.done() >= 1)
            if self.seconds - self.saved >= training.checkpoint_seconds:
                self.save()
            bar.update(done)
        self._finish(logs, bar)

    def _step(self, forward: Any, done: float) -> None:
        config, group = self.config, self.group
        batch = config.training.batch
        epoch, place = divmod(self.step, self.epoch_steps)
        if self.order is None or self.order[0] != epoch:
            shuffled = torch.Generator().manual_seed(_seed(config.seed, 2, epoch))
            self.order = (epoch, torch.randperm(len(self.labels), generator=shuffled).to(group.device))
        own = slice(group.rank * batch // group.size, (group.rank + 1) * batch // group.size)
        indices = self.order[1][place * batch : (place + 1) * batch][own]
        images, labels = self.images[indices], self.labels[indices]
        if config.augment.crop or config.augment.flip:
            shifts, flips = draw(config.augment, batch, self.generator)
            images = augment(images, config.augment, shifts[own], flips[own])
        rate = config.optimiser.learning_rate * factor(config.schedule, done)
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = rate
        kind = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(config.training.precision)
        with torch.autocast(group.device.type, kind, enabled=kind is not None):
            logits = forward(images.float() / self.data.description.levels)
        loss = self.loss(logits, labels)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if config.optimiser.clip > 0:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.module.parameters(), config.optimiser.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        # What the weights were at the start counts for nothing as soon as there is something to average.
        decay = min(config.training.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self._averaged():
                self.average[name].lerp_(parameter, 1 - decay)
            right = (logits.argmax(1) == labels).sum()
            self.sums += torch.stack(
                [loss.detach().double() * len(labels), right.double(), right.new_tensor(len(labels))]
            )
        self.step += 1

    def _synchronise(self) -> None:
        if self.group.device.type == "cuda":
            torch.cuda.synchronize(self.group.device)

    def _record(self, logs: Logs | None, bar: ProgressBar, evaluate: bool) -> None:
        """Log an epoch, and begin the sums of the next one."""
        loss, right, count = self.sums.tolist()
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss is not finite at step {self.step}: lower optimiser.learning_rate, or set optimiser.clip"
            )
        self.sums.zero_()
        if logs is None:
            return
        record: dict[str, Any] = {
            "step": self.step,
            "epoch": self.step // self.epoch_steps,
            "seconds": round(self.seconds, 3),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
        }
        if count:
            record |= {"loss": loss / count, "train_accuracy": right / count}
        if evaluate:
            record.update(self._evaluated())
        logs.add(record)
        shown = [
            f"{key.replace('_', ' ')} {record[key]:.4g}" for key in ("epoch", "loss", "test_accuracy") if key in record
        ]
        bar.update(self.done(), "  ".join(shown))

    def _evaluated(self) -> dict[str, float]:
        """Accuracies on the test images, of the averaged weights if there are any."""
        kept = {name: p.detach().clone() for name, p in self._averaged()}
        self._set(self.average)
        test = self.data.test
        labels = torch.from_numpy(test.labels.astype(np.int64))
        levels = self.data.description.levels
        logits, radii = logits_and_radii(self.module, torch.from_numpy(test.images), labels, levels)
        self._set(kept)
        return accuracies(logits, radii, labels, self.config.training.radii)

    @torch.no_grad()
    def _set(self, values: Mapping[str, Tensor]) -> None:
        parameters = dict(self.module.named_parameters())
        for name, value in values.items():
            parameters[name].copy_(value)

    def _finish(self, logs: Logs | None, bar: ProgressBar) -> None:
        """The last record, the last checkpoint, the network."""
        if logs is not None and not any(r["step"] == self.step and "test_accuracy" in r for r in logs.records):
            self._record(logs, bar, True)
        self.save()
        if logs is None:
            return
        self._set(self.average)
        self.module.eval()
        last = logs.records[-1]
        results = {"steps": self.step, "seconds": round(self.seconds, 3)}
        results |= {k: v for k, v in last.items() if k == "test_accuracy" or k.startswith("certified_")}
        save_model(self.folder, self.module, self.config, self.data.description, results)
        logs.close()


def _seed(*numbers: int) -> int:
    """A seed of 63 bits from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
