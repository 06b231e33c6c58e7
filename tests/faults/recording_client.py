"""Clients of a service that record what they asked and what they saw.

A client waits for each answer before it asks again. What it sends again after a lost answer has the same key, and is
one operation, from the first call to the last answer.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from tests.faults.history import Op
from tests.faults.installation import ADMIN, COMMAND, EXECUTOR, Installation
from tests.faults.reply import Reply

WAIT_SECONDS = 6
"""How much longer than the service's own deadline a client waits: a request without an answer by then hangs."""
RETRY_SECONDS = 10.0
"""How long a client goes on sending what was not answered."""


@dataclass(frozen=True)
class Session:
    """A session as the hub opened it."""

    id: str
    token: str
    user: str
    project: str
    server: str


BUSY_ATTEMPTS = 5
"""How often a session is asked for before a test begins: a busy machine may let a request wait for too long."""


class Client:
    """One client of one replica, or of the load balancer (None); not for several threads at once."""

    def __init__(self, installation: Installation, name: str, replica: int | None = 0) -> None:
        self.installation, self.name, self.replica = installation, name, replica
        self._connection: http.client.HTTPConnection | None = None
        self._wait_seconds = installation.settings.service.deadline_seconds + WAIT_SECONDS

    # --- what it can do

    def check(self, session: Session, role: str = EXECUTOR) -> Op:
        """Ask whether a command would be allowed."""
        args = {"user": session.user, "project": session.project, "role": role, "session": session.id}
        call = time.monotonic_ns()
        reply = self.send("POST", "/api/v1/decisions", {"command": COMMAND}, session.token)
        result, revision = reply.result(), None
        seen: dict[str, Any] = {"status": reply.status, **reply.troubles}
        decision = (reply.body or {}).get("decision")
        if decision is not None:
            result = "allowed" if decision["allowed"] else "denied"
            seen |= {"id": decision["id"], "reason": decision["reason"]}
            revision = decision["revision"]
        return self._record("check", args, call, result, revision, seen)

    def grant(self, user: str, project: str, role: str = EXECUTOR, *, key: bool = True) -> Op:
        return self._change_role("grant", "/api/v1/assignments", user, project, role, key)

    def revoke(self, user: str, project: str, role: str = EXECUTOR, *, key: bool = True) -> Op:
        return self._change_role("revoke", "/api/v1/assignments/revoke", user, project, role, key)

    def repeat(self, op: Op) -> Op:
        """Send an earlier request once more, with its key."""
        path = "/api/v1/assignments" + ("/revoke" if op.op == "revoke" else "")
        call = time.monotonic_ns()
        reply = self.send("POST", path, _assignment(op.args), self.installation.admin_credential, op.args["tag"])
        result = _role_result(op.op, reply)
        seen = {"status": reply.status, "revision": (reply.body or {}).get("revision"), **reply.troubles}
        return self._record("again", op.args, call, result, None, seen)

    def grant_by_command(self, admin: Session, user: str, *, revoke: bool = False) -> Op:
        """Grant or revoke as a project's admin does it, by a line of text."""
        line = f"revoke role {EXECUTOR} from {user}" if revoke else f"grant role {EXECUTOR} to {user}"
        args = {"user": user, "project": admin.project, "role": EXECUTOR}
        op = "revoke" if revoke else "grant"
        call = time.monotonic_ns()
        reply, conclusive = self._send_until_answered(
            "POST", "/api/v1/commands", {"text": line}, admin.token, secrets.token_hex(8)
        )
        body = reply.body or {}
        inner = Reply(reply.status, body.get("result", body), reply.failure)
        result = _role_result(op, inner) if conclusive else "unsure"
        seen = reply.observed
        if result in ("done", "same"):
            seen["id"] = body["id"]
        return self._record(op, args, call, result, _revision(inner, result), seen)

    def replace_members(self, project: str, members: Sequence[tuple[str, str]]) -> Op:
        """Replace all users of a project at once."""
        roles: dict[str, list[str]] = {}
        for user, role in members:
            roles.setdefault(user, []).append(role)
        entries = [{"id": user, "roles": of_user, "alerts": []} for user, of_user in sorted(roles.items())]
        args = {"project": project, "members": [list(one) for one in members]}
        call = time.monotonic_ns()
        reply, conclusive = self._send_until_answered(
            "PUT",
            f"/api/v1/projects/{project}/members",
            {"members": entries},
            self.installation.admin_credential,
            secrets.token_hex(8),
        )
        result = reply.result() if conclusive else "unsure"
        return self._record("import", args, call, result, _revision(reply, result), reply.observed)

    def lock(self, user: str) -> Op:
        body = {"target": "identity", "name": f"user:{user}", "reason": secrets.token_hex(8)}
        return self._simple("lock", {"user": user}, "/api/v1/locks", body)

    def unlock(self, user: str) -> Op:
        body = {"target": "identity", "name": f"user:{user}", "reason": "over"}
        return self._simple("unlock", {"user": user}, "/api/v1/locks/remove", body)

    def open_session(self, user: str, project: str, server: str | None = None, *, attempts: int = 1) -> Session | None:
        """Open a session as the hub does; None if that was refused or not answered, each time."""
        opened = (self.open_with_credential(user, project, server)[1] for _ in range(attempts))
        return next(filter(None, opened), None)

    def open_with_credential(self, user: str, project: str, server: str | None = None) -> tuple[str, Session | None]:
        """As `open`; also returns the server's own hub token."""
        server = project if server is None else server
        token = secrets.token_hex(16)
        credential = hashlib.sha256(token.encode()).hexdigest()
        body = {"user": user, "requester": user, "server": server, "project": project, "credential": credential}
        call = time.monotonic_ns()
        reply = self.send("POST", "/api/v1/sessions", body, self.installation.hub_secret)
        session = None
        seen: dict[str, Any] = {"status": reply.status, **reply.troubles}
        if reply.status == http.client.CREATED:
            session = Session(reply.body["session"], reply.body["token"], user, project, server)
            seen["session"] = session.id
        self._record("open", {"user": user, "project": project, "server": server}, call, reply.result(), None, seen)
        return token, session

    def renew(self, hub_token: str) -> Reply:
        """Exchange a server's hub token for a new role token."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": hub_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        return self.send("POST", "/oauth/token", form, None)

    def end_session(self, user: str, server: str) -> Op:
        call = time.monotonic_ns()
        body = {"user": user, "server": server, "reason": "stopped"}
        reply = self.send("POST", "/api/v1/sessions/end", body, self.installation.hub_secret)
        seen = {"status": reply.status, **reply.troubles}
        return self._record("end", {"user": user, "server": server}, call, reply.result(), None, seen)

    def read_users(self) -> Op:
        """Read as an administrator does, which is recorded by itself."""
        call = time.monotonic_ns()
        reply = self.send("GET", "/api/v1/users", None, self.installation.admin_credential)
        return self._record("read", {}, call, reply.result(), None, {"status": reply.status, **reply.troubles})

    def request_unauthorized_grant(self, session: Session) -> Op:
        """Ask for a right that the session's person may not give, by a line of text; the refusal is recorded."""
        call = time.monotonic_ns()
        line = {"text": f"grant role {ADMIN} to {session.user}"}
        reply = self.send("POST", "/api/v1/commands", line, session.token)
        seen = {"status": reply.status, **reply.troubles}
        return self._record("reach", {"user": session.user}, call, reply.result(), None, seen)

    # --- how it does it

    def send(self, method: str, path: str, body: Any, token: str | None, key: str | None = None) -> Reply:
        """Send one request once; without a token the body is a form."""
        start = time.monotonic_ns()
        reply = self._send(method, path, body, token, key)
        if reply.failure == "down":
            return replace(reply, not_listening=(start,))
        if reply.status == http.client.SERVICE_UNAVAILABLE:
            detail = (reply.body or {}).get("detail", "")
            return replace(reply, unavailable=((start, time.monotonic_ns(), detail),))
        return reply

    def _send(self, method: str, path: str, body: Any, token: str | None, key: str | None) -> Reply:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        data = None if body is None else json.dumps(body).encode()
        if token is None:
            headers, data = {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(body).encode()
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            if self._connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._wait_seconds)
                connection.connect()
                self._connection = connection
        except OSError:
            return Reply(None, failure="down")
        try:
            self._connection.request(method, path, data, headers)
            answer = self._connection.getresponse()
            content = answer.read()
            if answer.will_close:
                self.close()
            replayed = answer.getheader("Idempotency-Replayed") == "true"
            return Reply(answer.status, json.loads(content) if content else None, replayed=replayed)
        except TimeoutError:
            self.close()
            return Reply(None, failure="hung")
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return Reply(None, failure="lost")

    @property
    def _port(self) -> int:
        if self.replica is not None:
            return self.installation.services[self.replica].port
        assert self.installation.front is not None, "there is no load balancer"
        return self.installation.front

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send_until_answered(
        self, method: str, path: str, body: Any, token: str, key: str | None
    ) -> tuple[Reply, bool]:
        """Send until there is an answer or `RETRY_SECONDS` are over; False if the outcome is unknown."""
        ambiguous, cut, longest, until = False, False, 0, time.monotonic() + RETRY_SECONDS
        unavailable: tuple[tuple[int, int, str], ...] = ()
        not_listening: tuple[int, ...] = ()
        while True:
            start = time.monotonic_ns()
            reply = self.send(method, path, body, token, key)
            longest = max(longest, time.monotonic_ns() - start)
            cut = cut or reply.failure == "lost"
            unavailable, not_listening = unavailable + reply.unavailable, not_listening + reply.not_listening
            if not reply.is_inconclusive:
                # A refusal now does not say that an earlier attempt was refused, too.
                conclusive = not ambiguous or reply.result() == "done"
                break
            ambiguous = ambiguous or reply.failure != "down"
            if reply.result() in ("broken", "hung"):
                conclusive = True  # worse than not to know
                break
            if time.monotonic() >= until or (ambiguous and key is None):
                conclusive = not ambiguous
                break
            time.sleep(0.1)
        combined = replace(reply, cut=cut, longest_ns=longest, unavailable=unavailable, not_listening=not_listening)
        return combined, conclusive

    def _change_role(self, op: str, path: str, user: str, project: str, role: str, key: bool) -> Op:
        tag = f"op-{secrets.token_hex(8)}"
        args = {"user": user, "project": project, "role": role, "tag": tag}
        call = time.monotonic_ns()
        reply, conclusive = self._send_until_answered(
            "POST", path, _assignment(args), self.installation.admin_credential, tag if key else None
        )
        result = _role_result(op, reply) if conclusive else "unsure"
        seen = reply.observed
        return self._record(op, args, call, result, _revision(reply, result), seen)

    def _simple(self, op: str, args: Mapping[str, Any], path: str, body: Any) -> Op:
        call = time.monotonic_ns()
        reply, conclusive = self._send_until_answered(
            "POST", path, body, self.installation.admin_credential, secrets.token_hex(8)
        )
        result = reply.result() if conclusive else "unsure"
        if op == "unlock" and reply.status == http.client.NOT_FOUND and conclusive:
            result = "missing"
        return self._record(op, args, call, result, _revision(reply, result), reply.observed)

    def _record(
        self, op: str, args: Mapping[str, Any], call: int, result: str, revision: int | None, seen: Mapping[str, Any]
    ) -> Op:
        ret = None if result in ("lost", "hung", "unsure") else time.monotonic_ns()
        return self.installation.recorder.add(Op(self.name, op, args, call, ret, result, revision, seen))


def _assignment(args: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "roles": [args["role"]],
        "scope": args["project"],
        "identity": f"user:{args['user']}",
        "reason": args["tag"],
    }


def _role_result(op: str, reply: Reply) -> str:
    if reply.status == http.client.NOT_FOUND and op == "revoke":
        return "missing"
    if reply.result() != "done":
        return reply.result()
    data = (reply.body or {}).get("data", {})
    return "done" if data.get("granted") or data.get("revoked") else "same"


def _revision(reply: Reply, result: str) -> int | None:
    # A replayed answer is true and old: its revision says nothing about when it was given again.
    if result not in ("done", "same") or reply.body is None:
        return None
    revision: int | None = reply.body.get("revision")
    return revision


class SharedSessions:
    """The sessions that several clients share."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._sessions: dict[tuple[str, str], Session] = {}

    def get(self, user: str, project: str) -> Session | None:
        with self._guard:
            return self._sessions.get((user, project))

    def put(self, session: Session) -> None:
        with self._guard:
            self._sessions[session.user, session.project] = session

    def drop(self, session: Session) -> None:
        with self._guard:
            if self._sessions.get((session.user, session.project)) == session:
                del self._sessions[session.user, session.project]
