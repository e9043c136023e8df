"""``lanecli export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.output import JsonOption, emit

app = typer.Typer(help="Write a model as one deployable file, run and compared before it is called exported.")


@app.callback()
def export() -> None:
    """Formats are subcommands."""


@app.command()
def onnx(
    model: Annotated[str, typer.Argument(help="A model file, run folder or shipped name.")],
    out: Annotated[Path | None, typer.Option(help="The .onnx file; default: beside the model.")] = None,
    precision: Annotated[str, typer.Option(help="fp32, or fp16 to store weights in half the size.")] = "fp32",
    uncertainty: Annotated[
        str | None,
        typer.Option(help="Maps the file gives too, by commas: density, entropy, energy, neco; default: the fitted."),
    ] = None,
    static: Annotated[bool, typer.Option("--static", help="Fix batch 1 and one picture size.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    json: JsonOption = False,
) -> None:
    """Export the whole model to ONNX: RGB pictures of any size in, class maps and probabilities of their size out."""
    from lanecli.errors import InputError
    from lanecli.shipped import find_model, models_folder

    source = find_model(model, prefer=".safetensors")
    inside = source.parent == models_folder()
    target = out or (Path(f"{source.stem}.onnx") if inside else source.with_suffix(".onnx"))
    if precision not in ("fp32", "fp16"):
        raise InputError(f"export onnx writes fp32 or fp16, not '{precision}'")
    if target.suffix != ".onnx":
        raise InputError(f"{target}: an ONNX file ends in .onnx")
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already; add --overwrite to replace it")

    from lanecli.export.onnx import export_onnx
    from lanecli.models.build import network_from_file

    network, spec = network_from_file(source)
    maps = None
    if uncertainty is not None:
        from lanecli.inference.fitting import with_maps

        network, spec, maps = with_maps(network, spec, uncertainty)
    parity = export_onnx(network, spec, target, precision=precision, static=static, maps=maps)
    megabytes = target.stat().st_size / 1e6
    document = {
        "file": str(target),
        "bytes": target.stat().st_size,
        "precision": precision,
        **parity.to_dict(),
    }
    sizes = ", ".join(f"{count} of {width}x{height}" for count, width, height in parity.sizes)
    lines = [
        f"{target}  ({megabytes:.1f} MB, {precision})",
        f"against torch, on pictures ({sizes}): largest difference {parity.largest_difference:.2g} of logits up to "
        f"{parity.largest_logit:.3g}, "
        f"equal pixels {100 * parity.equal_pixels:.4f} % of {parity.pixels}",
        f"next:   lanecli predict VIDEO --model {target}",
        f"        lanecli show {target}   (inputs, outputs, and a script that runs it)",
    ]
    emit(document, lines, json)
