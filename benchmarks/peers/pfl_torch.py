"""pfl's simulation with PyTorch, in one process.

.tools/peers/bin/python benchmarks/peers/pfl_torch.py --workload C --threads 1
"""

from __future__ import annotations

import itertools

import torch
import turns
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch_model import build
from workloads import Workload, chosen, load, scaled


class Classifier(torch.nn.Module):
    """The model as pfl wants it; adds up the losses that training sees."""

    def __init__(self, workload: Workload):
        super().__init__()
        self.model = build(workload)
        self.total, self.examples = torch.zeros([]), 0

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean loss of a batch, float32[]."""
        loss = torch.nn.functional.cross_entropy(self.model(x), y)
        self.total += loss.detach() * len(y)
        self.examples += len(y)
        return loss

    @torch.no_grad()
    def metrics(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, Weighted]:
        """What pfl evaluates before and after training in the first round, and never again."""
        return {"loss": Weighted(torch.nn.functional.cross_entropy(self.model(x), y).item() * len(y), len(y))}


class InTurn(TrainingProcessCallback):
    """Lets a round begin when it is this system's turn."""

    def __init__(self, talk: turns.Turns, classifier: Classifier):
        self._talk, self._classifier = talk, classifier

    def on_train_begin(self, *, model: PyTorchModel) -> Metrics:
        self._talk.wait()
        return Metrics()

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        classifier = self._classifier
        self._talk.done(classifier.total.item() / classifier.examples)
        classifier.total, classifier.examples = torch.zeros([]), 0
        return not self._talk.wait(), Metrics()


def main() -> None:
    """Makes ready and runs rounds; see the module's docstring."""
    parser = turns.parser()
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    workload = chosen(options)
    images, labels = load(workload)
    tensors = [(torch.tensor(x), torch.tensor(y)) for x, y in zip(scaled(images), labels, strict=True)]
    users = itertools.cycle(range(workload.clients))  # everyone takes part in every round
    data = FederatedDataset(lambda user: Dataset(tensors[user], user_id=str(user)), lambda: next(users))
    classifier = Classifier(workload)
    central = torch.optim.SGD(classifier.parameters(), lr=1.0)
    # With no round left to run, it would end: `InTurn` ends it.
    rounds = 1 << 30
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=rounds, evaluation_frequency=rounds, train_cohort_size=workload.clients, val_cohort_size=0
        ),
        backend=SimulatedBackend(training_data=data, val_data=data, postprocessors=[WeightByDatapoints()]),
        model=PyTorchModel(classifier, torch.optim.SGD, central),
        model_train_params=NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=workload.learning_rate, local_batch_size=workload.batch
        ),
        callbacks=[InTurn(turns.Turns(options), classifier)],
        send_metrics_to_platform=False,
    )


if __name__ == "__main__":
    main()
