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
    help="Write a model as one deployable file, run and compared before it is called exported.", no_args_is_help=True
)
EXAMPLES = """
lanecli export onnx runs/train --out lanes.onnx
lanecli export onnx runs/five/ensemble.yaml --precision fp16
"""


@app.callback()
def export() -> None:
    """Formats are subcommands."""


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
            help=f"Maps the file gives too, of {', '.join(graph_maps())}; default: the fitted.",
            rich_help_panel=MODEL,
            autocompletion=listed((*graph_maps(), "none")),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The .onnx file; default: beside the model.", rich_help_panel=OUTPUT),
    ] = None,
    precision: Annotated[
        str, choice(("fp32", "fp16"), "what weights are stored in; fp16 is half the size.", OUTPUT)
    ] = "fp32",
    static: Annotated[
        bool, typer.Option("--static", help="Fix batch 1 and one picture size.", rich_help_panel=OUTPUT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=OUTPUT)
    ] = False,
    json: JsonOption = False,
) -> None:
    """Export the whole model to ONNX: RGB pictures of any size in, class maps and probabilities of their size out."""
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
    atomic.prepare_target(target, overwrite=overwrite)  # before the minutes an export takes

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
        f"against torch, on pictures ({sizes}): largest difference {parity.largest_difference:.2g} of "
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
    """Write the .onnx file of a model, or of an ensemble file's."""
    from lanecli.errors import InputError

    if several:
        from lanecli.export.ensemble import export_ensemble

        if uncertainty not in (None, "none"):
            raise InputError("a file of several models gives class maps and probabilities: leave out --uncertainty")
        return export_ensemble(source, target, precision=precision, static=static)[0]
    from lanecli.export.onnx import export_onnx
    from lanecli.models.build import network_from_file

    network, spec = network_from_file(source)
    maps = None
    if uncertainty is not None:
        from lanecli.inference.fitting import with_maps

        network, spec, maps = with_maps(network, spec, uncertainty)
    return export_onnx(network, spec, target, precision=precision, static=static, maps=maps)
