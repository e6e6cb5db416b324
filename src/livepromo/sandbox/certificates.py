"""Certificates for servers of this machine, for as long as a test or a demonstration takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from livepromo.sandbox.servers import ServerError, run

_NEW_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_NAMES: Final = "subjectAltName=IP:127.0.0.1,DNS:localhost\n"


class Certificates:
    """An authority of its own, and certificates that it signs for this machine: all of them files in PEM, good for two days."""

    def __init__(self, home: Path) -> None:
        """Make the authority. Raises ServerError."""
        self.home, self.ca = home, home / "ca.pem"
        home.mkdir(parents=True)
        self._openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=sandbox authority", "-keyout", "ca.key", "-out", "ca.pem")

    def _openssl(self, *words: str) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            raise ServerError("certificates are made with openssl: install it (apt-get install openssl)")
        folder = [str(self.home / word) if word.endswith((".pem", ".key", ".csr", ".cnf", ".crt")) else word for word in words]
        run([openssl, *folder], "making certificates")

    def pair(self, name: str) -> Path:
        """Return the file with key and certificate of somebody with this name, made when it is first asked for."""
        both = self.home / f"{name}.pem"
        if not both.exists():
            self._openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            (self.home / "san.cnf").write_text(_NAMES)
            sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san.cnf")
            self._openssl("x509", "-req", "-in", f"{name}.csr", *sign, "-out", f"{name}.crt")
            both.write_text((self.home / f"{name}.key").read_text() + (self.home / f"{name}.crt").read_text())
        return both
