"""The `bloomlab` command: the lessons, and a few verbs of the lab, from a terminal.

    bloomlab lab                                        the lessons, in JupyterLab
    bloomlab lessons FOLDER --edition student           copied for a class, without the solutions
    bloomlab lessons FOLDER --language fr               in French, those that have been translated
    bloomlab explore "Leo lives in Oslo." --save out.html
    bloomlab page                                       a page with the model inside: any text, edits, no Python
    bloomlab site FOLDER                                the live page, a gallery, lessons and docs, for a file server
    bloomlab generate "Leo lives in" --seed 1
    bloomlab info 7b1                                   sizes, memory, whether it fits here
    bloomlab convert FOLDER                             weights in .bin files, written as safetensors
    bloomlab class FOLDER                               who has done what, of what was handed in
    bloomlab doctor                                     what works here, and what to do about what does not

Bad input is one sentence and exit code 2. Slow imports happen only when they are needed: `--help` is quick.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bloomlab import __version__
from bloomlab.errors import BloomlabError, did_you_mean
from bloomlab.notebook.commands import COMMANDS

MODEL = click.option("--model", default="tiny", metavar="NAME", help='"tiny", "560m", "owner/name" or a folder.')


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bloomlab", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Open BLOOM up: see, explain and change every number between the text and the prediction."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command(short_help="Open the lessons in JupyterLab.", context_settings={"ignore_unknown_options": True})
@click.argument("folder", metavar="[DIR]", default="bloomlab-lessons")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[JUPYTER OPTIONS]")
def lab(folder: str, options: tuple[str, ...]) -> None:
    """Copy the lessons to DIR (never over what you changed there) and open them in JupyterLab.

    What follows DIR goes to JupyterLab: bloomlab lab lessons --no-browser --port=8899
    """
    from bloomlab.lessons import FIRST, copy_to

    if folder.startswith("-"):
        raise click.UsageError(
            f"the folder comes before JupyterLab's options: bloomlab lab bloomlab-lessons {folder} …"
        )
    copied = copy_to(folder)
    _say(repr(copied), err=True)
    from jupyterlab.labapp import LabApp  # type: ignore[import-untyped]  # it ships no types

    startup = Path(__file__).parent / "notebook" / "startup.py"  # what the kernels of the lessons run first
    os.environ.setdefault("PYTHONSTARTUP", str(startup))
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    place = f"--ServerApp.root_dir={copied.place.resolve()}"
    LabApp.launch_instance([place, f"--LabApp.default_url=/lab/tree/{FIRST}", *root, *options])


@cli.command(short_help="List the lessons, or copy them for a class.")
@click.argument("folder", required=False)
@click.option("--edition", default=None, metavar="EDITION", help="student (no solutions), teacher, nbgrader or otter.")
@click.option("--language", default=None, metavar="CODE", help="fr or es: those that have been translated.")
@click.option("--sheets", is_flag=True, help="And a page to print, with room for each prediction.")
@click.option("--slides", is_flag=True, help="And each lesson as slides, run once, that need no network.")
def lessons(folder: str | None, edition: str | None, language: str | None, sheets: bool, slides: bool) -> None:
    """List the lessons; with FOLDER, copy them there, without opening them (`bloomlab lab` does that)."""
    from bloomlab.lessons import copy_to, listed, write_sheets

    if folder is None:
        if edition or language or sheets or slides:
            raise click.UsageError("name a folder to copy to: bloomlab lessons FOLDER --edition student")
        _say(repr(listed()))
        return
    _say(repr(copy_to(folder, edition, language)))
    if sheets:
        _say(write_sheets(folder, language))
    if slides:
        from bloomlab.slides import write_slides

        for path in write_slides(folder, edition, language):
            _say(path)


@cli.command(short_help="Save a page that shows all of one text.")
@click.argument("text")
@click.option("--save", required=True, metavar="FILE", help="Where to: .html (interactive), .png or .svg.")
@MODEL
def explore(text: str, save: str, model: str) -> None:
    """Save a page that shows all that BLOOM computes for TEXT; it needs no network and no Python."""
    if Path(save).suffix not in (".html", ".png", ".svg"):
        raise click.UsageError(f"--save takes a name that ends in .html, .png or .svg, and got {save!r}")
    from bloomlab.lab import load

    _say(load(model).explore(text).save(save))


@cli.command(short_help="Save a page that has the model inside.")
@click.argument("file", default="bloomlab.html")
@click.option("--text", default=None, help="The text that it begins with; any other can be typed into it.")
@MODEL
def page(file: str, text: str | None, model: str) -> None:
    """Save the explorer as one FILE that computes by itself: any text, edits by hand; no Python, no network."""
    if Path(file).suffix != ".html":
        raise click.UsageError(f"the page's name ends in .html, and got {file!r}")
    from bloomlab.lab import FIRST_TEXT, load

    _say(load(model).explore(FIRST_TEXT if text is None else text).save(file, live=True))


@cli.command(short_help="Write a site: live page, gallery, lessons, docs.")
@click.argument("folder")
def site(folder: str) -> None:
    """Write a site into FOLDER, for any file server: live page, gallery, docs, and lessons with views that compute."""
    from bloomlab.site import make

    for path in make(folder):
        _say(path)


def settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `%bloom generate`."""
    for option in reversed(COMMANDS["generate"].options):
        help_text = f"{option.help[0].upper()}{option.help[1:]}."
        function = click.option(option.flag, type=option.type, help=help_text)(function)
    return function


@cli.command()
@click.argument("text")
@settings
@MODEL
def generate(text: str, model: str, **chosen: Any) -> None:
    """Continue TEXT."""
    options = {name: value for name, value in chosen.items() if value is not None}
    if options.keys() - {"max_new_tokens"}:
        options["do_sample"] = True
    from bloomlab.lab import load

    if not sys.stdout.isatty():
        click.echo(load(model).generate(text, **options))
        return
    for piece in load(model).stream(text, **options):  # somebody watches, so as it comes
        click.echo(piece, nl=False)
    click.echo()


@cli.command(short_help="Sizes, memory, whether a model fits here.")
@click.argument("name", default="tiny")
def info(name: str) -> None:
    """Sizes and parameters of the model NAME, the memory it takes by dtype, and whether it fits here."""
    from bloomlab.lab import load
    from bloomlab.lens.sizes import info as info_of

    _say(repr(load().info() if name == "tiny" else info_of(name)))


@cli.command(short_help="Write a folder's weights as safetensors.")
@click.argument("folder")
def convert(folder: str) -> None:
    """Write the weights in FOLDER's .bin files as safetensors beside them: quicker to open, and no program."""
    from bloomlab.weights.checkpoint import convert as convert_folder

    for path in convert_folder(Path(folder)):
        _say(path)


@cli.command("class", short_help="A class table of what was handed in.")
@click.argument("folder")
@click.option("--save", default=None, metavar="FILE", help="The page: FOLDER/class.html, if not said.")
def class_(folder: str, save: str | None) -> None:
    """Who has done what, and where the class stumbled, from the files that checks.report(name=…) wrote, in FOLDER."""
    from bloomlab.checks.class_table import class_of

    table = class_of(folder)
    _say(repr(table))
    _say(table.save(save or Path(folder) / "class.html"))


@cli.command(short_help="What works here, and what to do.")
@click.pass_context
def doctor(context: click.Context) -> None:
    """Say what works here, and what to do about what does not (then the exit code is 1)."""
    from bloomlab.notebook.doctor import examine

    report = examine()
    _say(repr(report))
    context.exit(0 if report.ok else 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 2 for bad input, which is told in one sentence."""
    try:
        code = cli.main(arguments, prog_name="bloomlab", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.Abort:
        return _stop("stopped", 130)
    except click.NoSuchOption as error:
        flags = [flag for each in error.ctx.command.params for flag in each.opts] if error.ctx else []
        return _stop(f"there is no option {error.option_name}{did_you_mean(error.option_name, flags)}{_help(error)}", 2)
    except click.UsageError as error:
        words = error.format_message().replace(". Did", "; did").rstrip(".?")
        return _stop(f"{words[0].lower()}{words[1:]}{_help(error)}", 2)
    except BloomlabError as error:
        return _stop(str(error), 2)
    except BrokenPipeError:  # | head
        sys.stderr.close()
        return 1


def _help(error: click.UsageError) -> str:
    return f"; {error.ctx.command_path} --help shows how" if error.ctx else ""


def _say(words: object, err: bool = False) -> None:
    """Print; what no terminal takes, such as a folder's name that is not a text, is written as Python would."""
    click.echo(str(words).encode("utf-8", "backslashreplace").decode(), err=err)


def _stop(words: str, code: int) -> int:
    _say(f"bloomlab: {' '.join(words.split())}", err=True)
    return code
