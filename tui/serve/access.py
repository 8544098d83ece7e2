"""Which role somebody has: by ``roles.toml`` in the data directory, and without it the engine's own user and root only.

It is a file of its own, and not a part of the configuration that ``apply`` stores: who may do what is for whoever runs the
engine to say, not for those who use it.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.service import Actor, Role
from tui import exits
from tui.exits import Trouble

NAME = "roles.toml"


@dataclass(frozen=True, slots=True)
class Access:
    """Roles of users and, with a % before it, of groups."""

    roles: Mapping[str, Role] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Whether others than the engine's user and root may connect at all."""
        return any(not name.startswith("ssh:") for name in self.roles)

    def role(self, uid: int) -> Role | None:
        """The role of a user: the highest that his name or one of his groups has; ``None`` for a stranger."""
        if uid in {os.getuid(), 0}:
            return Role.ADMIN
        found = [self.roles[name] for name in names(uid) if name in self.roles]
        return max(found, key=list(Role).index) if found else None

    def ssh_actor(self, name: str, origin: str) -> Actor:
        """Somebody whose key the SSH front knows: in the role that the file has for ``ssh:NAME``, else somebody who may look."""
        role = self.roles.get(f"ssh:{name}")
        if role is not None:
            return Actor(name, role, origin)
        advice = f'{NAME} has no "ssh:{name}"; whoever runs the engine gives a role there (docs/ssh.md)'
        return Actor(name, Role.VIEWER, origin, advice)


def names(uid: int) -> list[str]:
    """Under which names a user may stand in the file: his own, his number, and his groups' with a %."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return [str(uid)]
    found = [user.pw_name, str(uid)]
    for gid in os.getgrouplist(user.pw_name, user.pw_gid):
        try:
            found.append(f"%{grp.getgrgid(gid).gr_name}")
        except KeyError:
            continue
    return found


def read(data_dir: Path) -> Access:
    """The roles of an engine.

    Raises:
        Trouble: the file cannot be used; the text names the line and what is allowed.
    """
    path = data_dir / NAME
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            text = file.read(1_000_000)
    except FileNotFoundError:
        return Access()
    except OSError as error:
        raise Trouble(exits.UNUSABLE, f"{path}: {error.strerror}") from None
    if found.st_uid not in {os.getuid(), 0} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Trouble(
            exits.UNUSABLE, f"{path}: only the engine's user or root may own and write it; chmod go-w {path}"
        )
    try:
        given = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Trouble(exits.UNUSABLE, f"{path}: not TOML ({error})") from None
    return Access(_roles(given, path))


def _roles(given: Mapping[str, object], path: Path) -> dict[str, Role]:
    allowed = ", ".join(Role)
    wrong = [name for name in given if name != "roles"]
    section = given.get("roles", {})
    if wrong or not isinstance(section, dict):
        raise Trouble(
            exits.UNUSABLE, f"{path}: {wrong[0] if wrong else 'roles'}: allowed is one section, [roles]"
        )
    found: dict[str, Role] = {}
    for name, members in section.items():
        if name not in set(Role):
            raise Trouble(exits.UNUSABLE, f"{path}: roles.{name}: no such role; allowed: {allowed}")
        if not isinstance(members, list) or not all(isinstance(one, str) and one.strip("%") for one in members):
            raise Trouble(
                exits.UNUSABLE,
                f'{path}: roles.{name}: a list of users and, with a % before it, groups is allowed: ["ann", "%crm"]',
            )
        for one in members:
            if one in found and found[one] != Role(name):
                raise Trouble(exits.UNUSABLE, f"{path}: roles.{name}: {one} is {found[one]} already")
            found[one] = Role(name)
    return found
