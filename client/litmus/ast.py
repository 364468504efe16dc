"""Every type of a scenario under one name: ``from client.litmus import ast as a``, then ``a.GuestHlt()``."""

# ruff: noqa: F403

from client.litmus.expression import *
from client.litmus.final import *
from client.litmus.scenario import *
from client.litmus.statements.event import *
from client.litmus.statements.guest import *
from client.litmus.statements.host import *
from client.litmus.statements.open_event import *
from client.litmus.statements.program import *
from client.litmus.statements.statement import *
from client.litmus.statements.user import *
