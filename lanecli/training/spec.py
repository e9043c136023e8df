"""The specification of the model that a configuration trains, and the weights that training starts from."""

from __future__ import annotations

from lanecli.config import Config
from lanecli.errors import InputError
from lanecli.modelfile import ModelSpec, read_spec
from lanecli.models.build import Network, load_weights
from lanecli.models.registry import MODELS, default_encoder
from lanecli.shipped import find_model
from lanecli.training.data import TrainingData


def build_spec(config: Config, data: TrainingData) -> ModelSpec:
    """Return the specification of the model that `config` trains. It names the encoder, also if it is the default one.

    Raises:
        InputError: the model is unknown, an argument is set twice, or `model.weights` belongs to another kind of model.
    """
    model, arguments = config.model, dict(config.model.args)
    for key, value in (("dropout", model.dropout), ("spectral_norm", model.spectral_norm or None)):
        if value is not None and arguments.setdefault(key, value) != value:
            raise InputError(f"model.{key} is {value}, and model.args.{key} is {arguments[key]}: set only one of them")
    encoder = model.encoder or arguments.get("encoder") or default_encoder(model.name)
    if encoder is not None:
        arguments["encoder"] = encoder
    spec = ModelSpec(MODELS.canonical(model.name), arguments, data.label_map, data.model_geometry(config))
    if model.weights is not None:
        start = read_spec(find_model(model.weights, prefer=".safetensors"))
        # the first two do not change which weights a model has, and plain weights can be normalised
        free = {"dropout", "auxiliary"} | ({"spectral_norm"} - start.arguments.keys())
        ours, theirs = (
            {key: value for key, value in each.arguments.items() if key not in free} for each in (spec, start)
        )
        if (start.architecture, theirs) != (spec.architecture, ours):
            raise InputError(
                f"model.weights={model.weights} is a {start.architecture} {theirs}, "
                f"the configuration asks for {spec.architecture} {ours}"
            )
    return spec


def load_start(config: Config, spec: ModelSpec, network: Network) -> None:
    """Load the weights that ``model.weights`` names into `network`; without it nothing is loaded."""
    if config.model.weights is not None:
        start = find_model(config.model.weights, prefer=".safetensors")
        counts = len(read_spec(start).label_map.classes), len(spec.label_map.classes)
        load_weights(network, start, counts)
