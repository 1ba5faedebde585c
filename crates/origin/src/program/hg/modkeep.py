"""What modkeep asks Mercurial beyond its own commands: the sum over all heads, and a login from the environment.

Loaded by modkeep alone, for repositories that modkeep pulled (versions-and-origins 11.2).
"""

import base64
import hashlib
import os

from mercurial import registrar

cmdtable = {}
command = registrar.command(cmdtable)


def uisetup(ui):
    """A login for one address, and no file or argument vector that shows it."""
    values = {
        b"prefix": os.environb.get(b"MODKEEP_LOGIN_PREFIX"),
        b"username": os.environb.get(b"MODKEEP_LOGIN"),
        b"password": os.environb.get(b"MODKEEP_PASSWORD"),
    }
    if all(value is not None for value in values.values()):
        for name, value in values.items():
            ui.setconfig(b"auth", b"modkeep." + name, value, b"modkeep")


@command(b"modkeep-sum", [], b"")
def modkeep_sum(ui, repo):
    """Prints the sum over branches with their heads, then bookmarks, in the order in which a server tells them."""
    peer = repo.peer()
    told = hashlib.sha256()
    for branch, heads in peer.branchmap().items():
        told.update(b"".join([branch] + [b" " + head for head in heads] + [b"\n"]))
    if b"bookmarks" in peer.listkeys(b"namespaces"):
        for bookmark, node in peer.listkeys(b"bookmarks").items():
            told.update(bookmark + b"=" + node + b"\n")
    ui.write(b"r1:" + base64.standard_b64encode(told.digest()) + b"\n")
