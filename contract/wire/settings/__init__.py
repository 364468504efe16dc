"""The settings of the services: one table, and one way to read it."""

from contract.wire.settings.read import configured
from contract.wire.settings.table import SERVICES, TABLE, VARIABLES, Setting, of_service

__all__ = ["SERVICES", "TABLE", "VARIABLES", "Setting", "configured", "of_service"]
