"""A documentation page worked through as a reader would: its blocks, and what runs them."""

import contextlib
import doctest
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import typer
from typer.testing import CliRunner

import flywheel_assets
from flywheel_assets.cli import app
from flywheel_assets.stores.home import Home
from flywheel_tests.patching import patched
from flywheel_tests.serving import JSON, POOL, serving

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "flywheel_assets.flywheels"
SHOWN = frozenset({"text", "json", "csv", "toml"})
"""What is there to be looked at: pictures in letters, contents of files."""
ADDRESS = "http://127.0.0.1:8700"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MAY_EXIT = {"plan": (0, 2, 3), "status": (0, 1), "doctor": (0, 1)}
"""Commands whose exit status says what they found."""

_FENCE = re.compile(r"^( *)(`{3,})(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Find the code of a page; what the site's builder reads itself (``{toctree}``) is none."""
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    for number, line in lines:
        if opened := _FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner.strip() == opened[2]:
                    break
                body.append(inner)
            language = opened[3].strip()
            if not language.startswith("{"):
                yield Block(page, number, language, textwrap.dedent("\n".join(body)) + "\n")


@dataclass(frozen=True)
class Command:
    """A command, and what a page shows that it prints; empty where it shows nothing."""

    text: str
    shows: str


def commands(block: Block) -> Iterator[Command]:
    """Take a block of the shell apart: ``sh`` is commands alone, ``console`` a session with $."""
    session = block.language == "console"
    lines = block.text.splitlines()
    while lines:
        line = lines.pop(0)
        if not session and not line.strip():
            continue
        assert line.startswith("$ ") or not session, f"{block}: {line!r} follows no command"
        text = line.removeprefix("$ ") if session else line
        while not _is_whole(text):
            text += "\n" + lines.pop(0)
        shows = []
        while session and lines and not lines[0].startswith("$ "):
            shows.append(lines.pop(0))
        yield Command(text, "\n".join(shows).strip())


def words_of(text: str) -> list[str]:
    """Give the words of a command; comments, and variables set before it, are left out."""
    words = shlex.split(text, comments=True)
    while words and re.match(r"^[A-Z_]+=", words[0]):
        words.pop(0)
    return words


def _is_whole(text: str) -> bool:
    if text.endswith("\\"):
        return False
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


@dataclass
class Reader:
    """Somebody who works through a page from its top, in a folder and a home of their own.

    Parameters
    ----------
    folder : Path
        Where they work; the home is ``data`` in it.
    unrun : mapping of str to str
        How a command begins that is read, not run -> why.
    names : dict
        What Python blocks find defined.
    stands_for : dict
        What the page says -> what is there instead: an address, somebody's number.
    """

    folder: Path
    unrun: dict[str, str]
    names: dict[str, Any] = field(default_factory=dict)
    stands_for: dict[str, str] = field(default_factory=dict)
    _status: int = 0
    _until: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        self._until.enter_context(contextlib.chdir(self.folder))
        self._until.enter_context(_restored_modules())
        return self

    def __exit__(self, *_: object) -> None:
        self._until.close()

    def read(self, block: Block) -> None:
        """Run a block.

        Raises
        ------
        AssertionError
            Where it fails, or prints something else than the page shows.
        """
        ways: dict[str, Callable[[Block], None]] = {
            "python": self._python,
            "pycon": self._session,
            "sh": self._shell,
            "console": self._shell,
            "diff": self._edit,
        }
        if block.language not in SHOWN:
            assert block.language in ways, f"{block}: nothing runs {block.language!r}"
            ways[block.language](block)

    def _python(self, block: Block) -> None:
        # Lines count as in the page, so that a traceback leads there.
        source = "\n" * block.line + self._addressed(block.text)
        exec(compile(source, str(block.page), "exec"), self.names)  # noqa: S102  our own pages

    def _session(self, block: Block) -> None:
        text = self._addressed(block.text)
        test = doctest.DocTestParser().get_doctest(
            text, {}, str(block), str(block.page), block.line
        )
        test.globs = self.names
        said: list[str] = []
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append, clear_globs=False)
        assert not said, "".join(said)

    def _shell(self, block: Block) -> None:
        for command in commands(block):
            printed = self._run(command.text, block)
            if printed is not None and command.shows:
                told = doctest.OutputChecker().check_output(
                    _unframed(command.shows), _unframed(printed), FLAGS
                )
                assert told, f"{block}: {command.text} prints\n{_unframed(printed)}"

    def _run(self, text: str, block: Block) -> str | None:
        """Run one command; gives what it prints, None for one that is only read."""
        words = words_of(text)
        if not words:
            return None
        for beginning in self.unrun:
            if " ".join(words).startswith(beginning):
                _check_words(words, block)
                return None
        ways: dict[str, Callable[[list[str], Block], str | None]] = {
            "flywheel": self._flywheel,
            "curl": self._curl,
            "python": self._process,
            "echo": lambda words, _: str(self._status) if words == ["$?"] else None,
            "export": lambda _words, _: None,
            "source": lambda _words, _: None,
            "cd": lambda words, _: os.chdir(*words),
        }
        assert words[0] in ways, f"{block}: nothing runs {words[0]!r}"
        return ways[words[0]](words[1:], block)

    def _flywheel(self, words: list[str], block: Block) -> str | None:
        if words == ["api"]:
            log = self.folder / "api.log"
            url = self._until.enter_context(serving(Home(self.folder / "data"), log))
            self.stands_for[ADDRESS] = url
            return None
        words = [self._addressed(word) for word in words]
        result = CliRunner().invoke(app, words)
        printed = result.output
        self._status = result.exit_code
        refused = "error: " in printed and "\nerror: " in block.text
        fine = refused or self._status in MAY_EXIT.get(words[0], (0,))
        assert fine, f"{block}: flywheel {' '.join(words)} exits {self._status}\n{printed}"
        return printed

    def _curl(self, words: list[str], block: Block) -> str:
        assert ADDRESS in self.stands_for, f"{block}: run flywheel api first"
        url, *options = [self._addressed(word) for word in words]
        given = dict(zip(options[::2], options[1::2], strict=True))
        assert given.keys() <= {"-d", "-H"}, f"{block}: curl {options}"
        body = given.get("-d")
        headers = {"Content-Type": JSON} if body else {}
        answer = POOL.request("POST" if body else "GET", url, body=body, headers=headers)
        assert answer.status < 400, f"{block}: {url} answers {answer.status} {answer.data!r}"
        return json.dumps(answer.json(), ensure_ascii=False)

    def _process(self, words: list[str], block: Block) -> str:
        made = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, timeout=120, check=False
        )
        assert made.returncode == 0, f"{block}: {made.stderr}"
        return made.stdout

    def _addressed(self, text: str) -> str:
        for said, meant in self.stands_for.items():
            text = text.replace(said, meant)
        return text

    def _edit(self, block: Block) -> None:
        """Make the change that a block shows to a copy of the bundled flywheels, and load that."""
        text = block.text
        if not text.startswith(("+++ ", "--- ")):
            text = "+++ flywheel_assets/flywheels/repurchase.py\n" + text
        copy = self.folder / "flywheel_assets" / "flywheels"
        if not copy.exists():
            shutil.copytree(ROOT / "flywheel_assets" / "flywheels", copy)
        patched(self.folder, text)
        _load(copy)


def _unframed(text: str) -> str:
    """Give a table's cells without its frame, whose width is that of the terminal."""
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split("[│┃]", line.strip("━─┏┓┡┩└┘├┤╇┳┴┼┬╈ "))]
        rows.append(" │ ".join(cell for cell in cells if cell))
    return "\n".join(row for row in rows if row) + "\n"


def _load(folder: Path) -> None:
    """Let a copy of the bundled flywheels stand for them."""
    for name in _loaded():
        del sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    flywheel_assets.flywheels = module
    spec.loader.exec_module(module)


def _loaded() -> list[str]:
    return [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]


@contextlib.contextmanager
def _restored_modules() -> Iterator[None]:
    before = {name: sys.modules[name] for name in _loaded()}
    environment = dict(os.environ)
    try:
        yield
    finally:
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(before)
        flywheel_assets.flywheels = before[PACKAGE]
        os.environ.clear()
        os.environ.update(environment)


def _check_words(words: list[str], block: Block) -> None:
    """Hold a command that is not run against what there is: make's targets, our own options."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), f"{block}: make has no {words[1:]}"
    if words[0] == "flywheel":
        words = words[: words.index("&&")] if "&&" in words else words
        command: Any = typer.main.get_command(app)
        context = command.make_context("flywheel", words[1:], resilient_parsing=True)
        name, found, rest = command.resolve_command(context, words[1:])
        with contextlib.redirect_stderr(io.StringIO()):
            found.make_context(name, rest)
