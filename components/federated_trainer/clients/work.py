"""What a client does in a round, as TensorFlow on stacked tensors: begin, a step per batch, finish.

The state of a client at work is in variables (of the Keras model, and a few of our own), so steps update it in place. One
instance works on one client at a time; whoever wants two at once makes two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modeling.contract import ModelModule


class ClientWork:
    """Local SGD (McMahan et al. 2017, algorithm 1), and the base of the other algorithms' client work.

    `parts` names what a client sends; "change", shaped as the trainable weights, comes first.
    """

    parts: tuple[str, ...] = ("change",)
    keeps_state = False
    """Whether each client keeps something of its own from round to round, shaped as the trainable weights."""

    def __init__(self, module: ModelModule, settings: Mapping[str, Any]) -> None:

        self._module, self._settings = module, settings
        self._model = module.build_model()
        self._loss, self._metrics = module.build_loss(), module.build_metrics()
        self.weights = self._model.trainable_weights
        self._generators = list(_own_generators(self._model))
        self.metric_variables = [variable for metric in self._metrics for variable in metric.variables]
        self._rate: Any = None
        self._global: Sequence[Any] = ()
        self.make_slots()

    def make_slots(self) -> None:
        """Makes the variables that an algorithm needs beside the weights."""

    def load(self, message: Mapping[str, Any]) -> None:
        """Takes what the server sent, before any client begins.

        Args:
          message: `weights` and `frozen`, the model's trainable and other weights; `extra`, what the algorithm's server half
            adds; `numbers`, float32 [client learning rate, clipping norm, zeroing norm].
        """
        _assign(self._model.non_trainable_weights, message["frozen"])
        self.hear(message)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Makes the message known where variables already hold what they are to hold: in a graph that goes on with a client."""
        self._global = message["weights"]
        self._rate = message["numbers"][0]
        self.take(message["extra"])

    @classmethod
    def shapes(cls, weights: Sequence[Any]) -> list[tuple[int, ...]]:
        """Returns the shapes of what a client sends, given the trainable weights."""
        return [tuple(weight.shape) for weight in weights] * len(cls.parts)

    def take(self, extra: Sequence[Any]) -> None:
        """Takes what the algorithm's server half added to the message."""

    def begin(self, seed: Any, state: Sequence[Any]) -> None:
        """Starts a client at the global weights.

        Args:
          seed: int64 [2], for layers that draw at random.
          state: what this client kept; empty unless `keeps_state`.
        """
        import tensorflow as tf

        _assign(self.weights, self._global)
        for number, generator in enumerate(self._generators):
            generator.state.assign(tf.stack([seed[0], tf.constant(number, tf.int64), seed[1]]))

    def forget(self) -> None:
        """Sets the metrics back."""
        _clear(self.metric_variables)

    def step(self, x: Any, y: Any, examples: Any) -> Any:
        """Learns from one batch of `examples` (float32) examples, at least one; returns the sum of their losses."""
        import tensorflow as tf

        loss_sum, outputs, gradients = self._gradients(self._model, self.weights, x, y, examples)
        self.descend(gradients, examples, x, y)
        for metric in self._metrics:
            metric.update_state(y, outputs)
        return tf.cast(loss_sum, tf.float32)

    def _gradients(self, model: Any, weights: Sequence[Any], x: Any, y: Any, examples: Any) -> tuple[Any, Any, list[Any]]:
        """Sum of the examples' losses, the model's outputs, and the gradients of the mean loss."""
        import tensorflow as tf

        none = tf.UnconnectedGradients.ZERO
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            outputs = model(x, training=True)
            losses = None if model.losses else _losses(self._loss, y, outputs)
            if losses is None:
                mean = self._loss(y, outputs) + sum(model.losses)  # those of the layers' regularizers
        if losses is None:
            return mean * tf.cast(examples, mean.dtype), outputs, tape.gradient(mean, weights, unconnected_gradients=none)
        share = tf.fill(tf.shape(losses), 1.0 / tf.cast(examples, losses.dtype))  # fewer operations than the gradient of a mean
        gradients = tape.gradient(losses, weights, output_gradients=share, unconnected_gradients=none)
        return tf.reduce_sum(losses), outputs, gradients

    def descend(self, gradients: Sequence[Any], examples: Any, x: Any, y: Any) -> None:
        """Makes the step that the gradients at the client's weights call for; here plain SGD."""
        for variable, gradient in zip(self.weights, gradients, strict=True):
            _subtract(variable, gradient, self._rate)

    def finish(self, steps: Any, seen: Any) -> tuple[list[Any], list[Any]]:
        """Returns what the client sends, part after part, and what it keeps.

        Args:
          steps: int32, how many steps it made.
          seen: float32, how many examples these saw; epochs add up.
        """
        change = [variable - value for variable, value in zip(self.weights, self._global, strict=True)]
        return change, []


class ProximalWork(ClientWork):
    """Adds mu/2 ||w - w_global||^2 to the loss (Li et al. 2020, "Federated Optimization in Heterogeneous Networks")."""

    def descend(self, gradients: Sequence[Any], examples: Any, x: Any, y: Any) -> None:
        """SGD on the loss with the proximal term, whose gradient is mu (w - w_global)."""
        strength = self._settings["proximal_strength"]
        pulled = [
            _dense(gradient) + strength * (variable - value)
            for gradient, variable, value in zip(gradients, self.weights, self._global, strict=True)
        ]
        super().descend(pulled, examples, x, y)


class GradientWork(ClientWork):
    """Sends the negated gradient of all its examples at the global weights (FedSGD; McMahan et al. 2017)."""

    def make_slots(self) -> None:
        self._sum = _like(self.weights)

    def begin(self, seed: Any, state: Sequence[Any]) -> None:
        """Starts a client, with no gradient yet."""
        super().begin(seed, state)
        _clear(self._sum)

    def descend(self, gradients: Sequence[Any], examples: Any, x: Any, y: Any) -> None:
        """Adds the batch's gradient up; the weights stay."""
        for total, gradient in zip(self._sum, gradients, strict=True):
            total.assign_add(_dense(gradient) * examples)

    def finish(self, steps: Any, seen: Any) -> tuple[list[Any], list[Any]]:
        """Returns the negated mean gradient."""
        return [-total / seen for total in self._sum], []


class _StillWork(ClientWork):
    """Has a second model, which stays at the global weights."""

    def make_slots(self) -> None:
        self._still = self._module.build_model()
        self._generators += _own_generators(self._still)

    def load(self, message: Mapping[str, Any]) -> None:
        """Takes what the server sent; the second model keeps it."""
        super().load(message)
        _assign(self._still.non_trainable_weights, message["frozen"])
        _assign(self._still.trainable_weights, message["weights"])

    def _at_global(self, x: Any, y: Any, examples: Any) -> tuple[Any, list[Any]]:
        """Sum of losses, and gradients, at the global weights."""
        loss, _, gradients = self._gradients(self._still, self._still.trainable_weights, x, y, examples)
        return loss, gradients


class MimeLiteWork(_StillWork):
    """Steps with the server's momentum held fixed, and sends the gradient at the global weights as well.

    MimeLite with SGD and momentum: Karimireddy et al. 2021, "Breaking the Centralized Barrier for Cross-Device Federated
    Learning".
    """

    parts = ("change", "gradient")

    def make_slots(self) -> None:
        super().make_slots()
        self._sum = _like(self.weights)
        self._momentum: Sequence[Any] = ()

    def take(self, extra: Sequence[Any]) -> None:
        """Takes the server's momentum."""
        self._momentum = extra

    def begin(self, seed: Any, state: Sequence[Any]) -> None:
        """Starts a client, with no gradient at the global weights yet."""
        super().begin(seed, state)
        _clear(self._sum)

    def descend(self, gradients: Sequence[Any], examples: Any, x: Any, y: Any) -> None:
        """w -= rate (g + beta m), with the momentum m as the server sent it."""
        beta = self._settings["momentum"]
        directions = [_dense(g) + beta * m for g, m in zip(gradients, self._momentum, strict=True)]
        super().descend(directions, examples, x, y)
        for total, gradient in zip(self._sum, self._at_global(x, y, examples)[1], strict=True):
            total.assign_add(_dense(gradient) * examples)

    def finish(self, steps: Any, seen: Any) -> tuple[list[Any], list[Any]]:
        """Returns the change and the mean gradient at the global weights."""
        change, kept = super().finish(steps, seen)
        return [*change, *(total / seen for total in self._sum)], kept


class ScaffoldWork(ClientWork):
    """Corrects each step by the control variates c - c_i, and renews its own by option II (Karimireddy et al. 2020, "SCAFFOLD:
    Stochastic Controlled Averaging for Federated Learning", algorithm 1).
    """

    parts = ("change", "control")
    keeps_state = True

    def make_slots(self) -> None:
        self._own = _like(self.weights)
        self._common: Sequence[Any] = ()

    def take(self, extra: Sequence[Any]) -> None:
        """Takes the server's control variate c."""
        self._common = extra

    def begin(self, seed: Any, state: Sequence[Any]) -> None:
        """Starts a client with its own control variate c_i."""
        super().begin(seed, state)
        _assign(self._own, state)

    def descend(self, gradients: Sequence[Any], examples: Any, x: Any, y: Any) -> None:
        """w -= rate (g - c_i + c)."""
        corrected = [_dense(g) - own + common for g, own, common in zip(gradients, self._own, self._common, strict=True)]
        super().descend(corrected, examples, x, y)

    def finish(self, steps: Any, seen: Any) -> tuple[list[Any], list[Any]]:
        """Returns the change and that of c_i, and the new c_i = c_i - c - change / (steps rate)."""
        import tensorflow as tf

        change, _ = super().finish(steps, seen)
        scale = 1.0 / (tf.cast(steps, tf.float32) * self._rate)
        control = [-common - scale * delta for common, delta in zip(self._common, change, strict=True)]
        return [*change, *control], [own + delta for own, delta in zip(self._own, control, strict=True)]


class FairWork(_StillWork):
    """Sends F^q dw and the bound h of q-FedAvg (Li et al. 2020, "Fair Resource Allocation in Federated Learning", algorithm 2).

    F is the mean loss at the global weights, L = 1 / rate, dw = L (w_global - w), h = q F^(q-1) ||dw||^2 + L F^q, of shape [1].
    """

    parts = ("change", "bound")

    def make_slots(self) -> None:
        import tensorflow as tf

        super().make_slots()
        self._loss_before = tf.Variable(0.0, trainable=False)

    @classmethod
    def shapes(cls, weights: Sequence[Any]) -> list[tuple[int, ...]]:
        """Returns the shapes of what a client sends, given the trainable weights."""
        return [*(tuple(weight.shape) for weight in weights), (1,)]

    def begin(self, seed: Any, state: Sequence[Any]) -> None:
        """Starts a client, of whose loss nothing is known yet."""
        super().begin(seed, state)
        _clear([self._loss_before])

    def descend(self, gradients: Sequence[Any], examples: Any, x: Any, y: Any) -> None:
        """Plain SGD; the loss at the global weights is added up beside it."""
        super().descend(gradients, examples, x, y)
        self._loss_before.assign_add(self._at_global(x, y, examples)[0])

    def finish(self, steps: Any, seen: Any) -> tuple[list[Any], list[Any]]:
        """Returns -F^q dw and h."""
        import tensorflow as tf

        change, kept = super().finish(steps, seen)
        loss, q = self._loss_before / seen, self._settings["q"]
        lipschitz = 1.0 / self._rate
        squared = lipschitz**2 * tf.add_n([tf.reduce_sum(delta**2) for delta in change])
        # F^(q-1) at F = 0 would be infinite; the paper's code adds the same 1e-10
        bound = q * tf.pow(loss + 1e-10, q - 1.0) * squared + lipschitz * tf.pow(loss + 1e-10, q)
        return [*(tf.pow(loss + 1e-10, q) * lipschitz * delta for delta in change), tf.reshape(bound, [1])], kept


def _losses(loss: Any, y: Any, outputs: Any) -> Any | None:
    """Each example's loss [batch], where their mean is what `loss(y, outputs)` gives by a detour; else None."""
    import tensorflow as tf

    usual = type(loss).__call__ is tf.keras.losses.Loss.__call__ and loss.reduction in ("auto", "sum_over_batch_size")
    if not usual or getattr(outputs, "_keras_mask", None) is not None:
        return None
    losses = loss.call(y, outputs)
    return losses if losses.shape.rank == 1 else None


def _subtract(variable: Any, gradient: Any, rate: Any) -> None:
    import tensorflow as tf

    if isinstance(gradient, tf.IndexedSlices):  # of an embedding: touches only the rows that the batch used
        variable.scatter_sub(tf.IndexedSlices(rate * gradient.values, gradient.indices))
    else:  # one pass over the memory instead of two
        tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=tf.cast(rate, gradient.dtype), delta=gradient)


def _dense(gradient: Any) -> Any:
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)


def _like(weights: Sequence[Any]) -> list[Any]:
    import tensorflow as tf

    return [tf.Variable(tf.zeros_like(weight), trainable=False) for weight in weights]


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _clear(variables: Sequence[Any]) -> None:
    import tensorflow as tf

    for variable in variables:
        variable.assign(tf.zeros_like(variable))


def _own_generators(model: Any) -> Iterator[Any]:
    """Gives each layer that draws at random a generator whose state is a variable, so that a client's seed can be put into it.

    Keras has a switch for that, which it ignores in graphs such as TFF's.
    """
    import tensorflow as tf

    for layer in model.submodules:
        drawing = getattr(layer, "_random_generator", None)
        if drawing is not None:
            drawing._generator = tf.random.Generator.from_state(tf.zeros([3], tf.int64), tf.random.Algorithm.PHILOX)
            drawing._rng_type, drawing._built = drawing.RNG_STATEFUL, True
            yield drawing._generator
