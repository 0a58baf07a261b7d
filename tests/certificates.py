"""A certificate authority for the length of a test, and the files it hands out."""

from pathlib import Path

import grpc
import trustme

from predictscale.serving.tls import TlsFiles


class Authority:
    """Issues certificates for 127.0.0.1 and for clients."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self._ca.cert_pem.bytes()

    def write(self, folder: Path, *, clients: "Authority | None" = None) -> TlsFiles:
        """A new server pair in `folder`, and the CA of its clients if they need certificates."""
        issued = self._ca.issue_cert("127.0.0.1")
        folder.mkdir(exist_ok=True)
        files = TlsFiles(
            certificate=folder / "tls.crt",
            key=folder / "tls.key",
            client_ca=None if clients is None else folder / "ca.crt",
        )
        files.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        files.key.write_bytes(issued.private_key_pem.bytes())
        if clients is not None and files.client_ca is not None:
            files.client_ca.write_bytes(clients.pem)
        return files

    def client(self, *, identity: "Authority | None" = None) -> grpc.ChannelCredentials:
        """What a client needs that trusts this authority, with a certificate of `identity` if given."""
        if identity is None:
            return grpc.ssl_channel_credentials(root_certificates=self.pem)
        issued = identity._ca.issue_cert("keda-operator")
        return grpc.ssl_channel_credentials(
            root_certificates=self.pem,
            private_key=issued.private_key_pem.bytes(),
            certificate_chain=issued.cert_chain_pems[0].bytes(),
        )
