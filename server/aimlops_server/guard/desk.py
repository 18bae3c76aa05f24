"""Where a person decides about a waiting plan: the approval page and the terminal alike. Nothing is sent from here."""

import secrets
from collections.abc import Mapping

from pydantic import SecretStr

from aimlops_server.audit import AuditLog
from aimlops_server.errors import NotSent
from aimlops_server.guard.ledger import Entry, Ledger
from aimlops_server.guard.plan import Plan
from aimlops_server.vault import Vault

MIN_PASSWORD_CHARS = 1


class Desk:
    """Takes decisions, for the ledger and the audit log."""

    def __init__(self, ledger: Ledger, vault: Vault, audit: AuditLog) -> None:
        self.ledger = ledger
        self._vault = vault
        self._audit = audit

    async def approve(self, entry: Entry, typed: Mapping[str, str], by: str, password: SecretStr | None = None) -> None:
        """Record a person's yes.

        Raises:
            NotSent: a name is wrong or a password missing (the plan goes on waiting), or it was too late.
        """
        plan = Plan.from_json(entry.shown)
        for field, expected in plan.typed.items():
            if not secrets.compare_digest(typed.get(field, "").encode(), expected.encode()):
                raise NotSent(f"{field} does not match.", "type it exactly as shown")
        if plan.asks_password:
            if password is None or len(password.get_secret_value()) < MIN_PASSWORD_CHARS:
                raise NotSent("The first user's password is missing.", "type it twice")
            self._vault.keep_typed(entry.id, password)
        if not await self.ledger.decide(entry.id, approve=True, by=by):
            self._vault.take_typed(entry.id)
            raise NotSent("This plan was decided already, or has expired.", "look at the list of plans")
        await self._audit.append("approved", entry.id, tool=entry.tool, target=entry.target, by=by)

    async def deny(self, entry: Entry, by: str) -> None:
        """Record a person's no.

        Raises:
            NotSent: it was too late.
        """
        if not await self.ledger.decide(entry.id, approve=False, by=by):
            raise NotSent("This plan was decided already, or has expired.", "look at the list of plans")
        await self._audit.append("declined", entry.id, tool=entry.tool, target=entry.target, by=by)
