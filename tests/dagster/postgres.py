"""A PostgreSQL server for tests, started from the distribution's packages in a folder of its own and gone with the block."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.dagster.served import free_port

PACKAGES = Path("/usr/lib/postgresql")


def server_programs() -> Path:
    """The folder of the newest server's programs; an error that says what to install where there is none."""
    found = sorted(PACKAGES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert found, f"no PostgreSQL server under {PACKAGES}; `apt-get install postgresql` (.ci/run does)"
    return found[-1].parent


@dataclass(frozen=True)
class Server:
    """A running server: `address` of its first database, which is empty; `call` runs one of its programs on its data."""

    address: str
    call: Callable[..., None]
    options: tuple[str, ...]

    def start(self) -> None:
        self.call("pg_ctl", "-w", *self.options, "start")

    def new_database(self, name: str) -> str:
        """The address of an empty database of that name."""
        with create_engine(self.address, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        return f"{self.address.rpartition('/')[0]}/{name}"

    def stop(self) -> None:
        """At once, as if the machine had lost power; every connection breaks."""
        self.call("pg_ctl", "-m", "immediate", "stop")


@contextmanager
def postgres_server() -> Iterator[Server]:
    """A server on 127.0.0.1; it refuses to be root, so as root it is started as the package's own user."""
    programs, port, folder = server_programs(), free_port(), Path(tempfile.mkdtemp(prefix="postgres-"))
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres")

    def call(program: str, *words: str) -> None:
        subprocess.run([*as_user, str(programs / program), "-D", str(folder / "data"), *words], check=True, capture_output=True, cwd="/", timeout=120)

    options = ("-l", str(folder / "log"), "-o", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off")
    server = Server(f"postgresql+psycopg2://switchyard@127.0.0.1:{port}/postgres", call, options)
    try:
        call("initdb", "-A", "trust", "-U", "switchyard", "-E", "UTF8")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
