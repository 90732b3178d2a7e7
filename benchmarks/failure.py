"""Why a peer has no figures."""


class PeerFailed(Exception):
    """It cannot be installed, or does not do what it shall; a row of the table says so."""
