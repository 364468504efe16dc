"""The application ``lbrlab`` with all its commands, in the order of the help."""

from __future__ import annotations

# isort: off
from client.cli import app_runs
from client.cli import app_live
from client.cli import app_search
from client.cli import app_run_files
from client.cli import app_model

# isort: on
from client.cli.application import app

__all__ = ["app", "app_live", "app_model", "app_run_files", "app_runs", "app_search"]
