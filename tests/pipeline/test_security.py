"""What an attacker would try: formats that run code, names that climb, bombs, secrets in outputs, a server open to the network."""

import io
import pickletools
import socket
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from config.load import ConfigError, parse_yaml
from config.sections.resources import ResourcesConfig
from tests.pipeline.command import bars, start_process, switchyard, write_config, write_market

SECRET = "hunter2-do-not-write-me-down"
HOSTILE_TARGETS = ("y_../../../up_5b", "y_/etc/passwd_5b", "y_a\\b:c*?_5b", "y_.._5b", "y_%2e%2e%2f_5b", "y_CON_5b")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run with a secret in its environment, and targets whose names would climb out of the folder."""
    root = tmp_path_factory.mktemp("secure")
    write_market(root / "deep" / "bars", n_bars=300)
    for number, path in enumerate(sorted((root / "deep" / "bars").iterdir())):
        frame = bars(300, number)
        later = frame["close"].shift(-5) / frame["close"] - 1.0
        frame.assign(**dict.fromkeys(HOSTILE_TARGETS, later)).to_parquet(path)
    write_config(root / "deep" / "config")
    options = ("--set", "targets.builtin=[]", "--families", "Ridge", "--output-dir", root / "deep" / "out")
    process = start_process(
        "run", "--data-dir", root / "deep" / "bars", "--config-dir", root / "deep" / "config", *options, extra={"AWS_SECRET_ACCESS_KEY": SECRET}
    )
    out, err = process.communicate(timeout=180)
    assert process.returncode in (0, 1), err
    assert SECRET not in out + err
    return root


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def is_pickle(content: bytes) -> bool:
    """Whether a pickle machine would read the bytes to their end."""
    if content[:2] not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return False
    try:
        list(pickletools.genops(content))
    except ValueError:
        return False
    return True


def test_nothing_that_is_written_can_run_code_when_read(made: Path) -> None:
    written = files(made / "deep" / "out")
    assert len(written) > 50
    for path in written:
        content = path.read_bytes()
        assert path.suffix not in (".pkl", ".pickle", ".joblib", ".pt", ".pth"), path
        assert not is_pickle(content), path
        if zipfile.is_zipfile(io.BytesIO(content)):
            assert not any(is_pickle(zipfile.ZipFile(path).read(name)) for name in zipfile.ZipFile(path).namelist()), path


def test_no_secret_of_the_environment_is_written_anywhere(made: Path) -> None:
    for path in files(made):
        assert SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "address",
    [
        f"ftp://me:{SECRET}@host/store",
        f"sftp://{SECRET}@host:22/store",
        f"ftp://me:a@{SECRET}@host/store",
        f"ftp://me:a/{SECRET}@host/store",
        f"simplecache::ftp://me:{SECRET}@host/store",
        f"abfs://container:{SECRET}@account/store",
    ],
)
def test_a_password_in_the_address_of_a_store_is_refused_and_neither_written_nor_shown(address: str, tmp_path: Path) -> None:
    market = write_market(tmp_path / "bars", n_bars=60)
    options = ("--data-dir", market, "--output-dir", tmp_path / "out", "--set", f"resources.store={address}")
    for command in (("plan",), ("plan", "--json"), ("train",), ("ui",)):
        answer = switchyard(*command, *options)
        assert answer.status == 2
        assert "FSSPEC_<PROTOCOL>_PASSWORD" in answer.out + answer.err
        assert SECRET not in answer.out + answer.err
    assert [path for path in files(tmp_path) if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    "address",
    ["s3://bucket/folder", "s3://bucket/a@b", "ftp://host:2121/a", "file:///mnt/me@home", "/mnt/x", "abfs://container@account.dfs.core.windows.net/a"],
)
def test_an_address_without_a_user_is_taken(address: str) -> None:
    assert ResourcesConfig(store=address).store == address


def test_names_from_data_stay_inside_the_output_folder(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == ["deep"]
    assert sorted(path.name for path in (made / "deep").iterdir()) == ["bars", "config", "out"]
    folders = {path.name for path in (made / "deep" / "out" / "models").iterdir()}
    assert len(folders) == len(HOSTILE_TARGETS)
    assert all(path.resolve().is_relative_to(made / "deep" / "out") for path in (made / "deep" / "out").rglob("*"))


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x", "a: " + "[" * 500, "{" * 500, "a: " + "9" * 1_100_000, "- " * 3_000 + "x"])
def test_a_yaml_bomb_is_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigError):
        parse_yaml(text, "here")
    assert time.perf_counter() - started < 2.0


def test_a_hostile_symbol_writes_nothing_outside(tmp_path: Path) -> None:
    folder = tmp_path / "bars"
    folder.mkdir()
    pd.concat([bars(60).assign(symbol=name) for name in ("GOOD", "../../../climbed", "a\x1b[31mb", "x" * 300)]).to_parquet(folder / "panel.parquet")
    answer = switchyard("validate", "--data-dir", folder, "--output-dir", tmp_path / "out")
    assert answer.status == 1
    assert answer.err.count("BAD_NAME") == 3
    assert "\x1b" not in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_user_interface_is_asked_to_listen_on_loopback_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[list[str]] = []

    def note(command: list[str], **_: object) -> int:
        started.append(command)
        return 0

    monkeypatch.setattr("subprocess.call", note)
    assert switchyard("ui", "--port", free_port(), "--output-dir", tmp_path / "out").status == 0
    (command,) = started
    assert command[command.index("-h") + 1] == "127.0.0.1"
    assert not any("0.0.0.0" in word for word in command)


def test_every_dependency_is_pinned_and_all_but_pytorch_by_the_hashes_of_its_files() -> None:
    root = Path(__file__).parents[2]
    locked = (root / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    pins = [line for line in locked if line.strip() and not line.lstrip().startswith("#")]
    assert len(pins) > 100
    assert [line for line in pins if "==" not in line or "--hash=sha256:" not in line] == []
    torch = [line for line in (root / "requirements-torch.lock").read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    assert torch
    assert [line for line in torch if "==" not in line] == []
