"""``lanecli export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lanecli.cli.complete import listed, models
from lanecli.cli.help import MODEL, OUTPUT, Command
from lanecli.cli.options import choice
from lanecli.cli.output import JsonOption, emit
from lanecli.inference.measures import graph_maps
from lanecli.shipped import DEFAULT_MODEL

if TYPE_CHECKING:
    from lanecli.export.parity import Parity

app = typer.Typer(
    help="Export a model to one file, which is then run and compared with the model.", no_args_is_help=True
)
EXAMPLES = """
lanecli export onnx runs/train --out lanes.onnx
lanecli export onnx runs/five/ensemble.yaml --precision fp16
"""


@app.callback()
def export() -> None:
    """Hold the formats, which are subcommands."""


@app.command(cls=Command, epilog=EXAMPLES)
def onnx(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help="A model file, run folder, ensemble file or shipped model.",
            rich_help_panel=MODEL,
            autocompletion=models,
        ),
    ] = DEFAULT_MODEL,
    uncertainty: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help=f"Maps to put into the file, of {', '.join(graph_maps())}, none.  [default: those that are fitted]",
            rich_help_panel=MODEL,
            autocompletion=listed((*graph_maps(), "none")),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The .onnx file.  [default: beside the model]", rich_help_panel=OUTPUT),
    ] = None,
    precision: Annotated[
        str, choice(("fp32", "fp16"), "format of the weights; fp16 halves the file.", OUTPUT)
    ] = "fp32",
    static: Annotated[
        bool, typer.Option("--static", help="Fix the batch to 1, and the size of pictures.", rich_help_panel=OUTPUT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=OUTPUT)
    ] = False,
    json: JsonOption = False,
) -> None:
    """Export a whole model to ONNX.

    The file takes RGB pictures of any size and gives class maps and probabilities of the same size.
    """
    from lanecli import atomic
    from lanecli.errors import InputError
    from lanecli.shipped import find_model, models_folder

    several = Path(model).suffix.lower() in (".yaml", ".yml")
    source = Path(model).expanduser() if several else find_model(model, prefer=".safetensors")
    inside = source.parent == models_folder()
    target = out or (Path(f"{source.stem}.onnx") if inside else source.with_suffix(".onnx"))
    if precision not in ("fp32", "fp16"):
        raise InputError(f"export onnx writes fp32 or fp16, not '{precision}'")
    if target.suffix != ".onnx":
        raise InputError(f"{target}: an ONNX file ends in .onnx")
    atomic.prepare_target(target, overwrite=overwrite)  # an export takes minutes: fail before them

    parity = _written(source, target, several, precision, uncertainty, static)
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
        f"compared with torch on pictures ({sizes}): largest difference {parity.largest_difference:.2g} of "
        f"{'probabilities' if several else 'logits'} up to "
        f"{parity.largest_logit:.3g}, "
        f"equal pixels {100 * parity.equal_pixels:.4f} % of {parity.pixels}",
        f"next:   lanecli predict VIDEO --model {target}",
        f"        lanecli show {target}   (inputs, outputs, and a script that runs it)",
    ]
    emit(document, lines, json)


def _written(
    source: Path, target: Path, several: bool, precision: str, uncertainty: str | None, static: bool
) -> Parity:
    """Write the .onnx file of a model or an ensemble file, and return how it differs from torch."""
    from lanecli.errors import InputError

    if several:
        from lanecli.export.ensemble import export_ensemble

        if uncertainty not in (None, "none"):
            raise InputError("an exported ensemble gives class maps and probabilities only: leave out --uncertainty")
        return export_ensemble(source, target, precision=precision, static=static)[0]
    from lanecli.export.onnx import export_onnx
    from lanecli.models.build import network_from_file

    network, spec = network_from_file(source)
    maps = None
    if uncertainty is not None:
        from lanecli.inference.fitting import with_maps

        network, spec, maps = with_maps(network, spec, uncertainty)
    return export_onnx(network, spec, target, precision=precision, static=static, maps=maps)
