"""The JSON-RPC worker."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class ServeWorker:
    """Serve JSON-RPC 2.0 on stdin and stdout, keeping models and a case warm for an interactive host.

    One message a line; methods, parameters and results are described in Resources/schemas/worker.schema.json.
    """

    work: Path | None
    device: str
    precision: str
    threads: int | None
    name: ClassVar[str] = "worker"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--work", type=Path, help="folder for volumes passed by path (default: a temporary one)")
        parser.add_argument("--device", default="cpu", help="cpu or cuda")
        parser.add_argument(
            "--precision",
            choices=("auto", "exact", "fast"),
            default="auto",
            help="of the encoder; auto is bfloat16 where the device computes in it, else float32",
        )
        parser.add_argument("--threads", type=int, help="CPU threads (default: all)")

    def run(self) -> None:
        """Serve until the client's stream ends."""
        import tempfile

        from ..output import beside
        from ..session import SessionOptions
        from ..worker import serve_standard_streams
        from ..worker_methods import SessionMethods

        if self.threads:
            import torch

            torch.set_num_threads(self.threads)
        options = SessionOptions(self.device, self.precision)
        if self.work:
            self.work.mkdir(parents=True, exist_ok=True)
            serve_standard_streams(SessionMethods(options, self.work))
            return
        with beside(Path(tempfile.gettempdir()) / "renalclip", mode=0o700) as folder:
            serve_standard_streams(SessionMethods(options, folder))


COMMANDS = [ServeWorker]
