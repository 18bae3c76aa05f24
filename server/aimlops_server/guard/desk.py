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


async def record_yes(ledger: Ledger, audit: AuditLog, entry: Entry, by: str) -> bool:
    """A person's yes, on record before it counts. False: it came too late, and then that is on record, too.

    Raises:
        AuditFailed: it could not be recorded, so the plan goes on waiting.
    """
    facts = {"tool": entry.tool, "target": entry.target, "asker": entry.asker, "by": by}
    if not await ledger.waits(entry.id):
        return False
    await audit.append("approved", entry.id, **facts)
    counts = await ledger.decide(entry.id, approve=True, by=by)
    if not counts:
        await audit.append("void", entry.id, **facts, why="it was decided elsewhere, or expired, at the same moment")
    return counts


class Desk:
    """Takes decisions, for the ledger and the audit log."""

    def __init__(self, ledger: Ledger, vault: Vault, audit: AuditLog) -> None:
        self.ledger = ledger
        self._vault = vault
        self._audit = audit

    async def approve(self, entry: Entry, typed: Mapping[str, str], by: str, password: SecretStr | None = None) -> None:
        """Record a person's yes.

        Raises:
            NotSent: a name is wrong, a password missing, or it cannot be recorded (the plan goes on waiting); or it
                was too late.
        """
        plan = Plan.from_json(entry.shown)
        for field, expected in plan.typed.items():
            if not secrets.compare_digest(typed.get(field, "").encode(), expected.encode()):
                raise NotSent(f"{field} does not match.", "type it exactly as shown")
        if plan.asks_password:
            if password is None or len(password.get_secret_value()) < MIN_PASSWORD_CHARS:
                raise NotSent("The first user's password is missing.", "type it twice")
            self._vault.keep_typed(entry.id, password)
        counts = False
        try:
            counts = await record_yes(self.ledger, self._audit, entry, by)
        finally:
            if not counts:
                self._vault.take_typed(entry.id)
        if not counts:
            raise NotSent("This plan was decided already, or has expired.", "look at the list of plans")

    async def deny(self, entry: Entry, by: str) -> None:
        """Record a person's no. It counts even if the audit log cannot be written.

        Raises:
            NotSent: it was too late, or is in the ledger alone.
        """
        if not await self.ledger.decide(entry.id, approve=False, by=by):
            raise NotSent("This plan was decided already, or has expired.", "look at the list of plans")
        await self._audit.append("declined", entry.id, tool=entry.tool, target=entry.target, asker=entry.asker, by=by)
