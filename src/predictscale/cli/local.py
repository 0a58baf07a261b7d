"""Commands that need no service: check what was written, render what should be."""

import os
from pathlib import Path
from typing import Annotated

import typer


def check(file: Path) -> None:
    """x"""
    raise NotImplementedError


def render() -> None:
    """x"""
    raise NotImplementedError
