"""VAE: a variational auto-encoder of the feature row with a predictive head on its latent.

Loss: supervised loss + reconstruction_weight * squared reconstruction error + divergence_weight * KL divergence, both as a mean over
features or latents; at prediction the latent is its posterior mean.
Source: Kingma & Welling 2014; the head on the latent as in Zhao et al. 2019 ("Variational autoencoder for regression").
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training_assets.families.nets.spec import Inputs, Net, Truth, Weight, dense
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class VAENet(Net):
    """Encoder to (mean, log variance), decoder back to the row, head to the label."""

    family = "VAE"
    settings = {"latent": 8, "reconstruction_weight": 0.2, "divergence_weight": 0.02}  # noqa: RUF012 - read-only by its declared type

    def weights(self) -> dict[str, Weight]:
        hidden, latent, width = self.shape.whole("hidden"), self.shape.whole("latent"), self.shape.n_inputs
        return {
            **dense("encode", width, hidden),
            **dense("posterior", hidden, 2 * latent),
            **dense("decode", latent, hidden),
            **dense("row", hidden, width),
            **dense("wide", latent, hidden),
            **dense("head", hidden, self.shape.n_outputs, start=0.0),
        }

    def noise_width(self) -> int:
        return self.shape.whole("latent")

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        return self._head(p, self._posterior(p, inputs)[0])

    def loss(self, player: str, p: "Mapping[str, Tensor]", inputs: Inputs, truth: Truth, noise: "Tensor | None") -> "Tensor":
        from training_assets.families.nets.layers import gelu, linear
        from training_assets.families.nets.losses import supervised_loss, weighted_mean

        mean, log_variance = self._posterior(p, inputs)
        latent = mean if noise is None else mean + noise * (0.5 * log_variance).exp()
        row = linear(p, "row", gelu(linear(p, "decode", latent)))
        reconstruction = weighted_mean((row - inputs.values).square().mean(dim=-1), truth.weight)
        divergence = weighted_mean(0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean(dim=-1), truth.weight)
        supervised = supervised_loss(self.shape.task_type, self._head(p, latent), truth)
        settings = self.shape.settings
        return supervised + settings["reconstruction_weight"] * reconstruction + settings["divergence_weight"] * divergence

    def _posterior(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "tuple[Tensor, Tensor]":
        from training_assets.families.nets.layers import gelu, linear

        mean, log_variance = linear(p, "posterior", gelu(linear(p, "encode", inputs.values))).chunk(2, dim=-1)
        return mean, log_variance.clamp(-8.0, 4.0)

    def _head(self, p: "Mapping[str, Tensor]", latent: "Tensor") -> "Tensor":
        from training_assets.families.nets.layers import gelu, linear

        return linear(p, "head", gelu(linear(p, "wide", latent)))


FAMILY = torch_family(VAENet, "Variational auto-encoder of the feature row with a predictive head on its latent.")
